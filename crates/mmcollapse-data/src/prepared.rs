//! Finished data sets in files that all processes map: what workers and runner need is in memory once.
//!
//! A file is written whole or not at all and ends with the digest of its content, which is checked whenever it is opened, so
//! a damaged one is noticed and made again. It holds the key of everything that went into it.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use mmcollapse_files::AtomicFile;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::mapped::Bytes;
use crate::{Dataset, Ids, ModalitySpec, Presence, Rows, Samples, TestSplit};

/// First bytes of a file; the digit is the format's version.
const MAGIC: &[u8] = b"mmcollapse data 2\n";

/// Bytes of the digest at the end.
const DIGEST: usize = 32;

/// Everything but the numbers, as JSON.
#[derive(Serialize, Deserialize)]
struct Head {
    key: String,
    name: String,
    modalities: Vec<ModalitySpec>,
    class_names: Vec<String>,
    /// The data set's own digest.
    digest: String,
    /// Train, validation, test.
    splits: [Split; 3],
}

#[derive(Serialize, Deserialize)]
struct Split {
    samples: usize,
    /// Names of the samples, none where they are numbered.
    ids: Option<Vec<String>>,
}

/// Writes `dataset` to `path` under `key`.
///
/// magic | length of head, u64 | head | split by split: labels, u32; presence, a byte a sample and modality; modality by
/// modality its packed rows | sha256 of all before.
///
/// # Errors
/// What the file system says; `path` then keeps its old content.
pub(crate) fn write(path: &Path, key: &str, dataset: &Dataset) -> io::Result<()> {
    let splits = [&dataset.train, &dataset.validation, dataset.test.for_final_evaluation()];
    let head = Head {
        key: key.to_owned(),
        name: dataset.name.clone(),
        modalities: dataset.modalities.clone(),
        class_names: dataset.class_names.clone(),
        digest: dataset.digest.clone(),
        splits: splits.map(|split| Split {
            samples: split.len(),
            ids: match &split.ids {
                Ids::Numbered(_) => None,
                Ids::Named(names) => Some(names.clone()),
            },
        }),
    };
    let head = serde_json::to_vec(&head)?;
    let mut file = Hashing {
        file: AtomicFile::create(path)?,
        hash: Sha256::new(),
    };
    file.write_all(MAGIC)?;
    file.write_all(&(head.len() as u64).to_le_bytes())?;
    file.write_all(&head)?;
    for split in splits {
        for label in &split.labels {
            file.write_all(&label.to_le_bytes())?;
        }
        for i in 0..split.len() {
            let present = (0..dataset.modalities.len()).map(|m| u8::from(split.present.get(i, m)));
            file.write_all(&present.collect::<Vec<_>>())?;
        }
        for rows in &split.inputs {
            rows.write(&mut file)?;
        }
    }
    let Hashing { mut file, hash } = file;
    file.write_all(&hash.finalize())?;
    file.commit()
}

/// Keeps `dataset` in `path` and returns it as it lies there, so that its numbers are not held twice; what cannot be kept
/// stays in memory.
pub(crate) fn keep(path: &Path, key: &str, dataset: Dataset) -> Dataset {
    let kept = write(path, key, &dataset).ok().and_then(|()| open(path, key));
    kept.unwrap_or(dataset)
}

/// The data set in `path`, `None` if it is of another key or not whole.
pub(crate) fn open(path: &Path, key: &str) -> Option<Dataset> {
    read(Bytes::open(path).ok()?, key)
}

fn read(bytes: Bytes, key: &str) -> Option<Dataset> {
    let whole = bytes.len().checked_sub(DIGEST)?;
    let length = bytes[..whole].strip_prefix(MAGIC)?.first_chunk::<8>()?;
    let start = MAGIC.len() + 8;
    let end = start.checked_add(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let head: Head = serde_json::from_slice(bytes[..whole].get(start..end)?).ok()?;
    if head.key != key || *Sha256::digest(&bytes[..whole]) != bytes[whole..] {
        return None;
    }
    let bytes = Arc::new(bytes);
    let mut at = end;
    let mut samples = |split: Split| -> Option<Samples> {
        let (n, modalities) = (split.samples, head.modalities.len());
        let mut take = |length: usize| {
            let taken = bytes[..whole].get(at..at.checked_add(length)?)?;
            at += length;
            Some(taken)
        };
        let labels = take(n.checked_mul(4)?)?.as_chunks().0.iter();
        let labels = labels.map(|label| u32::from_le_bytes(*label)).collect();
        let present = take(n.checked_mul(modalities)?)?;
        let present = Presence::from_fn(n, modalities, |i, m| present[i * modalities + m] == 1);
        let mut inputs = Vec::new();
        for modality in &head.modalities {
            let (rows, after) = Rows::within(&bytes, at, n, modality.width())?;
            at = after;
            inputs.push(rows);
        }
        Some(Samples {
            ids: split.ids.map_or(Ids::Numbered(n), Ids::Named),
            inputs,
            labels,
            present,
        })
    };
    let [train, validation, test] = head.splits.map(&mut samples);
    Some(Dataset {
        train: train?,
        validation: validation?,
        test: TestSplit::new(test?),
        name: head.name,
        classes: head.class_names.len(),
        class_names: head.class_names,
        digest: head.digest,
        modalities: head.modalities,
    })
}

/// A file and the digest of what was written to it.
struct Hashing {
    file: AtomicFile,
    hash: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Kind;

    /// Records of two kinds, of which some lack something.
    fn dataset() -> Dataset {
        let samples = |n: usize| {
            let series = (0..n).map(|i| vec![1_f32; 2 * (i % 3)]);
            Samples {
                ids: Ids::Numbered(n),
                inputs: vec![Rows::dense(n, vec![0.5; n]), Rows::packed(4, series)],
                labels: (0..n as u32).map(|i| i % 2).collect(),
                present: Presence::from_fn(n, 2, |i, m| m == 0 || !i.is_multiple_of(3)),
            }
        };
        let modalities = vec![
            ModalitySpec::new("a", &[1]).of(Kind::Codes { vocabulary: 7 }),
            ModalitySpec::new("b", &[2, 2]).of(Kind::Series),
        ];
        let names = vec!["no".to_owned(), "yes".to_owned()];
        Dataset::new("records", modalities, names, samples(7), samples(0), samples(3))
    }

    #[test]
    fn what_was_written_is_read_and_no_bit_may_differ() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let written = dataset();
        write(&path, "key", &written).unwrap();
        assert_eq!(open(&path, "key").unwrap(), written);
        assert!(open(&path, "another").is_none());
        assert!(open(&folder.path().join("none"), "key").is_none());
        let bytes = fs::read(&path).unwrap();
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << (place % 8);
            assert!(read(Bytes::Owned(flipped), "key").is_none(), "bit of byte {place}");
            assert!(
                read(Bytes::Owned(bytes[..place].to_vec()), "key").is_none(),
                "{place} bytes"
            );
        }
    }
}
