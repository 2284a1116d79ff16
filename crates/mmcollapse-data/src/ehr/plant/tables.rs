//! The tables of MIMIC-IV, written row by row: one row is in memory at a time, however many there are.
//!
//! The headings are those of MIMIC-IV 2.2, so that whatever reads the release reads these; cells that nothing planted
//! belongs into are empty.

use std::io::{self, Write};
use std::path::Path;

use csv::Writer;
use flate2::Compression;
use flate2::write::GzEncoder;
use mmcollapse_files::AtomicFile;

use super::super::mimic_iv::LAB_TERMS;
use super::super::time::{self, DAY, MINUTE};
use super::config::PlantConfig;
use super::features::{Feature, Measured, Occurrence, Person};
use super::history::{Patient, Stay, within};

/// Number of the first patient, stay.
const SUBJECTS: u64 = 10_000_000;
const STAYS: u64 = 20_000_000;
/// Mean and standard deviation of every laboratory item, in a unit of no meaning.
const LAB_SCALE: (f64, f64) = (100., 15.);

/// A table that is being written. Rows are given by the columns that are filled.
struct Sheet {
    columns: Vec<&'static str>,
    writer: Writer<GzEncoder<AtomicFile>>,
}

impl Sheet {
    fn create(folder: &Path, name: &str, heading: &'static str) -> io::Result<Self> {
        let file = AtomicFile::create(&folder.join(format!("{name}.csv.gz")))?;
        let mut sheet = Self {
            columns: heading.split(',').collect(),
            writer: Writer::from_writer(GzEncoder::new(file, Compression::fast())),
        };
        sheet.writer.write_record(&sheet.columns)?;
        Ok(sheet)
    }

    fn row(&mut self, cells: &[(&str, &str)]) -> io::Result<()> {
        debug_assert!(cells.iter().all(|(name, _)| self.columns.contains(name)), "{cells:?}");
        for column in &self.columns {
            let cell = cells.iter().find(|(name, _)| name == column);
            self.writer.write_field(cell.map_or("", |(_, text)| text))?;
        }
        self.writer.write_record(None::<&[u8]>)?;
        Ok(())
    }

    fn commit(self) -> io::Result<()> {
        let encoder = self.writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        let mut file = encoder.finish()?;
        file.flush()?;
        file.commit()
    }
}

/// All tables of patients, stays and events.
pub(super) struct Tables {
    patients: Sheet,
    admissions: Sheet,
    diagnoses: Sheet,
    procedures: Sheet,
    prescriptions: Sheet,
    labs: Sheet,
    notes: Sheet,
    stays: u64,
    lab_rows: u64,
}

/// What a stay has of each modality that has events.
pub(super) struct Events {
    pub(super) diagnoses: Vec<Occurrence>,
    pub(super) procedures: Vec<Occurrence>,
    pub(super) medications: Vec<Occurrence>,
    pub(super) labs: Vec<Measured>,
    pub(super) notes: Vec<Occurrence>,
}

impl Tables {
    /// Opens the tables below `folder` and writes those that say what codes and items mean.
    pub(super) fn create(folder: &Path, config: &PlantConfig) -> io::Result<Self> {
        for (name, what, features) in [
            ("hosp/d_icd_diagnoses", "diagnosis", &config.diagnoses),
            ("hosp/d_icd_procedures", "procedure", &config.procedures),
        ] {
            let mut sheet = Sheet::create(folder, name, "icd_code,icd_version,long_title")?;
            for feature in Feature::all(features) {
                let (code, title) = (feature.code(), feature.title(what));
                sheet.row(&[("icd_code", &code), ("icd_version", "10"), ("long_title", &title)])?;
            }
            sheet.commit()?;
        }
        let mut sheet = Sheet::create(folder, "hosp/d_labitems", "itemid,label,fluid,category")?;
        for (i, feature) in Feature::all(&config.labs).into_iter().enumerate() {
            // The cohort has the items that these words choose.
            let label = format!("{}, {}", LAB_TERMS[i % LAB_TERMS.len()], feature.title("item"));
            let item = feature.item().to_string();
            sheet.row(&[("itemid", &item), ("label", &label), ("fluid", "Blood")])?;
        }
        sheet.commit()?;
        let open = |name: &str, heading| Sheet::create(folder, name, heading);
        Ok(Self {
            patients: open(
                "hosp/patients",
                "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
            )?,
            admissions: open(
                "hosp/admissions",
                "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admit_provider_id,admission_location,\
                 discharge_location,insurance,language,marital_status,race,edregtime,edouttime,hospital_expire_flag",
            )?,
            diagnoses: open("hosp/diagnoses_icd", "subject_id,hadm_id,seq_num,icd_code,icd_version")?,
            procedures: open(
                "hosp/procedures_icd",
                "subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version",
            )?,
            prescriptions: open(
                "hosp/prescriptions",
                "subject_id,hadm_id,pharmacy_id,poe_id,poe_seq,order_provider_id,starttime,stoptime,drug_type,drug,\
                 formulary_drug_cd,gsn,ndc,prod_strength,form_rx,dose_val_rx,dose_unit_rx,form_val_disp,form_unit_disp,\
                 doses_per_24_hrs,route",
            )?,
            labs: open(
                "hosp/labevents",
                "labevent_id,subject_id,hadm_id,specimen_id,itemid,order_provider_id,charttime,storetime,value,valuenum,\
                 valueuom,ref_range_lower,ref_range_upper,flag,priority,comments",
            )?,
            notes: open(
                "note/discharge",
                "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
            )?,
            stays: 0,
            lab_rows: 0,
        })
    }

