//! What is asked of a trained model: samples, with the modalities that are left to each.
//!
//! A cell is scored by these conditions, and so are predictions that another program made of the same samples.

use mmcollapse_data::{Presence, Samples};
use mmcollapse_record::Split;

use super::{
    AS_TESTED,
    scoring::{FEWEST, Measure},
};
use crate::{config::CellConfig, predictions::Predictions, protocol};

/// Which modalities are left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Those that the protocol leaves at test, of these samples.
    AsTested(Split),
    /// All that a test sample has.
    Complete,
    /// The one of this name, of the test samples that have it.
    Only(String),
}

/// Samples of which a model is asked, and what it sees of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Which modalities are left.
    pub asked: Asked,
    /// The protocol's level at which its scores stand.
    pub level: f64,
    /// The samples of the split that are asked of; none for all.
    pub rows: Option<Vec<usize>>,
    /// What is left to each sample of the split, asked of or not.
    pub seen: Presence,
}

impl Condition {
    /// The split that its samples are of.
    pub fn split(&self) -> Split {
        match self.asked {
            Asked::AsTested(split) => split,
            Asked::Complete | Asked::Only(_) => Split::Test,
        }
    }

    /// The samples that are asked of, in their order.
    pub fn rows(&self) -> Vec<usize> {
        self.rows.clone().unwrap_or_else(|| (0..self.seen.len()).collect())
    }

    /// What is left to the samples that are asked of.
    pub fn present(&self) -> Presence {
        match &self.rows {
            None => self.seen.clone(),
            Some(rows) => self.seen.select(rows),
        }
    }

    /// What is measured on the predictions; `quality` is the measure of [`Predictions::quality`].
    pub(super) fn measures(&self, quality: &str, predictions: &Predictions) -> Vec<Measure> {
        let n = self.rows.as_ref().map_or(self.seen.len(), Vec::len);
        let measure = |name: &str, value: Option<f64>| Measure {
            name: name.to_owned(),
            value,
            n,
        };
        match &self.asked {
            Asked::AsTested(Split::Test) => {
                let mut measures = vec![measure("accuracy", predictions.accuracy())];
                let of_two = predictions.binary_measures().into_iter();
                measures.extend(of_two.map(|(name, value)| measure(name, value)));
                measures
            }
            Asked::AsTested(_) => vec![measure(AS_TESTED, predictions.quality())],
            Asked::Complete => vec![measure(&format!("{quality}_complete"), predictions.quality())],
            Asked::Only(name) => vec![measure(&format!("{quality}_only_{name}"), predictions.quality())],
        }
    }
}

/// What the protocol asks of the samples of a split at each level that it is scored at.
pub(super) fn as_tested(config: &CellConfig, weak: Option<usize>, samples: &Samples, split: Split) -> Vec<Condition> {
    let asked = protocol::asked(config, weak, samples, split.as_str()).into_iter();
    let condition = |(level, seen)| Condition {
        asked: Asked::AsTested(split),
        level,
        rows: None,
        seen,
    };
    asked.map(condition).collect()
}

/// What is asked of the test samples beside it: with all that they have, and with each modality alone.
pub(super) fn beside(level: f64, modalities: &[String], test: &Samples) -> Vec<Condition> {
    let mut conditions = vec![Condition {
        asked: Asked::Complete,
        level,
        rows: None,
        seen: test.present.clone(),
    }];
    for (modality, name) in modalities.iter().enumerate() {
        let rows = test.present.rows(modality);
        if rows.len() >= FEWEST {
            conditions.push(Condition {
                asked: Asked::Only(name.clone()),
                level,
                rows: Some(rows),
                seen: test.present.only(&[modality]),
            });
        }
    }
    conditions
}

/// Where the scores stand of what is measured with all modalities: the level of the training, or 0 where that serves several.
pub(super) fn trained_level(config: &CellConfig, modalities: usize) -> f64 {
    config.protocol.trained_level(modalities).unwrap_or_default()
}

/// The measure of [`Predictions::quality`].
pub(super) fn quality(classes: usize) -> &'static str {
    if classes == 2 { "auroc" } else { "accuracy" }
}
