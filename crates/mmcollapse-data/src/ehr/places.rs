//! Which row belongs to which admission of the cohort, and why a row belongs to none.

use std::collections::HashMap;

use super::cohort::Admission;
use super::coverage::Count;
use super::table::Table;

/// Minutes of a year, leap years included.
const YEAR: i64 = 525_960;

/// Every stay of a source by its number: its place in the cohort, `None` outside of it.
#[derive(Default)]
pub(super) struct Places(HashMap<u64, Option<usize>>);

impl Places {
    /// Adds a stay; whether its number was there before.
    pub(super) fn insert(&mut self, id: u64, place: Option<usize>) -> bool {
        self.0.insert(id, place).is_some()
    }

    /// The place of the stay `id`, or why there is none.
    pub(super) fn find(&self, id: Option<u64>) -> Result<usize, Count> {
        let id = id.ok_or(Count::NoStay)?;
        self.0.get(&id).ok_or(Count::UnknownStay)?.ok_or(Count::OtherStay)
    }

    /// The place of the stay `id` of the row at which `table` stands; a row without one is counted.
    pub(super) fn of_row(&self, table: &mut Table, id: Option<u64>) -> Option<usize> {
        let found = self.find(id);
        found.map_err(|why| table.drop(why)).ok()
    }
}

/// `minute` after the beginning of `admission`, or why it is no input: what was known after the stay is none, and nothing
/// happens to a patient before birth.
pub(super) fn minute(admission: &Admission, minute: Option<i64>) -> Result<i32, Count> {
    let minute = minute.ok_or(Count::NoTime)?;
    if minute > admission.minutes {
        return Err(Count::AfterStay);
    }
    let age = admission.demographics.as_ref().map_or(150, |person| person.age);
    if minute < -(i64::from(age) + 1) * YEAR {
        return Err(Count::BeforeBirth);
    }
    i32::try_from(minute).map_err(|_| Count::AfterStay)
}

/// [`minute`] of the row at which `table` stands; a row without one is counted.
pub(super) fn minute_of_row(table: &mut Table, admission: &Admission, after: Option<i64>) -> Option<i32> {
    minute(admission, after).map_err(|why| table.drop(why)).ok()
}
