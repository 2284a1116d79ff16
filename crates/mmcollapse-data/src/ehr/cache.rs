//! Finished cohorts, kept on disk: the largest table takes minutes to read, and many worker processes load at once.
//!
//! A kept cohort holds records of patients, and so does what is made of it and kept beside it ([`kept`]). So it lies in a
//! folder of its own that only its owner may enter and that git ignores wherever it is, and there is one file a source: a
//! newer cohort takes the place of the older one.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use mmcollapse_files::{self as files, AtomicFile, hex, write_atomic};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cohort::{Admission, Cohort};
use super::error::EhrError;
use super::source::EhrSource;

/// Raised with every change in how a cohort is written.
const FORMAT: u32 = 1;

/// Bytes at either end of a source file that go into the key.
const END: u64 = 1 << 16;

/// First line of a kept cohort; the admissions follow, one a line.
#[derive(Serialize, Deserialize)]
struct Head {
    key: String,
    admissions: usize,
    cohort: Cohort,
}

/// What tells one state of a source's files from another: of each its name, length, time of change and a digest of its
/// first and last 64 KiB.
///
/// A digest of the whole of the largest table would take as long as reading it. Length and time notice every ordinary
/// change; the ends notice a file that another was copied over with its time kept, as the last bytes of a compressed
/// table are the checksum of its content, and the ends of a plain one hold its first and newest rows.
///
/// # Errors
/// When a file cannot be read.
pub fn key(source: &dyn EhrSource, files: &[PathBuf]) -> Result<String, EhrError> {
    let mut hash = Sha256::new();
    hash.update(format!("{FORMAT} {} {}\n", source.name(), source.revision()));
    for path in files {
        stamp(path, &mut hash).map_err(|error| EhrError::Broken {
            path: path.clone(),
            line: 0,
            reason: error.to_string(),
        })?;
    }
    Ok(hex(&hash.finalize()))
}

fn stamp(path: &Path, hash: &mut Sha256) -> io::Result<()> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    // A file of before 1970 or of a system without times counts as one of 1970.
    let changed = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    hash.update(format!("{name} {} {}\n", metadata.len(), changed.as_nanos()));
    let mut end = Vec::new();
    for start in [0, metadata.len().saturating_sub(END)] {
        end.clear();
        file.seek(SeekFrom::Start(start))?;
        Read::take(&mut file, END).read_to_end(&mut end)?;
        hash.update(Sha256::digest(&end));
    }
    Ok(())
}

/// The cohort of the source `name` kept below `base` under `key`, or made by `build` and kept.
///
/// One process builds, others wait for it. What is of another key, damaged or cut off is made again. A folder that
/// cannot be written, or that others may enter, costs the cache, not the cohort.
///
/// # Errors
/// What `build` fails with.
pub fn cohort(
    base: Option<&Path>,
    name: &str,
    key: &str,
    build: impl FnOnce() -> Result<Cohort, EhrError>,
) -> Result<Cohort, EhrError> {
    let keep = |path: &Path, cohort: Cohort| {
        // Not kept means made again the next time, no more.
        let _ = write(path, key, &cohort);
        cohort
    };
    kept(base, name, "jsonl.gz", |path| read(path, key), build, keep)
}

/// [`crate::cache::kept`] in the file `name.ending` of the private folder below `base`.
///
/// # Errors
/// What `build` fails with.
pub(crate) fn kept<T, E>(
    base: Option<&Path>,
    name: &str,
    ending: &str,
    read: impl Fn(&Path) -> Option<T>,
    build: impl FnOnce() -> Result<T, E>,
    keep: impl FnOnce(&Path, T) -> T,
) -> Result<T, E> {
    match base.and_then(|base| private_folder(base).ok()) {
        Some(folder) => crate::cache::kept(&folder.join(format!("{name}.{ending}")), read, build, keep),
        None => build(),
    }
}

/// The folder of kept cohorts below `base`: mode 0700, and with a `.gitignore` of everything.
pub(super) fn private_folder(base: &Path) -> io::Result<PathBuf> {
    let folder = base.join("ehr");
    fs::create_dir_all(base)?;
    files::private_folder(&folder)?;
    let ignore = folder.join(".gitignore");
    if fs::read(&ignore).ok().as_deref() != Some(b"*\n") {
        write_atomic(&ignore, b"*\n")?;
    }
    Ok(folder)
}

fn write(path: &Path, key: &str, cohort: &Cohort) -> io::Result<()> {
    let head = Head {
        key: key.to_owned(),
        admissions: cohort.admissions.len(),
        // All but the admissions, which are written one by one.
        cohort: Cohort {
            source: cohort.source.clone(),
            codes: cohort.codes.clone(),
            lab_items: cohort.lab_items.clone(),
            coverage: cohort.coverage.clone(),
            admissions: Vec::new(),
        },
    };
    let mut file = BufWriter::new(GzEncoder::new(AtomicFile::create(path)?, Compression::fast()));
    serde_json::to_writer(&mut file, &head)?;
    for admission in &cohort.admissions {
        file.write_all(b"\n")?;
        serde_json::to_writer(&mut file, admission)?;
    }
    let encoder = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    encoder.finish()?.commit()
}

/// The cohort in `path`, `None` if it is of another key or not whole: the format's checksum stands at the very end, so
/// nothing is believed before that was reached.
fn read(path: &Path, key: &str) -> Option<Cohort> {
    let mut lines = BufReader::new(GzDecoder::new(BufReader::new(File::open(path).ok()?))).lines();
    let head: Head = serde_json::from_str(&lines.next()?.ok()?).ok()?;
    if head.key != key {
        return None;
    }
    let mut cohort = head.cohort;
    for line in lines {
        let admission: Admission = serde_json::from_str(&line.ok()?).ok()?;
        cohort.admissions.push(admission);
    }
    (cohort.admissions.len() == head.admissions).then_some(cohort)
}
