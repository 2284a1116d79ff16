//! Health records as data sets: one of each source and label.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ehr::plant::SYNTHETIC;
use crate::ehr::{self, Cohort, EhrSource, Eicu, MimicIv, SPLIT_SEED, Split, SplitBy, Task};
use crate::{DataError, Dataset, DatasetSource, LoadOptions, cache};

/// One label of one source; its name is `SOURCE-LABEL`.
#[derive(Clone, Copy)]
pub struct EhrSet {
    name: &'static str,
    summary: &'static str,
    source: &'static dyn EhrSource,
    /// The source's name, as data sets say it.
    sources: &'static [&'static str],
    task: Task,
}

impl EhrSet {
    /// Death within 90 days of discharge, MIMIC-IV.
    pub const MIMIC_IV_MORTALITY: Self = Self {
        name: "mimic-iv-mortality",
        summary: "MIMIC-IV, six modalities: death within 90 days of discharge (credentialed; MIMIC_IV_DIR)",
        source: &MimicIv::FULL,
        sources: &["mimic-iv"],
        task: Task::Mortality,
    };
    /// Readmission within 15 days, MIMIC-IV.
    pub const MIMIC_IV_READMISSION: Self = Self {
        name: "mimic-iv-readmission",
        summary: "MIMIC-IV, six modalities: readmission within 15 days (credentialed; MIMIC_IV_DIR)",
        source: &MimicIv::FULL,
        sources: &["mimic-iv"],
        task: Task::Readmission,
    };
    /// Death within 90 days of discharge, the demo.
    pub const MIMIC_IV_DEMO_MORTALITY: Self = Self {
        name: "mimic-iv-demo-mortality",
        summary: "MIMIC-IV demo: death within 90 days of discharge; 101 labels, too few for evidence (MIMIC_IV_DEMO_DIR)",
        source: &MimicIv::DEMO,
        sources: &["mimic-iv-demo"],
        task: Task::Mortality,
    };
    /// Readmission within 15 days, the demo.
    pub const MIMIC_IV_DEMO_READMISSION: Self = Self {
        name: "mimic-iv-demo-readmission",
        summary: "MIMIC-IV demo: readmission within 15 days; 135 labels, too few for evidence (MIMIC_IV_DEMO_DIR)",
        source: &MimicIv::DEMO,
        sources: &["mimic-iv-demo"],
        task: Task::Readmission,
    };

    /// Death in hospital, eICU.
    pub const EICU_MORTALITY: Self = Self {
        name: "eicu-mortality",
        summary: "eICU, six modalities: death in hospital (credentialed; EICU_DIR)",
        source: &Eicu::FULL,
        sources: &["eicu"],
        task: Task::Mortality,
    };
    /// Return to intensive care, eICU.
    pub const EICU_READMISSION: Self = Self {
        name: "eicu-readmission",
        summary: "eICU, six modalities: return to intensive care in the same hospital stay (credentialed; EICU_DIR)",
        source: &Eicu::FULL,
        sources: &["eicu"],
        task: Task::Readmission,
    };
    /// Death in hospital, the demo.
    pub const EICU_DEMO_MORTALITY: Self = Self {
        name: "eicu-demo-mortality",
        summary: "eICU demo, six modalities, 1991 stays: death in hospital, 135 (open; EICU_DEMO_DIR)",
        source: &Eicu::DEMO,
        sources: &["eicu-demo"],
        task: Task::Mortality,
    };
    /// Return to intensive care, the demo.
    pub const EICU_DEMO_READMISSION: Self = Self {
        name: "eicu-demo-readmission",
        summary: "eICU demo, six modalities, 1991 stays: return to intensive care, 241 (open; EICU_DEMO_DIR)",
        source: &Eicu::DEMO,
        sources: &["eicu-demo"],
        task: Task::Readmission,
    };

    /// Death within 90 days of discharge, planted.
    pub const EHR_PLANTED_MORTALITY: Self = Self {
        name: "ehr-planted-mortality",
        summary: "synthetic health records, six modalities with planted features: death within 90 days of discharge",
        source: &MimicIv::PLANTED,
        sources: &["ehr-planted"],
        task: Task::Mortality,
    };
    /// Readmission within 15 days, planted.
    pub const EHR_PLANTED_READMISSION: Self = Self {
        name: "ehr-planted-readmission",
        summary: "synthetic health records, six modalities with planted features: readmission within 15 days",
        source: &MimicIv::PLANTED,
        sources: &["ehr-planted"],
        task: Task::Readmission,
    };

    /// The cohort, read once a process: each seed cuts it anew.
    fn cohort(&self) -> Result<Arc<Cohort>, DataError> {
        static COHORTS: Mutex<BTreeMap<&'static str, Arc<Cohort>>> = Mutex::new(BTreeMap::new());
        // Whoever panicked while holding the lock left a whole map: values are put in finished.
        let mut cohorts = COHORTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cohort) = cohorts.get(self.source.name()) {
            return Ok(Arc::clone(cohort));
        }
        let cohort = Arc::new(ehr::load(self.source, None, cache::folder().as_deref())?);
        cohorts.insert(self.source.name(), Arc::clone(&cohort));
        Ok(cohort)
    }
}

impl DatasetSource for EhrSet {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn sources(&self) -> &'static [&'static str] {
        self.sources
    }

    fn synthetic(&self) -> Option<&'static str> {
        ehr::is_synthetic(self.source).then_some(SYNTHETIC)
    }

    /// Seed 0 is the paper's cut; others cut anew, by patient, so that intervals hold the draw of the data.
    fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        let cohort = self.cohort()?;
        let seed = SPLIT_SEED.wrapping_add(options.seed);
        let split = Split::new(&cohort.admissions, SplitBy::Patient, seed);
        ehr::dataset(self.name, &cohort, self.task, &split)
    }
}
