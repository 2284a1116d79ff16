//! Diagnoses, treatments (as procedures), medications, laboratory values.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::cohort::{Code, CodeEvent, CodeKind, LabItem};
use super::super::coverage::Count;
use super::super::error::EhrError;
use super::super::lab_ranges::LabRanges;
use super::super::results::{Measurement, Results};
use super::super::table::{Form, Table};
use super::super::vocabulary::{Ranked, Vocabulary};
use super::stays::{Stays, offset};

/// More items than can be told apart.
pub(super) const TOO_MANY: &str = "some hundred items, got more than 65536";

/// Sorts the events of a stay by rank, then by time.
fn order((rank, event): &Ranked) -> (i64, i64) {
    (i64::from(*rank), i64::from(event.minute))
}

/// Diagnoses in the order of their priority, then of their time. eICU codes them along the stay; what was entered after it
/// does not count.
pub(super) fn diagnoses(folder: &Path, stays: &mut Stays, vocabulary: &mut Vocabulary) -> Result<(), EhrError> {
    let columns = [
        "patientunitstayid",
        "diagnosisoffset",
        "diagnosisstring",
        "diagnosispriority",
    ];
    let (mut table, [id, time, name, priority]) = Table::require(folder, Form::plain("diagnosis"), columns)?;
    let mut events: Vec<Vec<Ranked>> = vec![Vec::new(); stays.admissions.len()];
    while table.next()? {
        let Some((place, minute)) = row(&mut table, stays, id, time)? else {
            continue;
        };
        let Some(name) = table.optional_text(name)? else {
            table.drop(Count::NoValue);
            continue;
        };
        let priority = table.optional_text(priority)?.unwrap_or_default();
        let is = |word: &str| priority.eq_ignore_ascii_case(word);
        let rank = if is("Primary") {
            0
        } else if is("Major") {
            1
        } else {
            2
        };
        let code = vocabulary.place(path_code(CodeKind::Diagnosis, name));
        events[place].push((rank, CodeEvent { minute, code }));
    }
    let mut coverage = table.finish(false)?;
    let repeated = vocabulary.put(&mut stays.admissions, events, order, |admission| {
        &mut admission.diagnoses
    });
    coverage.drop(Count::Replaced, repeated);
    stays.tables.push(coverage);
    Ok(())
}

/// What was done, by time.
pub(super) fn treatments(folder: &Path, stays: &mut Stays, vocabulary: &mut Vocabulary) -> Result<(), EhrError> {
    let columns = ["patientunitstayid", "treatmentoffset", "treatmentstring"];
    let (mut table, [id, time, name]) = Table::require(folder, Form::plain("treatment"), columns)?;
    let mut events: Vec<Vec<Ranked>> = vec![Vec::new(); stays.admissions.len()];
    while table.next()? {
        let Some((place, minute)) = row(&mut table, stays, id, time)? else {
            continue;
        };
        let Some(name) = table.optional_text(name)? else {
            table.drop(Count::NoValue);
            continue;
        };
        let code = vocabulary.place(path_code(CodeKind::Procedure, name));
        events[place].push((0, CodeEvent { minute, code }));
    }
    let mut coverage = table.finish(false)?;
    let repeated = vocabulary.put(&mut stays.admissions, events, order, |admission| {
        &mut admission.procedures
    });
    coverage.drop(Count::Replaced, repeated);
    stays.tables.push(coverage);
    Ok(())
}

/// Drugs by the time of their start. Orders that were cancelled or name no drug are passed over.
pub(super) fn medications(folder: &Path, stays: &mut Stays, vocabulary: &mut Vocabulary) -> Result<(), EhrError> {
    let columns = ["patientunitstayid", "drugstartoffset", "drugname", "drugordercancelled"];
    let (mut table, [id, time, name, cancelled]) = Table::require(folder, Form::plain("medication"), columns)?;
    let mut events: Vec<Vec<Ranked>> = vec![Vec::new(); stays.admissions.len()];
    while table.next()? {
        let Some((place, minute)) = row(&mut table, stays, id, time)? else {
            continue;
        };
        let cancelled = table.optional_text(cancelled)?;
        if cancelled.is_some_and(|word| word.eq_ignore_ascii_case("Yes")) {
            table.drop(Count::Cancelled);
            continue;
        }
        let Some(name) = table.optional_text(name)? else {
            table.drop(Count::NoValue);
            continue;
        };
        let code = vocabulary.drug(name);
        events[place].push((0, CodeEvent { minute, code }));
    }
    let mut coverage = table.finish(false)?;
    let repeated = vocabulary.put(&mut stays.admissions, events, order, |admission| {
        &mut admission.medications
    });
    coverage.drop(Count::Replaced, repeated);
    stays.tables.push(coverage);
    Ok(())
}

