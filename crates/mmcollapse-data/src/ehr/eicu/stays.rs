//! Which stays are in the cohort, and their labels.
//!
//! MUSE's paper says little of its rules for eICU. These are plain ones that give the counts known of the demo under them
//! (1991 stays, 135 deaths, 241 readmissions): at least 12 hours and at most 10 days (14400 minutes) in the unit, 18 to 89
//! years (`> 89` is none of them), death in hospital, and a next stay of the same hospital stay that begins at most 15 days
//! (21600 minutes, as in MIMIC-IV, but not rounded down) after this one. Who died in the unit is in: unlike in MIMIC-IV the
//! death that is predicted is this one. A stay without a next one counts as none: other hospital stays of a patient have no
//! order in time.

use std::collections::HashSet;
use std::path::Path;

use super::super::cohort::{Admission, Demographics, Outcome};
use super::super::coverage::{Count, TableCoverage};
use super::super::error::EhrError;
use super::super::places::{self, Places};
use super::super::table::{Column, Form, Table, require};

/// Shortest and longest stay in the unit, in minutes.
const LENGTHS: std::ops::RangeInclusive<i64> = 720..=14400;
/// Minutes after discharge within which the next stay counts.
const READMISSION: i64 = 15 * 24 * 60;
/// Ages at admission, in years.
const AGES: std::ops::RangeInclusive<u32> = 18..=89;

/// The stays of the cohort while their events are being gathered.
pub(super) struct Stays {
    /// Sorted by patient, hospital stay and visit.
    pub(super) admissions: Vec<Admission>,
    pub(super) places: Places,
    /// What of each table was used, in the order of reading.
    pub(super) tables: Vec<TableCoverage>,
}

impl Stays {
    /// Place of the stay of the row at which `table` stands; a row of no stay of the cohort is counted.
    pub(super) fn place(&self, table: &mut Table, id: u64) -> Option<usize> {
        self.places.of_row(table, Some(id))
    }

    /// The minute of an offset of the stay at `place`. `None`, and counted, after the stay, as what was not known then is no
    /// input, and before birth.
    pub(super) fn minute(&self, table: &mut Table, place: usize, offset: i64) -> Option<i32> {
        places::minute_of_row(table, &self.admissions[place], Some(offset))
    }
}

/// A row of `patient`, before any rule.
struct Stay {
    subject: u64,
    id: u64,
    /// Number of the stay in hospital that it is part of.
    hospital: u64,
    visit: u32,
    /// Minutes from admission to the hospital to admission to the unit.
    begin: i64,
    minutes: i64,
    /// `None` for `> 89` and where it is not known.
    age: Option<u32>,
    gender: String,
    ethnicity: String,
    died: Option<bool>,
}

/// The cohort without events.
pub(super) fn read(folder: &Path) -> Result<Stays, EhrError> {
    let path = require(folder, "patient")?;
    let (mut stays, mut coverage) = all(&path)?;
    stays.sort_by_key(|stay| (stay.subject, stay.hospital, stay.visit, stay.id));
    let mut cohort = Stays {
        admissions: Vec::new(),
        places: Places::default(),
        tables: Vec::new(),
    };
    for (i, stay) in stays.iter().enumerate() {
        let age = stay.age.filter(|age| AGES.contains(age));
        let why = match age {
            _ if stay.minutes < 0 => Some(Count::NegativeStay),
            _ if !LENGTHS.contains(&stay.minutes) => Some(Count::OtherLength),
            None => Some(Count::OtherAge),
            Some(_) => None,
        };
        let (None, Some(age)) = (why, age) else {
            coverage.drop(why.unwrap_or(Count::OtherAge), 1);
            cohort.places.insert(stay.id, None);
            continue;
        };
        let later = stays[i + 1..]
            .iter()
            .take_while(|other| (other.subject, other.hospital) == (stay.subject, stay.hospital));
        let later = later.filter(|other| other.visit > stay.visit);
        let end = stay.begin + stay.minutes;
        let (overlapping, after): (Vec<&Stay>, Vec<&Stay>) = later.partition(|other| other.begin < end);
        coverage.note(Count::Overlapping, overlapping.len() as u64);
        let next = after.into_iter().min_by_key(|other| (other.visit, other.begin));
        cohort.places.insert(stay.id, Some(cohort.admissions.len()));
        cohort.admissions.push(Admission {
            subject: stay.subject,
            id: stay.id,
            minutes: stay.minutes,
            outcome: Outcome {
                mortality: stay.died,
                readmission: Some(next.is_some_and(|next| next.begin - end <= READMISSION)),
            },
            demographics: Some(Demographics {
                age,
                gender: stay.gender.clone(),
                ethnicity: stay.ethnicity.clone(),
            }),
            diagnoses: Vec::new(),
            procedures: Vec::new(),
            medications: Vec::new(),
            labs: Vec::new(),
            notes: None,
        });
    }
    if cohort.admissions.is_empty() {
        return Err(EhrError::Empty {
            path,
            rows: stays.len(),
        });
    }
    cohort.tables.push(coverage);
    Ok(cohort)
}

