//! What a reader took of each table and what it left out, by reason, and how many admissions have each modality.
//!
//! A join that matches nothing makes a modality vanish without a word. So every reader counts, and the counts travel with the
//! cohort: `data verify` prints them, and errors about missing modalities quote them. They are counts only, never cells.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::cohort::{Admission, Modality};
use super::error::EhrError;

/// What is counted of a table's rows beside those that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Count {
    /// The row names no stay.
    NoStay,
    /// The row's stay is none of the table of stays.
    UnknownStay,
    /// The row's stay is outside the cohort.
    OtherStay,
    /// The row's item is none that is read.
    OtherItem,
    /// The row has no time.
    NoTime,
    /// It was known after the stay only.
    AfterStay,
    /// Its time lies before the patient's birth.
    BeforeBirth,
    /// The row has no value, or no name.
    NoValue,
    /// The code has no title.
    NoTitle,
    /// The note has no hospital course.
    NoCourse,
    /// The value lies outside the range of its item.
    OutOfRange,
    /// The value is in a unit that the range of its item does not know.
    OtherUnit,
    /// The order was cancelled.
    Cancelled,
    /// A later revision, or the same once more, takes its place.
    Replaced,
    /// Nothing says which of several values at once is later: their mean is taken.
    Joined,
    /// The discharge precedes the admission.
    NegativeStay,
    /// The stay is longer or shorter than the cohort's.
    OtherLength,
    /// The patient's age is outside the cohort's.
    OtherAge,
    /// The patient died in hospital.
    DiedInHospital,
    /// A date of death before a discharge alive counts as unknown.
    DeathBeforeDischarge,
    /// The next admission begins before the discharge and is no readmission.
    Overlapping,
    /// Leading zeros that the code had lost were put back.
    ZerosRestored,
    /// The item's label was found in other capitals.
    OtherCapitals,
}

impl Count {
    /// What the counted ones are, as a sentence goes on after their number.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoStay => "without a stay's number",
            Self::UnknownStay => "of stays that are in no row of the table of stays",
            Self::OtherStay => "of stays outside the cohort",
            Self::OtherItem => "of items that are not read",
            Self::NoTime => "without a time",
            Self::AfterStay => "known after the stay only",
            Self::BeforeBirth => "before birth",
            Self::NoValue => "without a value",
            Self::NoTitle => "of codes without a title",
            Self::NoCourse => "without a hospital course",
            Self::OutOfRange => "outside the range of the item",
            Self::OtherUnit => "in another unit",
            Self::Cancelled => "cancelled",
            Self::Replaced => "replaced by a later or equal row",
            Self::Joined => "joined into the mean of their minute",
            Self::NegativeStay => "with a discharge before the admission",
            Self::OtherLength => "of another length",
            Self::OtherAge => "of another age",
            Self::DiedInHospital => "with a death in hospital",
            Self::DeathBeforeDischarge => "dates of death before a discharge alive, taken as unknown",
            Self::Overlapping => "next admissions before the discharge, taken as none",
            Self::ZerosRestored => "codes with leading zeros restored",
            Self::OtherCapitals => "labels in other capitals",
        }
    }
}

/// What became of the rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCoverage {
    /// The table, without ending.
    pub table: String,
    /// Rows below the heading.
    pub rows: u64,
    /// Rows that are not used, each under the first reason that it met.
    pub dropped: BTreeMap<Count, u64>,
    /// What else was noticed.
    pub noted: BTreeMap<Count, u64>,
}

impl TableCoverage {
    /// No rows yet.
    pub(crate) fn new(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            ..Self::default()
        }
    }

    /// Counts `n` rows as not used.
    pub(crate) fn drop(&mut self, why: Count, n: u64) {
        if n > 0 {
            *self.dropped.entry(why).or_default() += n;
        }
    }

    /// Counts something that `n` rows are used in spite of, or values rather than rows.
    pub(crate) fn note(&mut self, what: Count, n: u64) {
        if n > 0 {
            *self.noted.entry(what).or_default() += n;
        }
    }

    /// Rows that are used.
    pub fn used(&self) -> u64 {
        self.rows.saturating_sub(self.dropped.values().sum())
    }
}

impl fmt::Display for TableCoverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} rows, {} used", self.table, self.rows, self.used())?;
        let list = |counts: &BTreeMap<Count, u64>| {
            let each = counts.iter().map(|(what, n)| format!("{n} {}", what.label()));
            each.collect::<Vec<_>>().join(", ")
        };
        if !self.dropped.is_empty() {
            write!(f, "; left out {}", list(&self.dropped))?;
        }
        if !self.noted.is_empty() {
            write!(f, "; noticed {}", list(&self.noted))?;
        }
        Ok(())
    }
}

/// What a cohort was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Admissions of the cohort.
    pub admissions: usize,
    /// Admissions that have the modality, by its name, in the order of [`Modality::ALL`].
    pub modalities: Vec<(String, usize)>,
    /// Each table that was read, in the order of reading.
    pub tables: Vec<TableCoverage>,
}

impl Coverage {
    /// Coverage of `admissions`, read from `tables`.
    pub fn new(admissions: &[Admission], tables: Vec<TableCoverage>) -> Self {
        let having = |modality: Modality| admissions.iter().filter(|admission| admission.has(modality)).count();
        Self {
            admissions: admissions.len(),
            modalities: Modality::ALL
                .map(|modality| (modality.name().to_owned(), having(modality)))
                .into(),
            tables,
        }
    }

    /// Whether every modality that is `promised` by the tables of `folder` is there.
    ///
    /// # Errors
    /// The first that no admission has, and what became of the rows of every table.
    pub(crate) fn promised(&self, folder: &Path, promised: impl Fn(Modality) -> bool) -> Result<(), EhrError> {
        let absent = |modality: &Modality| {
            let mut of = self.modalities.iter().filter(|(name, _)| name == modality.name());
            promised(*modality) && of.all(|(_, n)| *n == 0)
        };
        match Modality::ALL.into_iter().find(absent) {
            None => Ok(()),
            Some(modality) => Err(EhrError::NobodyHas {
                folder: folder.to_owned(),
                modality: modality.name(),
                counts: self
                    .tables
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("\n"),
            }),
        }
    }

    /// One line a modality, then one a table.
    pub fn lines(&self) -> Vec<String> {
        let of = self.admissions.max(1) as f64;
        let modality = |(name, n): &(String, usize)| {
            format!(
                "{name}: {n} of {} admissions ({:.1} %)",
                self.admissions,
                100. * *n as f64 / of
            )
        };
        let modalities = self.modalities.iter().map(modality);
        modalities.chain(self.tables.iter().map(ToString::to_string)).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
