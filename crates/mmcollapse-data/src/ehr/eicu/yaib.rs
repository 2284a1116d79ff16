//! Hourly laboratory values and vital signs as YAIB (van de Water et al., ICLR 2024) keeps them of eICU's demo, for folders
//! without the table of laboratory values.
//!
//! Other tools write the same table with other types. What a time counts and how wide a number is stand in the file's schema;
//! a column that cannot be read so is an error, as what is passed over there is missing from every stay.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::super::cohort::LabItem;
use super::super::coverage::{Count, TableCoverage};
use super::super::error::EhrError;
use super::super::lab_ranges::{LabRanges, Limits};
use super::super::places;
use super::super::results::Measurement;
use super::events::{Named, TOO_MANY};
use super::stays::Stays;
use crate::manifest::folder_in;
use crate::parquet_columns::{Column, Columns, Kind, guarded};

/// Names the folder that holds `dyn.parquet`.
const VARIABLE: &str = "YAIB_EICU_DEMO_DIR";
/// Most hours that a plain number of the time may say. A stay of the cohort has 240; seconds or minutes of any are more.
const MOST_HOURS: f64 = 1000.;
const HOUR: i64 = 60;

/// The table in the folder that the variable names, else in `yaib` below the folder of the other tables, where downloads
/// lie.
pub(super) fn table(folder: &Path) -> Option<PathBuf> {
    let folder = folder_in(VARIABLE).unwrap_or_else(|| folder.join("yaib"));
    Some(folder.join("dyn.parquet")).filter(|path| path.is_file())
}

/// Puts the values of `path` into `stays`; the columns that hold any. A row is a stay and an hour;
/// an hour's values are known at its end.
pub(super) fn labs(path: &Path, stays: &mut Stays, ranges: &LabRanges) -> Result<Vec<LabItem>, EhrError> {
    let mut coverage = TableCoverage::new("dyn.parquet");
    let broken = |reason: String| broken(path, &reason);
    let results = guarded(|| read(path, stays, ranges, &mut coverage), broken)?;
    if coverage.rows == 0 {
        return Err(EhrError::NoRows { path: path.to_owned() });
    }
    let unknown = coverage.dropped.get(&Count::UnknownStay).copied();
    if unknown == Some(coverage.rows) {
        return Err(EhrError::NothingMatched {
            path: path.to_owned(),
            counts: coverage.to_string(),
        });
    }
    let (items, _) = results.put(stays).ok_or_else(|| broken(TOO_MANY.to_owned()))?;
    stays.tables.push(coverage);
    Ok(items)
}

/// An item's column.
struct Item<'a> {
    column: &'a Column,
    limits: Limits<'a>,
}

