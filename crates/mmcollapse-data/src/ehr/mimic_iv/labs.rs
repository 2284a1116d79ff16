//! Laboratory values: one pass over the largest table.

use std::collections::HashMap;
use std::path::Path;

use super::super::cohort::LabItem;
use super::super::coverage::Count;
use super::super::error::EhrError;
use super::super::lab_ranges::{LabRanges, Limits};
use super::super::results::{Measurement, Results};
use super::super::table::{Form, Table};
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

/// Labels that hold a term in other capitals than MUSE's, in small letters: MUSE does not choose them.
const NOT_CHOSEN: [&str; 2] = ["wbcp", "direct antiplatelet antibodies"];

/// Comments of laboratories are free text.
const LABEVENTS: Form = Form {
    name: "hosp/labevents",
    free_text: &["comments"],
};

/// Puts the measurements into `stays`; the items that were measured, by number.
///
/// The time of a result is when it was stored, as MUSE has it: when it could be known, not when blood was drawn. Of several
/// results of an item drawn at one time the last that was stored within the stay counts.
pub(super) fn read(folder: &Path, stays: &mut Stays, may_be_empty: bool) -> Result<Vec<LabItem>, EhrError> {
    let ranges = LabRanges::read()?;
    let candidates = candidates(folder, stays)?;
    let limits: HashMap<u32, (usize, Limits<'_>)> = candidates
        .iter()
        .enumerate()
        .map(|(place, item)| (item.id, (place, ranges.mimic_iv(item.id))))
        .collect();

    let columns = [
        "hadm_id",
        "itemid",
        "charttime",
        "storetime",
        "valuenum",
        "valueuom",
        "flag",
    ];
    let (mut table, [id, item, drawn, stored, value, unit, flag]) = Table::require(folder, LABEVENTS, columns)?;
    let mut results = Results::default();
    while table.next()? {
        let Some(&(item, limits)) = limits.get(&table.whole(item)?) else {
            table.drop(Count::OtherItem);
            continue;
        };
        let id = table.optional_id(id)?;
        let Some(place) = stays.place(&mut table, id) else {
            continue;
        };
        let value = table.optional(value, "a finite number or nothing", |text| {
            text.parse().ok().filter(|value: &f32| value.is_finite())
        })?;
        let Some(value) = value else {
            table.drop(Count::NoValue);
            continue;
        };
        let stored = table.optional_time(stored)?;
        let (Some(minute), Some(stored)) = (stays.minute(&mut table, place, stored), stored) else {
            continue;
        };
        if let Err(why) = limits.check(value, table.optional_text(unit)?) {
            table.drop(why);
            continue;
        }
        let drawn = table.optional_time(drawn)?.unwrap_or(stored);
        let abnormal = table.optional_text(flag)?;
        results.add(
            place,
            item,
            Measurement {
                drawn: stays.seconds(place, drawn),
                revised: stays.seconds(place, stored),
                minute,
                value,
                abnormal: abnormal.is_some_and(|flag| flag.eq_ignore_ascii_case("abnormal")),
            },
        );
    }
    let too_many = table.contradiction("some dozen items to choose", "more than 65536");
    let mut coverage = table.finish(may_be_empty)?;
    let (items, replaced) = results.put(&mut stays.admissions).ok_or(too_many)?;
    coverage.drop(Count::Replaced, replaced);
    stays.tables.push(coverage);
    Ok(items.into_iter().map(|place| candidates[place].clone()).collect())
}

/// The items that are looked for, by number.
fn candidates(folder: &Path, stays: &mut Stays) -> Result<Vec<LabItem>, EhrError> {
    let form = Form::plain("hosp/d_labitems");
    let (mut table, [id, label]) = Table::require(folder, form, ["itemid", "label"])?;
    let mut labels: HashMap<u32, String> = HashMap::new();
    while table.next()? {
        let id = table.whole(id)?;
        let Some(label) = table.optional_text(label)?.map(str::to_owned) else {
            table.drop(Count::NoValue);
            continue;
        };
        match labels.insert(id, label.clone()) {
            Some(known) if known != label => {
                return Err(table.contradiction("one label of every itemid", "two different ones"));
            }
            Some(_) => table.drop(Count::Replaced),
            None => {}
        }
    }
    let mut coverage = table.finish(false)?;
    // No label of a release is without capitals or small letters but by another tool's doing.
    let all = |is: fn(&char) -> bool| labels.values().all(|label| !label.chars().any(|letter| is(&letter)));
    let capitals_lost = all(char::is_ascii_lowercase) || all(char::is_ascii_uppercase);
    let n = labels.len();
    let mut items: Vec<LabItem> = labels
        .into_iter()
        .filter(|(_, label)| {
            if capitals_lost {
                chosen_in_any_capitals(label)
            } else {
                chosen(label)
            }
        })
        .map(|(id, label)| LabItem { id, label })
        .collect();
    items.sort_by_key(|item| item.id);
    coverage.drop(Count::OtherItem, (n - items.len()) as u64);
    if capitals_lost {
        coverage.note(Count::OtherCapitals, items.len() as u64);
    }
    stays.tables.push(coverage);
    Ok(items)
}

/// Whether MUSE chooses the item.
fn chosen(label: &str) -> bool {
    LAB_TERMS.iter().any(|term| label.contains(term))
}

/// [`chosen`], of labels whose capitals are lost. `pH` is a word of its own then, as phosphate is none.
fn chosen_in_any_capitals(label: &str) -> bool {
    let label = label.to_lowercase();
    let mut words = label.split(|letter: char| !letter.is_alphanumeric());
    let longer = |term: &str| term.len() > 2 && label.contains(&term.to_lowercase());
    !NOT_CHOSEN.contains(&label.as_str())
        && (words.any(|word| word == "ph") || LAB_TERMS.iter().any(|term| longer(term)))
}
