//! Health records as data sets: one of each source and label.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ehr::manifest::RecordsManifest;
use crate::ehr::plant::SYNTHETIC;
use crate::ehr::{
    self, Cohort, EhrSource, Eicu, MimicIv, NoteEmbeddings, SPLIT_SEED, Split, SplitBy, Task, TextEncoder,
};
use crate::manifest::BuiltIn;
use crate::{DataError, Dataset, DatasetSource, LoadOptions, cache, prepared, sources};

/// One label of one source; its name is `SOURCE-LABEL`, or `SOURCE+ENCODER-LABEL` where a pretrained encoder reads the
/// notes, so that no result can be taken for one of other inputs.
#[derive(Clone, Copy)]
pub struct EhrSet {
    name: &'static str,
    summary: &'static str,
    source: &'static dyn EhrSource,
    /// The source's name, as data sets say it.
    sources: &'static [&'static str],
    task: Task,
    /// The pretrained encoder of the notes, if not that of the training notes alone.
    encoder: Option<&'static str>,
}

/// The set `$base`, of the label `$label` of `$source`, with notes read by `$encoder`.
macro_rules! read_by {
    ($encoder:literal, $base:ident, $source:literal, $label:literal) => {
        EhrSet {
            name: concat!($source, "+", $encoder, "-", $label),
            summary: concat!(
                $source,
                "-",
                $label,
                " with notes embedded by the pretrained ",
                $encoder
            ),
            sources: &[$source, $encoder],
            encoder: Some($encoder),
            ..EhrSet::$base
        }
    };
}

/// The sources with notes, read by each pretrained encoder.
pub(super) const READ_BY: [EhrSet; 12] = [
    read_by!("bert-tiny", MIMIC_IV_MORTALITY, "mimic-iv", "mortality"),
    read_by!("bert-tiny", MIMIC_IV_READMISSION, "mimic-iv", "readmission"),
    read_by!("bert-tiny", EICU_MORTALITY, "eicu", "mortality"),
    read_by!("bert-tiny", EICU_READMISSION, "eicu", "readmission"),
    read_by!("bert-tiny", EICU_DEMO_MORTALITY, "eicu-demo", "mortality"),
    read_by!("bert-tiny", EICU_DEMO_READMISSION, "eicu-demo", "readmission"),
    read_by!("bio-clinicalbert", MIMIC_IV_MORTALITY, "mimic-iv", "mortality"),
    read_by!("bio-clinicalbert", MIMIC_IV_READMISSION, "mimic-iv", "readmission"),
    read_by!("bio-clinicalbert", EICU_MORTALITY, "eicu", "mortality"),
    read_by!("bio-clinicalbert", EICU_READMISSION, "eicu", "readmission"),
    read_by!("bio-clinicalbert", EICU_DEMO_MORTALITY, "eicu-demo", "mortality"),
    read_by!("bio-clinicalbert", EICU_DEMO_READMISSION, "eicu-demo", "readmission"),
];

impl EhrSet {
    /// Death within 90 days of discharge, MIMIC-IV.
    pub const MIMIC_IV_MORTALITY: Self = Self {
        name: "mimic-iv-mortality",
        summary: "MIMIC-IV, six modalities: death within 90 days of discharge (credentialed; MIMIC_IV_DIR)",
        source: &MimicIv::FULL,
        sources: &["mimic-iv"],
        task: Task::Mortality,
        encoder: None,
    };
    /// Readmission within 15 days, MIMIC-IV.
    pub const MIMIC_IV_READMISSION: Self = Self {
        name: "mimic-iv-readmission",
        summary: "MIMIC-IV, six modalities: readmission within 15 days (credentialed; MIMIC_IV_DIR)",
        source: &MimicIv::FULL,
        sources: &["mimic-iv"],
        task: Task::Readmission,
        encoder: None,
    };
    /// Death within 90 days of discharge, the demo.
    pub const MIMIC_IV_DEMO_MORTALITY: Self = Self {
        name: "mimic-iv-demo-mortality",
        summary: "MIMIC-IV demo: death within 90 days of discharge; 101 labels, too few for evidence (open)",
        source: &MimicIv::DEMO,
        sources: &["mimic-iv-demo"],
        task: Task::Mortality,
        encoder: None,
    };
    /// Readmission within 15 days, the demo.
    pub const MIMIC_IV_DEMO_READMISSION: Self = Self {
        name: "mimic-iv-demo-readmission",
        summary: "MIMIC-IV demo: readmission within 15 days; 135 labels, too few for evidence (open)",
        source: &MimicIv::DEMO,
        sources: &["mimic-iv-demo"],
        task: Task::Readmission,
        encoder: None,
    };

