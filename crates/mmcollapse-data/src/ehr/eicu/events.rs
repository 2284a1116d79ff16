//! Diagnoses, treatments (as procedures), medications, notes, laboratory values.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::cohort::{Code, CodeEvent, CodeKind, LabEvent, LabItem};
use super::super::error::EhrError;
use super::super::table::{Table, find, require};
use super::super::vocabulary::Vocabulary;
use super::stays::{Stays, offset};

/// Diagnoses in the order of their priority, then of their time. eICU codes them along the stay; what was entered after it
/// does not count.
pub(super) fn diagnoses(folder: &Path, stays: &mut Stays, vocabulary: &mut Vocabulary) -> Result<(), EhrError> {
    let path = require(folder, "diagnosis")?;
    let (mut table, [id, time, name, priority]) = Table::open(
        &path,
        [
            "patientunitstayid",
            "diagnosisoffset",
            "diagnosisstring",
            "diagnosispriority",
        ],
    )?;
    let mut events: Vec<Vec<(u8, CodeEvent)>> = vec![Vec::new(); stays.admissions.len()];
    while table.next()? {
        let Some(place) = stays.place(table.id(id)?) else {
            continue;
        };
        let minute = stays.minute(place, offset(&table, time)?);
        if let (Some(minute), Some(name)) = (minute, table.optional_text(name)?) {
            let rank = match table.optional_text(priority)? {
                Some("Primary") => 0,
                Some("Major") => 1,
                _ => 2,
            };
            let code = vocabulary.place(path_code(CodeKind::Diagnosis, name));
            events[place].push((rank, CodeEvent { minute, code }));
        }
    }
    for (admission, mut events) in stays.admissions.iter_mut().zip(events) {
        events.sort_unstable();
        events.dedup();
        admission.diagnoses = events.into_iter().map(|(_, event)| event).collect();
    }
    Ok(())
}

/// What was done, by time.
pub(super) fn treatments(folder: &Path, stays: &mut Stays, vocabulary: &mut Vocabulary) -> Result<(), EhrError> {
    let path = require(folder, "treatment")?;
    let (mut table, [id, time, name]) =
        Table::open(&path, ["patientunitstayid", "treatmentoffset", "treatmentstring"])?;
    while table.next()? {
        let Some(place) = stays.place(table.id(id)?) else {
            continue;
        };
        let minute = stays.minute(place, offset(&table, time)?);
        if let (Some(minute), Some(name)) = (minute, table.optional_text(name)?) {
            let code = vocabulary.place(path_code(CodeKind::Procedure, name));
            stays.admissions[place].procedures.push(CodeEvent { minute, code });
        }
    }
    for admission in &mut stays.admissions {
        admission.procedures.sort_unstable();
        admission.procedures.dedup();
    }
    Ok(())
}

/// Drugs by the time of their start. Orders that were cancelled or name no drug are passed over.
pub(super) fn medications(folder: &Path, stays: &mut Stays, vocabulary: &mut Vocabulary) -> Result<(), EhrError> {
    let path = require(folder, "medication")?;
    let columns = ["patientunitstayid", "drugstartoffset", "drugname", "drugordercancelled"];
    let (mut table, [id, time, name, cancelled]) = Table::open(&path, columns)?;
    while table.next()? {
        let Some(place) = stays.place(table.id(id)?) else {
            continue;
        };
        let minute = stays.minute(place, offset(&table, time)?);
        let given = table.optional_text(cancelled)? != Some("Yes");
        if let (Some(minute), Some(name), true) = (minute, table.optional_text(name)?, given) {
            let code = vocabulary.place(Code {
                kind: CodeKind::Medication,
                code: name.to_owned(),
                title: name.to_lowercase(),
            });
            stays.admissions[place].medications.push(CodeEvent { minute, code });
        }
    }
    for admission in &mut stays.admissions {
        admission.medications.sort_unstable();
        admission.medications.dedup();
    }
    Ok(())
}

/// eICU's notes are forms: of each entry what it is about and what was entered, by time.
pub(super) fn notes(folder: &Path, stays: &mut Stays) -> Result<(), EhrError> {
    let Some(path) = find(folder, "note") else {
        return Ok(());
    };
    let (mut table, [id, time, about, text]) =
        Table::open(&path, ["patientunitstayid", "noteoffset", "notevalue", "notetext"])?;
    let mut entries: BTreeMap<usize, Vec<(i32, String)>> = BTreeMap::new();
    while table.next()? {
        let Some(place) = stays.place(table.id(id)?) else {
            continue;
        };
        let minute = stays.minute(place, offset(&table, time)?);
        if let (Some(minute), Some(text)) = (minute, table.optional_text(text)?) {
            let entry = match table.optional_text(about)? {
                Some(about) if about != text => format!("{about}: {text}"),
                _ => text.to_owned(),
            };
            entries.entry(place).or_default().push((minute, entry));
        }
    }
    for (place, mut entries) in entries {
        entries.sort();
        entries.dedup();
        let texts: Vec<String> = entries.into_iter().map(|(_, text)| text).collect();
        stays.admissions[place].notes = Some(texts.join(". "));
    }
    Ok(())
}

/// Every item of `lab`; the items that were measured, by name.
pub(super) fn labs(path: &Path, stays: &mut Stays) -> Result<Vec<LabItem>, EhrError> {
    let (mut table, [id, time, name, value]) =
        Table::open(path, ["patientunitstayid", "labresultoffset", "labname", "labresult"])?;
    let mut measured = Measured::default();
    while table.next()? {
        let Some(place) = stays.place(table.id(id)?) else {
            continue;
        };
        let minute = stays.minute(place, offset(&table, time)?);
        let value = table.optional(value, "a finite number or nothing", |text| {
            text.parse().ok().filter(|value: &f32| value.is_finite())
        })?;
        if let (Some(minute), Some(name), Some(value)) = (minute, table.optional_text(name)?, value) {
            measured.add(place, name, minute, value);
        }
    }
    Ok(measured.put(stays))
}

/// Measurements of items that are known by name only, while they are being gathered.
#[derive(Default)]
pub(super) struct Measured(BTreeMap<String, Vec<(usize, i32, f32)>>);

impl Measured {
    pub(super) fn add(&mut self, place: usize, item: &str, minute: i32, value: f32) {
        match self.0.get_mut(item) {
            Some(events) => events.push((place, minute, value)),
            None => {
                self.0.insert(item.to_owned(), vec![(place, minute, value)]);
            }
        }
    }

    /// Puts them into `stays`; the items, numbered by name. eICU marks nothing as abnormal.
    pub(super) fn put(self, stays: &mut Stays) -> Vec<LabItem> {
        let mut items = Vec::new();
        for (item, (label, events)) in (0_u16..).zip(self.0) {
            items.push(LabItem {
                id: u32::from(item),
                label,
            });
            for (place, minute, value) in events {
                stays.admissions[place].labs.push(LabEvent {
                    minute,
                    item,
                    value,
                    abnormal: false,
                });
            }
        }
        for admission in &mut stays.admissions {
            admission.labs.sort_by_key(|event| (event.minute, event.item));
        }
        items
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
