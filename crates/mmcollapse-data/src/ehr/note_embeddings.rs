//! The notes of a cohort, embedded by a pretrained text encoder and kept beside the cohort.
//!
//! In an encoder of BERT's size a long note takes 4e10 multiply-adds, so each is embedded once. An embedding may tell as much
//! of a patient as the note: it is kept where cohorts are, and nowhere else.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use mmcollapse_files::hex;
use mmcollapse_nn::{Device, Tensor, safetensors};
use sha2::{Digest, Sha256};

use super::cache;
use super::cohort::Cohort;
use super::pretrained::{PretrainedText, digests};
use super::text_encoder::TextEncoder;
use crate::DataError;
use crate::cache::key;
use crate::hub::Hub;

/// Raised with every change in what an embedding is.
const FORMAT: &str = "note embeddings 1";

/// A vector for each note of a cohort.
#[derive(Clone, Debug, PartialEq)]
pub struct NoteEmbeddings {
    width: usize,
    /// By the admission's number.
    rows: BTreeMap<u64, Vec<f32>>,
}

impl NoteEmbeddings {
    /// The notes of `cohort` as `encoder` sees them, kept below `base` (usually [`crate::cache::folder`]) for the next time.
    ///
    /// What is kept counts only for the same notes, revision and files of the encoder.
    ///
    /// # Errors
    /// When the encoder cannot be had from `hub`, or its files are not what its manifest says.
    pub fn load(cohort: &Cohort, encoder: &TextEncoder, hub: &Hub, base: Option<&Path>) -> Result<Self, DataError> {
        let key = key(&[&Self::key(encoder, hub)?, &digest(cohort)]);
        cache::kept(
            base,
            &format!("{}+{}", cohort.source, encoder.name),
            "safetensors",
            |path| Self::read(path, &key),
            || {
                Self::embed(
                    cohort,
                    &PretrainedText::read(encoder, &encoder.files(hub)?)?,
                    hub.progress,
                )
            },
            |path, embeddings| {
                let _ = embeddings.write(path, &key);
                embeddings
            },
        )
    }

    /// Of everything that embeddings depend on besides the notes: the encoder's files, revision and use.
    ///
    /// # Errors
    /// When the encoder cannot be had from `hub`, or its files are not what its manifest says.
    pub fn key(encoder: &TextEncoder, hub: &Hub) -> Result<String, DataError> {
        let [config, tokens, weights] = digests(&encoder.files(hub)?)?;
        let reading = format!("{:?} {:?}", encoder.tokens, encoder.pooling);
        let (repo, revision) = (&encoder.hub.repo, &encoder.hub.revision);
        Ok(key(&[FORMAT, repo, revision, &reading, &config, &tokens, &weights]))
    }

    fn embed(cohort: &Cohort, encoder: &PretrainedText, progress: bool) -> Result<Self, DataError> {
        let bar = if progress && !mmcollapse_files::output::is_plain() {
            let style = ProgressStyle::with_template("embedding notes [{wide_bar}] {pos}/{len} ({eta})");
            ProgressBar::new(notes(cohort).count() as u64)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        } else {
            ProgressBar::hidden()
        };
        let rows = notes(cohort).map(|(id, note)| {
            let row = encoder.embed(note)?;
            bar.inc(1);
            Ok((id, row))
        });
        let rows = rows.collect::<Result<_, DataError>>()?;
        bar.finish();
        Ok(Self {
            width: encoder.width(),
            rows,
        })
    }

    /// Numbers of a note.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The vector of the note of the admission of this number, if it has one.
    pub fn get(&self, admission: u64) -> Option<&[f32]> {
        self.rows.get(&admission).map(Vec::as_slice)
    }

    /// `admissions [notes]` and `embeddings [notes, width]`, with the key.
    fn write(&self, path: &Path, key: &str) -> io::Result<()> {
        let admissions: Vec<i64> = self.rows.keys().map(|&id| id as i64).collect();
        let numbers: Vec<f32> = self.rows.values().flatten().copied().collect();
        let tensors = || -> mmcollapse_nn::Result<_> {
            let shape = (self.rows.len(), self.width);
            Ok(BTreeMap::from([
                ("admissions".to_owned(), Tensor::new(admissions, &Device::Cpu)?),
                ("embeddings".to_owned(), Tensor::from_vec(numbers, shape, &Device::Cpu)?),
            ]))
        };
        let metadata = BTreeMap::from([("key".to_owned(), key.to_owned())]);
        let saved = tensors().and_then(|tensors| safetensors::save(path, &tensors, &metadata));
        saved.map_err(io::Error::other)
    }

    /// What is kept in `path`, `None` if it is of another key or not whole.
    fn read(path: &Path, key: &str) -> Option<Self> {
        let (tensors, metadata) = safetensors::load(path, &Device::Cpu).ok()?;
        if metadata.get("key")? != key {
            return None;
        }
        let admissions: Vec<i64> = tensors.get("admissions")?.to_vec1().ok()?;
        let embeddings = tensors.get("embeddings")?;
        let rows: Vec<Vec<f32>> = embeddings.to_vec2().ok()?;
        Some(Self {
            width: embeddings.dim(1).ok()?,
            rows: admissions.into_iter().map(|id| id as u64).zip(rows).collect(),
        })
    }
}

/// Each note, with the number of its admission.
fn notes(cohort: &Cohort) -> impl Iterator<Item = (u64, &str)> {
    let admissions = cohort.admissions.iter();
    admissions.filter_map(|admission| Some((admission.id, admission.notes.as_deref()?)))
}

/// Digest of the notes and whose they are.
fn digest(cohort: &Cohort) -> String {
    let mut hash = Sha256::new();
    for (id, note) in notes(cohort) {
        hash.update(format!("{id} {}\n", note.len()));
        hash.update(note);
    }
    hex(&hash.finalize())
}
