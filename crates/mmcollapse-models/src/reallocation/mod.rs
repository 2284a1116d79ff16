//! Reallocation: what is done to the encoders so that fusion does not collapse onto some of them.
//!
//! A method may transform encodings, add losses, cycle through phases of an epoch schedule, and ask for stages
//! (trainings) before the last one. All of that is data for the one loop in `training`.

mod ebr;
mod kd;
mod none;
mod only;

use mmcollapse_nn::{Mode, Result as TensorResult, Scope, Tensor};

pub use kd::{Distillation, TeacherOrder};

use crate::{
    config::{MethodConfig, Training},
    error::Result,
    model::Encodings,
    registry::{Entry, Options, find},
};

/// What becomes of one modality's encoding.
pub struct Reallocated {
    /// What the fusion sees, `[rows, width of the encoder]`.
    pub encoding: Tensor,
    /// The latent g that the modalities share, `[rows, latent]`, where there is one.
    pub latent: Option<Tensor>,
}

/// Which losses an epoch follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Name in the history.
    pub name: &'static str,
    /// Epochs before the next phase of the cycle.
    pub epochs: usize,
    /// Whether L_sem and the fusion's own losses are descended.
    pub semantic: bool,
    /// Whether the reallocation's losses are followed.
    pub reallocation: bool,
}

/// The usual phase: everything at once.
pub const JOINT: Phase = Phase {
    name: "joint",
    epochs: 1,
    semantic: true,
    reallocation: true,
};

/// One training of a cell. They run in order; the last is always the multimodal model that is scored.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// Each modality's encoder with a linear head on its own samples: baselines and teachers.
    Unimodal,
    /// The model without reallocation, and what it does with each modality.
    Diagnosis,
    /// A fresh encoder for the modality that collapsed, taught by the others.
    Distillation(Distillation),
    /// The model itself.
    Multimodal {
        /// Whether the distilled encoder's weights are kept as they are.
        freeze_distilled: bool,
    },
}

/// Where training stands, for losses whose weight moves.
pub struct Progress<'a> {
    /// Epoch of this stage, from 0.
    pub epoch: usize,
    /// Epochs of this stage.
    pub epochs: usize,
    /// Mean L_sem of each epoch so far.
    pub semantic: &'a [f64],
}

/// A way to bring the modalities' encodings together.
pub trait Reallocation {
    /// One modality's encoding `[rows, width]` to what the fusion sees.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn transform(&self, modality: usize, z: &Tensor, mode: Mode) -> TensorResult<Reallocated>;

    /// Loss terms of its own, already weighted, by name.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn losses(&self, _encodings: &Encodings, _progress: &Progress) -> TensorResult<Vec<(&'static str, Tensor)>> {
        Ok(Vec::new())
    }

    /// The encoding of `modality` made from another modality's latent `[rows, latent]`, if the method can.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn decode(&self, _modality: usize, _latent: &Tensor) -> TensorResult<Option<Tensor>> {
        Ok(None)
    }

    /// The cycle of phases of the multimodal stage.
    fn phases(&self) -> Vec<Phase> {
        vec![JOINT]
    }

    /// What is trained, in order.
    fn stages(&self) -> Vec<Stage> {
        vec![Stage::Multimodal {
            freeze_distilled: false,
        }]
    }

    /// How the multimodal stage is trained, given how the cell says it is.
    fn training(&self, cell: &Training) -> Training {
        cell.clone()
    }

    /// Names (prefixes) of variables that take their own learning-rate factor, and that factor.
    fn rate_factor(&self) -> Option<(&'static str, f64)> {
        None
    }
}

/// What a reallocation is made from.
pub struct ReallocationContext<'a> {
    /// Modality names in order.
    pub modalities: &'a [String],
    /// Encoding width of each.
    pub widths: &'a [usize],
    /// Where its variables go.
    pub scope: Scope,
}

/// How a reallocation is made, and which substitution belongs to it.
pub struct Builder {
    /// The substitution that `auto` stands for.
    pub substitution: &'static str,
    /// Constructor.
    pub make: fn(&Options, &ReallocationContext) -> Result<Box<dyn Reallocation>>,
}

/// Every reallocation, in the order of `mmcollapse list methods`.
pub static REALLOCATIONS: &[Entry<Builder>] = &[none::ENTRY, kd::ENTRY, ebr::ENTRY, only::ENTRY];

/// Makes the reallocation that `config` names.
///
/// # Errors
/// Unknown name, refused options.
pub fn build(config: &MethodConfig, context: &ReallocationContext) -> Result<Box<dyn Reallocation>> {
    (find("reallocation", REALLOCATIONS, &config.method)?.build.make)(&config.options, context)
}
