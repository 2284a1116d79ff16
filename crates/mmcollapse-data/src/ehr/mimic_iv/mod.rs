//! MIMIC-IV (Johnson et al. 2023, PhysioNet): its tables, read under the cohort and label rules of MUSE (Wu et al., ICLR
//! 2024) as its public code has them.
//!
//! First the stays ([`stays`]), then table by table what belongs to them; rows of other stays are passed over.

mod codes;
mod labs;
mod notes;
mod stays;
mod titles;

use std::path::Path;

pub use labs::LAB_TERMS;

use super::cohort::{CodeKind, Cohort, Modality, Task};
use super::coverage::Coverage;
use super::error::EhrError;
use super::plant::Planted;
use super::source::{EhrSource, Notes};

/// MIMIC-IV, its open demo of 100 patients, or planted records in the same form.
#[derive(Clone, Copy, Debug)]
pub struct MimicIv {
    name: &'static str,
    notes: Notes,
}

impl MimicIv {
    /// The credentialed data set.
    pub const FULL: Self = Self {
        name: "mimic-iv",
        notes: Notes::Text,
    };
    /// Its open demo: the same tables without notes. Too small for evidence.
    pub const DEMO: Self = Self {
        name: "mimic-iv-demo",
        notes: Notes::Missing,
    };
    /// Synthetic: the same tables, written by [`super::plant`].
    pub const PLANTED: Self = Self {
        name: "ehr-planted",
        notes: Notes::Synthetic,
    };
}

impl EhrSource for MimicIv {
    fn name(&self) -> &'static str {
        self.name
    }

    fn label(&self, task: Task) -> &'static str {
        match task {
            Task::Mortality => "death within 90 days of discharge",
            Task::Readmission => "readmission within 15 days",
        }
    }

    fn notes(&self) -> Notes {
        self.notes
    }

    fn revision(&self) -> u32 {
        2
    }

    fn read(&self, folder: &Path) -> Result<Cohort, EhrError> {
        // Planted tables say themselves which modalities nobody has.
        let planted = Planted::of(folder)?;
        let none_planted = |modality: Modality| {
            let presence = planted.as_ref().map(|planted| &planted.presence);
            presence.is_some_and(|presence| presence.get(modality.name()).is_none_or(|n| *n == 0))
        };
        let kinds = [
            (Modality::Diagnoses, CodeKind::Diagnosis),
            (Modality::Procedures, CodeKind::Procedure),
            (Modality::Medications, CodeKind::Medication),
        ];
        let kinds = kinds.into_iter().filter(|(modality, _)| none_planted(*modality));
        let kinds: Vec<CodeKind> = kinds.map(|(_, kind)| kind).collect();

        let mut stays = stays::read(folder)?;
        let codes = codes::read(folder, &mut stays, &kinds)?;
        let lab_items = labs::read(folder, &mut stays, none_planted(Modality::Labs))?;
        let with_notes = notes::read(folder, &mut stays, none_planted(Modality::Notes))?;
        let coverage = Coverage::new(&stays.admissions, stays.tables);
        coverage.promised(folder, |modality| {
            !none_planted(modality) && (modality != Modality::Notes || with_notes)
        })?;
        Ok(Cohort {
            source: self.name.to_owned(),
            codes,
            lab_items,
            coverage,
            admissions: stays.admissions,
        })
    }
}
