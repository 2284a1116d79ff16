//! What `data list` says of each source, and what [`verify`] finds: structs to print, and their text.

mod encoder;
mod named;
mod records;
mod verified;
mod verify;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::ehr::manifest::RecordsManifest;
use crate::ehr::plant::SYNTHETIC;
use crate::embedded::Excerpt;
use crate::files::FilesSource;
use crate::folder::FolderSource;
use crate::hub::{Hub, Remote};
use crate::manifest::{BuiltIn, Manifest, folder_in};
use crate::sets::{Mfeat, Physionet2012};
use crate::sources;
use crate::{DataError, LoadOptions, SETS, ehr};

pub use encoder::{EncoderStatus, encoders};
pub(crate) use named::Sources;
pub use verified::{Verdict, Verified};
pub use verify::{fetch, verify, verify_in};

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

impl FileStatus {
    fn of(remote: &Remote, hub: &Hub) -> Self {
        let path = hub.cached(remote);
        let metadata = path.as_ref().and_then(|path| std::fs::metadata(path).ok());
        Self {
            file: remote.file.clone(),
            bytes: metadata.map(|metadata| metadata.len()),
            path,
        }
    }
}

impl fmt::Display for FileStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, self.bytes) {
            (Some(path), Some(bytes)) => write!(f, "{} ({:.1} MB)", path.display(), bytes as f64 / 1e6),
            _ => write!(f, "{} (missing)", self.file),
        }
    }
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
            writeln!(f, "         file     {file}")?;
        }
        writeln!(f, "         used by  {}", self.sets.join(", "))
    }
}

/// An excerpt that is built into the program.
#[derive(Clone, Debug)]
pub struct EmbeddedStatus {
    /// What it is.
    pub manifest: Excerpt,
    /// Data sets made of it.
    pub sets: Vec<&'static str>,
}

impl fmt::Display for EmbeddedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.manifest;
        writeln!(f, "{:<8} {} (built in)", m.name, m.title)?;
        for place in m.from.values() {
            writeln!(f, "         from     {} @ {}", place.repo, &place.revision[..12])?;
        }
        writeln!(f, "         licence  {}", m.licence)?;
        for (part, content) in &m.content {
            writeln!(f, "         content  {part}: {} rows", content.rows)?;
        }
        writeln!(f, "         used by  {}", self.sets.join(", "))
    }
}

/// Every excerpt that is built into the program.
///
/// # Errors
/// When a manifest is wrong.
pub fn embedded() -> Result<Vec<EmbeddedStatus>, DataError> {
    let status = |manifest: Excerpt| EmbeddedStatus {
        sets: sets_of(&manifest.name),
        manifest,
    };
    Ok(Excerpt::all()?.into_iter().map(status).collect())
}

/// A folder that the user names or that holds downloads, and whether it is there.
#[derive(Clone, Debug)]
pub struct FolderStatus {
    /// Name of the source.
    pub name: String,
    /// Its full name.
    pub title: String,
    /// Environment variable that names the folder.
    pub variable: String,
    /// Where it is, if it is there.
    pub folder: Option<PathBuf>,
    /// Whether it can be downloaded.
    pub is_open: bool,
    /// Where the data can be had.
    pub address: String,
    /// Licence of the data.
    pub licence: String,
    /// What is expected in it.
    pub content: String,
    /// Data sets made of it.
    pub sets: Vec<&'static str>,
}

impl fmt::Display for FolderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = there(&self.name, &self.variable, self.folder.as_deref(), self.is_open);
        writeln!(f, "{:<8} {} ({there})", self.name, self.title)?;
        writeln!(f, "         from     {}", self.address)?;
        writeln!(f, "         licence  {}", self.licence)?;
        writeln!(f, "         content  {}", self.content)?;
        writeln!(f, "         used by  {}", self.sets.join(", "))
    }
}

