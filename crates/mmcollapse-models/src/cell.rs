//! A cell: one training run, what it is told, and what it leaves.

#[cfg(test)]
mod absent;
mod check;
mod checkpoint;
#[cfg(test)]
mod damaged;
#[cfg(test)]
mod levels;
mod measures;
mod noise;
mod patterns;
mod probing;
#[cfg(test)]
mod records;
mod run;
mod scoring;
mod shared;
mod stages;
#[cfg(test)]
mod tokens;

use std::collections::BTreeMap;

use mmcollapse_record::{Score, Status};
use serde::{Deserialize, Serialize};

use crate::{diagnosis::Diagnosis, training::EpochRecord};

pub use check::{check_cell, outline};
pub(crate) use run::Facts;
pub use run::{Folders, MULTIMODAL, UNIMODAL, run_cell};

/// Metric of the validation quality with what the protocol leaves of a test sample: what settings are chosen by.
pub const AS_TESTED: &str = "as_tested";

/// What a cell leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellOutcome {
    /// Whether training went through.
    pub status: Status,
    /// What was measured.
    pub scores: Vec<Score>,
    /// Seconds of training and scoring, over all sessions of an interrupted cell.
    pub seconds: f64,
    /// Trained parameters of the multimodal model.
    pub parameters: usize,
    /// What was found out on the way.
    pub diagnosis: Findings,
    /// Every epoch of every fit.
    pub history: Vec<EpochRecord>,
}

/// What a cell found out beside its scores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// What the vanilla model made of each modality, for methods that measure it.
    pub collapse: Option<Diagnosis>,
    /// Modality whose encoder was distilled.
    pub student: Option<String>,
    /// Validation accuracy (AUROC for two classes) of each modality alone, in the final model without stand-ins.
    pub alone: BTreeMap<String, f64>,
    /// Modality whose encoder has lost most against the same encoder trained alone, where that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eliminated: Option<String>,
}
