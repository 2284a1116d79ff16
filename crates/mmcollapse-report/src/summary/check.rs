//! Manipulation checks: in how many runs of a row the reallocation has happened.
//!
//! Whether a discriminator is confused is read run by run. What chance moves by more than the margin in single runs, label probes
//! and a student's contrast, is judged on the row: by the differences to the control, paired by seed.

use std::collections::{BTreeMap, BTreeSet};

use miette::{IntoDiagnostic, Result};
use mmcollapse_probes::{mean, t_interval};
use mmcollapse_record::manipulation::{CERTAIN, CONFUSED, CONTROL, LABELS_LOST, REALLOCATED};
use mmcollapse_record::{Metric, Setting};

use super::{Run, Summary};

/// A run of a row: its seed and level.
type At = (u64, u64);

/// What was measured of a run.
type Found<'a> = BTreeMap<&'a str, &'a Run>;

/// What the check of one row's runs says.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Checked {
    /// Runs that were read by a fresh discriminator.
    pub read: usize,
    /// Those whose latents confuse it.
    pub confused: usize,
    /// Runs that are compared with the control of the same seed.
    pub compared: usize,
    /// Those among them that pass.
    pub passing: usize,
}

impl Summary {
    /// The check of a row, given by its place in [`Summary::methods`].
    pub fn checked(&self, setting: &Setting, method: usize) -> Checked {
        let own = || {
            self.runs
                .iter()
                .filter(|run| run.method == method && run.setting == *setting)
        };
        let count = |metric: &str, least: f64| {
            let of = own().filter(|run| run.metric == *metric);
            of.filter(|run| run.value >= least).count()
        };
        Checked {
            read: count("confusion", f64::NEG_INFINITY),
            confused: count("confusion", CONFUSED),
            compared: count(REALLOCATED, 0.0),
            passing: count(REALLOCATED, 1.0),
        }
    }

    /// Says of every run with a control whether its check passes, and which runs are controls: what a claim on the mechanism needs.
    pub(super) fn check(&mut self) -> Result<()> {
        let metric: Metric = REALLOCATED.parse().into_diagnostic()?;
        let control: Metric = CONTROL.parse().into_diagnostic()?;
        let mut found = Vec::new();
        // A row may be the control of several.
        let mut marked = BTreeSet::new();
        for method in 0..self.methods.len() {
            let twin = self.methods[method].twin();
            let Some(twin) = twin.and_then(|twin| self.methods.iter().position(|known| *known == *twin.as_str()))
            else {
                continue;
            };
            for (place, protocol) in self.protocols.iter().enumerate() {
                let controls = self.runs_of(&protocol.setting, twin);
                let runs = self.runs_of(&protocol.setting, method);
                let pairs = runs.iter().filter_map(|(at, run)| Some((run, controls.get(at)?)));
                let row = Pairs(pairs.collect());
                let (keeps_labels, is_nearer) = (row.keeps_labels()?, row.is_nearer()?);
                for (run, beside) in &row.0 {
                    if let Some(read) = beside.get("confusion").copied()
                        && marked.insert((twin, place, read.seed, read.rate.to_bits()))
                    {
                        found.push(Run {
                            metric: control.clone(),
                            value: 1.0,
                            ..read.clone()
                        });
                    }
                    let confusion = run.get("confusion").map(|confusion| confusion.value);
                    let passes = match confusion {
                        Some(confusion) => Some(confusion >= CONFUSED && keeps_labels),
                        None => is_nearer,
                    };
                    let (Some(passes), Some(one)) = (passes, run.values().next()) else {
                        continue;
                    };
                    found.push(Run {
                        metric: metric.clone(),
                        value: f64::from(u8::from(passes)),
                        ..(*one).clone()
                    });
                }
            }
        }
        self.runs.extend(found);
        Ok(())
    }

    /// What was measured of each run of a row.
    fn runs_of(&self, setting: &Setting, method: usize) -> BTreeMap<At, Found<'_>> {
        let mut runs: BTreeMap<At, Found<'_>> = BTreeMap::new();
        let own = self
            .runs
            .iter()
            .filter(|run| run.method == method && run.setting == *setting);
        for run in own.filter(|run| run.metric.definition().is_check()) {
            let at = (run.seed, run.rate.to_bits());
            runs.entry(at).or_default().insert(run.metric.as_str(), run);
        }
        runs
    }
}

