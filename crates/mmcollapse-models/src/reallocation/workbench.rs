//! Where a reallocation trains what the model needs before its own training.

use std::collections::BTreeMap;

use mmcollapse_data::Presence;
use mmcollapse_files::sha256;
use mmcollapse_nn::{Params, Tensor, safetensors};
use mmcollapse_record::Diagnosis;
use serde_json::Value;

use crate::{
    branch::Branch,
    encoders::Encoder,
    error::{ModelError, Result},
    method::MethodConfig,
    training::{Objective, Training},
};

/// What a cell offers to a method that trains something first. An interrupted cell asks again for all of it, and gets at
/// once what was finished.
pub trait Workbench {
    /// Modality names in order.
    fn modalities(&self) -> &[String];

    /// The cell's seed.
    fn seed(&self) -> u64;

    /// How the cell trains.
    fn training(&self) -> &Training;

    /// Which training sample has which modality.
    fn available(&self) -> &Presence;

    /// The training samples' labels.
    fn labels(&self) -> &[u32];

    /// The error that says why this data set will not do.
    fn unfit(&self, reason: String) -> ModelError;

    /// Trains each modality's encoder alone; the quality of each on validation, none where it is not defined.
    ///
    /// # Errors
    /// See [`crate::run_cell`].
    fn alone(&mut self) -> Result<&[Option<f64>]>;

    /// Trains each modality alone and the model without reallocation and balancing; of each modality and, last, of that model,
    /// what its cross-entropy was before and after.
    ///
    /// # Errors
    /// See [`crate::run_cell`].
    fn learnt(&mut self) -> Result<Vec<Learnt>>;

    /// Trains the vanilla model and measures which modality it lets collapse.
    ///
    /// # Errors
    /// See [`crate::run_cell`].
    fn diagnosis(&mut self) -> Result<Diagnosis>;

    /// The modality called `named` or, without a name, the one that the vanilla model lets collapse.
    ///
    /// # Errors
    /// See [`crate::run_cell`]; there is no such modality, or validation cannot tell which collapses.
    fn student(&mut self, named: Option<&str>) -> Result<usize>;

    /// Trains the cell's model with another reallocation, and keeps its weights under the name `kept`.
    ///
    /// # Errors
    /// See [`crate::run_cell`].
    fn train_with(&mut self, reallocation: &MethodConfig, kept: &str) -> Result<()>;

    /// Trains the cell's model with another reallocation, and returns the phases of its epochs.
    ///
    /// # Errors
    /// See [`crate::run_cell`].
    fn phases_of(&mut self, reallocation: &MethodConfig) -> Result<Vec<String>>;

    /// Parameters that start as those of equal names in the model.
    fn params(&self) -> Params;

    /// A modality's encoder and linear head with fresh weights, by the names they have in the whole model.
    ///
    /// # Errors
    /// See [`crate::run_cell`].
    fn branch(&self, modality: usize) -> Result<Branch>;

    /// A modality's encoder as [`Workbench::alone`] trained it.
    ///
    /// # Errors
    /// See [`crate::run_cell`].
    fn trained_alone(&self, modality: usize) -> Result<Branch>;

    /// `[rows, width]`, a frozen encoder's encodings of training samples that have its modality.
    ///
    /// # Errors
    /// A tensor operation failed.
    fn encodings(&self, encoder: &dyn Encoder, modality: usize, rows: &[usize]) -> Result<Tensor>;

    /// Trains, unless another cell has trained the same, and keeps the weights.
    ///
    /// # Errors
    /// See [`crate::run_cell`].
    fn train(&mut self, preparation: &Preparation) -> Result<()>;

    /// Whether weights are kept under this name.
    fn has(&self, kept: &str) -> bool;

    /// Puts kept weights into `params`, which must have all of them.
    ///
    /// # Errors
    /// Names or shapes that do not fit.
    fn install(&self, kept: &str, params: &Params) -> Result<()>;

    /// Drops kept weights.
    fn forget(&mut self, kept: &str);
}

/// Cross-entropies in nats on training and on validation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learnt {
    /// With fresh weights.
    pub before: [f64; 2],
    /// With trained ones.
    pub after: [f64; 2],
}

/// Where the weights of the encoders trained alone are kept.
pub(crate) const ALONE: &str = "unimodal";

/// A training before that of the model.
pub struct Preparation<'a> {
    /// Name in history and random streams.
    pub name: String,
    /// What is trained, with its initial weights.
    pub params: &'a Params,
    /// What is descended.
    pub(crate) objective: &'a dyn Objective,
    /// How.
    pub training: Training,
    /// The modalities that are seen.
    pub modalities: &'a [usize],
    /// The training samples that take part.
    pub samples: &'a [usize],
    /// Whatever else decides its result: cells that share it train it once.
    pub decided_by: Value,
    /// Prefix of what only its loss uses, which is not kept.
    pub discarded: Option<&'static str>,
    /// Name under which the weights are kept.
    pub keep: &'a str,
}

/// The digest of weights and buffers.
pub(crate) fn digest(state: &BTreeMap<String, Tensor>) -> Result<String> {
    Ok(sha256(&safetensors::to_bytes(state, &BTreeMap::new())?))
}

/// The place of the modality called `name`, or why there is none.
pub(crate) fn named(modalities: &[String], name: &str) -> std::result::Result<usize, String> {
    modalities.iter().position(|modality| modality == name).ok_or_else(|| {
        format!(
            "there is no modality `{name}` to be the student; there are {}",
            modalities.join(", ")
        )
    })
}
