//! `reproduce`, `run` and `report`: plan, train, gather, publish.

use mmcollapse_record::{ExperimentInfo, Split};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use miette::{Report, Result, miette};
use mmcollapse_files::{duration_text, output, say, tell};

use super::engine::{self, Engaged};
use super::options::{dataset_flag, documented_overlap};
use super::store::limit;
use super::{Ending, From, How, Place, What, interrupt};
use super::{dry, results};
use crate::{CLAIMS, EXPERIMENTS};
use mmcollapse_report::publish::{Shown, publish};
use mmcollapse_report::report::claims::Claims;
use mmcollapse_run::gather::{Conditions, Gathered};
use mmcollapse_run::models::ModelResolver;
use mmcollapse_run::on::spec_on;
use mmcollapse_run::pending::{Pending, Trained};
use mmcollapse_run::plan::{Filter, Plan, Planned, Selection};
use mmcollapse_run::published::{AllPublished, PublishedCells};
use mmcollapse_run::rounds::Show;
use mmcollapse_run::runner::{Fate, Interrupt};
use mmcollapse_run::spec::Spec;
use mmcollapse_run::store::{Found, Store, Stored};
use mmcollapse_run::tuning::Tuned;

/// What `reproduce` is to make.
pub struct Asked {
    /// The experiments.
    pub experiments: Vec<&'static ExperimentInfo>,
    /// Whether these are all: each result of the preset that was published on other data or with tuned settings is made too,
    /// and what cannot be made is left out.
    pub all: bool,
    pub what: What,
    /// With the settings that tuning found.
    pub tuned: bool,
    /// When to stop.
    pub limit: Option<Duration>,
}

/// A result that is to be made, and its cells.
struct Target {
    experiment: &'static ExperimentInfo,
    what: What,
    plan: Plan,
    conditions: Conditions,
    /// Those that are published, beside this result or another.
    cells: PublishedCells,
}

impl Target {
    fn new(
        experiment: &'static ExperimentInfo,
        what: What,
        tuned: bool,
        published: Published<'_>,
        others: Option<(&AllPublished, &Store)>,
        resolver: &mut ModelResolver,
    ) -> Result<Self> {
        let selection = what.selection(Filter::default());
        let spec = spec_on(experiment, what.dataset.as_deref(), what.preset, &selection, resolver)?;
        let tuned = tuned
            .then(|| Tuned::of(published.results, experiment, &spec, what.preset))
            .transpose()?;
        let plan = match &tuned {
            Some(tuned) => {
                tuned.check_data(resolver)?;
                tuned.plan(experiment, &spec, &selection, resolver)?
            }
            None => Plan::of(experiment, &spec, what.preset, &selection, resolver)?,
        };
        let conditions = Conditions::of(&spec, &plan, tuned.map(|tuned| tuned.by(&spec)))?;
        let cells = published_cells(&conditions, &plan, published.results, others)?;
        Ok(Self {
            experiment,
            what,
            plan,
            conditions,
            cells,
        })
    }

    /// Its folder below the results.
    fn name(&self) -> String {
        format!("{}/{}", self.experiment.name, self.conditions.folder(self.what.preset))
    }
}

