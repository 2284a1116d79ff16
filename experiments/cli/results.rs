//! `results`: whether published results rest on the cells that today's code, spec and data would train.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use miette::{IntoDiagnostic, Result, WrapErr};
use mmcollapse_files::{say, tell, write_atomic};
use mmcollapse_record::{ExperimentInfo, Preset, Provenance};
use mmcollapse_report::render::KEYS;
use mmcollapse_report::report::{EXCEPTIONS, STATES, by_result};
use mmcollapse_run::freshness::{Recorded, State};
use mmcollapse_run::models::ModelResolver;
use mmcollapse_run::on::spec_without_data;
use mmcollapse_run::plan::{Plan, Selection};
use mmcollapse_run::published::PublishedCells;
use mmcollapse_run::spec::Spec;
use mmcollapse_run::tuning::Tuned;

use super::Ending;

/// A published result.
pub struct Published {
    /// Its folder: `table3/quick`.
    pub name: String,
    pub state: State,
    /// Why it should be trained anew although its cells are today's.
    dirty: Option<String>,
}

impl Published {
    /// What is wrong with it.
    fn fault(&self) -> Option<String> {
        match self.state {
            State::Stale(_) => Some(self.state.to_string()),
            State::Fresh | State::Incomplete { .. } => self.dirty.clone(),
        }
    }
}

/// Prints the state of each published result and writes it for the pages. Fails where one is stale or of changed sources and
/// is no exception.
pub(super) fn results(experiments: &[ExperimentInfo], results: &Path) -> Result<Ending> {
    let (published, not_at_hand) = write(experiments, results)?;
    let exceptions = exceptions(results)?;
    for one in &published {
        let dirty = one
            .dirty
            .as_ref()
            .map_or_else(String::new, |dirty| format!("; {dirty}"));
        let exception = exceptions.get(&one.name);
        let exception = exception.map_or_else(String::new, |reason| format!(" (exception: {reason})"));
        say!("{}: {}{dirty}{exception}", one.name, one.state);
    }
    if !not_at_hand.is_empty() {
        let names = not_at_hand.into_iter().collect::<Vec<_>>().join(", ");
        tell!("not at hand: {names}; of these, only code and spec were compared");
    }
    let faults = faults(&published, &exceptions);
    for fault in &faults {
        tell!("{fault}");
    }
    Ok(if faults.is_empty() { Ending::Well } else { Ending::Badly })
}

/// Writes the state of each published result for the pages; returns them, and the data sets that could not be compared.
pub(super) fn write(experiments: &[ExperimentInfo], results: &Path) -> Result<(Vec<Published>, BTreeSet<String>)> {
    let mut not_at_hand = BTreeSet::new();
    let published = states(experiments, results, &mut ModelResolver::new(true), &mut not_at_hand)?;
    write_atomic(&results.join(STATES), text(&published).as_bytes()).into_diagnostic()?;
    Ok((published, not_at_hand))
}

/// The state of each published result, smoke excepted. `not_at_hand` gets the data sets whose digests could not be compared.
///
/// # Errors
/// A result whose files cannot be read.
pub fn states(
    experiments: &[ExperimentInfo],
    results: &Path,
    resolver: &mut ModelResolver,
    not_at_hand: &mut BTreeSet<String>,
) -> Result<Vec<Published>> {
    let mut states = Vec::new();
    for experiment in experiments {
        for provenance in published(experiment, results)? {
            let folder = folder(&provenance);
            states.push(Published {
                state: state(experiment, &provenance, results, resolver, not_at_hand)?,
                dirty: dirty(&provenance),
                name: format!("{}/{folder}", experiment.name),
            });
        }
    }
    Ok(states)
}

/// The provenance of each published result of an experiment, by folder. Neither smoke nor partial results are published.
///
/// # Errors
/// A result that cannot be read.
pub fn published(experiment: &ExperimentInfo, results: &Path) -> Result<Vec<Provenance>> {
    let own = results.join(experiment.name);
    let folders = match fs::read_dir(&own) {
        Ok(folders) => folders,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).into_diagnostic().wrap_err(own.display().to_string()),
    };
    let mut found = BTreeMap::new();
    for entry in folders {
        let name = entry.into_diagnostic()?.file_name().display().to_string();
        let path = own.join(&name).join("runs.provenance.json");
        if !path.is_file() {
            continue;
        }
        let text = fs::read(&path).into_diagnostic();
        let provenance = text.and_then(|text| serde_json::from_slice::<Provenance>(&text).into_diagnostic());
        let provenance = provenance.wrap_err_with(|| path.display().to_string())?;
        if provenance.preset != Preset::Smoke && folder(&provenance) == name {
            found.insert(name, provenance);
        }
    }
    Ok(found.into_values().collect())
}

