//! What every source of health records is turned into: admissions with six modalities and two labels.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::coverage::Coverage;

/// Admissions of one source, with the words and items that their events point to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cohort {
    /// Name of the source.
    pub source: String,
    /// What a [`CodeEvent`] may be, each once.
    pub codes: Vec<Code>,
    /// What a [`LabEvent`] may measure, each once, by id; every item was measured in some admission.
    pub lab_items: Vec<LabItem>,
    /// What of each table it was made of.
    #[serde(default)]
    pub coverage: Coverage,
    /// The admissions, sorted by patient and time.
    #[serde(skip)]
    pub admissions: Vec<Admission>,
}

/// One stay in hospital.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admission {
    /// The patient.
    pub subject: u64,
    /// The stay; unique in a cohort.
    pub id: u64,
    /// From admission to discharge, in whole minutes.
    pub minutes: i64,
    /// What is predicted, where it is known.
    pub outcome: Outcome,
    /// Age, gender, ethnicity.
    pub demographics: Option<Demographics>,
    /// Diagnoses in the order of their importance; coded after discharge, so all at minute 0.
    pub diagnoses: Vec<CodeEvent>,
    /// Procedures by time.
    pub procedures: Vec<CodeEvent>,
    /// Medications by time.
    pub medications: Vec<CodeEvent>,
    /// Raw measurements by time and item.
    pub labs: Vec<LabEvent>,
    /// The part of the notes that tells the course of the stay.
    pub notes: Option<String>,
}

/// The two labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether the patient died, in the time after discharge that the source says; `None` where unknowable.
    pub mortality: Option<bool>,
    /// Whether the patient came back, in the time that the source says; `None` where unknowable.
    pub readmission: Option<bool>,
}

/// Age, gender, ethnicity, as the source writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demographics {
    /// Years at admission.
    pub age: u32,
    /// As the source writes it.
    pub gender: String,
    /// As the source writes it.
    pub ethnicity: String,
}

/// Something that can be coded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Code {
    /// What it codes.
    pub kind: CodeKind,
    /// The code with its system, such as `icd9:4139`; of a medication the name as written.
    pub code: String,
    /// What it means, in lower case: what embeddings are made of.
    pub title: String,
}

/// What a code stands for. The order is that of MUSE's sequence for events of the same minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeKind {
    /// A diagnosis.
    Diagnosis,
    /// A medication.
    Medication,
    /// A procedure.
    Procedure,
}

/// A code at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(i32, u32)", into = "(i32, u32)")]
pub struct CodeEvent {
    /// Minutes since admission; negative for what precedes it.
    pub minute: i32,
    /// Place in [`Cohort::codes`].
    pub code: u32,
}

impl From<(i32, u32)> for CodeEvent {
    fn from((minute, code): (i32, u32)) -> Self {
        Self { minute, code }
    }
}

impl From<CodeEvent> for (i32, u32) {
    fn from(event: CodeEvent) -> Self {
        (event.minute, event.code)
    }
}

/// Something that a laboratory measures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabItem {
    /// The source's number of it.
    pub id: u32,
    /// The source's name of it.
    pub label: String,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(i32, u16, f32, u8)", into = "(i32, u16, f32, u8)")]
pub struct LabEvent {
    /// Minutes since admission at which the result was known; negative for what precedes it.
    pub minute: i32,
    /// Place in [`Cohort::lab_items`].
    pub item: u16,
    /// The value in the source's unit, not standardised: that takes statistics of the training admissions.
    pub value: f32,
    /// Whether the laboratory marked it.
    pub abnormal: bool,
}

impl From<(i32, u16, f32, u8)> for LabEvent {
    fn from((minute, item, value, abnormal): (i32, u16, f32, u8)) -> Self {
        Self {
            minute,
            item,
            value,
            abnormal: abnormal != 0,
        }
    }
}

impl From<LabEvent> for (i32, u16, f32, u8) {
    fn from(event: LabEvent) -> Self {
        (event.minute, event.item, event.value, u8::from(event.abnormal))
    }
}

