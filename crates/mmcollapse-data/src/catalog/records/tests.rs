use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use mmcollapse_files::{sha256, write_atomic};

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
            .map(|path| (name(path).replace(".gz", ""), sha256(content(path))))
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
    let (got, expected) = (sha256(&cut), sha256(&text));
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
