//! A join that matches nothing is an error with the counts, or recovered where only one reading is possible.

use mmcollapse_data::ehr::{Cohort, Count, EhrError, EhrSource, MimicIv};

use crate::eicu_tables::{LAB, NOTE, TREATMENT};
use crate::mimic_tables::{Tables, csv_bytes, tables, write};
use crate::{counted, eicu, mimic, told};

/// Changes every cell of a column.
fn map(tables: &mut Tables, table: &'static str, column: &str, change: impl Fn(&str) -> String) {
    let rows = tables.get_mut(table).unwrap();
    let at = rows[0].iter().position(|name| name == column).unwrap();
    for row in &mut rows[1..] {
        row[at] = change(&row[at]);
    }
}

fn titles(cohort: &Cohort) -> Vec<(i32, String)> {
    let events = cohort.admissions[0].diagnoses.iter();
    let title = |code: u32| cohort.codes[code as usize].title.clone();
    events.map(|event| (event.minute, title(event.code))).collect()
}

/// Diagnoses of ICD-9: one whose zeros a spreadsheet takes, one that has none.
fn with_zeros(extra_title: Option<&str>) -> Tables {
    let mut tables = tables();
    let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<String>>();
    let titles = tables.get_mut("hosp/d_icd_diagnoses").unwrap();
    titles.push(row(&["0090", "9", "Gut"]));
    titles.push(row(&["4139", "9", "Heart"]));
    titles.extend(extra_title.map(|code| row(&[code, "9", "Other"])));
    let rows = tables.get_mut("hosp/diagnoses_icd").unwrap();
    rows.truncate(1);
    rows.push(row(&["1", "11", "1", "0090", "9"]));
    rows.push(row(&["1", "11", "2", "4139", "9"]));
    tables
}

/// As a spreadsheet writes codes again.
fn number(code: &str) -> String {
    code.parse::<u64>()
        .map_or_else(|_| code.to_owned(), |number| number.to_string())
}

#[test]
fn lost_zeros_are_restored_only_where_one_code_is_possible() {
    let whole = mimic(&with_zeros(None)).unwrap();
    assert_eq!(titles(&whole), [(0, "gut".to_owned()), (0, "heart".to_owned())]);
    let mut lost = with_zeros(None);
    map(&mut lost, "hosp/diagnoses_icd", "icd_code", number);
    let restored = mimic(&lost).unwrap();
    assert_eq!(
        (&restored.admissions, &restored.codes),
        (&whole.admissions, &whole.codes)
    );
    assert_eq!(counted(&restored, "hosp/diagnoses_icd", Count::ZerosRestored), 1);

    // `4139` may have been `04139` now, and `90` both `090` and `0090`.
    for other in ["04139", "090"] {
        let mut lost = with_zeros(Some(other));
        assert!(mimic(&lost).is_ok());
        map(&mut lost, "hosp/diagnoses_icd", "icd_code", number);
        let error = mimic(&lost).unwrap_err();
        assert!(matches!(error, EhrError::LostZeros { version: 9, .. }), "{error}");
        assert!(error.to_string().contains("hosp/diagnoses_icd.csv"), "{error}");
    }
    // The titles lost theirs.
    let mut lost = with_zeros(None);
    map(&mut lost, "hosp/d_icd_diagnoses", "icd_code", number);
    assert!(matches!(mimic(&lost), Err(EhrError::LostZeros { unclear: 1, .. })));
    let mut lost = with_zeros(Some("090"));
    map(&mut lost, "hosp/d_icd_diagnoses", "icd_code", number);
    assert!(matches!(mimic(&lost), Err(EhrError::Contradiction { .. })));
}

#[test]
fn dots_and_small_letters_of_codes_and_capitals_of_headings_do_not_matter() {
    let mut other = tables();
    map(&mut other, "hosp/diagnoses_icd", "icd_code", |code| {
        code.to_lowercase().replace('1', "1.")
    });
    for rows in other.values_mut() {
        for name in &mut rows[0] {
            *name = name.to_uppercase();
        }
    }
    assert_eq!(mimic(&other).unwrap(), mimic(&tables()).unwrap());
}

#[test]
fn labels_in_other_capitals_are_found() {
    let items = |change: fn(&str) -> String| {
        let mut tables = tables();
        let rows = tables.get_mut("hosp/d_labitems").unwrap();
        rows.push(["80", "Phosphate", "Blood"].map(str::to_owned).into());
        map(&mut tables, "hosp/d_labitems", "label", change);
        let cohort = mimic(&tables).unwrap();
        let ids: Vec<u32> = cohort.lab_items.iter().map(|item| item.id).collect();
        (ids, counted(&cohort, "hosp/d_labitems", Count::OtherCapitals))
    };
    assert_eq!(items(str::to_owned), (vec![40, 50], 0));
    assert_eq!(items(str::to_uppercase), (vec![40, 50], 3));
    assert_eq!(items(str::to_lowercase), (vec![40, 50], 3));
}

