//! Every source of data ([`listed`]), whatever kind of place it is. Each is named in the file of a data set made of it.
//!
//! A source is a manifest in `data/` and a type that reads it. The types are the kinds of places: a repository of the hub
//! ([`Manifest`](crate::manifest::Manifest)), an excerpt in the program ([`Excerpt`](crate::embedded::Excerpt)), a folder of
//! recordings ([`FolderSource`](crate::folder::FolderSource)), files that anyone may download
//! ([`FilesSource`](crate::files::FilesSource)), tables of health records
//! ([`RecordsManifest`](crate::ehr::manifest::RecordsManifest)), a pretrained text encoder ([`TextEncoder`](crate::ehr::TextEncoder)).
//! Each is a [`Source`], and nothing outside this module asks which kind a source is.

mod embedded;
mod encoder;
mod files;
mod folder;
mod hub;
mod place;
mod records;

use std::any::TypeId;
use std::path::PathBuf;

use crate::ehr::EhrSource;
use crate::hub::{Hub, HubError};
use crate::sets::FILES;
use crate::status::Verified;
use crate::{DataError, LoadOptions, SETS, find};

pub use place::{Access, Need, Place};

/// A place that data come from.
pub trait Source {
    /// Says what the source is.
    fn about(&self) -> About<'_>;

    /// Says where its data are now; needs no network.
    fn place(&self, hub: &Hub) -> Place;

    /// Lists what else a reader of `data list NAME` wants to know: label and text of each line.
    fn details(&self, hub: &Hub) -> Vec<(&'static str, String)>;

    /// Lists every file that it is read from; none where one of them is not there.
    fn local_files(&self, hub: &Hub) -> Option<Vec<PathBuf>>;

    /// Downloads what is missing, where that is possible.
    ///
    /// # Errors
    /// When a download fails.
    fn fetch(&self, _options: &LoadOptions) -> Result<(), DataError> {
        Ok(())
    }

    /// Reads all of it and compares each part with what is known of it. Loads missing files of the hub unless `hub` is offline.
    ///
    /// # Errors
    /// When a file cannot be had, or a hub's file does not decode to what its manifest says.
    fn verify(&self, hub: &Hub) -> Result<Vec<Verified>, DataError>;

    /// Asks the hub once, and quickly, whether it gives what is missing; says why not.
    fn obstacle(&self, _hub: &Hub) -> Option<HubError> {
        None
    }
}

/// What a source is.
#[derive(Clone, Debug)]
pub struct About<'a> {
    /// Name on the command line, and of the manifest.
    pub name: &'a str,
    /// Full name.
    pub title: &'a str,
    /// Licence of the data.
    pub licence: &'a str,
    /// Whom to cite.
    pub citation: &'a str,
    /// Who may have it.
    pub access: Access,
    /// What `all` means for it.
    pub need: Need,
    /// What it holds, in a word or two.
    pub content: String,
    /// How much of it there is; empty where that is not known.
    pub size: String,
}

/// A source whose manifest was read.
type Opened = Result<Box<dyn Source>, DataError>;

/// A source and its manifest, as `manifest!` names them.
pub struct Listed {
    /// Name of the source and of its manifest.
    pub name: &'static str,
    /// Text of its manifest.
    pub text: &'static str,
    /// Reader of its tables, if it holds health records.
    pub reader: Option<&'static dyn EhrSource>,
    pub(crate) kind: fn() -> TypeId,
    pub(crate) parse: fn(&str, &str) -> Opened,
}

impl Listed {
    /// Whether its manifest is a `T`.
    pub(crate) fn is<T: 'static>(&self) -> bool {
        (self.kind)() == TypeId::of::<T>()
    }

    /// Reads its manifest.
    ///
    /// # Errors
    /// When it is wrong; a test keeps that from happening.
    pub fn open(&self) -> Result<Box<dyn Source>, DataError> {
        (self.parse)(self.name, self.text)
    }
}

