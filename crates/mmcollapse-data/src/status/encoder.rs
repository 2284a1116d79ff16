//! Pretrained text encoders: what of them is in the cache.

use std::fmt;
use std::time::Instant;

use super::{FileStatus, Verdict, Verified, sets_of};
use crate::ehr::{PretrainedText, TextEncoder, digests};
use crate::hub::{Hub, announced_digest};
use crate::manifest::BuiltIn;
use crate::sources;
use crate::{DataError, LoadOptions};

/// A pretrained text encoder and what of it is in the cache.
#[derive(Clone, Debug)]
pub struct EncoderStatus {
    /// What it is.
    pub manifest: TextEncoder,
    /// Its files: sizes, tokens, weights.
    pub files: Vec<FileStatus>,
    /// Data sets whose notes it reads.
    pub sets: Vec<&'static str>,
}

impl fmt::Display for EncoderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.manifest;
        let there = if is_complete(&self.files) {
            "in the cache".to_owned()
        } else {
            format!(
                "not fetched: `data fetch {}`, or HF_HOME of a cache that has it",
                m.name
            )
        };
        writeln!(f, "{:<8} {} ({there})", m.name, m.title)?;
        writeln!(f, "         hub      {} @ {}", m.hub.repo, &m.hub.revision[..12])?;
        writeln!(f, "         licence  {}", m.licence)?;
        for file in &self.files {
            writeln!(f, "         file     {file}")?;
        }
        writeln!(f, "         used by  {}", self.sets.join(", "))
    }
}

fn is_complete(files: &[FileStatus]) -> bool {
    files.iter().all(|file| file.path.is_some())
}

/// Every pretrained text encoder and what of it is in the cache; needs no network.
///
/// # Errors
/// When a manifest is wrong.
pub fn encoders(options: &LoadOptions) -> Result<Vec<EncoderStatus>, DataError> {
    let hub = sources::hub(options);
    let status = |manifest: TextEncoder| EncoderStatus {
        files: files(&manifest, &hub),
        sets: sets_of(&manifest.name),
        manifest,
    };
    Ok(TextEncoder::all()?.into_iter().map(status).collect())
}

fn files(encoder: &TextEncoder, hub: &Hub) -> Vec<FileStatus> {
    encoder
        .remotes()
        .iter()
        .map(|remote| FileStatus::of(remote, hub))
        .collect()
}

/// Whether every file of `encoder` is in the cache.
pub(super) fn is_cached(encoder: &TextEncoder, hub: &Hub) -> bool {
    is_complete(&files(encoder, hub))
}

/// Reads all of `encoder`, downloading what is missing unless `hub` is offline: its sizes, tokens and weights fit each other,
/// and the weights are those that the hub announced where the cache knows that.
pub(super) fn verify(encoder: &TextEncoder, hub: &Hub) -> Result<Verified, DataError> {
    let start = Instant::now();
    let files = encoder.files(hub)?;
    let [_, _, digest] = digests(&files)?;
    let verdict = match announced_digest(&files.weights) {
        None => Verdict::Unannounced,
        Some(expected) if expected == digest => Verdict::Expected,
        Some(expected) => {
            return Err(DataError::Content {
                what: encoder.name.clone(),
                quantity: "digest",
                got: digest,
                expected,
                at: files.weights,
            });
        }
    };
    PretrainedText::read(encoder, &files)?;
    Ok(Verified {
        source: encoder.name.clone(),
        part: "weights".into(),
        rows: 0,
        digest,
        verdict,
        details: Vec::new(),
        seconds: start.elapsed().as_secs_f64(),
    })
}
