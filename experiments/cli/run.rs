//! `reproduce`, `run` and `report`: plan, train, gather, render.

use mmcollapse_record::{ExperimentInfo, Provenance, Record, Split, TunedBy, count_origins};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;
use std::{env, io, thread};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use mmcollapse_files::{duration_text, output, say, tell};
use mmcollapse_nn::device::DeviceChoice;

use super::dry;
use super::on::{other_dataset, spec_on, synthetic};
use super::rounds::{LAST, Rounds, late_rows};
use super::{Ending, How, Place, What, interrupt, workers};
use mmcollapse_report::publish::{Extent, Place as Folder, place, sweep};
use mmcollapse_report::render::render;
use mmcollapse_run::models::ModelResolver;
use mmcollapse_run::plan::{Filter, Plan, Planned, Selection};
use mmcollapse_run::progress::{Basis, Estimator, Expectation, Progress};
use mmcollapse_run::provenance::{Build, VERSION};
use mmcollapse_run::runner::{Fate, Interrupt, Job, Runner, Summary, WorkerCommand};
use mmcollapse_run::spec::Spec;
use mmcollapse_run::store::{Found, Store, StoreError, Stored, wall_seconds};
use mmcollapse_run::tuning::Tuned;

/// Trains what is missing of each experiment and renders it.
///
/// `tuned`: with the settings that tuning found under `results`.
pub fn reproduce(
    experiments: &[&'static ExperimentInfo],
    what: What,
    tuned: bool,
    how: &How,
    published: Published<'_>,
) -> Result<Ending> {
    let mut resolver = ModelResolver::new(how.place.offline);
    let selection = Selection {
        seeds: what.seeds,
        ..Selection::default()
    };
    let mut interrupted: Option<Interrupt> = None;
    let mut ending = Ending::Well;
    for experiment in experiments {
        let spec = what.spec(experiment, &mut resolver)?;
        let tuned = tuned
            .then(|| Tuned::of(published.results, experiment, &spec, what.preset))
            .transpose()?;
        let plan = match &tuned {
            Some(tuned) => tuned.plan(experiment, &spec, &selection, &mut resolver)?,
            None => Plan::of(experiment, &spec, what.preset, &selection, &mut resolver)?,
        };
        let work = Work::new(&plan, Store::new(&how.place.store))?;
        work.check(&mut resolver)?;
        if how.dry_run {
            output::out(format_args!("{}", work.dry_run(workers(how.workers), how.verbose)));
            continue;
        }
        let tuned = tuned.map(|tuned| tuned.by(&spec));
        let showing = Showing::new(experiment, &spec, &plan, &what, tuned, published)?;
        // Until something is trained, Ctrl-C ends the program at once.
        let interrupt = match &interrupted {
            Some(interrupt) if interrupt.requests() > 0 => return Ok(Ending::Interrupted),
            Some(interrupt) => interrupt,
            None => &*interrupted.insert(interrupt()?),
        };
        match work.train_in_rounds(how.device, workers(how.workers), interrupt, Some(&showing))? {
            Ending::Interrupted => return Ok(Ending::Interrupted),
            Ending::Badly => ending = Ending::Badly,
            Ending::Well => {}
        }
        make(&plan, &work.store, &showing)?;
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
    work.check(&mut resolver)?;
    if how.dry_run {
        output::out(format_args!("{}", work.dry_run(workers(how.workers), how.verbose)));
        return Ok(Ending::Well);
    }
    let ending = work.train(how.device, workers(how.workers), &interrupt()?)?;
    for planned in &plan.cells {
        if let Found::Whole(stored) = work.store.find(&planned.key)? {
            say!("{}", outcome_line(planned, &stored));
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
    published: Published<'_>,
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
                let reasons: Vec<String> = error.chain().map(ToString::to_string).collect();
                tell!(
                    "{} ({}): results left unchanged: {}",
                    experiment.name,
                    what.preset,
                    reasons.join(": ")
                );
                continue;
            }
            planned => planned?,
        };
        if all && gather(&plan, &store)?.records.is_empty() {
            tell!(
                "{} ({}): no cell of it is in the store {}",
                experiment.name,
                what.preset,
                store.root().display()
            );
            continue;
        }
        let showing = Showing::new(experiment, &spec, &plan, &what, None, published)?;
        make(&plan, &store, &showing)?;
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

    /// Whether what is to be trained can be.
    ///
    /// # Errors
    /// Why some of it cannot.
    pub(super) fn check(&self, resolver: &mut ModelResolver) -> Result<()> {
        let missing = self.missing.iter().map(|place| &self.plan.cells[*place]);
        resolver.check(&format!("{} ({})", self.plan.experiment, self.plan.preset), missing)
    }

    /// Which cells are there and how long the rest will take, row by row; `verbose`: and cell by cell.
    pub(super) fn dry_run(&self, workers: usize, verbose: bool) -> String {
        let missing: BTreeSet<usize> = self.missing.iter().copied().collect();
        dry::text(self.plan, &missing, &self.damaged, workers, verbose, |planned| {
            self.estimate(planned)
        })
    }

    /// Trains what is missing.
    pub(super) fn train(&self, device: DeviceChoice, workers: usize, interrupt: &Interrupt) -> Result<Ending> {
        self.train_in_rounds(device, workers, interrupt, None)
    }

    /// Trains what is missing, and shows what is complete after every seed.
    pub(super) fn train_in_rounds(
        &self,
        device: DeviceChoice,
        workers: usize,
        interrupt: &Interrupt,
        showing: Option<&Showing<'_>>,
    ) -> Result<Ending> {
        let all = self.plan.cells.len();
        let found = all - self.missing.len();
        tell!(
            "{} ({}): {all} cells, {found} in the store",
            self.plan.experiment,
            self.plan.preset
        );
        if self.missing.is_empty() {
            return Ok(Ending::Well);
        }
        let device = settled(device)?;
        let planned = || self.missing.iter().map(|place| &self.plan.cells[*place]);
        let late = late_rows(self.plan);
        let jobs: Vec<Job> = planned()
            .map(|planned| Job {
                cell: planned.cell.clone(),
                label: planned.label(),
                round: if late.contains(planned.row.name.as_str()) {
                    LAST
                } else {
                    planned.seed
                },
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
        let runner = Runner::new(command, workers, interrupt.clone());
        let summary = match showing {
            None => runner.run(&jobs, &progress),
            Some(showing) => {
                let (sender, settled) = mpsc::channel();
                let rounds = Rounds::new(&progress, jobs.iter().map(|job| job.round).collect(), sender);
                thread::scope(|scope| {
                    let rounds = &rounds;
                    let shown = scope.spawn(move || rounds.show(settled, self.plan, &self.store, showing));
                    let summary = runner.run(&jobs, rounds);
                    rounds.end();
                    // It has no result to lose: what it could not show is made at the end.
                    let _ = shown.join();
                    summary
                })
            }
        };
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
    tell!(
        "{done} cells done ({diverged} diverged), {failed} failed, {unfinished} unfinished in {}",
        duration_text(seconds)
    );
    for (job, fate) in jobs.iter().zip(&summary.fates) {
        if let Fate::Failed(reason) = fate {
            tell!("failed: {}: {reason}", job.label);
        }
    }
    if let Some(error) = &summary.error {
        return Err(miette!(
            help = "finished cells are in the store; the same command continues",
            "the run stopped: {error}"
        ));
    }
    if unfinished > 0 {
        tell!("interrupted: the same command continues");
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
    pub(super) records: Vec<Record>,
    stored: Vec<Stored>,
}

impl Gathered {
    /// What of it is of these seeds.
    pub(super) fn of_seeds(self, seeds: &BTreeSet<u64>) -> Self {
        let both = self.records.into_iter().zip(self.stored);
        let (records, stored) = both.filter(|(record, _)| seeds.contains(&record.seed)).unzip();
        Self { records, stored }
    }
}

/// Reads the outcomes of a plan, in its order; what is not there is left out.
pub(super) fn gather(plan: &Plan, store: &Store) -> Result<Gathered, StoreError> {
    let mut gathered = Gathered {
        records: Vec::new(),
        stored: Vec::new(),
    };
    for planned in &plan.cells {
        if let Found::Whole(stored) = store.find(&planned.key)? {
            gathered.records.push(planned.record(stored.outcome.clone()));
            gathered.stored.push(*stored);
        }
    }
    Ok(gathered)
}

/// Where results are kept.
#[derive(Clone, Copy)]
pub struct Published<'a> {
    /// Their folder.
    pub results: &'a Path,
    /// Whether a less complete result may replace a more complete one.
    pub force: bool,
}

/// How the outcomes of an experiment are shown.
pub(super) struct Showing<'a> {
    experiment: &'a ExperimentInfo,
    preset: String,
    command: String,
    dataset: Option<String>,
    synthetic: Option<String>,
    tuned: Option<TunedBy>,
    /// The folder of the result.
    own: PathBuf,
    force: bool,
}

/// A result that was written.
pub(super) struct Shown {
    pub(super) folder: PathBuf,
    files: Vec<PathBuf>,
    /// Which result was kept in its place and why, in words.
    pub(super) kept: Option<String>,
}

impl<'a> Showing<'a> {
    pub(super) fn new(
        experiment: &'a ExperimentInfo,
        spec: &Spec,
        plan: &Plan,
        what: &What,
        tuned: Option<TunedBy>,
        published: Published<'_>,
    ) -> Result<Self> {
        let preset = what.preset.to_string();
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
        Ok(Self {
            experiment,
            preset,
            command,
            dataset: dataset.map(str::to_owned),
            synthetic,
            tuned,
            own: published.results.join(experiment.name).join(folder),
            force: published.force,
        })
    }

    /// Writes tables and figures of what is gathered, into the folder of the result or, if a more complete one is there,
    /// beside it. At the end of a run, or of a report, `--force` replaces that one.
    pub(super) fn show(&self, plan: &Plan, gathered: &Gathered, is_end: bool) -> Result<Shown> {
        let extent = Extent::of(&gathered.records);
        let Folder { folder, kept } = if self.force && is_end {
            Folder {
                folder: self.own.clone(),
                kept: None,
            }
        } else {
            place(&self.own, &extent)
        };
        let seeds: BTreeSet<u64> = gathered.records.iter().map(|record| record.seed).collect();
        let planned: BTreeSet<u64> = plan.cells.iter().map(|planned| planned.seed).collect();
        let all = plan.whole.cells.max(plan.cells.len());
        let missing = all.saturating_sub(gathered.records.len());
        let name = |folder: &Path| folder.file_name().unwrap_or_default().display().to_string();
        let provenance = Provenance {
            dataset: self.dataset.clone(),
            synthetic: self.synthetic.clone(),
            excerpt: self.dataset.as_deref().and_then(excerpt),
            tuned: self.tuned.clone(),
            missing,
            preset_seeds: (missing > 0).then_some(plan.whole.seeds.max(planned.len())),
            more_complete: kept.as_ref().map(|kept| name(&kept.folder)),
            ..provenance(plan, self.command.clone(), &gathered.stored, seeds.len())
        };
        let failed = || format!("making tables and figures in {}", folder.display());
        let files = render(self.experiment, &gathered.records, &provenance, &folder).wrap_err_with(failed)?;
        sweep(&self.own, &folder, &extent)
            .into_diagnostic()
            .wrap_err("cannot remove the partial results that this one covers")?;
        let kept = kept.map(|kept| format!("{} is kept: the new result has {}", kept.folder.display(), kept.reason));
        Ok(Shown { folder, files, kept })
    }
}

/// Renders what the store has of a plan.
fn make(plan: &Plan, store: &Store, showing: &Showing<'_>) -> Result<()> {
    let gathered = gather(plan, store)?;
    let (name, preset) = (showing.experiment.name, &showing.preset);
    let missing = plan.cells.len() - gathered.records.len();
    if gathered.records.is_empty() {
        return Err(miette!(
            help = format!("`mmcollapse reproduce {name} --preset {preset}` trains them"),
            "{name} ({preset}): none of its {} cells is in the store {}",
            plan.cells.len(),
            store.root().display()
        ));
    }
    if missing > 0 {
        tell!(
            "{name} ({preset}): {missing} of {} cells are missing from the tables",
            plan.cells.len()
        );
    }
    let shown = showing.show(plan, &gathered, true)?;
    if let Some(kept) = shown.kept {
        tell!(
            "{name} ({preset}): {kept}; the new one is in {} (--force replaces the other)",
            shown.folder.display()
        );
    }
    for file in shown.files {
        say!("{}", file.display());
    }
    Ok(())
}

/// The sentence that says of which data set this one is an excerpt, if it is one.
fn excerpt(dataset: &str) -> Option<String> {
    let excerpt = mmcollapse_data::find(dataset).ok()?.excerpt();
    excerpt.map(str::to_owned)
}

/// Where a result that rests on these cells of a plan comes from.
pub(super) fn provenance(plan: &Plan, command: String, stored: &[Stored], seeds: usize) -> Provenance {
    let build = Build::here();
    Provenance {
        experiment: plan.experiment.clone(),
        preset: plan.preset.to_string(),
        command,
        commit: build.commit(),
        commit_not_known: build.why_not_known(),
        version: VERSION.to_owned(),
        data: plan.data.clone(),
        synthetic: None,
        excerpt: None,
        cells: stored.len(),
        missing: plan.cells.len().saturating_sub(stored.len()),
        seeds,
        preset_seeds: None,
        more_complete: None,
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
        .filter(|score| score.split == Split::Test && ["accuracy", "auroc"].contains(&score.metric.as_str()))
        .map(|score| {
            format!(
                "{} {:.4} at {} (n = {})",
                score.metric, score.value, score.rate, score.n
            )
        })
        .collect();
    format!("{}: test {}", planned.label(), scores.join(", "))
}
