//! Folders of health records: each table held against what is known of it, and what is learnt from them.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use miette::Diagnostic;
use sha2::{Digest, Sha256};

use super::{Verdict, Verified};
use crate::content::{hex, short};
use crate::ehr::manifest::{CohortCounts, RecordsManifest};
use crate::ehr::plant::Planted;
use crate::ehr::{self, Cohort, EhrSource, Task};
use crate::gzip::Gunzip;
use crate::{DataError, LoadOptions, cache, caps, digests, find};

/// Reads the tables, kept cohort or not: each table whose digest is known, what the rules leave of them, and the data set of
/// each label, whose digest is that of the cells of seed 0 (kept, where nothing has changed).
pub(super) fn verify(manifest: &RecordsManifest) -> Result<Vec<Verified>, DataError> {
    let source = ehr::find(&manifest.name)?;
    let folder = ehr::tables(source, cache::folder().as_deref())?;
    let options = LoadOptions {
        offline: true,
        ..LoadOptions::default()
    };
    let digest = |task: Task, _: &Cohort| {
        let set = find(&format!("{}-{}", manifest.name, task.name()))?;
        digests::digest(set, &options)
    };
    verify_in(manifest, source, &folder, digest)
}

/// [`verify`] for the tables in `folder`; `digest` is that of what is learnt from.
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
        source: manifest.name.clone(),
        part: part.to_owned(),
        rows: 0,
        digest: String::new(),
        verdict: of_tables,
        details: Vec::new(),
        seconds: 0.,
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
        let mut table = Verified {
            source: manifest.name.clone(),
            part: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            rows: 0,
            digest: String::new(),
            verdict: Verdict::NothingKnown,
            details: Vec::new(),
            seconds: 0.,
        };
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
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use mmcollapse_files::write_atomic;

    use super::*;
    use crate::ehr::{SPLIT_SEED, Split, SplitBy, plant};
    use crate::manifest::BuiltIn;
    use crate::open::OpenFolder;

    const TABLE: &str = "hosp/labevents.csv.gz";

    fn content(path: &Path) -> Vec<u8> {
        let bytes = fs::read(path).unwrap();
        let mut content = Vec::new();
        Gunzip::new(bytes.as_slice(), 0).read_to_end(&mut content).unwrap();
        content
    }

    fn pack(content: &[u8], level: Compression) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// Planted tables in a folder of their own, and a manifest to which they are known as those of an open source are.
    fn tables(folder: &Path) -> RecordsManifest {
        let mut manifest = RecordsManifest::find("ehr-planted").unwrap();
        let mut config = manifest.planted.take().unwrap();
        config.patients = 150;
        let planted = plant::plant(&config, folder).unwrap();
        fs::remove_file(folder.join(plant::MARKER)).unwrap();
        manifest.cohort = Some(planted.cohort);
        let paths = manifest.files(folder).unwrap();
        let name = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
        manifest.open = vec![OpenFolder {
            base: "https://example.org/".into(),
            below: String::new(),
            files: paths
                .iter()
                .map(|path| (name(path), bytes_digest(path).unwrap()))
                .collect(),
            unpacked: paths
                .iter()
                .map(|path| (name(path).replace(".gz", ""), hex(&Sha256::digest(content(path)))))
                .collect(),
        }];
        manifest
    }

    fn found(manifest: &RecordsManifest, folder: &Path) -> BTreeMap<String, Verified> {
        let digest = |task: Task, cohort: &Cohort| {
            let split = Split::new(&cohort.admissions, SplitBy::Patient, SPLIT_SEED);
            Ok(ehr::dataset(task.name(), cohort, task, &split, None)?.digest)
        };
        let verified = verify_in(manifest, ehr::find("ehr-planted").unwrap(), folder, digest).unwrap();
        verified.into_iter().map(|part| (part.part.clone(), part)).collect()
    }

    #[test]
    fn a_damaged_table_of_known_ones_is_named_with_what_was_expected_and_got() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("tables");
        let manifest = tables(&folder);
        let whole = found(&manifest, &folder);
        for (part, verified) in &whole {
            assert_eq!(
                (verified.verdict, verified.digest.len()),
                (Verdict::Expected, 64),
                "{part}: {verified}"
            );
        }

        // Another program packed it: the same content.
        let path = folder.join(TABLE);
        let text = content(&path);
        write_atomic(&path, &pack(&text, Compression::none())).unwrap();
        let packed = found(&manifest, &folder);
        assert!(packed.values().all(|part| part.verdict == Verdict::Expected));
        assert!(packed["labevents.csv.gz"].details[0].contains("another program"));

        // Ten laboratory values are gone: the counts stay, and the digest of what is learnt from does not.
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let cut = lines[..lines.len() - 10].concat();
        write_atomic(&path, &pack(&cut, Compression::fast())).unwrap();
        let damaged = found(&manifest, &folder);
        let (table, cohort) = (&damaged["labevents.csv.gz"], &damaged["cohort"]);
        assert_eq!(table.verdict, Verdict::Wrong);
        let (got, expected) = (hex(&Sha256::digest(&cut)), hex(&Sha256::digest(&text)));
        for part in [TABLE, short(&got), short(&expected)] {
            assert!(table.details[0].contains(part), "{table}");
        }
        assert_eq!(cohort.details[0], whole["cohort"].details[0], "counts do not see it");
        for label in ["cohort", "mortality", "readmission"] {
            assert_eq!(damaged[label].verdict, Verdict::Wrong);
            assert_ne!(damaged[label].digest, whole[label].digest);
        }
        assert_eq!(damaged["patients.csv.gz"].verdict, Verdict::Expected);

        // One that cannot be read is no reason to say nothing of the others.
        write_atomic(&path, b"no gzip").unwrap();
        let unreadable = found(&manifest, &folder);
        assert_eq!(unreadable["cohort"].verdict, Verdict::Wrong);
        assert_eq!(unreadable["patients.csv.gz"].verdict, Verdict::Expected);
    }

    #[test]
    fn of_what_nothing_is_known_that_is_said() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("tables");
        let mut manifest = tables(&folder);
        manifest.open[0].files.remove(TABLE);
        manifest.open[0].unpacked.clear();
        let part = found(&manifest, &folder);
        assert_eq!(part["labevents.csv.gz"].verdict, Verdict::NothingKnown);
        assert_eq!(part["cohort"].verdict, Verdict::InPart);

        manifest.open.clear();
        manifest.cohort = None;
        let unknown = found(&manifest, &folder);
        assert_eq!(
            unknown.keys().collect::<Vec<_>>(),
            ["cohort", "mortality", "readmission"]
        );
        for verified in unknown.values() {
            assert_eq!(verified.verdict, Verdict::NothingKnown, "{verified}");
        }
        assert!(unknown["cohort"].to_string().contains("nothing to compare with"));
        assert!(unknown["cohort"].details[0].contains("admissions; mortality"));
    }

    #[test]
    fn a_cohort_that_cannot_be_learnt_from_is_wrong() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("tables");
        let mut manifest = tables(&folder);
        manifest.open.clear();
        manifest.cohort = None;
        // Two rows of patients are left, as a download that was cut off leaves them.
        let path = folder.join("hosp/patients.csv.gz");
        let text = content(&path);
        let rows: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').take(3).collect();
        write_atomic(&path, &pack(&rows.concat(), Compression::fast())).unwrap();
        let verified = found(&manifest, &folder);
        assert!(
            verified.values().any(|part| part.verdict == Verdict::Wrong),
            "{verified:?}"
        );
    }
}
