//! eICU's notes are forms: of each entry what it is about and what was entered, by time.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::coverage::Count;
use super::super::error::EhrError;
use super::super::table::{Form, Table, find};
use super::stays::{Stays, offset};

const FORM: Form = Form {
    name: "note",
    free_text: &["notepath", "notevalue", "notetext"],
};

/// A field of a form at a time: minute, its path and what it is about.
type Entry = (i32, String, String);

/// Puts the entries into `stays`; whether the table is there. Of what was entered into one field at one time the last counts;
/// what was entered after the stay is no input.
pub(super) fn read(folder: &Path, stays: &mut Stays) -> Result<bool, EhrError> {
    let Some(path) = find(folder, FORM.name) else {
        return Ok(false);
    };
    let columns = [
        "patientunitstayid",
        "noteoffset",
        "noteenteredoffset",
        "notepath",
        "notevalue",
        "notetext",
    ];
    let (mut table, [id, time, entered, form, about, text]) = Table::open(&path, FORM, columns)?;
    let mut entries: BTreeMap<usize, BTreeMap<Entry, (i64, Vec<String>)>> = BTreeMap::new();
    while table.next()? {
        let id = table.id(id)?;
        let Some(place) = stays.place(&mut table, id) else {
            continue;
        };
        let (time, entered) = (offset(&table, time)?, offset(&table, entered)?);
        let Some(minute) = stays.minute(&mut table, place, time) else {
            continue;
        };
        if stays.minute(&mut table, place, entered).is_none() {
            continue;
        }
        let Some(text) = table.optional_text(text)?.map(str::to_owned) else {
            table.drop(Count::NoValue);
            continue;
        };
        let of = |column| Ok(table.optional_text(column)?.unwrap_or_default().to_owned());
        let entry = (minute, of(form)?, of(about)?);
        let known = entries.entry(place).or_default().entry(entry).or_default();
        match (known.0.cmp(&entered), known.1.is_empty()) {
            (_, true) | (std::cmp::Ordering::Less, _) => {
                let replaced = std::mem::replace(known, (entered, vec![text])).1.len();
                (0..replaced).for_each(|_| table.drop(Count::Replaced));
            }
            (std::cmp::Ordering::Equal, _) if !known.1.contains(&text) => known.1.push(text),
            _ => table.drop(Count::Replaced),
        }
    }
    for (place, entries) in entries {
        let mut texts: Vec<(i32, String)> = Vec::new();
        for ((minute, _, about), (_, entered)) in entries {
            let whole = |text: String| match about.as_str() {
                "" => text,
                about if about == text => text,
                about => format!("{about}: {text}"),
            };
            texts.extend(entered.into_iter().map(|text| (minute, whole(text))));
        }
        texts.sort();
        texts.dedup();
        let texts: Vec<String> = texts.into_iter().map(|(_, text)| text).collect();
        stays.admissions[place].notes = Some(texts.join(". "));
    }
    stays.tables.push(table.finish(false)?);
    Ok(true)
}
