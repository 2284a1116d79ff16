//! `list`: what there is.

use std::fmt::Write as _;

use miette::Result;
use mmcollapse_data::SETS;
use mmcollapse_models::registry::{Entry, Options};
use mmcollapse_models::{BALANCINGS, ENCODERS, FUSIONS, REALLOCATIONS, SUBSTITUTIONS};

use mmcollapse_record::ExperimentInfo;
use mmcollapse_run::spec::Spec;

/// Lists the experiments, one line each.
pub fn experiments(experiments: &[ExperimentInfo]) -> String {
    let width = experiments.iter().map(|experiment| experiment.name.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::from("EXPERIMENTS (details: `mmcollapse list NAME`)\n");
    for experiment in experiments {
        let _ = writeln!(text, "  {:<width$}  {}", experiment.name, experiment.title);
    }
    text
}

/// Describes an experiment: data set, protocols, levels, and the seeds and rows of each preset.
pub fn experiment(experiment: &ExperimentInfo) -> Result<String> {
    let spec = Spec::of(experiment).map_err(|error| *error)?;
    let list = |texts: Vec<String>| texts.join(", ");
    let mut text = format!("{}: {}\n", experiment.name, experiment.title);
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<10}  {value}");
    };
    line("spec", experiment.spec_path());
    line(
        "data sets",
        list(spec.datasets().into_iter().map(|(name, _)| name).collect()),
    );
    line(
        "protocols",
        list(spec.protocols.iter().map(ToString::to_string).collect()),
    );
    line("levels", list(spec.rates.iter().map(ToString::to_string).collect()));
    for (name, preset) in &spec.presets {
        let rows = spec.rows(preset);
        line(
            &name.to_string(),
            format!("{} seeds, {} rows", preset.seeds, rows.len()),
        );
        line("", list(rows.into_iter().map(|row| row.name).collect()));
    }
    Ok(text)
}

/// Every method with its options and their defaults.
pub fn methods() -> String {
    let mut text = String::new();
    axis(&mut text, "ENCODERS", ENCODERS);
    axis(&mut text, "FUSIONS", FUSIONS);
    axis(&mut text, "REALLOCATIONS", REALLOCATIONS);
    axis(&mut text, "BALANCINGS", BALANCINGS);
    axis(&mut text, "SUBSTITUTIONS", SUBSTITUTIONS);
    text
}

fn axis<C>(text: &mut String, title: &str, entries: &[Entry<C>]) {
    let _ = writeln!(text, "{title}");
    for entry in entries {
        let _ = writeln!(text, "  {:<12} {}", entry.name, entry.summary);
        let _ = writeln!(text, "  {:<12} {} (revision {})", "", entry.reference, entry.revision);
        let options = (entry.resolve)(&Options::new()).unwrap_or_default();
        if !options.is_empty() {
            let options: Vec<String> = options
                .iter()
                .map(|(name, default)| format!("{name}: {default}"))
                .collect();
            let _ = writeln!(text, "  {:<12} options: {}", "", options.join(", "));
        }
    }
}

/// Every data set and the sources it is made of.
pub fn datasets() -> String {
    let width = SETS.iter().map(|set| set.name().len()).max().unwrap_or_default();
    let mut text = String::from("DATA SETS (where they are: `mmcollapse data list`)\n");
    for set in SETS.iter() {
        let sources = match set.sources() {
            [] => "no sources".to_owned(),
            sources => format!("from {}", sources.join(", ")),
        };
        let _ = writeln!(text, "  {:<width$}  {} ({sources})", set.name(), set.summary());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_listed_with_their_options() {
        let text = methods();
        for name in ["concat", "shaspec", "kd", "ebr", "lenet5", "modality_dropout"] {
            assert!(text.contains(&format!("  {name} ")), "{name} is not in\n{text}");
        }
        assert!(text.contains("regime: \"searched\""), "{text}");
    }

    #[test]
    fn data_sets_are_listed() {
        assert!(datasets().contains("avmnist"));
    }
}
