//! Whether a modality of a trained model has collapsed, and why.
//!
//! From arrays that a model wrote ([`Input`]) come a verdict on each modality ([`rule`]), the measures that tell why, and
//! what to try ([`diagnose`]). Nothing is trained but linear probes; the model itself is not needed.

mod advice;
mod contribution;
mod diagnosis;
mod doubts;
mod error;
mod features;
mod fitted;
pub mod html;
mod input;
mod outputs;
pub mod planted;
mod plot;
mod pool;
mod probe;
mod resample;
mod rows;
pub mod rule;
mod sheets;
mod structure;
pub mod terminal;

pub use diagnosis::{Diagnosis, ModalityFindings, SCHEMA, diagnose};
pub use error::{DiagnoseError, Result};
pub use features::Features;
pub use input::{Input, Modality};
pub use resample::Estimated;
pub use structure::{Neurons, Structure};

/// How a model is diagnosed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Of the split, the bootstrap and all permutations.
    pub seed: u64,
    /// Draws of the bootstrap.
    pub resamples: usize,
    /// Permutations of the labels.
    pub permutations: usize,
    /// Most samples that probes are fitted to; by default as many as take seconds.
    pub fit_rows: Option<usize>,
    /// Most samples that evaluate.
    pub evaluate_rows: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            resamples: 2_000,
            permutations: 1_000,
            fit_rows: None,
            evaluate_rows: 20_000,
        }
    }
}
