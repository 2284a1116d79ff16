//! `list`: what there is.

use std::fmt::Write as _;

use miette::Result;
use mmcollapse_data::SETS;
use mmcollapse_models::registry::{Entry, Options};
use mmcollapse_models::{ENCODERS, FUSIONS, REALLOCATIONS, SUBSTITUTIONS};

use mmcollapse_record::ExperimentInfo;
use mmcollapse_run::spec::Spec;

/// Experiments, and the seeds and rows of each preset.
pub fn experiments(experiments: &[ExperimentInfo]) -> Result<String> {
    let mut text = String::from("EXPERIMENTS\n");
    for experiment in experiments {
        let spec = Spec::of(experiment).map_err(|error| *error)?;
        let _ = writeln!(text, "  {:<10} {}", experiment.name, experiment.title);
        for (name, preset) in &spec.presets {
            let rows: Vec<String> = spec.rows(preset).into_iter().map(|row| row.name).collect();
            let name = name.to_string();
            let seeds = preset.seeds;
            let _ = writeln!(text, "  {:<10} {name:<5} {seeds} seeds: {}", "", rows.join(", "));
        }
    }
    Ok(text)
}

/// Every method with its options and their defaults.
pub fn methods() -> String {
    let mut text = String::new();
    axis(&mut text, "ENCODERS", ENCODERS);
    axis(&mut text, "FUSIONS", FUSIONS);
    axis(&mut text, "REALLOCATIONS", REALLOCATIONS);
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
    let mut text = String::from("DATA SETS\n");
    for set in SETS {
        let sources = match set.sources() {
            [] => "no sources".to_owned(),
            sources => format!("from {}", sources.join(", ")),
        };
        let _ = writeln!(text, "  {:<12} {} ({sources})", set.name(), set.summary());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_listed_with_their_options() {
        let text = methods();
        for name in ["concat", "shaspec", "kd", "ebr", "lenet5"] {
            assert!(text.contains(&format!("  {name} ")), "{name} is not in\n{text}");
        }
        assert!(text.contains("regime: \"stable\""), "{text}");
    }

    #[test]
    fn data_sets_are_listed() {
        assert!(datasets().contains("avmnist"));
    }
}
