//! `reproduce`, `run` and `report`: plan, train, gather, render.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;
use std::{env, io};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use mmcollapse_nn::device::DeviceChoice;

use super::on::{other_dataset, spec_on, synthetic};
use super::{Ending, How, Place, What, interrupt, workers};
use crate::cell::CellRecord;
use crate::experiment::ExperimentInfo;
use crate::models::ModelResolver;
use crate::plan::{Filter, Plan, Planned, Selection};
use crate::progress::{Basis, Estimator, Expectation, Progress, duration_text, makespan};
use crate::provenance::{Commit, Provenance, VERSION, count_origins};
use crate::render::render;
use crate::runner::{Fate, Interrupt, Job, Runner, Summary, WorkerCommand};
use crate::spec::Spec;
use crate::store::{Found, Store, StoreError, Stored, wall_seconds};
use crate::tuning::{Tuned, TunedBy};

/// Trains what is missing of each experiment and renders it.
///
/// `tuned`: with the settings that tuning found under `results`.
pub fn reproduce(
    experiments: &[&'static ExperimentInfo],
    what: What,
    tuned: bool,
    how: &How,
    results: &Path,
) -> Result<Ending> {
    let mut resolver = ModelResolver::new(how.place.offline);
    let selection = Selection {
        seeds: what.seeds,
        ..Selection::default()
    };
    let interrupt = interrupt()?;
    let mut ending = Ending::Well;
    for experiment in experiments {
        let spec = what.spec(experiment, &mut resolver)?;
        let tuned = tuned
            .then(|| Tuned::of(results, experiment, &spec, what.preset))
            .transpose()?;
        let plan = match &tuned {
            Some(tuned) => tuned.plan(experiment, &spec, &selection, &mut resolver)?,
            None => Plan::of(experiment, &spec, what.preset, &selection, &mut resolver)?,
        };
        let work = Work::new(&plan, Store::new(&how.place.store))?;
        if how.dry_run {
            print!("{}", work.dry_run(workers(how.workers)));
            continue;
        }
        match work.train(how.device, workers(how.workers), &interrupt)? {
            Ending::Interrupted => return Ok(Ending::Interrupted),
            Ending::Badly => ending = Ending::Badly,
            Ending::Well => {}
        }
        let tuned = tuned.map(|tuned| tuned.by(&spec));
        make(experiment, &spec, &plan, &what, tuned, &work.store, results)?;
    }
    Ok(ending)
}

/// Trains the cells of an experiment that the filters let through.
pub fn train_some(experiment: &'static ExperimentInfo, only: &[String], what: What, how: &How) -> Result<Ending> {
    let selection = Selection {
        seeds: what.seeds,
        only: Filter::parse(only)?,
        ..Selection::default()
    };
    let mut resolver = ModelResolver::new(how.place.offline);
    let (_, plan) = planned(experiment, &what, &selection, &mut resolver)?;
    let work = Work::new(&plan, Store::new(&how.place.store))?;
    if how.dry_run {
        print!("{}", work.dry_run(workers(how.workers)));
        return Ok(Ending::Well);
    }
    let ending = work.train(how.device, workers(how.workers), &interrupt()?)?;
    for planned in &plan.cells {
        if let Found::Whole(stored) = work.store.find(&planned.key)? {
            println!("{}", outcome_line(planned, &stored));
        }
    }
    Ok(ending)
}

/// Renders what the store has. `all`: experiments of which it has nothing are passed over.
pub fn report(
    experiments: &[&'static ExperimentInfo],
    all: bool,
    what: What,
    place: &Place,
    results: &Path,
) -> Result<Ending> {
    let store = Store::new(&place.store);
    let mut resolver = ModelResolver::new(place.offline);
    let selection = Selection {
        seeds: what.seeds,
        ..Selection::default()
    };
    for experiment in experiments {
        let (spec, plan) = match planned(experiment, &what, &selection, &mut resolver) {
            // Who lacks the data of one experiment can still have the report of the others.
            Err(error) if all => {
                eprintln!("{} ({}): left as it is: {error}", experiment.name, what.preset);
                continue;
            }
            planned => planned?,
        };
        if all && gather(&plan, &store)?.records.is_empty() {
            eprintln!(
                "{} ({}): nothing of it is in {}",
                experiment.name,
                what.preset,
                store.root().display()
            );
            continue;
        }
        make(experiment, &spec, &plan, &what, None, &store, results)?;
    }
    Ok(Ending::Well)
}

/// The spec of an experiment on the data set that is asked for, or on its own, and its cells.
fn planned(
    experiment: &ExperimentInfo,
    what: &What,
    selection: &Selection,
    resolver: &mut ModelResolver,
) -> Result<(Spec, Plan)> {
    let spec = what.spec(experiment, resolver)?;
    let plan = Plan::of(experiment, &spec, what.preset, selection, resolver)?;
    Ok((spec, plan))
}

impl What {
    /// The spec of an experiment on the data set that is asked for; see [`spec_on`].
    fn spec(&self, experiment: &ExperimentInfo, resolver: &mut ModelResolver) -> Result<Spec> {
        let seeds = self.seeds.map(|seeds| 0..seeds);
        spec_on(experiment, self.dataset.as_deref(), self.preset, seeds, resolver)
    }
}

/// A plan, the store, and which cells have to be trained.
pub(super) struct Work<'a> {
    plan: &'a Plan,
    pub(super) store: Store,
    /// Places in the plan of the cells to be trained; a cell that stands there twice is trained once.
    missing: Vec<usize>,
    /// Damaged outcomes among them, as found.
    damaged: Vec<String>,
    estimator: Estimator,
}

impl<'a> Work<'a> {
    pub(super) fn new(plan: &'a Plan, store: Store) -> Result<Self, StoreError> {
        let mut estimator = Estimator::default();
        let durations = store.durations();
        let mut missing = Vec::new();
        let mut damaged = Vec::new();
        let mut kinds = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for (place, planned) in plan.cells.iter().enumerate() {
            let kind = planned.cell.kind();
            if let (Some(seconds), true) = (durations.get(&kind), kinds.insert(kind.clone())) {
                for seconds in seconds {
                    estimator.add(&kind, *seconds, planned.rough_seconds);
                }
            }
            if !seen.insert(&planned.key) {
                continue;
            }
            match store.find(&planned.key)? {
                Found::Whole(_) => {}
                Found::Missing => missing.push(place),
                Found::Damaged(reason) => {
                    missing.push(place);
                    damaged.push(format!("{}: {reason}", planned.label()));
                }
            }
        }
        Ok(Self {
            plan,
            store,
            missing,
            damaged,
            estimator,
        })
    }

    fn estimate(&self, planned: &Planned) -> (f64, Basis) {
        self.estimator.seconds(&planned.cell.kind(), planned.rough_seconds)
    }

    /// The cells, which of them are there, and how long the rest will take.
    pub(super) fn dry_run(&self, workers: usize) -> String {
        let mut text = String::new();
        let mut times = Vec::new();
        let mut bases: BTreeSet<Basis> = BTreeSet::new();
        for (place, planned) in self.plan.cells.iter().enumerate() {
            let state = if self.missing.contains(&place) {
                let (seconds, basis) = self.estimate(planned);
                times.push(seconds);
                bases.insert(basis);
                format!("to train, about {}", duration_text(seconds))
            } else {
                "in the store".to_owned()
            };
            let _ = writeln!(text, "{}  {}: {state}", planned.key, planned.label());
        }
        for reason in &self.damaged {
            let _ = writeln!(text, "damaged, will be done again: {reason}");
        }
        let all = self.plan.cells.len();
        let _ = writeln!(
            text,
            "{} ({}): {all} cells, {} in the store, {} to train",
            self.plan.experiment,
            self.plan.preset,
            all - times.len(),
            times.len(),
        );
        if !times.is_empty() {
            let bases: Vec<&str> = bases.into_iter().map(Basis::as_str).collect();
            let _ = writeln!(
                text,
                "estimated time: {} with {workers} workers, from {}",
                duration_text(makespan(&times, workers)),
                bases.join("; ")
            );
        }
        text
    }

    /// Trains what is missing.
    pub(super) fn train(&self, device: DeviceChoice, workers: usize, interrupt: &Interrupt) -> Result<Ending> {
        let all = self.plan.cells.len();
        let found = all - self.missing.len();
        eprintln!(
            "{} ({}): {all} cells, {found} in the store",
            self.plan.experiment, self.plan.preset
        );
        if self.missing.is_empty() {
            return Ok(Ending::Well);
        }
        let device = settled(device)?;
        let planned = || self.missing.iter().map(|place| &self.plan.cells[*place]);
        let jobs: Vec<Job> = planned()
            .map(|planned| Job {
                cell: planned.cell.clone(),
                label: planned.label(),
                estimate: self.estimate(planned).0,
            })
            .collect();
        let expectations = planned()
            .map(|planned| Expectation {
                label: planned.label(),
                kind: planned.cell.kind(),
                rough: planned.rough_seconds,
            })
            .collect();
        let command = worker_command(&self.store, device).into_diagnostic()?;
        let progress = Progress::new(expectations, workers, self.estimator.clone());
        let started = Instant::now();
        let summary = Runner::new(command, workers, interrupt.clone()).run(&jobs, &progress);
        progress.close();
        let seconds = started.elapsed().as_secs_f64();
        conclude(&summary, &jobs, seconds)
    }
}

/// Says how a run ended.
fn conclude(summary: &Summary, jobs: &[Job], seconds: f64) -> Result<Ending> {
    let count = |like: fn(&Fate) -> bool| summary.fates.iter().filter(|fate| like(fate)).count();
    let done = count(|fate| matches!(fate, Fate::Done { .. }));
    let diverged = count(|fate| matches!(fate, Fate::Done { diverged: true, .. }));
    let failed = count(|fate| matches!(fate, Fate::Failed(_)));
    let unfinished = count(|fate| matches!(fate, Fate::Unfinished));
    eprintln!(
        "{done} cells done ({diverged} diverged), {failed} failed, {unfinished} unfinished in {}",
        duration_text(seconds)
    );
    for (job, fate) in jobs.iter().zip(&summary.fates) {
        if let Fate::Failed(reason) = fate {
            eprintln!("failed: {}: {reason}", job.label);
        }
    }
    if let Some(error) = &summary.error {
        return Err(miette!(
            help = "the store keeps what is done; the same command goes on from there",
            "the run was given up: {error}"
        ));
    }
    if unfinished > 0 {
        eprintln!("interrupted: the same command goes on from here");
        return Ok(Ending::Interrupted);
    }
    Ok(if failed > 0 { Ending::Badly } else { Ending::Well })
}

/// How this program starts its workers.
fn worker_command(store: &Store, device: DeviceChoice) -> io::Result<WorkerCommand> {
    let arguments: [OsString; 5] = [
        "worker".into(),
        "--store".into(),
        store.root().into(),
        "--device".into(),
        device.to_string().into(),
    ];
    Ok(WorkerCommand::new(env::current_exe()?, arguments))
}

/// The device that `auto` means here, found out once so that all workers use the same; another one must open.
fn settled(device: DeviceChoice) -> Result<DeviceChoice> {
    let opened = device.open().into_diagnostic()?;
    Ok(match device {
        DeviceChoice::Auto if opened.is_cpu() => DeviceChoice::Cpu,
        DeviceChoice::Auto => DeviceChoice::Cuda(0),
        named => named,
    })
}

/// What the store has of a plan.
pub(super) struct Gathered {
    pub(super) records: Vec<CellRecord>,
    stored: Vec<Stored>,
}

/// Reads the outcomes of a plan, in its order; what is not there is left out.
pub(super) fn gather(plan: &Plan, store: &Store) -> Result<Gathered, StoreError> {
    let mut gathered = Gathered {
        records: Vec::new(),
        stored: Vec::new(),
    };
    for planned in &plan.cells {
        if let Found::Whole(stored) = store.find(&planned.key)? {
            gathered.records.push(CellRecord {
                row: planned.row.name.clone(),
                protocol: planned.setting(),
                seed: planned.seed,
                config: planned.cell.config.clone(),
                outcome: stored.outcome.clone(),
            });
            gathered.stored.push(*stored);
        }
    }
    Ok(gathered)
}

/// Renders an experiment into its folder.
fn make(
    experiment: &ExperimentInfo,
    spec: &Spec,
    plan: &Plan,
    what: &What,
    tuned: Option<TunedBy>,
    store: &Store,
    results: &Path,
) -> Result<()> {
    let gathered = gather(plan, store)?;
    let preset = what.preset.to_string();
    let missing = plan.cells.len() - gathered.records.len();
    if gathered.records.is_empty() {
        return Err(miette!(
            help = format!(
                "`mmcollapse reproduce {} --preset {preset}` trains them",
                experiment.name
            ),
            "{} ({preset}): none of its {} cells is in the store {}",
            experiment.name,
            plan.cells.len(),
            store.root().display()
        ));
    }
    if missing > 0 {
        eprintln!(
            "{} ({preset}): {missing} of {} cells are missing from the tables",
            experiment.name,
            plan.cells.len()
        );
    }
    let mut command = format!("mmcollapse reproduce {} --preset {preset}", experiment.name);
    if let Some(seeds) = what.seeds {
        let _ = write!(command, " --seeds {seeds}");
    }
    let synthetic = synthetic(plan)?;
    let dataset = other_dataset(spec, synthetic.is_some());
    if let Some(dataset) = dataset {
        let _ = write!(command, " --dataset {dataset}");
    }
    let folder = what.preset.folder(dataset, tuned.is_some());
    if tuned.is_some() {
        command.push_str(" --tuned");
    }
    let seeds: BTreeSet<u64> = gathered.records.iter().map(|record| record.seed).collect();
    let provenance = Provenance {
        dataset: dataset.map(str::to_owned),
        synthetic,
        tuned,
        ..provenance(plan, command, &gathered.stored, seeds.len())
    };
    let folder = results.join(experiment.name).join(folder);
    let files = render(experiment, &gathered.records, &provenance, &folder)
        .wrap_err_with(|| format!("making tables and figures in {}", folder.display()))?;
    for file in files {
        println!("{}", file.display());
    }
    Ok(())
}

/// Where a result that rests on these cells of a plan comes from.
pub(super) fn provenance(plan: &Plan, command: String, stored: &[Stored], seeds: usize) -> Provenance {
    Provenance {
        experiment: plan.experiment.clone(),
        preset: plan.preset.to_string(),
        command,
        commit: Commit::of(Path::new(".")),
        version: VERSION.to_owned(),
        data: plan.data.clone(),
        synthetic: None,
        cells: stored.len(),
        missing: plan.cells.len().saturating_sub(stored.len()),
        seeds,
        origins: count_origins(stored.iter().map(|stored| &stored.origin)),
        cell_seconds: stored.iter().map(|stored| stored.outcome.seconds).sum(),
        wall_seconds: wall_seconds(stored),
        tuned: None,
        dataset: None,
    }
}

/// A finished cell in one line: its name and its test accuracies.
fn outcome_line(planned: &Planned, stored: &Stored) -> String {
    let scores: Vec<String> = stored
        .outcome
        .scores
        .iter()
        .filter(|score| score.split == "test" && ["accuracy", "auroc"].contains(&score.metric.as_str()))
        .map(|score| {
            format!(
                "{} {:.4} at {} (n = {})",
                score.metric, score.value, score.rate, score.n
            )
        })
        .collect();
    format!("{}: test {}", planned.label(), scores.join(", "))
}