/// Trains what is missing of each experiment and renders it.
pub fn reproduce(asked: &Asked, how: &How, published: Published<'_>) -> Result<Ending> {
    let end = asked.limit.map(|limit| Instant::now() + limit);
    let store = Store::new(&how.place.store);
    let (targets, mut ending) = asked.planned(&store, how, published)?;
    if !(how.dry_run || published.anew) {
        targets
            .iter()
            .try_for_each(|target| fill(&target.plan, &target.cells, &store))?;
    }
    let pending = || {
        let durations = store.durations();
        let pending = targets.iter().map(|target| {
            let published = (how.dry_run && !published.anew).then_some(&target.cells);
            Pending::beside(&target.plan, &store, published, &durations)
        });
        pending.collect::<Result<Vec<_>, _>>()
    };
    let mut found = pending()?;
    if how.dry_run {
        for (target, pending) in targets.iter().zip(&found) {
            if targets.len() > 1 {
                say!("{}:", target.name());
            }
            output::out(format_args!("{}", dry::text(&target.plan, pending, how)));
        }
    }
    if targets.len() > 1 {
        tell!("{} results: {}", targets.len(), dry::left(&found, how));
    }
    if how.dry_run {
        return Ok(ending);
    }
    // Until something is trained, Ctrl-C ends the program at once.
    let interrupt = interrupt()?;
    if let Some(end) = end {
        stop_at(end, &interrupt);
    }
    let is_at_end = || end.is_some_and(|end| Instant::now() >= end);
    let stopped = || {
        if !is_at_end() {
            return Ok(Ending::Interrupted);
        }
        tell!(
            "the limit is reached; {}; the same command continues",
            dry::left(&pending()?, how)
        );
        Ok(Ending::Limited)
    };
    for (place, target) in targets.iter().enumerate() {
        let showing = Showing::new(
            target.experiment,
            &target.plan,
            &store,
            &target.conditions,
            &target.what,
            published,
        )?;
        if interrupt.requests() > 0 || is_at_end() {
            // Planning may have taken all the time; what an earlier command trained is kept all the same.
            showing.keep_cells()?;
            return stopped();
        }
        let show = |seeds: &BTreeSet<u64>| showing.of_seeds(seeds);
        if targets.len() > 1 {
            tell!("{} of {}, {}:", place + 1, targets.len(), target.name());
        }
        let engine = || engine::of(how, &store, &interrupt);
        let trained = train(&target.plan, &found[place], &engine, Some(&show));
        // Whatever ended it.
        showing.keep_cells()?;
        match trained? {
            Ending::Interrupted => return stopped(),
            Ending::Badly => ending = Ending::Badly,
            Ending::Well | Ending::Limited => {}
        }
        limit(&store, how.weights);
        showing.make()?;
        if !found[place].is_empty() && place + 1 < targets.len() {
            // Of the others some cells may have been trained now.
            found = pending()?;
        }
    }
    Ok(ending)
}

impl Asked {
    /// The plan of each result to be made, all of whose cells can be trained; whether some were left out.
    fn planned(&self, store: &Store, how: &How, published: Published<'_>) -> Result<(Vec<Target>, Ending)> {
        let mut resolver = ModelResolver::new(how.place.offline);
        let mut ending = Ending::Well;
        let mut targets = Vec::new();
        let all = AllPublished::of(published.results);
        let others = (!published.anew).then_some((&all, store));
        for (experiment, what, tuned) in self.targets(published)? {
            let folder = what.preset.folder(what.dataset.as_deref(), tuned);
            let target = Target::new(experiment, what, tuned, published, others, &mut resolver).and_then(|target| {
                let published = (!published.anew).then_some(&target.cells);
                Pending::beside(&target.plan, store, published, &BTreeMap::new())?.check(&mut resolver)?;
                Ok(target)
            });
            match target {
                Ok(target) => targets.push(target),
                // Who lacks the data of one experiment can still have the others.
                Err(error) if self.all => {
                    left_unchanged(&format!("{}/{folder}", experiment.name), &error);
                    ending = Ending::Badly;
                }
                Err(error) => return Err(error),
            }
        }
        Ok((targets, ending))
    }

    /// Each result to be made: its experiment, what is run, and whether with tuned settings.
    fn targets(&self, published: Published<'_>) -> Result<Vec<(&'static ExperimentInfo, What, bool)>> {
        let mut targets = Vec::new();
        for experiment in &self.experiments {
            targets.push((*experiment, self.what.clone(), self.tuned));
            if !self.all || self.tuned || self.what.dataset.is_some() {
                continue;
            }
            for provenance in results::published(experiment, published.results)? {
                let dataset = results::other_than_own(experiment, &provenance)?;
                let is_other = dataset.is_some() || provenance.tuned.is_some();
                if provenance.preset == self.what.preset && is_other {
                    let what = What {
                        dataset,
                        ..self.what.clone()
                    };
                    targets.push((*experiment, what, provenance.tuned.is_some()));
                }
            }
        }
        Ok(targets)
    }
}

