//! Tables of MIMIC-IV in small, which tests change.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use mmcollapse_files::write_atomic;

/// Tables by name, each as rows of cells, the first being the heading.
pub type Tables = BTreeMap<&'static str, Vec<Vec<String>>>;

/// Three invented patients. Patient 1: stays 11 (kept), 12 (11 days), 13 (kept, last). Patient 2: 21 (died in hospital).
/// Patient 3: 31 (kept), dead 40 days later. Patient 4: 41, 17 years old.
pub fn tables() -> Tables {
    let texts = [
        (
            "hosp/patients",
            "subject_id,gender,anchor_age,anchor_year,dod|1,F,50,2150,|2,M,60,2150,2150-01-03|3,M,89,2150,2150-02-12|\
             4,F,17,2150,",
        ),
        (
            "hosp/admissions",
            "subject_id,hadm_id,admittime,dischtime,hospital_expire_flag,race|\
             1,13,2151-01-01 00:00:00,2151-01-11 00:00:00,0,WHITE|\
             1,11,2150-01-01 10:00:00,2150-01-02 10:00:00,0,WHITE|\
             1,12,2150-01-12 00:00:00,2150-01-23 00:00:00,0,WHITE|\
             2,21,2150-01-01 00:00:00,2150-01-03 00:00:00,1,OTHER|\
             3,31,2150-01-01 00:00:00,2150-01-03 12:00:00,0,ASIAN|\
             4,41,2150-01-01 00:00:00,2150-01-03 00:00:00,0,ASIAN",
        ),
        (
            "hosp/d_icd_diagnoses",
            "icd_code,icd_version,long_title|A1,9,Old Cold|A1,10,New Cold",
        ),
        (
            "hosp/diagnoses_icd",
            "subject_id,hadm_id,seq_num,icd_code,icd_version|1,11,2,A1,9|1,11,1,A1,10|1,11,1,A1,10|1,11,3,ZZ,10|\
             1,12,1,A1,9",
        ),
        ("hosp/d_icd_procedures", "icd_code,icd_version,long_title|P1,10,Cut"),
        (
            "hosp/procedures_icd",
            "subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version|1,11,1,2150-01-02,P1,10|1,11,2,2150-01-03,P1,10",
        ),
        (
            "hosp/prescriptions",
            "subject_id,hadm_id,starttime,drug|1,11,2150-01-02 00:00:00,Zinc|1,11,2150-01-02 00:00:00,Zinc|\
             1,11,2150-01-01 09:00:00,Aspirin|1,11,,Aspirin|1,,2150-01-02 00:00:00,Zinc",
        ),
        (
            "hosp/d_labitems",
            "itemid,label,fluid|50,Sodium,Blood|40,\"pH, Urine\",Urine|60,Glucose,Blood|70,Lactate,Blood",
        ),
        (
            "hosp/labevents",
            "hadm_id,itemid,charttime,storetime,valuenum,valueuom,flag|\
             11,50,2150-01-01 10:30:00,2150-01-01 11:00:00,140,mEq/L,|\
             11,40,2150-01-01 10:30:00,2150-01-01 11:00:00,5.5,,abnormal|\
             11,60,2150-01-01 10:30:00,2150-01-01 11:00:00,100,,|\
             11,50,2150-01-05 00:00:00,2150-01-05 00:00:00,150,,|\
             11,50,2150-01-01 10:45:00,2150-01-01 12:00:00,,,|\
             ,50,2150-01-01 10:45:00,2150-01-01 12:00:00,9,,|\
             31,50,2149-12-31 22:00:00,2149-12-31 23:00:00,130,,",
        ),
        (
            "note/discharge",
            "note_id,hadm_id,note_seq,charttime,storetime,text|n,31,1,2150-01-03 00:00:00,,\"Brief Hospital Course:\nShort, \"\"good\"\".\nMedications on Admission: none\"",
        ),
    ];
    // Cells are split by the parser itself, as some hold commas and line breaks.
    let parse = |text: &str| {
        let text = text.replace('|', "\n");
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes());
        let rows = reader
            .records()
            .map(|row| row.unwrap().iter().map(String::from).collect());
        rows.collect::<Vec<Vec<String>>>()
    };
    texts.into_iter().map(|(name, text)| (name, parse(text))).collect()
}

pub fn csv_bytes(rows: &[Vec<String>]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).unwrap();
    }
    writer.into_inner().unwrap()
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn write(folder: &Path, tables: &Tables, compressed: impl Fn(usize) -> bool) {
    for (i, (name, rows)) in tables.iter().enumerate() {
        let bytes = csv_bytes(rows);
        let (ending, bytes) = if compressed(i) {
            ("csv.gz", gz(&bytes))
        } else {
            ("csv", bytes)
        };
        write_atomic(&folder.join(format!("{name}.{ending}")), &bytes).unwrap();
    }
}
