//! The readers of health records, and where their tables are.

use std::path::{Path, PathBuf};

use super::cache;
use super::cohort::{Cohort, Task};
use super::error::EhrError;
use super::manifest::RecordsManifest;
use super::plant::{self, MARKER, Planted};
use crate::DataError;
use crate::catalog::listed;
use crate::manifest::BuiltIn;

/// A source of health records that can be read by name.
pub trait EhrSource: Sync {
    /// Name in specs, on the command line and of the manifest in `data/`.
    fn name(&self) -> &'static str;

    /// What a label says, in words.
    fn label(&self, task: Task) -> &'static str;

    /// What its notes are.
    fn notes(&self) -> Notes;

    /// Raised with every change in how rows become a cohort, so that no older cache is taken for a newer one.
    fn revision(&self) -> u32;

    /// The files in `folder` that the cohort is made of: its tables, compressed or not.
    ///
    /// # Errors
    /// When one is missing that the source cannot do without.
    fn files(&self, manifest: &RecordsManifest, folder: &Path) -> Result<Vec<PathBuf>, EhrError> {
        manifest.files(folder)
    }

    /// Reads the cohort from the tables in `folder`.
    ///
    /// # Errors
    /// When a table is missing, damaged, or holds what it should not; nothing is guessed.
    fn read(&self, folder: &Path) -> Result<Cohort, EhrError>;
}

/// What the notes of a source are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notes {
    /// There are none.
    Missing,
    /// Invented words, which mean nothing to a pretrained encoder.
    Synthetic,
    /// Text of clinicians.
    Text,
}

/// Every source of health records.
pub fn sources() -> impl Iterator<Item = &'static dyn EhrSource> {
    listed().filter_map(|source| source.reader)
}

/// The source called `name`.
///
/// # Errors
/// When there is none; the error lists those there are.
pub fn find(name: &str) -> Result<&'static dyn EhrSource, DataError> {
    sources()
        .find(|source| source.name() == name)
        .ok_or_else(|| DataError::UnknownName {
            name: name.to_owned(),
            known: sources().map(EhrSource::name).collect::<Vec<_>>().join(", "),
        })
}

/// The cohort of `source` from the tables in `folder` (else from [`tables`]), kept below `kept` (usually
/// [`crate::cache::folder`]) for the next time.
///
/// # Errors
/// What [`tables`] or [`EhrSource::read`] fails with.
pub fn load(source: &dyn EhrSource, folder: Option<&Path>, kept: Option<&Path>) -> Result<Cohort, DataError> {
    let (folder, key) = state(source, folder, kept)?;
    Ok(cache::cohort(kept, source.name(), &key, || source.read(&folder))?)
}

/// Where the tables of `source` are ([`load`]), and the key ([`cache::key`]) under which what is made of them is kept.
///
/// # Errors
/// When no folder is named, a table is missing, or the tables cannot be written.
pub fn state(
    source: &dyn EhrSource,
    folder: Option<&Path>,
    kept: Option<&Path>,
) -> Result<(PathBuf, String), DataError> {
    let manifest = RecordsManifest::find(source.name())?;
    let folder = match folder {
        Some(folder) => folder.to_owned(),
        None => tables(source, kept)?,
    };
    let files = source.files(&manifest, &folder)?;
    let key = cache::key(source, &files)?;
    Ok((folder, key))
}

/// The folder of the tables of `source`: where its manifest's variable points, else that of its downloads; those of a
/// synthetic source are written below `kept` where there is none.
///
/// # Errors
/// When no folder is named, or the tables cannot be written.
pub fn tables(source: &dyn EhrSource, kept: Option<&Path>) -> Result<PathBuf, DataError> {
    let manifest = RecordsManifest::find(source.name())?;
    if let Some(folder) = manifest.open().folder() {
        // Nothing of patients may be taken for synthetic.
        if manifest.planted.is_some() && Planted::of(&folder)?.is_none() {
            return Err(EhrError::NotPlanted { folder }.into());
        }
        return Ok(folder);
    }
    let Some(config) = &manifest.planted else {
        return Err(EhrError::NoFolder {
            title: manifest.title.clone(),
            variable: manifest.variable.clone(),
            steps: manifest.open().or_by_hand("\n", &manifest.numbered_steps()),
        }
        .into());
    };
    let base = kept.ok_or(EhrError::NoPlace)?;
    let place = cache::private_folder(base).map_err(|error| EhrError::NotWritten {
        folder: base.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(plant::kept(config, &place)?)
}

/// Whether no patient is behind `source`: its tables are planted, or its variable points to a folder of such.
pub fn is_synthetic(source: &dyn EhrSource) -> bool {
    let marked = |folder: PathBuf| folder.join(MARKER).exists();
    RecordsManifest::find(source.name())
        .is_ok_and(|manifest| manifest.planted.is_some() || manifest.open().folder().is_some_and(marked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_a_manifest_and_is_found() {
        for source in sources() {
            assert_eq!(find(source.name()).unwrap().name(), source.name());
            assert_eq!(RecordsManifest::find(source.name()).unwrap().name, source.name());
        }
        assert!(find("mimic-3").is_err());
    }
}
