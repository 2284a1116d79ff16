//! The regression gate: what the smoke preset computes, against golden values committed under `results/golden/`.
//!
//! # Exact
//!
//! Training has the same bits on every x86-64 processor with AVX2 and FMA (see [`mmcollapse_nn::ops`]), so there the
//! comparison is exact: every score, every loss curve, the number of parameters and the resolved configuration of each
//! cell. A term of a loss that is switched off moves a curve in its first epoch, whatever it does to accuracy.
//!
//! # Tolerance elsewhere
//!
//! On other processors floats are added in another order, and training magnifies that: the models differ visibly after
//! some hundred steps. How much was measured: five smoke runs of table4 whose learning rate was raised by one to five
//! parts in ten million, about what a rounding does, moved accuracies on 450 test samples by up to 7.8 points. At the
//! worst such models agree no more than independent ones of the same accuracy p do: a share 2 p (1 - p) of the n test
//! samples is judged differently, each moving the count of right ones up or down by one, which gives that count a
//! standard deviation of sqrt(2 p (1 - p) n). The gate allows four of these, which covers what was measured, and at
//! least [`FLOOR`] samples where p is so near to 0 or 1 that the formula allows none. Compared are the protocol's own
//! accuracy and that with all modalities there: the accuracies of single modalities, for which most models were not
//! trained, move most with rounding.

use mmcollapse_record::{Record, Status};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, Result};
use mmcollapse_files::{sha256, write_atomic};
use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;

/// Standard deviations of the count of right samples that the gate allows where bits differ.
const DEVIATIONS: f64 = 4.0;
/// Samples that it allows at least.
const FLOOR: f64 = 3.0;
/// Scores that are compared there.
const METRICS: [&str; 2] = ["accuracy", "accuracy_complete"];
/// Hex digits of a hash in a golden file.
const DIGITS: usize = 16;

/// What is said in each golden file, so that its reader need not look for this one.
const WHY: &str = "x86-64 with AVX2 and FMA: all values are equal to the last bit; elsewhere accuracies differ by at most \
    max(3, 4 sqrt(2 p (1-p) n)) / n for accuracy p on n test samples. A curve is [epochs, last value, hash of all]; a \
    score is [value, samples]";

/// The golden values of an experiment's smoke preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Name of the experiment.
    pub experiment: String,
    /// How values are compared.
    pub comparison: String,
    /// Command that writes the file anew.
    pub command: String,
    /// The cells in the order of the plan.
    pub cells: Vec<GoldenCell>,
}

/// A loss curve: epochs, the last value, the hash of all of them.
type Curve = (usize, Option<f64>, String);
/// A score: value and samples.
type Value = (Option<f64>, usize);

/// What one cell computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenCell {
    /// Row of the table.
    pub row: String,
    /// Protocol.
    pub protocol: String,
    /// Seed.
    pub seed: u64,
    /// Hash of the resolved configuration.
    pub config: String,
    /// Number of trained parameters.
    pub parameters: usize,
    /// `ok`, or how it diverged.
    pub status: String,
    /// By name of the loss term.
    pub curves: BTreeMap<String, Curve>,
    /// By split, protocol and rate, then by metric.
    pub scores: BTreeMap<String, BTreeMap<String, Value>>,
}

/// How closely values have to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// To the last bit.
    Exact,
    /// Accuracies within the tolerance for another order of sums.
    Tolerance,
}

impl Comparison {
    /// What this processor allows.
    pub fn here() -> Self {
        if mmcollapse_nn::ops::exact_bits() {
            Self::Exact
        } else {
            Self::Tolerance
        }
    }
}

