//! The hospital course out of the discharge notes, which are a release of their own and may be absent.

use std::path::Path;

use super::super::error::EhrError;
use super::super::table::{Table, find};
use super::stays::Stays;

/// Puts the hospital course into `stays`. Of several notes of a stay the last counts.
pub(super) fn read(folder: &Path, stays: &mut Stays) -> Result<(), EhrError> {
    let Some(path) = find(folder, "note/discharge") else {
        return Ok(());
    };
    let (mut table, [id, text]) = Table::open(&path, ["hadm_id", "text"])?;
    while table.next()? {
        let Some(place) = table.optional_id(id)?.and_then(|id| stays.place(id)) else {
            continue;
        };
        if let Some(course) = table.optional_text(text)?.and_then(hospital_course) {
            stays.admissions[place].notes = Some(course);
        }
    }
    Ok(())
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
