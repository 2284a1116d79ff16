//! A penalty on the distance between the modalities' encodings: alignment without heads, decoders or teachers, in a dose
//! (the paper's Theorem 3).
//!
//! The distance is the squared maximum mean discrepancy with a Gaussian kernel whose width is the batch's median distance
//! (Gretton et al., JMLR 2012, equation 3: of equal distributions and independent samples it is 0 on average), the mean over all
//! pairs of modalities. The two encodings of a sample are a pair among the others, so that it is also lower where they are alike. Encodings wider than the narrowest are compared by a fixed random projection to that width.
//!
//! `between: halves` is its control: the distance between the two halves of each modality's batch, where there is nothing to align.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor,
    ops::{exp, matmul, relu},
    random::Stream,
};
use serde::{Deserialize, Serialize};

use super::{Builder, Reallocated, Reallocation, ReallocationContext};
use crate::{
    encodings::Encodings,
    error::{ModelError, Result},
    registry::{Entry, parse_for, resolve_as},
    training::Progress,
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "mmd",
    summary: "a penalty on the maximum mean discrepancy between the modalities' encodings",
    reference: "Gretton et al., JMLR 2012; ours as a reallocation",
    revision: 2, // the first kept each sample's kernel with itself
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        substitution: "none",
        uses: &[],
        make: |options, context| {
            let config: Config = parse_for("reallocation", ENTRY.name, options)?;
            Ok(Box::new(Aligned::new(&config, context)?))
        },
    },
};

/// Between what the distance is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Between {
    /// Every two modalities.
    #[default]
    Modalities,
    /// The halves of each modality's batch: the control.
    Halves,
}

/// Options of [`Aligned`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Weight of the penalty.
    weight: f64,
    /// Between what the distance is.
    between: Between,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            weight: 1.0,
            between: Between::Modalities,
        }
    }
}

struct Aligned {
    weight: f64,
    between: Between,
    /// Of each modality, `[width, narrowest width]` where it is wider.
    projections: Vec<Option<Tensor>>,
}

impl Aligned {
    fn new(config: &Config, context: &ReallocationContext) -> Result<Self> {
        if !(config.weight.is_finite() && config.weight >= 0.0) {
            return Err(ModelError::Options {
                axis: "reallocation",
                method: ENTRY.name.to_owned(),
                reason: format!("`weight` must be a number of at least 0, got {}", config.weight),
            });
        }
        let narrowest = context.widths.iter().copied().min().unwrap_or_default();
        let of_modality = |(name, width): (&String, &usize)| {
            let scope = context.scope.pp("projection").pp(name);
            let projection = || {
                let seed = scope.params().seed();
                let mut stream = Stream::new(seed, &format!("mmd/projection/{name}"));
                let scale = (1.0 / narrowest as f32).sqrt();
                let numbers: Vec<f32> = stream.normal_vec(width * narrowest).iter().map(|x| x * scale).collect();
                let start = Tensor::from_vec(numbers, (*width, narrowest), &scope.device())?;
                Ok(scope.buffer("weight", start)?.as_tensor().clone())
            };
            (*width > narrowest).then(projection).transpose()
        };
        let projections = context.modalities.iter().zip(context.widths).map(of_modality);
        Ok(Self {
            weight: config.weight,
            between: config.between,
            projections: projections.collect::<TensorResult<_>>()?,
        })
    }
}

impl Reallocation for Aligned {
    /// What is compared is the latent that the check reads.
    fn transform(&self, modality: usize, z: &Tensor, _mode: Mode) -> TensorResult<Reallocated> {
        let latent = match &self.projections[modality] {
            Some(projection) => matmul(z, projection)?,
            None => z.clone(),
        };
        Ok(Reallocated {
            encoding: z.clone(),
            latent: Some(latent),
        })
    }

    fn losses(&self, encodings: &Encodings, _progress: &Progress) -> TensorResult<Vec<(&'static str, Tensor)>> {
        let latents: Vec<&Tensor> = encodings.latents.iter().flatten().map(|latent| &latent.g).collect();
        let mut pairs: Vec<(Tensor, Tensor)> = Vec::new();
        for (place, x) in latents.iter().enumerate() {
            match self.between {
                Between::Modalities => pairs.extend(latents[..place].iter().map(|y| ((*x).clone(), (*y).clone()))),
                Between::Halves => {
                    let (rows, half) = (x.dim(0)?, x.dim(0)? / 2);
                    pairs.push((x.narrow(0, 0, half)?, x.narrow(0, half, rows - half)?));
                }
            }
        }
        let mut distances = Vec::new();
        for (x, y) in &pairs {
            // Of one sample there is no distribution.
            if x.dim(0)?.min(y.dim(0)?) > 1 {
                distances.push(discrepancy(x, y)?);
            }
        }
        if distances.is_empty() {
            return Ok(Vec::new());
        }
        let mean = Tensor::stack(&distances, 0)?.mean(0)?;
        Ok(vec![("alignment", (mean * self.weight)?)])
    }
}

/// Squared maximum mean discrepancy of rows `x` and `y`, unbiased.
fn discrepancy(x: &Tensor, y: &Tensor) -> TensorResult<Tensor> {
    let all = Tensor::cat(&[x, y], 0)?;
    let norms = all.sqr()?.sum_keepdim(1)?; // [n, 1]
    let squared = (norms.broadcast_add(&norms.t()?)? - (matmul(&all, &all.t()?)? * 2.0)?)?;
    let squared = relu(&squared)?; // [n, n]; rounding may leave it below 0
    let n = all.dim(0)?;
    let mut sorted: Vec<f32> = squared.detach().flatten_all()?.to_vec1()?;
    sorted.sort_by(f32::total_cmp);
    // Half of all pairs, those of a sample with itself among them, lie nearer.
    let width = f64::from(sorted[n + (n * n - n) / 2 - 1]).max(f64::from(f32::MIN_POSITIVE));
    let kernel = exp(&(squared * (-0.5 / width))?)?;
    let (of_x, of_y) = (x.dim(0)?, y.dim(0)?);
    let sum =
        |i: usize, rows: usize, j: usize, columns: usize| kernel.narrow(0, i, rows)?.narrow(1, j, columns)?.sum_all();
    // Of a sample with itself the kernel is 1: it says nothing of the distribution.
    let within = |i: usize, rows: usize| (sum(i, rows, i, rows)? - rows as f64)? / (rows * (rows - 1)) as f64;
    within(0, of_x)? + within(of_x, of_y)? - (sum(0, of_x, of_x, of_y)? * (2.0 / (of_x * of_y) as f64))?
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::Device;

    use super::*;

    fn rows(values: &[f32]) -> Tensor {
        Tensor::from_slice(values, (values.len(), 1), &Device::Cpu).unwrap()
    }

    /// 0, 1 against 3, 4: squared distances 1, 1, 9, 16, 4, 9, of which the third of six in order is 4.
    #[test]
    fn four_numbers_by_hand() {
        let k = |squared: f64| libm::exp(-0.5 * squared / 4.0);
        let expected = 2.0 * k(1.0) - 2.0 * (k(9.0) + k(16.0) + k(4.0) + k(9.0)) / 4.0;
        let found = discrepancy(&rows(&[0.0, 1.0]), &rows(&[3.0, 4.0])).unwrap();
        let found = f64::from(found.to_scalar::<f32>().unwrap());
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        let constant = discrepancy(&rows(&[1.0, 1.0]), &rows(&[1.0, 1.0])).unwrap();
        assert!(constant.to_scalar::<f32>().unwrap().is_finite());
    }
}
