//! A quote that is not closed never swallows rows.

use mmcollapse_data::ehr::{EhrError, EhrSource, MimicIv};
use mmcollapse_files::write_atomic;

use crate::mimic_tables::{csv_bytes, tables, write};
use crate::{eicu, eicu_tables};

#[test]
fn an_unclosed_quote_names_file_and_line() {
    for (name, rows) in tables() {
        let text = String::from_utf8(csv_bytes(&rows)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // The last row but, of tables of several rows, also the first.
        for line in [2, lines.len().min(rows.len())] {
            let mut damaged: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            damaged[line - 1] = damaged[line - 1].replacen(',', ",\"", 1);
            if damaged[line - 1].matches('"').count().is_multiple_of(2) {
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), &tables(), |_| false);
            let damaged = damaged.join("\n") + "\n";
            write_atomic(&folder.path().join(format!("{name}.csv")), damaged.as_bytes()).unwrap();
            let error = MimicIv::FULL.read(folder.path()).unwrap_err();
            assert!(matches!(&error, EhrError::Quote { .. }), "{name}, {line}: {error}");
            let text = error.to_string();
            assert!(text.contains(&format!("{name}.csv, line {line}: ")), "{text}");
        }
    }
    for (name, text) in [
        ("patient", eicu_tables::PATIENT),
        ("diagnosis", eicu_tables::DIAGNOSIS),
        ("treatment", eicu_tables::TREATMENT),
        ("medication", eicu_tables::MEDICATION),
        ("note", eicu_tables::NOTE),
        ("lab", eicu_tables::LAB),
    ] {
        let error = eicu(&[(name, &text.replacen("\n1,", "\n1,\"", 1))]).unwrap_err();
        assert!(matches!(&error, EhrError::Quote { line: 2, .. }), "{name}: {error}");
    }
}

#[test]
fn line_breaks_belong_into_free_text_only() {
    let note = eicu_tables::NOTE.replace("Second,yes", "Second,\"yes,\nor \"\"no\"\"\"");
    let cohort = eicu(&[("note", &note)]).unwrap();
    assert_eq!(
        cohort.admissions[0].notes.as_deref(),
        Some("First. Second: yes,\nor \"no\"")
    );
    let medication = eicu_tables::MEDICATION.replace("ASPIRIN", "\"ASPI\nRIN\"");
    assert!(matches!(
        eicu(&[("medication", &medication)]),
        Err(EhrError::Quote { line: 2, .. })
    ));
}
