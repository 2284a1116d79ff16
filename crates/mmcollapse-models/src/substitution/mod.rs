//! Substitution: what stands in for a missing modality at evaluation.

mod latent;
mod none;

use mmcollapse_nn::Result as TensorResult;
use mmcollapse_probes::Matrix;

use crate::{
    config::MethodConfig,
    error::Result,
    model::Encodings,
    reallocation::Reallocation,
    registry::{Entry, Options, find},
};

/// Latents of samples on which a ranking of the modalities is made.
pub struct LatentSamples {
    /// Per modality `[n, width]` over the same n samples, which have all modalities.
    pub latents: Vec<Matrix>,
    /// The modality with the highest accuracy alone.
    pub strongest: usize,
}

/// A way to fill in the encodings of missing modalities.
pub trait Substitution {
    /// Learns, after training and never on test, what it needs (a ranking of modalities).
    fn fit(&mut self, _samples: &LatentSamples) {}

    /// Fills in what is missing and marks it present.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn stand_in(&self, encodings: &mut Encodings, reallocation: &dyn Reallocation) -> TensorResult<()>;
}

/// Constructor; the number is that of the modalities.
pub type Builder = fn(&Options, usize) -> Result<Box<dyn Substitution>>;

/// Every substitution, in the order of `mmcollapse list methods`.
pub static SUBSTITUTIONS: &[Entry<Builder>] = &[none::ENTRY, latent::ENTRY];

/// Makes the substitution that `config` names.
///
/// # Errors
/// Unknown name, refused options.
pub fn build(config: &MethodConfig, modalities: usize) -> Result<Box<dyn Substitution>> {
    (find("substitution", SUBSTITUTIONS, &config.method)?.build)(&config.options, modalities)
}
