//! What EBR puts between an encoder and the fusion.

use mmcollapse_nn::{Result as TensorResult, Scope, Tensor, layers::LayerNorm};

use super::{Config, parts::TwoLayers};
use crate::{error::Result, reallocation::Reallocated};

/// Head, norm and decoder of one modality.
pub(super) struct Layers {
    head: TwoLayers,
    /// What is done to the latents.
    norm: Option<LayerNorm>,
    pub decoder: TwoLayers,
}

impl Layers {
    /// Of the modality `name`, whose encoder gives `width` numbers.
    pub fn new(config: &Config, scope: &Scope, name: &str, width: usize) -> Result<Self> {
        let (hidden, latent) = (config.hidden, config.latent);
        let of_norm = scope.pp("norm").pp(name);
        Ok(Self {
            head: TwoLayers::new(&scope.pp("head").pp(name), (width, hidden, latent), config.start)?,
            norm: match (config.latent_norm, config.norm_gain) {
                (false, _) => None,
                (true, true) => Some(LayerNorm::new(&of_norm, latent)?),
                (true, false) => Some(LayerNorm::without_gain(&of_norm, latent)?),
            },
            decoder: TwoLayers::new(&scope.pp("decoder").pp(name), (latent, hidden, width), config.start)?,
        })
    }

    /// Prefixes of the variables of the modality `name` in the whole model.
    pub fn paths(config: &Config, name: &str) -> Vec<String> {
        let has_gain = config.latent_norm && config.norm_gain;
        let parts = ["head", "decoder"].into_iter().chain(has_gain.then_some("norm"));
        parts.map(|part| format!("reallocation.{part}.{name}")).collect()
    }

    /// `[rows, width]` to what the fusion sees, `[rows, width]`, and the latent g, `[rows, latent]`.
    pub fn forward(&self, z: &Tensor) -> TensorResult<Reallocated> {
        let g = self.head.forward(z)?;
        let g = match &self.norm {
            Some(norm) => norm.forward(&g)?,
            None => g,
        };
        Ok(Reallocated {
            encoding: self.decoder.forward(&g)?,
            latent: Some(g),
        })
    }
}
