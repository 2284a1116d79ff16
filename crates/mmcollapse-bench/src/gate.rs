//! The regression gate: the smoke preset's scores against golden values committed under `results/golden/`.
//!
//! # Tolerance
//!
//! On one machine training is bit-deterministic, so any difference there comes from a change of the code. On
//! another processor the vector width, and with it the order in which floats are added, is another, and training
//! magnifies that: the models differ visibly after some hundred steps. How much was measured: five smoke runs of
//! table4 whose learning rate was raised by one to five parts in ten million, about what a rounding does, moved
//! accuracies on 450 test samples by up to 7.8 points. At the worst such models agree no
//! more than independent ones of the same accuracy p do: a share 2 p (1 - p) of the n test samples is judged
//! differently, each moving the count of right ones up or down by one, which gives that count a standard
//! deviation of sqrt(2 p (1 - p) n). The gate allows four of these, which covers what was measured, and at least
//! [`FLOOR`] samples where p is so near to 0 or 1 that the formula allows none. It is a gate against broken
//! methods (chance accuracy, a row that is not there, runs that diverge), not against small changes of quality:
//! those take the seeds of the quick preset to be seen at all.
//!
//! Compared are the protocol's own accuracy and that with all modalities there. The accuracies of single
//! modalities, for which most models were not trained, move most with rounding and would need a tolerance that
//! lets chance pass.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, Result};
use mmcollapse_nn::files::write_atomic;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cell::{CellRecord, Status};

/// Standard deviations of the count of right samples that the gate allows.
const DEVIATIONS: f64 = 4.0;
/// Samples that it allows at least.
const FLOOR: f64 = 3.0;

/// Scores that are compared.
const METRICS: [&str; 2] = ["accuracy", "accuracy_complete"];

/// What is said in each golden file, so that its reader need not look for this one.
const WHY: &str = "tolerance = max(3, 4 sqrt(2 p (1-p) n)) / n for accuracy p on n test samples of all seeds: \
    another processor adds floats in another order, and at the worst the models then agree no more than two \
    independent ones of equal accuracy; on one machine the values are equal to the last digit";

/// The golden values of an experiment's smoke preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Name of the experiment.
    pub experiment: String,
    /// Why values may differ by their tolerance.
    pub tolerance: String,
    /// Command that writes the file anew.
    pub command: String,
    /// The values.
    pub values: Vec<GoldenValue>,
}

/// One golden value: a mean over the seeds of the smoke preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenValue {
    /// Row of the table.
    pub row: String,
    /// Protocol.
    pub protocol: String,
    /// Missing rate in [0, 1].
    pub rate: f64,
    /// Which accuracy: `accuracy` is the protocol's own, `accuracy_complete` that with all modalities there.
    pub metric: String,
    /// Its mean on the test split, in [0, 1].
    pub accuracy: f64,
    /// Test samples of all seeds.
    pub n: usize,
    /// Runs.
    pub runs: usize,
    /// Runs among them that diverged.
    pub diverged: usize,
    /// Largest difference that is no regression.
    pub tolerance: f64,
}

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What is compared: row, protocol, rate.
    pub what: String,
    /// Expected, as text.
    pub expected: String,
    /// Got, as text.
    pub got: String,
    /// Whether it passes, and why not.
    pub verdict: Result<(), String>,
}

/// The golden file is missing or cannot be read.
#[derive(Debug, Error, Diagnostic)]
#[error("golden values {}: {what}", .path.display())]
#[diagnostic(help("`mmcollapse gate --update` writes them from a run; look at the difference before you commit it"))]
pub struct GoldenError {
    path: PathBuf,
    what: String,
}

/// Where the golden values of an experiment lie.
pub fn path(results: &Path, experiment: &str) -> PathBuf {
    results.join("golden").join(format!("{experiment}-smoke.json"))
}

/// Largest difference in accuracy that the gate lets pass (see the head of this file).
pub fn tolerance(accuracy: f64, n: usize) -> f64 {
    let n = n.max(1) as f64;
    let deviation = (2.0 * accuracy * (1.0 - accuracy) * n).max(0.0).sqrt();
    (DEVIATIONS * deviation).max(FLOOR) / n
}

