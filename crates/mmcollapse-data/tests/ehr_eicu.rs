//! eICU: small written tables, and the demo where `EICU_DEMO_DIR` names it.

mod eicu_tables;

use std::io::Write;
use std::path::{Path, PathBuf};

use eicu_tables::{DIAGNOSIS, LAB, MEDICATION, PATIENT, TREATMENT, folder};
use mmcollapse_data::Kind;
use mmcollapse_data::ehr::manifest::{CohortCounts, RecordsManifest};
use mmcollapse_data::ehr::{CodeKind, EhrSource, Eicu, Modality, SPLIT_SEED, Split, SplitBy, Task, dataset};
use mmcollapse_data::manifest::BuiltIn;
use mmcollapse_files::write_atomic;

#[test]
fn cohort_labels_and_events() {
    let folder = folder(&[]);
    let cohort = Eicu::FULL.cohort(folder.path(), None).unwrap();
    let ids: Vec<u64> = cohort.admissions.iter().map(|a| a.id).collect();
    // Too old, too young, too short, too long are out; 720 minutes are in.
    assert_eq!(ids, [1, 2, 4, 8, 9]);
    let labels: Vec<_> = cohort
        .admissions
        .iter()
        .map(|a| (a.outcome.mortality, a.outcome.readmission))
        .collect();
    // Stay 2 begins 1200 minutes after admission, when stay 1 (from 100 to 1100) is over; stay 9 begins 21601 minutes after 8.
    assert_eq!(
        labels,
        [
            (Some(false), Some(true)),
            (Some(true), Some(false)),
            (None, Some(false)),
            (Some(false), Some(false)),
            (Some(false), Some(false)),
        ]
    );
    assert_eq!(cohort.admissions[2].demographics.as_ref().unwrap().gender, "unknown");

    let one = &cohort.admissions[0];
    let title = |code: u32| cohort.codes[code as usize].title.as_str();
    let titles = |events: &[mmcollapse_data::ehr::CodeEvent]| -> Vec<(i32, String)> {
        events.iter().map(|e| (e.minute, title(e.code).to_owned())).collect()
    };
    // The primary one first; what was entered after the stay is not there.
    assert_eq!(titles(&one.diagnoses), [(40, "c d".to_owned()), (30, "a b".to_owned())]);
    assert_eq!(titles(&one.procedures), [(10, "v".to_owned()), (20, "t u".to_owned())]);
    assert_eq!(titles(&one.medications), [(-60, "aspirin".to_owned())]);
    assert_eq!(
        cohort.codes[one.medications[0].code as usize].kind,
        CodeKind::Medication
    );
    assert_eq!(one.notes.as_deref(), Some("First. Second: yes"));
    let items: Vec<&str> = cohort.lab_items.iter().map(|item| item.label.as_str()).collect();
    assert_eq!(items, ["potassium", "sodium"]);
    let labs: Vec<_> = one.labs.iter().map(|e| (e.minute, e.item, e.value)).collect();
    assert_eq!(labs, [(10, 0, 4.5), (20, 1, 140.)]);
}

#[test]
fn what_is_wrong_is_named_without_what_it_says() {
    for (table, text, expected) in [
        ("patient", PATIENT.replace("002-1\n", "person\n"), "column `uniquepid`"),
        (
            "patient",
            PATIENT.replace("Expired", "Gone"),
            "line 3, column `hospitaldischargestatus`",
        ),
        ("patient", PATIENT.replace(",> 89,", ",old,"), "column `age`"),
        (
            "diagnosis",
            DIAGNOSIS.replace("diagnosisstring", "diagnosis"),
            "no column `diagnosisstring`",
        ),
        ("lab", LAB.replace("4.5", "high"), "line 3, column `labresult`"),
        ("treatment", TREATMENT.replace("1,10,v", "1,10"), "line 3"),
    ] {
        let folder = folder(&[(table, &text)]);
        let error = Eicu::FULL.cohort(folder.path(), None).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains(&format!("{table}.csv")),
            "{error}"
        );
        for secret in ["person", "Gone", "old", "high"] {
            assert!(!error.contains(&format!("`{secret}`")), "{error}");
        }
    }
    let folder = folder(&[]);
    std::fs::remove_file(folder.path().join("medication.csv")).unwrap();
    let error = Eicu::FULL.cohort(folder.path(), None).unwrap_err().to_string();
    assert!(error.contains("medication.csv.gz"), "{error}");
    let no_parquet = folder.path().join("note.csv");
    write_atomic(&folder.path().join("medication.csv"), MEDICATION.as_bytes()).unwrap();
    std::fs::remove_file(folder.path().join("lab.csv")).unwrap();
    let error = Eicu::FULL
        .cohort(folder.path(), Some(&no_parquet))
        .unwrap_err()
        .to_string();
    assert!(error.contains("not a readable parquet file"), "{error}");
}

fn demo() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let folders = set("EICU_DEMO_DIR").zip(set("YAIB_EICU_DEMO_DIR"));
    if folders.is_none() {
        // Written past the test harness, which keeps what a passing test prints to itself.
        let _ = writeln!(
            std::io::stderr(),
            "\n!!! SKIPPED: eICU from the real tables: set EICU_DEMO_DIR and YAIB_EICU_DEMO_DIR (`data list` says how)\n"
        );
    }
    folders.map(|(folder, _)| folder)
}

#[test]
fn the_demos_counts_and_its_data_sets() {
    let Some(folder) = demo() else { return };
    let cohort = Eicu::DEMO.read(Path::new(&folder)).unwrap();
    let manifest = RecordsManifest::find("eicu-demo").unwrap();
    assert_eq!(Some(CohortCounts::of(&cohort)), manifest.cohort);
    assert_eq!((cohort.patients(), cohort.lab_items.len()), (1555, 48));
    let counts = Modality::ALL.map(|modality| cohort.admissions.iter().filter(|a| a.has(modality)).count());
    println!("modalities {counts:?}, {} codes", cohort.codes.len());
    assert!(counts.iter().all(|&n| n > 1000 && n <= 1991), "{counts:?}");

    let split = Split::new(&cohort.admissions, SplitBy::Patient, SPLIT_SEED);
    for (task, labelled) in [(Task::Mortality, 1965), (Task::Readmission, 1991)] {
        let data = dataset("test", &cohort, task, &split, None).unwrap();
        let test = data.test.for_final_evaluation();
        assert_eq!(data.train.len() + data.validation.len() + test.len(), labelled);
        assert_eq!(data.modalities.len(), 6);
        for (m, modality) in data.modalities.iter().enumerate() {
            let numbers = data.train.inputs[m].numbers();
            let finite = numbers.iter().all(|x| x.is_finite());
            assert!(finite && !data.train.present.rows(m).is_empty(), "{}", modality.name);
            if let Kind::Codes { vocabulary } = modality.kind {
                let largest = numbers.iter().copied().fold(0_f32, f32::max);
                assert!(
                    vocabulary > 100 && largest as usize == vocabulary,
                    "{vocabulary} {largest}"
                );
            }
        }
    }
}
