//! A source's records, decoded, checked against its manifest and put into an order of their own.

use std::num::NonZero;
use std::path::Path;
use std::thread;

use crate::content::{Identity, collection_digest};
use crate::decode::{self, Pixels};
use crate::hub::Hub;
use crate::manifest::{Manifest, Media, PartContent};
use crate::parquet_rows::{self, MediaRow};
use crate::{DataError, LoadOptions};

/// One decoded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Class and digest.
    pub identity: Identity,
    /// Pixels row by row (in colours red, green, blue of each), or samples as little-endian 16-bit integers.
    pub content: Vec<u8>,
    /// `[height, width]` of an image, `[samples a second]` of a recording.
    pub form: Vec<u32>,
}

/// The hub of the environment, as `options` narrow it.
pub fn hub(options: &LoadOptions) -> Hub {
    let hub = Hub::from_env();
    Hub {
        offline: hub.offline || options.offline,
        progress: options.progress,
        ..hub
    }
}

/// Every record of the `part` of a source, sorted by class and digest, checked against the manifest.
///
/// The order depends on content alone, so a draw by position means the same records on every machine, however the
/// hub or a mirror lays out its files.
///
/// # Errors
/// When a file cannot be had or read, a row is broken, or the content is not what the manifest says.
pub fn records(manifest: &Manifest, part: &str, hub: &Hub) -> Result<Vec<Record>, DataError> {
    let mut records = Vec::new();
    for file in manifest.files.iter().filter(|file| file.part == part) {
        let path = hub.fetch(&manifest.remote(file))?;
        records.extend(decode_file(&path, manifest)?);
    }
    records.sort_by_key(|record| record.identity);
    check(manifest, part, hub, &records)?;
    Ok(records)
}

fn check(manifest: &Manifest, part: &str, hub: &Hub, records: &[Record]) -> Result<(), DataError> {
    let Some(expected) = manifest.content.get(part) else {
        return Err(DataError::Manifest {
            name: manifest.name.clone(),
            reason: format!("`content` lacks `{part}`"),
        });
    };
    let wrong = |of: &str, quantity, got: String, expected: String| DataError::Content {
        what: format!("{}, part `{part}`{of}", manifest.name),
        quantity,
        got,
        expected,
        at: hub.folder(&manifest.remote(&manifest.files[0])),
    };
    let rows = |of: &str, got: usize, expected: usize| wrong(of, "rows", got.to_string(), expected.to_string());
    if records.len() != expected.rows() {
        return Err(rows("", records.len(), expected.rows()));
    }
    match expected {
        PartContent::Digest(content) => {
            let digest = digest(records);
            if digest != content.digest {
                return Err(wrong("", "digest", digest, content.digest.clone()));
            }
        }
        // As many rows in all: where a class is unknown, one of those that are known lacks rows.
        PartContent::Classes(classes) => {
            for (class, &n) in classes.iter().enumerate() {
                let of_class = records.iter().filter(|record| record.identity.label == class as u32);
                let got = of_class.count();
                if got != n {
                    return Err(rows(&format!(", class {class}"), got, n));
                }
            }
        }
    }
    Ok(())
}

/// [`collection_digest`] of the records.
pub(crate) fn digest(records: &[Record]) -> String {
    collection_digest(&records.iter().map(|record| record.identity).collect::<Vec<_>>())
}

/// Decodes every row of a file, on all cores.
fn decode_file(path: &Path, manifest: &Manifest) -> Result<Vec<Record>, DataError> {
    let rows = parquet_rows::read(path, manifest.media.column())?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let chunk = rows.len().div_ceil(cores).max(1);
    let decode_chunk = |first: usize, rows: &[MediaRow]| {
        let decoded = rows.iter().enumerate().map(|(i, row)| {
            decode_row(row, manifest).map_err(|reason| DataError::Row {
                path: path.to_owned(),
                row: first + i,
                reason,
            })
        });
        decoded.collect::<Result<Vec<_>, _>>()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = rows
            .chunks(chunk)
            .enumerate()
            .map(|(i, rows)| scope.spawn(move || decode_chunk(i * chunk, rows)))
            .collect();
        let mut records = Vec::with_capacity(rows.len());
        for worker in workers {
            let decoded = worker.join().map_err(|_| DataError::File {
                path: path.to_owned(),
                reason: "a decoder panicked".into(),
            })?;
            records.append(&mut decoded?);
        }
        Ok(records)
    })
}

fn decode_row(row: &MediaRow, manifest: &Manifest) -> Result<Record, String> {
    let bytes = row.bytes.data();
    let image = |pixels: Pixels| (pixels.values, vec![pixels.height, pixels.width]);
    let (content, form) = match manifest.media {
        Media::Image => image(decode::png(bytes)?),
        Media::ColourImage => image(decode::png_rgb(bytes)?),
        Media::Audio => {
            let sound = decode::wav(bytes)?;
            let content = sound.samples.iter().flat_map(|s| s.to_le_bytes()).collect();
            (content, vec![sound.rate])
        }
    };
    if let Some(expected) = manifest.form.as_ref().filter(|expected| **expected != form) {
        return Err(format!("a record of form {form:?}, expected {expected:?}"));
    }
    Ok(Record {
        identity: Identity::new(row.label, &content),
        content,
        form,
    })
}
