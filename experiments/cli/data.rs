//! `data`: what there is of it, downloads, checks, and planted records.

use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use miette::{Diagnostic, Report, Result, miette};
use mmcollapse_data::ehr::manifest::RecordsManifest;
use mmcollapse_data::ehr::plant::{self, Planted, SYNTHETIC};
use mmcollapse_data::manifest::BuiltIn;
use mmcollapse_data::own::OwnSet;
use mmcollapse_data::status::Verified;
use mmcollapse_data::{DataError, DatasetSource, LoadOptions, ModalitySpec};
use mmcollapse_files::plain_words;
use mmcollapse_models::{ENCODERS, MethodConfig, ModelError, Training, encoders, registry};
use mmcollapse_nn::{Device, Params};
use mmcollapse_run::spec::lay_over;
use serde_json::{Map, Value};

/// What stands below the table of `data list`.
const LEGEND: &str = "\n`mmcollapse data list NAME` prints licence, citation, files and how to have the data; `data fetch NAME` downloads what is open.\n";

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Print a table of data sets and sources, or the details of one: licence, citation, files, how to have it.
    #[command(after_help = "\
Examples:
  mmcollapse data list
  mmcollapse data list avmnist
  mmcollapse data list eicu-demo")]
    List {
        /// Source or data set to describe; a table of all if not said.
        name: Option<String>,
    },
    /// Download what is missing of a source or data set and check it.
    #[command(after_help = "\
Examples:
  mmcollapse data fetch avmnist
  mmcollapse data fetch eicu-demo
  HF_HOME=/data/hf-home MMCOLLAPSE_CACHE=/data/cache mmcollapse data fetch all

HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are read as the hub's Python client reads them. What is not on
the hub comes from its authors' pages and is kept in MMCOLLAPSE_CACHE, unless a variable such as EICU_DEMO_DIR names a folder with it.")]
    Fetch {
        /// Source, data set, or `all`.
        #[arg(default_value = "all")]
        name: String,
        /// Never use the network.
        #[arg(long)]
        offline: bool,
    },
    /// Decode what is in the cache and in your folders and check its digests; needs no network.
    ///
    /// Exits with 1 where known data are damaged, incomplete or cannot be learnt from.
    Verify {
        /// Source, data set, or `all`.
        #[arg(default_value = "all")]
        name: String,
    },
    /// Read your own data set and say what it is: samples, classes, modalities, splits.
    #[command(after_help = "\
Examples:
  mmcollapse data check my.yaml
  mmcollapse reproduce table4 --dataset my.yaml     trains on it; docs/own-data.md describes the form")]
    Check {
        /// The YAML that describes it.
        path: PathBuf,
    },
    /// Write synthetic health records in the form of MIMIC-IV, of any size.
    ///
    /// What predicts the labels, and how strongly, stands in data/ehr-planted.yaml.
    #[command(after_help = "\
Examples:
  mmcollapse data plant /data/planted --patients 100000
  EHR_PLANTED_DIR=/data/planted mmcollapse reproduce table1 --dataset ehr-planted
  MIMIC_IV_DIR=/data/planted mmcollapse data verify mimic-iv     a test of the reader at any size")]
    Plant {
        /// Folder to write; it must be empty or not there yet.
        folder: PathBuf,
        /// Patients instead of the default's, of about 1.7 admissions each.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        patients: Option<u64>,
        /// Seed of all draws instead of the default's.
        #[arg(long, value_name = "S")]
        seed: Option<u64>,
    },
}

impl Verb {
    /// Does it, and says what came of it.
    pub fn run(self) -> Result<Said> {
        match self {
            Self::List { name } => list(name.as_deref()).map(Said::well),
            Self::Fetch { name, offline } => fetch(&name, offline),
            Self::Verify { name } => verify(&name),
            Self::Check { path } => check(&path).map(Said::well),
            Self::Plant { folder, patients, seed } => plant(&folder, patients, seed).map(Said::well),
        }
    }
}

/// What a verb prints, and whether something is wrong with the data.
pub(super) struct Said {
    pub text: String,
    pub is_fault: bool,
}

impl Said {
    fn well(text: String) -> Self {
        Self { text, is_fault: false }
    }

