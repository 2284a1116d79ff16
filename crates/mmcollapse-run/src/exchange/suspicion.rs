//! Whether predictions look as if test labels were used, as far as numbers can tell.
//!
//! An export has no test labels, but they can be had elsewhere. Two things would show: no prediction is wrong where trained models
//! err, or the test is predicted far better than validation under the same masks. Far worse, and they may be of other samples.

use std::collections::BTreeMap;

use mmcollapse_record::{Record, Setting, Split};

/// Fewest predictions of which none being wrong says something.
const FEWEST: usize = 100;

/// Accuracy of the best row from which on a method without errors is nothing odd.
const NEARLY: f64 = 0.99;

/// Least difference of test and validation that counts, a share.
const GAP: f64 = 0.05;

/// Least difference in standard errors.
const ERRORS: f64 = 5.0;

/// Part of validation's accuracy below which the test's is no matter of generalising.
const LOST: f64 = 0.5;

/// Right predictions of one seed and setting.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Sum over the levels of the shares of right ones.
    accuracy: f64,
    levels: usize,
    /// Samples; the same at every level.
    samples: usize,
}

/// Right predictions, by setting, seed and split.
#[derive(Debug, Default)]
pub(super) struct Tallies(BTreeMap<(String, u64, &'static str), Tally>);

impl Tallies {
    /// Adds a condition of the protocol itself.
    pub(super) fn add(&mut self, setting: &Setting, seed: u64, split: Split, accuracy: f64, samples: usize) {
        let tally = self.0.entry((setting.to_string(), seed, split.as_str())).or_default();
        tally.accuracy += accuracy;
        tally.levels += 1;
        tally.samples = tally.samples.max(samples);
    }

    /// Accuracy over levels and seeds, and the samples of all seeds.
    fn of(&self, setting: &str, split: Split) -> Option<(f64, f64)> {
        let own = || {
            let all = self.0.iter();
            all.filter(|((of, _, on), _)| of == setting && *on == split.as_str())
                .map(|(_, tally)| tally)
        };
        let samples: usize = own().map(|tally| tally.samples).sum();
        let right = own().map(|tally| tally.accuracy / tally.levels as f64 * tally.samples as f64);
        (samples > 0).then(|| (right.sum::<f64>() / samples as f64, samples as f64))
    }

    /// Each setting once.
    fn settings(&self) -> impl Iterator<Item = &str> {
        let mut settings: Vec<&str> = self.0.keys().map(|(setting, ..)| setting.as_str()).collect();
        settings.dedup();
        settings.into_iter()
    }

    /// What is odd, in words; nothing if nothing is. `baselines` are the rows that they stand beside.
    pub(super) fn suspicion(&self, baselines: &[Record]) -> Option<String> {
        self.settings().find_map(|setting| {
            let (test, n) = self.of(setting, Split::Test)?;
            let best = best(setting, baselines);
            if test >= 1.0
                && n >= FEWEST as f64
                && let Some(best) = best.filter(|best| *best < NEARLY)
            {
                return Some(format!(
                    "{setting}: none of the predictions of {n} test samples is wrong; the best row has {:.1} %",
                    100.0 * best
                ));
            }
            let (validation, m) = self.of(setting, Split::Validation)?;
            let gap = test - validation;
            let error = error((test, n), (validation, m));
            (gap > GAP && gap > ERRORS * error).then(|| {
                format!(
                    "{setting}: {:.1} % of {n} test samples are predicted right, and {:.1} % of {m} validation samples with as \
                     few modalities, {:.1} standard errors less",
                    100.0 * test,
                    100.0 * validation,
                    gap / error
                )
            })
        })
    }

    /// Why the test's predictions may not be of its samples: they are right far less often than validation's under the same masks.
    pub(super) fn doubt(&self) -> Option<String> {
        self.settings().find_map(|setting| {
            let (test, n) = self.of(setting, Split::Test)?;
            let (validation, m) = self.of(setting, Split::Validation)?;
            let gap = validation - test;
            (test < LOST * validation && gap > ERRORS * error((test, n), (validation, m))).then(|| {
                format!(
                    "{setting}: {:.1} % of the test samples are predicted right, and {:.1} % of the validation samples with as few modalities: \
                     are the test's predictions in the order of its samples?",
                    100.0 * test,
                    100.0 * validation
                )
            })
        })
    }
}

/// The standard error of the difference of two accuracies, each with its samples.
fn error((a, n): (f64, f64), (b, m): (f64, f64)) -> f64 {
    let share = (a * n + b * m) / (n + m);
    (share * (1.0 - share) * (1.0 / n + 1.0 / m)).sqrt()
}

/// The mean accuracy of the best row.
fn best(setting: &str, baselines: &[Record]) -> Option<f64> {
    let mut rows: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for record in baselines.iter().filter(|record| record.setting.to_string() == setting) {
        let scores = record.outcome.scores.iter();
        for score in scores.filter(|score| score.split == Split::Test && score.metric.as_str() == "accuracy") {
            let (sum, n) = rows.entry(record.row.to_string()).or_default();
            *sum += score.value;
            *n += 1.0;
        }
    }
    rows.values().map(|(sum, n)| sum / n).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies(test: f64, validation: Option<f64>, samples: usize) -> Tallies {
        let setting: Setting = "test_missing".parse().unwrap();
        let mut tallies = Tallies::default();
        for seed in 0..2 {
            for _level in 0..4 {
                tallies.add(&setting, seed, Split::Test, test, samples);
                if let Some(validation) = validation {
                    tallies.add(&setting, seed, Split::Validation, validation, samples);
                }
            }
        }
        tallies
    }

    /// Of 2 seeds with 450 samples each: sqrt(.8 .2 2/900) = .0189, and .9 - .7 are 10.6 of it.
    #[test]
    fn a_test_far_above_validation_is_odd() {
        let said = tallies(0.9, Some(0.7), 450).suspicion(&[]).unwrap();
        assert!(
            said.contains("90.0 % of 900") && said.contains("10.6 standard errors"),
            "{said}"
        );
        // As large, of few samples: sqrt(.8 .2 2/20) = .126.
        assert_eq!(tallies(0.9, Some(0.7), 10).suspicion(&[]), None);
        // Small, of many: 2 points.
        assert_eq!(tallies(0.9, Some(0.88), 100_000).suspicion(&[]), None);
        assert_eq!(tallies(0.7, Some(0.9), 450).suspicion(&[]), None);
        assert_eq!(tallies(0.9, None, 450).suspicion(&[]), None);
    }

    #[test]
    fn a_test_far_below_validation_is_doubted() {
        let said = tallies(0.1, Some(0.9), 450).doubt().unwrap();
        assert!(said.contains("10.0 % of the test samples"), "{said}");
        // It generalises badly, or there are too few to say.
        assert_eq!(tallies(0.5, Some(0.9), 450).doubt(), None);
        assert_eq!(tallies(0.1, Some(0.9), 2).doubt(), None);
        assert_eq!(tallies(0.1, None, 450).doubt(), None);
    }

    #[test]
    fn no_error_at_all_is_odd_only_beside_rows_that_err() {
        assert_eq!(tallies(1.0, None, 450).suspicion(&[]), None, "nothing to compare with");
        assert_eq!(tallies(1.0, Some(1.0), 450).suspicion(&[]), None);
    }
}
