//! Sources that are a folder on the user's disk: one folder a class, recordings in it.
//!
//! Some data are nowhere on the hub in the form that is needed. Such a folder is named by an environment variable; its
//! manifest in `data/` says what has to be in it and how it is made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::DataError;
use crate::caps;
use crate::content::{Identity, collection_digest, short};
use crate::decode;
use crate::manifest::{BuiltIn, Content, folder_in};

/// Most bytes of a recording's file: the longest that is decoded, and a heading.
const LARGEST: u64 = 2 * decode::LONGEST_CLIP as u64 + (1 << 20);
/// Name and digest of the samples of each recording that was tested with.
const ESC10_CLIPS: &str = include_str!("../../../data/esc10-clips.csv");

/// A source: a folder of recordings that the user names.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct FolderSource {
    /// Name on the command line, and of the manifest.
    pub name: String,
    /// Full name.
    pub title: String,
    /// Licence of the data.
    pub licence: String,
    /// Whom to cite.
    pub citation: String,
    /// Environment variable that holds the folder's path.
    pub variable: String,
    /// Where the recordings can be had.
    pub address: String,
    /// Samples a second that every recording has to have.
    pub rate: u32,
    /// Folders of the classes.
    pub classes: Vec<String>,
    /// What the folder decoded to that the program was tested with.
    pub content: Content,
}

/// A recording of a folder.
#[derive(Clone, Debug, PartialEq)]
pub struct FolderClip {
    /// Class (place in [`FolderSource::classes`]) and digest of the samples.
    pub identity: Identity,
    /// File name without its ending.
    pub name: String,
    /// Samples, 16-bit integers over 32768.
    pub samples: Vec<f64>,
}

/// What became of the recordings that were tested with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Recordings that were tested with.
    pub expected: usize,
    /// Recordings there are.
    pub found: usize,
    /// Recordings with the samples of one that was tested with.
    pub same: usize,
    /// Recordings called as one that was tested with, of other samples: what was expected and got.
    pub other: Vec<String>,
    /// Names of those that were tested with that no recording has.
    pub missing: Vec<String>,
}

impl BuiltIn for FolderSource {
    fn name(&self) -> &str {
        &self.name
    }
}

impl FolderSource {
    /// The folder that the environment names, if it does.
    pub fn folder(&self) -> Option<PathBuf> {
        folder_in(&self.variable)
    }

    /// Every recording in `folder`, sorted by class and digest.
    ///
    /// # Errors
    /// When no folder is given, a class has no recording, or a recording is none that can be read or of another rate;
    /// each says what to do.
    pub fn clips(&self, folder: Option<&Path>) -> Result<Vec<FolderClip>, DataError> {
        let read = |(class, path): (u32, PathBuf)| {
            let clip = self.clip(class, &path);
            clip.map_err(|reason| self.wrong(format!("{}: {reason}", path.display())))
        };
        let clips = self.paths(folder)?.into_iter().map(read);
        let mut clips = clips.collect::<Result<Vec<_>, _>>()?;
        clips.sort_by_key(|clip| clip.identity);
        Ok(clips)
    }

    /// Class and file of every recording in `folder`, sorted; by-products of other systems are passed over.
    ///
    /// # Errors
    /// When no folder is given or a class has no recording.
    pub(crate) fn paths(&self, folder: Option<&Path>) -> Result<Vec<(u32, PathBuf)>, DataError> {
        let folder = folder.ok_or_else(|| self.wrong(format!("{} is not set", self.variable)))?;
        let mut paths = Vec::new();
        for (class, of_class) in (0..).zip(&self.classes) {
            let folder = folder.join(of_class);
            let unreadable = |error: io::Error| self.wrong(format!("{}: {error}", folder.display()));
            let before = paths.len();
            for entry in fs::read_dir(&folder).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let path = entry.path();
                let ending = path.extension();
                if ending.is_some_and(|ending| ending.eq_ignore_ascii_case("wav"))
                    && !caps::is_by_product(Path::new(&entry.file_name()))
                {
                    paths.push((class, path));
                }
            }
            if paths.len() == before {
                return Err(self.wrong(format!("there is no .wav in {}", folder.display())));
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn wrong(&self, reason: String) -> DataError {
        DataError::Folder {
            title: self.title.clone(),
            reason,
            variable: self.variable.clone(),
            address: self.address.clone(),
            example: self.classes.first().cloned().unwrap_or_default(),
            rate: self.rate,
        }
    }

    /// Holds `clips` against the recordings that were tested with.
    pub fn compare(&self, clips: &[FolderClip]) -> Comparison {
        let known: BTreeMap<&str, &str> = match self.name.as_str() {
            "esc10" => ESC10_CLIPS
                .lines()
                .skip(1)
                .filter_map(|line| line.split_once(','))
                .collect(),
            _ => BTreeMap::new(),
        };
        let digests: BTreeSet<&str> = known.values().copied().collect();
        let mut comparison = Comparison {
            expected: self.content.rows,
            found: clips.len(),
            ..Comparison::default()
        };
        let mut names = BTreeSet::new();
        for clip in clips {
            let got = clip.identity.hex();
            names.insert(clip.name.as_str());
            if digests.contains(got.as_str()) {
                comparison.same += 1;
            } else if let Some(expected) = known.get(clip.name.as_str()) {
                let (name, got, expected) = (&clip.name, short(&got), short(expected));
                comparison.other.push(format!(
                    "{name}.wav: sha256 of the samples is {got}..., expected {expected}..."
                ));
            }
        }
        comparison.missing = known
            .into_keys()
            .filter(|name| !names.contains(name))
            .map(str::to_owned)
            .collect();
        comparison
    }

    fn clip(&self, class: u32, path: &Path) -> Result<FolderClip, String> {
        let sound = decode::wav(&caps::read(path, LARGEST).map_err(|error| error.to_string())?)?;
        if sound.rate != self.rate {
            return Err(format!("{} samples a second, expected {}", sound.rate, self.rate));
        }
        let bytes: Vec<u8> = sound.samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        Ok(FolderClip {
            identity: Identity::new(class, &bytes),
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            samples: sound.samples.iter().map(|&s| f64::from(s) / 32_768.).collect(),
        })
    }
}

/// Digest of `clips`, as manifests have it.
pub fn digest(clips: &[FolderClip]) -> String {
    collection_digest(&clips.iter().map(|clip| clip.identity).collect::<Vec<_>>())
}
