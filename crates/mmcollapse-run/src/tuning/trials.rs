//! The trials of an experiment's rows as cells, and what the store has of them.

use mmcollapse_files::sha256;
use mmcollapse_record::{ExperimentInfo, Outcome, Preset, ProtocolKind, Provenance, Split, Status, same_level};
use std::ops::Range;

use miette::{Result, miette};
use mmcollapse_models::AS_TESTED;

use super::file::{Tried, Tuned, TunedRow};
use super::setting::Setting;
use super::space::Spaces;
use crate::cell::canonical;
use crate::plan::{Plan, Resolver, Selection};
use crate::spec::{Spec, read_yaml};
use crate::store::{Found, Store, Stored};

/// The first seed of tuning, far from those of tables, which count up from 0.
pub const FIRST_SEED: u64 = 1000;

/// Means that differ by less are a tie: sums of the same scores in another order.
const ROUNDING: f64 = 1e-12;

/// What every row may spend, and what for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// The preset whose rows and training are tuned.
    pub preset: Preset,
    /// Trials of each row, the spec's own setting among them.
    pub trials: u64,
    /// Seeds of each trial, from [`FIRST_SEED`] on.
    pub seeds: u64,
    /// The protocol that settings are chosen for.
    pub protocol: ProtocolKind,
    /// Its level.
    pub rate: f64,
}

/// All trials of all rows.
#[derive(Clone, Debug)]
pub struct Trials {
    /// Their cells; the rows are called `ROW trial N`.
    pub plan: Plan,
    /// What every row may spend.
    pub budget: Budget,
    all: Vec<Trial>,
    dataset: String,
    spec: String,
    space: String,
}

/// One trial of one row.
#[derive(Clone, Debug)]
struct Trial {
    row: String,
    number: u64,
    setting: Setting,
    /// Its cells in the plan, one a label and seed.
    cells: Range<usize>,
}

impl Trials {
    /// Plans the trials of every row of the preset. `spec` is the experiment's, on the data set that is tuned on; where it
    /// has several labels, a setting is chosen for all of them.
    ///
    /// # Errors
    /// A spec that cannot be used, a preset that it does not have, a method without a space, data that are not there.
    pub fn new(
        experiment: &ExperimentInfo,
        spec: &Spec,
        spaces: &Spaces,
        budget: Budget,
        resolver: &mut dyn Resolver,
    ) -> Result<Self> {
        let mut spec = spec.clone();
        let selection = Selection {
            seeds: Some(budget.seeds),
            first_seed: Some(FIRST_SEED),
            ..Selection::default()
        };
        let mut rows = Vec::new();
        if let Some(preset) = spec.presets.get_mut(&budget.preset) {
            preset.protocols = Some(vec![budget.protocol]);
            preset.rates = Some(vec![budget.rate]);
        }
        if let Some(preset) = spec.presets.get(&budget.preset) {
            rows = spec.rows(preset);
        }
        // It has the rows as they are, and says what is wrong with the spec or that there is no such preset.
        let mut plan = Plan::of(experiment, &spec, budget.preset, &selection, resolver)?;
        let own = std::mem::take(&mut plan.cells);
        let mut trials = Vec::new();
        for row in &rows {
            let method = |axis: &str| {
                let planned = own.iter().find(|planned| planned.row == *row);
                planned.and_then(|planned| planned.cell.config[axis]["method"].as_str())
            };
            let (fusion, reallocation) = (method("fusion"), method("reallocation"));
            for number in 0..budget.trials {
                let mut setting = spaces
                    .draw(
                        &row.name,
                        fusion.unwrap_or_default(),
                        reallocation.unwrap_or_default(),
                        number,
                    )
                    .map_err(|reason| miette!("{}, row `{}`: {reason}", experiment.name, row.name))?;
                setting.keep_stated(&spec, budget.preset, row);
                let spec = setting.applied(&spec, budget.preset, row);
                let from = plan.cells.len();
                let cells = Plan::of(experiment, &spec, budget.preset, &selection, resolver)?.cells;
                plan.cells.extend(cells.into_iter().map(|mut planned| {
                    planned.row.name = format!("{} trial {number}", row.name);
                    planned
                }));
                trials.push(Trial {
                    row: row.name.clone(),
                    number,
                    setting,
                    cells: from..plan.cells.len(),
                });
            }
        }
        Ok(Self {
            plan,
            budget,
            all: trials,
            dataset: spec.dataset.clone(),
            spec: spec_digest(experiment)?,
            space: spaces.digest().to_owned(),
        })
    }

    /// The rows, in the order of the spec.
    pub fn rows(&self) -> Vec<&str> {
        let first = self.all.iter().filter(|trial| trial.number == 0);
        first.map(|trial| trial.row.as_str()).collect()
    }

    /// The cells of these rows alone; of all if none is named.
    ///
    /// # Errors
    /// A row that is not there.
    pub fn of_rows(&self, only: &[String]) -> Result<Plan> {
        let known = self.rows();
        if let Some(row) = only.iter().find(|row| !known.contains(&row.as_str())) {
            return Err(miette!(
                help = format!("there are: {}", known.join(", ")),
                "--only {row}: {} ({}) has no such row",
                self.plan.experiment,
                self.plan.preset
            ));
        }
        let wanted = self
            .all
            .iter()
            .filter(|trial| only.is_empty() || only.contains(&trial.row));
        let cells = wanted.flat_map(|trial| self.plan.cells[trial.cells.clone()].iter().cloned());
        Ok(Plan {
            cells: cells.collect(),
            ..self.plan.clone()
        })
    }

