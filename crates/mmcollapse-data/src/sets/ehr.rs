//! Health records as data sets, composed: source x label x text encoder.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::iter;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::File;
use crate::catalog::manifest;
use crate::ehr::manifest::RecordsManifest;
use crate::ehr::plant::SYNTHETIC;
use crate::ehr::{
    self, Cohort, EhrSource, Eicu, LabelCounts, MimicIv, Modality, NoteEmbeddings, Notes, SPLIT_SEED, Split, SplitBy,
    Task, TextEncoder,
};
use crate::manifest::BuiltIn;
use crate::{DataError, Dataset, DatasetSource, LoadOptions, cache, prepared, sources};

/// One label of one source; its name is `SOURCE-LABEL`, or `SOURCE+ENCODER-LABEL` where a pretrained encoder reads the
/// notes, so that no result can be taken for one of other inputs.
#[derive(Clone)]
pub struct EhrSet {
    name: String,
    source: &'static dyn EhrSource,
    /// Names of the tables' source and of the encoder.
    sources: Vec<&'static str>,
    task: Task,
    /// The pretrained encoder of the notes, if not that of the training notes alone.
    encoder: Option<&'static str>,
}

pub(super) const FILE: File = File {
    sets: || SETS.iter().map(|set| -> &dyn DatasetSource { set }).collect(),
    sources: &[
        manifest!(RecordsManifest, "mimic-iv", Some(&MimicIv::FULL)),
        manifest!(RecordsManifest, "mimic-iv-demo", Some(&MimicIv::DEMO)),
        manifest!(RecordsManifest, "eicu", Some(&Eicu::FULL)),
        manifest!(RecordsManifest, "eicu-demo", Some(&Eicu::DEMO)),
        manifest!(RecordsManifest, "ehr-planted", Some(&MimicIv::PLANTED)),
        manifest!(TextEncoder, "bert-tiny"),
        manifest!(TextEncoder, "bio-clinicalbert"),
    ],
};

/// Each source with each label; then, where notes are text, read by each pretrained encoder.
static SETS: LazyLock<Vec<EhrSet>> = LazyLock::new(|| {
    let encoders = iter::once(None).chain(TextEncoder::texts().map(|(name, _)| Some(name)));
    let with_sources = encoders.flat_map(|encoder| {
        let sources = ehr::sources().filter(move |source| encoder.is_none() || source.notes() == Notes::Text);
        sources.map(move |source| (source, encoder))
    });
    let sets = with_sources.flat_map(|(source, encoder)| Task::ALL.map(|task| EhrSet::new(source, encoder, task)));
    sets.collect()
});

impl EhrSet {
    /// The label `task` of `source`, with notes read by the pretrained `encoder` if there is one.
    pub fn new(source: &'static dyn EhrSource, encoder: Option<&'static str>, task: Task) -> Self {
        let tables = source.name();
        let inputs = encoder.map_or_else(|| tables.to_owned(), |encoder| format!("{tables}+{encoder}"));
        Self {
            name: format!("{inputs}-{}", task.name()),
            source,
            sources: iter::once(tables).chain(encoder).collect(),
            task,
            encoder,
        }
    }

    /// Counts of its labels, where the manifest of its source has them.
    fn labels(&self) -> Option<LabelCounts> {
        let counts = RecordsManifest::find(self.source.name()).ok()?.cohort?;
        Some(match self.task {
            Task::Mortality => counts.mortality,
            Task::Readmission => counts.readmission,
        })
    }

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
        ehr::dataset(&self.name, cohort, self.task, &split, notes)
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
    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> String {
        let source = self.source.name();
        let title = RecordsManifest::find(source).map_or_else(|_| source.to_owned(), |manifest| manifest.title);
        let mut summary = format!("{title}: {}", self.source.label(self.task));
        if let Some(labels) = self.labels() {
            let _ = write!(summary, ", {} of {}", labels.yes, labels.yes + labels.no);
        }
        if let Some(encoder) = self.encoder {
            let _ = write!(summary, "; notes embedded by {encoder}");
        }
        summary
    }

    fn modalities(&self) -> Vec<String> {
        let without_notes = self.source.notes() == Notes::Missing;
        let there = |modality: &Modality| !(without_notes && *modality == Modality::Notes);
        let modalities = Modality::ALL.into_iter().filter(there);
        modalities.map(|modality| modality.name().to_owned()).collect()
    }

    fn samples(&self) -> Option<usize> {
        self.labels().map(|labels| labels.yes + labels.no)
    }

    fn sources(&self) -> &[&'static str] {
        &self.sources
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
        let set = EhrSet::new(&MimicIv::PLANTED, None, Task::Mortality);
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
        let (_, tables) = ehr::state(set.source, Some(&folder), None).unwrap();
        let held = || {
            let cohorts = COHORTS.lock().unwrap();
            cohorts.get(&tables).map(Arc::downgrade)
        };
        let load = |seed| {
            let options = LoadOptions {
                seed,
                ..LoadOptions::default()
            };
            set.load_below(&options, Some(&folder), Some(base.path())).unwrap()
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
