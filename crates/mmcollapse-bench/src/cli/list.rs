//! `list` and `data`: what there is.

use std::fmt::Write as _;
use std::path::Path;

use miette::{Result, miette};
use mmcollapse_data::ehr::manifest::RecordsManifest;
use mmcollapse_data::ehr::plant::{self, Planted, SYNTHETIC};
use mmcollapse_data::{DataError, LoadOptions, SETS};
use mmcollapse_models::registry::{Entry, Options};
use mmcollapse_models::{ENCODERS, FUSIONS, REALLOCATIONS, SUBSTITUTIONS};

use crate::experiment::ExperimentInfo;
use crate::spec::Spec;

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

/// Every source and what of it is in the cache.
pub fn sources() -> Result<String> {
    let mut text = String::new();
    for source in mmcollapse_data::list(&options(true))? {
        let _ = write!(text, "{source}");
    }
    for folder in mmcollapse_data::status::folders()? {
        let _ = write!(text, "{folder}");
    }
    for records in mmcollapse_data::status::records_folders()? {
        let _ = write!(text, "{records}");
    }
    for encoder in mmcollapse_data::status::encoders(&options(true))? {
        let _ = write!(text, "{encoder}");
    }
    Ok(text)
}

/// Downloads what is missing and checks it.
pub fn fetch(name: &str, offline: bool) -> Result<String> {
    let mut text = String::new();
    for verified in mmcollapse_data::fetch(name, &options(offline))? {
        let _ = write!(text, "{verified}");
    }
    Ok(text)
}

/// Checks what is in the cache.
pub fn verify(name: &str) -> Result<String> {
    let mut text = String::new();
    for verified in mmcollapse_data::verify(name, &options(true))? {
        let _ = write!(text, "{verified}");
    }
    Ok(text)
}

/// Writes synthetic health records into `folder`, as many patients and by the seed that are asked for.
pub fn plant(folder: &Path, patients: Option<u64>, seed: Option<u64>) -> Result<String> {
    let manifest = RecordsManifest::find("ehr-planted")?;
    let mut config = manifest
        .planted
        .ok_or_else(|| miette!("data/ehr-planted.yaml does not say what to plant"))?;
    config.patients = patients.unwrap_or(config.patients);
    config.seed = seed.unwrap_or(config.seed);
    let Planted { admissions, cohort, .. } = plant::plant(&config, folder).map_err(DataError::from)?;
    let folder = folder.display();
    let patients = config.patients;
    let variable = manifest.variable;
    Ok(format!(
        "{SYNTHETIC}\n{folder}: {patients} patients, {admissions} admissions, of which the cohort has {cohort}\n\
         {variable}={folder} for the data sets of ehr-planted; MIMIC_IV_DIR={folder} for those of mimic-iv, marked as \
         synthetic too\n"
    ))
}

fn options(offline: bool) -> LoadOptions {
    LoadOptions {
        seed: 0,
        offline,
        progress: true,
    }
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
