//! Revised results, ranges and units of laboratory values, dates that contradict each other.

use mmcollapse_data::ehr::{Cohort, Count, Task};

use crate::eicu_tables::{LAB, NOTE, PATIENT};
use crate::mimic_tables::{Tables, tables};
use crate::{counted, eicu, mimic};

/// Adds `rows` of comma-separated cells to a table.
fn with(table: &'static str, rows: &[&str]) -> Tables {
    let mut tables = tables();
    let cells = |row: &&str| row.split(',').map(str::to_owned).collect();
    tables.get_mut(table).unwrap().extend(rows.iter().map(cells));
    tables
}

/// Minute, item and value of each result of the stay `id`.
fn labs(cohort: &Cohort, id: u64) -> Vec<(i32, String, f32)> {
    let admission = cohort.admissions.iter().find(|admission| admission.id == id).unwrap();
    let label = |item: u16| cohort.lab_items[usize::from(item)].label.clone();
    admission
        .labs
        .iter()
        .map(|e| (e.minute, label(e.item), e.value))
        .collect()
}

#[test]
fn of_one_item_at_one_time_the_last_revision_counts() {
    let rows = [
        "11,50,2150-01-01 10:30:00,2150-01-01 13:00:00,141,mEq/L,",
        "11,50,2150-01-01 10:30:00,2150-01-01 12:00:00,150,mEq/L,",
        // Stored after the stay: nobody knew of it.
        "11,50,2150-01-01 10:30:00,2150-01-09 12:00:00,160,mEq/L,",
    ];
    let cohort = mimic(&with("hosp/labevents", &rows)).unwrap();
    let sodium: Vec<_> = labs(&cohort, 11)
        .into_iter()
        .filter(|(_, label, _)| label == "Sodium")
        .collect();
    assert_eq!(sodium, [(180, "Sodium".to_owned(), 141.)]);
    assert_eq!(counted(&cohort, "hosp/labevents", Count::Replaced), 2);
    assert_eq!(counted(&cohort, "hosp/labevents", Count::AfterStay), 2);

    let lab = format!("{LAB}1,20,90,sodium,138\n1,20,30,Sodium,150\n1,20,1100,sodium,155\n");
    let cohort = eicu(&[("lab", &lab)]).unwrap();
    assert_eq!(
        labs(&cohort, 1),
        [(10, "potassium".to_owned(), 4.5), (20, "Sodium".to_owned(), 138.)]
    );
    assert_eq!(counted(&cohort, "lab", Count::Replaced), 2);
    assert_eq!(counted(&cohort, "lab", Count::AfterStay), 1);
}

#[test]
fn of_notes_the_last_counts() {
    let note = |course: &str| format!("Brief Hospital Course:\n{course}\nMedications on Admission:\nnone");
    let mut tables = tables();
    let rows = tables.get_mut("note/discharge").unwrap();
    let row = |number: &str, stored: &str, text: String| -> Vec<String> {
        let cells = ["n", "31", number, "2150-01-03 00:00:00", stored];
        cells.map(str::to_owned).into_iter().chain([text]).collect()
    };
    rows.push(row("2", "2150-01-05 00:00:00", note("Last.")));
    rows.push(row("3", "2150-01-04 00:00:00", note("Before.")));
    rows.push(row("4", "2150-01-06 00:00:00", "no course".to_owned()));
    let cohort = mimic(&tables).unwrap();
    assert_eq!(cohort.admissions[2].notes.as_deref(), Some("Last."));
    assert_eq!(counted(&cohort, "note/discharge", Count::Replaced), 2);
    assert_eq!(counted(&cohort, "note/discharge", Count::NoCourse), 1);

    // A field of a form at one time: the last that was entered, and none that was entered after the stay.
    let rows =
        "1,20,30,notes/Second,Second,no\n1,20,1001,notes/Second,Second,late\n1,20,28,notes/Second,Second,maybe\n";
    let cohort = eicu(&[("note", &format!("{NOTE}{rows}"))]).unwrap();
    assert_eq!(cohort.admissions[0].notes.as_deref(), Some("First. Second: no"));
    assert_eq!(counted(&cohort, "note", Count::Replaced), 2);
    assert_eq!(counted(&cohort, "note", Count::AfterStay), 1);
}

