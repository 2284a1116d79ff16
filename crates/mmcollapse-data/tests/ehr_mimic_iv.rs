//! The reader of MIMIC-IV on tables that the test writes: rules, modalities, both forms, every mistake, the cache.

mod mimic_tables;

use std::fs;

use miette::Diagnostic;
use mimic_tables::{Tables, csv_bytes, gz, tables, write};
use mmcollapse_data::DataError;
use mmcollapse_data::ehr::{
    Admission, CodeEvent, Cohort, EhrError, EhrSource, LabStatistics, MimicIv, Modality, Task, load,
};
use mmcollapse_files::write_atomic;
use proptest::prelude::*;

fn read(tables: &Tables) -> Result<Cohort, EhrError> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), tables, |_| false);
    MimicIv::FULL.read(folder.path())
}

fn titles(cohort: &Cohort, events: &[CodeEvent]) -> Vec<(i32, String)> {
    let title = |event: &CodeEvent| (event.minute, cohort.codes[event.code as usize].title.clone());
    events.iter().map(title).collect()
}

fn admission(cohort: &Cohort, id: u64) -> &Admission {
    cohort.admissions.iter().find(|admission| admission.id == id).unwrap()
}

#[test]
fn rules_and_modalities() {
    let cohort = read(&tables()).unwrap();
    assert_eq!(cohort.admissions.iter().map(|a| a.id).collect::<Vec<_>>(), [11, 13, 31]);
    assert_eq!(cohort.patients(), 2);
    let labels = |id| Task::ALL.map(|task| admission(&cohort, id).label(task));
    // Ten days later to the hour: readmitted. Alive then, but nobody knows of day 90.
    assert_eq!(labels(11), [None, Some(true)]);
    assert_eq!(labels(13), [None, None]);
    assert_eq!(labels(31), [Some(true), None]);

    let first = admission(&cohort, 11);
    let demographics = first.demographics.as_ref().unwrap();
    assert_eq!((demographics.age, demographics.gender.as_str()), (50, "F"));
    assert_eq!(admission(&cohort, 13).demographics.as_ref().unwrap().age, 51);
    assert_eq!(first.minutes, 24 * 60);
    let expected = [
        (0, "new cold"),
        (0, "old cold"),
        (-60, "aspirin"),
        (840, "zinc"),
        (840, "cut"),
    ];
    let sequence = titles(&cohort, &cohort.code_sequence(first));
    assert_eq!(sequence, expected.map(|(minute, title)| (minute, title.to_owned())));
    assert_eq!(cohort.codes[first.diagnoses[0].code as usize].code, "icd10:A1");

    let labels: Vec<&str> = cohort.lab_items.iter().map(|item| item.label.as_str()).collect();
    assert_eq!(labels, ["pH, Urine", "Sodium"]);
    let labs: Vec<_> = first
        .labs
        .iter()
        .map(|e| (e.minute, e.item, e.value, e.abnormal))
        .collect();
    assert_eq!(labs, [(60, 0, 5.5, true), (60, 1, 140., false)]);
    assert_eq!(LabStatistics::new(2, &cohort.admissions).columns(), [1]);

    let last = admission(&cohort, 31);
    assert_eq!(last.notes.as_deref(), Some("Short, \"good\"."));
    assert_eq!(last.labs[0].minute, -60);
    let there = Modality::ALL.map(|modality| last.has(modality));
    assert_eq!(there, [true, false, false, false, true, true]);

    // Notes are another release: without them the modality is missing.
    let mut without = tables();
    without.remove("note/discharge");
    assert!(
        read(&without)
            .unwrap()
            .admissions
            .iter()
            .all(|a| !a.has(Modality::Notes))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn order_of_columns_and_compression_do_not_matter(keys in prop::collection::vec(any::<u64>(), 16), forms: u16) {
        let mut shuffled = tables();
        for rows in shuffled.values_mut() {
            let mut order: Vec<usize> = (0..rows[0].len()).collect();
            order.sort_by_key(|&i| keys[i]);
            for row in rows {
                *row = order.iter().map(|&i| row[i].clone()).collect();
            }
        }
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &shuffled, |i| forms >> i & 1 == 1);
        prop_assert_eq!(MimicIv::FULL.read(folder.path()).unwrap(), read(&tables()).unwrap());
    }
}

/// The error after `cell` of the named column in `line` (from 1, the heading) of `table` was replaced; it must say
/// where, and not what.
fn error_with(table: &'static str, line: usize, column: &str, cell: &str) -> String {
    let mut tables = tables();
    let rows = tables.get_mut(table).unwrap();
    let at = rows[0].iter().position(|name| name == column).unwrap();
    cell.clone_into(&mut rows[line - 1][at]);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &tables, |_| false);
    let error = MimicIv::FULL.read(folder.path()).unwrap_err();
    assert!(error.help().is_some());
    // A random name of a folder may well hold a cell as short as `1`.
    let text = error
        .to_string()
        .replace(&folder.path().display().to_string(), "FOLDER");
    assert!(text.contains(table) && text.contains(&format!("line {line}")), "{text}");
    assert!(
        cell.is_empty() || line == 1 || !text.contains(cell),
        "leaks the cell: {text}"
    );
    text
}

