//! The trials of an experiment's rows as cells, and what the store has of them.

use mmcollapse_files::sha256;
use mmcollapse_record::manipulation::{PASSING, is_confused};
use mmcollapse_record::{ExperimentInfo, Outcome, Preset, ProtocolKind, Provenance, Split, Status, same_level};
use std::collections::BTreeMap;
use std::ops::Range;

use miette::{Result, miette};
use mmcollapse_models::AS_TESTED;
use serde::{Deserialize, Serialize};

use super::file::{Tried, Tuned, TunedRow};
use super::setting::Setting;
use super::space::{Methods, Spaces};
use crate::cell::canonical;
use crate::plan::{Plan, Planned, Resolver, Selection};
use crate::spec::{Row, Spec, read_yaml};
use crate::store::{Found, Store, Stored};

/// The first seed of tuning, far from those of tables, which count up from 0.
pub const FIRST_SEED: u64 = 1000;

/// Means that differ by less are a tie: sums of the same scores in another order.
const ROUNDING: f64 = 1e-12;

/// What every row may spend, and what for.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// The preset whose rows and training are tuned.
    pub preset: Preset,
    /// Trials of each row, the spec's own setting among them.
    pub trials: u64,
    /// Seeds of each trial, from [`FIRST_SEED`] on.
    pub seeds: u64,
    /// Successive halving (Jamieson and Talwalkar 2016): the best trials so far go on, fewer on more seeds at each stage.
    pub halving: Vec<Stage>,
    /// The protocol that settings are chosen for.
    pub protocol: ProtocolKind,
    /// Its level.
    pub rate: f64,
}

/// How many trials go on, each on how many seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Trials.
    pub trials: u64,
    /// Seeds of each, those of earlier stages among them.
    pub seeds: u64,
}

impl Budget {
    /// All stages, the first that of every trial.
    fn stages(&self) -> Vec<Stage> {
        let first = Stage {
            trials: self.trials,
            seeds: self.seeds,
        };
        [first].into_iter().chain(self.halving.iter().copied()).collect()
    }

    /// Seeds of the trials that come furthest.
    fn most_seeds(&self) -> u64 {
        self.halving.last().map_or(self.seeds, |stage| stage.seeds)
    }

    /// Trainings of each row and label.
    fn trainings(&self) -> u64 {
        let mut before = 0;
        let of_stages = self.stages().into_iter().map(|stage| {
            let more = stage.trials.saturating_mul(stage.seeds.saturating_sub(before));
            before = stage.seeds;
            more
        });
        of_stages.sum()
    }
}