    /// What was verified, and where something is wrong how much.
    fn of(verified: &[Verified]) -> Self {
        let mut text: String = verified.iter().map(ToString::to_string).collect();
        let wrong = verified.iter().filter(|part| part.verdict.is_fault()).count();
        if wrong > 0 {
            let all = verified.len();
            let _ = writeln!(
                text,
                "{wrong} of {all} parts are WRONG: replace the files that are named above, or correct the variable that names \
                 their folder (`data list NAME`), before any number of them is trusted"
            );
        }
        Self {
            text,
            is_fault: wrong > 0,
        }
    }
}

/// Lists all data sets and sources, or describes the one called `name`.
fn list(name: Option<&str>) -> Result<String> {
    Ok(match name {
        None => mmcollapse_data::list(&options(true))?.to_string() + LEGEND,
        Some(name) => mmcollapse_data::describe(name, &options(true))?,
    })
}

/// Downloads what is missing and checks it.
fn fetch(name: &str, offline: bool) -> Result<Said> {
    Ok(Said::of(&mmcollapse_data::fetch(name, &options(offline))?))
}

/// Checks what is in the cache and in the user's folders.
fn verify(name: &str) -> Result<Said> {
    Ok(Said::of(&mmcollapse_data::verify(name, &options(true))?))
}

/// Reads a user's own data set, and checks the settings that experiments will take over.
fn check(path: &Path) -> Result<String> {
    let set = OwnSet::read(path)?;
    check_settings(path, &set)?;
    Ok(set.report()?.join("\n") + "\n")
}

/// Checks `training` and `encoders` key by key: the types that read them say what is wrong, but not always where.
fn check_settings(path: &Path, set: &OwnSet) -> Result<()> {
    let own = set.adapted();
    for (key, value) in &own.training {
        check_training(&single(key, value)).map_err(|reason| wrong(path, &format!("training.{key}"), &reason, None))?;
    }
    check_training(&own.training).map_err(|reason| wrong(path, "training", &reason, None))?;
    for spec in set.specs() {
        let usual = || encoders::default_for(set.name(), spec).map_err(|error| told(path, spec, &error));
        let config = match own.encoders.get(&spec.name) {
            Some(config) => config.clone(),
            None => Value::from(single("method", &Value::from(usual()?))),
        };
        check_encoder(path, spec, &config)?;
    }
    Ok(())
}

/// Reads training settings as a cell does, over the defaults.
fn check_training(settings: &Map<String, Value>) -> std::result::Result<(), String> {
    let mut whole = registry::written(&Training::default())?;
    lay_over(&mut whole, settings);
    let training: Training = registry::parse(&whole)?;
    if training.epochs == 0 || training.batch_size == 0 {
        return Err("`epochs` and `batch_size` must be at least 1".to_owned());
    }
    training.optimizer.check().map_err(|error| error.to_string())
}

/// Makes an encoder as a cell does.
fn check_encoder(path: &Path, spec: &ModalitySpec, config: &Value) -> Result<()> {
    let place = format!("encoders.{}", spec.name);
    let config: MethodConfig = serde_json::from_value(config.clone()).map_err(|error| {
        let help = "name the encoder as `{method: mlp}`; `mmcollapse list methods` prints all with their options";
        wrong(path, &place, &plain_words(&error.to_string()), Some(help.to_owned()))
    })?;
    let told = |error: ModelError| told(path, spec, &error);
    let entry = registry::find("encoder", ENCODERS, &config.method).map_err(told)?;
    for (key, value) in &config.options {
        (entry.resolve)(&single(key, value)).map_err(|reason| wrong(path, &format!("{place}.{key}"), &reason, None))?;
    }
    let options = (entry.resolve)(&config.options).map_err(|reason| wrong(path, &place, &reason, None))?;
    let scope = Params::new(0, &Device::Cpu).root();
    encoders::build(&config.method, &options, spec, &scope).map_err(told)?;
    Ok(())
}

/// What an encoder cannot do, with the place that names it.
fn told(path: &Path, spec: &ModalitySpec, error: &ModelError) -> Report {
    let help = error.help().map(|help| help.to_string());
    wrong(path, &format!("encoders.{}", spec.name), error, help)
}

fn single(key: &str, value: &Value) -> Map<String, Value> {
    [(key.to_owned(), value.clone())].into_iter().collect()
}

/// An error about a key of a user's YAML.
fn wrong(path: &Path, key: &str, reason: &dyn Display, help: Option<String>) -> Report {
    let help = help.unwrap_or_else(|| {
        "`mmcollapse list methods` prints every encoder with its options; docs/own-data.md has an example of `training`"
            .to_owned()
    });
    miette!(help = help, "{}: `{key}`: {reason}", path.display())
}

