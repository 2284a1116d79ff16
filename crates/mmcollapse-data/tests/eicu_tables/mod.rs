//! Tables of eICU in small, which tests change.

use mmcollapse_files::write_atomic;

pub const PATIENT: &str = "\
patientunitstayid,patienthealthsystemstayid,gender,age,ethnicity,hospitaladmitoffset,hospitaldischargestatus,unitvisitnumber,unitdischargeoffset,uniquepid
1,10,Female,60,Caucasian,-100,Alive,1,1000,002-1
2,10,Female,60,Caucasian,-1200,Expired,2,800,002-1
3,11,Male,> 89,,0,Alive,1,1000,002-2
4,12,,40,,0,,1,720,002-3
5,13,Male,17,Asian,0,Alive,1,1000,003-1
6,14,Male,50,Asian,0,Alive,1,719,003-2
7,15,Male,50,Asian,0,Alive,1,14401,003-3
8,16,Male,50,Asian,-50,Alive,1,1000,003-4
9,16,Male,50,Asian,-22651,Alive,2,1000,003-4
";
pub const DIAGNOSIS: &str = "\
patientunitstayid,diagnosisoffset,diagnosisstring,diagnosispriority
1,30,a|b,Other
1,40,c|d,Primary
1,1001,e|f,Primary
99,10,x,Primary
";
pub const TREATMENT: &str = "patientunitstayid,treatmentoffset,treatmentstring\n1,20,t|u\n1,10,v\n1,20,t|u\n";
pub const MEDICATION: &str = "\
patientunitstayid,drugstartoffset,drugname,drugordercancelled
1,-60,ASPIRIN,No
1,5,HEPARIN,Yes
1,6,,No
";
pub const NOTE: &str = "\
patientunitstayid,noteoffset,noteenteredoffset,notepath,notevalue,notetext
1,20,25,notes/Second,Second,yes
1,10,15,notes/First,First,First
";
pub const LAB: &str = "\
patientunitstayid,labresultoffset,labresultrevisedoffset,labname,labresult
1,20,25,sodium,140
1,10,15,potassium,4.5
1,30,35,sodium,
";

/// Name and text of each table.
pub const TABLES: [(&str, &str); 6] = [
    ("patient", PATIENT),
    ("diagnosis", DIAGNOSIS),
    ("treatment", TREATMENT),
    ("medication", MEDICATION),
    ("note", NOTE),
    ("lab", LAB),
];

/// The tables, some of them `replaced` by other texts.
pub fn folder(replaced: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in TABLES {
        let text = replaced
            .iter()
            .find(|(table, _)| *table == name)
            .map_or(text, |(_, text)| text);
        write_atomic(&folder.path().join(format!("{name}.csv")), text.as_bytes()).unwrap();
    }
    folder
}
