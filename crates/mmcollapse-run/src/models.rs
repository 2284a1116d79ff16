//! The bridge to `mmcollapse-models`: how a configuration resolves, and what training a cell is.

use mmcollapse_record::{Encoder, ExperimentInfo, Outcome, SEMANTIC, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use mmcollapse_data::stand_in::{StandIn, stand_in};
use mmcollapse_data::{Dataset, LoadOptions, digests};
use mmcollapse_files::tell;
use mmcollapse_models::{
    CellConfig, CellOutcome, Conditions, MULTIMODAL, ModelError, Observer, UNIMODAL, check_cell, outline,
    reallocation::descends_task, revision, run_cell,
};
use mmcollapse_nn::Device;
use serde_json::Value;

use crate::cell::Cell;
use crate::plan::{Plan, Planned, Resolver, Selection};
use crate::spec::Spec;
use crate::worker::{Context, Work, WorkError};

/// Data sets a worker keeps: as many draws as a quick preset has seeds, and bounded for a full one.
const KEPT: usize = 16;

/// Resolves configurations with the registries and digests with the data itself.
pub struct ModelResolver {
    options: LoadOptions,
    digests: BTreeMap<(String, u64), String>,
    /// Outlines of data sets, by name.
    outlines: BTreeMap<String, Dataset>,
    /// What took the place of data sets, by the names of those.
    stand_ins: BTreeMap<String, StandIn>,
}

impl ModelResolver {
    /// A resolver; `offline` keeps it from the network.
    pub fn new(offline: bool) -> Self {
        Self {
            options: LoadOptions {
                seed: 0,
                offline,
                progress: true,
            },
            digests: BTreeMap::new(),
            outlines: BTreeMap::new(),
            stand_ins: BTreeMap::new(),
        }
    }
}

/// Refusals that an error lists before it counts the rest.
const LISTED: usize = 5;

impl ModelResolver {
    /// Checks that cells can be trained on their data sets, so that none of them fails for what is known before.
    ///
    /// Of each data set the first seed is looked at, and of cells that differ in the seed alone one.
    ///
    /// # Errors
    /// Every reason why some cannot, with the rows that it is true of.
    pub fn check<'a>(&mut self, experiment: &str, cells: impl Iterator<Item = &'a Planned>) -> Result<()> {
        let mut answers: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut refused: BTreeMap<String, (usize, BTreeSet<&str>)> = BTreeMap::new();
        let mut all = 0;
        for planned in cells {
            all += 1;
            let kind = planned.cell.kind();
            let answer = if let Some(answer) = answers.get(&kind) {
                answer.clone()
            } else {
                let config: CellConfig = serde_json::from_value(planned.cell.config.clone())
                    .into_diagnostic()
                    .wrap_err_with(|| planned.label())?;
                let outline = self.outline(&config.dataset, config.seed)?;
                let answer = check_cell(&config, outline).err().map(|error| told(&error));
                answers.entry(kind).or_insert(answer).clone()
            };
            if let Some(reason) = answer {
                let (cells, rows) = refused.entry(reason).or_default();
                *cells += 1;
                rows.insert(&planned.row.name);
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let refusals = refused.iter().take(LISTED).map(|(reason, (cells, rows))| {
            let rows = rows.iter().copied().collect::<Vec<_>>().join(", ");
            format!("{reason} ({cells} cells: {rows})")
        });
        let text = refusals.collect::<Vec<_>>().join("\n");
        let more = match refused.len().saturating_sub(LISTED) {
            0 => String::new(),
            more => format!("\nand {more} more reasons"),
        };
        let cells: usize = refused.values().map(|(cells, _)| cells).sum();
        Err(miette!(
            help = format!(
                "nothing was trained. `mmcollapse run {experiment} --only fusion=NAME` trains rows that fit, and `mmcollapse report {experiment}` \
                 shows them; `mmcollapse list {experiment}` has the names. Of data of your own, `weak` in the YAML chooses the modality that is \
                 taken away, weighed or given noise. `mmcollapse list datasets` prints the data sets"
            ),
            "{experiment}: {cells} of the {all} cells to train cannot be trained:\n{text}{more}"
        ))
    }

    /// The outline of a data set as this seed draws it.
    fn outline(&mut self, name: &str, seed: u64) -> Result<&Dataset> {
        if !self.outlines.contains_key(name) {
            let options = LoadOptions { seed, ..self.options };
            let dataset = mmcollapse_data::find(name)?.load(&options)?;
            self.outlines.insert(name.to_owned(), outline(&dataset));
        }
        self.outlines
            .get(name)
            .ok_or_else(|| miette!("data set `{name}` is not there"))
    }

    /// What takes the place of the data set `name`, where it cannot be had for these seeds. It is said on standard error and
    /// settled for all that is run with this resolver when it is asked for first.
    ///
    /// # Errors
    /// When a manifest is wrong.
    pub fn stand_in(&mut self, name: &str, seeds: Range<u64>) -> Result<Option<&StandIn>> {
        if !self.stand_ins.contains_key(name)
            && let Some(found) = stand_in(name, seeds, &self.options)?
        {
            tell!("{found}");
            self.stand_ins.insert(name.to_owned(), found);
        }
        Ok(self.stand_ins.get(name))
    }

    /// How data sets are loaded, by seed 0.
    pub fn options(&self) -> &LoadOptions {
        &self.options
    }
}

/// Resolves every cell of every preset of an experiment without its data, and returns how many there are: a spec
/// that passes can be run.
///
/// # Errors
/// What is wrong with the spec, with its line.
pub fn check_spec(experiment: &ExperimentInfo) -> Result<usize> {
    let spec = Spec::of(experiment).map_err(|error| *error)?;
    let mut cells = 0;
    for preset in spec.presets.keys() {
        let mut resolver = NoData(ModelResolver::new(true));
        cells += Plan::new(experiment, *preset, &Selection::default(), &mut resolver)?
            .cells
            .len();
    }
    Ok(cells)
}

/// Resolves as a [`ModelResolver`] does, and takes a data set's name for its digest.
pub(crate) struct NoData(pub ModelResolver);

impl Resolver for NoData {
    fn resolve(&self, config: Value) -> Result<(Value, String), String> {
        self.0.resolve(config)
    }

    fn data_digest(&mut self, dataset: &str, _seed: u64) -> Result<String> {
        Ok(mmcollapse_data::find(dataset)?.name().to_owned())
    }
}

impl Resolver for ModelResolver {
    fn resolve(&self, config: Value) -> Result<(Value, String), String> {
        let config: CellConfig = serde_json::from_value(config).map_err(|e| e.to_string())?;
        let config = config.resolve().map_err(|e| e.to_string())?;
        let revision = revision(&config).map_err(|e| e.to_string())?;
        let config = serde_json::to_value(config).map_err(|e| e.to_string())?;
        Ok((config, revision))
    }

    fn data_digest(&mut self, dataset: &str, seed: u64) -> Result<String> {
        let asked = (dataset.to_owned(), seed);
        if let Some(digest) = self.digests.get(&asked) {
            return Ok(digest.clone());
        }
        let source = mmcollapse_data::find(dataset)?;
        let options = LoadOptions { seed, ..self.options };
        let digest = digests::digest(source, &options)?;
        self.digests.insert(asked, digest.clone());
        Ok(digest)
    }

    /// The runner needs no sample, only digests.
    fn planned(&mut self) {
        mmcollapse_data::release();
    }
}

/// Trains cells on one device.
pub struct Training {
    device: Device,
    datasets: BTreeMap<(String, u64), Dataset>,
}

impl Training {
    /// Training on `device`.
    pub fn new(device: Device) -> Self {
        Self {
            device,
            datasets: BTreeMap::new(),
        }
    }

    fn dataset(&mut self, config: &CellConfig) -> Result<&Dataset, String> {
        let asked = (config.dataset.clone(), config.seed);
        self.datasets.retain(|_, dataset| dataset.unchanged());
        if !self.datasets.contains_key(&asked) {
            if self.datasets.len() >= KEPT {
                self.datasets.clear();
            }
            let source = mmcollapse_data::find(&config.dataset).map_err(|e| e.to_string())?;
            // The runner has loaded it before, so it is in the cache; a worker never downloads.
            let options = LoadOptions {
                seed: config.seed,
                offline: true,
                progress: false,
            };
            let dataset = source.load(&options).map_err(|e| e.to_string())?;
            if mmcollapse_data::cache::folder().is_some() {
                // The next seed is in the cache as well.
                mmcollapse_data::release();
            }
            self.datasets.insert(asked.clone(), dataset);
        }
        self.datasets
            .get(&asked)
            .ok_or_else(|| "the data set is not there".to_owned())
    }
}

impl Work for Training {
    fn run(&mut self, cell: &Cell, context: &mut Context<'_>) -> Result<Outcome, WorkError> {
        let config: CellConfig = serde_json::from_value(cell.config.clone())
            .map_err(|error| WorkError::Failed(format!("not a cell's configuration: {error}")))?;
        let device = self.device.clone();
        let dataset = self.dataset(&config).map_err(WorkError::Failed)?;
        if dataset.digest != cell.data_digest {
            // The plan may have believed a kept digest that is not that of the data any more.
            digests::forget(&config.dataset, config.seed);
            return Err(WorkError::Failed(format!(
                "the data are not those that the run was planned with: their digest is {}, expected {}; the kept digest is \
                 dropped, start the run again",
                dataset.digest, cell.data_digest
            )));
        }
        let (checkpoint, shared) = (context.checkpoint(), context.shared());
        let conditions = Conditions {
            checkpoint: Some(&checkpoint),
            shared: Some(&shared),
            measures: context.measures(),
            only_measure: context.only_measure(),
        };
        let mut observer = Telling(context);
        let trained = run_cell(&config, dataset, &device, &mut observer, conditions);
        if !dataset.unchanged() {
            self.datasets.clear();
            return Err(WorkError::Failed(
                "the kept data set was changed while the cell was trained; start the run again: it is made anew"
                    .to_owned(),
            ));
        }
        match trained {
            Ok(outcome) => Ok(converted(outcome)),
            Err(ModelError::Interrupted) => Err(WorkError::Stopped),
            Err(ModelError::NoWeights { .. }) => Err(WorkError::NoWeights),
            Err(error @ ModelError::Checkpoint { .. }) => Err(WorkError::Checkpoint(told(&error))),
            Err(error) => Err(WorkError::Failed(told(&error))),
        }
    }
}

/// The observer of a training in a worker.
struct Telling<'a, 'b>(&'a mut Context<'b>);

impl Observer for Telling<'_, '_> {
    fn epoch(&mut self, fit: &str, epoch: usize, epochs: usize, losses: &[(&str, f64)]) {
        self.0.epoch(fit, epoch, epochs, losses);
    }

    fn note(&mut self, text: &str) {
        self.0.note(text);
    }

    fn should_stop(&self) -> bool {
        self.0.should_stop()
    }
}

/// An error with its help, as text: it goes through the worker's output.
fn told(error: &ModelError) -> String {
    match miette::Diagnostic::help(error) {
        Some(help) => format!("{error} ({help})"),
        None => error.to_string(),
    }
}

/// The outcome as stored. A score that is not finite can only come from a diverged run, which then has none.
pub(crate) fn converted(outcome: CellOutcome) -> Outcome {
    let mut curves: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (epoch, record) in outcome.history.iter().filter(|r| r.fit == MULTIMODAL).enumerate() {
        for (name, value) in &record.layer {
            curves.entry(name.clone()).or_default().push(*value);
        }
        for (name, value) in &record.losses {
            let curve = curves.entry(name.clone()).or_default();
            // L_sem is followed through the epochs that descend it; of other terms, those that the first epoch has.
            let counts = if name == SEMANTIC {
                descends_task(&record.phase)
            } else {
                curve.len() == epoch
            };
            if counts {
                curve.push(*value);
            }
        }
    }
    for record in &outcome.history {
        let encoder = if record.fit == MULTIMODAL {
            Encoder::Prefix
        } else if record.fit.starts_with(UNIMODAL) {
            Encoder::Baseline
        } else {
            continue;
        };
        for (modality, value) in &record.probes {
            curves.entry(encoder.curve(modality)).or_default().push(*value);
        }
    }
    for curve in curves.values_mut() {
        let end = curve.iter().position(|value| !value.is_finite()).unwrap_or(curve.len());
        curve.truncate(end);
    }
    curves.extend(outcome.neurons);
    let diverged = !matches!(outcome.status, Status::Ok);
    Outcome {
        status: outcome.status,
        scores: outcome
            .scores
            .into_iter()
            .filter(|score| score.value.is_finite() || !diverged)
            .collect(),
        seconds: outcome.seconds,
        parameters: outcome.parameters,
        diagnosis: outcome.diagnosis,
        curves,
        measured: outcome.measured,
        weights: outcome.weights,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn curves_end_where_they_are_no_longer_finite() {
        let record =
            |fit: &str, epoch: usize, loss: f64, probes: &[(&str, f64)]| mmcollapse_models::training::EpochRecord {
                fit: fit.to_owned(),
                epoch,
                phase: "joint".to_owned(),
                losses: BTreeMap::from([(SEMANTIC.to_owned(), loss)]),
                size: 1.0,
                probes: probes
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), *value))
                    .collect(),
                layer: match fit {
                    "multimodal" => BTreeMap::from([("gradient_rank".to_owned(), 2.0 + epoch as f64)]),
                    _ => BTreeMap::new(),
                },
            };
        let outcome = CellOutcome {
            status: Status::Ok,
            scores: Vec::new(),
            seconds: 1.0,
            parameters: 1,
            diagnosis: mmcollapse_record::Findings::default(),
            history: vec![
                record("unimodal/labs", 0, 9.0, &[]),
                record("unimodal/labs", 1, 9.0, &[("labs", 0.5)]),
                record("diagnosis", 0, 9.0, &[("labs", 9.0)]),
                record("multimodal", 0, 2.0, &[("labs", 0.75), ("notes", 0.25)]),
                record("multimodal", 1, 1.0, &[("labs", f64::NAN), ("notes", 0.125)]),
                record("multimodal", 2, f64::NAN, &[("labs", 0.5)]),
            ],
            measured: BTreeMap::new(),
            neurons: BTreeMap::from([("neurons_labs".to_owned(), vec![1.0, 0.0])]),
            weights: None,
        };
        let curves = converted(outcome).curves;
        let expected: [(&str, &[f64]); 6] = [
            ("gradient_rank", &[2.0, 3.0, 4.0]),
            ("neurons_labs", &[1.0, 0.0]),
            ("probe_baseline_labs", &[0.5]),
            ("probe_prefix_labs", &[0.75]),
            ("probe_prefix_notes", &[0.25, 0.125]),
            (SEMANTIC, &[2.0, 1.0]),
        ];
        let expected = expected.map(|(name, curve)| (name.to_owned(), curve.to_vec()));
        assert_eq!(curves, BTreeMap::from(expected));
    }

    /// An adversarial turn would look like a plateau.
    #[test]
    fn the_curve_of_the_task_is_of_the_epochs_that_descend_it() {
        let turns = [
            (SEMANTIC, 2.0),
            ("adversarial", 2.5),
            (SEMANTIC, 1.5),
            ("psi", 1.5),
            ("encoders", 1.75),
            ("joint", 1.0),
        ];
        let history = turns.into_iter().enumerate().map(|(epoch, (phase, loss))| {
            let losses = [(SEMANTIC, loss), ("modality", 10.0 + epoch as f64)];
            mmcollapse_models::training::EpochRecord {
                fit: MULTIMODAL.to_owned(),
                epoch,
                phase: phase.to_owned(),
                losses: losses.map(|(name, value)| (name.to_owned(), value)).into(),
                size: 1.0,
                probes: BTreeMap::new(),
                layer: BTreeMap::new(),
            }
        });
        let curves = converted(CellOutcome {
            status: Status::Ok,
            scores: Vec::new(),
            seconds: 1.0,
            parameters: 1,
            diagnosis: mmcollapse_record::Findings::default(),
            history: history.collect(),
            measured: BTreeMap::new(),
            neurons: BTreeMap::new(),
            weights: None,
        })
        .curves;
        assert_eq!(curves[SEMANTIC], [2.0, 1.5, 1.0]);
        assert_eq!(curves["modality"], [10.0, 11.0, 12.0, 13.0, 14.0, 15.0]);
    }

    #[test]
    fn configurations_are_completed_and_unknown_keys_refused() {
        let resolver = ModelResolver::new(true);
        let config = json!({
            "dataset": "planted",
            "protocol": {"kind": "test_missing", "modality": "b", "rates": [0.9]},
            "fusion": {"method": "concat"},
            "seed": 0,
        });
        let (resolved, revision) = resolver.resolve(config.clone()).unwrap();
        assert!(resolved["training"]["epochs"].is_u64(), "{resolved}");
        assert!(revision.contains("concat"), "{revision}");
        // Resolving is idempotent, or the same cell would have two keys.
        let again = resolver.resolve(resolved.clone()).unwrap();
        assert_eq!(again, (resolved, revision));
        let mut wrong = config;
        wrong["fusion"]["hiden"] = json!(3);
        let error = resolver.resolve(wrong).unwrap_err();
        assert!(error.contains("hiden"), "{error}");
    }
}
