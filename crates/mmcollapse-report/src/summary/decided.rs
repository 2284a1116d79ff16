//! Whether a row is better than others, by the one rule for comparisons.
//!
//! The unit is the difference of two rows on one seed, each seed's mean over the levels. Its interval and the margin decide
//! (`mmcollapse_probes::judge`), as they do on a claim of the paper. docs/methodology/results.md explains the rule.

use std::collections::BTreeMap;

use miette::{IntoDiagnostic, Result, miette};
use mmcollapse_probes::{Claimed, Comparison, Judged, Reason, judge, wilcoxon_signed_rank};
use mmcollapse_record::{Better, Metric, Rule, Setting};

use super::{Column, Seeds, Summary};
use crate::paper::Paper;
use crate::report::verdict::DIVERGED;

/// A row against another in one protocol and metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// Protocol and label.
    pub setting: Setting,
    /// What was measured.
    pub metric: Metric,
    /// Position of the other row in [`Summary::methods`].
    pub against: usize,
    /// Seeds that both rows have.
    pub n: usize,
    /// Difference, interval and verdict on "the row is better", or why there is none.
    pub judged: std::result::Result<Judged, Reason>,
    /// Of the exact two-sided signed-rank test, which decides nothing.
    pub p: Option<f64>,
    /// Comparisons that share the error of 5 %.
    pub family: usize,
}

impl Summary {
    /// Whether a row is better than another, or than each other row, under each protocol and by each of the metrics that are
    /// shares of which more or less is better. All comparisons of a metric are one family.
    ///
    /// # Errors
    /// A row that is not there, two runs of one seed, a margin that is not above 0.
    pub fn decided(
        &self,
        row: &str,
        against: Option<&str>,
        metrics: &[Metric],
        rule: Rule,
        paper: &Paper,
    ) -> Result<Vec<Decided>> {
        let find = |name: &str| {
            let names = || {
                self.methods
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let found = self.methods.iter().position(|method| *method == *name);
            found.ok_or_else(|| {
                miette!(
                    help = format!("rows with results are {}", names()),
                    "{}: there is no row `{name}`",
                    self.experiment
                )
            })
        };
        let ours = find(row)?;
        let against = against.map(find).transpose()?;
        let overlap = match rule.overlap {
            overlap if overlap > 0.0 => self.test_to_train().unwrap_or(overlap),
            _ => 0.0,
        };
        let mut all = Vec::new();
        for metric in metrics.iter().filter(|metric| metric.is_share()) {
            let claimed = match metric.definition().better {
                Better::Higher => Claimed::Higher,
                Better::Lower => Claimed::Lower,
                Better::Neither => continue,
            };
            let mut pairs = Vec::new();
            for protocol in &self.protocols {
                let measured = self.metrics(protocol, paper);
                let Some(rates) = measured.get(metric) else { continue };
                let by_seed = |method: usize| -> Result<Seeds> {
                    let columns = self.columns(protocol, method, metric, rates)?.into_iter();
                    let mut means = columns.filter(|(column, _)| *column == Column::MeanOfRates);
                    Ok(means.next().map(|(_, seeds)| seeds).unwrap_or_default())
                };
                let own = by_seed(ours)?;
                let others = (0..self.methods.len()).filter(|method| *method != ours);
                for other in others.filter(|other| against.is_none_or(|against| against == *other)) {
                    let theirs = by_seed(other)?;
                    // A row that was not run under the protocol is no comparison.
                    if !own.is_empty() && !theirs.is_empty() {
                        pairs.push((protocol.setting.clone(), other, own.clone(), theirs));
                    }
                }
            }
            let family = pairs.len();
            for (setting, other, own, theirs) in pairs {
                let differences: Vec<f64> = own
                    .iter()
                    .filter_map(|(seed, (value, _))| Some(value - theirs.get(seed)?.0))
                    .collect();
                let diverged = |method| self.diverged(&setting, method);
                let part = if metric.definition().needs_whole_runs() && diverged(ours).max(diverged(other)) > DIVERGED {
                    Err(Reason::Diverged)
                } else {
                    Ok(Comparison {
                        differences: differences.clone(),
                        q: overlap,
                        claimed,
                        margin: rule.margin,
                    })
                };
                let mut judgement = judge(&[part], family).into_diagnostic()?;
                all.push(Decided {
                    setting,
                    metric: metric.clone(),
                    against: other,
                    n: differences.len(),
                    judged: judgement.parts.pop().unwrap_or(Err(Reason::NotMeasured)),
                    p: wilcoxon_signed_rank(&differences).ok().map(|test| test.p),
                    family,
                });
            }
        }
        Ok(all)
    }

    /// The share of a row's runs that diverged, whatever was measured of them: some may have left nothing to measure.
    fn diverged(&self, setting: &Setting, method: usize) -> f64 {
        let own = self
            .runs
            .iter()
            .filter(|run| run.method == method && run.setting == *setting);
        share_diverged(own.map(|run| (run.seed, run.diverged))).unwrap_or(0.0)
    }

    /// Test samples to each training sample, where numbers of both splits were measured.
    pub(crate) fn test_to_train(&self) -> Option<f64> {
        test_to_train(self.runs.iter().map(|run| (&run.metric, run.seed, run.n_test)))
    }
}

/// The share of seeds of which some number is of a run that diverged; none where there is no number.
pub(crate) fn share_diverged(numbers: impl Iterator<Item = (u64, bool)>) -> Option<f64> {
    let mut seeds: BTreeMap<u64, bool> = BTreeMap::new();
    for (seed, diverged) in numbers {
        *seeds.entry(seed).or_default() |= diverged;
    }
    let diverged = seeds.values().filter(|diverged| **diverged).count();
    (!seeds.is_empty()).then(|| diverged as f64 / seeds.len() as f64)
}

/// Test samples to each training sample, of numbers with their metric, seed and samples; none where a split has none.
///
/// They are counted by the accuracy and the semantic loss, which every run has of each sample. Other metrics count other things: a
/// manipulation check the latents of all modalities together, a score of one modality the samples that have it. Of each
/// seed the largest number counts.
pub(crate) fn test_to_train<'a>(numbers: impl Iterator<Item = (&'a Metric, u64, usize)>) -> Option<f64> {
    const COUNTED: [&str; 2] = ["accuracy", "loss_semantic"];
    let mut most: BTreeMap<(&str, u64), usize> = BTreeMap::new();
    for (metric, seed, samples) in numbers.filter(|(metric, ..)| COUNTED.contains(&metric.as_str())) {
        let of_seed = most.entry((metric.as_str(), seed)).or_default();
        *of_seed = samples.max(*of_seed);
    }
    let mean = |key: &str| {
        let of_metric = most.iter().filter(|((metric, _), _)| *metric == key);
        let samples: Vec<f64> = of_metric.map(|(_, samples)| *samples as f64).collect();
        (!samples.is_empty()).then(|| samples.iter().sum::<f64>() / samples.len() as f64)
    };
    let [test, train] = COUNTED.map(mean);
    Some(test? / train?)
}

