//! Checks predictions of another program against what was exported, and scores them as a cell scores its model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use miette::{Diagnostic, IntoDiagnostic, Result, WrapErr};
use mmcollapse_data::predictions::{Block, Predicted};
use mmcollapse_data::{Dataset, LoadOptions};
use mmcollapse_files::sha256;
use mmcollapse_models::{Asked, Condition};
use mmcollapse_record::{Findings, Outcome, Record, RowId, Split, Status};
use thiserror::Error;

use super::suspicion::Tallies;
use super::{Offer, is_required, load, trainings};
use crate::plan::Plan;

/// Names that an error lists before it counts the rest.
const LISTED: usize = 8;

/// How far the probabilities of a sample may be from a sum of 1: single precision and many classes.
const ROUNDING: f64 = 1e-3;

/// Predictions that cannot stand beside an experiment.
#[derive(Debug, Error, Diagnostic)]
#[error("{}: {what}", .path.display())]
pub struct Refused {
    path: PathBuf,
    /// What is wrong, where, expected and got.
    what: String,
    #[help]
    help: String,
}

/// Predictions as records.
#[derive(Clone, Debug)]
pub struct Scored {
    /// One a training and seed, as of cells.
    pub records: Vec<Record>,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Why test labels may have been used, if numbers say so.
    pub suspicion: Option<String>,
    /// Why the predictions may be of other samples, if numbers say so.
    pub doubt: Option<String>,
}

impl Scored {
    /// Number of seeds.
    pub fn seeds(&self) -> usize {
        self.records
            .iter()
            .map(|record| record.seed)
            .collect::<BTreeSet<_>>()
            .len()
    }
}

/// A file of predictions while it is checked.
struct Check<'a> {
    path: &'a Path,
    plan: &'a Plan,
    predicted: &'a Predicted,
}

/// Checks the predictions in a file against the export of a plan, and scores them as the row `row`. `baselines` are the rows that
/// they are to stand beside.
///
/// # Errors
/// A file that cannot be read, what is [`Refused`], data that cannot be had.
pub fn scored(plan: &Plan, path: &Path, row: &RowId, options: &LoadOptions, baselines: &[Record]) -> Result<Scored> {
    let predicted = Predicted::read(path)?;
    let bytes = std::fs::read(path)
        .into_diagnostic()
        .wrap_err_with(|| path.display().to_string())?;
    let sha256_of_file = sha256(&bytes);
    let check = Check {
        path,
        plan,
        predicted: &predicted,
    };
    let trainings = trainings(plan)?;
    let seeds = predicted.seeds();
    check.seeds(&seeds, &trainings.iter().map(|training| training.seed).collect())?;
    let mut loaded: Option<(String, u64, Dataset)> = None;
    let mut records = Vec::new();
    let mut tallies = Tallies::default();
    // Of each seed the conditions that were predicted, and those of their protocols that have to be.
    let mut done: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    let mut known: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    let mut wanted: BTreeMap<u64, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for training in trainings.iter().filter(|training| seeds.contains(&training.seed)) {
        let is_loaded = loaded
            .as_ref()
            .is_some_and(|(name, seed, _)| *name == training.config.dataset && *seed == training.seed);
        if !is_loaded {
            loaded = Some((training.config.dataset.clone(), training.seed, load(training, options)?));
        }
        let Some((.., dataset)) = &loaded else { continue };
        let offer = Offer::of(training, dataset)?;
        let mut scores = Vec::new();
        for condition in &offer.given.conditions {
            let name = offer.name(condition);
            known.entry(training.seed).or_default().insert(name.clone());
            if is_required(condition) {
                let of_protocol = wanted.entry(training.seed).or_default();
                of_protocol
                    .entry(training.setting.to_string())
                    .or_default()
                    .insert(name.clone());
            }
            let Some(block) = predicted.blocks.get(&(training.seed, name.clone())) else {
                continue;
            };
            done.entry(training.seed).or_default().insert(name);
            let rows = check.rows(&offer, condition, block)?;
            if let Asked::AsTested(split) = condition.asked
                && let Some(accuracy) = offer.given.accuracy(condition, &rows)
            {
                tallies.add(&training.setting, training.seed, split, accuracy, rows.len());
            }
            scores.extend(offer.given.scores(condition, rows)?);
        }
        if scores.iter().any(|score| score.split == Split::Test) {
            let key = sha256(format!("{sha256_of_file} {} {}", training.name, training.seed));
            records.push(Record {
                row: row.clone(),
                setting: training.setting.clone(),
                protocol: training.protocol.clone(),
                modalities: training.modalities.clone(),
                config: key.clone(),
                key,
                seed: training.seed,
                outcome: Outcome {
                    status: Status::Ok,
                    scores,
                    seconds: 0.0,
                    parameters: 0,
                    diagnosis: Findings::default(),
                    curves: BTreeMap::new(),
                    measured: BTreeMap::new(),
                    weights: None,
                },
            });
        }
    }
    check.conditions(&known)?;
    check.complete(&done, &wanted)?;
    Ok(Scored {
        suspicion: tallies.suspicion(baselines),
        doubt: tallies.doubt(),
        sha256: sha256_of_file,
        records,
    })
}

