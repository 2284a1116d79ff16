//! A cell: one training run, what it is told, and what it leaves.

#[cfg(test)]
mod absent;
mod asked;
mod check;
mod checkpoint;
#[cfg(test)]
mod damaged;
mod given;
#[cfg(test)]
mod levels;
mod manipulation;
mod measures;
mod mechanism;
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

use mmcollapse_record::{Findings, Score, Status};
use serde::{Deserialize, Serialize};

use crate::training::EpochRecord;

pub use asked::{Asked, Condition};
pub use check::{check_cell, outline};
pub use given::{Given, is_exported};
pub(crate) use mechanism::REVISION as LAYER_REVISION;
pub(crate) use run::Facts;
pub use run::{Conditions, MULTIMODAL, UNIMODAL, run_cell};

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
    /// Revisions of the measures it has beyond those of its protocol at revision 0; see `mmcollapse_record::Outcome`.
    pub measured: BTreeMap<String, u32>,
    /// Share of each fusion neuron that a group of features holds, by the name of its curve, where it was asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub neurons: BTreeMap<String, Vec<f64>>,
    /// File of the final weights among the shared fits.
    pub weights: Option<String>,
}
