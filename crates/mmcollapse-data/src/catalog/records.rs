//! Folders of health records as sources: each table is compared with what is known of it, and so is what is learnt from them.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use miette::Diagnostic;
use mmcollapse_files::hex;
use sha2::{Digest, Sha256};

use super::{About, Access, Need, Place, Source};
use crate::content::short;
use crate::ehr::manifest::{CohortCounts, RecordsManifest};
use crate::ehr::plant::{Planted, SYNTHETIC};
use crate::ehr::{self, Cohort, EhrSource, Task};
use crate::gzip::Gunzip;
use crate::hub::Hub;
use crate::sets::EhrSet;
use crate::status::{Verdict, Verified};
use crate::{DataError, LoadOptions, cache, caps, digests};

impl Source for RecordsManifest {
    fn about(&self) -> About<'_> {
        About {
            name: &self.name,
            title: &self.title,
            licence: &self.licence,
            citation: &self.citation,
            access: match (&self.planted, self.open.is_empty()) {
                (Some(_), _) => Access::Synthetic,
                (None, false) => Access::Open,
                (None, true) => Access::Credentialed,
            },
            need: Need::Optional,
            content: "health records".to_owned(),
            size: self
                .cohort
                .map_or_else(String::new, |counts| counts.admissions.to_string()),
        }
    }

    fn place(&self, _hub: &Hub) -> Place {
        match (&self.planted, self.open().folder()) {
            (Some(_), None) => Place::OnFirstUse,
            (_, folder) => Place::of_folder(&self.name, &self.variable, folder, !self.open.is_empty()),
        }
    }

    fn details(&self, _hub: &Hub) -> Vec<(&'static str, String)> {
        let mut details = vec![("from", self.address.clone()), ("variable", self.variable.clone())];
        if ehr::find(&self.name).is_ok_and(ehr::is_synthetic) {
            details.push(("content", SYNTHETIC.to_owned()));
        }
        if let Some(counts) = &self.cohort {
            details.push(("content", format!("cohort of {counts}")));
        }
        details.extend((1..).zip(&self.steps).map(|(i, step)| ("step", format!("{i}. {step}"))));
        details
    }

    fn local_files(&self, _hub: &Hub) -> Option<Vec<PathBuf>> {
        let source = ehr::find(&self.name).ok()?;
        // Synthetic tables are written where there are none; others may have to be downloaded first.
        if self.planted.is_none() {
            self.open().folder()?;
        }
        let folder = ehr::tables(source, cache::folder().as_deref()).ok()?;
        source.files(self, &folder).ok()
    }

    fn fetch(&self, options: &LoadOptions) -> Result<(), DataError> {
        self.open().obtain(options).map(drop)
    }

    /// Reads the tables, kept cohort or not: each table whose digest is known, what the rules leave of them, and the data set
    /// of each label, whose digest is that of the cells of seed 0 (kept, where nothing has changed).
    fn verify(&self, _hub: &Hub) -> Result<Vec<Verified>, DataError> {
        let source = ehr::find(&self.name)?;
        let folder = ehr::tables(source, cache::folder().as_deref())?;
        let options = LoadOptions {
            offline: true,
            ..LoadOptions::default()
        };
        let digest = |task: Task, _: &Cohort| digests::digest(&EhrSet::new(source, None, task), &options);
        verify_in(self, source, &folder, digest)
    }
}

/// Verifies the tables in `folder`; `digest` is that of what is learnt from.
fn verify_in(
    manifest: &RecordsManifest,
    source: &dyn EhrSource,
    folder: &Path,
    digest: impl Fn(Task, &Cohort) -> Result<String, DataError>,
) -> Result<Vec<Verified>, DataError> {
    let (mut verified, missing) = if manifest.open.is_empty() {
        (Vec::new(), Vec::new())
    } else {
        tables(manifest, &source.files(manifest, folder)?)
    };
    let is = |verdict: Verdict| verified.iter().any(|table: &Verified| table.verdict == verdict);
    let of_tables = if manifest.open.is_empty() {
        Verdict::NothingKnown
    } else if is(Verdict::Wrong) {
        Verdict::Wrong
    } else if !missing.is_empty() || is(Verdict::NothingKnown) {
        Verdict::InPart
    } else {
        Verdict::Expected
    };
    let start = Instant::now();
    let of_part = |part: &str| Verified {
        verdict: of_tables,
        ..Verified::new(&manifest.name, part)
    };
    let mut whole = of_part("cohort");
    let not_there = |name: &String| format!("{name} is not there");
    whole.details.extend(missing.iter().map(not_there));
    let cohort = match ehr::load(source, Some(folder), None) {
        Ok(cohort) => cohort,
        Err(error) => {
            whole.verdict = Verdict::Wrong;
            whole.details.extend(told(&error));
            whole.seconds = start.elapsed().as_secs_f64();
            verified.push(whole);
            return Ok(verified);
        }
    };
    let counts = CohortCounts::of(&cohort);
    whole.rows = counts.admissions;
    whole.digest = content_digest(&cohort);
    whole.details.push(counts.to_string());
    whole.details.extend(cohort.coverage.lines());
    // Planted tables say themselves what is in them, of whatever size they are.
    let planted = Planted::of(folder)?.map(|planted| planted.cohort);
    if let Some(expected) = planted.or(manifest.cohort) {
        if expected != counts {
            whole.verdict = Verdict::Wrong;
            whole.details.push(format!("expected {expected}"));
        } else if planted.is_some() {
            whole.verdict = Verdict::Expected;
        }
    }
    whole.seconds = start.elapsed().as_secs_f64();
    let of_cohort = whole.verdict;
    verified.push(whole);
    for task in [Task::Mortality, Task::Readmission] {
        let start = Instant::now();
        let mut part = of_part(task.name());
        let labels = cohort.label_counts(task);
        part.rows = labels.yes + labels.no;
        match digest(task, &cohort) {
            Ok(digest) => part.digest = digest,
            Err(error) => {
                part.verdict = Verdict::Wrong;
                part.details.push(format!("cannot be learnt from: {error}"));
            }
        }
        if of_cohort == Verdict::Wrong {
            part.verdict = Verdict::Wrong;
        }
        part.seconds = start.elapsed().as_secs_f64();
        verified.push(part);
    }
    Ok(verified)
}