/// Stops a run at this time as Ctrl-C does.
fn stop_at(end: Instant, interrupt: &Interrupt) {
    let interrupt = interrupt.clone();
    thread::spawn(move || {
        thread::sleep(end.saturating_duration_since(Instant::now()));
        if interrupt.requests() == 0 {
            tell!("stopping at the limit: running cells keep their checkpoints");
            interrupt.request();
        }
    });
}

/// The cells that are published beside the result of a plan and, with `others`, those that the store lacks and another result has.
fn published_cells(
    conditions: &Conditions,
    plan: &Plan,
    results: &Path,
    others: Option<(&AllPublished, &Store)>,
) -> Result<PublishedCells> {
    let mut cells = conditions.cells(plan, results)?;
    if let Some((all, store)) = others {
        cells.add_others(plan, all, store)?;
    }
    Ok(cells)
}

/// Takes from published cells what the store lacks of a plan, and says how many.
pub(super) fn fill(plan: &Plan, cells: &PublishedCells, store: &Store) -> Result<()> {
    let filled = cells.fill(plan, store)?;
    if filled > 0 {
        tell!(
            "{} ({}): {filled} cells taken from {} (--no-published trains all anew)",
            plan.experiment,
            plan.preset,
            cells.folder().display()
        );
    }
    Ok(())
}

/// Says why a result is not made.
fn left_unchanged(name: &str, error: &Report) {
    let reasons: Vec<String> = error.chain().map(ToString::to_string).collect();
    tell!("{name}: results left unchanged: {}", reasons.join(": "));
}

/// Trains the cells of an experiment that the filters let through.
pub fn train_some(
    experiment: &'static ExperimentInfo,
    only: &[String],
    what: What,
    how: &How,
    from: &From,
) -> Result<Ending> {
    let selection = what.selection(Filter::parse(only)?);
    let mut resolver = ModelResolver::new(how.place.offline);
    let (spec, plan) = planned(experiment, &what, &selection, &mut resolver)?;
    let store = Store::new(&how.place.store);
    let all = AllPublished::of(&from.results);
    let others = (!from.no_published).then_some((&all, &store));
    let cells = published_cells(&Conditions::of(&spec, &plan, None)?, &plan, &from.results, others)?;
    let published = (!from.no_published).then_some(&cells);
    let pending = Pending::beside(&plan, &store, published, &store.durations())?;
    pending.check(&mut resolver)?;
    if how.dry_run {
        output::out(format_args!("{}", dry::text(&plan, &pending, how)));
        return Ok(Ending::Well);
    }
    if let Some(published) = published {
        fill(&plan, published, &store)?;
    }
    let pending = Pending::of(&plan, &store)?;
    let interrupt = interrupt()?;
    let ending = train(&plan, &pending, &|| engine::of(how, &store, &interrupt), None)?;
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
    let selection = what.selection(Filter::default());
    let all_published = AllPublished::of(published.results);
    for experiment in experiments {
        let (spec, plan) = match planned(experiment, &what, &selection, &mut resolver) {
            // Who lacks the data of one experiment can still have the report of the others.
            Err(error) if all => {
                left_unchanged(&format!("{} ({})", experiment.name, what.preset), &error);
                continue;
            }
            planned => planned?,
        };
        let conditions = Conditions::of(&spec, &plan, None)?;
        if !published.anew {
            let cells = published_cells(&conditions, &plan, published.results, Some((&all_published, &store)))?;
            fill(&plan, &cells, &store)?;
        }
        if all && Gathered::of(&plan, &store)?.records.is_empty() {
            tell!(
                "{} ({}): no cell of it is in the store {}",
                experiment.name,
                what.preset,
                store.root().display()
            );
            continue;
        }
        Showing::new(experiment, &plan, &store, &conditions, &what, published)?.make()?;
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
    let spec = spec_on(experiment, what.dataset.as_deref(), what.preset, selection, resolver)?;
    let plan = Plan::of(experiment, &spec, what.preset, selection, resolver)?;
    Ok((spec, plan))
}

impl What {
    /// The cells of it that a filter lets through.
    fn selection(&self, only: Filter) -> Selection {
        Selection {
            seeds: self.seeds,
            first_seed: None,
            only,
        }
    }
}

/// Trains what is pending of a plan, and says how far that is. With `show`, what is complete is shown after every seed.
pub(super) fn train(
    plan: &Plan,
    pending: &Pending<'_>,
    engine: &dyn Fn() -> Result<Engaged>,
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
    let (engine, workers) = engine()?;
    conclude(&pending.train(engine.as_ref(), workers, show))
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

/// Where results are kept.
#[derive(Clone, Copy)]
pub struct Published<'a> {
    /// Their folder.
    pub results: &'a Path,
    /// Whether a less complete result may replace a more complete one.
    pub force: bool,
    /// Whether published cells that the store lacks are left where they are.
    pub anew: bool,
}

/// A result that is asked for: of what it is made, and where it goes.
struct Showing<'a> {
    experiment: &'a ExperimentInfo,
    plan: &'a Plan,
    store: &'a Store,
    conditions: &'a Conditions,
    /// The command that makes it.
    command: String,
    /// Test samples to each training sample where the seeds cut the same records anew.
    overlap: Option<f64>,
    published: Published<'a>,
}