    /// Every trial with its setting, a line each.
    pub fn text(&self, only: &[String]) -> String {
        let wanted = self
            .all
            .iter()
            .filter(|trial| only.is_empty() || only.contains(&trial.row));
        let lines = wanted.map(|trial| format!("{} trial {}: {}\n", trial.row, trial.number, trial.setting));
        lines.collect()
    }

    /// The rows whose trials are all in the store, each with its best; and what they rest on. Provenance is left to
    /// the caller, who knows the command.
    ///
    /// # Errors
    /// A store that cannot be read, an outcome without the validation score.
    pub fn gather(&self, store: &Store) -> Result<(Tuned, Vec<Stored>)> {
        let mut rows = Vec::new();
        let mut all = Vec::new();
        for row in self.rows() {
            let mut tried = Vec::new();
            let mut used = Vec::new();
            for trial in self.all.iter().filter(|trial| trial.row == row) {
                let Some(stored) = self.stored(trial, store)? else {
                    break;
                };
                tried.push(self.tried(trial, &stored, store)?);
                used.extend(stored);
            }
            if tried.len() as u64 == self.budget.trials {
                all.extend(used);
                rows.push(TunedRow {
                    row: row.to_owned(),
                    best: best(&tried),
                    trials: tried,
                });
            }
        }
        let budget = self.budget;
        let tuned = Tuned {
            experiment: self.plan.experiment.clone(),
            preset: budget.preset,
            dataset: self.dataset.clone(),
            spec: self.spec.clone(),
            space: self.space.clone(),
            protocol: budget.protocol,
            rate: budget.rate,
            trials: budget.trials,
            seeds: (FIRST_SEED..FIRST_SEED.saturating_add(budget.seeds)).collect(),
            trainings: budget.trials.saturating_mul(budget.seeds),
            provenance: Provenance::default(),
            rows,
        };
        Ok((tuned, all))
    }

    /// The outcomes of a trial, one a cell; none if one is missing.
    fn stored(&self, trial: &Trial, store: &Store) -> Result<Option<Vec<Stored>>> {
        let mut all = Vec::new();
        for planned in &self.plan.cells[trial.cells.clone()] {
            match store.find(&planned.key)? {
                Found::Whole(stored) => all.push(*stored),
                _ => return Ok(None),
            }
        }
        Ok(Some(all))
    }

    fn tried(&self, trial: &Trial, stored: &[Stored], store: &Store) -> Result<Tried> {
        let mut validation = Vec::new();
        for (planned, stored) in self.plan.cells[trial.cells.clone()].iter().zip(stored) {
            match validation_score(&stored.outcome, self.budget.rate) {
                Some(score) => validation.push(score),
                // Validation samples of one class have none, whatever the trial.
                None if stored
                    .outcome
                    .scores
                    .iter()
                    .all(|score| score.split != Split::Validation) => {}
                None => {
                    return Err(miette!(
                        help = "it was trained by an older program: remove its folder and run again",
                        "{}: its outcome in {} has no validation score as tested",
                        planned.label(),
                        store.folder(&planned.key).display()
                    ));
                }
            }
        }
        if validation.is_empty() {
            return Err(miette!(
                help = "tune on more seeds (--seeds) or on a data set with more validation samples",
                "{} trial {}: no seed has a validation score: of each the validation samples are of one class",
                trial.row,
                trial.number
            ));
        }
        Ok(Tried {
            trial: trial.number,
            setting: trial.setting.clone(),
            mean: validation.iter().sum::<f64>() / validation.len() as f64,
            validation,
            diverged: stored
                .iter()
                .filter(|stored| stored.outcome.status != Status::Ok)
                .count(),
            seconds: stored.iter().map(|stored| stored.outcome.seconds).sum(),
        })
    }
}

/// What settings are chosen by: never the test.
fn validation_score(outcome: &Outcome, rate: f64) -> Option<f64> {
    let mut scores = outcome.scores.iter();
    let found = scores.find(|s| s.split == Split::Validation && s.metric == AS_TESTED && same_level(s.rate, rate));
    found.map(|score| score.value)
}

/// The trial with the highest mean; of equal ones the lowest.
fn best(tried: &[Tried]) -> u64 {
    let mut best: Option<&Tried> = None;
    for trial in tried {
        if best.is_none_or(|best| trial.mean > best.mean + ROUNDING) {
            best = Some(trial);
        }
    }
    best.map_or(0, |trial| trial.trial)
}

/// Digest of what a spec says, with what it shares with others; comments and layout not counted.
pub(super) fn spec_digest(experiment: &ExperimentInfo) -> Result<String> {
    let path = experiment.spec_path();
    let mut text = canonical(&read_yaml(&path, experiment.spec, "").map_err(|error| *error)?);
    if let Some((path, common)) = experiment.common {
        text += &canonical(&read_yaml(path, common, "").map_err(|error| *error)?);
    }
    Ok(sha256(text.as_bytes()))
}