#[test]
fn the_demos_labels_choose_the_same_items_in_any_capitals() {
    let Some(demo) = std::env::var_os("MIMIC_IV_DEMO_DIR").filter(|value| !value.is_empty()) else {
        return;
    };
    let demo = std::path::PathBuf::from(demo);
    let bytes = std::fs::read(demo.join("hosp/d_labitems.csv.gz")).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(bytes.as_slice()), &mut text).unwrap();
    let ids = |text: &str| {
        // Of every item a value, of a stay that the other tables have.
        let mut tables = tables();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let mut items = vec![["itemid", "label"].map(str::to_owned).to_vec()];
        let mut values = vec![tables["hosp/labevents"][0].clone()];
        for row in reader.records().map(Result::unwrap) {
            items.push([&row[0], &row[1]].map(str::to_owned).to_vec());
            let cells = ["11", &row[0], "2150-01-01 10:30:00", "2150-01-01 11:00:00", "7", "", ""];
            values.push(cells.map(str::to_owned).to_vec());
        }
        tables.insert("hosp/d_labitems", items);
        tables.insert("hosp/labevents", values);
        let cohort = mimic(&tables).unwrap();
        cohort.lab_items.iter().map(|item| item.id).collect::<Vec<u32>>()
    };
    // The heading has small letters; it is found in capitals too.
    let as_written = ids(&text);
    assert!(as_written.len() > 100, "{}", as_written.len());
    assert_eq!(as_written, ids(&text.to_uppercase()));
    assert_eq!(as_written, ids(&text.to_lowercase()));
}

#[test]
fn a_modality_that_nobody_has_is_an_error_with_the_counts() {
    let mut without = tables();
    map(&mut without, "hosp/labevents", "hadm_id", |_| String::new());
    let error = mimic(&without).unwrap_err();
    assert!(matches!(error, EhrError::NobodyHas { modality: "labs", .. }), "{error}");
    assert!(
        told(&error).contains("hosp/labevents: 7 rows, 0 used; left out 6 without a stay's number"),
        "{}",
        told(&error)
    );
    let mut without = tables();
    map(&mut without, "hosp/diagnoses_icd", "icd_code", |code| {
        format!("X{code}")
    });
    let error = mimic(&without).unwrap_err();
    assert!(
        matches!(
            error,
            EhrError::NobodyHas {
                modality: "diagnoses",
                ..
            }
        ),
        "{error}"
    );
    assert!(told(&error).contains("4 of codes without a title"), "{}", told(&error));

    // Numbers of another release.
    for table in [
        "hosp/diagnoses_icd",
        "hosp/prescriptions",
        "hosp/labevents",
        "note/discharge",
    ] {
        let mut other = tables();
        map(&mut other, table, "hadm_id", |id| {
            if id.is_empty() { String::new() } else { format!("9{id}") }
        });
        let error = mimic(&other).unwrap_err();
        assert!(matches!(error, EhrError::NothingMatched { .. }), "{table}: {error}");
        assert!(error.to_string().contains(table));
    }
    let treatment = TREATMENT.replace("\n1,", "\n71,");
    assert!(matches!(
        eicu(&[("treatment", &treatment)]),
        Err(EhrError::NothingMatched { .. })
    ));
    let lab = LAB.replace("140", "").replace("4.5", "");
    assert!(matches!(
        eicu(&[("lab", &lab)]),
        Err(EhrError::NobodyHas { modality: "labs", .. })
    ));
    let note = NOTE.replace(",20,25,", ",2000,25,").replace(",10,15,", ",1000,2000,");
    assert!(matches!(
        eicu(&[("note", &note)]),
        Err(EhrError::NobodyHas { modality: "notes", .. })
    ));
}

#[test]
fn a_table_without_rows_is_an_error() {
    let names: Vec<&'static str> = tables().into_keys().filter(|name| *name != "hosp/admissions").collect();
    for name in names {
        let mut headed = tables();
        headed.get_mut(name).unwrap().truncate(1);
        let error = mimic(&headed).unwrap_err();
        assert!(matches!(error, EhrError::NoRows { .. }), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    for name in ["diagnosis", "treatment", "medication", "note", "lab"] {
        let folder = crate::eicu_tables::folder(&[]);
        let whole = std::fs::read_to_string(folder.path().join(format!("{name}.csv"))).unwrap();
        let heading = whole.lines().next().unwrap();
        let error = eicu(&[(name, heading)]).unwrap_err();
        assert!(matches!(error, EhrError::NoRows { .. }), "{name}: {error}");
    }
}

#[test]
fn every_row_is_counted_once() {
    let cohort = mimic(&tables()).unwrap();
    let lines = cohort.coverage.lines();
    assert_eq!(lines.len(), 6 + 10);
    assert_eq!(lines[4], "labs: 2 of 3 admissions (66.7 %)");
    let expected = [
        ("hosp/patients", 4, 4),
        ("hosp/admissions", 6, 3),
        ("hosp/d_icd_diagnoses", 2, 2),
        ("hosp/diagnoses_icd", 5, 2),
        ("hosp/d_icd_procedures", 1, 1),
        ("hosp/procedures_icd", 2, 1),
        ("hosp/prescriptions", 5, 2),
        ("hosp/d_labitems", 4, 3),
        ("hosp/labevents", 7, 3),
        ("note/discharge", 1, 1),
    ];
    let tables = cohort.coverage.tables.iter();
    let counted: Vec<_> = tables
        .map(|table| (table.table.as_str(), table.rows, table.used()))
        .collect();
    assert_eq!(counted, expected);
}

#[test]
fn a_column_that_is_there_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut twice = tables();
    for row in twice.get_mut("hosp/prescriptions").unwrap() {
        row.push(row[3].clone());
    }
    write(folder.path(), &twice, |_| false);
    let error = MimicIv::FULL.read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("every column once"), "{error}");
    assert!(!csv_bytes(&twice["hosp/prescriptions"]).is_empty());
}
