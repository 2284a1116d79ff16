//! `gate`: trains the smoke preset anew and compares.

use std::path::Path;

use miette::{IntoDiagnostic, Result, miette};
use mmcollapse_files::{output, say};
use mmcollapse_nn::device::DeviceChoice;

use super::engine;
use super::run::train;
use super::{Ending, interrupt};
use mmcollapse_record::{ExperimentInfo, Preset};
use mmcollapse_run::gate::{Comparison, Golden, path, text};
use mmcollapse_run::gather::Gathered;
use mmcollapse_run::models::ModelResolver;
use mmcollapse_run::on::spec_on_excerpt;
use mmcollapse_run::pending::Pending;
use mmcollapse_run::plan::{Plan, Selection};
use mmcollapse_run::store::Store;

/// The experiments that have golden values.
pub fn with_golden_values(
    experiments: &'static [ExperimentInfo],
    results: &Path,
) -> Result<Vec<&'static ExperimentInfo>> {
    let (found, without): (Vec<_>, Vec<&ExperimentInfo>) = experiments
        .iter()
        .partition(|experiment| path(results, experiment.name).exists());
    if found.is_empty() {
        return Err(miette!(
            help = "`mmcollapse gate --update` writes them",
            "there are no golden values under {}",
            results.join("golden").display()
        ));
    }
    if !without.is_empty() {
        let names: Vec<&str> = without.iter().map(|experiment| experiment.name).collect();
        say!(
            "without golden values, so not compared: {} (`mmcollapse gate NAME --update` writes them)",
            names.join(", ")
        );
    }
    Ok(found)
}

/// Trains the smoke preset of each experiment and compares it with its golden values, or writes them.
pub fn gate(
    experiments: &[&'static ExperimentInfo],
    update: bool,
    asked: Option<usize>,
    offline: bool,
    results: &Path,
) -> Result<Ending> {
    // A fresh store: cells that were trained before would hide what the code does now. One for all
    // experiments, since they share cells.
    let folder = tempfile::tempdir().into_diagnostic()?;
    let store = Store::new(folder.path());
    let mut resolver = ModelResolver::new(offline);
    let interrupt = interrupt()?;
    let mut ending = Ending::Well;
    let comparison = Comparison::here();
    for experiment in experiments {
        // Read first, so that a missing file is told before a minute has gone by.
        let golden = if update {
            None
        } else {
            Some(Golden::read(results, experiment.name)?)
        };
        let spec = spec_on_excerpt(experiment, &resolver)?;
        let plan = Plan::of(experiment, &spec, Preset::Smoke, &Selection::default(), &mut resolver)?;
        let pending = Pending::of(&plan, &store)?;
        if train(
            &plan,
            &pending,
            &|| engine::local(&store, DeviceChoice::Cpu, asked, &interrupt),
            None,
        )? == Ending::Interrupted
        {
            return Ok(Ending::Interrupted);
        }
        let got = Golden::of(experiment.name, &Gathered::of(&plan, &store)?.records);
        let Some(golden) = golden else {
            say!("{}", got.write(results)?.display());
            continue;
        };
        let checks = golden.compare(&got, comparison);
        output::out(format_args!("{}", text(&checks)));
        let failures = checks.iter().filter(|check| check.verdict.is_err()).count();
        if failures > 0 {
            ending = Ending::Badly;
            say!(
                "{}: {failures} of {} cells regressed; if the change is intended, raise the revision of the changed \
                 method (a measure that is new in the spec needs none) and run `mmcollapse gate {} --update`",
                experiment.name,
                checks.len(),
                experiment.name
            );
        } else {
            let how = match comparison {
                Comparison::Exact => "to the last bit",
                Comparison::Tolerance => "within the tolerance for another processor",
            };
            say!("{}: all {} cells as expected, {how}", experiment.name, checks.len());
        }
    }
    Ok(ending)
}
