//! Sources that are files in a folder on the user's disk, each known by its digest.
//!
//! Such a folder is named by an environment variable, or holds downloads; its manifest in `data/` says which files have to
//! be in it and where they can be had.

use std::collections::BTreeMap;
use std::path::Path;

use mmcollapse_files::sha256;
use serde::Deserialize;

use crate::content::short;
use crate::manifest::{BuiltIn, folder_in};
use crate::open::{Open, OpenFolder};
use crate::{DataError, caps};

/// Most bytes of a file; those that are known have at most 9 million.
const LARGEST: u64 = 1 << 30;

/// A source: files that the user has in a folder. The rest of its manifest is the recipe of the data set made of them.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct FilesSource {
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
    /// Where the files can be had.
    pub address: String,
    /// The files.
    pub files: Vec<KnownFile>,
    /// Address that a file's name is appended to, where anyone may download it.
    #[serde(default)]
    pub open: Option<String>,
}

/// A file.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct KnownFile {
    /// Name in the folder.
    pub name: String,
    /// Numbers in a line, of a file of lines of equally many numbers, separated by spaces; 0 for one of another form.
    #[serde(default)]
    pub columns: usize,
    /// Digest of its bytes, in hex.
    pub sha256: String,
}

impl BuiltIn for FilesSource {
    fn name(&self) -> &str {
        &self.name
    }
}

impl FilesSource {
    /// Where the files are, and how to have them.
    pub fn open(&self) -> Open<'_> {
        let files = || self.files.iter().map(|file| (file.name.clone(), file.sha256.clone()));
        let folder = |base: &String| OpenFolder {
            base: base.clone(),
            below: String::new(),
            files: files().collect(),
            unpacked: BTreeMap::new(),
        };
        Open {
            name: &self.name,
            title: &self.title,
            variable: &self.variable,
            address: &self.address,
            folders: self.open.iter().map(folder).collect(),
        }
    }

    /// The numbers of each file, `[lines, columns]` row-major.
    ///
    /// # Errors
    /// When no folder is given, a file is missing, is not the one that the manifest knows, or holds something else than
    /// numbers; each says what to do.
    pub fn read(&self, folder: Option<&Path>) -> Result<Vec<Vec<f32>>, DataError> {
        let files = self.files.iter().zip(self.bytes(folder)?);
        let numbers = files.map(|(file, bytes)| {
            let numbers = file.numbers(&bytes);
            numbers.map_err(|reason| self.wrong(format!("{}: {reason}", file.name)))
        });
        numbers.collect()
    }

    /// The content of each file.
    ///
    /// # Errors
    /// When no folder is given, a file is missing, or is not the one that the manifest knows; each says what to do.
    pub fn bytes(&self, folder: Option<&Path>) -> Result<Vec<Vec<u8>>, DataError> {
        let folder = folder.ok_or_else(|| self.wrong(format!("{} is not set", self.variable)))?;
        let read = |file: &KnownFile| {
            let bytes = file.read(folder);
            let known = bytes.and_then(|bytes| file.check(&bytes).map(|()| bytes));
            known.map_err(|reason| self.wrong(format!("{}: {reason}", folder.join(&file.name).display())))
        };
        self.files.iter().map(read).collect()
    }

    /// An error that says where the files can be had.
    pub fn wrong(&self, reason: String) -> DataError {
        let files: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        let (variable, files, address) = (&self.variable, files.join(", "), &self.address);
        let open = self.open();
        let todo = match folder_in(variable) {
            // What the variable names goes before any download.
            Some(folder) => {
                let unset = if open.folders.is_empty() {
                    ""
                } else {
                    ", or unset it and run `data fetch` once"
                };
                let folder = folder.display();
                format!("{variable} is {folder}: it has to hold {files}, as they can be had from {address}{unset}")
            }
            None => open.or_by_hand(
                " ",
                &format!("set {variable} to a folder that holds {files}, as they can be had from {address}"),
            ),
        };
        DataError::Files {
            title: self.title.clone(),
            reason,
            todo,
        }
    }
}

/// What was found of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Digest of its bytes, in hex; empty where it cannot be read.
    pub sha256: String,
    /// Lines of text in it; 0 of an archive.
    pub lines: usize,
    /// What is wrong with it, if anything.
    pub fault: Option<String>,
}

impl KnownFile {
    fn read(&self, folder: &Path) -> Result<Vec<u8>, String> {
        caps::read(&folder.join(&self.name), LARGEST).map_err(|error| error.to_string())
    }

    /// Holds the file in `folder` against what is known of it.
    pub fn find(&self, folder: &Path) -> FoundFile {
        match self.read(folder) {
            Ok(bytes) => FoundFile {
                sha256: sha256(&bytes),
                lines: str::from_utf8(&bytes).map_or(0, |text| text.lines().count()),
                fault: self.check(&bytes).err(),
            },
            Err(reason) => FoundFile {
                sha256: String::new(),
                lines: 0,
                fault: Some(reason),
            },
        }
    }

    fn check(&self, bytes: &[u8]) -> Result<(), String> {
        let digest = sha256(bytes);
        if digest == self.sha256 {
            return Ok(());
        }
        Err(format!(
            "it is not the file this program knows: sha256 {}..., expected {}...",
            short(&digest),
            short(&self.sha256)
        ))
    }

    fn numbers(&self, bytes: &[u8]) -> Result<Vec<f32>, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut numbers = Vec::new();
        for (place, line) in text.lines().enumerate() {
            let before = numbers.len();
            for word in line.split_whitespace() {
                let number = word.parse::<f32>().ok().filter(|x| x.is_finite());
                numbers.push(
                    number.ok_or_else(|| format!("line {}: expected finite numbers, got another word", place + 1))?,
                );
            }
            let found = numbers.len() - before;
            if found != self.columns {
                return Err(format!(
                    "line {}: {found} numbers, expected {}",
                    place + 1,
                    self.columns
                ));
            }
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_files::write_atomic;

    use super::*;

    fn source(text: &str) -> FilesSource {
        FilesSource {
            name: "s".into(),
            title: "A source".into(),
            licence: String::new(),
            citation: String::new(),
            variable: "SOME_DIR".into(),
            address: "https://example.org".into(),
            files: vec![KnownFile {
                name: "numbers".into(),
                columns: 2,
                sha256: sha256(text),
            }],
            open: None,
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        let read = |text: &str, of: &str| {
            write_atomic(&path, text.as_bytes()).unwrap();
            source(of).read(Some(folder.path()))
        };
        assert_eq!(
            read(" 1 2.5\n-3e1 4\n", " 1 2.5\n-3e1 4\n").unwrap(),
            [[1.0, 2.5, -30.0, 4.0]]
        );
        let says = |text: &str, of: &str| read(text, of).unwrap_err().to_string();
        for (text, of, expected) in [
            ("1 2\n3 x\n", "1 2\n3 x\n", "line 2: expected finite numbers"),
            ("1 2\n3\n", "1 2\n3\n", "line 2: 1 numbers, expected 2"),
            ("1 NaN\n", "1 NaN\n", "line 1: expected finite numbers"),
            ("1 2\n", "1 3\n", "not the file this program knows"),
        ] {
            assert!(says(text, of).contains(expected), "{}", says(text, of));
        }
        let error = source("").read(None).unwrap_err();
        assert!(error.to_string().contains("SOME_DIR is not set"));
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(
            help.contains("numbers") && help.contains("https://example.org"),
            "{help}"
        );
        let missing = source("").read(Some(&folder.path().join("nowhere"))).unwrap_err();
        assert!(missing.to_string().contains("nowhere"), "{missing}");
    }
}