/// One line of the comparison: a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Row, protocol and seed.
    pub what: String,
    /// What was compared where it passes; else the first quantity that differs, expected and got.
    pub verdict: Result<String, String>,
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
    pub fn of(experiment: &str, records: &[Record]) -> Self {
        Self {
            experiment: experiment.to_owned(),
            comparison: WHY.to_owned(),
            command: format!("mmcollapse gate {experiment} --update"),
            cells: records.iter().map(GoldenCell::of).collect(),
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
        let written = write_atomic(&path, self.text().as_bytes());
        written.map_err(|e| GoldenError {
            path: path.clone(),
            what: e.to_string(),
        })?;
        Ok(path)
    }

    /// The file: a line for each cell's head, its curves, and each group of scores, so that differences are read by line.
    fn text(&self) -> String {
        let quoted = |text: &str| json!(text).to_string();
        let mut text = format!(
            "{{\n\"experiment\": {},\n\"comparison\": {},\n\"command\": {},\n\"cells\": [\n",
            quoted(&self.experiment),
            quoted(&self.comparison),
            quoted(&self.command)
        );
        for (place, cell) in self.cells.iter().enumerate() {
            let _ = write!(
                text,
                "{{\"row\": {}, \"protocol\": {}, \"seed\": {}, \"config\": {}, \"parameters\": {}, \"status\": {},\n  \
                 \"curves\": {},\n  \"scores\": {{\n",
                quoted(&cell.row),
                quoted(&cell.protocol),
                cell.seed,
                quoted(&cell.config),
                cell.parameters,
                quoted(&cell.status),
                json!(cell.curves)
            );
            let groups = cell.scores.iter();
            let groups: Vec<String> = groups
                .map(|(group, values)| format!("  {}: {}", quoted(group), json!(values)))
                .collect();
            text.push_str(&groups.join(",\n"));
            text.push_str(if place + 1 < self.cells.len() { "}},\n" } else { "}}\n" });
        }
        text.push_str("]\n}\n");
        text
    }

    /// Compares what a run got with these values: a line for each cell on either side.
    pub fn compare(&self, got: &Self, comparison: Comparison) -> Vec<Check> {
        let known = named(&self.cells);
        let mut run = named(&got.cells);
        let mut checks: Vec<Check> = known
            .into_iter()
            .map(|(what, expected)| {
                let verdict = match run.iter().position(|(name, _)| *name == what) {
                    Some(place) => expected.compare(run.remove(place).1, comparison),
                    None => Err("the run has no such cell".to_owned()),
                };
                Check { what, verdict }
            })
            .collect();
        checks.extend(run.into_iter().map(|(what, _)| Check {
            what,
            verdict: Err("has no golden value; `gate --update` adds it".to_owned()),
        }));
        checks
    }
}

/// Cells with their names: row, protocol, seed, and a number where that is not enough.
fn named(cells: &[GoldenCell]) -> Vec<(String, &GoldenCell)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let name = |cell: &GoldenCell| {
        let name = format!("{} {} seed {}", cell.row, cell.protocol, cell.seed);
        let count = counts.entry(name.clone()).or_default();
        *count += 1;
        if *count == 1 { name } else { format!("{name} #{count}") }
    };
    let names: Vec<String> = cells.iter().map(name).collect();
    names.into_iter().zip(cells).collect()
}

