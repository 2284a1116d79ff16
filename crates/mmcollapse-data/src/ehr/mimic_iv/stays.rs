//! Which admissions are in the cohort, and their labels.
//!
//! The rules are those of MUSE's code. Where the paper's words leave room, this is what it does, and what gives its
//! counts: a stay of "at most 10 days" is one of at most 14400 minutes (whole days rounded down would let in stays of
//! 10 days and some hours: 210 admissions of the demo instead of 201); the age is the patient's at their anchor year,
//! moved by the years from there to the admission; days after discharge are whole days rounded down, so a death on the
//! day of discharge counts as day -1; the next admission is the patient's next one of any length or outcome.
//!
//! What contradicts itself is unknown, and counted: a date of death before a day on which the patient left the hospital alive
//! is none, a stay whose discharge precedes its admission is left out, and an admission that begins before the discharge is no
//! readmission, but the next one that begins after it may be.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::super::cohort::{Admission, Demographics, Outcome};
use super::super::coverage::{Count, TableCoverage};
use super::super::error::EhrError;
use super::super::places::{self, Places};
use super::super::table::{Form, Table, require};
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
    places: Places,
    /// What of each table was used, in the order of reading.
    pub(super) tables: Vec<TableCoverage>,
}

impl Stays {
    /// Place of the admission `id` of the row at which `table` stands; a row of no admission of the cohort is counted.
    pub(super) fn place(&self, table: &mut Table, id: Option<u64>) -> Option<usize> {
        self.places.of_row(table, id)
    }

    /// Minute of the stay at `place` that `seconds` falls into, towards admission. `None`, and counted, where there is no
    /// time, after discharge, as what was not known then is no input, and before birth. What precedes admission (tests in
    /// the emergency department) is input.
    pub(super) fn minute(&self, table: &mut Table, place: usize, seconds: Option<i64>) -> Option<i32> {
        let after = seconds.map(|seconds| (seconds - self.starts[place]) / MINUTE);
        places::minute_of_row(table, &self.admissions[place], after)
    }

    /// Seconds from the admission at `place` to `seconds`, as far as they fit.
    pub(super) fn seconds(&self, place: usize, seconds: i64) -> i32 {
        let after = seconds - self.starts[place];
        i32::try_from(after).unwrap_or(if after < 0 { i32::MIN } else { i32::MAX })
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
    let (mut patients, mut of_patients) = patients(folder)?;
    let path = require(folder, "hosp/admissions")?;
    let (mut stays, mut of_stays) = all(&path, &patients)?;
    stays.sort_by_key(|stay| (stay.subject, stay.admitted, stay.id));
    of_patients.note(Count::DeathBeforeDischarge, forget_early_deaths(&mut patients, &stays));

    let mut cohort = Stays {
        admissions: Vec::new(),
        starts: Vec::new(),
        places: Places::default(),
        tables: Vec::new(),
    };
    for (i, stay) in stays.iter().enumerate() {
        let Some(patient) = patients.get(&stay.subject) else {
            continue;
        };
        let age = stay.year - patient.born;
        if let Some(why) = stay.outside(age) {
            of_stays.drop(why, 1);
            cohort.places.insert(stay.id, None);
            continue;
        }
        let later = stays[i + 1..].iter().take_while(|next| next.subject == stay.subject);
        let (overlapping, after): (Vec<&Stay>, Vec<&Stay>) = later.partition(|next| next.admitted < stay.discharged);
        of_stays.note(Count::Overlapping, overlapping.len() as u64);
        let next = after.first().map(|next| next.admitted);
        cohort.places.insert(stay.id, Some(cohort.admissions.len()));
        cohort.starts.push(stay.admitted);
        cohort.admissions.push(Admission {
            subject: stay.subject,
            id: stay.id,
            minutes: (stay.discharged - stay.admitted).div_euclid(MINUTE),
            outcome: outcome(stay.discharged, patient.died, next),
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
    cohort.tables = vec![of_patients, of_stays];
    Ok(cohort)
}

impl Stay {
    /// Why the stay of a patient of `age` years is outside the cohort, if it is.
    fn outside(&self, age: i64) -> Option<Count> {
        let length = self.discharged - self.admitted;
        let rules = [
            (length < 0, Count::NegativeStay),
            (length > LONGEST, Count::OtherLength),
            (!AGES.contains(&age), Count::OtherAge),
            (self.died_in_hospital, Count::DiedInHospital),
        ];
        rules.into_iter().find_map(|(broken, why)| broken.then_some(why))
    }
}

/// Forgets dates of death before a day on which the patient left the hospital alive; how many there were. Such a date is wrong,
/// and nobody knows the right one.
fn forget_early_deaths(patients: &mut HashMap<u64, Patient>, stays: &[Stay]) -> u64 {
    let mut forgotten = 0;
    for stay in stays.iter().filter(|stay| !stay.died_in_hospital) {
        // A date of death is a midnight, so days are held against days: death on the day of discharge is possible.
        let last = stay.discharged.max(stay.admitted).div_euclid(DAY);
        if let Some(patient) = patients.get_mut(&stay.subject)
            && patient.died.is_some_and(|died| died.div_euclid(DAY) < last)
        {
            patient.died = None;
            forgotten += 1;
        }
    }
    forgotten
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

fn patients(folder: &Path) -> Result<(HashMap<u64, Patient>, TableCoverage), EhrError> {
    let (mut table, [subject, gender, age, year, died]) = Table::require(
        folder,
        Form::plain("hosp/patients"),
        ["subject_id", "gender", "anchor_age", "anchor_year", "dod"],
    )?;
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
    Ok((patients, table.finish(false)?))
}

fn all(path: &Path, patients: &HashMap<u64, Patient>) -> Result<(Vec<Stay>, TableCoverage), EhrError> {
    let columns = [
        "subject_id",
        "hadm_id",
        "admittime",
        "dischtime",
        "hospital_expire_flag",
        "race",
    ];
    let form = Form::plain("hosp/admissions");
    let (mut table, [subject, id, admitted, discharged, died, race]) = Table::open(path, form, columns)?;
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
    // Without a row the cohort is empty, which has an error of its own.
    Ok((stays, table.finish(true)?))
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
    }

    #[test]
    fn a_death_before_a_discharge_alive_is_none() {
        let stay = |from: i64, to: i64, died_in_hospital| Stay {
            subject: 1,
            id: 1,
            admitted: from * DAY + MINUTE,
            year: 1970,
            discharged: to * DAY + 60 * MINUTE,
            died_in_hospital,
            ethnicity: String::new(),
        };
        let after = |died: i64, stays: &[Stay]| {
            let patient = Patient {
                gender: String::new(),
                born: 1900,
                died: Some(died * DAY),
            };
            let mut patients = HashMap::from([(1, patient)]);
            let forgotten = forget_early_deaths(&mut patients, stays);
            (patients[&1].died.map(|died| died / DAY), forgotten)
        };
        assert_eq!(after(10, &[stay(5, 10, false)]), (Some(10), 0));
        assert_eq!(after(9, &[stay(5, 10, false)]), (None, 1));
        assert_eq!(after(2, &[stay(5, 10, false)]), (None, 1));
        // The patient came back alive: the date is as wrong for the first stay.
        assert_eq!(after(20, &[stay(5, 10, false), stay(30, 31, false)]), (None, 1));
        // Who died in hospital may be discharged a day later.
        assert_eq!(after(9, &[stay(5, 10, true)]), (Some(9), 0));
        assert_eq!(after(9, &[stay(10, 5, false)]), (None, 1));
    }
}
