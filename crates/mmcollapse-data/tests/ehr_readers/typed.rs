//! Tables typed by another tool: `fixtures/yaib/make.py` writes one table in many ways.

use std::path::{Path, PathBuf};

use mmcollapse_data::ehr::{Cohort, Count, EhrError, Eicu};

use crate::{eicu_tables, fixtures, told};

/// The files of `fixtures/yaib` that begin with `kind`.
fn files(kind: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut files: Vec<PathBuf> = entries
        .filter(|path| name(path).starts_with(kind) && name(path).ends_with(".parquet"))
        .collect();
    files.sort();
    files
}

fn read(hourly: &Path) -> Result<Cohort, EhrError> {
    let folder = eicu_tables::folder(&[]);
    std::fs::remove_file(folder.path().join("lab.csv")).unwrap();
    Eicu::FULL.cohort(folder.path(), Some(hourly))
}

#[test]
fn units_and_widths_come_from_the_schema() {
    let files = files("right-");
    assert!(files.len() >= 22, "{files:?}");
    for file in files {
        let cohort = read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let items: Vec<&str> = cohort.lab_items.iter().map(|item| item.label.as_str()).collect();
        assert_eq!(items, ["hr", "k"], "{}", file.display());
        let labs = |stay: usize| -> Vec<(i32, u16, f32)> {
            let labs = cohort.admissions[stay].labs.iter();
            labs.map(|event| (event.minute, event.item, event.value)).collect()
        };
        // An hour's values are known at its end.
        let first = [(60, 0, 80.), (60, 1, 4.), (120, 1, 5.), (180, 0, 95.)];
        assert_eq!(labs(0), first, "{}", file.display());
        assert_eq!(
            labs(1),
            [(60, 0, 70.), (60, 1, 3.), (240, 0, 71.)],
            "{}",
            file.display()
        );
        let table = cohort.coverage.tables.last().unwrap();
        assert_eq!((table.rows, table.used()), (6, 5), "{}", file.display());
        assert_eq!(table.dropped[&Count::UnknownStay], 1);
    }
}

#[test]
fn what_cannot_be_read_so_is_refused_with_its_column() {
    let expected = [
        ("wrong-k-bool", "column `k`: expected integers or floats, got booleans"),
        (
            "wrong-k-text",
            "column `k`: expected integers or floats, got text or bytes",
        ),
        ("wrong-name", "column `4 of 4`: expected the name of an item"),
        ("wrong-no-row", "expected rows below the heading, got none"),
        (
            "wrong-no-time",
            "column `time`: expected durations, or integers or floats that count hours, got 4 columns",
        ),
        (
            "wrong-stay-float",
            "column `stay_id`: expected integers, the stays' numbers, got floats",
        ),
        (
            "wrong-stays",
            "expected rows of the stays that the other tables name, got none",
        ),
        (
            "wrong-time-points",
            "column `time`: expected durations, or integers or floats that count hours, got points",
        ),
        ("wrong-time-seconds", "got numbers of another unit: too large for hours"),
        ("wrong-time-text", "that count hours, got text or bytes"),
        ("wrong-twice", "row 7: expected every hour of a stay once"),
    ];
    let files = files("wrong-");
    assert_eq!(files.len(), expected.len());
    for (file, (name, expected)) in files.iter().zip(expected) {
        assert_eq!(file.file_stem().unwrap(), name);
        let error = read(file).unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
        // A table without its heading has records for names.
        assert!(!told(&error).contains("Canary"), "{error:?}");
    }
}