/// One of the six modalities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Modality {
    /// Age, gender, ethnicity.
    Demographics,
    /// Diagnosis codes.
    Diagnoses,
    /// Procedure codes.
    Procedures,
    /// Medications.
    Medications,
    /// Laboratory values.
    Labs,
    /// Clinical notes.
    Notes,
}

impl Modality {
    /// All six, in the order of tables.
    pub const ALL: [Self; 6] = [
        Self::Demographics,
        Self::Diagnoses,
        Self::Procedures,
        Self::Medications,
        Self::Labs,
        Self::Notes,
    ];

    /// Name in specs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Demographics => "demographics",
            Self::Diagnoses => "diagnoses",
            Self::Procedures => "procedures",
            Self::Medications => "medications",
            Self::Labs => "labs",
            Self::Notes => "notes",
        }
    }
}

/// One of the two labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// [`Outcome::mortality`].
    Mortality,
    /// [`Outcome::readmission`].
    Readmission,
}

impl Task {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Mortality, Self::Readmission];

    /// Name in specs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mortality => "mortality",
            Self::Readmission => "readmission",
        }
    }
}

/// How many admissions have a label, and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelCounts {
    /// It happened.
    pub yes: usize,
    /// It did not happen.
    pub no: usize,
    /// Nobody can know.
    pub unknown: usize,
}

impl LabelCounts {
    /// Counts one more label.
    pub fn count(&mut self, label: Option<bool>) {
        match label {
            Some(true) => self.yes += 1,
            Some(false) => self.no += 1,
            None => self.unknown += 1,
        }
    }
}

impl Admission {
    /// Whether the source holds anything of `modality` for this stay. No code at all is nothing.
    pub fn has(&self, modality: Modality) -> bool {
        match modality {
            Modality::Demographics => self.demographics.is_some(),
            Modality::Diagnoses => !self.diagnoses.is_empty(),
            Modality::Procedures => !self.procedures.is_empty(),
            Modality::Medications => !self.medications.is_empty(),
            Modality::Labs => !self.labs.is_empty(),
            Modality::Notes => self.notes.is_some(),
        }
    }

    /// The label of `task`, if it is known.
    pub fn label(&self, task: Task) -> Option<bool> {
        match task {
            Task::Mortality => self.outcome.mortality,
            Task::Readmission => self.outcome.readmission,
        }
    }
}

impl Cohort {
    /// The codes of `admission` in MUSE's sequence: diagnoses first, then medications and procedures by minute, kind
    /// and title. An encoder keeps the last of them (MUSE: 50).
    ///
    /// # Panics
    /// When `admission` is of another cohort and points beyond [`Cohort::codes`], as slices do.
    pub fn code_sequence(&self, admission: &Admission) -> Vec<CodeEvent> {
        let mut later: Vec<CodeEvent> = admission
            .procedures
            .iter()
            .chain(&admission.medications)
            .copied()
            .collect();
        let key = |event: &CodeEvent| {
            let code = &self.codes[event.code as usize];
            (event.minute, code.kind, code.title.as_str())
        };
        later.sort_by(|a, b| key(a).cmp(&key(b)));
        admission.diagnoses.iter().copied().chain(later).collect()
    }

    /// How many admissions have which label of `task`.
    pub fn label_counts(&self, task: Task) -> LabelCounts {
        let mut counts = LabelCounts::default();
        for admission in &self.admissions {
            counts.count(admission.label(task));
        }
        counts
    }

    /// Those of the admissions at `index` whose label of `task` is known, in that order.
    ///
    /// # Panics
    /// When an index is out of range, as slices do.
    pub fn labelled(&self, index: &[usize], task: Task) -> Vec<usize> {
        let known = index.iter().filter(|&&i| self.admissions[i].label(task).is_some());
        known.copied().collect()
    }

    /// Number of different patients.
    pub fn patients(&self) -> usize {
        let subjects: BTreeSet<u64> = self.admissions.iter().map(|admission| admission.subject).collect();
        subjects.len()
    }
}
