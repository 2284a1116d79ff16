//! Digests of data sets, kept beside the cache, so that a plan knows the keys of its cells without loading any data.
//!
//! A kept digest is believed where nothing that decides it has changed: the program, the data set's name, the seed, and path,
//! length and times of every file that it is read from. What is stale, damaged or of files that changed a moment ago is
//! computed again. Whoever trains holds it against the data themselves and [`forget`]s it where it is wrong.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mmcollapse_files::{hex, private_folder, sha256, write_atomic};
use sha2::{Digest, Sha256};

use crate::hub::Hub;
use crate::manifest::is_hex;
use crate::{DataError, DatasetSource, LoadOptions, cache, caps, catalog, sources};

/// First line of a kept digest; the digit is the format's version.
const MAGIC: &str = "mmcollapse digest 1";
/// A file that changed so lately may change again without another time.
const UNSETTLED: Duration = Duration::from_secs(2);
/// Most bytes of a kept digest.
const LARGEST: u64 = 4096;

/// The digest of `set` as `options` load it, kept or computed.
///
/// # Errors
/// What [`DatasetSource::load`] fails with, where it has to be loaded.
pub fn digest(set: &dyn DatasetSource, options: &LoadOptions) -> Result<String, DataError> {
    let folder = cache::folder().map(|base| place(&base));
    let state = || state(set, options.seed, &sources::hub(options));
    kept(folder.as_deref(), set.name(), options.seed, state, || {
        Ok(set.load(options)?.digest)
    })
}

/// Removes the kept digest of the data set `name` cut by `seed`, which was found to be wrong.
pub fn forget(name: &str, seed: u64) {
    if let Some(base) = cache::folder() {
        // One that cannot be removed is found to be wrong again.
        let _ = fs::remove_file(file(&place(&base), name, seed));
    }
}

fn place(base: &Path) -> PathBuf {
    base.join("digests")
}

fn file(folder: &Path, name: &str, seed: u64) -> PathBuf {
    folder.join(format!("{name}-{seed}"))
}

/// The digest kept in `folder` under what `state` says, or computed and kept.
fn kept(
    folder: Option<&Path>,
    name: &str,
    seed: u64,
    state: impl Fn() -> Option<String>,
    compute: impl FnOnce() -> Result<String, DataError>,
) -> Result<String, DataError> {
    let (Some(folder), Some(before)) = (folder, state()) else {
        return compute();
    };
    let path = file(folder, name, seed);
    if let Some(digest) = read(&path, &before) {
        return Ok(digest);
    }
    let digest = compute()?;
    // Files that changed while they were read may have been read half as they were before.
    if state().as_ref() == Some(&before) {
        // Not kept means computed again the next time, no more.
        let _ = write(folder, &path, &before, &digest);
    }
    Ok(digest)
}

fn text(state: &str, digest: &str) -> String {
    let text = format!("{MAGIC}\n{state}\n{digest}\n");
    let sum = sha256(&text);
    text + &sum + "\n"
}

/// The digest in `path`, `None` if it is of another state or damaged.
fn read(path: &Path, state: &str) -> Option<String> {
    let found = String::from_utf8(caps::read(path, LARGEST).ok()?).ok()?;
    let digest = found.lines().nth(2).filter(|digest| is_hex(digest, 64))?;
    (found == text(state, digest)).then(|| digest.to_owned())
}

fn write(folder: &Path, path: &Path, state: &str, digest: &str) -> io::Result<()> {
    // Some are of patients' records, so the folder is closed to others.
    private_folder(folder)?;
    write_atomic(path, text(state, digest).as_bytes())
}

/// All that decides the digest of `set` cut by `seed`; `None` where a file of it is not there, has changed a moment ago, or
/// cannot be told.
fn state(set: &dyn DatasetSource, seed: u64, hub: &Hub) -> Option<String> {
    let mut hash = Sha256::new();
    let program = std::env::current_exe().ok()?;
    let metadata = fs::metadata(&program).ok()?;
    hash.update(format!("{} {seed}\n", set.name()));
    stamp(&mut hash, &program, &metadata, &[metadata.modified().ok()?]);
    settled(&mut hash, &files(set, hub)?)?;
    Some(hex(&hash.finalize()))
}

/// Digest of path, length and times of each file; `None` where one is not there or has changed a moment ago.
pub(crate) fn stamps(files: &[PathBuf]) -> Option<String> {
    let mut hash = Sha256::new();
    settled(&mut hash, files)?;
    Some(hex(&hash.finalize()))
}

