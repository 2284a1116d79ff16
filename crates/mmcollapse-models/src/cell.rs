//! A cell: one training run, what it is told, and what it leaves.

#[cfg(test)]
mod absent;
mod check;
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

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{diagnosis::Diagnosis, training::EpochRecord};

pub use check::{check_cell, outline};
pub(crate) use run::Facts;
pub use run::{Folders, MULTIMODAL, UNIMODAL, run_cell};

/// Metric of the validation quality with what the protocol leaves of a test sample: what settings are chosen by.
pub const AS_TESTED: &str = "as_tested";

/// Told of every epoch, and asked whether to go on.
pub trait Observer {
    /// An epoch of a fit (from 0) is over; `losses` are its means.
    fn epoch(&mut self, fit: &str, epoch: usize, epochs: usize, losses: &[(&str, f64)]);

    /// Something worth telling, such as a damaged file that is made again.
    fn note(&mut self, _text: &str) {}

    /// Whether to stop after this epoch; a checkpoint is written first.
    fn should_stop(&self) -> bool {
        false
    }
}

/// An observer that does nothing.
pub struct Silent;

impl Observer for Silent {
    fn epoch(&mut self, _: &str, _: usize, _: usize, _: &[(&str, f64)]) {}
}

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

/// Whether training went through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Status {
    /// It did.
    Ok,
    /// A finding about the method: it was stopped, scored as it stood, and is counted in the tables.
    Diverged {
        /// What was seen.
        reason: String,
        /// Epoch at which it was seen.
        epoch: usize,
    },
}

/// One measured number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Name of the protocol.
    pub protocol: String,
    /// The protocol's level: share of samples that lack the modality at test or in training, share with noise, beta, or the
    /// number of modalities; 0 where there is none.
    pub rate: f64,
    /// `validation` or `test`; `train` for losses.
    pub split: String,
    /// `accuracy` is the protocol's own score; `accuracy_only_X` keeps modality X alone, in the samples that have it,
    /// `accuracy_complete` all. Where there are two classes there are `auroc`, `auprc` (trapezoid), `average_precision`,
    /// `brier` and `calibration_error` as well, and `auroc_only_X` and `auroc_complete` instead.
    /// On the validation split `accuracy` (`auroc`) is with what the protocol leaves there, and [`AS_TESTED`] as at test.
    /// `loss_X` is the mean of a loss term over the last epoch of the model's training.
    pub metric: String,
    /// A share in [0, 1]; of a loss, nats.
    pub value: f64,
    /// Samples it was measured on.
    pub n: usize,
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
