//! Whether a row is better than others, by the one rule for comparisons.
//!
//! The unit is the difference of two rows on one seed, each seed's mean over the levels. Its interval and the margin decide
//! (`mmcollapse_probes::judge`), as they do on a claim of the paper. docs/methodology/results.md explains the rule.

use miette::{IntoDiagnostic, Result, miette};
use mmcollapse_probes::{Claimed, Comparison, Judged, Reason, judge, wilcoxon_signed_rank};
use mmcollapse_record::{Better, Metric, Rule, Setting, Split};

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
                let of_representation = metric.definition().measured.is_some();
                let part = if of_representation && diverged(&own).max(diverged(&theirs)) > DIVERGED {
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

    /// Test samples to each training sample, where numbers of both splits were measured.
    fn test_to_train(&self) -> Option<f64> {
        let mean = |split: Split| {
            let of_split = self.runs.iter().filter(|run| run.metric.definition().split == split);
            let samples: Vec<f64> = of_split.map(|run| run.n_test as f64).collect();
            (!samples.is_empty()).then(|| samples.iter().sum::<f64>() / samples.len() as f64)
        };
        Some(mean(Split::Test)? / mean(Split::Train)?)
    }
}

/// The share of the runs that diverged.
fn diverged(seeds: &Seeds) -> f64 {
    let diverged = seeds.values().filter(|(_, diverged)| *diverged).count();
    diverged as f64 / seeds.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use mmcollapse_probes::Verdict;
    use mmcollapse_record::Status;

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
