//! Laboratory values: one pass over the largest table.

use std::collections::HashMap;
use std::path::Path;

use super::super::cohort::{LabEvent, LabItem};
use super::super::error::EhrError;
use super::super::table::{Table, require};
use super::stays::Stays;

/// MUSE's choice: every item whose label holds one of these, as written.
///
/// It is wider than it looks (`pH` of urine too, `Lactate Dehydrogenase`) and narrower (`White Blood Cells`, the usual
/// count, is no `WBC`). In MIMIC-IV 2.0 it left MUSE with 57 items, hence its rows of 114 numbers; elsewhere as many as
/// were measured (27 in the demo).
pub const LAB_TERMS: [&str; 10] = [
    "Hematocrit",
    "Platelet",
    "WBC",
    "Bilirubin",
    "pH",
    "Bicarbonate",
    "Creatinine",
    "Lactate",
    "Potassium",
    "Sodium",
];

/// Puts the measurements into `stays`; the items that were measured, by number.
///
/// The time of a result is when it was stored, as MUSE has it: when it could be known, not when blood was drawn.
pub(super) fn read(folder: &Path, stays: &mut Stays) -> Result<Vec<LabItem>, EhrError> {
    let candidates = candidates(folder)?;
    let places: HashMap<u32, u16> = candidates.iter().map(|item| item.id).zip(0..).collect();
    let mut measured = vec![false; candidates.len()];

    let path = require(folder, "hosp/labevents")?;
    let (mut table, [id, item, stored, value, flag]) =
        Table::open(&path, ["hadm_id", "itemid", "storetime", "valuenum", "flag"])?;
    while table.next()? {
        let Some(&item) = places.get(&table.whole(item)?) else {
            continue;
        };
        let Some(place) = table.optional_id(id)?.and_then(|id| stays.place(id)) else {
            continue;
        };
        let value = table.optional(value, "a finite number or nothing", |text| {
            text.parse().ok().filter(|value: &f32| value.is_finite())
        })?;
        let minute = table.optional_time(stored)?.and_then(|time| stays.minute(place, time));
        if let (Some(value), Some(minute)) = (value, minute) {
            measured[usize::from(item)] = true;
            stays.admissions[place].labs.push(LabEvent {
                minute,
                item,
                value,
                abnormal: table.optional_text(flag)? == Some("abnormal"),
            });
        }
    }

    let mut renumbered = vec![0; candidates.len()];
    for (place, (renumbered, _)) in (0_u16..).zip(renumbered.iter_mut().zip(&measured).filter(|(_, m)| **m)) {
        *renumbered = place;
    }
    for admission in &mut stays.admissions {
        for event in &mut admission.labs {
            event.item = renumbered[usize::from(event.item)];
        }
        // Stable: of two results of one item in one minute the later row stays the later.
        admission.labs.sort_by_key(|event| (event.minute, event.item));
        admission.labs.dedup();
        admission.labs.shrink_to_fit();
    }
    let items = candidates.into_iter().zip(measured).filter(|(_, measured)| *measured);
    Ok(items.map(|(item, _)| item).collect())
}

/// The items that are looked for, by number.
fn candidates(folder: &Path) -> Result<Vec<LabItem>, EhrError> {
    let path = require(folder, "hosp/d_labitems")?;
    let (mut table, [id, label]) = Table::open(&path, ["itemid", "label"])?;
    let mut items = Vec::new();
    while table.next()? {
        let id = table.whole(id)?;
        if let Some(label) = table.optional_text(label)?
            && LAB_TERMS.iter().any(|term| label.contains(term))
        {
            if items.len() > usize::from(u16::MAX) {
                return Err(table.contradiction("some dozen items to choose", "more than 65536"));
            }
            items.push(LabItem {
                id,
                label: label.to_owned(),
            });
        }
    }
    items.sort_by_key(|item| item.id);
    items.dedup_by_key(|item| item.id);
    Ok(items)
}