impl Golden {
    /// The values of these records, as they would be written.
    pub fn of(experiment: &str, records: &[CellRecord]) -> Self {
        /// Order of a group of scores: row as first met, protocol, metric, rate in millionths.
        type Place = (usize, String, String, i64);
        #[derive(Default)]
        struct Sum {
            right: f64,
            n: usize,
            runs: usize,
            diverged: usize,
        }
        let mut rows: Vec<&str> = Vec::new();
        let mut sums: BTreeMap<Place, Sum> = BTreeMap::new();
        for record in records {
            let row = rows.iter().position(|row| *row == record.row).unwrap_or_else(|| {
                rows.push(&record.row);
                rows.len() - 1
            });
            for score in &record.outcome.scores {
                if score.split != "test" || !METRICS.contains(&score.metric.as_str()) {
                    continue;
                }
                let rate = (score.rate * 1e6).round() as i64;
                let place = (row, score.protocol.clone(), score.metric.clone(), rate);
                let sum = sums.entry(place).or_default();
                sum.right += score.value * score.n as f64;
                sum.n += score.n;
                sum.runs += 1;
                sum.diverged += usize::from(record.outcome.status != Status::Ok);
            }
        }
        let values = sums
            .into_iter()
            .map(|((row, protocol, metric, rate), sum)| {
                let accuracy = sum.right / sum.n.max(1) as f64;
                GoldenValue {
                    row: rows[row].to_owned(),
                    protocol,
                    rate: rate as f64 / 1e6,
                    metric,
                    accuracy,
                    n: sum.n,
                    runs: sum.runs,
                    diverged: sum.diverged,
                    tolerance: tolerance(accuracy, sum.n),
                }
            })
            .collect();
        Self {
            experiment: experiment.to_owned(),
            tolerance: WHY.to_owned(),
            command: format!("mmcollapse gate {experiment} --update"),
            values,
        }
    }

    /// Reads the golden values of an experiment.
    ///
    /// # Errors
    /// If there are none or they cannot be read.
    pub fn read(results: &Path, experiment: &str) -> Result<Self, GoldenError> {
        let path = path(results, experiment);
        let error = |what: String| GoldenError {
            path: path.clone(),
            what,
        };
        let bytes = fs::read(&path).map_err(|e| error(e.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|e| error(e.to_string()))
    }

    /// Writes them.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, results: &Path) -> Result<PathBuf, GoldenError> {
        let path = path(results, &self.experiment);
        let error = |what: String| GoldenError {
            path: path.clone(),
            what,
        };
        let mut text = serde_json::to_string_pretty(self).map_err(|e| error(e.to_string()))?;
        text.push('\n');
        write_atomic(&path, text.as_bytes()).map_err(|e| error(e.to_string()))?;
        Ok(path)
    }

    /// Compares what a run got with these values: a line for each value on either side.
    pub fn compare(&self, got: &Self) -> Vec<Check> {
        let mut checks: Vec<Check> = self
            .values
            .iter()
            .map(|expected| compare(expected, got.values.iter().find(|got| got.same(expected))))
            .collect();
        for value in &got.values {
            if !self.values.iter().any(|expected| expected.same(value)) {
                checks.push(Check {
                    what: value.what(),
                    expected: "nothing".to_owned(),
                    got: value.text(),
                    verdict: Err("has no golden value; `gate --update` adds it".to_owned()),
                });
            }
        }
        checks
    }
}

impl GoldenValue {
    fn same(&self, other: &Self) -> bool {
        self.row == other.row
            && self.protocol == other.protocol
            && self.metric == other.metric
            && (self.rate - other.rate).abs() < 1e-9
    }

    fn what(&self) -> String {
        format!("{} {} {} {}", self.row, self.protocol, self.rate, self.metric)
    }

    fn text(&self) -> String {
        format!("{:.4} (n = {})", self.accuracy, self.n)
    }
}

