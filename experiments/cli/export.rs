//! `export`: what the cells of an experiment give their models, for a method of another program.

use std::ops::Range;
use std::path::Path;

use clap::Args;
use miette::Result;
use mmcollapse_files::{say, tell};
use mmcollapse_record::{ExperimentInfo, Preset};
use mmcollapse_report::compare::takes_external;
use mmcollapse_run::exchange;
use mmcollapse_run::models::ModelResolver;
use mmcollapse_run::on::spec_on;
use mmcollapse_run::plan::{Filter, Plan, Selection};
use mmcollapse_run::spec::Spec;

use super::{Ending, presets};

/// What is exported.
#[derive(Args, Clone)]
pub struct Asked {
    /// The experiment that is to be compared with.
    #[arg(long, default_value = "table4")]
    pub experiment: String,
    /// Its preset.
    #[arg(long, value_parser = presets(), default_value_t = Preset::Quick)]
    pub preset: Preset,
    /// Export only these seeds: `100`, or `100..110` without its end [default: all of the preset].
    #[arg(long, value_name = "SEEDS", value_parser = seeds)]
    pub seed: Option<Range<u64>>,
    /// Never use the network.
    #[arg(long)]
    pub offline: bool,
}

/// Reads `3` or `0..5`, which ends before 5.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("expected a seed or a range of them, such as 100 or 100..110; got `{text}`");
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => number(text)?..number(text)?.saturating_add(1),
    };
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

/// The spec of an experiment on a data set. On its own it is the spec as it stands: nothing takes its place.
fn spec(
    experiment: &ExperimentInfo,
    dataset: &str,
    selection: &Selection,
    preset: Preset,
    resolver: &mut ModelResolver,
) -> Result<Spec> {
    let own = Spec::of(experiment).map_err(|error| *error)?;
    if own.dataset == dataset {
        return Ok(own);
    }
    spec_on(experiment, Some(dataset), preset, selection, resolver)
}

/// Writes an export and says what is in it.
pub(super) fn export(
    experiment: &'static ExperimentInfo,
    dataset: &str,
    folder: &Path,
    asked: &Asked,
) -> Result<Ending> {
    let selection = Selection {
        seeds: asked.seed.as_ref().map(|range| range.end - range.start),
        first_seed: asked.seed.as_ref().map(|range| range.start),
        only: Filter::default(),
    };
    takes_external(experiment)?;
    let mut resolver = ModelResolver::new(asked.offline);
    let spec = spec(experiment, dataset, &selection, asked.preset, &mut resolver)?;
    let plan = Plan::of(experiment, &spec, asked.preset, &selection, &mut resolver)?;
    let written = exchange::write(&plan, resolver.options(), folder)?;
    let (name, preset) = (experiment.name, asked.preset);
    tell!(
        "{name} ({preset}) on {dataset}: {} seeds, {:.1} MB",
        written.seeds,
        written.bytes as f64 / 1e6
    );
    tell!("to predict: {}", written.required.join(", "));
    tell!("also, if you like: {}", written.optional.join(", "));
    // Whoever develops a method on other seeds does well, but cannot compare on them.
    let of_preset = spec
        .presets
        .get(&preset)
        .map(|settings| Selection::default().range(settings));
    if let (Some(own), Some(asked)) = (of_preset, &asked.seed)
        && (asked.start < own.start || asked.end > own.end)
    {
        tell!(
            "of seeds {} to {} the preset has no others than {} to {}: rows are compared on these alone",
            asked.start,
            asked.end - 1,
            own.start,
            own.end - 1
        );
    }
    say!("{}", written.index.display());
    Ok(Ending::Well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_without_their_end() {
        assert_eq!(seeds("3"), Ok(3..4));
        assert_eq!(seeds("100..110"), Ok(100..110));
        for wrong in ["", "a", "3..3", "4..3", "..3", "-1"] {
            let error = seeds(wrong).unwrap_err();
            assert!(error.contains(&format!("got `{wrong}`")), "{error}");
        }
    }
}