/// The stay and minute of a row; `None`, and counted, where it is none of the cohort or no input.
fn row(
    table: &mut Table,
    stays: &Stays,
    id: super::super::table::Column,
    time: super::super::table::Column,
) -> Result<Option<(usize, i32)>, EhrError> {
    let id = table.id(id)?;
    let Some(place) = stays.place(table, id) else {
        return Ok(None);
    };
    let time = offset(table, time)?;
    Ok(stays.minute(table, place, time).map(|minute| (place, minute)))
}

/// Every item of `lab`; the items that were measured, by name. Of several results of an item at one time the last that was
/// revised within the stay counts.
pub(super) fn labs(path: &Path, stays: &mut Stays, ranges: &LabRanges) -> Result<Vec<LabItem>, EhrError> {
    let columns = [
        "patientunitstayid",
        "labresultoffset",
        "labresultrevisedoffset",
        "labname",
        "labresult",
    ];
    // What a laboratory wrote beside the number is free text.
    let form = Form {
        name: "lab",
        free_text: &["labresulttext"],
    };
    let (mut table, [id, time, revised, name, value]) = Table::open(path, form, columns)?;
    let mut measured = Named::default();
    while table.next()? {
        let Some((place, minute)) = row(&mut table, stays, id, time)? else {
            continue;
        };
        let revised = match table.optional(revised, "a whole number of minutes or nothing", |text| {
            text.parse().ok()
        })? {
            None => minute,
            Some(revised) => match stays.minute(&mut table, place, revised) {
                Some(revised) => revised,
                None => continue,
            },
        };
        let value = table.optional(value, "a finite number or nothing", |text| {
            text.parse().ok().filter(|value: &f32| value.is_finite())
        })?;
        let (Some(name), Some(value)) = (table.optional_text(name)?.map(str::to_owned), value) else {
            table.drop(Count::NoValue);
            continue;
        };
        if let Err(why) = ranges.eicu(&name.to_lowercase()).check(value, None) {
            table.drop(why);
            continue;
        }
        let result = Measurement {
            drawn: minute,
            revised,
            minute,
            value,
            abnormal: false,
        };
        measured.add(place, &name, result);
    }
    let too_many = table.contradiction("some hundred items", "more than 65536");
    let mut coverage = table.finish(false)?;
    let (items, replaced) = measured.put(stays).ok_or(too_many)?;
    coverage.drop(Count::Replaced, replaced);
    stays.tables.push(coverage);
    Ok(items)
}

/// Results of items that are known by name only, in any capitals.
#[derive(Default)]
pub(super) struct Named {
    results: Results<String>,
    /// How an item is written, by its name in small letters: the first of several ways.
    labels: BTreeMap<String, String>,
}

impl Named {
    pub(super) fn add(&mut self, place: usize, name: &str, result: Measurement) {
        let item = name.to_lowercase();
        match self.labels.get_mut(&item) {
            Some(label) if name < label.as_str() => name.clone_into(label),
            Some(_) => {}
            None => {
                self.labels.insert(item.clone(), name.to_owned());
            }
        }
        self.results.add(place, item, result);
    }

    /// Puts them into `stays`; the items, numbered by name, and how many results others took the place of. `None` where items
    /// are too many. eICU marks nothing as abnormal.
    pub(super) fn put(mut self, stays: &mut Stays) -> Option<(Vec<LabItem>, u64)> {
        let (items, replaced) = self.results.put(&mut stays.admissions)?;
        let labelled = (0..).zip(items).map(|(id, item)| LabItem {
            id,
            label: self.labels.remove(&item).unwrap_or(item),
        });
        Some((labelled.collect(), replaced))
    }
}

/// A code that is a path of words: `cardiovascular|shock|hypotension`.
fn path_code(kind: CodeKind, name: &str) -> Code {
    Code {
        kind,
        code: name.to_owned(),
        title: name.replace('|', " ").to_lowercase(),
    }
}