/// The runs of a row, each beside its control.
struct Pairs<'a>(Vec<(&'a Found<'a>, &'a Found<'a>)>);

impl Pairs<'_> {
    /// The difference of each seed to its control, the mean over its levels.
    fn differences(&self, metric: &str) -> Result<Vec<f64>> {
        let mut seeds: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (run, control) in &self.0 {
            if let (Some(run), Some(control)) = (run.get(metric), control.get(metric)) {
                seeds.entry(run.seed).or_default().push(run.value - control.value);
            }
        }
        seeds.values().map(|levels| mean(levels).into_diagnostic()).collect()
    }

    /// Whether no label probe has lost more than [`LABELS_LOST`] on the mean of the seeds. A loss that chance could have made does
    /// not count; the modalities share the error. One seed has no interval, and counts as it is.
    fn keeps_labels(&self) -> Result<bool> {
        let metrics = self.0.iter().flat_map(|(run, _)| run.keys().copied());
        let probes: BTreeSet<&str> = metrics.filter(|metric| metric.starts_with("latent_")).collect();
        let level = 1.0 - (1.0 - CERTAIN) / probes.len().max(1) as f64;
        for probe in &probes {
            let lost = self.differences(probe)?;
            let is_certain = match lost.len() {
                0 => false,
                1 => true,
                _ => t_interval(&lost, level).into_diagnostic()?.high < 0.0,
            };
            if is_certain && mean(&lost).into_diagnostic()? < -LABELS_LOST {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the students are nearer to their teachers than those of the control; not known of fewer than two seeds.
    fn is_nearer(&self) -> Result<Option<bool>> {
        let contrast = self.differences("teacher_contrast")?;
        if contrast.len() < 2 {
            return Ok(None);
        }
        Ok(Some(t_interval(&contrast, CERTAIN).into_diagnostic()?.high < 0.0))
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_record::{Record, Score, Split, Status};

    use super::*;
    use crate::summary::synthetic::{metric, record, setting, table4};

    /// A run of which a check has found these values.
    fn found(row: &str, twin: Option<&str>, seed: u64, values: &[(&str, f64)]) -> Record {
        let right = [(0.9, 400)];
        let mut record = record(row, ("concat", "ebr"), "test_missing", seed, &right, Status::Ok);
        record.row.reallocation.twin = twin.map(str::to_owned);
        record.outcome.scores.extend(values.iter().map(|(key, value)| Score {
            protocol: setting("test_missing").protocol,
            rate: 0.0,
            split: Split::Test,
            metric: metric(key),
            value: *value,
            n: 450,
        }));
        record
    }

    /// What a fresh discriminator makes of a run, and label probes of two modalities.
    fn checked_record(row: &str, twin: Option<&str>, seed: u64, confusion: f64, labels: [f64; 2]) -> Record {
        let values = [
            ("confusion", confusion),
            ("confusion_shuffled", 1.0),
            ("latent_image", labels[0]),
            ("latent_sound", labels[1]),
        ];
        found(row, twin, seed, &values)
    }

    /// The seeds of the runs that pass.
    fn passing(summary: &Summary) -> Vec<u64> {
        let runs = summary.runs.iter();
        runs.filter(|run| run.metric == *"reallocated" && run.value == 1.0)
            .map(|run| run.seed)
            .collect()
    }

    /// A row with a control of which a check finds these pairs of ours and theirs, and the seeds that pass.
    fn passing_with(key: &str, pairs: &[(f64, f64)]) -> Vec<u64> {
        let mut records = Vec::new();
        for (seed, (ours, theirs)) in (0..).zip(pairs) {
            records.push(found("concat+pretrained", None, seed, &[(key, *theirs)]));
            records.push(found("concat+kd", Some("pretrained"), seed, &[(key, *ours)]));
        }
        passing(&Summary::new("table4", &records, &table4()).unwrap())
    }

    /// Chance moves single students by as much as a contrast does; the row tells them apart.
    #[test]
    fn students_pass_where_the_row_is_nearer_for_sure() {
        // Differences -.01, -.012, -.006, +.001: mean -.0068, 95 % interval [-.0159, +.0024].
        let by_chance = [(0.88, 0.89), (0.885, 0.897), (0.89, 0.896), (0.901, 0.9)];
        assert_eq!(passing_with("teacher_contrast", &by_chance), [0_u64; 0]);
        // The same with -.004 for the last: mean -.008, [-.0138, -.0022].
        let nearer = [(0.88, 0.89), (0.885, 0.897), (0.89, 0.896), (0.896, 0.9)];
        assert_eq!(passing_with("teacher_contrast", &nearer), [0, 1, 2, 3]);
        assert_eq!(passing_with("teacher_contrast", &nearer[..1]), [0_u64; 0]);
    }

    /// Two rows that differ by chance alone are told apart in one of twenty, however many modalities there are.
    #[test]
    fn labels_are_lost_by_chance_in_at_most_one_of_twenty_rows() {
        let mut noise = mmcollapse_probes::SplitMix64(7);
        let (rows, seeds, modalities) = (400, 10, ["a", "b", "c", "d", "e", "f"]);
        let mut alarms = 0;
        for _ in 0..rows {
            let mut runs = Vec::new();
            for seed in 0..seeds {
                let mut of = |mean: f64| {
                    let probes = modalities.map(|name| (format!("latent_{name}"), mean + 0.05 * noise.normal()));
                    probes.map(|(key, value)| (key, run_of(seed, value)))
                };
                runs.push((of(0.7), of(0.7)));
            }
            let found: Vec<_> = runs
                .iter()
                .map(|(ours, theirs)| (by_key(ours), by_key(theirs)))
                .collect();
            let pairs = Pairs(found.iter().map(|(ours, theirs)| (ours, theirs)).collect());
            alarms += usize::from(!pairs.keeps_labels().unwrap());
        }
        // A lower tail alone is an alarm: 2.5 % of rows, and a standard error of .8.
        assert!((2..=20).contains(&alarms), "{alarms} of {rows}");
    }

    fn run_of(seed: u64, value: f64) -> Run {
        let record = found("concat+kd", None, seed, &[("teacher_contrast", value)]);
        let summary = Summary::new("table4", &[record], &table4()).unwrap();
        let mut runs = summary.runs.into_iter();
        runs.find(|run| run.metric == *"teacher_contrast").unwrap()
    }

    fn by_key(runs: &[(String, Run); 6]) -> Found<'_> {
        runs.iter().map(|(key, run)| (key.as_str(), run)).collect()
    }

    #[test]
    fn a_run_passes_where_modalities_are_confused_and_labels_are_kept() {
        let mut records = Vec::new();
        for seed in 0..4 {
            records.push(checked_record("concat+heads", None, seed, 0.1, [0.9, 0.8]));
        }
        let ebr = [
            (0.95, [0.9, 0.79]), // passes
            (0.95, [0.9, 0.7]),  // has less of the sound, as one run of a row may
            (0.5, [0.9, 0.8]),   // is not confused
            (1.0, [0.95, 0.9]),  // passes
        ];
        for (seed, (confusion, labels)) in ebr.into_iter().enumerate() {
            records.push(checked_record(
                "concat+ebr",
                Some("heads"),
                seed as u64,
                confusion,
                labels,
            ));
        }
        // A seed without its control is not compared.
        records.push(checked_record("concat+ebr", Some("heads"), 9, 1.0, [0.9, 0.8]));
        let summary = Summary::new("table4", &records, &table4()).unwrap();
        let of = |method: usize| summary.checked(&setting("test_missing"), method);
        let expected = |read: usize, confused: usize, compared: usize, passing: usize| Checked {
            read,
            confused,
            compared,
            passing,
        };
        assert_eq!(of(1), expected(5, 4, 4, 3));
        assert_eq!(of(0), expected(4, 0, 0, 0));
        assert_eq!(passing(&summary), [0, 1, 3]);
    }

    /// Constant latents confuse every discriminator.
    #[test]
    fn a_row_that_has_lost_a_label_passes_nowhere() {
        let mut records = Vec::new();
        for seed in 0..4 {
            let lost = 0.7 + 0.01 * seed as f64;
            records.push(checked_record("concat+heads", None, seed, 0.1, [0.9, 0.8]));
            records.push(checked_record("concat+ebr", Some("heads"), seed, 1.0, [0.9, lost]));
        }
        let summary = Summary::new("table4", &records, &table4()).unwrap();
        assert_eq!(summary.checked(&setting("test_missing"), 1).compared, 4);
        assert_eq!(passing(&summary), [0_u64; 0]);
    }
}