    /// Death in hospital, eICU.
    pub const EICU_MORTALITY: Self = Self {
        name: "eicu-mortality",
        summary: "eICU, six modalities: death in hospital (credentialed; EICU_DIR)",
        source: &Eicu::FULL,
        sources: &["eicu"],
        task: Task::Mortality,
        encoder: None,
    };
    /// Return to intensive care, eICU.
    pub const EICU_READMISSION: Self = Self {
        name: "eicu-readmission",
        summary: "eICU, six modalities: return to intensive care in the same hospital stay (credentialed; EICU_DIR)",
        source: &Eicu::FULL,
        sources: &["eicu"],
        task: Task::Readmission,
        encoder: None,
    };
    /// Death in hospital, the demo.
    pub const EICU_DEMO_MORTALITY: Self = Self {
        name: "eicu-demo-mortality",
        summary: "eICU demo, six modalities, 1991 stays: death in hospital, 135 (open)",
        source: &Eicu::DEMO,
        sources: &["eicu-demo"],
        task: Task::Mortality,
        encoder: None,
    };
    /// Return to intensive care, the demo.
    pub const EICU_DEMO_READMISSION: Self = Self {
        name: "eicu-demo-readmission",
        summary: "eICU demo, six modalities, 1991 stays: return to intensive care, 241 (open)",
        source: &Eicu::DEMO,
        sources: &["eicu-demo"],
        task: Task::Readmission,
        encoder: None,
    };

    /// Death within 90 days of discharge, planted.
    pub const EHR_PLANTED_MORTALITY: Self = Self {
        name: "ehr-planted-mortality",
        summary: "synthetic health records, six modalities with planted features: death within 90 days of discharge",
        source: &MimicIv::PLANTED,
        sources: &["ehr-planted"],
        task: Task::Mortality,
        encoder: None,
    };
    /// Readmission within 15 days, planted.
    pub const EHR_PLANTED_READMISSION: Self = Self {
        name: "ehr-planted-readmission",
        summary: "synthetic health records, six modalities with planted features: readmission within 15 days",
        source: &MimicIv::PLANTED,
        sources: &["ehr-planted"],
        task: Task::Readmission,
        encoder: None,
    };

    /// [`DatasetSource::load`] from the tables in `folder` (else the user's), kept below `base` (usually
    /// [`cache::folder`]): from the file that an earlier call left there, where it is of the same tables and code.
    ///
    /// # Errors
    /// When tables or encoder cannot be had or hold something else than they should.
    pub fn load_below(
        &self,
        options: &LoadOptions,
        folder: Option<&Path>,
        base: Option<&Path>,
    ) -> Result<Dataset, DataError> {
        let (folder, tables) = ehr::state(self.source, folder, base)?;
        let encoder = self.encoder.map(|encoder| encoder_key(encoder, options));
        let key = cache::key(&[
            &format!("{} {}", self.name, options.seed),
            ehr::fingerprint(),
            &tables,
            encoder.transpose()?.as_deref().map_or("", String::as_str),
        ]);
        let prepare = || {
            // Read once for all the seeds of a plan.
            let cohort = once(&COHORTS, tables.clone(), || ehr::load(self.source, Some(&folder), base))?;
            let notes = self.encoder.map(|encoder| {
                once(&NOTES, (tables.clone(), encoder), || {
                    let encoder = TextEncoder::find(encoder)?;
                    NoteEmbeddings::load(&cohort, &encoder, &sources::hub(options), base)
                })
            });
            self.prepare(options.seed, &cohort, notes.transpose()?.as_deref())
        };
        let name = format!("{}-{}", self.name, options.seed);
        let open = |path: &Path| prepared::open(path, &key);
        ehr::kept(base, &name, "samples", open, prepare, |path, dataset| {
            prepared::keep(path, &key, dataset)
        })
    }

