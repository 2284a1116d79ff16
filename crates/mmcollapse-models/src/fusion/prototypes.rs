//! Prototypes of a modality's encodings: the centres of a k-means that runs along with training.
//!
//! SMIL clusters the features of pretrained encoders once. Here the encoders are trained together with the fusion, so the
//! centres follow them: a mini-batch k-means (Sculley, WWW 2010) whose rate per centre does not fall below a floor.

use mmcollapse_nn::{Result as TensorResult, Scope, Tensor, Var};

/// Least rate of a centre: it forgets a row after about 50 others of its own.
const FLOOR: f32 = 0.02;

/// Buffers `centres` `[k, width]` and `counts` `[k]` (the rows that each centre has taken up).
pub(super) struct Prototypes {
    centres: Var,
    counts: Var,
}

impl Prototypes {
    /// `k` centres at zero, until rows have taken their places.
    pub fn new(scope: &Scope, k: usize, width: usize) -> TensorResult<Self> {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, scope.dtype(), &scope.device());
        Ok(Self {
            centres: scope.buffer("centres", zeros(&[k, width])?)?,
            counts: scope.buffer("counts", zeros(&[k])?)?,
        })
    }

    /// `[k, width]`.
    pub fn centres(&self) -> Tensor {
        self.centres.as_tensor().detach()
    }

    /// Moves the centres towards the rows of `z: [rows, width]`, one after the other: each takes a free place, or draws the
    /// nearest centre towards itself. Rows that are not finite are passed over.
    pub fn follow(&self, z: &Tensor) -> TensorResult<()> {
        let mut centres: Vec<Vec<f32>> = self.centres.to_vec2()?;
        let mut counts: Vec<f32> = self.counts.to_vec1()?;
        for row in z.detach().to_vec2::<f32>()? {
            if !row.iter().all(|v| v.is_finite()) {
                continue;
            }
            let nearest = counts.iter().position(|&count| count == 0.0).or_else(|| {
                let distance = |centre: &[f32]| centre.iter().zip(&row).map(|(c, x)| (c - x) * (c - x)).sum::<f32>();
                (0..centres.len()).min_by(|&a, &b| distance(&centres[a]).total_cmp(&distance(&centres[b])))
            });
            let Some(nearest) = nearest else { break };
            counts[nearest] += 1.0;
            let rate = (1.0 / counts[nearest]).max(FLOOR);
            for (c, x) in centres[nearest].iter_mut().zip(&row) {
                *c += rate * (x - *c);
            }
        }
        let device = self.centres.device();
        self.centres.set(&Tensor::new(centres, device)?)?;
        self.counts.set(&Tensor::new(counts, device)?)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::{Device, Params, random::Stream};

    use super::*;

    #[test]
    fn centres_find_the_clusters_and_follow_them() {
        let params = Params::new(0, &Device::Cpu);
        let prototypes = Prototypes::new(&params.root(), 3, 2).unwrap();
        let mut stream = Stream::new(4, "clusters");
        let mut distances_to = |means: [[f64; 2]; 3], batches: usize| -> Vec<f64> {
            for _ in 0..batches {
                let rows = (0..12).flat_map(|i| means[i % 3].map(|mean| (mean + 0.1 * stream.normal()) as f32));
                let z = Tensor::from_vec(rows.collect(), (12, 2), &Device::Cpu).unwrap();
                prototypes.follow(&z).unwrap();
            }
            let centres: Vec<Vec<f32>> = prototypes.centres().to_vec2().unwrap();
            let distance =
                |mean: [f64; 2], c: &Vec<f32>| libm::hypot(f64::from(c[0]) - mean[0], f64::from(c[1]) - mean[1]);
            let nearest = |mean| centres.iter().map(|c| distance(mean, c)).fold(f64::INFINITY, f64::min);
            means.map(nearest).to_vec()
        };
        // Nearer than a draw would be: the centre is a mean.
        assert!(
            distances_to([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]], 20)
                .iter()
                .all(|d| *d < 0.06)
        );
        assert!(
            distances_to([[1.0, 1.0], [6.0, 1.0], [1.0, 6.0]], 80)
                .iter()
                .all(|d| *d < 0.06)
        );
    }

    #[test]
    fn what_is_not_finite_is_passed_over() {
        let params = Params::new(0, &Device::Cpu);
        let prototypes = Prototypes::new(&params.root(), 2, 1).unwrap();
        prototypes
            .follow(&Tensor::new(&[[f32::NAN], [2.0]], &Device::Cpu).unwrap())
            .unwrap();
        assert_eq!(prototypes.centres().to_vec2::<f32>().unwrap(), [[2.0], [0.0]]);
    }
}
