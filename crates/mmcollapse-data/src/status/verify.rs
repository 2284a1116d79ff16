//! What `data fetch` and `data verify` do: every part of a source decoded, and its digest held against what is expected.

use std::fmt;
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::{encoder, files_sources};
use crate::content::hex;
use crate::ehr::TextEncoder;
use crate::ehr::manifest::{CohortCounts, RecordsManifest};
use crate::ehr::plant::Planted;
use crate::embedded::Excerpt;
use crate::files::FilesSource;
use crate::folder::{self, FolderSource};
use crate::hub::Hub;
use crate::manifest::{BuiltIn, Manifest};
use crate::sources::{self, records};
use crate::{DataError, LoadOptions, SETS, cache, ehr, find};

/// What the digest of a content that was read was held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is that of the manifest or of the hub.
    Expected,
    /// It is not that of the manifest, which only a folder of the user's own making may have.
    OtherSamples,
    /// Nothing: neither the manifest nor the cache says one.
    Unannounced,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expected => "as expected",
            Self::OtherSamples => "complete, but not the samples tested with (another resampler?)",
            Self::Unannounced => "whole and of the right form (a copied cache, which does not say the hub's digest)",
        })
    }
}

/// A part of a source whose content was decoded and found right.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Source.
    pub source: String,
    /// Part of it.
    pub part: String,
    /// Records decoded; 0 where only the digest of a file was taken.
    pub rows: usize,
    /// Digest of their content.
    pub digest: String,
    /// What that digest was held against.
    pub verdict: Verdict,
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
            verdict,
            seconds,
        } = self;
        writeln!(
            f,
            "{source} {part}: {}content {} {verdict} ({seconds:.1} s)",
            if *rows > 0 {
                format!("{rows} rows, ")
            } else {
                String::new()
            },
            &digest[..16]
        )
    }
}

