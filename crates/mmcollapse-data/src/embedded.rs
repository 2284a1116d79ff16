//! The excerpt of MNIST and FSDD that is built into the program: `data/embedded/`, made by `scripts/embed_excerpt.py`.
//!
//! It lets avMNIST's tables, the tests and the regression gate run on real data where the hub cannot be reached.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::DataError;
use crate::content::{Identity, collection_digest};
use crate::manifest::{BuiltIn, Content, Media, Repository, is_hex};
use crate::parquet_rows::read_embedded;
use crate::sources::Record;

/// A file: its name below `data/embedded/`, what its rows hold, its bytes.
type File = (&'static str, Media, &'static [u8]);

const IMAGES: File = (
    "mnist.parquet",
    Media::Image,
    include_bytes!("../../../data/embedded/mnist.parquet"),
);
const CLIPS: File = (
    "fsdd.parquet",
    Media::Audio,
    include_bytes!("../../../data/embedded/fsdd.parquet"),
);

/// Pixels on a side of an image.
const SIDE: u32 = 28;
/// Samples a second of the recordings before they were thinned.
const RATE: u32 = 8000;

/// `data/avmnist-embedded.yaml`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Excerpt {
    /// Name on the command line, and of the manifest.
    pub name: String,
    /// Full name.
    pub title: String,
    /// Licences of the data.
    pub licence: String,
    /// Whom to cite.
    pub citation: String,
    /// Sources that it was made from, at the revisions it was made from.
    pub from: BTreeMap<String, Repository>,
    /// Images of each class to draw training from.
    pub train_images_per_class: usize,
    /// Images of each class to draw the test from.
    pub test_images_per_class: usize,
    /// One sample in so many of each recording is there.
    pub every: usize,
    /// sha256 of the files, by name.
    pub files: BTreeMap<String, String>,
    /// What the files decode to, by part.
    pub content: BTreeMap<String, Content>,
}

impl BuiltIn for Excerpt {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        self.from.values().try_for_each(|place| place.check([]))?;
        let digests = self.content.values().map(|content| &content.digest);
        match digests.chain(self.files.values()).find(|digest| !is_hex(digest, 64)) {
            Some(digest) => Err(format!("digest `{digest}` is no sha256 (64 hex digits)")),
            None => Ok(()),
        }
    }
}

/// What the excerpt decodes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Excerpted {
    /// Images to draw training from, by class and digest.
    pub train_images: Vec<Record>,
    /// Images to draw the test from, by class and digest.
    pub test_images: Vec<Record>,
    /// Thinned recordings, by class and digest.
    pub clips: Vec<Record>,
    /// Name of each recording, `digit_speaker_index`.
    pub names: Vec<String>,
}

impl Excerpt {
    /// Decodes the files and checks them against the manifest.
    ///
    /// # Errors
    /// When a file is not what the manifest says; a test keeps that from happening.
    pub fn decode(&self) -> Result<Excerpted, DataError> {
        let images = records(IMAGES, &[SIDE, SIDE])?;
        let of = |part: &str| {
            let of_part = images.iter().filter(|(path, _)| path == part);
            of_part.map(|(_, record)| record.clone()).collect()
        };
        let (names, clips) = records(CLIPS, &[RATE])?.into_iter().unzip();
        let excerpted = Excerpted {
            train_images: of("train"),
            test_images: of("test"),
            clips,
            names,
        };
        for (part, records) in excerpted.parts() {
            self.check_part(part, records)?;
        }
        Ok(excerpted)
    }

    fn check_part(&self, part: &str, records: &[Record]) -> Result<(), DataError> {
        let identities: Vec<Identity> = records.iter().map(|record| record.identity).collect();
        let got = Content {
            rows: records.len(),
            digest: collection_digest(&identities),
        };
        if self.content.get(part) == Some(&got) {
            return Ok(());
        }
        Err(DataError::Manifest {
            name: self.name.clone(),
            reason: format!("`content` of `{part}` is not what data/embedded decodes to: {got:?}"),
        })
    }
}

