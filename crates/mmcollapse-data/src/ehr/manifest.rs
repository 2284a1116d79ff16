//! The manifests in `data/*.yaml` of health records: which folder, how to get it, what was found in it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cohort::{Cohort, LabelCounts, Task};
use super::error::EhrError;
use super::plant::PlantConfig;
use super::table;
use crate::manifest::BuiltIn;
use crate::open::{Open, OpenFolder};

/// A source: a folder of tables that the user names.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct RecordsManifest {
    /// Name on the command line, and of the manifest.
    pub name: String,
    /// Full name.
    pub title: String,
    /// Licence of the data.
    pub licence: String,
    /// Whom to cite.
    pub citation: String,
    /// Environment variable that holds the folder's path.
    pub variable: String,
    /// Where the tables can be had.
    pub address: String,
    /// What a user does to have them, in order.
    pub steps: Vec<String>,
    /// Tables that have to be there: paths below the folder without `.csv` or `.csv.gz`.
    pub tables: Vec<String>,
    /// Tables without which a modality is missing.
    #[serde(default)]
    pub optional: Vec<String>,
    /// What anyone may download of it, which is then what was tested with.
    #[serde(default)]
    pub open: Vec<OpenFolder>,
    /// What the cohort rules leave, where that was counted.
    #[serde(default)]
    pub cohort: Option<CohortCounts>,
    /// What is planted by default, which makes the source a synthetic one.
    #[serde(default)]
    pub planted: Option<PlantConfig>,
}

/// What is in a cohort.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct CohortCounts {
    /// Admissions.
    pub admissions: usize,
    /// Labels of [`Task::Mortality`].
    pub mortality: LabelCounts,
    /// Labels of [`Task::Readmission`].
    pub readmission: LabelCounts,
}

impl fmt::Display for CohortCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |counts: &LabelCounts| format!("{} yes, {} no, {} unknown", counts.yes, counts.no, counts.unknown);
        let (mortality, readmission) = (of(&self.mortality), of(&self.readmission));
        write!(
            f,
            "{} admissions; mortality {mortality}; readmission {readmission}",
            self.admissions
        )
    }
}

impl CohortCounts {
    /// The counts of `cohort`.
    pub fn of(cohort: &Cohort) -> Self {
        Self {
            admissions: cohort.admissions.len(),
            mortality: cohort.label_counts(Task::Mortality),
            readmission: cohort.label_counts(Task::Readmission),
        }
    }
}

impl BuiltIn for RecordsManifest {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        for folder in &self.open {
            folder.check().map_err(|reason| format!("open: {reason}"))?;
        }
        let planted = self.planted.as_ref().map_or(Ok(()), PlantConfig::check);
        planted.map_err(|reason| format!("planted: {reason}"))
    }
}

impl RecordsManifest {
    /// The tables in `folder`, compressed or not.
    ///
    /// # Errors
    /// When one is missing that the source cannot do without.
    pub fn files(&self, folder: &Path) -> Result<Vec<PathBuf>, EhrError> {
        let required = self.tables.iter().map(|name| table::require(folder, name));
        let optional = self.optional.iter().filter_map(|name| table::find(folder, name));
        required.chain(optional.map(Ok)).collect()
    }

    /// Where the tables are, and how to have them.
    pub fn open(&self) -> Open<'_> {
        Open {
            name: &self.name,
            title: &self.title,
            variable: &self.variable,
            address: &self.address,
            folders: self.open.clone(),
        }
    }

    /// The steps as a numbered list, one a line.
    pub fn numbered_steps(&self) -> String {
        let lines = (1..).zip(&self.steps).map(|(i, step)| format!("{i}. {step}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_reads() {
        for manifest in RecordsManifest::all().unwrap() {
            assert!(manifest.numbered_steps().starts_with("1. "), "{}", manifest.name);
            assert!(!manifest.tables.is_empty() && !manifest.licence.is_empty());
        }
        let (name, text) = RecordsManifest::texts().next().unwrap();
        assert!(RecordsManifest::parse("other", text).is_err());
        assert!(RecordsManifest::parse(name, &text.replace("licence:", "license:")).is_err());
        assert!(RecordsManifest::find("mimic").is_err());

        let (name, text) = RecordsManifest::texts().last().unwrap();
        let mistake = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            RecordsManifest::parse(name, &text.replace(from, to))
                .unwrap_err()
                .to_string()
        };
        assert!(
            mistake("mortality: 0.06", "mortality: 1").contains("history.mortality is 1, expected a share between")
        );
        assert!(mistake("presence: 0.7", "presence: 1.2").contains("notes.presence is 1.2"));
        assert!(mistake("noisy: 60", "noise: 60").contains("unknown field `noise`"));
        assert!(mistake("patients: 1000", "patients: 0").contains("patients is 0"));
    }
}