#[test]
fn values_outside_of_ranges_are_left_out_and_counted() {
    // Potassium of blood (50971), pH of urine (no range of its own).
    let mut tables = with(
        "hosp/labevents",
        &[
            "11,50971,2150-01-01 10:31:00,2150-01-01 11:00:00,999999,mEq/L,",
            "11,50971,2150-01-01 10:32:00,2150-01-01 11:00:00,4.2,meq/l,",
            "11,50971,2150-01-01 10:33:00,2150-01-01 11:00:00,-1,,",
            "11,50971,2150-01-01 10:34:00,2150-01-01 11:00:00,4.3,mg/dL,",
            "11,40,2150-01-01 10:35:00,2150-01-01 11:00:00,999999,,",
        ],
    );
    let items = tables.get_mut("hosp/d_labitems").unwrap();
    items.push(["50971", "Potassium", "Blood"].map(str::to_owned).into());
    let cohort = mimic(&tables).unwrap();
    let potassium: Vec<_> = labs(&cohort, 11)
        .into_iter()
        .filter(|(_, label, _)| label == "Potassium")
        .collect();
    assert_eq!(potassium, [(60, "Potassium".to_owned(), 4.2)]);
    assert_eq!(counted(&cohort, "hosp/labevents", Count::OutOfRange), 3);
    assert_eq!(counted(&cohort, "hosp/labevents", Count::OtherUnit), 1);

    let lab = format!("{LAB}1,40,45,potassium,999999\n1,41,45,POTASSIUM,-3\n");
    let cohort = eicu(&[("lab", &lab)]).unwrap();
    assert_eq!(labs(&cohort, 1).len(), 2);
    assert_eq!(counted(&cohort, "lab", Count::OutOfRange), 2);
}

#[test]
fn dates_that_contradict_each_other_say_nothing() {
    // Patient 3 left on 2150-01-03, patient 1 last on 2151-01-11.
    let mortality = |table: &str, from: &str, to: &str, id: u64| {
        let mut tables = tables();
        let rows = tables.get_mut(table).unwrap();
        let found = rows.iter_mut().flatten().find(|cell| *cell == from);
        to.clone_into(found.unwrap());
        let cohort = mimic(&tables).unwrap();
        let admission = cohort.admissions.iter().find(|admission| admission.id == id).cloned();
        let label = admission.map(|admission| admission.label(Task::Mortality));
        (label, counted(&cohort, "hosp/patients", Count::DeathBeforeDischarge))
    };
    let of = |dod: &str| mortality("hosp/patients", "2150-02-12", dod, 31);
    assert_eq!(of("2150-01-03"), (Some(Some(true)), 0));
    assert_eq!(of("2150-01-02"), (Some(None), 1));
    assert_eq!(of("2149-12-31"), (Some(None), 1));

    // A discharge before the admission.
    let mut tables = tables();
    let stays = tables.get_mut("hosp/admissions").unwrap();
    "2149-12-30 00:00:00".clone_into(&mut stays[5][3]);
    tables.get_mut("note/discharge").unwrap()[1][1] = "11".to_owned();
    let cohort = mimic(&tables).unwrap();
    assert_eq!(cohort.admissions.iter().map(|a| a.id).collect::<Vec<_>>(), [11, 13]);
    assert_eq!(counted(&cohort, "hosp/admissions", Count::NegativeStay), 1);

    // An admission that begins before the discharge is no readmission; of eICU as little.
    let mut tables = crate::mimic_tables::tables();
    let stays = tables.get_mut("hosp/admissions").unwrap();
    "2150-01-02 09:00:00".clone_into(&mut stays[3][2]);
    let cohort = mimic(&tables).unwrap();
    assert_eq!(cohort.admissions[0].label(Task::Readmission), Some(false));
    assert_eq!(counted(&cohort, "hosp/admissions", Count::Overlapping), 1);
    let patient = PATIENT.replace("Caucasian,-1200,", "Caucasian,-500,");
    let cohort = eicu(&[("patient", &patient)]).unwrap();
    assert_eq!(cohort.admissions[0].label(Task::Readmission), Some(false));
    assert_eq!(counted(&cohort, "patient", Count::Overlapping), 1);

    // A drug before birth: the patient is 50.
    let rows = ["1,11,2098-01-01 00:00:00,Zinc", "1,11,2101-01-01 00:00:00,Zinc"];
    let cohort = mimic(&with("hosp/prescriptions", &rows)).unwrap();
    assert_eq!(counted(&cohort, "hosp/prescriptions", Count::BeforeBirth), 1);
    let treatment = "patientunitstayid,treatmentoffset,treatmentstring\n1,20,t\n1,-40000000,t\n";
    let cohort = eicu(&[("treatment", treatment)]).unwrap();
    assert_eq!(counted(&cohort, "treatment", Count::BeforeBirth), 1);
}