/// An error and its help, one line each.
fn told(error: &DataError) -> Vec<String> {
    let help = error.help().map(|help| help.to_string());
    let text = [Some(error.to_string()), help].into_iter().flatten();
    text.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Digest of everything in `cohort`, whatever files it was read from.
fn content_digest(cohort: &Cohort) -> String {
    let mut hash = Sha256::new();
    // Nothing that is written into a hash can fail; a value without JSON would change the digest, not pass for another.
    let written = serde_json::to_writer(&mut hash, cohort);
    hash.update([u8::from(written.is_ok())]);
    hex(&hash.finalize())
}

/// Each of the tables at `paths` held against what `manifest` knows, and the names of those known that are not among them.
fn tables(manifest: &RecordsManifest, paths: &[PathBuf]) -> (Vec<Verified>, Vec<String>) {
    let mut missing: BTreeSet<String> = manifest
        .open
        .iter()
        .flat_map(|open| open.files.keys().cloned())
        .collect();
    let mut verified = Vec::new();
    for path in paths {
        let start = Instant::now();
        let known = Known::of(manifest, path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut table = Verified::new(&manifest.name, &name);
        match known
            .as_ref()
            .map_or_else(|| bytes_digest(path).map(Found::unknown), |known| known.compare(path))
        {
            Ok(found) => {
                table.digest = found.digest;
                table.verdict = found.verdict;
                table.details.extend(found.detail);
            }
            Err(error) => {
                table.verdict = Verdict::Wrong;
                table.details.push(format!("{}: {error}", path.display()));
            }
        }
        if let Some(known) = known {
            missing.remove(known.name);
        }
        table.seconds = start.elapsed().as_secs_f64();
        verified.push(table);
    }
    (verified, missing.into_iter().collect())
}

/// What a manifest knows of a table.
struct Known<'a> {
    name: &'a str,
    /// Of its bytes as they are downloaded.
    packed: &'a str,
    /// Of its content, where it is compressed.
    unpacked: Option<&'a str>,
}

/// What a table is.
struct Found {
    digest: String,
    verdict: Verdict,
    detail: Option<String>,
}

impl Found {
    fn unknown(digest: String) -> Self {
        Self {
            digest,
            verdict: Verdict::NothingKnown,
            detail: None,
        }
    }
}

impl<'a> Known<'a> {
    /// What is known of the table at `path`, compressed or not.
    fn of(manifest: &'a RecordsManifest, path: &Path) -> Option<Self> {
        let of_folder = |open: &'a crate::open::OpenFolder| {
            open.files.iter().find_map(|(name, packed)| {
                let plain = name.strip_suffix(".gz");
                let is_it = path.ends_with(name) || plain.is_some_and(|plain| path.ends_with(plain));
                is_it.then(|| Self {
                    name,
                    packed,
                    unpacked: plain.and_then(|plain| open.unpacked.get(plain)).map(String::as_str),
                })
            })
        };
        manifest.open.iter().find_map(of_folder)
    }

    /// Holds the table at `path` against it. Another compression of the same content is as good.
    fn compare(&self, path: &Path) -> io::Result<Found> {
        let found = |digest, verdict, detail| Found {
            digest,
            verdict,
            detail,
        };
        let bytes = bytes_digest(path)?;
        if bytes == self.packed || Some(bytes.as_str()) == self.unpacked {
            return Ok(found(bytes, Verdict::Expected, None));
        }
        let is_packed = path.extension().is_some_and(|ending| ending == "gz");
        let (got, expected, what) = match self.unpacked {
            Some(unpacked) if is_packed => {
                let file = caps::open(path)?;
                let length = file.metadata()?.len();
                (digest(Gunzip::new(BufReader::new(file), length))?, unpacked, "content")
            }
            Some(unpacked) => (bytes, unpacked, "content"),
            None => (bytes, self.packed, "bytes"),
        };
        if got == expected {
            let detail = "compressed by another program; its content is the known one".to_owned();
            return Ok(found(got, Verdict::Expected, Some(detail)));
        }
        let detail = format!(
            "{}: sha256 of the {what} is {}..., expected {}...",
            path.display(),
            short(&got),
            short(expected)
        );
        Ok(found(got, Verdict::Wrong, Some(detail)))
    }
}

fn bytes_digest(path: &Path) -> io::Result<String> {
    digest(caps::open(path)?)
}

fn digest(mut content: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut content, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

#[cfg(test)]
mod tests;
