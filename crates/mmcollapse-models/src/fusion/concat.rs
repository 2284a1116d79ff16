//! Vanilla fusion: the encodings side by side, one hidden layer, a classifier.
//!
//! On avMNIST this is SMIL's fused network: 480 -> 64 ReLU -> dropout .6 -> 10. A missing modality is zeros.
//!
//! `rank` makes the hidden layer's weights a product `U V` through so few numbers, so that their rank is at most that: what the
//! paper says training does by itself, done on purpose.

use mmcollapse_nn::{Mode, Result as TensorResult, Tensor, layers::Linear, ops::matmul};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput, Meeting, head::Head};
use crate::{
    encodings::Encodings,
    error::{ModelError, Result},
    registry::{Entry, Sampler, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "concat",
    summary: "encodings concatenated, one hidden layer; zeros where a modality is missing",
    reference: "Ma et al., SMIL, AAAI 2021, fused network; the paper's vanilla fusion",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("hidden", Sampler::Whole(&[32, 64, 128, 256])),
        ("dropout", Sampler::Uniform(0.0, 0.8)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "concat", options)?;
        Ok(Box::new(Concat::new(&config, context)?))
    }),
};

/// Options of [`Concat`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the hidden layer.
    hidden: usize,
    /// Dropout before the classifier.
    dropout: f64,
    /// The most that the rank of the hidden layer's weights can be; without it what their shape allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden: 64,
            dropout: 0.6,
            rank: None,
        }
    }
}

struct Concat {
    /// V, `[rank, sum of widths]`, where the rank is bounded.
    bottleneck: Option<Linear>,
    head: Head,
}

impl Concat {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let scope = &context.scope;
        let inputs = context.widths.iter().sum();
        if config.rank == Some(0) {
            return Err(ModelError::Options {
                axis: "fusion",
                method: ENTRY.name.to_owned(),
                reason: "`rank` must be at least 1, got 0".to_owned(),
            });
        }
        let bottleneck = match config.rank {
            Some(rank) => Some(Linear::without_bias(&scope.pp("bottleneck"), inputs, rank)?),
            None => None,
        };
        let inputs = config.rank.unwrap_or(inputs);
        Ok(Self {
            bottleneck,
            head: Head::new(scope, inputs, config.hidden, config.dropout, context.classes)?,
        })
    }
}

impl Fusion for Concat {
    fn meeting(&self) -> TensorResult<Option<Meeting>> {
        let own = self.head.meeting()?;
        // U V.
        let weights = match &self.bottleneck {
            Some(bottleneck) => matmul(&own.weights, &bottleneck.weight().detach())?,
            None => own.weights,
        };
        Ok(Some(Meeting { weights, ..own }))
    }

    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let joined = Tensor::cat(&encodings.z, 1)?;
        let joined = match &self.bottleneck {
            Some(bottleneck) => bottleneck.forward(&joined)?,
            None => joined,
        };
        let (fused, logits) = self.head.forward(&joined, mode)?;
        Ok(FusionOutput::new(fused, logits))
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::Presence;
    use mmcollapse_nn::{Device, Params};

    use super::*;

    /// Through one number, encodings that give the same one cannot be told apart; without the bound they can.
    #[test]
    fn a_bound_on_the_rank_hides_what_is_beside_it() {
        let modalities = ["a".to_owned(), "b".to_owned()];
        let fused = |rank: Option<usize>, z: &dyn Fn(&[f32]) -> [f32; 4]| -> Vec<f32> {
            let params = Params::new(3, &Device::Cpu);
            let context = FusionContext::made(&modalities, &[2, 2], 2, &params);
            let config = Config {
                hidden: 6,
                dropout: 0.0,
                rank,
            };
            let concat = Concat::new(&config, &context).unwrap();
            let v = match &concat.bottleneck {
                Some(bottleneck) => bottleneck.weight().flatten_all().unwrap().to_vec1().unwrap(),
                None => vec![1.0; 4],
            };
            let z = z(&v);
            let encodings = Encodings::made(
                [&z[..2], &z[2..]]
                    .map(|z| Tensor::from_slice(z, (1, 2), &Device::Cpu).unwrap())
                    .to_vec(),
                Presence::all(1, 2),
            );
            let output = concat.forward(&encodings, Mode::Eval).unwrap();
            output.fused.flatten_all().unwrap().to_vec1().unwrap()
        };
        // The second modality's part is moved at a right angle to V, or elsewhere.
        let before = |_: &[f32]| [0.5, -1.0, 0.3, 0.8];
        let beside = |v: &[f32]| [0.5, -1.0, 0.3 + 2.0 * v[3], 0.8 - 2.0 * v[2]];
        let away = |v: &[f32]| [0.5, -1.0, 0.3 + 2.0 * v[2], 0.8 + 2.0 * v[3]];
        let differ = |a: &[f32], b: &[f32]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-5);
        let start = fused(Some(1), &before);
        assert!(!differ(&start, &fused(Some(1), &beside)));
        assert!(differ(&start, &fused(Some(1), &away)));
        assert!(differ(&fused(None, &before), &fused(None, &beside)));
    }
}
