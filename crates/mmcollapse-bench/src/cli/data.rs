//! `data`: what there is of it, downloads, checks, and planted records.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use miette::{Result, miette};
use mmcollapse_data::ehr::manifest::RecordsManifest;
use mmcollapse_data::ehr::plant::{self, Planted, SYNTHETIC};
use mmcollapse_data::manifest::BuiltIn;
use mmcollapse_data::{DataError, LoadOptions};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Print every source: where it comes from, its licence, what of it is in the cache.
    List,
    /// Download what is missing of a source or data set and check it.
    #[command(after_help = "\
Examples:
  mmcollapse data fetch avmnist
  mmcollapse data fetch eicu-demo
  HF_HOME=/data/hf-home MMCOLLAPSE_CACHE=/data/cache mmcollapse data fetch all

HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured. What is not on the hub comes from its authors' pages and is kept
in MMCOLLAPSE_CACHE, unless a variable such as EICU_DEMO_DIR names a folder with it.")]
    Fetch {
        /// Source, data set, or `all`.
        #[arg(default_value = "all")]
        name: String,
        /// Never use the network.
        #[arg(long)]
        offline: bool,
    },
    /// Decode what is in the cache and check its digests; needs no network.
    Verify {
        /// Source, data set, or `all`.
        #[arg(default_value = "all")]
        name: String,
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
    pub fn run(self) -> Result<String> {
        match self {
            Self::List => sources(),
            Self::Fetch { name, offline } => fetch(&name, offline),
            Self::Verify { name } => verify(&name),
            Self::Plant { folder, patients, seed } => plant(&folder, patients, seed),
        }
    }
}

/// Every source and what of it is in the cache.
fn sources() -> Result<String> {
    let mut text = String::new();
    for source in mmcollapse_data::list(&options(true))? {
        let _ = write!(text, "{source}");
    }
    for embedded in mmcollapse_data::status::embedded()? {
        let _ = write!(text, "{embedded}");
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
fn fetch(name: &str, offline: bool) -> Result<String> {
    let mut text = String::new();
    for verified in mmcollapse_data::fetch(name, &options(offline))? {
        let _ = write!(text, "{verified}");
    }
    Ok(text)
}

/// Checks what is in the cache.
fn verify(name: &str) -> Result<String> {
    let mut text = String::new();
    for verified in mmcollapse_data::verify(name, &options(true))? {
        let _ = write!(text, "{verified}");
    }
    Ok(text)
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