impl Excerpted {
    /// The parts by the names that the manifest has for them.
    pub fn parts(&self) -> [(&'static str, &[Record]); 3] {
        [
            ("train", &self.train_images),
            ("test", &self.test_images),
            ("clips", &self.clips),
        ]
    }
}

/// The rows of a file with their paths, sorted by class and digest.
fn records((name, media, content): File, form: &[u32]) -> Result<Vec<(String, Record)>, DataError> {
    let path = Path::new("data/embedded").join(name);
    let mut records = Vec::new();
    for (place, row) in read_embedded(content, &path, media.column())?.into_iter().enumerate() {
        let odd = |reason: &str| DataError::Row {
            path: path.clone(),
            row: place,
            reason: reason.to_owned(),
        };
        let called = row.path.as_ref().and_then(|path| path.as_utf8().ok());
        let called = called.ok_or_else(|| odd("no path, expected the part or the recording's name"))?;
        let content = row.bytes.data().to_vec();
        let whole = match media {
            Media::Image => content.len() == (SIDE * SIDE) as usize,
            Media::ColourImage => content.len() == 3 * (SIDE * SIDE) as usize,
            Media::Audio => !content.is_empty() && content.len().is_multiple_of(2),
        };
        if !whole {
            return Err(odd(&format!("{} bytes, which are no whole record", content.len())));
        }
        let record = Record {
            identity: Identity::new(row.label, &content),
            content,
            form: form.to_vec(),
        };
        records.push((called.to_owned(), record));
    }
    records.sort_by_key(|(_, record)| record.identity);
    Ok(records)
}

#[cfg(test)]
mod tests {
    use mmcollapse_files::sha256;

    use super::*;
    use crate::manifest::Manifest;
    use crate::sets::Recipe;

    fn excerpt() -> Excerpt {
        Excerpt::find("avmnist-embedded").unwrap()
    }

    #[test]
    fn the_files_are_those_of_the_manifest() {
        let excerpt = excerpt();
        let digests = [IMAGES, CLIPS].map(|(name, _, content)| (name.to_owned(), sha256(content)));
        assert_eq!(excerpt.files, BTreeMap::from(digests));
        let excerpted = excerpt.decode().unwrap();
        for (records, n) in [
            (&excerpted.train_images, excerpt.train_images_per_class),
            (&excerpted.test_images, excerpt.test_images_per_class),
            (&excerpted.clips, 150),
        ] {
            for class in 0..10 {
                assert_eq!(records.iter().filter(|r| r.identity.label == class).count(), n);
            }
        }
        let mut changed = excerpted.clips.clone();
        changed[0].identity.label = 9;
        assert!(excerpt.check_part("clips", &changed).is_err());
        assert!(excerpt.check_part("clips", &excerpted.clips[1..]).is_err());
    }

    #[test]
    fn it_was_made_from_what_the_hub_is_asked_for() {
        let excerpt = excerpt();
        assert_eq!(excerpt.every, Recipe::built_in().unwrap().every);
        assert_eq!(excerpt.from.len(), 2);
        for (name, place) in &excerpt.from {
            let manifest = Manifest::find(name).unwrap();
            assert_eq!(manifest.hub, *place);
            // `CC BY-SA 3.0 (LeCun, Cortes, Burges)`
            let licence = manifest.licence.split(" (").next().unwrap();
            assert!(excerpt.licence.contains(licence), "{name}: {licence}");
        }
    }

    #[test]
    fn the_notice_names_authors_licences_and_changes() {
        let notice = include_str!("../../../data/embedded/NOTICE.md");
        for (name, ..) in [IMAGES, CLIPS] {
            assert!(notice.contains(name), "{name}");
        }
        for said in [
            "Zohar Jackson",
            "LeCun",
            "CC BY-SA 4.0",
            "CC BY-SA 3.0",
            "Changes: only",
        ] {
            assert!(notice.contains(said), "{said}");
        }
    }
}
