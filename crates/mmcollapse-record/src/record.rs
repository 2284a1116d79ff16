//! A finished run with its place in an experiment: what tables and figures are made of.

use crate::{Outcome, Protocol, RowId, Setting};

/// A finished run with its place in an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Row of the experiment's table.
    pub row: RowId,
    /// Protocol and label under which its numbers stand.
    pub setting: Setting,
    /// The protocol with its parameters.
    pub protocol: Protocol,
    /// The modalities that the model has, in order; empty for all of the data set.
    pub modalities: Vec<String>,
    /// SHA-256 of its resolved configuration, as 64 hex digits.
    pub config: String,
    /// Key of its cell, as 64 hex digits.
    pub key: String,
    /// Seed; runs of equal seed share splits, masks and noise, so comparisons are paired by it.
    pub seed: u64,
    /// What came out.
    pub outcome: Outcome,
}

impl Record {
    /// The level that it was trained at; none where one training is scored at several.
    pub fn trained_level(&self) -> Option<f64> {
        self.protocol.trained_level(self.modalities.len())
    }

    /// All levels that it is scored at.
    pub fn levels(&self) -> Vec<f64> {
        self.protocol.levels(self.modalities.len())
    }
}