impl Check<'_> {
    fn refused(&self, what: String, help: impl Into<String>) -> Refused {
        Refused {
            path: self.path.to_owned(),
            what,
            help: help.into(),
        }
    }

    fn seeds(&self, got: &BTreeSet<u64>, planned: &BTreeSet<u64>) -> Result<(), Refused> {
        let unknown: Vec<u64> = got.difference(planned).copied().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let (first, last) = (planned.first().copied(), planned.last().copied());
        let range = first.zip(last).map_or_else(String::new, |(a, b)| format!("{a} to {b}"));
        Err(self.refused(
            format!(
                "seeds {} are not those of {} ({}), expected seeds among {range}",
                listed(unknown),
                self.plan.experiment,
                self.plan.preset
            ),
            "rows are compared seed by seed: predict exported seeds; `--seeds N` compares with as many seeds as were exported",
        ))
    }

    /// Whether each condition of the file is one of the export.
    fn conditions(&self, known: &BTreeMap<u64, BTreeSet<String>>) -> Result<(), Refused> {
        let none = BTreeSet::new();
        let is_unknown = |(seed, name): &&(u64, String)| !known.get(seed).unwrap_or(&none).contains(name);
        let Some((seed, name)) = self.predicted.blocks.keys().find(is_unknown) else {
            return Ok(());
        };
        let names = known.get(seed).unwrap_or(&none);
        Err(self.refused(
            format!("seed {seed}: condition `{name}` is not known"),
            format!(
                "the export has {}",
                names.iter().cloned().collect::<Vec<_>>().join(", ")
            ),
        ))
    }

    /// Whether all levels of a protocol that is predicted are, and each condition on every seed.
    fn complete(
        &self,
        done: &BTreeMap<u64, BTreeSet<String>>,
        wanted: &BTreeMap<u64, BTreeMap<String, BTreeSet<String>>>,
    ) -> Result<(), Refused> {
        let whole = "predict every condition that `index.json` calls required, of all protocols or of some, on every seed of the file";
        let any: BTreeSet<&String> = done.values().flatten().collect();
        for (seed, protocols) in wanted {
            let none = BTreeSet::new();
            let own = done.get(seed).unwrap_or(&none);
            let begins = |setting: &str| any.iter().any(|name| name.starts_with(&format!("{setting}/")));
            let required = protocols
                .iter()
                .filter(|(setting, _)| begins(setting))
                .flat_map(|(_, names)| names);
            let lacking: BTreeSet<&String> = required
                .chain(any.iter().copied())
                .filter(|name| !own.contains(*name))
                .collect();
            if !lacking.is_empty() {
                let is_required = |name: &&String| protocols.values().flatten().any(|of| of == *name);
                let help = if lacking.iter().any(is_required) {
                    whole
                } else {
                    "a condition that `index.json` does not call required is predicted on every seed of the file or on none"
                };
                return Err(self.refused(format!("seed {seed} lacks predictions of {}", listed(lacking)), help));
            }
        }
        Ok(())
    }

    /// The probabilities of a condition, in its order.
    fn rows(&self, offer: &Offer, condition: &Condition, block: &Block) -> Result<Vec<Vec<f64>>, Refused> {
        let place = format!("seed {}, condition `{}`", offer.training.seed, offer.name(condition));
        let classes = offer.given.dataset.classes;
        if self.predicted.classes != classes {
            return Err(self.refused(
                format!(
                    "{place}: expected the probabilities of {classes} classes, got {}",
                    self.predicted.classes
                ),
                format!(
                    "columns p0 to p{} are the classes in the order of `index.json`",
                    classes - 1
                ),
            ));
        }
        let expected = offer.digest(condition);
        if let Some(other) = block.data.iter().find(|digest| **digest != expected) {
            let short = |digest: &str| digest.chars().take(12).collect::<String>();
            return Err(self.refused(
                format!(
                    "{place}: made of other data or masks than {} ({}) has: column `data` holds {}, expected {}",
                    self.plan.experiment,
                    self.plan.preset,
                    short(other),
                    short(&expected)
                ),
                "export again with this program, the same experiment, preset and data set, and predict that; `data` is the \
                 condition's in `index.json`",
            ));
        }
        let places = offer.places(condition);
        let mut of_sample: BTreeMap<usize, &Vec<f64>> = BTreeMap::new();
        let asked: BTreeSet<usize> = places.iter().copied().collect();
        for (sample, row) in &block.rows {
            if !asked.contains(sample) {
                return Err(self.refused(
                    format!(
                        "{place}: sample {sample} is not asked of; the condition has {} of {} samples",
                        asked.len(),
                        condition.seen.len()
                    ),
                    "`sample` is the place of the sample in the arrays of its split, from 0 on",
                ));
            }
            if of_sample.insert(*sample, row).is_some() {
                return Err(self.refused(
                    format!("{place}: sample {sample} is there twice"),
                    "predict each sample once; average the members of an ensemble before",
                ));
            }
            self.probabilities(&place, *sample, row)?;
        }
        let missing: Vec<usize> = asked
            .iter()
            .copied()
            .filter(|sample| !of_sample.contains_key(sample))
            .collect();
        if !missing.is_empty() {
            return Err(self.refused(
                format!(
                    "{place}: {} of {} samples are missing: {}",
                    missing.len(),
                    asked.len(),
                    listed(missing)
                ),
                "predict every sample of the condition; a score on some of them is no comparison",
            ));
        }
        Ok(places.iter().map(|place| of_sample[place].clone()).collect())
    }

    fn probabilities(&self, place: &str, sample: usize, row: &[f64]) -> Result<(), Refused> {
        let wrong = |what: String| {
            let help = "p0, p1, ... are probabilities of the classes: softmax of the logits, for example";
            Err(self.refused(format!("{place}, sample {sample}: {what}"), help))
        };
        if let Some(class) = row.iter().position(|p| p.is_nan()) {
            return wrong(format!("p{class} is not a number"));
        }
        if let Some((class, p)) = row
            .iter()
            .enumerate()
            .find(|(_, p)| !(-ROUNDING..=1.0 + ROUNDING).contains(*p))
        {
            return wrong(format!("p{class} is {p}, expected a probability from 0 to 1"));
        }
        let sum: f64 = row.iter().sum();
        if (sum - 1.0).abs() > ROUNDING {
            return wrong(format!("the probabilities sum to {sum:.4}, expected 1"));
        }
        Ok(())
    }
}

/// `1, 2, 3 and 4 more`.
fn listed<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    let named = all.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(LISTED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
