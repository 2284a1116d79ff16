//! Planted health records: what the generator says is there is what the reader of MIMIC-IV finds, and what it says
//! predicts does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mmcollapse_data::DataError;
use mmcollapse_data::ehr::manifest::{CohortCounts, RecordsManifest};
use mmcollapse_data::ehr::plant::{MARKER, PlantConfig, Planted, plant};
use mmcollapse_data::ehr::{Admission, Cohort, EhrError, EhrSource, MimicIv, Modality, Task, find, load};
use mmcollapse_data::manifest::BuiltIn;
use sha2::{Digest, Sha256};

fn config(patients: u64) -> PlantConfig {
    PlantConfig {
        patients,
        ..RecordsManifest::find("ehr-planted").unwrap().planted.unwrap()
    }
}

fn planted(config: &PlantConfig) -> (Planted, Cohort) {
    let folder = tempfile::tempdir().unwrap();
    let planted = plant(config, folder.path()).unwrap();
    (planted, MimicIv::PLANTED.read(folder.path()).unwrap())
}

/// Digest of every file below `folder`, by path.
fn digests(folder: &Path) -> BTreeMap<String, String> {
    let mut folders = vec![folder.to_owned()];
    let mut found = BTreeMap::new();
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let digest = format!("{:x?}", Sha256::digest(fs::read(&path).unwrap()));
            found.insert(path.strip_prefix(folder).unwrap().display().to_string(), digest);
        }
    }
    found
}

/// Area under the ROC curve of a score for a label, where it is known, and its standard error where the score tells
/// nothing (Hanley and McNeil 1982); by counting pairs.
fn auroc(cohort: &Cohort, task: Task, having: Modality, score: impl Fn(&Admission) -> f64) -> (f64, f64) {
    let with = cohort.admissions.iter().filter(|a| a.has(having));
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    for admission in with {
        match admission.label(task) {
            Some(true) => yes.push(score(admission)),
            Some(false) => no.push(score(admission)),
            None => {}
        }
    }
    let won = |a: &f64| {
        no.iter()
            .map(|b| f64::from(u8::from(a > b)) + f64::from(u8::from(a == b)) / 2.)
            .sum::<f64>()
    };
    let (p, n) = (yes.len() as f64, no.len() as f64);
    let area = yes.iter().map(won).sum::<f64>() / (p * n);
    (area, ((p + n + 1.) / (12. * p * n)).sqrt())
}

/// How many features of a kind (`predictive` or `noisy`) a stay has of a modality; of laboratory values their mean, as
/// it is by its values that an item tells.
fn amount(cohort: &Cohort, modality: Modality, kind: &str, admission: &Admission) -> f64 {
    let events = match modality {
        Modality::Diagnoses => &admission.diagnoses,
        Modality::Procedures => &admission.procedures,
        Modality::Medications => &admission.medications,
        Modality::Labs => {
            let of_kind = |item: u16| cohort.lab_items[usize::from(item)].label.contains(kind);
            let values: Vec<f64> = admission
                .labs
                .iter()
                .filter(|event| of_kind(event.item))
                .map(|event| f64::from(event.value))
                .collect();
            // The mean of every item: a stay without a value says nothing.
            return if values.is_empty() {
                100.
            } else {
                values.iter().sum::<f64>() / values.len() as f64
            };
        }
        _ => return admission.notes.as_deref().unwrap_or_default().matches(kind).count() as f64,
    };
    let of_kind = |code: u32| cohort.codes[code as usize].title.contains(kind);
    events.iter().filter(|event| of_kind(event.code)).count() as f64
}

const WITH_EVENTS: [Modality; 5] = [
    Modality::Diagnoses,
    Modality::Procedures,
    Modality::Medications,
    Modality::Labs,
    Modality::Notes,
];

#[test]
fn the_reader_finds_what_was_planted_at_any_size() {
    for (patients, seed) in [(40, 1), (400, 2), (1600, 3)] {
        let (planted, cohort) = planted(&PlantConfig {
            seed,
            ..config(patients)
        });
        assert_eq!(planted.cohort, CohortCounts::of(&cohort), "{patients} patients");
        for modality in Modality::ALL {
            let with = cohort.admissions.iter().filter(|a| a.has(modality)).count();
            assert_eq!(planted.presence[modality.name()], with, "{}", modality.name());
        }
        // Stays that the rules leave out are there too, and labels that nobody can know.
        let n = patients as usize;
        assert!(
            planted.admissions > cohort.admissions.len() && cohort.admissions.len() > n,
            "{planted:?}"
        );
        assert!(planted.cohort.mortality.unknown > n / 10 && planted.cohort.readmission.unknown > n / 2);
    }
}

#[test]
fn the_default_is_what_its_manifest_says() {
    let manifest = RecordsManifest::find("ehr-planted").unwrap();
    let (planted, _) = planted(&manifest.planted.unwrap());
    assert_eq!(Some(planted.cohort), manifest.cohort);
}