/// The data set of a result, where it is not the one that the experiment takes by itself.
///
/// # Errors
/// A spec that cannot be read.
pub fn other_than_own(experiment: &ExperimentInfo, provenance: &Provenance) -> Result<Option<String>> {
    let spec = Spec::of(experiment).map_err(|error| *error)?;
    Ok(provenance.dataset.clone().filter(|dataset| *dataset != spec.dataset))
}

/// The name of a result's folder.
fn folder(provenance: &Provenance) -> String {
    provenance
        .preset
        .folder(provenance.dataset.as_deref(), provenance.tuned.is_some())
}

/// The state of a result.
fn state(
    experiment: &ExperimentInfo,
    provenance: &Provenance,
    results: &Path,
    resolver: &mut ModelResolver,
    not_at_hand: &mut BTreeSet<String>,
) -> Result<State> {
    let folder = folder(provenance);
    let path = results.join(experiment.name).join(&folder).join(KEYS);
    let keys: BTreeSet<String> = match fs::read_to_string(&path) {
        Ok(text) => text.lines().map(str::to_owned).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(State::Stale("its cells are not known".to_owned()));
        }
        Err(error) => return Err(error).into_diagnostic().wrap_err(path.display().to_string()),
    };
    let cells = PublishedCells::read(results, experiment.name, &folder)?;
    let mut recorded = Recorded::new(resolver, &cells);
    let plan = plan(experiment, provenance, results, &keys, &cells, &mut recorded);
    not_at_hand.extend(recorded.not_at_hand().iter().cloned());
    Ok(match plan {
        Ok(plan) => State::of(&keys, &cells, &plan),
        // What cannot be planned today was planned otherwise.
        Err(error) => State::Stale(format!("it cannot be planned today: {error}")),
    })
}

/// What today's code and spec would train for a result.
fn plan(
    experiment: &ExperimentInfo,
    provenance: &Provenance,
    results: &Path,
    keys: &BTreeSet<String>,
    cells: &PublishedCells,
    recorded: &mut Recorded<'_>,
) -> Result<Plan> {
    let dataset = other_than_own(experiment, provenance)?;
    let spec = spec_without_data(experiment, dataset.as_deref())?;
    let seeds = keys.iter().filter_map(|key| cells.cell(key)?.seed());
    let mut selection = Selection::default();
    if let Some(preset) = spec.presets.get(&provenance.preset) {
        let own = selection.range(preset);
        // More than the preset's may have been asked for.
        let end = seeds.map(|seed| seed + 1).max().unwrap_or(0).max(own.end);
        selection.seeds = Some(end - own.start);
    }
    match &provenance.tuned {
        None => Plan::of(experiment, &spec, provenance.preset, &selection, recorded),
        Some(_) => {
            Tuned::of(results, experiment, &spec, provenance.preset)?.plan(experiment, &spec, &selection, recorded)
        }
    }
}

/// Which cells of a result were trained from changed or unknown sources.
fn dirty(provenance: &Provenance) -> Option<String> {
    let of_changed = |commit: &Option<mmcollapse_record::Commit>| commit.as_ref().is_none_or(|commit| commit.dirty);
    let changed = provenance
        .origins
        .iter()
        .filter(|count| of_changed(&count.origin.commit));
    let cells: usize = changed.map(|count| count.cells).sum();
    (cells > 0).then(|| {
        format!(
            "{cells} of {} cells trained from changed or unknown sources",
            provenance.cells
        )
    })
}

/// The exceptions, by name of the result.
///
/// # Errors
/// A file that cannot be read.
pub fn exceptions(results: &Path) -> Result<BTreeMap<String, String>> {
    by_result(&results.join(EXCEPTIONS))
}

/// What is wrong with published results, each in a line: a fault that is no exception, and an exception without a fault.
pub fn faults(published: &[Published], exceptions: &BTreeMap<String, String>) -> Vec<String> {
    let mut faults = Vec::new();
    for one in published {
        match (one.fault(), exceptions.contains_key(&one.name)) {
            (Some(fault), false) => faults.push(format!(
                "{}: {fault}; reproduce it from a clean tree, or list it in {EXCEPTIONS} with the reason",
                one.name
            )),
            (None, true) => faults.push(format!(
                "{}: remove it from {EXCEPTIONS}: it is as it should be",
                one.name
            )),
            _ => {}
        }
    }
    let names: BTreeSet<&str> = published.iter().map(|one| one.name.as_str()).collect();
    let unknown = exceptions.keys().filter(|name| !names.contains(name.as_str()));
    faults.extend(unknown.map(|name| format!("{name}: remove it from {EXCEPTIONS}: there is no such result")));
    faults
}

/// The file that tells the pages which results are stale.
pub fn text(published: &[Published]) -> String {
    let lines = published
        .iter()
        .map(|one| format!("{}: {}\n", one.name, one.state.word()));
    let lines: String = lines.collect();
    let lines = if lines.is_empty() { "{}\n" } else { &lines };
    format!("# Written by `mmcollapse results`, read by the pages.\n{lines}")
}

#[cfg(test)]
mod tests;
