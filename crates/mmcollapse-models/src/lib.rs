//! What learns: encoders, fusion, reallocation, substitution and the one training loop.
//!
//! A cell is one training run of one method on one seed: [`CellConfig`] says which, [`run_cell`] trains and
//! scores it, [`CellOutcome`] is what comes out. Methods are found by name in the registry slices
//! ([`ENCODERS`], [`FUSIONS`], [`REALLOCATIONS`], [`SUBSTITUTIONS`]); a new one is a file and a line there.

mod cell;
mod config;
mod diagnosis;
pub mod encoders;
mod error;
mod evaluate;
pub mod fusion;
mod model;
pub mod reallocation;
pub mod registry;
mod rows;
pub mod substitution;
pub mod training;
mod upweight;

#[cfg(test)]
mod tests;

pub use cell::{
    AS_TESTED, CellOutcome, Findings, Folders, MULTIMODAL, Observer, Silent, UNIMODAL, check_cell, outline, run_cell,
};
pub use config::{CellConfig, MethodConfig, Training, revision};
pub use diagnosis::{Diagnosis, ModalityDiagnosis};
pub use encoders::ENCODERS;
pub use error::ModelError;
pub use fusion::FUSIONS;
pub use mmcollapse_record::{Protocol, Score, Split, Status, UpweightMode};
pub use model::{Model, ModelSpec};
pub use reallocation::REALLOCATIONS;
pub use substitution::SUBSTITUTIONS;
pub use upweight::UpweightConfig;
