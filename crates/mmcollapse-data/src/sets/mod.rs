//! The data sets: one file each, one line each in `FILES`; those of health records share a file.

mod avmnist;
mod avmnist_hard;
mod ehr;
mod mfeat;
mod mnist_svhn;
mod physionet_2012;
mod planted;
mod planted_features;
mod spoken;

pub use avmnist::{AvMnist, Parts, Recipe};
pub use avmnist_hard::{AvMnistHard, HardParts, HardRecipe};
pub use ehr::EhrSet;
pub use mnist_svhn::{MnistSvhn, PairParts, PairRecipe, PairSize};
pub use planted::{Planted, PlantedConfig, planted};
pub use planted_features::NAME as PLANTED_FEATURES;
pub use planted_features::{Feature, Pairing, PlantedFeatures, Role, Truth, truth};

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::catalog::Listed;
use crate::own::{self, Adapted};
use crate::{DataError, Dataset};

/// How a data set is to be loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Seed of everything the data set draws: which images, which pairs, which validation samples.
    pub seed: u64,
    /// Use what is in the cache and never the network, as `HF_HUB_OFFLINE=1` does.
    pub offline: bool,
    /// Show a progress bar while downloading.
    pub progress: bool,
}

/// A data set that can be loaded by name.
pub trait DatasetSource: Send + Sync {
    /// Name in specs and on the command line.
    fn name(&self) -> &str;

    /// One line for `list`.
    fn summary(&self) -> String;

    /// Names of its modalities, in their order.
    fn modalities(&self) -> Vec<String>;

    /// Number of its samples, where that is known before it is loaded.
    fn samples(&self) -> Option<usize>;

    /// The sources in `data/` it is made of; none for a synthetic one.
    fn sources(&self) -> &[&'static str] {
        &[]
    }

    /// What must be read before any number that comes of it, if it is synthetic.
    fn synthetic(&self) -> Option<&'static str> {
        None
    }

    /// Whether its samples are of two classes, so that it is scored by rank (AUROC).
    fn two_classes(&self) -> bool {
        false
    }

    /// Whether one of its modalities is made of planes, as an image or a spectrogram is.
    fn has_images(&self) -> bool {
        false
    }

    /// What it lacks of the data set that it is an excerpt of, if it is one: said wherever its numbers stand.
    fn excerpt(&self) -> Option<&'static str> {
        None
    }

    /// The data set built into the program that takes its place where its files cannot be had.
    fn stand_in(&self) -> Option<&'static str> {
        None
    }

    /// What a spec takes over from it, where it is a user's own.
    fn own(&self) -> Option<Adapted> {
        None
    }

    /// The user's files that it is read from.
    fn own_files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Whether what was prepared for a seed is kept, so that loading it needs no source.
    fn is_kept(&self, _seed: u64) -> bool {
        false
    }

    /// Reads the files in `folder`, of its source, for `data verify`; nothing where their digests say all there is to say.
    ///
    /// # Errors
    /// When the files hold something else than they should.
    fn read_as(&self, _folder: &Path) -> Result<Option<ReadAs>, DataError> {
        Ok(None)
    }

    /// Loads and cuts it; the same options give the same bits.
    ///
    /// # Errors
    /// When a source cannot be had or does not hold what its manifest says.
    fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError>;
}

/// What the files of a source are read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAs {
    /// What a row is.
    pub what: &'static str,
    /// How many there are.
    pub rows: usize,
    /// Counts, one line each.
    pub details: Vec<String>,
}

/// What a file adds to the program.
pub(crate) struct File {
    /// Its data sets.
    sets: fn() -> Vec<&'static dyn DatasetSource>,
    /// The sources they are made of that no file before it names.
    pub(crate) sources: &'static [Listed],
}

/// Every file, in the order in which `data list` shows what they add.
pub(crate) static FILES: &[File] = &[
    avmnist::FILE,
    avmnist_hard::FILE,
    mnist_svhn::FILE,
    mfeat::FILE,
    physionet_2012::FILE,
    ehr::FILE,
    planted::FILE,
    planted_features::FILE,
];

/// Every data set.
pub static SETS: LazyLock<Vec<&'static dyn DatasetSource>> =
    LazyLock::new(|| FILES.iter().flat_map(|file| (file.sets)()).collect());

/// Lets go of what loading keeps in memory for the next seed: whoever needs no other one is left with the samples only.
pub fn release() {
    ehr::release();
}