    /// Seed 0 is the paper's cut; others cut anew, by patient, so that intervals hold the draw of the data.
    fn prepare(&self, seed: u64, cohort: &Cohort, notes: Option<&NoteEmbeddings>) -> Result<Dataset, DataError> {
        let seed = SPLIT_SEED.wrapping_add(seed);
        let split = Split::new(&cohort.admissions, SplitBy::Patient, seed);
        ehr::dataset(self.name, cohort, self.task, &split, notes)
    }
}

/// The key of the encoder of the notes, which takes its weights to be read, once a process.
fn encoder_key(encoder: &'static str, options: &LoadOptions) -> Result<Arc<String>, DataError> {
    static KEYS: Once<&'static str, String> = Mutex::new(BTreeMap::new());
    once(&KEYS, encoder, || {
        NoteEmbeddings::key(&TextEncoder::find(encoder)?, &sources::hub(options))
    })
}

/// Cohorts by the key of their tables, until [`release`].
static COHORTS: Once<String, Cohort> = Mutex::new(BTreeMap::new());
/// Embedded notes by the key of the cohort's tables and the encoder, until [`release`].
static NOTES: Once<(String, &'static str), NoteEmbeddings> = Mutex::new(BTreeMap::new());

/// Lets go of cohorts and notes: they are kept in memory for the next seed, and take more of it than anything else.
pub(super) fn release() {
    COHORTS.lock().unwrap_or_else(PoisonError::into_inner).clear();
    NOTES.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// What was made once, by what it was made of.
type Once<K, T> = Mutex<BTreeMap<K, Arc<T>>>;

fn once<K: Ord, T>(
    made: &Once<K, T>,
    key: K,
    make: impl FnOnce() -> Result<T, DataError>,
) -> Result<Arc<T>, DataError> {
    // Whoever panicked while holding the lock left a whole map: values are put in finished.
    let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = made.get(&key) {
        return Ok(Arc::clone(found));
    }
    let new = Arc::new(make()?);
    made.insert(key, Arc::clone(&new));
    Ok(new)
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

    fn two_classes(&self) -> bool {
        true
    }

    fn synthetic(&self) -> Option<&'static str> {
        ehr::is_synthetic(self.source).then_some(SYNTHETIC)
    }

    fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        RecordsManifest::find(self.source.name())?.open().obtain(options)?;
        self.load_below(options, None, cache::folder().as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cohort_is_held_from_seed_to_seed_and_then_let_go_of() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("tables");
        let planted = RecordsManifest::find("ehr-planted").unwrap().planted.unwrap();
        ehr::plant::plant(
            &ehr::plant::PlantConfig {
                patients: 100,
                ..planted
            },
            &folder,
        )
        .unwrap();
        let (_, tables) = ehr::state(EhrSet::EHR_PLANTED_MORTALITY.source, Some(&folder), None).unwrap();
        let held = || {
            let cohorts = COHORTS.lock().unwrap();
            cohorts.get(&tables).map(Arc::downgrade)
        };
        let load = |seed| {
            let options = LoadOptions {
                seed,
                ..LoadOptions::default()
            };
            EhrSet::EHR_PLANTED_MORTALITY
                .load_below(&options, Some(&folder), Some(base.path()))
                .unwrap()
        };
        let first = load(0);
        let cohort = held().unwrap();
        assert_ne!(load(1).digest, first.digest);
        assert!(held().unwrap().ptr_eq(&cohort));
        release();
        assert!(held().is_none() && cohort.upgrade().is_none());
        // What was kept needs no cohort.
        assert_eq!(load(0), first);
        assert!(held().is_none());
    }
}