/// A number as the file has it: what is not finite is null there.
fn number(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

impl GoldenCell {
    fn of(record: &Record) -> Self {
        let outcome = &record.outcome;
        let curve = |values: &Vec<f64>| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
            let last = values.last().copied().and_then(number);
            (values.len(), last, sha256(&bytes)[..DIGITS].to_owned())
        };
        let mut scores: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
        for score in &outcome.scores {
            let group = format!("{} {} {}", score.split, score.protocol, score.rate);
            let value = (number(score.value), score.n);
            scores.entry(group).or_default().insert(score.metric.to_string(), value);
        }
        Self {
            row: record.row.to_string(),
            protocol: record.setting.to_string(),
            seed: record.seed,
            config: record.config.get(..DIGITS).unwrap_or(&record.config).to_owned(),
            parameters: outcome.parameters,
            status: match &outcome.status {
                Status::Ok => "ok".to_owned(),
                Status::Diverged { reason, epoch } => format!("diverged in epoch {epoch}: {reason}"),
            },
            curves: outcome
                .curves
                .iter()
                .map(|(name, values)| (name.clone(), curve(values)))
                .collect(),
            scores,
        }
    }

    fn compare(&self, got: &Self, comparison: Comparison) -> Result<String, String> {
        let difference = match comparison {
            Comparison::Exact => self.first_difference(got),
            Comparison::Tolerance => self.first_beyond_tolerance(got),
        };
        let config = (self.config != got.config)
            .then(|| format!("configuration: expected hash {}, got {}", self.config, got.config));
        let differences: Vec<String> = difference.into_iter().chain(config).collect();
        if differences.is_empty() {
            let scores: usize = self.scores.values().map(BTreeMap::len).sum();
            return Ok(match comparison {
                Comparison::Exact => format!("{scores} scores and {} curves equal", self.curves.len()),
                Comparison::Tolerance => "accuracies within tolerance".to_owned(),
            });
        }
        Err(differences.join("; "))
    }

    /// The first quantity that is not equal to the last bit: curves first, as they move before scores do.
    fn first_difference(&self, got: &Self) -> Option<String> {
        let differ = |what: &str, expected: String, got: String| {
            (expected != got).then(|| format!("{what}: expected {expected}, got {got}"))
        };
        let text = |curve: Option<&Curve>| match curve {
            None => "nothing".to_owned(),
            Some((epochs, last, hash)) => format!("{} after {epochs} epochs, hash {hash}", json!(last)),
        };
        let mut curves = self.curves.keys().chain(got.curves.keys());
        let curve = |name: &String| {
            let what = format!("loss curve {name}");
            differ(&what, text(self.curves.get(name)), text(got.curves.get(name)))
        };
        let value = |scores: &Self, group: &str, metric: &str| {
            let value = scores.scores.get(group).and_then(|values| values.get(metric));
            value.map_or("nothing".to_owned(), |(value, n)| format!("{} (n = {n})", json!(value)))
        };
        let mut scores = self.scores.iter().chain(&got.scores);
        let score = |(group, values): (&String, &BTreeMap<String, Value>)| {
            values.keys().find_map(|metric| {
                differ(
                    &format!("{metric}, {group}"),
                    value(self, group, metric),
                    value(got, group, metric),
                )
            })
        };
        curves
            .find_map(curve)
            .or_else(|| differ("parameters", self.parameters.to_string(), got.parameters.to_string()))
            .or_else(|| differ("status", self.status.clone(), got.status.clone()))
            .or_else(|| scores.find_map(score))
    }

    /// The first accuracy on test samples that another order of sums does not explain.
    fn first_beyond_tolerance(&self, got: &Self) -> Option<String> {
        let diverged = |cell: &Self| cell.status != "ok";
        if diverged(self) != diverged(got) {
            return Some(format!("status: expected {}, got {}", self.status, got.status));
        }
        let groups: Vec<&String> = self.scores.keys().chain(got.scores.keys()).collect();
        let places = groups
            .iter()
            .flat_map(|group| METRICS.map(|metric| (group.as_str(), metric)));
        let mut places = places.filter(|(group, _)| group.starts_with("test "));
        places.find_map(|(group, metric)| {
            let value = |cell: &Self| cell.scores.get(group).and_then(|values| values.get(metric)).copied();
            let (expected, got) = (value(self), value(got));
            let near = match (expected, got) {
                (None, None) => true,
                (Some((Some(a), n)), Some((Some(b), m))) => n == m && (a - b).abs() <= tolerance(a, n),
                _ => false,
            };
            let text =
                |value: Option<Value>| value.map_or("nothing".to_owned(), |(v, n)| format!("{} (n = {n})", json!(v)));
            let allowed = expected
                .and_then(|(value, n)| Some(tolerance(value?, n)))
                .unwrap_or_default();
            (!near).then(|| {
                format!(
                    "{metric}, {group}: expected {} +- {allowed:.4}, got {}",
                    text(expected),
                    text(got)
                )
            })
        })
    }
}

/// The comparison as a table, failures marked.
pub fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let (mark, said) = match &check.verdict {
            Ok(said) => ("ok  ", said),
            Err(said) => ("FAIL", said),
        };
        let _ = writeln!(text, "{mark} {:width$}  {said}", check.what);
    }
    text
}

#[cfg(test)]
mod mutations;

#[cfg(test)]
mod tests {
    use super::*;
    use mmcollapse_record::{Outcome, ProtocolKind, RowId, Score, Split};