/// Writes synthetic health records into `folder`, as many patients and by the seed that are asked for.
fn plant(folder: &Path, patients: Option<u64>, seed: Option<u64>) -> Result<String> {
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
    use mmcollapse_data::status::Verdict;

    use super::*;

    #[test]
    fn the_table_has_a_line_a_name_and_details_have_a_name() {
        let table = list(None).unwrap();
        for name in ["eicu-demo+bert-tiny-mortality", "planted", "mnist", "bio-clinicalbert"] {
            let lines = table
                .lines()
                .filter(|line| line.split_whitespace().next() == Some(name));
            assert_eq!(lines.count(), 1, "{name} in\n{table}");
        }
        let details = list(Some("avmnist-embedded")).unwrap();
        assert!(details.starts_with("Data set avmnist-embedded: "), "{details}");
        assert!(
            details.contains("Source avmnist-embedded: ") && details.contains("licence"),
            "{details}"
        );
        assert!(list(Some("avmnits")).is_err());
    }

    #[test]
    fn settings_that_no_experiment_takes_are_refused_with_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let tensor = |width: usize| mmcollapse_nn::Tensor::zeros((12, width), mmcollapse_nn::DType::F32, &Device::Cpu);
        let labels: Vec<f32> = (0_u8..12).map(|i| f32::from(i % 2)).collect();
        let arrays = std::collections::BTreeMap::from([
            ("a".to_owned(), tensor(3).unwrap()),
            ("b".to_owned(), tensor(2).unwrap()),
            (
                "labels".to_owned(),
                mmcollapse_nn::Tensor::from_vec(labels, 12, &Device::Cpu).unwrap(),
            ),
        ]);
        let file = folder.path().join("my.safetensors");
        mmcollapse_nn::safetensors::save(&file, &arrays, &std::collections::BTreeMap::new()).unwrap();
        let path = folder.path().join("my.yaml");
        let asked = |settings: &str| {
            let yaml = format!("name: set-up\narrays: my.safetensors\nmodalities: {{a: {{}}, b: {{}}}}\n{settings}\n");
            mmcollapse_files::write_atomic(&path, yaml.as_bytes()).unwrap();
            check_settings(&path, &OwnSet::read(&path).unwrap()).map_err(|error| error.to_string())
        };
        for well in [
            "training: {epochs: 3, optimizer: {lr: 0.01}, schedule: {every: 2}}",
            "encoders: {a: {method: mlp, hidden: 16}, b: {method: linear}}",
        ] {
            assert_eq!(asked(well), Ok(()), "{well}");
        }
        for (settings, expected) in [
            (
                "training: {epohcs: 3}",
                "my.yaml: `training.epohcs`: unknown field `epohcs`",
            ),
            (
                "training: {epochs: many}",
                "my.yaml: `training.epochs`: expected a whole number",
            ),
            ("training: {epochs: 0}", "my.yaml: `training.epochs`: `epochs` and"),
            (
                "training: {optimizer: {lr: -1}}",
                "my.yaml: `training.optimizer`: optimizer: `lr`",
            ),
            (
                "encoders: {a: {method: resnet}}",
                "my.yaml: `encoders.a`: there is no encoder named `resnet`",
            ),
            ("encoders: {a: mlp}", "my.yaml: `encoders.a`: expected a mapping"),
            (
                "encoders: {b: {method: mlp, hiden: 2}}",
                "my.yaml: `encoders.b.hiden`: unknown field `hiden`",
            ),
            (
                "encoders: {b: {method: gru}}",
                "my.yaml: `encoders.b`: encoder `gru` refuses",
            ),
        ] {
            let told = asked(settings).unwrap_err();
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn data_that_are_wrong_are_a_fault_and_those_that_are_unknown_are_none() {
        let part = |verdict| Verified {
            source: "eicu".into(),
            part: "cohort".into(),
            rows: 2,
            digest: String::new(),
            verdict,
            details: vec!["2 admissions".into()],
            seconds: 0.04,
        };
        let said = Said::of(&[part(Verdict::NothingKnown), part(Verdict::OtherSamples)]);
        assert!(!said.is_fault);
        assert!(
            said.text
                .starts_with("eicu cohort: 2 rows, nothing to compare with (0.0 s)\n    2 admissions\n"),
            "{}",
            said.text
        );
        let said = Said::of(&[part(Verdict::Expected), part(Verdict::Wrong)]);
        assert!(
            said.is_fault && said.text.contains("1 of 2 parts are WRONG"),
            "{}",
            said.text
        );
    }
}
