//! Fusion: how the encodings of the modalities meet, and the classifier on top.

mod concat;
mod late_fusion;
mod shaspec;

use mmcollapse_nn::{Mode, Result as TensorResult, Scope, Tensor, ops::softmax_cross_entropy};

use crate::{
    config::MethodConfig,
    error::Result,
    model::Encodings,
    registry::{Entry, Options, find},
};

/// What a fusion returns for a batch.
pub struct FusionOutput {
    /// The fused representation `[batch, fused width]` that the head reads.
    pub fused: Tensor,
    /// `[batch, classes]`.
    pub logits: Tensor,
    /// Per modality the logits `[batch, classes]` of its own head, for fusions that have such heads.
    pub unimodal: Vec<Tensor>,
    /// The fusion's own loss terms, already weighted, by name.
    pub aux: Vec<(&'static str, Tensor)>,
}

/// An operator phi with its head.
pub trait Fusion {
    /// Encodings to logits. Rows of absent modalities are zero and marked in `encodings.present`.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput>;

    /// L_sem of a batch: cross-entropy of the multimodal prediction, unless the fusion is trained otherwise.
    ///
    /// # Errors
    /// A label outside the classes.
    fn semantic_loss(&self, output: &FusionOutput, _encodings: &Encodings, labels: &[u32]) -> TensorResult<Tensor> {
        softmax_cross_entropy(&output.logits, labels)
    }
}

/// What a fusion is made from.
pub struct FusionContext<'a> {
    /// Modality names in order.
    pub modalities: &'a [String],
    /// Encoding width of each.
    pub widths: &'a [usize],
    /// Number of classes.
    pub classes: usize,
    /// Where its variables go.
    pub scope: Scope,
}

/// Constructor of a fusion.
pub type Builder = fn(&Options, &FusionContext) -> Result<Box<dyn Fusion>>;

/// Every fusion, in the order of `mmcollapse list methods`.
pub static FUSIONS: &[Entry<Builder>] = &[late_fusion::ENTRY, concat::ENTRY, shaspec::ENTRY];

/// Makes the fusion that `config` names.
///
/// # Errors
/// Unknown name, refused options.
pub fn build(config: &MethodConfig, context: &FusionContext) -> Result<Box<dyn Fusion>> {
    (find("fusion", FUSIONS, &config.method)?.build)(&config.options, context)
}
