//! Which admissions are in the cohort, and their labels.
//!
//! The rules are those of MUSE's code. Where the paper's words leave room, this is what it does, and what gives its
//! counts: a stay of "at most 10 days" is one of at most 14400 minutes (whole days rounded down would let in stays of
//! 10 days and some hours: 210 admissions of the demo instead of 201); the age is the patient's at their anchor year,
//! moved by the years from there to the admission; days after discharge are whole days rounded down, so a death on the
//! day of discharge counts as day -1; the next admission is the patient's next one of any length or outcome.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::super::cohort::{Admission, Demographics, Outcome};
use super::super::error::EhrError;
use super::super::table::{Table, require};
use super::super::time::{self, DAY, MINUTE};

/// Longest stay, in seconds.
const LONGEST: i64 = 10 * DAY;
/// Ages at admission, in years.
const AGES: std::ops::RangeInclusive<i64> = 18..=89;
/// Days after discharge within which a death counts.
const MORTALITY_DAYS: i64 = 90;
/// Days after discharge within which the next admission counts.
const READMISSION_DAYS: i64 = 15;

/// The admissions of the cohort while their events are being gathered.
pub(super) struct Stays {
    /// Sorted by patient, time and number.
    pub(super) admissions: Vec<Admission>,
    /// Seconds of each admission.
    starts: Vec<i64>,
    /// Place of each admission, by number.
    places: HashMap<u64, usize>,
}

impl Stays {
    /// Place of the admission `id`, if it is in the cohort.
    pub(super) fn place(&self, id: u64) -> Option<usize> {
        self.places.get(&id).copied()
    }

    /// Minute of the stay at `place` that `seconds` falls into, towards admission; `None` after discharge, as what was
    /// not known then is no input. What precedes admission (tests in the emergency department) is.
    pub(super) fn minute(&self, place: usize, seconds: i64) -> Option<i32> {
        let minute = (seconds - self.starts[place]) / MINUTE;
        let known = minute <= self.admissions[place].minutes;
        i32::try_from(minute).ok().filter(|_| known)
    }
}

/// A patient of `patients`.
struct Patient {
    gender: String,
    /// Year in which the patient would be 0 years old.
    born: i64,
    died: Option<i64>,
}

/// An admission of `admissions`, before any rule.
struct Stay {
    subject: u64,
    id: u64,
    admitted: i64,
    year: i64,
    discharged: i64,
    died_in_hospital: bool,
    ethnicity: String,
}