/// Where a folder is, or how to have it.
fn there(name: &str, variable: &str, folder: Option<&Path>, is_open: bool) -> String {
    match folder {
        Some(folder) if folder_in(variable).is_none() => format!("downloaded: {}", folder.display()),
        Some(folder) => format!("{variable}={}", folder.display()),
        None if is_open => format!("not fetched: `data fetch {name}`, or set {variable} to a folder with it"),
        None => format!("set {variable} to a folder with it"),
    }
}

/// A folder of health records, and whether it is there.
#[derive(Clone, Debug)]
pub struct RecordsStatus {
    /// What it is.
    pub manifest: RecordsManifest,
    /// Where it is, if it is there.
    pub folder: Option<PathBuf>,
    /// Whether no patient is behind it.
    pub synthetic: bool,
    /// Data sets made of it.
    pub sets: Vec<&'static str>,
}

impl fmt::Display for RecordsStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.manifest;
        let there = match (&m.planted, &self.folder) {
            (Some(_), None) => "synthetic, written on first use".to_owned(),
            _ => there(&m.name, &m.variable, self.folder.as_deref(), !m.open.is_empty()),
        };
        writeln!(f, "{:<8} {} ({there})", m.name, m.title)?;
        writeln!(f, "         from     {}", m.address)?;
        writeln!(f, "         licence  {}", m.licence)?;
        if self.synthetic {
            writeln!(f, "         content  {SYNTHETIC}")?;
        }
        if let Some(counts) = &m.cohort {
            writeln!(f, "         content  {} admissions in the cohort", counts.admissions)?;
        }
        for (i, step) in (1..).zip(&m.steps) {
            writeln!(f, "         step {i}   {step}")?;
        }
        writeln!(f, "         used by  {}", self.sets.join(", "))
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
    let of_clips = |source: FolderSource| FolderStatus {
        folder: source.folder(),
        is_open: false,
        sets: sets_of(&source.name),
        content: format!("all: {} rows", source.content.rows),
        name: source.name,
        title: source.title,
        variable: source.variable,
        address: source.address,
        licence: source.licence,
    };
    let of_files = |source: FilesSource| FolderStatus {
        folder: source.open().folder(),
        is_open: source.open.is_some(),
        sets: sets_of(&source.name),
        content: format!("{} files", source.files.len()),
        name: source.name,
        title: source.title,
        variable: source.variable,
        address: source.address,
        licence: source.licence,
    };
    let clips = FolderSource::all()?.into_iter().map(of_clips);
    let files = files_sources()?.into_iter().map(of_files);
    Ok(clips.chain(files).collect())
}

/// Every source that is files in a folder.
fn files_sources() -> Result<Vec<FilesSource>, DataError> {
    Ok(vec![Mfeat::source()?, Physionet2012::source()?])
}

/// Every folder of health records that the user may name.
///
/// # Errors
/// When a manifest is wrong.
pub fn records_folders() -> Result<Vec<RecordsStatus>, DataError> {
    let status = |manifest: RecordsManifest| -> Result<RecordsStatus, DataError> {
        Ok(RecordsStatus {
            folder: manifest.open().folder(),
            synthetic: ehr::is_synthetic(ehr::find(&manifest.name)?),
            sets: sets_of(&manifest.name),
            manifest,
        })
    };
    RecordsManifest::all()?.into_iter().map(status).collect()
}

/// The data sets made of the source `name`.
fn sets_of(name: &str) -> Vec<&'static str> {
    let uses = |set: &&&dyn crate::DatasetSource| set.sources().contains(&name);
    SETS.iter().filter(uses).map(|set| set.name()).collect()
}

fn status(manifest: Manifest, hub: &Hub) -> SourceStatus {
    let files = manifest.files.iter();
    let files = files.map(|file| FileStatus::of(&manifest.remote(file), hub)).collect();
    SourceStatus {
        sets: sets_of(&manifest.name),
        files,
        manifest,
    }
}
