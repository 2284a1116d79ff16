//! The paper's claims and their tests, as `experiments/claims.yaml` holds them.

use miette::{Result, miette};
use serde::Deserialize;

use super::results::datasets;
use crate::experiment::ExperimentInfo;

/// All claims.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// In the paper's order.
    pub claims: Vec<Claim>,
    /// Where the paper's numbers do not fit together, a paragraph each.
    pub inconsistent: Vec<String>,
}

/// One claim.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Short name: `C6`.
    pub id: String,
    /// Where it stands in the paper.
    pub place: String,
    /// What is claimed, in our words.
    pub states: String,
    /// What must come out if it holds; none for a claim that nothing here bears on yet.
    pub tests: Vec<Test>,
}

/// One comparison over seeds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// What is compared, for readers.
    pub says: String,
    /// Name of the experiment.
    pub experiment: String,
    /// The data set that stands in for the paper's: such tests are corrected among themselves and have a verdict of their
    /// own. None for the paper's own data.
    #[serde(default)]
    pub dataset: Option<String>,
    /// Name of the protocol.
    pub protocol: String,
    /// Name of the metric.
    pub metric: String,
    /// Row of the experiment's table.
    pub row: String,
    /// Row it is compared with; 0 if none.
    #[serde(default)]
    pub against: Option<String>,
    /// The level at which; the mean over all levels if none of `level`, `from` and `to` is there.
    #[serde(default)]
    pub level: Option<f64>,
    /// The change from this level...
    #[serde(default)]
    pub from: Option<f64>,
    /// ...to this one.
    #[serde(default)]
    pub to: Option<f64>,
    /// The direction that is claimed.
    pub claimed: Direction,
    /// A difference worth having, in the metric's unit; more than 0.
    pub margin: f64,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More than the other.
    Higher,
    /// Less than the other.
    Lower,
}

impl Claims {
    /// Reads claims.
    ///
    /// # Errors
    /// What is not of this form (with its line), an experiment or a data set that is not there, a margin that is not more than 0, an id
    /// given twice, `from` without `to`.
    pub fn parse(text: &str, experiments: &[ExperimentInfo]) -> Result<Self> {
        let help = "the head of crates/mmcollapse-bench/src/report/claims.rs describes the form";
        let refused = |reason: String| miette!(help = help, "experiments/claims.yaml: {reason}");
        let claims: Self = serde_yaml::from_str(text).map_err(|e| refused(e.to_string()))?;
        for (place, claim) in claims.claims.iter().enumerate() {
            if claims.claims[..place].iter().any(|other| other.id == claim.id) {
                return Err(refused(format!("claim {} is there twice", claim.id)));
            }
            for test in &claim.tests {
                let here = format!("claim {}, \"{}\"", claim.id, test.says);
                if !experiments.iter().any(|experiment| experiment.name == test.experiment) {
                    let known: Vec<&str> = experiments.iter().map(|experiment| experiment.name).collect();
                    return Err(refused(format!(
                        "{here}: there is no experiment `{}`; there are {}",
                        test.experiment,
                        known.join(", ")
                    )));
                }
                if let Some(dataset) = test.dataset.as_deref().filter(|name| !datasets().contains(name)) {
                    return Err(refused(format!("{here}: there is no data set `{dataset}`")));
                }
                if !(test.margin > 0.0 && test.margin.is_finite()) {
                    return Err(refused(format!(
                        "{here}: the margin must be a number above 0, got {}",
                        test.margin
                    )));
                }
                let change = test.from.is_some() || test.to.is_some();
                if test.from.is_some() != test.to.is_some() || (change && test.level.is_some()) {
                    return Err(refused(format!(
                        "{here}: expected `level`, or `from` and `to` together, or none of them"
                    )));
                }
            }
        }
        Ok(claims)
    }
}