    /// A patient; the stays follow by [`Tables::stay`].
    pub(super) fn patient(&mut self, patient: &Patient, person: &Person, year: i64) -> io::Result<()> {
        self.patients.row(&[
            ("subject_id", &(SUBJECTS + patient.number).to_string()),
            ("gender", person.gender),
            ("anchor_age", &person.age.to_string()),
            ("anchor_year", &year.to_string()),
            ("dod", &patient.died.map(time::date_text).unwrap_or_default()),
        ])
    }

    /// A stay of `patient`, with its events.
    pub(super) fn stay(&mut self, patient: &Patient, person: &Person, stay: &Stay, events: &Events) -> io::Result<()> {
        let subject = (SUBJECTS + patient.number).to_string();
        let id = (STAYS + self.stays).to_string();
        self.stays += 1;
        let (subject, id) = (("subject_id", subject.as_str()), ("hadm_id", id.as_str()));
        let discharged = time::text(stay.discharged);
        let died = if stay.died_in_hospital { discharged.as_str() } else { "" };
        self.admissions.row(&[
            subject,
            id,
            ("admittime", &time::text(stay.admitted)),
            ("dischtime", &discharged),
            ("deathtime", died),
            ("race", &format!("PLANTED GROUP {}", person.group)),
            ("hospital_expire_flag", if stay.died_in_hospital { "1" } else { "0" }),
        ])?;
        for (rank, (feature, _)) in (1_u32..).zip(&events.diagnoses) {
            self.diagnoses.row(&[
                subject,
                id,
                ("seq_num", &rank.to_string()),
                ("icd_code", &feature.code()),
                ("icd_version", "10"),
            ])?;
        }
        let at = |share: f64| stay.admitted + within(0, stay.minutes() + 1, share) * MINUTE;
        for (rank, (feature, share)) in (1_u32..).zip(&events.procedures) {
            self.procedures.row(&[
                subject,
                id,
                ("seq_num", &rank.to_string()),
                ("chartdate", &time::date_text(at(*share))),
                ("icd_code", &feature.code()),
                ("icd_version", "10"),
            ])?;
        }
        for (feature, share) in &events.medications {
            let start = at(*share);
            self.prescriptions.row(&[
                subject,
                id,
                ("starttime", &time::text(start)),
                ("stoptime", &time::text(start + DAY)),
                ("drug_type", "MAIN"),
                ("drug", &feature.title("drug")),
            ])?;
        }
        for measured in &events.labs {
            self.lab(subject, id, &time::text(at(measured.at)), measured)?;
        }
        if !events.notes.is_empty() {
            self.notes.row(&[
                ("note_id", &format!("{}-DS-1", id.1)),
                subject,
                id,
                ("note_type", "DS"),
                ("charttime", &discharged),
                ("text", &note(&events.notes)),
            ])?;
        }
        Ok(())
    }

    fn lab(&mut self, subject: (&str, &str), id: (&str, &str), at: &str, measured: &Measured) -> io::Result<()> {
        self.lab_rows += 1;
        let value = format!("{:.1}", LAB_SCALE.0 + LAB_SCALE.1 * measured.value);
        self.labs.row(&[
            ("labevent_id", &self.lab_rows.to_string()),
            subject,
            id,
            ("itemid", &measured.feature.item().to_string()),
            ("charttime", at),
            ("storetime", at),
            ("value", &value),
            ("valuenum", &value),
            // Beyond two standard deviations, as reference ranges usually are.
            ("flag", if measured.value.abs() > 2. { "abnormal" } else { "" }),
        ])
    }

    /// Completes all tables.
    pub(super) fn commit(self) -> io::Result<()> {
        [
            self.patients,
            self.admissions,
            self.diagnoses,
            self.procedures,
            self.prescriptions,
            self.labs,
            self.notes,
        ]
        .into_iter()
        .try_for_each(Sheet::commit)
    }
}

/// A note whose hospital course holds the words, in the order of their places.
fn note(words: &[Occurrence]) -> String {
    let mut words = words.to_vec();
    words.sort_by(|a, b| a.1.total_cmp(&b.1));
    let words: Vec<String> = words
        .into_iter()
        .map(|(feature, _)| match feature {
            Feature::Constant => "synthetic".to_owned(),
            Feature::Predictive(i) => format!("predictive{i}"),
            Feature::Noisy(i) => format!("noisy{i}"),
        })
        .collect();
    let course = words.join(" ");
    format!("Name: ___\n\nBrief Hospital Course:\n{course}\n\nMedications on Admission:\nnone\n")
}