fn settled(hash: &mut Sha256, files: &[PathBuf]) -> Option<()> {
    for path in files {
        let metadata = fs::metadata(path).ok()?;
        let times = times(&metadata)?;
        let now = SystemTime::now();
        if !times
            .iter()
            .all(|time| now.duration_since(*time).is_ok_and(|age| age > UNSETTLED))
        {
            return None;
        }
        stamp(hash, path, &metadata, &times);
    }
    Some(())
}

fn stamp(hash: &mut Sha256, path: &Path, metadata: &Metadata, times: &[SystemTime]) {
    let path = path.as_os_str().as_encoded_bytes();
    hash.update((path.len() as u64).to_le_bytes());
    hash.update(path);
    hash.update(metadata.len().to_le_bytes());
    for time in times {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        hash.update(since.as_nanos().to_le_bytes());
    }
}

/// When a file was written, and where the system knows it when anything of it changed: the latter also tells of a file that
/// was put in another's place with its times.
#[cfg(unix)]
fn times(metadata: &Metadata) -> Option<Vec<SystemTime>> {
    use std::os::unix::fs::MetadataExt;
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
    let changed = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    Some(vec![metadata.modified().ok()?, changed])
}

#[cfg(not(unix))]
fn times(metadata: &Metadata) -> Option<Vec<SystemTime>> {
    Some(vec![metadata.modified().ok()?])
}

/// Every file that `set` is read from; none for a synthetic one.
fn files(set: &dyn DatasetSource, hub: &Hub) -> Option<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in set.sources() {
        files.extend(catalog::source(name).ok()?.local_files(hub)?);
    }
    files.extend(set.own_files());
    Some(files)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::find;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn a_kept_digest_is_believed_only_as_it_was_kept_and_of_the_same_state() {
        let base = tempfile::tempdir().unwrap();
        let folder = place(base.path());
        let (state, computed) = (RefCell::new(Some("1".to_owned())), Cell::new(0));
        let ask = |digest: &str| {
            let compute = || {
                computed.set(computed.get() + 1);
                Ok(digest.to_owned())
            };
            kept(Some(folder.as_path()), "set", 3, || state.borrow().clone(), compute).unwrap()
        };
        assert_eq!((ask(A), ask(B), computed.get()), (A.to_owned(), A.to_owned(), 1));
        state.replace(Some("2".to_owned()));
        assert_eq!((ask(B), ask(A), computed.get()), (B.to_owned(), B.to_owned(), 2));

        let path = file(&folder, "set", 3);
        let whole = fs::read_to_string(&path).unwrap();
        let other = whole.replace(B, A);
        for damaged in [
            &whole[..whole.len() - 1],
            "",
            &other,
            &whole.replace("digest 1", "digest 2"),
        ] {
            write_atomic(&path, damaged.as_bytes()).unwrap();
            assert_eq!(ask(B), B, "{damaged}");
        }
        assert_eq!(computed.get(), 6);
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);

        state.replace(None);
        assert_eq!(
            (ask(A), computed.get()),
            (A.to_owned(), 7),
            "nothing is believed of an unknown state"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn files_that_change_while_they_are_read_are_not_kept() {
        let base = tempfile::tempdir().unwrap();
        let (folder, reads) = (place(base.path()), Cell::new(0));
        let state = || {
            reads.set(reads.get() + 1);
            Some(reads.get().to_string())
        };
        kept(Some(folder.as_path()), "set", 0, state, || Ok(A.to_owned())).unwrap();
        assert!(!file(&folder, "set", 0).exists());
    }

    #[test]
    fn the_state_is_of_every_file_and_of_name_and_seed() {
        let place = tempfile::tempdir().unwrap();
        let planted = find("planted").unwrap();
        let hub = Hub::from_variables(|_| Some(place.path().as_os_str().to_owned()));
        let of = |seed| state(planted, seed, &hub);
        assert!(of(0).is_some() && of(0) == of(0) && of(0) != of(1));
        assert_eq!(
            state(find("avmnist").unwrap(), 0, &hub),
            None,
            "nothing is in that cache"
        );

        let path = place.path().join("table");
        let stamped = |times: &[SystemTime]| {
            let mut hash = Sha256::new();
            stamp(&mut hash, &path, &fs::metadata(&path).unwrap(), times);
            hex(&hash.finalize())
        };
        write_atomic(&path, b"1,2").unwrap();
        let before = stamped(&times(&fs::metadata(&path).unwrap()).unwrap());
        std::thread::sleep(Duration::from_millis(20));
        write_atomic(&path, b"1,3").unwrap();
        assert_ne!(before, stamped(&times(&fs::metadata(&path).unwrap()).unwrap()));
    }
}
