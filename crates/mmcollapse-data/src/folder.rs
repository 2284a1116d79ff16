//! Sources that are a folder on the user's disk: one folder a class, recordings in it.
//!
//! Some data are nowhere on the hub in the form that is needed. Such a folder is named by an environment variable; its
//! manifest in `data/` says what has to be in it and how it is made.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::DataError;
use crate::content::{Identity, collection_digest};
use crate::decode;
use crate::manifest::{BuiltIn, Content, folder_in};

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

impl BuiltIn for FolderSource {
    const TEXTS: &'static [(&'static str, &'static str)] = &[("esc10", include_str!("../../../data/esc10.yaml"))];

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
        let wrong = |reason: String| DataError::Folder {
            title: self.title.clone(),
            reason,
            variable: self.variable.clone(),
            address: self.address.clone(),
            example: self.classes.first().cloned().unwrap_or_default(),
            rate: self.rate,
        };
        let folder = folder.ok_or_else(|| wrong(format!("{} is not set", self.variable)))?;
        let mut clips = Vec::new();
        for (class, of_class) in (0..).zip(&self.classes) {
            let folder = folder.join(of_class);
            let entries = fs::read_dir(&folder).map_err(|error| wrong(format!("{}: {error}", folder.display())))?;
            let before = clips.len();
            for entry in entries {
                let path = entry
                    .map_err(|error| wrong(format!("{}: {error}", folder.display())))?
                    .path();
                if path
                    .extension()
                    .is_some_and(|ending| ending.eq_ignore_ascii_case("wav"))
                {
                    let clip = self.clip(class, &path);
                    clips.push(clip.map_err(|reason| wrong(format!("{}: {reason}", path.display())))?);
                }
            }
            if clips.len() == before {
                return Err(wrong(format!("there is no .wav in {}", folder.display())));
            }
        }
        clips.sort_by_key(|clip: &FolderClip| clip.identity);
        Ok(clips)
    }

    fn clip(&self, class: u32, path: &Path) -> Result<FolderClip, String> {
        let sound = decode::wav(&fs::read(path).map_err(|error| error.to_string())?)?;
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
