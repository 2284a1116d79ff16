//! Manipulation checks: in how many runs of a row the reallocation has happened.

use std::collections::BTreeMap;

use miette::{IntoDiagnostic, Result};
use mmcollapse_record::manipulation::{CONFUSED, LABELS_LOST, NEARER, REALLOCATED};
use mmcollapse_record::{Metric, Setting};

use super::{Run, Summary};

/// A run of a row: its seed and level.
type At = (u64, u64);

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

    /// Says of every run with a control whether its check passes: what a claim on the mechanism needs.
    pub(super) fn check(&mut self) -> Result<()> {
        let metric: Metric = REALLOCATED.parse().into_diagnostic()?;
        let mut found = Vec::new();
        for method in 0..self.methods.len() {
            let twin = self.methods[method].twin();
            let Some(twin) = twin.and_then(|twin| self.methods.iter().position(|known| *known == *twin.as_str()))
            else {
                continue;
            };
            for protocol in &self.protocols {
                let controls = self.runs_of(&protocol.setting, twin);
                for (at, run) in self.runs_of(&protocol.setting, method) {
                    let Some(passes) = controls.get(&at).and_then(|control| passes(&run, control)) else {
                        continue;
                    };
                    let Some(one) = run.values().next() else { continue };
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
    fn runs_of(&self, setting: &Setting, method: usize) -> BTreeMap<At, BTreeMap<&str, &Run>> {
        let mut runs: BTreeMap<At, BTreeMap<&str, &Run>> = BTreeMap::new();
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

/// Whether a run passes, beside its control. Of latents: a fresh discriminator is confused, and no label probe lies too far
/// below that of the control. Of a student: it is nearer to its teachers than the control's, by
/// [`NEARER`]. None of what was not checked.
fn passes(run: &BTreeMap<&str, &Run>, control: &BTreeMap<&str, &Run>) -> Option<bool> {
    let keeps = |(metric, run): (&&str, &&Run)| {
        let of_control = control.get(metric);
        !metric.starts_with("latent_") || of_control.is_none_or(|of| run.value >= of.value - LABELS_LOST)
    };
    if let Some(confusion) = run.get("confusion") {
        return Some(confusion.value >= CONFUSED && run.iter().all(keeps));
    }
    let [ours, theirs] = [run, control].map(|of| of.get("teacher_contrast"));
    Some(ours?.value <= theirs?.value - NEARER)
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

    /// A student that is nearer by less than two trainings differ by chance has not been taught.
    #[test]
    fn a_student_passes_where_it_is_nearer_by_the_margin() {
        let mut records = Vec::new();
        for (seed, contrast) in (0..).zip([0.88, 0.889, 0.895, 0.92]) {
            records.push(found("concat+pretrained", None, seed, &[("teacher_contrast", 0.9)]));
            records.push(found(
                "concat+kd",
                Some("pretrained"),
                seed,
                &[("teacher_contrast", contrast)],
            ));
        }
        let summary = Summary::new("table4", &records, &table4()).unwrap();
        assert_eq!(passing(&summary), [0, 1]);
    }

    #[test]
    fn a_run_passes_where_modalities_are_confused_and_labels_are_kept() {
        let mut records = Vec::new();
        for seed in 0..4 {
            records.push(checked_record("concat+heads", None, seed, 0.1, [0.9, 0.8]));
        }
        let ebr = [
            (0.95, [0.9, 0.79]), // passes
            (0.95, [0.9, 0.7]),  // has lost the sound
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
        assert_eq!(of(1), expected(5, 4, 4, 2));
        assert_eq!(of(0), expected(4, 0, 0, 0));
        assert_eq!(passing(&summary), [0, 3]);
    }
}
