//! The demo of MIMIC-IV, where `MIMIC_IV_DEMO_DIR` names it: the counts of MUSE's rules, the cut, the cache.

use std::io::Write;
use std::path::PathBuf;

use mmcollapse_data::ehr::manifest::{CohortCounts, RecordsManifest};
use mmcollapse_data::ehr::{EhrSource, LabStatistics, MimicIv, Modality, SPLIT_SEED, Split, SplitBy, load};
use mmcollapse_data::manifest::BuiltIn;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("MIMIC_IV_DEMO_DIR").filter(|value| !value.is_empty());
    if folder.is_none() {
        // Written past the test harness, which keeps what a passing test prints to itself.
        let _ = writeln!(
            std::io::stderr(),
            "\n!!! SKIPPED: MIMIC-IV from the real tables: set MIMIC_IV_DEMO_DIR (`data list` says how)\n"
        );
    }
    folder.map(PathBuf::from)
}

#[test]
fn counts_modalities_cut_and_cache() {
    let Some(folder) = folder() else {
        return;
    };
    let cohort = MimicIv::DEMO.read(&folder).unwrap();
    let manifest = RecordsManifest::find("mimic-iv-demo").unwrap();
    assert_eq!(Some(CohortCounts::of(&cohort)), manifest.cohort);

    let with = |modality| cohort.admissions.iter().filter(|a| a.has(modality)).count();
    let counts = Modality::ALL.map(with);
    println!("{} patients, modalities {counts:?}", cohort.patients());
    println!("{} codes, {} lab items", cohort.codes.len(), cohort.lab_items.len());
    assert_eq!((counts[0], counts[5]), (201, 0));
    assert_eq!(cohort.lab_items.len(), 27);
    for admission in &cohort.admissions {
        assert!(admission.labs.is_sorted_by_key(|event| (event.minute, event.item)));
        let sequence = cohort.code_sequence(admission);
        assert!(sequence[admission.diagnoses.len()..].is_sorted_by_key(|event| event.minute));
    }

    let split = Split::new(&cohort.admissions, SplitBy::Patient, SPLIT_SEED);
    println!(
        "split {} {} {}",
        split.train.len(),
        split.validation.len(),
        split.test.len()
    );
    let training = split.train.iter().map(|&i| &cohort.admissions[i]);
    let statistics = LabStatistics::new(cohort.lab_items.len(), training);
    println!("{} numbers a row", statistics.width());
    for admission in &cohort.admissions {
        let rows = statistics.rows(&admission.labs, 50);
        assert!(rows.len() <= 50 * statistics.width() && rows.iter().all(|x| x.is_finite()));
    }

    let kept = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        assert_eq!(load(&MimicIv::DEMO, Some(&folder), Some(kept.path())).unwrap(), cohort);
    }
    assert!(kept.path().join("ehr/mimic-iv-demo.jsonl.gz").is_file());
}