/// The source of a kind of manifest, whose manifest is `data/NAME.yaml`; of health records with their reader.
macro_rules! manifest {
    ($kind:ty, $name:literal) => {
        manifest!($kind, $name, None)
    };
    ($kind:ty, $name:literal, $reader:expr) => {
        $crate::catalog::Listed {
            name: $name,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/", $name, ".yaml")),
            reader: $reader,
            kind: std::any::TypeId::of::<$kind>,
            parse: |name, text| Ok(Box::new(<$kind as $crate::manifest::BuiltIn>::parse(name, text)?)),
        }
    };
}
pub(crate) use manifest;

/// Every source, in the order of the data sets' files.
pub fn listed() -> impl Iterator<Item = &'static Listed> {
    FILES.iter().flat_map(|file| file.sources)
}

/// The source called `name`.
///
/// # Errors
/// When there is none.
pub fn source(name: &str) -> Result<Box<dyn Source>, DataError> {
    let found = listed().find(|listed| listed.name == name);
    found.ok_or_else(|| unknown(name))?.open()
}

/// The sources that `name` means: itself, those of a data set, or `all`.
///
/// # Errors
/// When nothing is called so; the error lists the names there are.
pub fn named(name: &str) -> Result<Vec<Box<dyn Source>>, DataError> {
    if name == "all" {
        return listed().map(Listed::open).collect();
    }
    match find(name) {
        Ok(set) => set.sources().iter().map(|name| source(name)).collect(),
        Err(_) => Ok(vec![source(name)?]),
    }
}

/// The data sets made of the source `name`.
pub fn sets_of(name: &str) -> Vec<&'static str> {
    let uses = |set: &&&dyn crate::DatasetSource| set.sources().contains(&name);
    SETS.iter().filter(uses).map(|set| set.name()).collect()
}

fn unknown(name: &str) -> DataError {
    let sources = || listed().map(|listed| listed.name);
    // A data set may be named as its source is.
    let sets = SETS.iter().map(|set| set.name());
    let sets = sets.filter(|set| !sources().any(|source| source == *set));
    DataError::UnknownName {
        name: name.to_owned(),
        known: sources().chain(sets).chain(["all"]).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ehr::manifest::RecordsManifest;

    #[test]
    fn every_source_reads_and_says_what_it_is() {
        for listed in listed() {
            let source = listed.open().unwrap();
            let about = source.about();
            assert_eq!(about.name, listed.name);
            let texts = [about.title, about.licence, about.citation, &about.content];
            assert!(texts.iter().all(|text| !text.is_empty()), "{about:?}");
            assert_eq!(
                listed.reader.is_some(),
                listed.is::<RecordsManifest>(),
                "{}",
                listed.name
            );
            assert!(
                listed.reader.is_none_or(|reader| reader.name() == listed.name),
                "{}",
                listed.name
            );
            assert!(!sets_of(listed.name).is_empty(), "{} is in no data set", listed.name);
        }
    }

    #[test]
    fn names_mean_sources() {
        let of = |name| {
            let sources = named(name).unwrap();
            sources
                .iter()
                .map(|source| source.about().name.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("fsdd"), ["fsdd"]);
        assert_eq!(of("avmnist"), ["mnist", "fsdd"]);
        assert_eq!(of("avmnist-hard"), ["mnist", "fsdd", "esc10"]);
        assert_eq!(of("avmnist-embedded"), ["avmnist-embedded"]);
        assert_eq!(of("mfeat"), ["mfeat"]);
        assert_eq!(of("eicu-demo-mortality"), ["eicu-demo"]);
        assert_eq!(of("eicu-demo+bert-tiny-mortality"), ["eicu-demo", "bert-tiny"]);
        assert!(of("all").starts_with(&["mnist".to_owned(), "fsdd".to_owned()]));
        assert_eq!(of("ehr-planted-readmission"), ["ehr-planted"]);
        assert!(of("planted").is_empty());
        let error = named("mnits").err().unwrap();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        let sources: Vec<&str> = listed().map(|listed| listed.name).collect();
        assert!(
            help.contains(&format!("{}, avmnist,", sources.join(", "))) && help.contains("all"),
            "{help}"
        );
    }
}