    fn row_id(row: &str) -> RowId {
        let (fusion, reallocation) = row.split_once('+').unwrap_or((row, "none"));
        RowId::plain(fusion, reallocation)
    }

    fn record(row: &str, seed: u64, accuracy: f64, status: Status) -> Record {
        let score = |split: Split, metric: &str, rate: f64, value: f64| Score {
            protocol: ProtocolKind::TestMissing,
            rate,
            split,
            metric: metric.parse().unwrap(),
            value,
            n: 450,
        };
        Record {
            row: row_id(row),
            setting: ProtocolKind::TestMissing.into(),
            protocol: ProtocolKind::TestMissing.on("sound", &[0.95, 0.8]),
            modalities: Vec::new(),
            config: sha256(format!("{row} {seed}").as_bytes()),
            key: String::new(),
            seed,
            outcome: Outcome {
                status,
                scores: vec![
                    score(Split::Test, "accuracy", 0.95, accuracy),
                    score(Split::Test, "accuracy", 0.8, accuracy + 0.02),
                    score(Split::Validation, "accuracy", 0.95, 0.3),
                    score(Split::Train, "loss_semantic", 0.0, 0.4),
                ],
                seconds: 1.0,
                parameters: 1,
                diagnosis: mmcollapse_record::Findings::default(),
                curves: BTreeMap::from([("ce".to_owned(), vec![2.3, 1.0 / 3.0])]),
                measured: BTreeMap::new(),
                weights: None,
            },
        }
    }

    fn records(concat: f64, ebr: f64) -> Vec<Record> {
        vec![
            record("concat", 0, concat, Status::Ok),
            record("concat", 1, concat + 0.02, Status::Ok),
            record("concat+ebr", 0, ebr, Status::Ok),
            record("concat+ebr", 1, ebr, Status::Ok),
        ]
    }

    fn failures(records: &[Record], comparison: Comparison) -> Vec<(String, String)> {
        let golden = Golden::of("t", &self::records(0.8, 0.7));
        let checks = golden.compare(&Golden::of("t", records), comparison);
        let failed = checks
            .into_iter()
            .filter_map(|check| Some((check.what, check.verdict.err()?)));
        failed.collect()
    }

    const BOTH: [Comparison; 2] = [Comparison::Exact, Comparison::Tolerance];

    #[test]
    fn equal_runs_pass() {
        for comparison in BOTH {
            assert_eq!(failures(&records(0.8, 0.7), comparison), []);
        }
    }

    #[test]
    fn the_last_bit_of_a_score_is_seen_and_named() {
        let mut moved = records(0.8, 0.7);
        moved[3].outcome.scores[2].value = 0.3_f64.next_up();
        let expected =
            "accuracy, validation test_missing 0.95: expected 0.3 (n = 450), got 0.30000000000000004 (n = 450)";
        let name = "concat+ebr test_missing seed 1".to_owned();
        assert_eq!(failures(&moved, Comparison::Exact), [(name, expected.to_owned())]);
        assert_eq!(failures(&moved, Comparison::Tolerance), []);
    }

    #[test]
    fn a_loss_that_moves_in_its_first_epoch_is_seen() {
        let mut moved = records(0.8, 0.7);
        moved[0]
            .outcome
            .curves
            .insert("ce".into(), vec![2.3_f64.next_up(), 1.0 / 3.0]);
        let failed = failures(&moved, Comparison::Exact);
        assert!(
            failed.len() == 1 && failed[0].1.starts_with("loss curve ce: expected 0.333"),
            "{failed:?}"
        );
        // So is a term that came or went.
        for curves in [
            BTreeMap::new(),
            BTreeMap::from([("ce".into(), vec![2.3, 1.0 / 3.0]), ("kd".into(), vec![0.0])]),
        ] {
            moved[0].outcome.curves = curves;
            let failed = failures(&moved, Comparison::Exact);
            assert!(failed.len() == 1 && failed[0].1.contains("nothing"), "{failed:?}");
        }
    }

