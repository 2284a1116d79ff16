//! The hospital course out of the discharge notes, which are a release of their own and may be absent.

use std::path::Path;

use super::super::coverage::Count;
use super::super::error::EhrError;
use super::super::table::{Form, Table, find};
use super::stays::Stays;

const FORM: Form = Form {
    name: "note/discharge",
    free_text: &["text"],
};

/// What a note is later by: when it was stored (else written), and its number among the patient's notes. Of equal ones the text
/// decides, so that the order of rows never does.
type Age = (Option<i64>, Option<u32>, String);

/// Puts the hospital course into `stays`; whether the table is there. Of several notes of a stay the last that has one counts.
pub(super) fn read(folder: &Path, stays: &mut Stays, may_be_empty: bool) -> Result<bool, EhrError> {
    let Some(path) = find(folder, FORM.name) else {
        return Ok(false);
    };
    let columns = ["hadm_id", "charttime", "storetime", "note_seq", "text"];
    let (mut table, [id, written, stored, number, text]) = Table::open(&path, FORM, columns)?;
    let mut latest: Vec<Option<Age>> = vec![None; stays.admissions.len()];
    while table.next()? {
        let id = table.optional_id(id)?;
        let Some(place) = stays.place(&mut table, id) else {
            continue;
        };
        let Some(course) = table.optional_text(text)?.and_then(hospital_course) else {
            table.drop(Count::NoCourse);
            continue;
        };
        let time = match table.optional_time(stored)? {
            None => table.optional_time(written)?,
            stored => stored,
        };
        let number = table.optional(number, "a whole number or nothing", |text| text.parse().ok())?;
        let note = (time, number, course);
        if latest[place].is_some() {
            table.drop(Count::Replaced);
        }
        if latest[place].as_ref().is_none_or(|known| *known < note) {
            latest[place] = Some(note);
        }
    }
    for (admission, note) in stays.admissions.iter_mut().zip(latest) {
        admission.notes = note.map(|(_, _, course)| course);
    }
    stays.tables.push(table.finish(may_be_empty)?);
    Ok(true)
}

/// What stands between the headings of the hospital course and of the medications on admission, without the marks of
/// what was removed for privacy, on one line. MUSE's second version of its notes.
fn hospital_course(note: &str) -> Option<String> {
    const FROM: &str = "Brief Hospital Course:";
    let start = note.find(FROM)? + FROM.len();
    let end = note.find("Medications on Admission:")?;
    let course = note.get(start..end)?.replace("___", "").replace('\n', " ");
    let course = course.trim();
    (!course.is_empty()).then(|| course.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_course_is_cut_out() {
        let note = "Brief Hospital Course:\n Mr. ___ came\nand went. \nMedications on Admission:\nnone";
        assert_eq!(hospital_course(note).unwrap(), "Mr.  came and went.");
        assert_eq!(hospital_course("Brief Hospital Course: x"), None);
        assert_eq!(
            hospital_course("Medications on Admission: Brief Hospital Course: x"),
            None
        );
        assert_eq!(
            hospital_course("Brief Hospital Course:\n___\nMedications on Admission:"),
            None
        );
    }
}
