//! Diagnoses, procedures and medications, each with its title.
//!
//! As in MUSE's code, a row of which a needed cell is empty, whose code has no title, or that repeats another is passed
//! over, and so is what happened after discharge.

use std::path::Path;

use super::super::cohort::{Code, CodeEvent, CodeKind};
use super::super::coverage::Count;
use super::super::error::EhrError;
use super::super::table::{Form, Table, require};
use super::super::vocabulary::{Ranked, Vocabulary};
use super::stays::Stays;
use super::titles::{Lookup, Titles};

/// Puts the codes into `stays`; what they mean.
pub(super) fn read(folder: &Path, stays: &mut Stays, may_be_empty: &[CodeKind]) -> Result<Vec<Code>, EhrError> {
    let mut vocabulary = Vocabulary::default();
    let empty = |kind: CodeKind| may_be_empty.contains(&kind);
    diagnoses(folder, stays, &mut vocabulary, empty(CodeKind::Diagnosis))?;
    procedures(folder, stays, &mut vocabulary, empty(CodeKind::Procedure))?;
    medications(folder, stays, &mut vocabulary, empty(CodeKind::Medication))?;
    Ok(vocabulary.settle(&mut stays.admissions))
}

/// A row of a stay: its place, minute and rank.
type Row = (usize, i32, u32);
/// Sorts the events of a stay by time, then by rank.
fn order((rank, event): &Ranked) -> (i64, i64) {
    (i64::from(event.minute), i64::from(*rank))
}

fn diagnoses(
    folder: &Path,
    stays: &mut Stays,
    vocabulary: &mut Vocabulary,
    may_be_empty: bool,
) -> Result<(), EhrError> {
    let (titles, of_titles) = Titles::read(folder, "hosp/d_icd_diagnoses", CodeKind::Diagnosis)?;
    let path = require(folder, "hosp/diagnoses_icd")?;
    let columns = ["hadm_id", "seq_num", "icd_code", "icd_version"];
    let (mut table, [id, rank, code, version]) = Table::open(&path, Form::plain("hosp/diagnoses_icd"), columns)?;
    let mut lookup = Lookup::new(&titles);
    let mut found = Vec::new();
    while table.next()? {
        let (id, version) = (table.id(id)?, table.whole(version)?);
        lookup.see(version, table.text(code)?);
        if let Some(place) = stays.place(&mut table, Some(id)) {
            let row = (place, 0, table.whole(rank)?);
            found.extend(lookup.find(version, table.text(code)?, row));
        }
    }
    let mut coverage = table.finish(may_be_empty)?;
    found.extend(lookup.finish(&path, &mut coverage)?);
    let by_stay = by_stay(found, vocabulary, stays.admissions.len());
    let repeated = vocabulary.put(&mut stays.admissions, by_stay, order, |admission| {
        &mut admission.diagnoses
    });
    coverage.drop(Count::Replaced, repeated);
    stays.tables.extend([of_titles, coverage]);
    Ok(())
}

/// The rows of each of `n` stays, their codes numbered.
fn by_stay(rows: Vec<(Code, Row)>, vocabulary: &mut Vocabulary, n: usize) -> Vec<Vec<Ranked>> {
    let mut events = vec![Vec::new(); n];
    for (code, (place, minute, rank)) in rows {
        let code = vocabulary.place(code);
        events[place].push((rank, CodeEvent { minute, code }));
    }
    events
}

fn procedures(
    folder: &Path,
    stays: &mut Stays,
    vocabulary: &mut Vocabulary,
    may_be_empty: bool,
) -> Result<(), EhrError> {
    let (titles, of_titles) = Titles::read(folder, "hosp/d_icd_procedures", CodeKind::Procedure)?;
    let path = require(folder, "hosp/procedures_icd")?;
    let columns = ["hadm_id", "seq_num", "chartdate", "icd_code", "icd_version"];
    let form = Form::plain("hosp/procedures_icd");
    let (mut table, [id, rank, date, code, version]) = Table::open(&path, form, columns)?;
    let mut lookup = Lookup::new(&titles);
    let mut found = Vec::new();
    while table.next()? {
        let (id, version) = (table.id(id)?, table.whole(version)?);
        lookup.see(version, table.text(code)?);
        let Some(place) = stays.place(&mut table, Some(id)) else {
            continue;
        };
        let (rank, time) = (table.whole(rank)?, table.optional_time(date)?);
        if let Some(minute) = stays.minute(&mut table, place, time) {
            found.extend(lookup.find(version, table.text(code)?, (place, minute, rank)));
        }
    }
    let mut coverage = table.finish(may_be_empty)?;
    found.extend(lookup.finish(&path, &mut coverage)?);
    let by_stay = by_stay(found, vocabulary, stays.admissions.len());
    let repeated = vocabulary.put(&mut stays.admissions, by_stay, order, |admission| {
        &mut admission.procedures
    });
    coverage.drop(Count::Replaced, repeated);
    stays.tables.extend([of_titles, coverage]);
    Ok(())
}

fn medications(
    folder: &Path,
    stays: &mut Stays,
    vocabulary: &mut Vocabulary,
    may_be_empty: bool,
) -> Result<(), EhrError> {
    let form = Form::plain("hosp/prescriptions");
    let (mut table, [id, start, drug]) = Table::require(folder, form, ["hadm_id", "starttime", "drug"])?;
    let mut events: Vec<Vec<Ranked>> = vec![Vec::new(); stays.admissions.len()];
    while table.next()? {
        let id = table.optional_id(id)?;
        let Some(place) = stays.place(&mut table, id) else {
            continue;
        };
        let time = table.optional_time(start)?;
        let Some(minute) = stays.minute(&mut table, place, time) else {
            continue;
        };
        let Some(name) = table.optional_text(drug)? else {
            table.drop(Count::NoValue);
            continue;
        };
        let code = vocabulary.drug(name);
        events[place].push((0, CodeEvent { minute, code }));
    }
    let mut coverage = table.finish(may_be_empty)?;
    let repeated = vocabulary.put(&mut stays.admissions, events, order, |admission| {
        &mut admission.medications
    });
    coverage.drop(Count::Replaced, repeated);
    stays.tables.push(coverage);
    Ok(())
}