impl<'a> Showing<'a> {
    fn new(
        experiment: &'a ExperimentInfo,
        plan: &'a Plan,
        store: &'a Store,
        conditions: &'a Conditions,
        what: &What,
        published: Published<'a>,
    ) -> Result<Self> {
        let mut command = format!("mmcollapse reproduce {} --preset {}", experiment.name, what.preset);
        if let Some(seeds) = what.seeds {
            let _ = write!(command, " --seeds {seeds}");
        }
        command += &dataset_flag(conditions.dataset.as_deref());
        if conditions.tuned.is_some() {
            command.push_str(" --tuned");
        }
        let claims = Claims::parse(CLAIMS, EXPERIMENTS)?;
        let names: Vec<&str> = plan.data.keys().map(String::as_str).collect();
        let overlap = documented_overlap(&claims, conditions.dataset.as_deref(), &names);
        Ok(Self {
            experiment,
            plan,
            store,
            conditions,
            command,
            overlap: overlap.filter(|overlap| *overlap > 0.0),
            published,
        })
    }

    /// Adds what the store has to the cells that are published beside the result.
    fn keep_cells(&self) -> Result<()> {
        let mut cells = self.conditions.cells(self.plan, self.published.results)?;
        if cells.update(self.plan, self.store)? {
            cells.write()?;
        }
        Ok(())
    }

    /// Writes tables and figures of what is gathered, and its cells. Only at the end of a run, or of a report, `--force` replaces a more
    /// complete result.
    fn show(&self, gathered: &Gathered, is_end: bool) -> Result<Shown> {
        self.keep_cells()?;
        let mut provenance = gathered.provenance(self.plan, self.conditions, &self.command);
        provenance.overlap = self.overlap;
        let Published { results, force, .. } = self.published;
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
                help = format!("`{}` with the same --store trains them", self.command),
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
        if shown.replaced_other_data {
            tell!(
                "{name} ({preset}): {} had a result of other data under the same name, which this one replaces. Another `name` in the \
                 data set's file keeps both",
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
