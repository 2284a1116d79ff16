//! Manipulation checks: in how many runs of a row the reallocation has happened.

use std::collections::BTreeMap;

use mmcollapse_record::Setting;
use mmcollapse_record::manipulation::{CONFUSED, LABELS_LOST};

use super::Summary;

/// A run of a row: its seed and level.
type At = (u64, u64);

/// What the check of one row's runs says.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Checked {
    /// Runs that were checked.
    pub runs: usize,
    /// Those by whose latents a fresh discriminator is confused.
    pub confused: usize,
    /// Those by whose latents it is confused once their modalities are shuffled, as it must be.
    pub shuffled: usize,
    /// Runs that are compared with the control of the same seed, and those among them that pass: confused, and no label
    /// probe too far below that of the control. None where the row has no control, or it was not run.
    pub passing: Option<(usize, usize)>,
}

impl Summary {
    /// The check of a row, given by its place in [`Summary::methods`]; none where no run of it was checked.
    pub fn checked(&self, setting: &Setting, method: usize) -> Option<Checked> {
        let ours = self.runs_of(setting, method);
        let twin = self.methods[method].twin();
        let twin = twin.and_then(|twin| self.methods.iter().position(|known| *known == *twin.as_str()));
        let theirs = twin.map(|twin| self.runs_of(setting, twin)).unwrap_or_default();
        let mut checked = Checked::default();
        for (at, run) in &ours {
            let is_over = |metric: &str| run.get(metric).is_some_and(|value| *value >= CONFUSED);
            if !run.contains_key("confusion") {
                continue;
            }
            checked.runs += 1;
            checked.confused += usize::from(is_over("confusion"));
            checked.shuffled += usize::from(is_over("confusion_shuffled"));
            if let Some(control) = theirs.get(at) {
                let keeps = |(metric, value): (&&str, &f64)| {
                    let of_control = control.get(metric);
                    !metric.starts_with("latent_") || of_control.is_none_or(|of| *value >= of - LABELS_LOST)
                };
                let (compared, passing) = checked.passing.get_or_insert_default();
                *compared += 1;
                *passing += usize::from(is_over("confusion") && run.iter().all(keeps));
            }
        }
        (checked.runs > 0).then_some(checked)
    }

    /// What was measured of each run of a row.
    fn runs_of(&self, setting: &Setting, method: usize) -> BTreeMap<At, BTreeMap<&str, f64>> {
        let mut runs: BTreeMap<At, BTreeMap<&str, f64>> = BTreeMap::new();
        let own = self
            .runs
            .iter()
            .filter(|run| run.method == method && run.setting == *setting);
        for run in own {
            let at = (run.seed, run.rate.to_bits());
            runs.entry(at).or_default().insert(run.metric.as_str(), run.value);
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_record::{Record, Score, Split, Status};

    use super::*;
    use crate::summary::synthetic::{metric, record, setting, table4};

    /// A run with a check: what a fresh discriminator makes of it, and label probes of two modalities.
    fn checked_record(row: &str, twin: Option<&str>, seed: u64, confusion: f64, labels: [f64; 2]) -> Record {
        let right = [(0.9, 400)];
        let mut record = record(row, ("concat", "ebr"), "test_missing", seed, &right, Status::Ok);
        record.row.reallocation.twin = twin.map(str::to_owned);
        let values = [
            ("confusion", confusion),
            ("confusion_shuffled", 1.0),
            ("latent_image", labels[0]),
            ("latent_sound", labels[1]),
        ];
        record.outcome.scores.extend(values.map(|(key, value)| Score {
            protocol: setting("test_missing").protocol,
            rate: 0.0,
            split: Split::Test,
            metric: metric(key),
            value,
            n: 450,
        }));
        record
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
        assert_eq!(
            of(1),
            Some(Checked {
                runs: 5,
                confused: 4,
                shuffled: 5,
                passing: Some((4, 2))
            })
        );
        assert_eq!(
            of(0),
            Some(Checked {
                runs: 4,
                confused: 0,
                shuffled: 4,
                passing: None
            })
        );
    }
}