fn all(path: &Path) -> Result<(Vec<Stay>, TableCoverage), EhrError> {
    let columns = [
        "patientunitstayid",
        "patienthealthsystemstayid",
        "uniquepid",
        "unitvisitnumber",
        "hospitaladmitoffset",
        "unitdischargeoffset",
        "age",
        "gender",
        "ethnicity",
        "hospitaldischargestatus",
    ];
    let (
        mut table,
        [
            id,
            hospital,
            patient,
            visit,
            begin,
            minutes,
            age,
            gender,
            ethnicity,
            status,
        ],
    ) = Table::open(path, Form::plain("patient"), columns)?;
    let mut stays = Vec::new();
    let mut ids = HashSet::new();
    while table.next()? {
        if !ids.insert(table.id(id)?) {
            return Err(table.contradiction("every patientunitstayid once", "one that stands further up too"));
        }
        let word = |column: Column| Ok(table.optional_text(column)?.unwrap_or("unknown").to_owned());
        stays.push(Stay {
            subject: table.required(patient, "a patient's number such as 002-1039", subject)?,
            id: table.id(id)?,
            hospital: table.id(hospital)?,
            visit: table.whole(visit)?,
            begin: -offset(&table, begin)?,
            minutes: offset(&table, minutes)?,
            age: table.optional(age, "a whole number or `> 89`", years)?.flatten(),
            gender: word(gender)?,
            ethnicity: word(ethnicity)?,
            died: table.optional(status, "Alive, Expired or nothing", |text| {
                let is = |word: &str| text.eq_ignore_ascii_case(word);
                (is("Alive") || is("Expired")).then(|| is("Expired"))
            })?,
        });
    }
    // Without a row the cohort is empty, which has an error of its own.
    Ok((stays, table.finish(true)?))
}

/// The cell as minutes since admission to the unit.
pub(super) fn offset(table: &Table, column: Column) -> Result<i64, EhrError> {
    table.required(column, "a whole number of minutes", |text| text.parse().ok())
}

/// `002-1039`: hospital system and patient, as one number.
fn subject(text: &str) -> Option<u64> {
    let (system, patient) = text.split_once('-')?;
    let (system, patient): (u64, u64) = (system.parse().ok()?, patient.parse().ok()?);
    (system < 1_000_000 && patient < 1_000_000_000).then_some(system * 1_000_000_000 + patient)
}

/// The outer `None` is no age at all, the inner one an age that is not told.
#[expect(clippy::option_option, reason = "what a cell parser returns, of an optional number")]
fn years(text: &str) -> Option<Option<u32>> {
    if text == "> 89" {
        return Some(None);
    }
    text.parse().ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patients_and_ages_are_read() {
        assert_eq!(subject("002-1039"), Some(2_000_001_039));
        assert_eq!(
            (subject("0021039"), subject("a-b"), subject("1-99999999999")),
            (None, None, None)
        );
        assert_eq!(
            (years("> 89"), years("87"), years("old")),
            (Some(None), Some(Some(87)), None)
        );
    }
}
