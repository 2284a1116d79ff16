//! What learns: encoders, fusion, reallocation, balancing, substitution and the one training loop.
//!
//! A cell is one training run of one method on one seed: [`CellConfig`] says which, [`run_cell`] trains and
//! scores it, [`CellOutcome`] is what comes out. Methods are found by name in the registry slices
//! ([`ENCODERS`], [`FUSIONS`], [`REALLOCATIONS`], [`BALANCINGS`], [`SUBSTITUTIONS`]); a new one is a file and a line there.

pub mod balancing;
mod branch;
mod cell;
mod config;
mod diagnosis;
pub mod encoders;
mod encodings;
mod error;
mod evaluate;
pub mod fusion;
mod manipulation;
mod method;
mod model;
mod multimodal;
mod noise;
mod observer;
mod polysemanticity;
mod predictions;
mod protocol;
pub mod reallocation;
pub mod registry;
mod resolve;
mod revision;
mod rows;
pub mod substitution;
pub mod training;
mod upweight;

#[cfg(test)]
mod tests;

pub use balancing::BALANCINGS;
pub use cell::{
    AS_TESTED, Asked, CellOutcome, Condition, Conditions, Given, MULTIMODAL, UNIMODAL, check_cell, is_exported,
    outline, run_cell,
};
pub use config::CellConfig;
pub use encoders::ENCODERS;
pub use encodings::{Encodings, Latent, Sequence};
pub use error::ModelError;
pub use fusion::FUSIONS;
pub use method::MethodConfig;
pub use mmcollapse_record::{Findings, Protocol, Score, Split, Status, UpweightMode};
pub use model::{Model, ModelSpec};
pub use observer::{Observer, Silent};
pub use reallocation::REALLOCATIONS;
pub use revision::revision;
pub use substitution::SUBSTITUTIONS;
pub use training::Training;
pub use upweight::UpweightConfig;
