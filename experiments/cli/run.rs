//! `reproduce`, `run` and `report`: plan, train, gather, publish.

use mmcollapse_record::{ExperimentInfo, Split};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, io};

use miette::{IntoDiagnostic, Result, miette};
use mmcollapse_files::{duration_text, output, say, tell};
use mmcollapse_nn::device::DeviceChoice;

use super::dry;
use super::store::limit;
use super::{Ending, How, Place, What, interrupt, workers};
use mmcollapse_report::publish::{Shown, publish};
use mmcollapse_run::gather::{Conditions, Gathered};
use mmcollapse_run::models::ModelResolver;
use mmcollapse_run::on::spec_on;
use mmcollapse_run::pending::{Pending, Trained, settled};
use mmcollapse_run::plan::{Filter, Plan, Planned, Selection};
use mmcollapse_run::rounds::Show;
use mmcollapse_run::runner::{Fate, Interrupt, WorkerCommand};
use mmcollapse_run::spec::Spec;
use mmcollapse_run::store::{Found, Store, Stored};
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
        let store = Store::new(&how.place.store);
        let pending = Pending::of(&plan, &store)?;
        pending.check(&mut resolver)?;
        if how.dry_run {
            output::out(format_args!("{}", dry::text(&plan, &pending, how)));
            continue;
        }
        let conditions = Conditions::of(&spec, &plan, tuned.map(|tuned| tuned.by(&spec)))?;
        let showing = Showing::new(experiment, &plan, &store, conditions, &what, published);
        // Until something is trained, Ctrl-C ends the program at once.
        let interrupt = match &interrupted {
            Some(interrupt) if interrupt.requests() > 0 => return Ok(Ending::Interrupted),
            Some(interrupt) => interrupt,
            None => &*interrupted.insert(interrupt()?),
        };
        let show = |seeds: &BTreeSet<u64>| showing.of_seeds(seeds);
        match train(&plan, &pending, &store, how.device, how.workers, interrupt, Some(&show))? {
            Ending::Interrupted => return Ok(Ending::Interrupted),
            Ending::Badly => ending = Ending::Badly,
            Ending::Well => {}
        }
        limit(&store, how.weights);
        showing.make()?;
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
    let store = Store::new(&how.place.store);
    let pending = Pending::of(&plan, &store)?;
    pending.check(&mut resolver)?;
    if how.dry_run {
        output::out(format_args!("{}", dry::text(&plan, &pending, how)));
        return Ok(Ending::Well);
    }
    let ending = train(&plan, &pending, &store, how.device, how.workers, &interrupt()?, None)?;
    limit(&store, how.weights);
    for planned in &plan.cells {
        if let Found::Whole(stored) = store.find(&planned.key)? {
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
        if all && Gathered::of(&plan, &store)?.records.is_empty() {
            tell!(
                "{} ({}): no cell of it is in the store {}",
                experiment.name,
                what.preset,
                store.root().display()
            );
            continue;
        }
        let conditions = Conditions::of(&spec, &plan, None)?;
        Showing::new(experiment, &plan, &store, conditions, &what, published).make()?;
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

/// Trains what is pending of a plan, and says how far that is. With `show`, what is complete is shown after every seed.
pub(super) fn train(
    plan: &Plan,
    pending: &Pending<'_>,
    store: &Store,
    device: DeviceChoice,
    asked: Option<usize>,
    interrupt: &Interrupt,
    show: Option<Show<'_>>,
) -> Result<Ending> {
    let all = plan.cells.len();
    let found = all - pending.missing().len();
    let measured = match pending.unmeasured().len() {
        0 => String::new(),
        cells => format!(", {cells} of them to be measured from their weights"),
    };
    tell!(
        "{} ({}): {all} cells, {found} in the store{measured}",
        plan.experiment,
        plan.preset
    );
    if pending.is_empty() {
        return Ok(Ending::Well);
    }
    let command = worker_command(store, settled(device)?).into_diagnostic()?;
    conclude(&pending.train(command, workers(asked), interrupt, show))
}

/// Says how a run ended.
fn conclude(trained: &Trained) -> Result<Ending> {
    let summary = &trained.summary;
    let count = |like: fn(&Fate) -> bool| summary.fates.iter().filter(|fate| like(fate)).count();
    let done = count(|fate| matches!(fate, Fate::Done { .. }));
    let diverged = count(|fate| matches!(fate, Fate::Done { diverged: true, .. }));
    let failed = count(|fate| matches!(fate, Fate::Failed(_)));
    let unfinished = count(|fate| matches!(fate, Fate::Unfinished));
    tell!(
        "{done} cells done ({diverged} diverged), {failed} failed, {unfinished} unfinished in {}",
        duration_text(trained.seconds)
    );
    for (label, fate) in trained.labels.iter().zip(&summary.fates) {
        if let Fate::Failed(reason) = fate {
            tell!("failed: {label}: {reason}");
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

/// Where results are kept.
#[derive(Clone, Copy)]
pub struct Published<'a> {
    /// Their folder.
    pub results: &'a Path,
    /// Whether a less complete result may replace a more complete one.
    pub force: bool,
}

/// A result that is asked for: of what it is made, and where it goes.
struct Showing<'a> {
    experiment: &'a ExperimentInfo,
    plan: &'a Plan,
    store: &'a Store,
    conditions: Conditions,
    /// The command that makes it.
    command: String,
    published: Published<'a>,
}

impl<'a> Showing<'a> {
    fn new(
        experiment: &'a ExperimentInfo,
        plan: &'a Plan,
        store: &'a Store,
        conditions: Conditions,
        what: &What,
        published: Published<'a>,
    ) -> Self {
        let mut command = format!("mmcollapse reproduce {} --preset {}", experiment.name, what.preset);
        if let Some(seeds) = what.seeds {
            let _ = write!(command, " --seeds {seeds}");
        }
        if let Some(dataset) = &conditions.dataset {
            let _ = write!(command, " --dataset {dataset}");
        }
        if conditions.tuned.is_some() {
            command.push_str(" --tuned");
        }
        Self {
            experiment,
            plan,
            store,
            conditions,
            command,
            published,
        }
    }

    /// Writes tables and figures of what is gathered. Only at the end of a run, or of a report, `--force` replaces a more
    /// complete result.
    fn show(&self, gathered: &Gathered, is_end: bool) -> Result<Shown> {
        let provenance = gathered.provenance(self.plan, &self.conditions, &self.command);
        let Published { results, force } = self.published;
        publish(self.experiment, &gathered.records, provenance, results, force && is_end)
    }

    /// Makes the table of these seeds and says in a line where it is; nothing where they have no outcome.
    fn of_seeds(&self, seeds: &BTreeSet<u64>) -> Result<Option<String>> {
        let gathered = Gathered::of(self.plan, self.store)?.of_seeds(seeds);
        if gathered.records.is_empty() {
            return Ok(None);
        }
        let shown = self.show(&gathered, false)?;
        let all: BTreeSet<u64> = self.plan.cells.iter().map(|planned| planned.seed).collect();
        Ok(Some(line(self.experiment.name, seeds.len(), all.len(), &shown)))
    }

    /// Makes tables and figures of all that the store has of the plan.
    fn make(&self) -> Result<()> {
        let gathered = Gathered::of(self.plan, self.store)?;
        let (name, preset, cells) = (self.experiment.name, self.plan.preset, self.plan.cells.len());
        let missing = cells - gathered.records.len();
        if gathered.records.is_empty() {
            return Err(miette!(
                help = format!("`mmcollapse reproduce {name} --preset {preset}` trains them"),
                "{name} ({preset}): none of its {cells} cells is in the store {}",
                self.store.root().display()
            ));
        }
        if missing > 0 {
            tell!("{name} ({preset}): {missing} of {cells} cells are missing from the tables");
        }
        let shown = self.show(&gathered, true)?;
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
}

/// `Table 4, n = 1 of 10: results/table4/quick/table.md`.
fn line(experiment: &str, n: usize, of: usize, shown: &Shown) -> String {
    let kept = shown
        .kept
        .as_ref()
        .map_or_else(String::new, |kept| format!(" ({kept})"));
    let table = shown.folder.join("table.md");
    format!("{}, n = {n} of {of}: {}{kept}", name(experiment), table.display())
}

/// What the paper calls the experiment's table or figure, else the experiment's own name.
fn name(experiment: &str) -> String {
    let of_paper = [("table", "Table"), ("fig", "Figure")]
        .into_iter()
        .find_map(|(short, long)| {
            let number = experiment.strip_prefix(short)?;
            number.parse::<u32>().is_ok().then(|| format!("{long} {number}"))
        });
    of_paper.unwrap_or_else(|| experiment.to_owned())
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

#[cfg(test)]
mod tests;
