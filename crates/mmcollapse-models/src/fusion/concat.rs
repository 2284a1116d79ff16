//! Vanilla fusion: the encodings side by side, one hidden layer, a classifier.
//!
//! On avMNIST this is SMIL's fused network: 480 -> 64 ReLU -> dropout .6 -> 10. A missing modality is zeros.

use mmcollapse_nn::{Mode, Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput, head::Head};
use crate::{
    encodings::Encodings,
    error::Result,
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
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden: 64,
            dropout: 0.6,
        }
    }
}

struct Concat(Head);

impl Concat {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let inputs = context.widths.iter().sum();
        let head = Head::new(&context.scope, inputs, config.hidden, config.dropout, context.classes)?;
        Ok(Self(head))
    }
}

impl Fusion for Concat {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let (fused, logits) = self.0.forward(&Tensor::cat(&encodings.z, 1)?, mode)?;
        Ok(FusionOutput::new(fused, logits))
    }
}