/// All trials of all rows.
#[derive(Clone, Debug)]
pub struct Trials {
    /// Their cells; the rows are called `ROW trial N`.
    pub plan: Plan,
    /// What every row may spend.
    pub budget: Budget,
    all: Vec<Trial>,
    /// Rows whose trials are chosen among those that pass their manipulation check.
    checked: Vec<String>,
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
            seeds: Some(budget.most_seeds()),
            first_seed: Some(FIRST_SEED),
            ..Selection::default()
        };
        let mut rows = Vec::new();
        if let Some(preset) = spec.presets.get_mut(&budget.preset) {
            preset.protocols = Some(vec![budget.protocol]);
            preset.rates = Some(vec![budget.rate]);
        }
        if let Some(preset) = spec.presets.get(&budget.preset) {
            let all = spec.rows(preset);
            // A control is no competitor: it is set as the row that it controls.
            rows.extend(all.iter().filter(|row| spec.controlled(&all, row).is_none()).cloned());
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
            let methods = Methods {
                fusion: method("fusion").unwrap_or_default(),
                reallocation: method("reallocation").unwrap_or_default(),
                // A balancing that the fusion brings along is no choice of the row's.
                balancing: method("balancing").filter(|_| names_balancing(&spec, row)),
            };
            for number in 0..budget.trials {
                let mut setting = spaces
                    .draw(&row.name, &methods, number)
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
            checked: checked(&spec, &rows),
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

    /// The cells of the first stage of these rows alone; of all if none is named.
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
        let cells = wanted.flat_map(|trial| self.cells(trial, self.budget.seeds));
        Ok(Plan {
            cells: cells.cloned().collect(),
            ..self.plan.clone()
        })
    }

    /// The cells of the stage that each of these rows has come to, given what the store has; none where all are done.
    ///
    /// # Errors
    /// As [`Trials::gather`].
    pub fn next(&self, only: &[String], store: &Store) -> Result<Option<Plan>> {
        let mut cells = Vec::new();
        for row in self.rows() {
            if !only.is_empty() && !only.iter().any(|only| only == row) {
                continue;
            }
            let searched = self.searched(row, store)?;
            if let Some(stage) = self.budget.stages().get(searched.done) {
                let entrants = searched.entrants.into_iter();
                cells.extend(entrants.flat_map(|trial| self.cells(trial, stage.seeds)).cloned());
            }
        }
        Ok((!cells.is_empty()).then(|| Plan {
            cells,
            ..self.plan.clone()
        }))
    }

    /// The cells of a trial on its first seeds.
    fn cells(&self, trial: &Trial, seeds: u64) -> impl Iterator<Item = &Planned> {
        let all = self.plan.cells[trial.cells.clone()].iter();
        all.filter(move |planned| planned.seed < FIRST_SEED.saturating_add(seeds))
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

    /// The rows whose trials are all in the store, each with its best; and the cells that they rest on. Provenance is left to
    /// the caller, who knows the command.
    ///
    /// # Errors
    /// A store that cannot be read, an outcome without the validation score.
    pub fn gather(&self, store: &Store) -> Result<(Tuned, Plan, Vec<Stored>)> {
        let (mut rows, mut cells, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for row in self.rows() {
            let searched = self.searched(row, store)?;
            if searched.done < self.budget.stages().len() {
                continue;
            }
            let last = searched
                .entrants
                .iter()
                .filter_map(|trial| searched.tried.get(&trial.number));
            rows.push(TunedRow {
                row: row.to_owned(),
                best: ranked(last.map(|of| &of.tried)).first().copied().unwrap_or_default(),
                trials: searched.tried.values().map(|of| of.tried.clone()).collect(),
            });
            for (trial, of) in searched.all.iter().zip(searched.tried.into_values()) {
                cells.extend(self.cells(trial, of.seeds).cloned());
                all.extend(of.stored);
            }
        }
        let budget = &self.budget;
        let tuned = Tuned {
            experiment: self.plan.experiment.clone(),
            preset: budget.preset,
            dataset: self.dataset.clone(),
            data: self.first_data(),
            spec: self.spec.clone(),
            space: self.space.clone(),
            protocol: budget.protocol,
            rate: budget.rate,
            trials: budget.trials,
            halving: budget.halving.clone(),
            seeds: (FIRST_SEED..FIRST_SEED.saturating_add(budget.most_seeds())).collect(),
            trainings: budget.trainings(),
            provenance: Provenance::default(),
            rows,
        };
        let used = Plan {
            cells,
            ..self.plan.clone()
        };
        Ok((tuned, used, all))
    }

    /// Digest of each data set as the first seed cuts it.
    fn first_data(&self) -> BTreeMap<String, String> {
        let first = self.plan.cells.iter().filter(|planned| planned.seed == FIRST_SEED);
        first
            .filter_map(|planned| {
                let name = planned.cell.config["dataset"].as_str()?;
                Some((name.to_owned(), planned.cell.data_digest.clone()))
            })
            .collect()
    }

    /// How far a row has come.
    fn searched(&self, row: &str, store: &Store) -> Result<Searched<'_>> {
        let all: Vec<&Trial> = self.all.iter().filter(|trial| trial.row == row).collect();
        let mut searched = Searched {
            entrants: all.clone(),
            all,
            tried: BTreeMap::new(),
            done: 0,
        };
        let stages = self.budget.stages();
        for (number, stage) in stages.iter().enumerate() {
            let mut now = BTreeMap::new();
            for trial in &searched.entrants {
                let Some(stored) = self.stored(trial, stage.seeds, store)? else {
                    return Ok(searched);
                };
                let reached = Reached {
                    tried: self.tried(trial, stage.seeds, &stored, store)?,
                    seeds: stage.seeds,
                    stored,
                };
                now.insert(trial.number, reached);
            }
            searched.done = number + 1;
            if let Some(next) = stages.get(number + 1) {
                let mut on = ranked(now.values().map(|of: &Reached| &of.tried));
                on.truncate(next.trials as usize);
                searched.entrants.retain(|trial| on.contains(&trial.number));
            }
            searched.tried.extend(now);
        }
        Ok(searched)
    }

    /// The outcomes of a trial, one a cell; none if one is missing.
    fn stored(&self, trial: &Trial, seeds: u64, store: &Store) -> Result<Option<Vec<Stored>>> {
        let mut all = Vec::new();
        for planned in self.cells(trial, seeds) {
            match store.find(&planned.key)? {
                Found::Whole(stored) => all.push(*stored),
                _ => return Ok(None),
            }
        }
        Ok(Some(all))
    }

    fn tried(&self, trial: &Trial, seeds: u64, stored: &[Stored], store: &Store) -> Result<Tried> {
        let mut validation = Vec::new();
        for (planned, stored) in self.cells(trial, seeds).zip(stored) {
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
            passes: self.checked.contains(&trial.row).then(|| passes(stored)),
            seconds: stored.iter().map(|stored| stored.outcome.seconds).sum(),
        })
    }
}

