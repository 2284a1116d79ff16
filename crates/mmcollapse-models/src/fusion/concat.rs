//! Vanilla fusion: the encodings side by side, one hidden layer, a classifier.
//!
//! On avMNIST this is SMIL's fused network: 480 -> 64 ReLU -> dropout .6 -> 10. A missing modality is zeros.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor,
    layers::{Dropout, Linear},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput};
use crate::{
    error::Result,
    model::Encodings,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "concat",
    summary: "encodings concatenated, one hidden layer; zeros where a modality is missing",
    reference: "Ma et al., SMIL, AAAI 2021, fused network; the paper's vanilla fusion",
    revision: 1,
    resolve: resolve_as::<Config>,
    build: |options, context| {
        let config: Config = parse_for("fusion", "concat", options)?;
        Ok(Box::new(Concat::new(&config, context)?))
    },
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

struct Concat {
    hidden: Linear,
    dropout: Dropout,
    classifier: Linear,
}

impl Concat {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let scope = &context.scope;
        Ok(Self {
            hidden: Linear::new(&scope.pp("hidden"), context.widths.iter().sum(), config.hidden)?,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
            classifier: Linear::new(&scope.pp("classifier"), config.hidden, context.classes)?,
        })
    }
}

impl Fusion for Concat {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let joined = Tensor::cat(&encodings.z, 1)?; // [b, sum of widths]
        let fused = self.hidden.forward_relu(&joined)?; // [b, hidden]
        let logits = self.classifier.forward(&self.dropout.forward(&fused, mode)?)?; // [b, classes]
        Ok(FusionOutput::new(fused, logits))
    }
}