#[cfg(test)]
mod tests {
    use mmcollapse_probes::Verdict;
    use mmcollapse_record::{Score, Status};

    use super::*;
    use crate::summary::synthetic::{metric, record, table4};

    /// Four seeds: `mine` is 9, 18, 27 and 36 of 450 above concat (2, 4, 6 and 8 points: mean 5, s = 2.582), and 9, 0, 9, 0 above
    /// ShaSpec (mean 1, s = 1.155).
    fn summary() -> Summary {
        let mut records = Vec::new();
        for seed in 0..4_u64 {
            let mine = 400 + 10 * seed as usize;
            let above = [9, 18, 27, 36][seed as usize];
            let little = [9, 0, 9, 0][seed as usize];
            for (row, right) in [("concat", mine - above), ("shaspec", mine - little), ("mine", mine)] {
                let levels = [(0.95, right), (0.9, right)];
                records.push(record(row, (row, "none"), "test_missing", seed, &levels, Status::Ok));
            }
        }
        Summary::new("table4", &records, &table4()).unwrap()
    }

    fn decided(against: Option<&str>, overlap: f64) -> Vec<Decided> {
        let rule = Rule { margin: 0.01, overlap };
        summary()
            .decided("mine", against, &[metric("accuracy")], rule, &table4())
            .unwrap()
    }

    /// t(3) at 97.5 % is 3.182446; half-width 3.182446 · 2.581989 / 2 = 4.1085205 points.
    #[test]
    fn two_rows_are_compared_at_level_95() {
        let [one] = &decided(Some("concat"), 0.0)[..] else {
            panic!("one comparison")
        };
        let judged = one.judged.unwrap();
        assert_eq!((one.n, one.family), (4, 1));
        assert!((judged.spread.mean - 0.05).abs() < 1e-12);
        assert!(
            (judged.interval.low - (0.05 - 0.041_085_205)).abs() < 1e-7,
            "{judged:?}"
        );
        assert_eq!(judged.verdict, Verdict::Supported { smaller: false });
        // All of one sign: 2 / 2^4.
        assert!((one.p.unwrap() - 0.125).abs() < 1e-12);
    }

