//! The encodings of a batch, on their way from the encoders to the fusion.

use mmcollapse_data::Presence;
use mmcollapse_nn::Tensor;

/// The encodings of a batch, as the fusion sees them.
pub struct Encodings {
    /// Per modality `[batch, width]`; the row of a sample without the modality is zero.
    pub z: Vec<Tensor>,
    /// Per modality the reallocated latents g `[rows, latent]` of the samples that have it, where there are any.
    pub latents: Vec<Option<Latent>>,
    /// Which rows of `z` stand for a modality that is there (or was stood in for).
    pub present: Presence,
}

/// Latents of the samples of a batch that have a modality.
pub struct Latent {
    /// Positions in the batch.
    pub rows: Vec<usize>,
    /// `[rows.len(), latent]`.
    pub g: Tensor,
    /// `[rows.len(), width]`, what the encoder gave.
    pub encoded: Tensor,
}