/// The cohort without events.
pub(super) fn read(folder: &Path) -> Result<Stays, EhrError> {
    let patients = patients(folder)?;
    let path = require(folder, "hosp/admissions")?;
    let mut stays = all(&path, &patients)?;
    stays.sort_by_key(|stay| (stay.subject, stay.admitted, stay.id));

    let mut cohort = Stays {
        admissions: Vec::new(),
        starts: Vec::new(),
        places: HashMap::new(),
    };
    for (i, stay) in stays.iter().enumerate() {
        let Some(patient) = patients.get(&stay.subject) else {
            continue;
        };
        let age = stay.year - patient.born;
        let length = stay.discharged - stay.admitted;
        if length > LONGEST || !AGES.contains(&age) || stay.died_in_hospital {
            continue;
        }
        let next = stays.get(i + 1).filter(|next| next.subject == stay.subject);
        cohort.places.insert(stay.id, cohort.admissions.len());
        cohort.starts.push(stay.admitted);
        cohort.admissions.push(Admission {
            subject: stay.subject,
            id: stay.id,
            minutes: length.div_euclid(MINUTE),
            outcome: outcome(stay.discharged, patient.died, next.map(|next| next.admitted)),
            demographics: Some(Demographics {
                age: age as u32,
                gender: patient.gender.clone(),
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
    Ok(cohort)
}

/// The labels of a stay.
///
/// Mortality: with a date of death, whether it falls within 90 days. Without one, the patient was alive if they came
/// back after 90 days; else nobody knows, as deaths elsewhere are recorded for some patients only. Readmission: with a
/// next admission, whether it falls within 15 days; else nobody knows, as it may have been to another hospital.
fn outcome(discharged: i64, died: Option<i64>, next: Option<i64>) -> Outcome {
    let days_to = |time: i64| (time - discharged).div_euclid(DAY);
    let next = next.map(days_to);
    let mortality = match died.map(days_to) {
        Some(days) => Some(days <= MORTALITY_DAYS),
        None if next.is_some_and(|days| days > MORTALITY_DAYS) => Some(false),
        None => None,
    };
    Outcome {
        mortality,
        readmission: next.map(|days| days <= READMISSION_DAYS),
    }
}

fn patients(folder: &Path) -> Result<HashMap<u64, Patient>, EhrError> {
    let path = require(folder, "hosp/patients")?;
    let (mut table, [subject, gender, age, year, died]) =
        Table::open(&path, ["subject_id", "gender", "anchor_age", "anchor_year", "dod"])?;
    let mut patients = HashMap::new();
    while table.next()? {
        let patient = Patient {
            gender: table.text(gender)?.to_owned(),
            born: i64::from(table.whole(year)?) - i64::from(table.whole(age)?),
            died: table.optional_time(died)?,
        };
        if patients.insert(table.id(subject)?, patient).is_some() {
            return Err(table.contradiction("every subject_id once", "one that stands further up too"));
        }
    }
    Ok(patients)
}

fn all(path: &Path, patients: &HashMap<u64, Patient>) -> Result<Vec<Stay>, EhrError> {
    let columns = [
        "subject_id",
        "hadm_id",
        "admittime",
        "dischtime",
        "hospital_expire_flag",
        "race",
    ];
    let (mut table, [subject, id, admitted, discharged, died, race]) = Table::open(path, columns)?;
    let mut stays = Vec::new();
    let mut ids = HashSet::new();
    while table.next()? {
        let stay = Stay {
            subject: table.id(subject)?,
            id: table.id(id)?,
            admitted: table.time(admitted)?,
            year: table.required(admitted, "a time such as 2180-05-06 22:23:00", time::year)?,
            discharged: table.time(discharged)?,
            died_in_hospital: table.required(died, "0 or 1", |text| match text {
                "0" => Some(false),
                "1" => Some(true),
                _ => None,
            })?,
            ethnicity: table.text(race)?.to_owned(),
        };
        if !patients.contains_key(&stay.subject) {
            return Err(table.contradiction("a subject_id of hosp/patients", "one that is not there"));
        }
        if !ids.insert(stay.id) {
            return Err(table.contradiction("every hadm_id once", "one that stands further up too"));
        }
        stays.push(stay);
    }
    Ok(stays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unknown_only_where_nobody_can_know() {
        let discharged = 12 * 60 * MINUTE;
        let of = |died: Option<i64>, next: Option<i64>| {
            let outcome = outcome(discharged, died.map(|d| d * DAY), next.map(|d| discharged + d));
            (outcome.mortality, outcome.readmission)
        };
        assert_eq!(of(None, None), (None, None));
        // The date of death is a midnight: that of day 91 is 90 and a half days after noon.
        assert_eq!(of(Some(0), None), (Some(true), None));
        assert_eq!(of(Some(91), None), (Some(true), None));
        assert_eq!(of(Some(92), None), (Some(false), None));
        assert_eq!(of(None, Some(16 * DAY - 1)), (None, Some(true)));
        assert_eq!(of(None, Some(16 * DAY)), (None, Some(false)));
        assert_eq!(of(None, Some(91 * DAY - 1)), (None, Some(false)));
        assert_eq!(of(None, Some(91 * DAY)), (Some(false), Some(false)));
        assert_eq!(of(Some(50), Some(10 * DAY)), (Some(true), Some(true)));
        assert_eq!(of(None, Some(-DAY)), (None, Some(true)));
    }
}