/// Whether a data set of the program's own is called so.
pub(crate) fn is_built_in(name: &str) -> bool {
    planted_features::composed(name).is_some() || SETS.iter().any(|set| set.name() == name)
}

/// The data set called `name`.
///
/// # Errors
/// When there is none; the error lists those there are.
pub fn find(name: &str) -> Result<&'static dyn DatasetSource, DataError> {
    if let Some(composed) = planted_features::composed(name) {
        return composed;
    }
    let own = || own::find(name).map(|set| -> &'static dyn DatasetSource { set });
    let found = SETS.iter().copied().find(|set| set.name() == name).or_else(own);
    found.ok_or_else(|| DataError::UnknownName {
        name: name.to_owned(),
        known: SETS.iter().map(|set| set.name()).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::catalog;

    #[test]
    fn names_are_unique_and_found() {
        for set in SETS.iter() {
            assert_eq!(find(set.name()).unwrap().summary(), set.summary());
            assert_eq!(SETS.iter().filter(|other| other.name() == set.name()).count(), 1);
        }
        let error = find("avmnits").err().unwrap();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("avmnist, "), "{help}");
    }

    #[test]
    fn names_of_health_records_are_composed_of_source_label_and_encoder() {
        let names: Vec<&str> = SETS
            .iter()
            .map(|set| set.name())
            .filter(|name| name.contains("eicu-demo"))
            .collect();
        assert_eq!(
            names,
            [
                "eicu-demo-mortality",
                "eicu-demo-readmission",
                "eicu-demo+bert-tiny-mortality",
                "eicu-demo+bert-tiny-readmission",
                "eicu-demo+bio-clinicalbert-mortality",
                "eicu-demo+bio-clinicalbert-readmission",
            ]
        );
        let of_records = SETS
            .iter()
            .filter(|set| set.name().ends_with("-mortality") && set.name() != "physionet-2012-mortality");
        assert_eq!(of_records.count(), 11);
        let set = find("eicu-demo+bert-tiny-mortality").unwrap();
        assert_eq!(set.sources(), ["eicu-demo", "bert-tiny"]);
        assert_eq!(
            set.summary(),
            "eICU Collaborative Research Database Demo 2.0.1: death in hospital, 135 of 1965; notes embedded by bert-tiny"
        );
        // Without notes, with notes that are no text, of an unknown encoder.
        for name in [
            "mimic-iv-demo+bert-tiny-mortality",
            "ehr-planted+bert-tiny-mortality",
            "eicu+bert-mortality",
        ] {
            assert!(find(name).is_err(), "{name}");
        }
    }

    /// Of every data set whose data are there; what the program would have to download or write first is passed over.
    #[test]
    fn what_is_loaded_is_what_was_said() {
        let options = LoadOptions {
            offline: true,
            ..LoadOptions::default()
        };
        let hub = crate::sources::hub(&options);
        let mut loaded = Vec::new();
        for set in SETS.iter() {
            let name = set.name();
            let sources: Vec<_> = set
                .sources()
                .iter()
                .map(|name| catalog::source(name).unwrap())
                .collect();
            if !sources.iter().all(|source| source.place(&hub).is_there()) {
                continue;
            }
            let data = set.load(&options).unwrap();
            let modalities: Vec<&String> = data.modalities.iter().map(|modality| &modality.name).collect();
            assert_eq!(set.modalities().iter().collect::<Vec<_>>(), modalities, "{name}");
            let splits = [&data.train, &data.validation, data.test.for_final_evaluation()];
            let n: usize = splits.iter().map(|split| split.len()).sum();
            assert!(set.samples().is_none_or(|said| said == n), "{name}: {n}");
            // Of records samples have numbers alone.
            let ids: Vec<&String> = splits.iter().flat_map(|split| split.ids.names()).collect();
            assert_eq!(
                ids.iter().collect::<BTreeSet<_>>().len(),
                ids.len(),
                "{name}: a sample is in two splits"
            );
            let labels = splits.iter().flat_map(|split| &split.labels);
            assert_eq!(
                labels.max().map(|&label| label as usize + 1),
                Some(data.classes),
                "{name}"
            );
            assert_eq!(set.two_classes(), data.classes == 2, "{name}");
            let images = data.modalities.iter().any(|modality| modality.shape.len() == 3);
            assert_eq!(set.has_images(), images, "{name}");
            loaded.push(name);
        }
        for name in ["planted", "avmnist-embedded"] {
            assert!(loaded.contains(&name), "{loaded:?}");
        }
    }
}