#[test]
fn predictive_features_predict_and_noisy_ones_do_not() {
    let (_, cohort) = planted(&config(6000));
    for modality in WITH_EVENTS {
        for task in Task::ALL {
            let of = |kind| auroc(&cohort, task, modality, |a| amount(&cohort, modality, kind, a));
            let name = format!("{} {}", modality.name(), task.name());
            let (predictive, _) = of("predictive");
            assert!(predictive > 0.6, "{name}: {predictive}");
            let (noisy, error) = of("noisy");
            assert!(
                (noisy - 0.5).abs() < 3.5 * error,
                "{name}: {noisy}, standard error {error}"
            );
        }
    }
    let age = |a: &Admission| a.demographics.as_ref().map_or(0., |d| f64::from(d.age));
    let man = |a: &Admission| f64::from(u8::from(a.demographics.as_ref().is_some_and(|d| d.gender == "M")));
    let (predictive, _) = auroc(&cohort, Task::Readmission, Modality::Demographics, age);
    assert!(predictive > 0.6, "age: {predictive}");
    let (noisy, error) = auroc(&cohort, Task::Readmission, Modality::Demographics, man);
    assert!((noisy - 0.5).abs() < 3.5 * error, "gender: {noisy}");
}

#[test]
fn without_strength_nothing_predicts_and_no_other_modality_moves() {
    let with = config(4000);
    let mut without = with.clone();
    without.labs.strength = 0.;
    without.notes.strength = 0.;
    without.notes.noisy += 5;
    let ((_, full), (_, cohort)) = (planted(&with), planted(&without));
    for modality in [Modality::Labs, Modality::Notes] {
        let (area, error) = auroc(&cohort, Task::Readmission, modality, |a| {
            amount(&cohort, modality, "predictive", a)
        });
        assert!((area - 0.5).abs() < 3.5 * error, "{}: {area}", modality.name());
    }
    assert_eq!(full.codes, cohort.codes);
    for (a, b) in full.admissions.iter().zip(&cohort.admissions) {
        let of = |x: &Admission| {
            (
                x.id,
                x.outcome,
                x.diagnoses.clone(),
                x.procedures.clone(),
                x.medications.clone(),
            )
        };
        assert_eq!(of(a), of(b));
        assert_eq!((a.labs.len(), a.notes.is_some()), (b.labs.len(), b.notes.is_some()));
    }
}

#[test]
fn a_seed_gives_its_bytes_and_a_larger_size_goes_on_from_them() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, config: PlantConfig| {
        let folder = place.path().join(name);
        plant(&config, &folder).unwrap();
        digests(&folder)
    };
    let first = write("first", config(60));
    assert_eq!(first.len(), 11);
    assert_eq!(first, write("second", config(60)));
    let other = write("other", PlantConfig { seed: 2, ..config(60) });
    for (name, digest) in &first {
        // What codes mean does not depend on the seed.
        assert_eq!(other[name] == *digest, name.contains("d_"), "{name}");
    }
    write("larger", config(90));
    let read = |name: &str| MimicIv::PLANTED.read(&place.path().join(name)).unwrap().admissions;
    let (small, large) = (read("first"), read("larger"));
    let outcomes = |all: &[Admission]| {
        all.iter()
            .map(|a| (a.id, a.outcome, a.notes.clone()))
            .collect::<Vec<_>>()
    };
    assert!(large.len() > small.len());
    assert_eq!(outcomes(&large)[..small.len()], outcomes(&small));
}

#[test]
fn tables_are_kept_and_full_folders_and_wrong_values_are_refused() {
    if std::env::var_os("EHR_PLANTED_DIR").is_some() {
        return;
    }
    let kept = tempfile::tempdir().unwrap();
    let source = find("ehr-planted").unwrap();
    let cohort = load(source, None, Some(kept.path())).unwrap();
    let tables = mmcollapse_data::ehr::tables(source, Some(kept.path())).unwrap();
    assert!(tables.starts_with(kept.path().join("ehr")) && tables.join(MARKER).is_file());
    assert_eq!(Planted::of(&tables).unwrap().unwrap().cohort, CohortCounts::of(&cohort));
    let error = load(source, None, None).unwrap_err();
    assert!(
        matches!(&error, DataError::Ehr(e) if matches!(**e, EhrError::NoPlace)),
        "{error}"
    );

    let before = digests(&tables);
    assert!(matches!(plant(&config(10), &tables), Err(EhrError::NotEmpty { .. })));
    assert_eq!(digests(&tables), before);
    let wrong = plant(&config(0), &kept.path().join("none")).unwrap_err().to_string();
    assert!(wrong.contains("patients is 0"), "{wrong}");
    assert!(!kept.path().join("none").exists());
    assert_eq!(Planted::of(kept.path()).unwrap(), None);
}