fn compare(expected: &GoldenValue, got: Option<&GoldenValue>) -> Check {
    let mut check = Check {
        what: expected.what(),
        expected: format!("{} +- {:.4}", expected.text(), expected.tolerance),
        got: got.map_or_else(|| "nothing".to_owned(), GoldenValue::text),
        verdict: Ok(()),
    };
    let Some(got) = got else {
        check.verdict = Err("is missing".to_owned());
        return check;
    };
    let difference = got.accuracy - expected.accuracy;
    // A comparison with NaN is false, so that it is the passing that has to be shown.
    let near = difference.abs() <= expected.tolerance;
    if (got.runs, got.n) != (expected.runs, expected.n) {
        check.verdict = Err(format!(
            "{} runs on {} samples instead of {} on {}",
            got.runs, got.n, expected.runs, expected.n
        ));
    } else if got.diverged != expected.diverged {
        check.verdict = Err(format!(
            "{} runs diverged instead of {}",
            got.diverged, expected.diverged
        ));
    } else if !near {
        check.verdict = Err(format!("differs by {difference:+.4}"));
    }
    check
}

/// The comparison as a table, failures marked.
pub fn text(checks: &[Check]) -> String {
    let width = |text: fn(&Check) -> &str, least: usize| {
        let longest = checks.iter().map(|check| text(check).len()).max();
        longest.unwrap_or(0).max(least)
    };
    let what = width(|check| &check.what, 4);
    let expected = width(|check| &check.expected, 8);
    let got = width(|check| &check.got, 3);
    let mut text = format!("     {:what$}  {:expected$}  {:got$}\n", "what", "expected", "got");
    for check in checks {
        let (mark, reason) = match &check.verdict {
            Ok(()) => ("ok  ", ""),
            Err(reason) => ("FAIL", reason.as_str()),
        };
        let line = format!(
            "{mark} {:what$}  {:expected$}  {:got$}  {reason}",
            check.what, check.expected, check.got
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::{Outcome, Score};

    fn record(row: &str, seed: u64, accuracy: f64, status: Status) -> CellRecord {
        let score = |split: &str, metric: &str, rate: f64, value: f64| Score {
            protocol: "test_missing".into(),
            rate,
            split: split.into(),
            metric: metric.into(),
            value,
            n: 450,
        };
        CellRecord {
            row: row.into(),
            protocol: "test_missing".into(),
            seed,
            config: serde_json::Value::Null,
            outcome: Outcome {
                status,
                scores: vec![
                    score("test", "accuracy", 0.95, accuracy),
                    score("test", "accuracy", 0.8, accuracy + 0.02),
                    score("validation", "accuracy", 0.95, 0.3),
                    score("test", "loss", 0.0, 0.4),
                ],
                seconds: 1.0,
                parameters: 1,
                diagnosis: serde_json::Value::Null,
                curves: BTreeMap::new(),
            },
        }
    }

    fn records(concat: f64, ebr: f64) -> Vec<CellRecord> {
        vec![
            record("concat", 0, concat, Status::Ok),
            record("concat", 1, concat + 0.02, Status::Ok),
            record("concat+ebr", 0, ebr, Status::Ok),
            record("concat+ebr", 1, ebr, Status::Ok),
        ]
    }

    fn failures(golden: &Golden, records: &[CellRecord]) -> Vec<String> {
        let checks = golden.compare(&Golden::of("t", records));
        let failed = checks.iter().filter(|check| check.verdict.is_err());
        failed.map(|check| check.what.clone()).collect()
    }

    #[test]
    fn values_are_means_over_seeds_in_the_order_of_rows() {
        let golden = Golden::of("t", &records(0.8, 0.7));
        assert_eq!(golden.values.len(), 4);
        let first = &golden.values[0];
        assert_eq!(
            (first.row.as_str(), first.rate, first.n, first.runs),
            ("concat", 0.8, 900, 2)
        );
        assert!((first.accuracy - 0.83).abs() < 1e-12);
        assert_eq!(golden.values[2].row, "concat+ebr");
        assert!(failures(&golden, &records(0.8, 0.7)).is_empty());
    }

    #[test]
    fn what_another_processor_may_change_passes() {
        let golden = Golden::of("t", &records(0.8, 0.7));
        // Some ten test samples of 900 on the other side of the boundary.
        assert!(failures(&golden, &records(0.81, 0.69)).is_empty());
    }

    #[test]
    fn a_broken_method_fails() {
        let golden = Golden::of("t", &records(0.8, 0.7));
        let broken = [
            "concat+ebr test_missing 0.8 accuracy",
            "concat+ebr test_missing 0.95 accuracy",
        ];
        // At chance on ten classes.
        assert_eq!(failures(&golden, &records(0.8, 0.1)), broken);
        // Far from it, and worse than what rounding can do.
        assert_eq!(failures(&golden, &records(0.8, 0.6)), broken);
        // A number that is none.
        assert_eq!(failures(&golden, &records(0.8, f64::NAN)), broken);
        // Better than it was is a change that somebody has to look at, too.
        assert_eq!(failures(&golden, &records(0.8, 0.8)), broken);
        // Not there at all, in part, or not known.
        assert_eq!(failures(&golden, &records(0.8, 0.7)[..2]), broken);
        assert_eq!(failures(&golden, &records(0.8, 0.7)[..3]), broken);
        let more = [records(0.8, 0.7), vec![record("new", 0, 0.9, Status::Ok)]].concat();
        assert_eq!(failures(&golden, &more).len(), 2);
        // Diverged, even at the same score.
        let mut diverged = records(0.8, 0.7);
        diverged[2].outcome.status = Status::Diverged {
            reason: "loss is not finite".into(),
            epoch: 1,
        };
        assert_eq!(failures(&golden, &diverged), broken);
    }

    /// The golden values that are committed must be able to fail: a method that has fallen to chance on ten
    /// classes, or is not there at all, is seen in each row of each file.
    #[test]
    fn each_committed_row_fails_when_its_method_breaks() {
        let results = Path::new("../../results");
        for file in fs::read_dir(results.join("golden")).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let golden = Golden::read(results, name.strip_suffix("-smoke.json").unwrap()).unwrap();
            let fails = |got: &Golden| golden.compare(got).iter().any(|check| check.verdict.is_err());
            assert!(!fails(&golden));
            for cell in &golden.values {
                let same = |value: &GoldenValue| (&value.row, &value.protocol) == (&cell.row, &cell.protocol);
                let what = format!("{name}: {} {}", cell.row, cell.protocol);
                let mut chance = golden.clone();
                for value in chance.values.iter_mut().filter(|value| same(value)) {
                    value.accuracy = 0.1;
                }
                assert!(fails(&chance), "{what} at chance passes");
                let mut absent = golden.clone();
                absent.values.retain(|value| !same(value));
                assert!(fails(&absent), "without {what} it passes");
            }
        }
    }

    #[test]
    fn the_tolerance_is_some_samples() {
        assert!((tolerance(0.5, 900) * 900.0 - 84.9).abs() < 0.1);
        assert!((tolerance(1.0, 900) * 900.0 - 3.0).abs() < 1e-9);
        assert!((tolerance(0.0, 900) * 900.0 - 3.0).abs() < 1e-9);
    }

    #[test]
    fn golden_values_survive_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let golden = Golden::of("t", &records(0.8, 1.0 / 3.0));
        golden.write(folder.path()).unwrap();
        assert_eq!(Golden::read(folder.path(), "t").unwrap(), golden);
        let error = Golden::read(folder.path(), "u").unwrap_err();
        assert!(error.to_string().contains("u-smoke.json"), "{error}");
        assert!(error.help().unwrap().to_string().contains("--update"));
    }

    #[test]
    fn the_table_marks_failures() {
        let golden = Golden::of("t", &records(0.8, 0.7));
        let checks = golden.compare(&Golden::of("t", &records(0.8, 0.1)));
        insta::assert_snapshot!(text(&checks));
    }
}
