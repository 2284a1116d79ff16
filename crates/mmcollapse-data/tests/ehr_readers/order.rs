//! No number depends on the order of rows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mmcollapse_data::ehr::manifest::RecordsManifest;
use mmcollapse_data::ehr::plant::{PlantConfig, plant};
use mmcollapse_data::ehr::{Cohort, EhrSource, Eicu, MimicIv, SPLIT_SEED, Split, SplitBy, Task, dataset};
use mmcollapse_data::manifest::BuiltIn;
use mmcollapse_files::write_atomic;
use mmcollapse_nn::random::Stream;

use crate::mimic_tables::{csv_bytes, gz};

/// The files below `folder`.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, here): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    here.into_iter()
        .chain(folders.iter().flat_map(|folder| files(folder)))
        .collect()
}

/// The tables of `folder` called `names`, the rows of each in another order.
fn shuffled(folder: &Path, names: &[String]) -> tempfile::TempDir {
    let other = tempfile::tempdir().unwrap();
    for name in names {
        let path = folder.join(format!("{name}.csv.gz"));
        if !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let text = flate2::read::MultiGzDecoder::new(bytes.as_slice());
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
        let mut rows: Vec<Vec<String>> = reader
            .records()
            .map(|row| row.unwrap().iter().map(String::from).collect())
            .collect();
        let order = Stream::new(7, name).permutation(rows.len() - 1);
        let heading = rows.remove(0);
        let mut turned = vec![heading];
        turned.extend(order.into_iter().map(|i| rows[i].clone()));
        write_atomic(&other.path().join(format!("{name}.csv.gz")), &gz(&csv_bytes(&turned))).unwrap();
    }
    other
}

/// The digests of both data sets of seed 0.
fn digests(cohort: &Cohort) -> Vec<String> {
    let split = Split::new(&cohort.admissions, SplitBy::Patient, SPLIT_SEED);
    let of = |task| dataset("test", cohort, task, &split, None).unwrap().digest;
    Task::ALL.map(of).into()
}

/// Every table that a manifest names.
fn tables(name: &str) -> Vec<String> {
    let manifest = RecordsManifest::find(name).unwrap();
    manifest.tables.into_iter().chain(manifest.optional).collect()
}

#[test]
fn planted_tables_in_another_order_give_the_same_digests() {
    let folder = tempfile::tempdir().unwrap();
    let config = RecordsManifest::find("ehr-planted").unwrap().planted.unwrap();
    plant(
        &PlantConfig {
            patients: 300,
            ..config
        },
        folder.path(),
    )
    .unwrap();
    let names = tables("ehr-planted");
    // All tables are shuffled, and there is no other.
    assert_eq!(files(folder.path()).len(), names.len() + 1);
    let (one, other) = (
        MimicIv::PLANTED.read(folder.path()).unwrap(),
        MimicIv::PLANTED.read(shuffled(folder.path(), &names).path()).unwrap(),
    );
    assert!(one == other, "the cohorts differ");
    assert_eq!(digests(&one), digests(&other));
}

#[test]
fn the_demos_in_another_order_give_the_same_digests() {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = set("MIMIC_IV_DEMO_DIR") {
        let names = tables("mimic-iv-demo");
        let one = MimicIv::DEMO.read(&folder).unwrap();
        let other = MimicIv::DEMO.read(shuffled(&folder, &names).path()).unwrap();
        assert!(one == other, "the cohorts differ");
        assert_eq!(digests(&one), digests(&other));
    }
    if let Some(folder) = set("EICU_DEMO_DIR") {
        let hourly = set("YAIB_EICU_DEMO_DIR").map(|folder| folder.join("dyn.parquet"));
        let one = Eicu::DEMO.cohort(&folder, hourly.as_deref()).unwrap();
        let turned = shuffled(&folder, &tables("eicu-demo"));
        let other = Eicu::DEMO.cohort(turned.path(), hourly.as_deref()).unwrap();
        assert!(one == other, "the cohorts differ");
        assert_eq!(digests(&one), digests(&other));
    }
}
