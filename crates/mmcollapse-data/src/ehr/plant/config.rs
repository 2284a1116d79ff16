//! What is planted: sizes, strengths and rates. Their defaults stand in `data/ehr-planted.yaml`.

use serde::{Deserialize, Serialize};

/// Everything that a folder of planted tables depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantConfig {
    /// Patients. More of them leave the first ones as they are.
    pub patients: u64,
    /// Seed of all draws.
    pub seed: u64,
    /// Stays, risk and outcomes.
    pub history: History,
    /// Age, gender, group.
    pub demographics: PlantedDemographics,
    /// Codes of diagnoses.
    pub diagnoses: Features,
    /// Codes of procedures.
    pub procedures: Features,
    /// Drugs.
    pub medications: Features,
    /// Items of the laboratory.
    pub labs: Features,
    /// Words of the discharge note.
    pub notes: Features,
    /// Drawings of blood of a stay that has any, mean.
    pub blood_draws: usize,
}

/// Stays, risk and outcomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Mean number of a patient's admissions, where no death ends the history.
    pub admissions: f64,
    /// Share of the risk's variance that all stays of a patient have in common.
    pub patient_share: f64,
    /// Log-odds of either label per standard deviation of the risk.
    pub slope: f64,
    /// Share of discharges followed by death within 90 days.
    pub mortality: f64,
    /// Share of next admissions that lie within 15 days.
    pub readmission: f64,
    /// Chance of dying in hospital, where no discharge lies within the 90 days before.
    pub in_hospital: f64,
    /// Share of stays of more than 14 400 minutes.
    pub long_stays: f64,
    /// Share of the patients whose history ends alive of whom a later death is known.
    pub later_deaths: f64,
}

/// How the patient's share of the risk shows in age, gender and group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantedDemographics {
    /// How many of the three, in this order, tell it.
    pub predictive: usize,
    /// Ratio of what tells it to noise, in standard deviations.
    pub strength: f64,
}

/// The features of a modality.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// Features that the risk makes likelier (of laboratory items: higher).
    pub predictive: usize,
    /// Features that are independent of the risk.
    pub noisy: usize,
    /// Log-odds (of laboratory values: standard deviations) per standard deviation of the risk.
    pub strength: f64,
    /// Share of the stays that have the modality.
    pub presence: f64,
    /// Chance of a feature in a stay of average risk (of a laboratory item: in a drawing of blood).
    pub frequency: f64,
}

impl PlantConfig {
    /// Whether it can be planted.
    ///
    /// # Errors
    /// The first value out of its range, and the range.
    pub fn check(&self) -> Result<(), String> {
        let history = &self.history;
        let features = [
            ("diagnoses", &self.diagnoses),
            ("procedures", &self.procedures),
            ("medications", &self.medications),
            ("labs", &self.labs),
            ("notes", &self.notes),
        ];
        let mut shares = vec![
            ("history.patient_share".to_owned(), history.patient_share),
            ("history.in_hospital".to_owned(), history.in_hospital),
            ("history.long_stays".to_owned(), history.long_stays),
            ("history.later_deaths".to_owned(), history.later_deaths),
        ];
        let mut chances = vec![
            ("history.mortality".to_owned(), history.mortality),
            ("history.readmission".to_owned(), history.readmission),
        ];
        let mut slopes = vec![
            ("history.slope".to_owned(), history.slope),
            ("demographics.strength".to_owned(), self.demographics.strength),
        ];
        for (name, features) in features {
            shares.push((format!("{name}.presence"), features.presence));
            chances.push((format!("{name}.frequency"), features.frequency));
            slopes.push((format!("{name}.strength"), features.strength));
            if features.predictive.max(features.noisy) > MOST_FEATURES {
                return Err(format!("{name} has more than {MOST_FEATURES} features of a kind"));
            }
        }
        let wrong = |(name, value): &(String, f64), range: &str| Err(format!("{name} is {value}, expected {range}"));
        if let Some(share) = shares.iter().find(|(_, value)| !(0. ..=1.).contains(value)) {
            return wrong(share, "a share from 0 to 1");
        }
        // A rate of 0 or 1 has no log-odds.
        if let Some(chance) = chances.iter().find(|(_, value)| !(*value > 0. && *value < 1.)) {
            return wrong(chance, "a share between 0 and 1, neither of them");
        }
        if let Some(slope) = slopes.iter().find(|(_, value)| !(0. ..=10.).contains(value)) {
            return wrong(slope, "a number from 0 to 10");
        }
        if !(1. ..=10.).contains(&history.admissions) {
            return wrong(
                &("history.admissions".to_owned(), history.admissions),
                "a number from 1 to 10",
            );
        }
        if self.demographics.predictive > 3 {
            return Err("demographics.predictive is more than 3: age, gender and group".to_owned());
        }
        if !(1..=100).contains(&self.blood_draws) {
            return Err(format!("blood_draws is {}, expected 1 to 100", self.blood_draws));
        }
        if !(1..=MOST_PATIENTS).contains(&self.patients) {
            return Err(format!("patients is {}, expected 1 to {MOST_PATIENTS}", self.patients));
        }
        Ok(())
    }
}

/// Numbers of items have to stay apart.
const MOST_FEATURES: usize = 1000;
/// Numbers of patients keep their eight digits.
const MOST_PATIENTS: u64 = 10_000_000;
