//! What `data list`, `data fetch` and `data verify` do: structs to print, and their text.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use crate::ehr::manifest::RecordsManifest;
use crate::folder::{self, FolderSource};
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

/// A folder that the user names, and whether it is named.
#[derive(Clone, Debug)]
pub struct FolderStatus {
    /// What it is.
    pub source: FolderSource,
    /// What its variable holds.
    pub folder: Option<PathBuf>,
    /// Data sets made of it.
    pub sets: Vec<&'static str>,
}

impl fmt::Display for FolderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.source;
        let there = match &self.folder {
            Some(folder) => format!("{}={}", source.variable, folder.display()),
            None => format!("set {} to a folder with it", source.variable),
        };
        writeln!(f, "{:<8} {} ({there})", source.name, source.title)?;
        writeln!(f, "         from     {}", source.address)?;
        writeln!(f, "         licence  {}", source.licence)?;
        writeln!(f, "         content  all: {} rows", source.content.rows)?;
        writeln!(f, "         used by  {}", self.sets.join(", "))
    }
}

/// A folder of health records, and whether the user has named it.
#[derive(Clone, Debug)]
pub struct RecordsStatus {
    /// What it is.
    pub manifest: RecordsManifest,
    /// What its variable holds.
    pub folder: Option<PathBuf>,
}

impl fmt::Display for RecordsStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.manifest;
        let there = match &self.folder {
            Some(folder) => format!("{}={}", m.variable, folder.display()),
            None => format!("set {} to a folder with it", m.variable),
        };
        writeln!(f, "{:<8} {} ({there})", m.name, m.title)?;
        writeln!(f, "         from     {}", m.address)?;
        writeln!(f, "         licence  {}", m.licence)?;
        if let Some(counts) = &m.cohort {
            writeln!(f, "         content  {} admissions in the cohort", counts.admissions)?;
        }
        for (i, step) in (1..).zip(&m.steps) {
            writeln!(f, "         step {i}   {step}")?;
        }
        Ok(())
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
    /// Digest of their content.
    pub digest: String,
    /// Whether that is the manifest's digest; only a folder of the user's own making may have another.
    pub as_tested: bool,
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
            as_tested,
            seconds,
        } = self;
        let judged = if *as_tested {
            "as expected"
        } else {
            "complete, but not the samples tested with (another resampler?)"
        };
        writeln!(
            f,
            "{source} {part}: {rows} rows, content {} {judged} ({seconds:.1} s)",
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

/// Every folder that the user may name.
///
/// # Errors
/// When a manifest is wrong.
pub fn folders() -> Result<Vec<FolderStatus>, DataError> {
    let status = |source: FolderSource| FolderStatus {
        folder: source.folder(),
        sets: sets_of(&source.name),
        source,
    };
    Ok(FolderSource::all()?.into_iter().map(status).collect())
}

/// Every folder of health records that the user may name.
///
/// # Errors
/// When a manifest is wrong.
pub fn records_folders() -> Result<Vec<RecordsStatus>, DataError> {
    let status = |manifest: RecordsManifest| RecordsStatus {
        folder: manifest.folder(),
        manifest,
    };
    Ok(RecordsManifest::all()?.into_iter().map(status).collect())
}

/// The data sets made of the source `name`.
fn sets_of(name: &str) -> Vec<&'static str> {
    let uses = |set: &&&dyn crate::DatasetSource| set.sources().contains(&name);
    SETS.iter().filter(uses).map(|set| set.name()).collect()
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
    SourceStatus {
        sets: sets_of(&manifest.name),
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
    for manifest in named(name)?.0 {
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
    let (manifests, folders) = named(name)?;
    for manifest in manifests {
        for (part, content) in &manifest.content {
            let start = Instant::now();
            let records = records(&manifest, part, hub)?;
            verified.push(Verified {
                source: manifest.name.clone(),
                part: part.clone(),
                rows: records.len(),
                digest: content.digest.clone(),
                as_tested: true,
                seconds: start.elapsed().as_secs_f64(),
            });
        }
    }
    for source in folders {
        let start = Instant::now();
        let clips = source.clips(source.folder().as_deref())?;
        let digest = folder::digest(&clips);
        verified.push(Verified {
            part: "all".into(),
            rows: clips.len(),
            as_tested: digest == source.content.digest,
            digest,
            seconds: start.elapsed().as_secs_f64(),
            source: source.name,
        });
    }
    Ok(verified)
}

/// The sources that `name` means: itself, those of a data set, or all (of the folders, those that are set).
fn named(name: &str) -> Result<(Vec<Manifest>, Vec<FolderSource>), DataError> {
    let (manifests, folders) = (Manifest::all()?, FolderSource::all()?);
    if name == "all" {
        let set = folders.into_iter().filter(|folder| folder.folder().is_some());
        return Ok((manifests, set.collect()));
    }
    let wanted = find(name).map_or_else(|_| vec![name], |set| set.sources().to_vec());
    let known = || {
        let sources = manifests
            .iter()
            .map(|m| m.name.as_str())
            .chain(folders.iter().map(|f| f.name.as_str()));
        sources
            .chain(SETS.iter().map(|set| set.name()))
            .chain(["all"])
            .collect::<Vec<_>>()
            .join(", ")
    };
    for source in &wanted {
        if !manifests.iter().any(|m| m.name == *source) && !folders.iter().any(|f| f.name == *source) {
            return Err(DataError::UnknownName {
                name: name.to_owned(),
                known: known(),
            });
        }
    }
    let manifests = manifests.into_iter().filter(|m| wanted.contains(&m.name.as_str()));
    let folders = folders.into_iter().filter(|f| wanted.contains(&f.name.as_str()));
    Ok((manifests.collect(), folders.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_sources() {
        let of = |name| {
            let (manifests, folders) = named(name).unwrap();
            let names = manifests
                .into_iter()
                .map(|m| m.name)
                .chain(folders.into_iter().map(|f| f.name));
            names.collect::<Vec<_>>()
        };
        assert_eq!(of("fsdd"), ["fsdd"]);
        assert_eq!(of("avmnist"), ["mnist", "fsdd"]);
        assert_eq!(of("avmnist-hard"), ["mnist", "fsdd", "esc10"]);
        assert!(of("all").starts_with(&["mnist".to_owned(), "fsdd".to_owned()]));
        assert!(of("planted").is_empty());
        let error = named("mnits").unwrap_err();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(
            help.contains("mnist, fsdd, esc10, avmnist,") && help.contains("all"),
            "{help}"
        );
    }
}
