//! Folders of known files, the user's or of downloads, as sources.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{About, Access, Need, Place, Source, sets_of};
use crate::files::{FilesSource, KnownFile};
use crate::hub::Hub;
use crate::status::{Verdict, Verified};
use crate::{DataError, LoadOptions, find};

impl Source for FilesSource {
    fn about(&self) -> About<'_> {
        About {
            name: &self.name,
            title: &self.title,
            licence: &self.licence,
            citation: &self.citation,
            access: Access::Open,
            need: Need::Optional,
            content: "files".to_owned(),
            size: self.files.len().to_string(),
        }
    }

    fn place(&self, _hub: &Hub) -> Place {
        let open = self.open();
        Place::of_folder(&self.name, &self.variable, open.folder(), !open.folders.is_empty())
    }

    fn details(&self, _hub: &Hub) -> Vec<(&'static str, String)> {
        vec![
            ("from", self.address.clone()),
            ("variable", self.variable.clone()),
            ("content", format!("{} files", self.files.len())),
        ]
    }

    fn local_files(&self, _hub: &Hub) -> Option<Vec<PathBuf>> {
        let folder = self.open().folder()?;
        Some(self.files.iter().map(|file| folder.join(&file.name)).collect())
    }

    fn fetch(&self, options: &LoadOptions) -> Result<(), DataError> {
        self.open().obtain(options).map(drop)
    }

    fn verify(&self, _hub: &Hub) -> Result<Vec<Verified>, DataError> {
        let folder = self.open().folder();
        let folder = folder.ok_or_else(|| self.wrong(format!("{} is not set", self.variable)))?;
        let mut verified = in_folder(self, &folder);
        if verified.iter().all(|file| !file.verdict.is_fault()) {
            for set in sets_of(&self.name) {
                let start = Instant::now();
                if let Some(read) = find(set)?.read_as(&folder)? {
                    verified.push(Verified {
                        rows: read.rows,
                        verdict: Verdict::Expected,
                        details: read.details,
                        seconds: start.elapsed().as_secs_f64(),
                        ..Verified::new(&self.name, read.what)
                    });
                }
            }
        }
        Ok(verified)
    }
}

/// Compares each file in `folder` with its digest.
fn in_folder(source: &FilesSource, folder: &Path) -> Vec<Verified> {
    let of_file = |file: &KnownFile| {
        let start = Instant::now();
        let found = file.find(folder);
        Verified {
            rows: found.lines,
            digest: found.sha256,
            verdict: if found.fault.is_none() {
                Verdict::Expected
            } else {
                Verdict::Wrong
            },
            details: found
                .fault
                .map(|fault| format!("{}: {fault}", folder.join(&file.name).display()))
                .into_iter()
                .collect(),
            seconds: start.elapsed().as_secs_f64(),
            ..Verified::new(&source.name, &file.name)
        }
    };
    source.files.iter().map(of_file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::BuiltIn;

    #[test]
    fn each_file_of_a_folder_is_compared() {
        let place = tempfile::tempdir().unwrap();
        let source = FilesSource::find("mfeat").unwrap();
        mmcollapse_files::write_atomic(&place.path().join(&source.files[0].name), b"1 2 3\n").unwrap();
        let found = in_folder(&source, place.path());
        assert_eq!(found.len(), source.files.len());
        assert!(found.iter().all(|file| file.verdict == Verdict::Wrong));
        assert!(found[0].details[0].contains("expected"), "{}", found[0]);
        assert!(found[1].digest.is_empty() && found[1].details[0].contains(&source.files[1].name));
    }
}