    #[test]
    fn another_configuration_or_size_is_seen() {
        let mut moved = records(0.8, 0.7);
        moved[1].config = "another".to_owned();
        for comparison in BOTH {
            let failed = failures(&moved, comparison);
            assert!(
                failed.len() == 1 && failed[0].1.contains("configuration: expected hash"),
                "{failed:?}"
            );
        }
        let mut moved = records(0.8, 0.7);
        moved[1].outcome.parameters = 2;
        let failed = failures(&moved, Comparison::Exact);
        assert_eq!(failed[0].1, "parameters: expected 1, got 2");
    }

    #[test]
    fn a_broken_method_fails_on_every_processor() {
        let broken = ["concat+ebr test_missing seed 0", "concat+ebr test_missing seed 1"];
        let names = |records: &[Record], comparison| -> Vec<String> {
            failures(records, comparison)
                .into_iter()
                .map(|(what, _)| what)
                .collect()
        };
        // Some ten test samples on the other side of the boundary are no regression on another processor.
        assert!(names(&records(0.81, 0.69), Comparison::Tolerance).is_empty());
        for comparison in BOTH {
            // At chance on ten classes, worse or better than what rounding can do, a number that is none.
            for ebr in [0.1, 0.55, 0.85, f64::NAN] {
                assert_eq!(names(&records(0.8, ebr), comparison), broken, "{ebr}");
            }
            // Not there at all, in part, or not known.
            assert_eq!(names(&records(0.8, 0.7)[..2], comparison), broken);
            assert_eq!(names(&records(0.8, 0.7)[..3], comparison), broken[1..]);
            let more = [records(0.8, 0.7), vec![record("new", 0, 0.9, Status::Ok)]].concat();
            assert_eq!(names(&more, comparison), ["new test_missing seed 0"]);
            // Diverged, even at the same score.
            let mut diverged = records(0.8, 0.7);
            diverged[2].outcome.status = Status::Diverged {
                reason: "loss is not finite".into(),
                epoch: 1,
            };
            assert_eq!(names(&diverged, comparison), broken[..1]);
        }
    }

    #[test]
    fn cells_of_one_name_are_told_apart() {
        let twice = [records(0.8, 0.7), vec![record("concat", 0, 0.5, Status::Ok)]].concat();
        let golden = Golden::of("t", &twice);
        assert!(
            golden
                .compare(&golden, Comparison::Exact)
                .iter()
                .all(|check| check.verdict.is_ok())
        );
        let failed = failures(&twice, Comparison::Exact);
        assert_eq!(failed[0].0, "concat test_missing seed 0 #2");
    }

    /// The golden values that are committed must be able to fail: a method that has fallen to chance on ten
    /// classes, or is not there at all, is seen in each cell of each file. A cell that diverged is at chance already: there
    /// only the exact comparison sees another score.
    #[test]
    fn each_committed_row_fails_when_its_method_breaks() {
        let results = Path::new("../../results");
        for file in fs::read_dir(results.join("golden")).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let golden = Golden::read(results, name.strip_suffix("-smoke.json").unwrap()).unwrap();
            for comparison in BOTH {
                let fails = |got: &Golden| {
                    golden
                        .compare(got, comparison)
                        .iter()
                        .any(|check| check.verdict.is_err())
                };
                assert!(!fails(&golden));
                for (place, cell) in golden.cells.iter().enumerate() {
                    let what = format!("{name}: {} {}", cell.row, cell.protocol);
                    if matches!(comparison, Comparison::Exact) || cell.status == "ok" {
                        let mut chance = golden.clone();
                        let groups = chance.cells[place].scores.values_mut();
                        groups
                            .flat_map(BTreeMap::values_mut)
                            .for_each(|value| value.0 = Some(0.1));
                        assert!(fails(&chance), "{what} at chance passes");
                    }
                    let mut absent = golden.clone();
                    absent.cells.remove(place);
                    assert!(fails(&absent), "without {what} it passes");
                }
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
    fn the_file_is_read_by_line() {
        insta::assert_snapshot!(Golden::of("t", &records(0.8, 0.7)[..2]).text());
    }

    #[test]
    fn the_table_marks_failures() {
        let golden = Golden::of("t", &records(0.8, 0.7));
        let checks = golden.compare(&Golden::of("t", &records(0.8, 0.1)), Comparison::Exact);
        insta::assert_snapshot!(text(&checks));
    }
}
