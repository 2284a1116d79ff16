//! The numbers that the paper prints, as an experiment's `paper.yaml` holds them.
//!
//! ```yaml
//! source: {reference: "Authors, Title, Venue", table: "Table 4", caption: what the table says it shows}
//! metric: accuracy
//! unit: percent                      # as printed; kept as a share in [0, 1] once read
//! rates: [0.95, 0.90]                # the columns
//! rows:
//!   - {fusion: shaspec, reallocation: kd, values: [95.02, 95.16]}
//! unclear: [what the paper leaves open]
//! ```
//!
//! A row is found by fusion and reallocation, so that the rows of an experiment may have other names, and
//! several variants of a method stand beside the one number that the paper has for it.

use mmcollapse_record::{ExperimentInfo, Metric, RowId, same_level};
use std::collections::BTreeMap;
use std::sync::Arc;

use miette::{NamedSource, SourceSpan};
use serde::Deserialize;

/// One table of the paper.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// Where the numbers stand; not said where there are none.
    pub source: Option<Source>,
    /// What they measure, by the name it has in scores.
    pub metric: Metric,
    /// In what unit they are printed.
    pub unit: Unit,
    /// Levels of the columns: missing or noise rates in [0, 1], or values of beta.
    pub rates: Vec<f64>,
    /// The rows, in the paper's order.
    pub rows: Vec<PaperRow>,
    /// What the paper prints as a mean over levels, of several labels or metrics.
    #[serde(default)]
    pub means: Vec<PaperMean>,
    /// What the paper leaves open about them.
    #[serde(default)]
    pub unclear: Vec<String>,
}

/// Means of one method over the levels, as printed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperMean {
    /// The fusion method.
    pub fusion: String,
    /// The reallocation; `none` if the paper has the plain method.
    #[serde(default = "none")]
    pub reallocation: String,
    /// By column (`mortality_auroc`), in [`Paper::unit`] in the file; percentages are shares once read.
    pub values: BTreeMap<String, f64>,
}

impl PaperMean {
    /// The method for readers: `ShaSpec + KD`.
    pub fn label(&self) -> String {
        RowId::plain(&self.fusion, &self.reallocation).label()
    }
}

/// Where numbers stand.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Authors, title, venue.
    pub reference: String,
    /// The table's name in the paper.
    pub table: String,
    /// What its columns are.
    pub caption: String,
}

/// Unit of printed numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// 0 to 100.
    Percent,
    /// 0 to 1.
    Share,
    /// Numbers in a unit of their own, as variance inflation factors.
    Number,
    /// p values.
    Probability,
}

impl Unit {
    /// What a printed number is divided by to be kept.
    fn scale(self) -> f64 {
        match self {
            Self::Percent => 100.0,
            Self::Share | Self::Number | Self::Probability => 1.0,
        }
    }

    /// The largest number that can be meant, once read.
    fn most(self) -> f64 {
        match self {
            Self::Percent | Self::Share | Self::Probability => 1.0,
            Self::Number => f64::INFINITY,
        }
    }
}

/// One row of the paper's table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperRow {
    /// The fusion method.
    pub fusion: String,
    /// The reallocation; `none` if the paper has the plain method.
    #[serde(default = "none")]
    pub reallocation: String,
    /// One number a column, in [`Paper::unit`] in the file and as shares once read.
    pub values: Vec<f64>,
    /// What is unclear about this row.
    #[serde(default)]
    pub note: Option<String>,
}

impl PaperRow {
    /// The method for readers: `ShaSpec + KD`.
    pub fn label(&self) -> String {
        RowId::plain(&self.fusion, &self.reallocation).label()
    }
}

fn none() -> String {
    "none".to_owned()
}

/// What is wrong with a `paper.yaml`.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{path}: {reason}")]
#[diagnostic(help(
    "the keys are source (reference, table, caption), metric, unit, rates, rows (fusion, reallocation, values, note), means (fusion, reallocation, values by column) and unclear"
))]
pub struct PaperError {
    path: String,
    reason: String,
    #[source_code]
    text: Arc<NamedSource<String>>,
    #[label("here")]
    place: Option<SourceSpan>,
}

impl Paper {
    /// Reads the text of a `paper.yaml`; `path` is for the message.
    ///
    /// # Errors
    /// An unknown or missing key (with its place), rows whose length is not that of `rates`, a row or a rate
    /// that occurs twice, a number that cannot be a share.
    pub fn parse(text: &str, path: &str) -> Result<Self, PaperError> {
        let error = |reason: String, place: Option<SourceSpan>| PaperError {
            path: path.to_owned(),
            reason,
            text: Arc::new(NamedSource::new(path, text.to_owned())),
            place,
        };
        let mut paper: Self = serde_yaml::from_str(text).map_err(|e| {
            let place = e.location().map(|l| SourceSpan::from(l.index()..l.index()));
            error(e.to_string(), place)
        })?;
        let scale = paper.unit.scale();
        let means = paper.means.iter_mut().flat_map(|mean| mean.values.values_mut());
        for value in paper.rows.iter_mut().flat_map(|row| &mut row.values).chain(means) {
            *value /= scale;
        }
        paper.check().map_err(|reason| error(reason, None))?;
        Ok(paper)
    }

