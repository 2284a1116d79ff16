//! Finished data sets, kept on disk: decoding 70 000 images takes seconds, and many worker processes load at once.
//!
//! A cached file ([`crate::prepared`]) holds the digest of its content and is written whole or not at all, so a damaged one is
//! noticed and made again. Its name holds a key of everything that went into it. Losing the cache costs time only.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use mmcollapse_files::{FileLock, hex};
use mmcollapse_nn::random::Stream;
use sha2::{Digest, Sha256};

use crate::environment::{self, Environment};
use crate::{DataError, Dataset, prepared};

/// Where finished data sets are kept: `MMCOLLAPSE_CACHE`, else the user's cache folder; `None` where neither is known.
pub fn folder() -> Option<PathBuf> {
    folder_from(&environment::process())
}

fn folder_from(environment: &Environment<impl Fn(&str) -> Option<OsString>>) -> Option<PathBuf> {
    environment.path("MMCOLLAPSE_CACHE").or_else(|| {
        let base = environment
            .path("XDG_CACHE_HOME")
            .or_else(|| environment.path("LOCALAPPDATA"));
        let base = base.or_else(|| Some(environment.home()?.join(".cache")));
        base.map(|base| base.join("mmcollapse"))
    })
}

/// Whether something is kept under `name` and `key`; where there is no key, or nowhere to keep, nothing is.
pub(crate) fn is_kept(name: &str, key: Result<String, DataError>) -> bool {
    folder().is_some_and(|folder| key.is_ok_and(|key| place(&folder, name, &key).is_file()))
}

fn place(folder: &Path, name: &str, key: &str) -> PathBuf {
    folder.join(format!("{name}-{}.bin", &key[..key.len().min(20)]))
}

/// The data set kept in `folder` under `name` and `key`, or made by `build` and kept.
///
/// One process builds, others wait for it. A folder that cannot be written costs the cache, not the data set.
///
/// # Errors
/// What `build` fails with.
pub fn dataset(
    folder: Option<&Path>,
    name: &str,
    key: &str,
    build: impl FnOnce() -> Result<Dataset, DataError>,
) -> Result<Dataset, DataError> {
    let Some(folder) = folder else {
        return build();
    };
    kept(
        &place(folder, name, key),
        |path| prepared::open(path, key),
        build,
        |path, dataset| prepared::keep(path, key, dataset),
    )
}

/// What `read` finds in the file at `path`, or what `build` makes and `keep` puts there: one process builds, others wait for
/// it. What cannot be kept is made again the next time, no more.
///
/// # Errors
/// What `build` fails with.
pub(crate) fn kept<T, E>(
    path: &Path,
    read: impl Fn(&Path) -> Option<T>,
    build: impl FnOnce() -> Result<T, E>,
    keep: impl FnOnce(&Path, T) -> T,
) -> Result<T, E> {
    if let Some(found) = read(path) {
        return Ok(found);
    }
    let Ok(_lock) = FileLock::acquire(&path.with_extension("lock")) else {
        return build();
    };
    if let Some(found) = read(path) {
        return Ok(found);
    }
    Ok(keep(path, build()?))
}

/// Key of the parts that a data set is made from which `seed` draws. What was kept by other code must not be found: parts should
/// hold the code itself, and a few draws are added here.
pub(crate) fn key_of_seed(seed: u64, parts: &[&str]) -> String {
    let draws = format!("{:?}", Stream::new(seed, "cache").permutation(16));
    key(&[parts, &[&draws, &seed.to_string()]].concat())
}

/// Key of the parts that a cached data set is made from.
pub fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use mmcollapse_files::write_atomic;

    use super::*;
    use crate::sets::{PlantedConfig, planted};

    #[test]
    fn a_data_set_comes_back_bit_for_bit_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let made = Cell::new(0);
        let build = || {
            made.set(made.get() + 1);
            Ok(planted(&PlantedConfig::default()))
        };
        let load = || dataset(Some(folder.path()), "planted", "0123", build).unwrap();
        let first = load();
        assert_eq!(first, load());
        assert_eq!(made.get(), 1);

        let path = folder.path().join("planted-0123.bin");
        let whole = fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() - 1], &whole[..10], b""] {
            write_atomic(&path, damaged).unwrap();
            assert_eq!(first, load());
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        write_atomic(&path, &flipped).unwrap();
        assert_eq!(first, load());
        assert_eq!(made.get(), 5);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn no_folder_is_no_obstacle() {
        let build = || Ok(planted(&PlantedConfig::default()));
        assert!(dataset(None, "planted", "0", build).is_ok());
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(dataset(Some(&file.path().join("below")), "planted", "0", build).is_ok());
    }

    #[test]
    fn the_folder_is_the_users() {
        let of = |variables: &[(&str, &str)]| {
            folder_from(&Environment::of(|name: &str| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            }))
        };
        assert_eq!(of(&[("HOME", "/h")]).unwrap(), Path::new("/h/.cache/mmcollapse"));
        assert_eq!(
            of(&[("HOME", "/h"), ("MMCOLLAPSE_CACHE", "/c")]).unwrap(),
            Path::new("/c")
        );
        assert_eq!(of(&[("XDG_CACHE_HOME", "/x")]).unwrap(), Path::new("/x/mmcollapse"));
        assert_eq!(of(&[]), None);
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
    }
}
