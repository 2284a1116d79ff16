//! Finished data sets, kept on disk: decoding 70 000 images takes seconds, and many worker processes load at once.
//!
//! A cached file starts with the digest of its content and is written whole or not at all, so a damaged one is noticed
//! and made again. Its name holds a key of everything that went into it. Losing the cache costs time only.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use mmcollapse_nn::files::{FileLock, write_atomic};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::content::hex;
use crate::environment::{self, Environment};
use crate::{DataError, Dataset, ModalitySpec, Samples};

/// First bytes of a cached file; the digit is the format's version.
const MAGIC: &[u8] = b"mmcollapse data 1\n";

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

/// Whether `folder` keeps something under `name` and `key`.
pub(crate) fn is_kept(folder: &Path, name: &str, key: &str) -> bool {
    place(folder, name, key).is_file()
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
    let path = place(folder, name, key);
    if let Some(dataset) = read(&path) {
        return Ok(dataset);
    }
    let Ok(_lock) = FileLock::acquire(&path.with_extension("lock")) else {
        return build();
    };
    if let Some(dataset) = read(&path) {
        return Ok(dataset);
    }
    let dataset = build()?;
    // Not kept means made again the next time, no more.
    let _ = write_atomic(&path, &encode(&dataset));
    Ok(dataset)
}

fn read(path: &Path) -> Option<Dataset> {
    decode(&fs::read(path).ok()?)
}

/// Everything but the numbers, as JSON.
#[derive(Serialize, Deserialize)]
struct Head {
    name: String,
    modalities: Vec<(String, Vec<usize>)>,
    class_names: Vec<String>,
    /// Ids and labels of train, validation, test.
    splits: Vec<(Vec<String>, Vec<u32>)>,
}

/// magic | sha256 of the rest | length of head, u64 | head | numbers as little-endian f32: split by split, modality by
/// modality.
fn encode(dataset: &Dataset) -> Vec<u8> {
    let splits = [&dataset.train, &dataset.validation, dataset.test.for_final_evaluation()];
    let head = Head {
        name: dataset.name.clone(),
        modalities: dataset
            .modalities
            .iter()
            .map(|m| (m.name.clone(), m.shape.clone()))
            .collect(),
        class_names: dataset.class_names.clone(),
        splits: splits.iter().map(|s| (s.ids.clone(), s.labels.clone())).collect(),
    };
    let head = serde_json::to_vec(&head).unwrap_or_default();
    let mut content = (head.len() as u64).to_le_bytes().to_vec();
    content.extend(head);
    for input in splits.iter().flat_map(|split| &split.inputs) {
        content.extend(input.iter().flat_map(|x| x.to_le_bytes()));
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(Sha256::digest(&content));
    bytes.extend(content);
    bytes
}

/// The data set in `bytes`, `None` if they are not whole.
fn decode(bytes: &[u8]) -> Option<Dataset> {
    let (digest, content) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
    if *digest != *Sha256::digest(content) {
        return None;
    }
    let (length, rest) = content.split_first_chunk::<8>()?;
    let (head, mut numbers) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let head: Head = serde_json::from_slice(head).ok()?;
    let modalities: Vec<ModalitySpec> = head
        .modalities
        .iter()
        .map(|(name, shape)| ModalitySpec::new(name, shape))
        .collect();
    let mut splits = Vec::new();
    for (ids, labels) in head.splits {
        let mut inputs = Vec::new();
        for modality in &modalities {
            let (these, others) = numbers.split_at_checked(4 * labels.len() * modality.width())?;
            numbers = others;
            let values = these
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            inputs.push(values.collect());
        }
        splits.push(Samples::complete(ids, inputs, labels));
    }
    let [train, validation, test] = <[Samples; 3]>::try_from(splits).ok()?;
    Some(Dataset::new(
        head.name,
        modalities,
        head.class_names,
        train,
        validation,
        test,
    ))
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