fn read(path: &Path, stays: &Stays, ranges: &LabRanges, coverage: &mut TableCoverage) -> Result<Named, EhrError> {
    let broken = |reason: String| broken(path, &reason);
    let file = Columns::open(path).map_err(broken)?;
    let named = |name: &str, expected| {
        let found = file.find(name);
        found.ok_or_else(|| {
            typed(
                path,
                name,
                expected,
                format!("{} columns without it", file.columns.len()),
            )
        })
    };
    let (id, time) = (named("stay_id", ID)?, named("time", TIME)?);
    if id.kind != Kind::Whole {
        return Err(typed(path, "stay_id", ID, id.kind.name().to_owned()));
    }
    if !matches!(time.kind, Kind::Duration(_) | Kind::Whole | Kind::Float) {
        return Err(typed(path, "time", TIME, time.kind.name().to_owned()));
    }
    let items = items(path, &file, ranges)?;

    let mut results = Named::default();
    let mut seen = HashSet::new();
    for (group, n) in file.groups().map_err(broken)?.into_iter().enumerate() {
        let ids = file.wholes(group, id).map_err(broken)?;
        let minutes = minutes(path, &file, group, time)?;
        let mut rows = Vec::with_capacity(n);
        for (row, (id, minute)) in ids.into_iter().zip(minutes).enumerate() {
            coverage.rows += 1;
            let number = coverage.rows;
            let (Some(id), Some(minute)) = (id, minute) else {
                return Err(broken(format!(
                    "row {number}: expected a `stay_id` and a `time`, got none"
                )));
            };
            let known = stays.places.find(u64::try_from(id).ok()).and_then(|place| {
                let end = minute.saturating_add(HOUR);
                places::minute(&stays.admissions[place], Some(end)).map(|minute| (place, minute))
            });
            match known {
                Ok((place, minute)) if seen.insert((place, minute)) => rows.push((row, place, minute)),
                Ok(_) => {
                    let reason =
                        format!("row {number}: expected every hour of a stay once, got one that stands further up too");
                    return Err(broken(reason));
                }
                Err(why) => coverage.drop(why, 1),
            }
        }
        for item in &items {
            let values = file.numbers(group, item.column).map_err(broken)?;
            for &(row, place, minute) in &rows {
                let value = values.get(row).copied().flatten().filter(|value| value.is_finite());
                let Some(value) = value else { continue };
                match item.limits.check(value as f32, None) {
                    Ok(()) => results.add(
                        place,
                        &item.column.name,
                        Measurement {
                            drawn: minute,
                            minute,
                            value: value as f32,
                            ..Measurement::default()
                        },
                    ),
                    Err(why) => coverage.note(why, 1),
                }
            }
        }
    }
    Ok(results)
}

const ID: &str = "integers, the stays' numbers";
const TIME: &str = "durations, or integers or floats that count hours";

/// The columns of known items; those that pandas keeps its row numbers in are none.
fn items<'a>(path: &Path, file: &'a Columns, ranges: &'a LabRanges) -> Result<Vec<Item<'a>>, EhrError> {
    let mut items = Vec::new();
    for column in &file.columns {
        if ["stay_id", "time"].contains(&column.name.as_str()) || column.name.starts_with("__index_level_") {
            continue;
        }
        let place = format!("{} of {}", column.place + 1, file.columns.len());
        let Some(limits) = ranges.hourly(&column.name) else {
            let got = "a name that is none of them (not printed: where a heading is missing, a record stands there)";
            return Err(typed(path, &place, HOURLY, got.to_owned()));
        };
        match column.kind {
            Kind::Float | Kind::Whole => items.push(Item { column, limits }),
            Kind::Nothing => {}
            kind => return Err(typed(path, &column.name, "integers or floats", kind.name().to_owned())),
        }
    }
    Ok(items)
}

const HOURLY: &str = "the name of an item that data/lab-ranges.yaml knows of YAIB";

/// The times of a row group in minutes after admission.
fn minutes(path: &Path, file: &Columns, group: usize, time: &Column) -> Result<Vec<Option<i64>>, EhrError> {
    let broken = |reason: String| broken(path, &reason);
    if let Kind::Duration(unit) = time.kind {
        let times = file.wholes(group, time).map_err(broken)?;
        let minute = |time: i64| time.div_euclid(unit.per_second() * 60);
        return Ok(times.into_iter().map(|time| time.map(minute)).collect());
    }
    let hours = file.numbers(group, time).map_err(broken)?;
    if hours
        .iter()
        .flatten()
        .any(|hours| hours.is_nan() || hours.abs() > MOST_HOURS)
    {
        return Err(typed(
            path,
            "time",
            TIME,
            "numbers of another unit: too large for hours".to_owned(),
        ));
    }
    let minute = |hours: f64| (hours * HOUR as f64).floor() as i64;
    Ok(hours.into_iter().map(|hours| hours.map(minute)).collect())
}

fn typed(path: &Path, column: &str, expected: &'static str, got: String) -> EhrError {
    EhrError::Typed {
        path: path.to_owned(),
        column: column.to_owned(),
        expected,
        got,
    }
}

fn broken(path: &Path, reason: &str) -> EhrError {
    EhrError::Broken {
        path: path.to_owned(),
        line: 0,
        reason: reason.to_owned(),
    }
}