    /// What the paper has of an experiment. An experiment without a `paper.yaml` shows AUROC, or accuracy where that is not
    /// measured.
    ///
    /// # Errors
    /// As [`Paper::parse`].
    pub fn of(experiment: &ExperimentInfo) -> Result<Self, PaperError> {
        let none = "{metric: auroc, unit: percent, rates: [], rows: []}";
        Self::parse(experiment.paper.unwrap_or(none), &experiment.paper_path())
    }

    fn check(&self) -> Result<(), String> {
        if self.source.is_none() && !(self.rows.is_empty() && self.means.is_empty()) {
            return Err("numbers need a `source`: reference, table, caption".to_owned());
        }
        for (position, rate) in self.rates.iter().enumerate() {
            if !(rate.is_finite() && *rate >= 0.0) {
                return Err(format!("rate {rate} is not a number of at least 0"));
            }
            if self.rates[..position].iter().any(|r| same_level(*r, *rate)) {
                return Err(format!("rate {rate} occurs twice"));
            }
        }
        for mean in &self.means {
            let name = format!("means of {}+{}", mean.fusion, mean.reallocation);
            if let Some((column, bad)) = mean.values.iter().find(|(_, v)| !(0.0..=self.unit.most()).contains(*v)) {
                return Err(format!(
                    "{name}: {column} {bad} (as a share) is not in [0, 1]; is `unit` right?"
                ));
            }
            if !mean.values.keys().eq(self.means[0].values.keys()) {
                return Err(format!("{name}: other columns than the first row has"));
            }
        }
        for (position, row) in self.rows.iter().enumerate() {
            let name = format!("row {}+{}", row.fusion, row.reallocation);
            if row.values.len() != self.rates.len() {
                return Err(format!(
                    "{name} has {} values for {} rates",
                    row.values.len(),
                    self.rates.len()
                ));
            }
            if let Some(bad) = row.values.iter().find(|v| !(0.0..=self.unit.most()).contains(*v)) {
                return Err(format!("{name}: {bad} (as a share) is not in [0, 1]; is `unit` right?"));
            }
            let twice = |other: &&PaperRow| other.fusion == row.fusion && other.reallocation == row.reallocation;
            if self.rows[..position].iter().any(|other| twice(&other)) {
                return Err(format!("{name} occurs twice"));
            }
        }
        Ok(())
    }

    /// The paper's row of a method, if it has one.
    pub fn row(&self, fusion: &str, reallocation: &str) -> Option<&PaperRow> {
        self.rows
            .iter()
            .find(|row| row.fusion == fusion && row.reallocation == reallocation)
    }

    /// The paper's number of a method at a missing rate, as a share in [0, 1].
    pub fn value(&self, fusion: &str, reallocation: &str, rate: f64) -> Option<f64> {
        let column = self.rates.iter().position(|r| same_level(*r, rate))?;
        self.row(fusion, reallocation)?.values.get(column).copied()
    }

    /// Mean of the paper's numbers of a method over `rates`, if it has all of them.
    pub fn mean(&self, fusion: &str, reallocation: &str, rates: &[f64]) -> Option<f64> {
        let values: Option<Vec<f64>> = rates
            .iter()
            .map(|rate| self.value(fusion, reallocation, *rate))
            .collect();
        mmcollapse_probes::mean(&values?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "source: {reference: A, table: Table 4, caption: c}
metric: accuracy
unit: percent
rates: [0.95, 0.90]
rows:
  - {fusion: shaspec, values: [93.33, 93.56]}
  - {fusion: shaspec, reallocation: kd, values: [95.02, 95.16], note: n}
";

    #[test]
    fn numbers_become_shares_and_are_found() {
        let paper = Paper::parse(TEXT, "paper.yaml").unwrap();
        assert_eq!(paper.value("shaspec", "none", 0.95), Some(0.9333));
        assert_eq!(paper.value("shaspec", "kd", 0.9), Some(0.9516));
        assert_eq!(paper.value("shaspec", "kd", 0.5), None);
        assert_eq!(paper.value("concat", "none", 0.95), None);
        let mean = paper.mean("shaspec", "kd", &[0.95, 0.9]).unwrap();
        assert!((mean - 0.9509).abs() < 1e-12);
        assert_eq!(paper.mean("shaspec", "kd", &[0.95, 0.5]), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, message) in [
            ("unit: percent", "unit: share", "is `unit` right?"),
            ("[93.33, 93.56]", "[93.33]", "1 values for 2 rates"),
            ("[0.95, 0.90]", "[0.95, 0.95]", "rate 0.95 occurs twice"),
            ("[0.95, 0.90]", "[-0.95, 0.90]", "rate -0.95 is not a number"),
            (", reallocation: kd", "", "row shaspec+none occurs twice"),
            ("note: n", "nots: n", "unknown field `nots`"),
            (
                "rows:\n",
                "means: [{fusion: a, values: {x: 1.2, y: 120}}]\nrows:\n",
                "means of a+none: y 1.2 (as a share)",
            ),
            (
                "rows:\n",
                "means: [{fusion: a, values: {x: 1.2}}, {fusion: b, values: {y: 1}}]\nrows:\n",
                "means of b+none: other columns",
            ),
            ("metric: accuracy", "", "missing field `metric`"),
            (
                "source: {reference: A, table: Table 4, caption: c}",
                "",
                "numbers need a `source`",
            ),
        ] {
            let error = Paper::parse(&TEXT.replace(from, to), "here/paper.yaml").unwrap_err();
            let text = error.to_string();
            assert!(text.contains(message), "{text}");
            assert!(text.starts_with("here/paper.yaml: "), "{text}");
        }
    }
}
