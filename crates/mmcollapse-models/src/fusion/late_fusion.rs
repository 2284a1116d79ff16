//! Late fusion: the mean of independently trained unimodal predictions, over the modalities that are there.
//!
//! The floor that every method must be compared with. Each modality has its own linear head and its own
//! cross-entropy; nothing is trained on the mean.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor,
    candle::bail,
    layers::Linear,
    ops::{ln, softmax_cross_entropy},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput};
use crate::{
    encodings::Encodings,
    error::Result,
    predictions::probabilities,
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::{mean_of, presence_weights, select_rows},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "late_fusion",
    summary: "mean of independently trained unimodal predictions, over the modalities present",
    reference: "the usual ensemble baseline; see e.g. arXiv 2512.22991",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[("average", Sampler::Word(&["logits", "probabilities"]))],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "late_fusion", options)?;
        Ok(Box::new(LateFusion::new(&config, context)?))
    }),
};

/// What is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Average {
    Logits,
    Probabilities,
}

/// Options of [`LateFusion`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Whether logits or class probabilities are averaged.
    average: Average,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            average: Average::Logits,
        }
    }
}

struct LateFusion {
    average: Average,
    heads: Vec<Linear>,
}

impl LateFusion {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let heads = context
            .modalities
            .iter()
            .zip(context.widths)
            .map(|(name, &width)| Ok(Linear::new(&context.scope.pp("head").pp(name), width, context.classes)?))
            .collect::<Result<_>>()?;
        Ok(Self {
            average: config.average,
            heads,
        })
    }
}

impl Fusion for LateFusion {
    fn forward(&self, encodings: &Encodings, _mode: Mode) -> TensorResult<FusionOutput> {
        let present = presence_weights(encodings)?; // per modality [b, 1], 1 where it is there
        let mut unimodal = Vec::with_capacity(self.heads.len());
        let mut sum: Option<Tensor> = None;
        let mut count: Option<Tensor> = None;
        for ((head, z), weight) in self.heads.iter().zip(&encodings.z).zip(&present) {
            let logits = head.forward(z)?; // [b, classes]
            let vote = match self.average {
                Average::Logits => logits.clone(),
                Average::Probabilities => probabilities(&logits)?,
            };
            let vote = vote.broadcast_mul(weight)?;
            sum = Some(match sum {
                Some(s) => (s + vote)?,
                None => vote,
            });
            count = Some(match count {
                Some(c) => (c + weight)?,
                None => weight.clone(),
            });
            unimodal.push(logits);
        }
        let (Some(sum), Some(count)) = (sum, count) else {
            bail!("late fusion needs at least one modality")
        };
        // A sample without any modality gets zero logits rather than 0/0.
        let mean = mean_of(&sum, &count)?;
        let logits = match self.average {
            Average::Logits => mean,
            Average::Probabilities => ln(&(mean + 1e-12)?)?,
        };
        Ok(FusionOutput {
            unimodal,
            ..FusionOutput::new(Tensor::cat(&encodings.z, 1)?, logits)
        })
    }

    fn semantic_loss(
        &self,
        output: &FusionOutput,
        encodings: &Encodings,
        labels: &[u32],
        _mode: Mode,
    ) -> TensorResult<Tensor> {
        let mut total: Option<Tensor> = None;
        for (modality, logits) in output.unimodal.iter().enumerate() {
            let rows = encodings.present.rows(modality);
            if rows.is_empty() {
                continue;
            }
            let targets: Vec<u32> = rows.iter().map(|&r| labels[r]).collect();
            let loss = softmax_cross_entropy(&select_rows(logits, &rows)?, &targets)?;
            total = Some(match total {
                Some(t) => (t + loss)?,
                None => loss,
            });
        }
        // A batch in which no sample has any modality teaches nothing.
        total.map_or_else(|| output.logits.sum_all()? * 0.0, Ok)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::Presence;
    use mmcollapse_nn::{Device, Params};

    use super::*;

    #[test]
    fn a_batch_in_which_nobody_has_a_modality_teaches_nothing() {
        let params = Params::new(0, &Device::Cpu);
        let names = ["a", "b"].map(str::to_owned);
        let context = FusionContext::made(&names, &[3, 2], 4, &params);
        let fusion = LateFusion::new(&Config::default(), &context).unwrap();
        let zeros = |width| Tensor::zeros((5, width), mmcollapse_nn::DType::F32, &Device::Cpu).unwrap();
        let encodings = Encodings::made(vec![zeros(3), zeros(2)], Presence::from_fn(5, 2, |_, _| false));
        let mode = Mode::Train { seed: 0, step: 0 };
        let output = fusion.forward(&encodings, mode).unwrap();
        let loss = fusion
            .semantic_loss(&output, &encodings, &[0, 1, 2, 3, 0], mode)
            .unwrap();
        assert_eq!(loss.to_scalar::<f32>().unwrap(), 0.0);
        let gradients = loss.backward().unwrap();
        for (_, var) in params.vars() {
            let sum = |g: &Tensor| g.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(gradients.get(&var).is_none_or(|gradient| sum(gradient) == 0.0));
        }
    }
}
