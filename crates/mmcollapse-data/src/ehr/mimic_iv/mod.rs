//! MIMIC-IV (Johnson et al. 2023, PhysioNet): its tables, read under the cohort and label rules of MUSE (Wu et al., ICLR
//! 2024) as its public code has them.
//!
//! First the stays ([`stays`]), then table by table what belongs to them; rows of other stays are passed over.

mod codes;
mod labs;
mod notes;
mod stays;

use std::path::Path;

pub use labs::LAB_TERMS;

use super::cohort::Cohort;
use super::error::EhrError;
use super::source::EhrSource;

/// MIMIC-IV, its open demo of 100 patients, or planted records in the same form.
#[derive(Clone, Copy, Debug)]
pub struct MimicIv {
    name: &'static str,
    summary: &'static str,
}

impl MimicIv {
    /// The credentialed data set.
    pub const FULL: Self = Self {
        name: "mimic-iv",
        summary: "hospital stays of Beth Israel Deaconess Medical Center, cohort and labels after MUSE (credentialed)",
    };
    /// Its open demo: the same tables without notes. Too small for evidence.
    pub const DEMO: Self = Self {
        name: "mimic-iv-demo",
        summary: "100 patients of MIMIC-IV without notes, open; proves that the reader works, no evidence",
    };
    /// Synthetic: the same tables, written by [`super::plant`].
    pub const PLANTED: Self = Self {
        name: "ehr-planted",
        summary: "synthetic: planted features in the tables of MIMIC-IV, no patients; no evidence about real data",
    };
}

impl EhrSource for MimicIv {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn revision(&self) -> u32 {
        1
    }

    fn read(&self, folder: &Path) -> Result<Cohort, EhrError> {
        let mut stays = stays::read(folder)?;
        let codes = codes::read(folder, &mut stays)?;
        let lab_items = labs::read(folder, &mut stays)?;
        notes::read(folder, &mut stays)?;
        Ok(Cohort {
            source: self.name.to_owned(),
            codes,
            lab_items,
            admissions: stays.admissions,
        })
    }
}
