//! The data sets: one file each, one line each in [`SETS`]; those of health records share a file.

mod avmnist;
mod avmnist_hard;
mod ehr;
mod mfeat;
mod physionet_2012;
mod planted;
mod spoken;

pub use avmnist::{AvMnist, Parts, Recipe};
pub use avmnist_hard::{AvMnistHard, HardParts, HardRecipe};
pub use ehr::EhrSet;
pub use mfeat::Mfeat;
pub use physionet_2012::Physionet2012;
pub use planted::{Planted, PlantedConfig, planted};

use std::path::Path;
use std::sync::LazyLock;

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

    /// What it lacks of the data set that it is an excerpt of, if it is one: said wherever its numbers stand.
    fn excerpt(&self) -> Option<&'static str> {
        None
    }

    /// The data set built into the program that takes its place where its files cannot be had.
    fn stand_in(&self) -> Option<&'static str> {
        None
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

/// Every data set. Those of health records are composed: source x label x text encoder.
pub static SETS: LazyLock<Vec<&'static dyn DatasetSource>> = LazyLock::new(|| {
    let mut sets: Vec<&dyn DatasetSource> = vec![
        &AvMnist::Plain,
        &AvMnist::Standardized,
        &AvMnist::Embedded,
        &AvMnistHard,
        &Mfeat,
        &Physionet2012,
    ];
    sets.extend(ehr::SETS.iter().map(|set| -> &dyn DatasetSource { set }));
    sets.push(&Planted);
    sets
});

/// Lets go of what loading keeps in memory for the next seed: whoever needs no other one is left with the samples only.
pub fn release() {
    ehr::release();
}

/// The data set called `name`.
///
/// # Errors
/// When there is none; the error lists those there are.
pub fn find(name: &str) -> Result<&'static dyn DatasetSource, DataError> {
    let found = SETS.iter().copied().find(|set| set.name() == name);
    found.ok_or_else(|| DataError::UnknownName {
        name: name.to_owned(),
        known: SETS.iter().map(|set| set.name()).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn modalities_and_samples_are_those_that_are_loaded() {
        for name in ["planted", "avmnist-embedded"] {
            let set = find(name).unwrap();
            let data = set.load(&LoadOptions::default()).unwrap();
            let modalities: Vec<String> = data.modalities.iter().map(|modality| modality.name.clone()).collect();
            assert_eq!(set.modalities(), modalities, "{name}");
            assert_eq!(
                set.samples(),
                Some(data.train.len() + data.validation.len() + data.test.len()),
                "{name}"
            );
        }
    }
}