    /// Of two comparisons each has the level 97.5 %: t(3) is 4.176535.
    #[test]
    fn all_other_rows_share_the_error() {
        let all = decided(None, 0.0);
        assert_eq!(
            all.iter().map(|one| (one.against, one.family)).collect::<Vec<_>>(),
            [(0, 2), (1, 2)]
        );
        let [first, second] = [&all[0], &all[1]].map(|one| one.judged.unwrap());
        assert!(
            (first.interval.low - (0.05 - 4.176_535 * 0.025_819_889 / 2.0)).abs() < 1e-7,
            "{first:?}"
        );
        assert!(
            matches!(first.verdict, Verdict::Inconclusive { .. }),
            "{:?}",
            first.verdict
        );
        assert!((second.spread.mean - 0.01).abs() < 1e-12);
    }

    /// Where seeds cut the same records anew, the error has the overlap in it: sqrt(1/4 + .75) = 1 instead of a half.
    #[test]
    fn overlap_widens_the_interval() {
        let [one] = &decided(Some("concat"), 0.75)[..] else {
            panic!("one comparison")
        };
        let judged = one.judged.unwrap();
        assert!(
            (judged.interval.low - (0.05 - 2.0 * 0.041_085_205)).abs() < 1e-7,
            "{judged:?}"
        );
    }

    /// A run that left nothing to measure has diverged all the same.
    #[test]
    fn runs_without_a_measure_count_as_diverged() {
        let mut records = Vec::new();
        for seed in 0..10_u64 {
            for row in ["concat", "mine"] {
                let has_diverged = row == "mine" && seed < 3;
                let status = if has_diverged {
                    Status::Diverged {
                        reason: "loss is not finite".to_owned(),
                        epoch: 4,
                    }
                } else {
                    Status::Ok
                };
                let mut record = record(row, (row, "none"), "test_missing", seed, &[(0.9, 400)], status);
                if !has_diverged {
                    let share = Score {
                        metric: metric("monosemantic_neurons"),
                        value: 0.1 + 0.01 * seed as f64,
                        ..record.outcome.scores[0].clone()
                    };
                    record.outcome.scores.push(share);
                }
                records.push(record);
            }
        }
        let summary = Summary::new("table4", &records, &table4()).unwrap();
        let rule = Rule {
            margin: 0.01,
            overlap: 0.0,
        };
        let metrics = [metric("monosemantic_neurons")];
        let [one] = &summary.decided("mine", None, &metrics, rule, &table4()).unwrap()[..] else {
            panic!("one comparison")
        };
        assert_eq!((one.n, one.judged), (7, Err(Reason::Diverged)));
    }

    /// PhysioNet 2012: 1601 test to 5599 training samples. A check reads the latents of four modalities, some 6344.
    #[test]
    fn neither_parts_nor_latents_are_taken_for_test_samples() {
        let [accuracy, only, confusion, check, loss, other] = [
            "accuracy",
            "auroc_only_labs",
            "confusion",
            "reallocated",
            "loss_semantic",
            "loss_modality",
        ]
        .map(metric);
        let numbers = [
            (&accuracy, 0, 1601),
            (&only, 0, 1550),
            (&confusion, 0, 6344),
            (&check, 0, 4725),
            (&loss, 0, 5599),
            (&other, 0, 22_000),
            (&accuracy, 1, 1603),
            (&accuracy, 1, 900),
            (&loss, 1, 5601),
        ];
        let ratio = test_to_train(numbers.into_iter()).unwrap();
        assert!((ratio - 1602.0 / 5600.0).abs() < 1e-12, "{ratio}");
        assert_eq!(test_to_train([(&accuracy, 0, 386)].into_iter()), None);
    }

    #[test]
    fn a_row_that_is_not_there_is_named() {
        let rule = Rule {
            margin: 0.01,
            overlap: 0.0,
        };
        let error = summary()
            .decided("mine", Some("muse"), &[metric("accuracy")], rule, &table4())
            .unwrap_err();
        assert!(error.to_string().contains("no row `muse`"), "{error}");
        let help = error.help().unwrap().to_string();
        assert!(help.contains("concat, shaspec, mine"), "{help}");
    }
}
