//! `tune`: the same number of trials for every row, and the best of each by validation.

use mmcollapse_record::{ExperimentInfo, Preset, ProtocolKind, count_origins};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use miette::{Result, miette};
use mmcollapse_files::{output, say};

use super::engine;
use super::run::{fill, train};
use super::store::limit;
use super::{Ending, From, How, dry, interrupt};
use mmcollapse_run::gather::provenance;
use mmcollapse_run::models::ModelResolver;
use mmcollapse_run::on::spec_on;
use mmcollapse_run::pending::Pending;
use mmcollapse_run::plan::Selection;
use mmcollapse_run::published::PublishedCells;
use mmcollapse_run::spec::Spec;
use mmcollapse_run::store::Store;
use mmcollapse_run::tuning::{Budget, FIRST_SEED, Spaces, Stage, Trials, Tuned};

/// What is tuned, and the budget of each row.
#[derive(Args, Clone)]
pub(super) struct Asked {
    /// Tune only these rows. Rows tuned before are kept; their trials must be in the store.
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    pub only: Vec<String>,
    /// The preset whose rows and training are tuned.
    #[arg(long, value_parser = super::presets(), default_value_t = Preset::Quick)]
    pub preset: Preset,
    /// Use another data set than the spec's; a path that ends in .yaml is your own.
    #[arg(long, value_name = "NAME", value_parser = super::options::dataset)]
    pub dataset: Option<String>,
    /// Trials of each row; the first is the spec's own setting.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub trials: u64,
    /// Seeds of each trial, from 1000 on; tables use none of them.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Successive halving after that: TRIALSxSEEDS of each further stage, with fewer trials on more seeds. The best trials so far go
    /// on.
    #[arg(long, value_name = "16x4,4x16", value_delimiter = ',', value_parser = stage)]
    pub halving: Vec<Stage>,
    /// Protocol to choose settings for [default: that of experiments/tune.yaml].
    #[arg(long, value_parser = protocol)]
    pub protocol: Option<ProtocolKind>,
    /// Level of that protocol [default: the experiment's only one, or that of experiments/tune.yaml].
    #[arg(long)]
    pub rate: Option<f64>,
}

fn stage(text: &str) -> Result<Stage, String> {
    let numbers = text.split_once('x').and_then(|(trials, seeds)| {
        Some(Stage {
            trials: trials.trim().parse().ok()?,
            seeds: seeds.trim().parse().ok()?,
        })
    });
    numbers
        .filter(|stage| stage.trials > 0)
        .ok_or_else(|| format!("expected TRIALSxSEEDS, such as 16x4, got `{text}`"))
}

/// Whether each stage has fewer trials than the one before it, on more seeds.
fn halves(asked: &Asked) -> Result<()> {
    let mut before = Stage {
        trials: asked.trials,
        seeds: asked.seeds,
    };
    for stage in &asked.halving {
        if stage.trials >= before.trials || stage.seeds <= before.seeds {
            return Err(miette!(
                help = "for example --trials 64 --seeds 2 --halving 16x4,4x16",
                "--halving {}x{} after {} trials of {} seeds: expected fewer trials on more seeds",
                stage.trials,
                stage.seeds,
                before.trials,
                before.seeds
            ));
        }
        before = *stage;
    }
    Ok(())
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
    from: &From,
) -> Result<Ending> {
    halves(asked)?;
    let results = from.results.as_path();
    let spaces = Spaces::parse(spaces).map_err(|error| *error)?;
    let mut resolver = ModelResolver::new(how.place.offline);
    let selection = Selection {
        seeds: Some(asked.halving.last().map_or(asked.seeds, |stage| stage.seeds)),
        first_seed: Some(FIRST_SEED),
        ..Selection::default()
    };
    let spec = spec_on(
        experiment,
        asked.dataset.as_deref(),
        asked.preset,
        &selection,
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
        halving: asked.halving.clone(),
        protocol: judged.protocol,
        rate: judged.rate,
    };
    let trials = Trials::new(experiment, &spec, &spaces, budget, &mut resolver)?;
    let plan = trials.of_rows(&asked.only)?;
    let store = Store::new(&how.place.store);
    let mut cells = published_trials(&trials, &spec, results)?;
    let published = (!from.no_published).then_some(&cells);
    let pending = Pending::beside(&plan, &store, published, &store.durations())?;
    pending.check(&mut resolver)?;
    if how.dry_run {
        let cells = dry::text(&plan, &pending, how);
        output::out(format_args!("{}{cells}", trials.text(&asked.only)));
        return Ok(Ending::Well);
    }
    if let Some(published) = published {
        fill(&trials.plan, published, &store)?;
    }
    let interrupt = interrupt()?;
    while let Some(stage) = trials.next(&asked.only, &store)? {
        let pending = Pending::of(&stage, &store)?;
        let ending = train(&stage, &pending, &|| engine::of(how, &store, &interrupt), None)?;
        limit(&store, how.weights);
        keep_trials(&mut cells, &trials, &store)?;
        match ending {
            Ending::Well => {}
            // Rows of fewer trials than others would not be an equal budget: nothing is written.
            ending => return Ok(ending),
        }
    }
    keep_trials(&mut cells, &trials, &store)?; // where the store had all of them
    let (mut tuned, used, stored) = trials.gather(&store)?;
    keeps(&tuned, &spec, &trials, results)?;
    let rows: Vec<String> = tuned.rows.iter().map(|row| row.row.clone()).collect();
    let seeds = tuned.seeds.len();
    let origins = count_origins(stored.iter().map(|stored| (&stored.origin, None)));
    tuned.provenance = provenance(&used, command(&trials, asked, &rows), &stored, origins, seeds);
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
        if best.passes == Some(false) {
            say!(
                "{}: no setting passes its manipulation check; this is the best of those that fail",
                row.row
            );
        }
    }
    say!("{}", tuned.write(&spec, results)?.display());
    Ok(Ending::Well)
}

/// Adds the trials that the store has to those that are kept: a smaller budget drops none of a larger one.
fn keep_trials(cells: &mut PublishedCells, trials: &Trials, store: &Store) -> Result<()> {
    if cells.extend(&trials.plan, store)? {
        cells.write()?;
    }
    Ok(())
}

/// The trials of all stages that are kept beside the results.
fn published_trials(trials: &Trials, spec: &Spec, results: &Path) -> Result<PublishedCells> {
    let folder = trials.budget.preset.folder(spec.other_dataset(), false);
    Ok(PublishedCells::read(
        results,
        &trials.plan.experiment,
        &format!("{folder}-trials"),
    )?)
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
    if !asked.halving.is_empty() {
        let stages = asked
            .halving
            .iter()
            .map(|stage| format!("{}x{}", stage.trials, stage.seeds));
        let _ = write!(command, " --halving {}", stages.collect::<Vec<_>>().join(","));
    }
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
