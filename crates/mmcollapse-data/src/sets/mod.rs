//! The data sets: one file each, one line each in [`SETS`].

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
pub trait DatasetSource: Sync {
    /// Name in specs and on the command line.
    fn name(&self) -> &'static str;

    /// One line for `list`.
    fn summary(&self) -> &'static str;

    /// The sources in `data/` it is made of; none for a synthetic one.
    fn sources(&self) -> &'static [&'static str] {
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

    /// Loads and cuts it; the same options give the same bits.
    ///
    /// # Errors
    /// When a source cannot be had or does not hold what its manifest says.
    fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError>;
}

/// Every data set there is.
pub static SETS: &[&dyn DatasetSource] = &[
    &AvMnist::Plain,
    &AvMnist::Standardized,
    &AvMnist::Embedded,
    &AvMnistHard,
    &Mfeat,
    &Physionet2012,
    &EhrSet::MIMIC_IV_MORTALITY,
    &EhrSet::MIMIC_IV_READMISSION,
    &EhrSet::MIMIC_IV_DEMO_MORTALITY,
    &EhrSet::MIMIC_IV_DEMO_READMISSION,
    &EhrSet::EICU_MORTALITY,
    &EhrSet::EICU_READMISSION,
    &EhrSet::EICU_DEMO_MORTALITY,
    &EhrSet::EICU_DEMO_READMISSION,
    &EhrSet::EHR_PLANTED_MORTALITY,
    &EhrSet::EHR_PLANTED_READMISSION,
    &ehr::READ_BY[0],
    &ehr::READ_BY[1],
    &ehr::READ_BY[2],
    &ehr::READ_BY[3],
    &ehr::READ_BY[4],
    &ehr::READ_BY[5],
    &ehr::READ_BY[6],
    &ehr::READ_BY[7],
    &ehr::READ_BY[8],
    &ehr::READ_BY[9],
    &ehr::READ_BY[10],
    &ehr::READ_BY[11],
    &Planted,
];

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
        for set in SETS {
            assert_eq!(find(set.name()).unwrap().summary(), set.summary());
            assert_eq!(SETS.iter().filter(|other| other.name() == set.name()).count(), 1);
        }
        for name in ["eicu-demo+bert-tiny-mortality", "mimic-iv+bio-clinicalbert-readmission"] {
            assert_eq!(find(name).unwrap().sources().len(), 2);
        }
        let error = find("avmnits").err().unwrap();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("avmnist, "), "{help}");
    }
}
