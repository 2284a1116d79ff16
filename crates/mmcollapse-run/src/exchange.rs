//! A method of another program beside the rows of an experiment: what its model is given, and what it predicts.
//!
//! ```text
//! plan --write--> index.json, arrays, masks of every seed --another program--> predictions
//! predictions --check--> records, as those of cells
//! ```
//!
//! All rows of an experiment share splits, masks and noise. What each training of the plan gives its models is given to the other
//! program, and its predictions are scored by what scores a cell.

mod check;
mod suspicion;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeSet;

use miette::{Diagnostic, IntoDiagnostic, Result, WrapErr, miette};
use mmcollapse_data::{Dataset, LoadOptions, Presence};
use mmcollapse_files::sha256;
use mmcollapse_models::{Asked, CellConfig, Condition, Given, is_exported};
use mmcollapse_nn::random::Stream;
use mmcollapse_record::{Protocol, Setting, Split};
use thiserror::Error;

pub use check::{Refused, Scored, scored};
pub use write::{INDEX, Written, write};

use crate::plan::Plan;

/// Predictions of another program cannot stand beside this experiment.
#[derive(Debug, Error, Diagnostic)]
#[error(
    "{experiment}: protocol `{protocol}` cannot be exported: it acts inside the model, or compares several models or data sets"
)]
#[diagnostic(help(
    "protocols test_missing, train_availability, train_noise and missing act on the data alone; `mmcollapse list NAME` \
                   prints the protocols of an experiment"
))]
struct NotExported {
    experiment: String,
    protocol: String,
}

/// One training of a plan at one seed, whichever row's.
pub(crate) struct Training {
    /// `test_missing`, or with the level that it is trained at, `train_availability/0.95`.
    name: String,
    setting: Setting,
    protocol: Protocol,
    modalities: Vec<String>,
    seed: u64,
    /// Of one of the rows; what is given does not depend on which.
    config: CellConfig,
    /// Digest of the data that the plan was made with.
    data: String,
}

/// The trainings of a plan, by seed, then in the plan's order.
fn trainings(plan: &Plan) -> Result<Vec<Training>> {
    let mut found: Vec<Training> = Vec::new();
    let mut known = BTreeSet::new();
    for planned in &plan.cells {
        let kind = planned.setting.protocol;
        if !is_exported(kind) {
            return Err(NotExported {
                experiment: plan.experiment.clone(),
                protocol: kind.to_string(),
            }
            .into());
        }
        let name = match planned.protocol.trained_level(planned.modalities.len()) {
            Some(level) => format!("{}/{level}", planned.setting),
            None => planned.setting.to_string(),
        };
        if known.insert((planned.seed, name.clone())) {
            found.push(Training {
                name,
                setting: planned.setting.clone(),
                protocol: planned.protocol.clone(),
                modalities: planned.modalities.clone(),
                seed: planned.seed,
                config: serde_json::from_value(planned.cell.config.clone())
                    .into_diagnostic()
                    .wrap_err_with(|| planned.label())?,
                data: planned.cell.data_digest.clone(),
            });
        }
    }
    // A stable sort: within a seed the order is the plan's.
    found.sort_by_key(|training| training.seed);
    Ok(found)
}

/// Loads the data set of a training, which is to be that of the plan.
fn load(training: &Training, options: &LoadOptions) -> Result<Dataset> {
    let options = LoadOptions {
        seed: training.seed,
        ..*options
    };
    let name = &training.config.dataset;
    let dataset = mmcollapse_data::find(name)?.load(&options)?;
    if dataset.digest != training.data {
        mmcollapse_data::digests::forget(name, training.seed);
        return Err(miette!(
            help = "the kept digest is dropped: start the command again",
            "the data set `{name}` of seed {} is not that of the plan: its digest is {}, expected {}",
            training.seed,
            dataset.digest,
            training.data
        ));
    }
    Ok(dataset)
}

/// What a training gives its model, as it is exported.
struct Offer<'a> {
    training: &'a Training,
    given: Given<'a>,
    /// The exported test sample at place k is the data set's sample `order[k]`.
    order: Vec<usize>,
}

impl<'a> Offer<'a> {
    fn of(training: &'a Training, dataset: &'a Dataset) -> Result<Self> {
        let given = Given::of(&training.config, dataset)?;
        let order = order(training.seed, given.dataset.test.len());
        Ok(Self { training, given, order })
    }

    /// What a condition is called within its training: `test`, `complete`, `only_image`, `validation`; with the level where one
    /// training is tested at several.
    fn what(&self, condition: &Condition) -> String {
        let asked = match &condition.asked {
            Asked::AsTested(Split::Test) => "test".to_owned(),
            Asked::AsTested(_) => "validation".to_owned(),
            Asked::Complete => "complete".to_owned(),
            Asked::Only(modality) => format!("only_{modality}"),
        };
        let at_levels =
            matches!(condition.asked, Asked::AsTested(_)) && self.training.setting.protocol.is_trained_once();
        if at_levels {
            format!("{asked}_{}", condition.level)
        } else {
            asked
        }
    }

    /// Its name in a file of predictions.
    fn name(&self, condition: &Condition) -> String {
        format!("{}/{}", self.training.name, self.what(condition))
    }

    /// Digest of all that decides what may be predicted under a condition: data, masks of training and of the condition.
    fn digest(&self, condition: &Condition) -> String {
        let masks = [&self.given.train, &self.given.validation, &condition.seen].map(bits);
        let masks = masks.map(sha256).join("\n");
        sha256(format!(
            "{}\n{masks}\n{}",
            self.given.dataset.digest,
            self.name(condition)
        ))
    }

    /// The exported places of the samples that a condition asks of, in the condition's order.
    fn places(&self, condition: &Condition) -> Vec<usize> {
        let rows = condition.rows();
        if condition.split() != Split::Test {
            return rows;
        }
        let mut places = vec![0; self.order.len()];
        for (place, row) in self.order.iter().enumerate() {
            places[*row] = place;
        }
        rows.into_iter().map(|row| places[row]).collect()
    }
}

/// The order of exported test samples. Data sets come class by class, so that the place of a sample would tell its label.
fn order(seed: u64, n: usize) -> Vec<usize> {
    Stream::new(seed, "export/test order").permutation(n)
}

/// A mask as numbers 0 and 1, `[samples, modalities]`.
fn bits(presence: &Presence) -> Vec<u8> {
    let of_sample = |i: usize| (0..presence.modalities()).map(move |m| u8::from(presence.get(i, m)));
    (0..presence.len()).flat_map(of_sample).collect()
}

/// Whether one training of the protocol is tested at several levels, or the condition is what the protocol itself scores.
fn is_required(condition: &Condition) -> bool {
    condition.asked == Asked::AsTested(Split::Test)
}