/// What is known of a trial, on so many seeds, and what it rests on.
struct Reached {
    tried: Tried,
    seeds: u64,
    stored: Vec<Stored>,
}

/// How far a row has come.
struct Searched<'a> {
    all: Vec<&'a Trial>,
    /// Trials of the stage that is not done yet; of the last where all are.
    entrants: Vec<&'a Trial>,
    /// By number.
    tried: BTreeMap<u64, Reached>,
    /// Stages that are done.
    done: usize,
}

/// Whether a row says how training weighs the modalities.
fn names_balancing(spec: &Spec, row: &Row) -> bool {
    let entries = [spec.fusions.get(&row.fusion), spec.reallocations.get(&row.reallocation)];
    entries.into_iter().flatten().any(|entry| !entry.balancing.is_empty())
}

/// The rows that count only where their manipulation check passes.
fn checked(spec: &Spec, rows: &[Row]) -> Vec<String> {
    let is_checked = |row: &&Row| {
        let method = spec.reallocations.get(&row.reallocation);
        method.is_some_and(|method| method.checked)
    };
    rows.iter().filter(is_checked).map(|row| row.name.clone()).collect()
}

/// Whether enough runs end with confused modalities.
fn passes(stored: &[Stored]) -> bool {
    let confused = stored
        .iter()
        .filter(|stored| is_confused(&stored.outcome.scores) == Some(true));
    confused.count() as f64 >= PASSING * stored.len() as f64
}

/// What settings are chosen by: never the test.
fn validation_score(outcome: &Outcome, rate: f64) -> Option<f64> {
    let mut scores = outcome.scores.iter();
    let found = scores.find(|s| s.split == Split::Validation && s.metric == AS_TESTED && same_level(s.rate, rate));
    found.map(|score| score.value)
}

/// Trials from the best to the worst: those that do not fail their check before those that do, then by mean, of equal ones
/// the lower number.
fn ranked<'a>(tried: impl Iterator<Item = &'a Tried>) -> Vec<u64> {
    let mut left: Vec<&Tried> = tried.collect();
    let mut order = Vec::with_capacity(left.len());
    let fails = |trial: &Tried| trial.passes == Some(false);
    while !left.is_empty() {
        let mut best = 0;
        for (place, trial) in left.iter().enumerate() {
            let (failing, other) = (fails(trial), fails(left[best]));
            if other && !failing || failing == other && trial.mean > left[best].mean + ROUNDING {
                best = place;
            }
        }
        order.push(left.remove(best).trial);
    }
    order
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