/// Downloads what is missing of the source or data set `name` (`all` for everything) and verifies it.
///
/// # Errors
/// When a file cannot be had or does not decode to what its manifest says.
pub fn fetch(name: &str, options: &LoadOptions) -> Result<Vec<Verified>, DataError> {
    let hub = sources::hub(options);
    let named = Sources::named(name)?;
    for manifest in &named.hub {
        sources::files(manifest, &hub)?;
    }
    for source in &named.files {
        source.open().obtain(options)?;
    }
    for manifest in &named.records {
        manifest.open().obtain(options)?;
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
    let mut named = Sources::named(name)?;
    if name == "all" {
        named.retain_there(hub);
    }
    for manifest in named.hub {
        for (part, content) in &manifest.content {
            let start = Instant::now();
            let records = records(&manifest, part, hub)?;
            verified.push(Verified {
                source: manifest.name.clone(),
                part: part.clone(),
                rows: records.len(),
                digest: content.digest.clone(),
                verdict: Verdict::Expected,
                seconds: start.elapsed().as_secs_f64(),
            });
        }
    }
    for excerpt in named.embedded {
        let start = Instant::now();
        let excerpted = excerpt.decode()?;
        let known = |(part, records)| Some((part, records, excerpt.content.get(part)?));
        for (part, records, content) in excerpted.parts().into_iter().filter_map(known) {
            verified.push(Verified {
                source: excerpt.name.clone(),
                part: part.to_owned(),
                rows: <[_]>::len(records),
                digest: content.digest.clone(),
                verdict: Verdict::Expected,
                seconds: start.elapsed().as_secs_f64(),
            });
        }
    }
    for source in named.folders {
        let start = Instant::now();
        let clips = source.clips(source.folder().as_deref())?;
        let digest = folder::digest(&clips);
        verified.push(Verified {
            part: "all".into(),
            rows: clips.len(),
            verdict: if digest == source.content.digest {
                Verdict::Expected
            } else {
                Verdict::OtherSamples
            },
            digest,
            seconds: start.elapsed().as_secs_f64(),
            source: source.name,
        });
    }
    for source in named.files {
        let start = Instant::now();
        let contents = source.bytes(source.open().folder().as_deref())?;
        for (file, bytes) in source.files.into_iter().zip(contents) {
            verified.push(Verified {
                source: source.name.clone(),
                part: file.name,
                // Of an archive the digest says enough.
                rows: String::from_utf8(bytes).map_or(0, |text| text.lines().count()),
                verdict: Verdict::Expected,
                digest: file.sha256,
                seconds: start.elapsed().as_secs_f64(),
            });
        }
    }
    for manifest in named.records {
        verified.push(verify_records(&manifest)?);
    }
    for manifest in named.encoders {
        verified.push(encoder::verify(&manifest, hub)?);
    }
    Ok(verified)
}

/// Reads the tables, kept cohort or not, and counts what the rules leave of them.
fn verify_records(manifest: &RecordsManifest) -> Result<Verified, DataError> {
    let start = Instant::now();
    let source = ehr::find(&manifest.name)?;
    let folder = ehr::tables(source, cache::folder().as_deref())?;
    let cohort = ehr::load(source, Some(&folder), None)?;
    let counts = CohortCounts::of(&cohort);
    // Planted tables say themselves what is in them, of whatever size they are.
    let planted = Planted::of(&folder)?.map(|planted| planted.cohort);
    if let Some(expected) = planted.or(manifest.cohort).filter(|expected| *expected != counts) {
        return Err(DataError::Content {
            what: manifest.name.clone(),
            quantity: "cohort",
            got: counts.to_string(),
            expected: expected.to_string(),
            at: folder,
        });
    }
    Ok(Verified {
        source: manifest.name.clone(),
        part: "cohort".into(),
        rows: counts.admissions,
        digest: hex(&Sha256::digest(counts.to_string())),
        verdict: Verdict::Expected,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Sources of every kind.
#[derive(Debug)]
struct Sources {
    hub: Vec<Manifest>,
    embedded: Vec<Excerpt>,
    folders: Vec<FolderSource>,
    files: Vec<FilesSource>,
    records: Vec<RecordsManifest>,
    encoders: Vec<TextEncoder>,
}

impl Sources {
    fn all() -> Result<Self, DataError> {
        Ok(Self {
            hub: Manifest::all()?,
            embedded: Excerpt::all()?,
            folders: FolderSource::all()?,
            files: files_sources()?,
            records: RecordsManifest::all()?,
            encoders: TextEncoder::all()?,
        })
    }

    fn names(&self) -> Vec<&str> {
        let hub = self.hub.iter().map(|m| m.name.as_str());
        let folders = self.folders.iter().map(|f| f.name.as_str());
        hub.chain(self.embedded.iter().map(|e| e.name.as_str()))
            .chain(folders)
            .chain(self.files.iter().map(|f| f.name.as_str()))
            .chain(self.records.iter().map(|r| r.name.as_str()))
            .chain(self.encoders.iter().map(|e| e.name.as_str()))
            .collect()
    }

    /// The sources that `name` means: itself, those of a data set, or all.
    fn named(name: &str) -> Result<Self, DataError> {
        let mut sources = Self::all()?;
        if name == "all" {
            return Ok(sources);
        }
        let wanted = find(name).map_or_else(|_| vec![name], |set| set.sources().to_vec());
        let known = sources.names();
        if wanted.iter().any(|source| !known.contains(source)) {
            // A data set may be named as its source is.
            let sets = SETS.iter().map(|set| set.name()).filter(|set| !known.contains(set));
            return Err(DataError::UnknownName {
                name: name.to_owned(),
                known: known
                    .iter()
                    .copied()
                    .chain(sets)
                    .chain(["all"])
                    .collect::<Vec<_>>()
                    .join(", "),
            });
        }
        sources.hub.retain(|m| wanted.contains(&m.name.as_str()));
        sources.embedded.retain(|e| wanted.contains(&e.name.as_str()));
        sources.folders.retain(|f| wanted.contains(&f.name.as_str()));
        sources.files.retain(|f| wanted.contains(&f.name.as_str()));
        sources.records.retain(|r| wanted.contains(&r.name.as_str()));
        sources.encoders.retain(|e| wanted.contains(&e.name.as_str()));
        Ok(sources)
    }

    /// Drops the folders that are not there, and the pretrained encoders, which nothing takes unless it is asked to, that
    /// are not in the cache.
    fn retain_there(&mut self, hub: &Hub) {
        self.folders.retain(|folder| folder.folder().is_some());
        self.files.retain(|files| files.open().folder().is_some());
        self.records.retain(|records| records.open().folder().is_some());
        self.encoders.retain(|encoder| encoder::is_cached(encoder, hub));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_sources() {
        let of = |name| {
            let sources = Sources::named(name).unwrap();
            sources.names().into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(of("fsdd"), ["fsdd"]);
        assert_eq!(of("avmnist"), ["mnist", "fsdd"]);
        assert_eq!(of("avmnist-hard"), ["mnist", "fsdd", "esc10"]);
        assert_eq!(of("avmnist-embedded"), ["avmnist-embedded"]);
        assert_eq!(of("mfeat"), ["mfeat"]);
        assert_eq!(of("eicu-demo-mortality"), ["eicu-demo"]);
        assert_eq!(of("eicu-demo+bert-tiny-mortality"), ["eicu-demo", "bert-tiny"]);
        assert!(of("all").starts_with(&["mnist".to_owned(), "fsdd".to_owned()]));
        assert_eq!(of("ehr-planted-readmission"), ["ehr-planted"]);
        assert!(of("planted").is_empty());
        let error = Sources::named("mnits").unwrap_err();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(
            help.contains(
                "mnist, fsdd, avmnist-embedded, esc10, mfeat, physionet-2012, mimic-iv, mimic-iv-demo, eicu, eicu-demo, ehr-planted, \
                 bert-tiny, bio-clinicalbert, avmnist,"
            ) && help.contains("all"),
            "{help}"
        );
    }
}
