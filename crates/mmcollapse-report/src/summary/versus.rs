//! One row against every other row: what a table of p values is made of.

use mmcollapse_record::{Metric, Setting};
use std::collections::BTreeMap;

use miette::{IntoDiagnostic, Result};
use mmcollapse_probes::{holm, paired_difference};

use super::{BOOTSTRAP_SEED, Column, Difference, RESAMPLES, Summary};
use crate::paper::Paper;

/// What is paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Each seed's mean over the rates: pairs that are independent of each other.
    Seeds,
    /// Each seed at each rate: more pairs, but those of one seed share its split and are not independent, so p is too
    /// small.
    SeedsAndRates,
}

impl Pairing {
    /// Both, the one that counts first.
    const ALL: [Self; 2] = [Self::Seeds, Self::SeedsAndRates];

    /// For readers.
    pub fn text(self) -> &'static str {
        match self {
            Self::Seeds => "seeds",
            Self::SeedsAndRates => "seeds × rates",
        }
    }
}

/// A row against each other row in one protocol and metric, with Holm's correction over them.
#[derive(Clone, Debug, PartialEq)]
pub struct Versus {
    /// Protocol and label.
    pub setting: Setting,
    /// What was measured.
    pub metric: Metric,
    /// What is paired.
    pub pairing: Pairing,
    /// Against each other row that has a pair, in their order; `reference` is that row.
    pub differences: Vec<Difference>,
}

impl Summary {
    /// The row against every other one; nothing if it has not been run.
    ///
    /// # Errors
    /// Two runs of one seed, a value that is not finite.
    pub fn versus(&self, row: &str, metrics: &[Metric], paper: &Paper) -> Result<Vec<Versus>> {
        let Some(ours) = self.methods.iter().position(|method| method == row) else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for protocol in &self.protocols {
            let measured = self.metrics(protocol, paper);
            for metric in metrics {
                let rates = measured.get(metric).map_or(&[][..], Vec::as_slice);
                let values = |method| self.columns(protocol, method, metric, rates);
                let theirs = (0..self.methods.len()).filter(|method| *method != ours);
                let theirs = theirs.map(|method| Ok((method, values(method)?)));
                let theirs: Vec<_> = theirs.collect::<Result<_>>()?;
                let ours = values(ours)?;
                // With one rate both pairings are the same.
                for pairing in Pairing::ALL.into_iter().take(rates.len().clamp(1, 2)) {
                    let ours = paired(&ours, pairing);
                    let pairs = theirs
                        .iter()
                        .map(|(method, columns)| (*method, paired(columns, pairing)));
                    all.push(Versus {
                        setting: protocol.setting.clone(),
                        metric: metric.clone(),
                        pairing,
                        differences: differences(&ours, pairs).into_diagnostic()?,
                    });
                }
            }
        }
        Ok(all)
    }
}

/// Values by what is paired: the seed, and the place of the column.
type Values = BTreeMap<(u64, usize), f64>;

fn paired(columns: &[(Column, super::Seeds)], pairing: Pairing) -> Values {
    let of_pairing = columns.iter().enumerate().filter(|(_, (column, _))| match pairing {
        Pairing::Seeds => *column == Column::MeanOfRates,
        Pairing::SeedsAndRates => *column != Column::MeanOfRates,
    });
    of_pairing
        .flat_map(|(place, (_, seeds))| seeds.iter().map(move |(seed, (value, _))| ((*seed, place), *value)))
        .collect()
}

fn differences(
    ours: &Values,
    theirs: impl Iterator<Item = (usize, Values)>,
) -> std::result::Result<Vec<Difference>, mmcollapse_probes::MeasureError> {
    let mut differences = Vec::new();
    for (reference, theirs) in theirs {
        let pairs = ours
            .iter()
            .filter_map(|(pair, value)| Some((*value, *theirs.get(pair)?)));
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.unzip();
        if a.is_empty() {
            continue;
        }
        let paired = paired_difference(&a, &b, RESAMPLES, BOOTSTRAP_SEED)?;
        differences.push(Difference {
            reference,
            holm_p: paired.wilcoxon.p,
            paired,
            family: 0,
        });
    }
    let p: Vec<f64> = differences.iter().map(|d| d.paired.wilcoxon.p).collect();
    let family = p.len();
    for (difference, p) in differences.iter_mut().zip(holm(&p)?) {
        difference.holm_p = p;
        difference.family = family;
    }
    Ok(differences)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::synthetic::{metric, record, table4};
    use mmcollapse_record::Status;

    /// Ten seeds at two rates; ShaSpec with KD is above ShaSpec by 1 to 10 of 450 at one rate and level at the other, and
    /// 20 above concat at both.
    #[test]
    fn pairs_of_seeds_and_of_seeds_and_rates() {
        let mut records = Vec::new();
        for seed in 0..10_u64 {
            let gain = seed as usize + 1;
            for (row, method, high, low) in [
                ("shaspec+kd", ("shaspec", "kd"), 400 + gain, 390),
                ("shaspec", ("shaspec", "none"), 400, 390),
                ("concat", ("concat", "none"), 380 + gain, 370),
            ] {
                let levels = [(0.95, low), (0.9, high)];
                records.push(record(row, method, "test_missing", seed, &levels, Status::Ok));
            }
        }
        let paper = table4();
        let summary = Summary::new("table4", &records, &paper).unwrap();
        let all = summary.versus("shaspec+kd", &[metric("accuracy")], &paper).unwrap();
        assert_eq!(all.len(), 2);
        let of = |pairing: Pairing| all.iter().find(|v| v.pairing == pairing).unwrap();
        let rows = |v: &Versus| -> Vec<String> {
            let row = |d: &Difference| summary.methods[d.reference].to_string();
            v.differences.iter().map(row).collect()
        };
        let (seeds, both) = (of(Pairing::Seeds), of(Pairing::SeedsAndRates));
        assert_eq!(rows(seeds), ["shaspec", "concat"]);
        for (versus, n) in [(seeds, 10), (both, 20)] {
            for (difference, mean) in versus.differences.iter().zip([2.75, 20.0]) {
                assert_eq!(difference.paired.estimate.n, n);
                assert!((difference.paired.estimate.mean - mean / 450.0).abs() < 1e-12);
                assert_eq!(difference.family, 2);
            }
        }
        // All ten differences of one sign: 2 / 2^10, twice that after correction for two tests.
        for difference in &seeds.differences {
            assert!((difference.paired.wilcoxon.p - 2.0 / 1024.0).abs() < 1e-12);
            assert!((difference.holm_p - 4.0 / 1024.0).abs() < 1e-12);
        }
        assert!((both.differences[1].paired.wilcoxon.p - 2.0_f64.powi(-19)).abs() < 1e-12);
        assert!(
            summary
                .versus("muse+ebr", &[metric("accuracy")], &paper)
                .unwrap()
                .is_empty()
        );
    }
}
