//! Planted health records: a folder in the form of MIMIC-IV whose every answer is known.
//!
//! Each stay has a latent risk. It draws the two labels, which the tables tell by dates of death and next admissions
//! alone ([`history`]), and makes some features of each modality likelier; the others do not depend on it ([`features`]).
//! The tables ([`tables`]) are written patient by patient, so memory does not grow with their size, and are read back by
//! the reader of MIMIC-IV. A file beside them, [`MARKER`], says that they are synthetic, and what is in them.

mod config;
mod features;
mod history;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mmcollapse_files::{AtomicFolder, FileLock, sha256, write_atomic};
use serde::{Deserialize, Serialize};

pub use config::{Features, History, PlantConfig, PlantedDemographics};

use super::cohort::{Modality, Outcome};
use super::error::EhrError;
use super::manifest::CohortCounts;
use super::time;
use features::{measured, occurring, person};
use history::Histories;
use tables::{Events, Tables};

/// The file that tells a planted folder from one of patients.
pub const MARKER: &str = "SYNTHETIC.yaml";
/// What stands above every number that comes of planted tables.
pub const SYNTHETIC: &str =
    "Synthetic data: planted features, no patients. No number here says anything about medicine.";
/// Raised with every change in what is planted.
const REVISION: u32 = 1;
/// Ages of the cohort, in years. As with all rules here, not the reader's own constant: each is held against the other.
const AGES: std::ops::RangeInclusive<i64> = 18..=89;

/// What is in a planted folder: the content of its [`MARKER`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planted {
    /// [`SYNTHETIC`].
    pub note: String,
    /// Revision of the program's rules.
    pub revision: u32,
    /// What it was made from.
    pub config: PlantConfig,
    /// Admissions in the tables, those outside the cohort included.
    pub admissions: usize,
    /// What the cohort rules leave.
    pub cohort: CohortCounts,
    /// Admissions of the cohort that have the modality.
    pub presence: BTreeMap<String, usize>,
}

/// Writes the tables of `config` into `folder`, whole or not at all, and returns what is in them.
///
/// # Errors
/// A value of `config` out of its range, a folder with something in it, or a file that cannot be written.
pub fn plant(config: &PlantConfig, folder: &Path) -> Result<Planted, EhrError> {
    config.check().map_err(|reason| EhrError::Plan { reason })?;
    write(config, folder).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => EhrError::NotEmpty {
            folder: folder.to_owned(),
        },
        _ => EhrError::NotWritten {
            folder: folder.to_owned(),
            reason: error.to_string(),
        },
    })
}

fn write(config: &PlantConfig, folder: &Path) -> io::Result<Planted> {
    let folder = AtomicFolder::create(folder)?;
    let mut tables = Tables::create(folder.path(), config)?;
    let mut planted = Planted {
        note: SYNTHETIC.to_owned(),
        revision: REVISION,
        config: config.clone(),
        admissions: 0,
        cohort: CohortCounts::default(),
        presence: BTreeMap::new(),
    };
    let histories = Histories::new(config);
    for number in 0..config.patients {
        let patient = histories.patient(number);
        let person = person(config, &patient);
        let first = patient.stays.first().map_or(0, |stay| time::year_of(stay.admitted));
        tables.patient(&patient, &person, first)?;
        for stay in &patient.stays {
            let of = |modality, features| occurring(config.seed, modality, features, stay);
            let events = Events {
                diagnoses: of("diagnoses", &config.diagnoses),
                procedures: of("procedures", &config.procedures),
                medications: of("medications", &config.medications),
                labs: measured(config, stay),
                notes: of("notes", &config.notes),
            };
            tables.stay(&patient, &person, stay, &events)?;
            planted.admissions += 1;
            let age = person.age + time::year_of(stay.admitted) - first;
            if stay.counts() && AGES.contains(&age) {
                planted.count(stay.outcome(patient.died.is_some()), &events);
            }
        }
    }
    tables.commit()?;
    let text = serde_yaml::to_string(&planted).map_err(io::Error::other)?;
    write_atomic(&folder.path().join(MARKER), text.as_bytes())?;
    folder.commit()?;
    Ok(planted)
}

impl Planted {
    /// What the marker of `folder` says; `None` where there is none, as in every folder of patients.
    ///
    /// # Errors
    /// When the marker is damaged.
    pub fn of(folder: &Path) -> Result<Option<Self>, EhrError> {
        let path = folder.join(MARKER);
        let broken = |reason: String| EhrError::Broken {
            path: path.clone(),
            line: 0,
            reason,
        };
        match fs::read_to_string(&path) {
            Ok(text) => serde_yaml::from_str(&text)
                .map(Some)
                .map_err(|error| broken(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(broken(error.to_string())),
        }
    }

    /// Counts a stay of the cohort.
    fn count(&mut self, outcome: Outcome, events: &Events) {
        self.cohort.admissions += 1;
        self.cohort.mortality.count(outcome.mortality);
        self.cohort.readmission.count(outcome.readmission);
        for (modality, there) in [
            (Modality::Demographics, true),
            (Modality::Diagnoses, !events.diagnoses.is_empty()),
            (Modality::Procedures, !events.procedures.is_empty()),
            (Modality::Medications, !events.medications.is_empty()),
            (Modality::Labs, !events.labs.is_empty()),
            (Modality::Notes, !events.notes.is_empty()),
        ] {
            *self.presence.entry(modality.name().to_owned()).or_default() += usize::from(there);
        }
    }
}

/// The folder of the tables of `config` in `place`, written there if they are not there yet.
///
/// One process writes, others wait for it.
///
/// # Errors
/// What [`plant`] fails with.
pub(super) fn kept(config: &PlantConfig, place: &Path) -> Result<PathBuf, EhrError> {
    let key = sha256(format!("{REVISION} {config:?}"));
    let folder = place.join(format!("planted-{}", &key[..20]));
    // Tables and marker come into being together.
    if folder.is_dir() {
        return Ok(folder);
    }
    let _lock = FileLock::acquire(&folder.with_extension("lock")).map_err(|error| EhrError::NotWritten {
        folder: folder.clone(),
        reason: error.to_string(),
    })?;
    if !folder.is_dir() {
        plant(config, &folder)?;
    }
    Ok(folder)
}
