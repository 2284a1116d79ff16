//! `tune`: the same number of trials for every row, and the best of each by validation.

use mmcollapse_record::{ExperimentInfo, Preset, ProtocolKind};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use miette::{Result, miette};
use mmcollapse_files::{output, say};

use super::run::train;
use super::store::limit;
use super::{Ending, How, dry, interrupt};
use mmcollapse_run::gather::provenance;
use mmcollapse_run::models::ModelResolver;
use mmcollapse_run::on::spec_on;
use mmcollapse_run::pending::Pending;
use mmcollapse_run::spec::Spec;
use mmcollapse_run::store::Store;
use mmcollapse_run::tuning::{Budget, FIRST_SEED, Spaces, Trials, Tuned};

/// What is tuned, and the budget of each row.
#[derive(Args, Clone)]
pub(super) struct Asked {
    /// Tune only these rows. Rows tuned before are kept; their trials must be in the store.
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    pub only: Vec<String>,
    /// The preset whose rows and training are tuned.
    #[arg(long, value_parser = super::presets(), default_value_t = Preset::Quick)]
    pub preset: Preset,
    /// Use another data set than the spec's.
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// Trials of each row; the first is the spec's own setting.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub trials: u64,
    /// Seeds of each trial, from 1000 on; tables use none of them.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Protocol to choose settings for [default: that of experiments/tune.yaml].
    #[arg(long, value_parser = protocol)]
    pub protocol: Option<ProtocolKind>,
    /// Level of that protocol [default: the experiment's only one, or that of experiments/tune.yaml].
    #[arg(long)]
    pub rate: Option<f64>,
}

fn protocol(name: &str) -> Result<ProtocolKind, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

/// Trains the trials that the store lacks and writes what was found.
pub(super) fn tune(
    experiment: &'static ExperimentInfo,
    spaces: &str,
    asked: &Asked,
    how: &How,
    results: &Path,
) -> Result<Ending> {
    let spaces = Spaces::parse(spaces).map_err(|error| *error)?;
    let mut resolver = ModelResolver::new(how.place.offline);
    let seeds = FIRST_SEED..FIRST_SEED.saturating_add(asked.seeds);
    let spec = spec_on(
        experiment,
        asked.dataset.as_deref(),
        asked.preset,
        Some(seeds),
        &mut resolver,
    )?;
    let mut asked = asked.clone();
    asked.dataset = asked.dataset.or_else(|| spec.other_dataset().map(str::to_owned));
    let asked = &asked;
    let judged = spaces
        .judged(spec.levels(spec.presets.get(&asked.preset)), asked.protocol, asked.rate)
        .map_err(|reason| miette!("{} ({}): {reason}", experiment.name, asked.preset))?;
    let budget = Budget {
        preset: asked.preset,
        trials: asked.trials,
        seeds: asked.seeds,
        protocol: judged.protocol,
        rate: judged.rate,
    };
    let trials = Trials::new(experiment, &spec, &spaces, budget, &mut resolver)?;
    let plan = trials.of_rows(&asked.only)?;
    let store = Store::new(&how.place.store);
    let pending = Pending::of(&plan, &store)?;
    pending.check(&mut resolver)?;
    if how.dry_run {
        let cells = dry::text(&plan, &pending, how);
        output::out(format_args!("{}{cells}", trials.text(&asked.only)));
        return Ok(Ending::Well);
    }
    let ending = train(&plan, &pending, &store, how.device, how.workers, &interrupt()?, None)?;
    limit(&store, how.weights);
    match ending {
        Ending::Well => {}
        // Rows of fewer trials than others would not be an equal budget: nothing is written.
        ending => return Ok(ending),
    }
    let (mut tuned, stored) = trials.gather(&store)?;
    keeps(&tuned, &spec, &trials, results)?;
    let rows: Vec<String> = tuned.rows.iter().map(|row| row.row.clone()).collect();
    let seeds = tuned.seeds.len();
    tuned.provenance = provenance(&trials.of_rows(&rows)?, command(&trials, asked, &rows), &stored, seeds);
    for row in &tuned.rows {
        let (best, own) = (row.best()?, row.trials.first().map_or(0.0, |tried| tried.mean));
        say!(
            "{}: validation {:.4} by trial {} of {}, {own:.4} with the spec's setting; {}",
            row.row,
            best.mean,
            best.trial,
            row.trials.len(),
            best.setting
        );
    }
    say!("{}", tuned.write(&spec, results)?.display());
    Ok(Ending::Well)
}

/// Whether every row that the file has, and that is still one of the experiment's, is found again with this budget.
fn keeps(tuned: &Tuned, spec: &Spec, trials: &Trials, results: &Path) -> Result<()> {
    let Some(before) = Tuned::read(results, &tuned.experiment, spec.other_dataset(), tuned.preset)? else {
        return Ok(());
    };
    let known = trials.rows();
    let found: BTreeSet<&str> = tuned.rows.iter().map(|row| row.row.as_str()).collect();
    let names = before.rows.iter().map(|row| row.row.as_str());
    let lost: Vec<&str> = names
        .filter(|row| known.contains(row) && !found.contains(row))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(miette!(
        help = "run it without --only, or with --trials, --seeds, --protocol and --rate as in the file",
        "{} would lose {}: the store does not have their trials with this budget",
        Tuned::path(results, &tuned.experiment, spec.other_dataset(), tuned.preset).display(),
        lost.join(", ")
    ))
}

/// The command that gives the whole file again, whatever part of it was trained now.
fn command(trials: &Trials, asked: &Asked, rows: &[String]) -> String {
    let mut command = format!(
        "mmcollapse tune {} --preset {} --trials {} --seeds {}",
        trials.plan.experiment, asked.preset, asked.trials, asked.seeds
    );
    if let Some(dataset) = &asked.dataset {
        let _ = write!(command, " --dataset {dataset}");
    }
    if rows.len() < trials.rows().len() {
        let _ = write!(command, " --only {}", rows.join(","));
    }
    if let Some(protocol) = asked.protocol {
        let _ = write!(command, " --protocol {protocol}");
    }
    if let Some(rate) = asked.rate {
        let _ = write!(command, " --rate {rate}");
    }
    command
}

#[cfg(test)]
mod tests;
