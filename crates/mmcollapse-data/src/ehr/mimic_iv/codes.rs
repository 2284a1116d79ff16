//! Diagnoses, procedures and medications, each with its title.
//!
//! As in MUSE's code, a row of which a needed cell is empty, whose code has no title, or that repeats another is passed
//! over, and so is what happened after discharge.

use std::collections::HashMap;
use std::path::Path;

use super::super::cohort::{Code, CodeEvent, CodeKind};
use super::super::error::EhrError;
use super::super::table::{Table, require};
use super::super::vocabulary::Vocabulary;
use super::stays::Stays;

/// Title by version (9 or 10) and code: the same code means different things in the two versions.
type Titles = HashMap<(u32, String), String>;

/// Puts the codes into `stays`; what they mean.
pub(super) fn read(folder: &Path, stays: &mut Stays) -> Result<Vec<Code>, EhrError> {
    let mut vocabulary = Vocabulary::default();
    diagnoses(folder, stays, &mut vocabulary)?;
    procedures(folder, stays, &mut vocabulary)?;
    medications(folder, stays, &mut vocabulary)?;
    Ok(vocabulary.codes)
}

/// A coded event and what it is sorted by.
type Ranked = (i32, u32, CodeEvent);

/// Sorts the events of a stay, each once.
fn ordered(mut events: Vec<Ranked>) -> Vec<CodeEvent> {
    events.sort_unstable();
    events.dedup();
    events.into_iter().map(|(_, _, event)| event).collect()
}

fn titles(folder: &Path, table: &str) -> Result<Titles, EhrError> {
    let path = require(folder, table)?;
    let (mut table, [code, version, title]) = Table::open(&path, ["icd_code", "icd_version", "long_title"])?;
    let mut titles = Titles::new();
    while table.next()? {
        if let Some(title) = table.optional_text(title)? {
            let key = (table.whole(version)?, table.text(code)?.to_owned());
            titles.insert(key, title.to_lowercase());
        }
    }
    Ok(titles)
}

fn icd(kind: CodeKind, version: u32, code: &str, titles: &Titles) -> Option<Code> {
    let title = titles.get(&(version, code.to_owned()))?.clone();
    Some(Code {
        kind,
        code: format!("icd{version}:{code}"),
        title,
    })
}

fn diagnoses(folder: &Path, stays: &mut Stays, vocabulary: &mut Vocabulary) -> Result<(), EhrError> {
    let titles = titles(folder, "hosp/d_icd_diagnoses")?;
    let path = require(folder, "hosp/diagnoses_icd")?;
    let (mut table, [id, rank, code, version]) = Table::open(&path, ["hadm_id", "seq_num", "icd_code", "icd_version"])?;
    let mut events: Vec<Vec<Ranked>> = vec![Vec::new(); stays.admissions.len()];
    while table.next()? {
        let Some(place) = stays.place(table.id(id)?) else {
            continue;
        };
        let rank = table.whole(rank)?;
        let found = icd(CodeKind::Diagnosis, table.whole(version)?, table.text(code)?, &titles);
        // Minute 0 is after discharge where the discharge precedes the admission.
        if let Some(code) = found.filter(|_| stays.admissions[place].minutes >= 0) {
            let code = vocabulary.place(code);
            events[place].push((0, rank, CodeEvent { minute: 0, code }));
        }
    }
    for (admission, events) in stays.admissions.iter_mut().zip(events) {
        admission.diagnoses = ordered(events);
    }
    Ok(())
}

fn procedures(folder: &Path, stays: &mut Stays, vocabulary: &mut Vocabulary) -> Result<(), EhrError> {
    let titles = titles(folder, "hosp/d_icd_procedures")?;
    let path = require(folder, "hosp/procedures_icd")?;
    let (mut table, [id, rank, date, code, version]) =
        Table::open(&path, ["hadm_id", "seq_num", "chartdate", "icd_code", "icd_version"])?;
    let mut events: Vec<Vec<Ranked>> = vec![Vec::new(); stays.admissions.len()];
    while table.next()? {
        let Some(place) = stays.place(table.id(id)?) else {
            continue;
        };
        let rank = table.whole(rank)?;
        let found = icd(CodeKind::Procedure, table.whole(version)?, table.text(code)?, &titles);
        let minute = table.optional_time(date)?.and_then(|time| stays.minute(place, time));
        if let (Some(code), Some(minute)) = (found, minute) {
            let code = vocabulary.place(code);
            events[place].push((minute, rank, CodeEvent { minute, code }));
        }
    }
    for (admission, events) in stays.admissions.iter_mut().zip(events) {
        admission.procedures = ordered(events);
    }
    Ok(())
}

fn medications(folder: &Path, stays: &mut Stays, vocabulary: &mut Vocabulary) -> Result<(), EhrError> {
    let path = require(folder, "hosp/prescriptions")?;
    let (mut table, [id, start, drug]) = Table::open(&path, ["hadm_id", "starttime", "drug"])?;
    while table.next()? {
        let Some(place) = table.optional_id(id)?.and_then(|id| stays.place(id)) else {
            continue;
        };
        let minute = table.optional_time(start)?.and_then(|time| stays.minute(place, time));
        if let (Some(minute), Some(name)) = (minute, table.optional_text(drug)?) {
            let code = vocabulary.place(Code {
                kind: CodeKind::Medication,
                code: name.to_owned(),
                title: name.to_lowercase(),
            });
            stays.admissions[place].medications.push(CodeEvent { minute, code });
        }
    }
    for admission in &mut stays.admissions {
        let name = |event: &CodeEvent| (event.minute, vocabulary.codes[event.code as usize].code.as_str());
        admission.medications.sort_by(|a, b| name(a).cmp(&name(b)));
        admission.medications.dedup();
    }
    Ok(())
}
