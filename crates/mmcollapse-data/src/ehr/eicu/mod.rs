//! The eICU Collaborative Research Database (Pollard et al. 2018, PhysioNet): stays in intensive care of 208 hospitals.
//!
//! First the stays ([`stays`]), then table by table what belongs to them; rows of other stays are passed over, and so is
//! what happened after the stay. Offsets are minutes since admission to the unit.

mod events;
mod notes;
mod stays;
mod yaib;

use std::path::{Path, PathBuf};

use super::cohort::{Cohort, Modality, Task};
use super::coverage::Coverage;
use super::error::EhrError;
use super::lab_ranges::LabRanges;
use super::manifest::RecordsManifest;
use super::source::{EhrSource, Notes};
use super::table;
use super::vocabulary::Vocabulary;

/// eICU, or its open demo of 2520 stays in the same form.
#[derive(Clone, Copy, Debug)]
pub struct Eicu {
    name: &'static str,
    notes: Notes,
}

impl Eicu {
    /// The credentialed data set.
    pub const FULL: Self = Self {
        name: "eicu",
        notes: Notes::Text,
    };
    /// Its open demo.
    pub const DEMO: Self = Self {
        name: "eicu-demo",
        notes: Notes::Text,
    };

    /// The cohort of the tables in `folder`; `hourly` is YAIB's table of hourly values, which counts where there is no
    /// table of laboratory values.
    ///
    /// # Errors
    /// When a table is missing, damaged, or holds what it should not.
    pub fn cohort(&self, folder: &Path, hourly: Option<&Path>) -> Result<Cohort, EhrError> {
        let ranges = LabRanges::read()?;
        let mut stays = stays::read(folder)?;
        let mut vocabulary = Vocabulary::default();
        events::diagnoses(folder, &mut stays, &mut vocabulary)?;
        events::treatments(folder, &mut stays, &mut vocabulary)?;
        events::medications(folder, &mut stays, &mut vocabulary)?;
        let with_notes = notes::read(folder, &mut stays)?;
        let lab_items = match (table::find(folder, "lab"), hourly) {
            (Some(path), _) => Some(events::labs(&path, &mut stays, &ranges)?),
            (None, Some(path)) => Some(yaib::labs(path, &mut stays, &ranges)?),
            (None, None) => None,
        };
        let codes = vocabulary.settle(&mut stays.admissions);
        let coverage = Coverage::new(&stays.admissions, stays.tables);
        coverage.promised(folder, |modality| match modality {
            Modality::Notes => with_notes,
            Modality::Labs => lab_items.is_some(),
            _ => true,
        })?;
        Ok(Cohort {
            source: self.name.to_owned(),
            codes,
            lab_items: lab_items.unwrap_or_default(),
            coverage,
            admissions: stays.admissions,
        })
    }
}

impl EhrSource for Eicu {
    fn name(&self) -> &'static str {
        self.name
    }

    fn label(&self, task: Task) -> &'static str {
        match task {
            Task::Mortality => "death in hospital",
            Task::Readmission => "return to intensive care in the same hospital stay",
        }
    }

    fn notes(&self) -> Notes {
        self.notes
    }

    fn revision(&self) -> u32 {
        2
    }

    fn files(&self, manifest: &RecordsManifest, folder: &Path) -> Result<Vec<PathBuf>, EhrError> {
        let mut files = manifest.files(folder)?;
        files.extend(yaib::table(folder));
        Ok(files)
    }

    fn read(&self, folder: &Path) -> Result<Cohort, EhrError> {
        self.cohort(folder, yaib::table(folder).as_deref())
    }
}
