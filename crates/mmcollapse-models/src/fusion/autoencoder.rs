//! Imputation by autoencoders: a missing modality's encoding is reconstructed from those that are there.
//!
//! The original reconstructs the missing input. Here, as with every fusion, the method stands on the encodings, so that all
//! methods meet the same encoders: for each ordered pair of modalities a network with a bottleneck maps the encoding of
//! one to that of the other, the mean over the present ones stands in for what is missing, in training as at test, and
//! SMIL's fused network reads the result.

use mmcollapse_nn::{Mode, Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    Builder, Fusion, FusionContext, FusionOutput,
    head::Head,
    imputation::{Maps, fill_in, reconstruction},
};
use crate::{
    encodings::Encodings,
    error::Result,
    registry::{Entry, Sampler, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "autoencoder",
    summary: "a missing modality's encoding is reconstructed from the present ones, then concat",
    reference: "Ngiam et al., Multimodal Deep Learning, ICML 2011; the row Autoencoder of SMIL (Ma et al., AAAI 2021)",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("bottleneck", Sampler::Whole(&[32, 64, 128])),
        ("reconstruction", Sampler::LogUniform(0.1, 10.0)),
        ("hidden", Sampler::Whole(&[32, 64, 128])),
        ("dropout", Sampler::Uniform(0.0, 0.8)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "autoencoder", options)?;
        Ok(Box::new(Autoencoder::new(&config, context)?))
    }),
};

/// Options of [`Autoencoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the bottleneck.
    bottleneck: usize,
    /// Weight of the reconstruction error.
    reconstruction: f64,
    /// Width of the fused network's hidden layer.
    hidden: usize,
    /// Dropout before the classifier.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bottleneck: 64,
            reconstruction: 1.0,
            hidden: 64,
            dropout: 0.6,
        }
    }
}

struct Autoencoder {
    reconstruction: f64,
    maps: Maps,
    head: Head,
}

impl Autoencoder {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let inputs = context.widths.iter().sum();
        Ok(Self {
            reconstruction: config.reconstruction,
            maps: Maps::new(context, config.bottleneck)?,
            head: Head::new(&context.scope, inputs, config.hidden, config.dropout, context.classes)?,
        })
    }
}

impl Fusion for Autoencoder {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let filled = fill_in(encodings, |from, to| self.maps.map(encodings, from, to))?;
        let (fused, logits) = self.head.forward(&Tensor::cat(&filled, 1)?, mode)?;
        let mut output = FusionOutput::new(fused, logits);
        if mode.is_train()
            && let Some(error) = reconstruction(&self.maps.on_pairs(encodings)?)?
        {
            output.aux.push(("reconstruction", (error * self.reconstruction)?));
        }
        Ok(output)
    }
}
