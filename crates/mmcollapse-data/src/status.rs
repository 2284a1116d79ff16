//! What `data list`, `data fetch` and `data verify` do: structs to print, and their text.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use crate::hub::Hub;
use crate::manifest::Manifest;
use crate::sources::{self, records};
use crate::{DataError, LoadOptions, SETS, find};

/// A source and what of it is in the cache.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// What it is.
    pub manifest: Manifest,
    /// Its files, in the manifest's order.
    pub files: Vec<FileStatus>,
    /// Data sets made of it.
    pub sets: Vec<&'static str>,
}

/// A file of a source.
#[derive(Clone, Debug)]
pub struct FileStatus {
    /// Path in the repository.
    pub file: String,
    /// Where it lies, if it is there and whole.
    pub path: Option<PathBuf>,
    /// Its length in bytes, if it is there.
    pub bytes: Option<u64>,
}

impl SourceStatus {
    /// Whether every file is in the cache.
    pub fn is_complete(&self) -> bool {
        self.files.iter().all(|file| file.path.is_some())
    }
}

impl fmt::Display for SourceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.manifest;
        let there = if self.is_complete() {
            "in the cache"
        } else {
            "not fetched"
        };
        writeln!(f, "{:<8} {} ({there})", m.name, m.title)?;
        writeln!(f, "         hub      {} @ {}", m.hub.repo, &m.hub.revision[..12])?;
        writeln!(f, "         licence  {}", m.licence)?;
        for (part, content) in &m.content {
            writeln!(f, "         content  {part}: {} rows", content.rows)?;
        }
        for file in &self.files {
            match (&file.path, file.bytes) {
                (Some(path), Some(bytes)) => {
                    writeln!(f, "         file     {} ({:.1} MB)", path.display(), bytes as f64 / 1e6)?;
                }
                _ => writeln!(f, "         file     {} (missing)", file.file)?,
            }
        }
        writeln!(f, "         used by  {}", self.sets.join(", "))
    }
}

/// A part of a source whose content was decoded and found right.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Source.
    pub source: String,
    /// Part of it.
    pub part: String,
    /// Records decoded.
    pub rows: usize,
    /// Digest of their content, equal to the manifest's.
    pub digest: String,
    /// Time it took, in seconds.
    pub seconds: f64,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            part,
            rows,
            digest,
            seconds,
        } = self;
        writeln!(
            f,
            "{source} {part}: {rows} rows, content {} as expected ({seconds:.1} s)",
            &digest[..16]
        )
    }
}

/// Every source and what of it is in the cache; needs no network.
///
/// # Errors
/// When a manifest is wrong.
pub fn list(options: &LoadOptions) -> Result<Vec<SourceStatus>, DataError> {
    list_in(&sources::hub(options))
}

/// [`list`] for another hub than the environment's.
///
/// # Errors
/// When a manifest is wrong.
pub fn list_in(hub: &Hub) -> Result<Vec<SourceStatus>, DataError> {
    let manifests = Manifest::all()?.into_iter();
    Ok(manifests.map(|manifest| status(manifest, hub)).collect())
}

fn status(manifest: Manifest, hub: &Hub) -> SourceStatus {
    let files = manifest.files.iter().map(|file| {
        let path = hub.cached(&manifest.remote(file));
        let bytes = path
            .as_ref()
            .and_then(|path| std::fs::metadata(path).ok())
            .map(|m| m.len());
        FileStatus {
            file: file.path.clone(),
            path,
            bytes,
        }
    });
    let files = files.collect();
    let uses = |set: &&&dyn crate::DatasetSource| set.sources().contains(&manifest.name.as_str());
    SourceStatus {
        sets: SETS.iter().filter(uses).map(|set| set.name()).collect(),
        files,
        manifest,
    }
}

/// Downloads what is missing of the source or data set `name` (`all` for everything) and verifies it.
///
/// # Errors
/// When a file cannot be had or does not decode to what its manifest says.
pub fn fetch(name: &str, options: &LoadOptions) -> Result<Vec<Verified>, DataError> {
    let hub = sources::hub(options);
    for manifest in named(name)? {
        sources::files(&manifest, &hub)?;
    }
    verify_in(name, &hub)
}

/// Decodes what is in the cache of the source or data set `name` (`all` for everything) and checks its digests.
///
/// # Errors
/// When a file is not there (nothing is downloaded) or does not decode to what its manifest says.
pub fn verify(name: &str, options: &LoadOptions) -> Result<Vec<Verified>, DataError> {
    let hub = Hub {
        offline: true,
        ..sources::hub(options)
    };
    verify_in(name, &hub)
}

/// [`verify`] for another hub than the environment's; downloads what is missing unless that hub is offline.
///
/// # Errors
/// When a file cannot be had or does not decode to what its manifest says.
pub fn verify_in(name: &str, hub: &Hub) -> Result<Vec<Verified>, DataError> {
    let mut verified = Vec::new();
    for manifest in named(name)? {
        for (part, content) in &manifest.content {
            let start = Instant::now();
            let records = records(&manifest, part, hub)?;
            verified.push(Verified {
                source: manifest.name.clone(),
                part: part.clone(),
                rows: records.len(),
                digest: content.digest.clone(),
                seconds: start.elapsed().as_secs_f64(),
            });
        }
    }
    Ok(verified)
}

/// The sources that `name` means: itself, those of a data set, or all.
fn named(name: &str) -> Result<Vec<Manifest>, DataError> {
    if name == "all" {
        return Manifest::all();
    }
    match (Manifest::find(name), find(name)) {
        (Ok(manifest), _) => Ok(vec![manifest]),
        (_, Ok(set)) => set.sources().iter().map(|source| Manifest::find(source)).collect(),
        (Err(DataError::UnknownName { known: sources, .. }), Err(_)) => {
            let sets: Vec<&str> = SETS.iter().map(|set| set.name()).collect();
            Err(DataError::UnknownName {
                name: name.to_owned(),
                known: format!("{sources}, {}, all", sets.join(", ")),
            })
        }
        (Err(error), Err(_)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_sources() {
        let of = |name| named(name).unwrap().iter().map(|m| m.name.clone()).collect::<Vec<_>>();
        assert_eq!(of("fsdd"), ["fsdd"]);
        assert_eq!(of("avmnist"), ["mnist", "fsdd"]);
        assert_eq!(of("all"), ["mnist", "fsdd"]);
        assert!(of("planted").is_empty());
        let error = named("mnits").unwrap_err();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("mnist, fsdd, avmnist,") && help.contains("all"), "{help}");
    }
}
