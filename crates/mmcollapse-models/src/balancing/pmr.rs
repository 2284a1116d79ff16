//! PMR (Fan et al., CVPR 2023): class prototypes of each modality's encodings, and a cross-entropy of the distances to them on the
//! modality that is behind.

use mmcollapse_nn::{DType, Result as TensorResult, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::{Balancing, Builder, Scene, Seen, Weighed, seen::over_others, share, strength, within};
use crate::{
    registry::{Entry, Sampler, parse_for, resolve_as},
    training::Progress,
};

const NAME: &str = "pmr";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "class prototypes pull at the encodings of the modality that is behind",
    reference: "Fan et al., PMR, CVPR 2023; its public code, without the entropy term that the code lacks",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("alpha", Sampler::LogUniform(0.1, 4.0)),
        ("momentum", Sampler::Uniform(0.0, 0.9)),
    ],
    build: |options, context| {
        let config: Config = parse_for("balancing", NAME, options)?;
        strength(NAME, "alpha", config.alpha)?;
        share(NAME, "momentum", config.momentum)?;
        share(NAME, "until", config.until)?;
        let prototypes = context.modalities.iter().zip(context.widths).map(|(name, &width)| {
            let scope = context.scope.pp("prototypes").pp(name);
            let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &scope.device());
            Ok(Prototypes {
                centres: scope.buffer("centres", zeros(&[context.classes, width])?)?,
                known: scope.buffer("known", zeros(&[context.classes])?)?,
            })
        });
        Ok(Box::new(Pmr {
            config,
            prototypes: prototypes.collect::<TensorResult<_>>()?,
        }))
    },
};

/// Options of [`Pmr`]; the defaults are those of the public code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Weight of the cross-entropy of distances.
    alpha: f64,
    /// What of the old prototypes stays from epoch to epoch.
    momentum: f64,
    /// Share of the epochs in which it acts (public code: 100 of 150).
    until: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            momentum: 0.2,
            until: 2.0 / 3.0,
        }
    }
}

struct Pmr {
    config: Config,
    prototypes: Vec<Prototypes>,
}

/// Class means of a modality's encodings.
struct Prototypes {
    /// `[classes, width]`.
    centres: Var,
    /// `[classes]`, 1 where a training sample of the class has the modality.
    known: Var,
}

impl Prototypes {
    /// Moves the centres to the class means of `z [rows, width]`, or towards them.
    fn follow(&self, z: &Tensor, labels: &[u32], stays: f64) -> TensorResult<()> {
        let (classes, width) = self.centres.dims2()?;
        let mut sums = vec![0.0_f64; classes * width];
        let mut counts = vec![0.0_f64; classes];
        for (row, &label) in z.to_vec2::<f32>()?.iter().zip(labels) {
            let class = label as usize;
            counts[class] += 1.0;
            for (sum, &value) in sums[class * width..].iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        let old: Vec<f32> = self.centres.flatten_all()?.to_vec1()?;
        let means = sums.iter().zip(&old).enumerate().map(|(place, (sum, &old))| {
            let count = counts[place / width];
            let now = if count > 0.0 { sum / count } else { 0.0 };
            ((1.0 - stays) * now + stays * f64::from(old)) as f32
        });
        let device = self.centres.device();
        let means = Tensor::from_vec(means.collect::<Vec<_>>(), (classes, width), device)?;
        let known = counts.iter().map(|&count| f32::from(u8::from(count > 0.0)));
        self.centres.set(&means)?;
        self.known
            .set(&Tensor::from_vec(known.collect::<Vec<_>>(), classes, device)?)
    }

    /// `-||z - c||` to each class's prototype, `[batch, classes]`; far away where there is none.
    fn nearness(&self, z: &Tensor) -> TensorResult<Tensor> {
        let centres = self.centres.as_tensor().detach().unsqueeze(0)?;
        let squares = z.unsqueeze(1)?.broadcast_sub(&centres)?.sqr()?.sum(2)?;
        // The root has no gradient at 0.
        let distances = (squares + 1e-12)?.sqrt()?;
        let unknown = self.known.as_tensor().detach().affine(-1e4, 1e4)?;
        distances.neg()?.broadcast_sub(&unknown)
    }
}

impl Balancing for Pmr {
    fn begin(&self, scene: &Scene, progress: &Progress) -> TensorResult<()> {
        if !within(self.config.until, progress) {
            return Ok(());
        }
        // As in the public code the prototypes of the untrained encoders leave no trace in those after the first epoch.
        let stays = if progress.epoch > 1 { self.config.momentum } else { 0.0 };
        for (prototypes, (z, labels)) in self.prototypes.iter().zip(scene.encodings(scene.train)?) {
            if let Some(z) = z {
                prototypes.follow(&z, &labels, stays)?;
            }
        }
        Ok(())
    }

    fn weigh(&self, seen: &Seen) -> TensorResult<Weighed> {
        if !within(self.config.until, seen.progress) {
            return Ok(Weighed::default());
        }
        let near = self.prototypes.iter().zip(&seen.encodings.z);
        let near: Vec<Tensor> = near.map(|(of, z)| of.nearness(z)).collect::<TensorResult<_>>()?;
        let scores = near.iter().enumerate().map(|(m, near)| seen.score(m, near));
        let ratios = over_others(&scores.collect::<TensorResult<Vec<_>>>()?);
        let mut total: Option<Tensor> = None;
        for (m, near) in near.iter().enumerate().filter(|(m, _)| ratios[*m] < 1.0) {
            let Some(loss) = seen.cross_entropy(m, near)? else {
                continue;
            };
            let loss = (loss * self.config.alpha)?;
            total = Some(match total {
                Some(total) => (total + loss)?,
                None => loss,
            });
        }
        Ok(Weighed {
            terms: total.map(|total| ("prototypes", total)).into_iter().collect(),
            ..Weighed::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::{Device, Params};

    use super::*;

    #[test]
    fn prototypes_are_class_means_that_follow() {
        let params = Params::new(0, &Device::Cpu);
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let of = Prototypes {
            centres: params.root().buffer("centres", zeros(&[3, 2])).unwrap(),
            known: params.root().buffer("known", zeros(&[3])).unwrap(),
        };
        let z = |rows: &[[f32; 2]]| {
            Tensor::new(rows.concat(), &Device::Cpu)
                .unwrap()
                .reshape((rows.len(), 2))
                .unwrap()
        };
        of.follow(&z(&[[1.0, 0.0], [3.0, 2.0], [0.0, 5.0]]), &[0, 0, 2], 0.0)
            .unwrap();
        assert_eq!(
            of.centres.to_vec2::<f32>().unwrap(),
            [[2.0, 1.0], [0.0, 0.0], [0.0, 5.0]]
        );
        assert_eq!(of.known.to_vec1::<f32>().unwrap(), [1.0, 0.0, 1.0]);
        // .8 new + .2 old.
        of.follow(&z(&[[7.0, 1.0], [0.0, 0.0]]), &[0, 2], 0.2).unwrap();
        let centres = of.centres.to_vec2::<f32>().unwrap();
        assert!(
            (centres[0][0] - 6.0).abs() < 1e-6 && (centres[2][1] - 1.0).abs() < 1e-6,
            "{centres:?}"
        );
        let near = of.nearness(&z(&[[6.0, 4.0]])).unwrap().to_vec2::<f32>().unwrap();
        assert!((near[0][0] + 3.0).abs() < 1e-5 && near[0][1] < -9e3, "{near:?}");
    }
}