#[test]
fn mistakes_in_cells_say_where_and_what_but_not_the_content() {
    for (table, column) in [
        ("hosp/patients", "anchor_age"),
        ("hosp/patients", "dod"),
        ("hosp/admissions", "subject_id"),
        ("hosp/admissions", "admittime"),
        ("hosp/admissions", "dischtime"),
        ("hosp/admissions", "hospital_expire_flag"),
        ("hosp/diagnoses_icd", "seq_num"),
        ("hosp/d_icd_procedures", "icd_version"),
        ("hosp/procedures_icd", "chartdate"),
        ("hosp/prescriptions", "starttime"),
        ("hosp/d_labitems", "itemid"),
        ("hosp/labevents", "storetime"),
        ("hosp/labevents", "valuenum"),
        ("note/discharge", "hadm_id"),
    ] {
        let text = error_with(table, 2, column, "Mr Secret");
        let expected = format!("column `{column}`: expected ");
        assert!(
            text.contains(&expected) && text.ends_with("got text of 9 characters"),
            "{text}"
        );
    }
    assert!(error_with("hosp/admissions", 3, "admittime", "2150-02-30 10:00:00").contains("text of 19"));
    assert!(error_with("hosp/admissions", 3, "race", "").contains("an empty cell"));
    assert!(error_with("hosp/labevents", 2, "valuenum", "inf").contains("finite"));
    assert!(error_with("hosp/admissions", 3, "subject_id", "77").contains("a subject_id of hosp/patients"));
    assert!(error_with("hosp/admissions", 3, "hadm_id", "13").contains("every hadm_id once"));
    assert!(error_with("hosp/patients", 3, "subject_id", "1").contains("every subject_id once"));
    let text = error_with("hosp/labevents", 1, "valuenum", "value");
    assert!(text.contains("no column `valuenum`"), "{text}");
}

#[test]
fn broken_files_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &tables(), |_| true);
    let fails = || MimicIv::FULL.read(folder.path()).unwrap_err();
    let labs = folder.path().join("hosp/labevents.csv.gz");
    let whole = fs::read(&labs).unwrap();
    for cut in [0, 5, whole.len() / 2, whole.len() - 4] {
        write_atomic(&labs, &whole[..cut]).unwrap();
        let error = fails();
        let expected = matches!(error, EhrError::Broken { .. }) || cut == 0;
        assert!(
            expected && error.to_string().contains("labevents.csv.gz"),
            "{cut}: {error}"
        );
    }
    let mut flipped = whole.clone();
    flipped[whole.len() - 6] ^= 1;
    write_atomic(&labs, &flipped).unwrap();
    assert!(matches!(fails(), EhrError::Broken { .. }));

    let text = csv_bytes(&tables()["hosp/labevents"]);
    let mut short = text.clone();
    short.extend(b"11,50\n");
    write_atomic(&labs, &gz(&short)).unwrap();
    let error = fails().to_string();
    assert!(error.contains("line 9: expected 7 cells, got 2"), "{error}");
    let mut foreign = text;
    foreign.extend(b"11,50,,\xff\xfe,1,,\n");
    write_atomic(&labs, &gz(&foreign)).unwrap();
    let error = fails().to_string();
    assert!(error.contains("line 9") && error.contains("no UTF-8"), "{error}");

    fs::remove_file(&labs).unwrap();
    let error = fails();
    assert!(
        matches!(&error, EhrError::NoTable { table, .. } if table == "hosp/labevents"),
        "{error}"
    );

    let mut nobody = tables();
    nobody.get_mut("hosp/admissions").unwrap().truncate(1);
    assert!(matches!(read(&nobody), Err(EhrError::Empty { rows: 0, .. })));
}

#[test]
fn the_cache_is_private_and_never_believed_when_old_or_damaged() {
    let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(folder.path(), &tables(), |i| i % 2 == 0);
    let cohort = || load(&MimicIv::FULL, Some(folder.path()), Some(kept.path())).unwrap();
    let first = cohort();
    let path = kept.path().join("ehr/mimic-iv.jsonl.gz");
    let whole = fs::read(&path).unwrap();
    assert_eq!(cohort(), first);
    for damaged in [&whole[..whole.len() - 1], &whole[..20], b"", b"not gzip"] {
        write_atomic(&path, damaged).unwrap();
        assert_eq!(cohort(), first);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    for at in (10..whole.len()).step_by(whole.len() / 40 + 1) {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        write_atomic(&path, &flipped).unwrap();
        assert_eq!(cohort(), first, "byte {at}");
    }
    assert_eq!(fs::read(kept.path().join("ehr/.gitignore")).unwrap(), b"*\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(kept.path().join("ehr")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    // Another state of the sources.
    let mut changed = tables();
    changed.get_mut("hosp/admissions").unwrap().pop();
    changed.get_mut("hosp/admissions").unwrap().remove(1);
    write(folder.path(), &changed, |i| i % 2 == 0);
    assert_eq!(cohort().admissions.len(), 2);

    // A place that cannot be written costs the cache only.
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(load(&MimicIv::FULL, Some(folder.path()), Some(&file.path().join("below"))).is_ok());
    assert!(load(&MimicIv::FULL, Some(folder.path()), None).is_ok());
}

#[test]
fn without_a_folder_the_steps_are_told() {
    if std::env::var_os("MIMIC_IV_DIR").is_some() {
        return;
    }
    let error = load(&MimicIv::FULL, None, None).unwrap_err();
    assert!(matches!(error, DataError::Ehr(_)) && error.to_string().contains("MIMIC_IV_DIR is not set"));
    assert!(error.help().unwrap().to_string().contains("credentialed user"));
}
