//! How sure a number is: samples are drawn again, whole groups where they are given (Efron 1979).
//!
//! Every number of a diagnosis is a function of means over samples. One set of draws serves them all.

use mmcollapse_probes::{SplitMix64, quantile};
use rayon::prelude::*;
use serde::Serialize;

use crate::probe::{log_sum, losses};
use crate::rows::{Rows, shuffle, stream};

/// The most units that are drawn. Of more, units are dealt at random into so many blocks, which are drawn.
const MOST_UNITS: usize = 5_000;

/// A number with its 95 % percentile interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimated {
    /// The number on the samples themselves.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Names a column of per-sample numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column(usize);

/// Per-sample numbers whose means are drawn again.
pub(crate) struct Columns {
    unit: Vec<usize>,
    units: usize,
    /// Sums over each unit, the first of ones.
    sums: Vec<Vec<f64>>,
}

impl Columns {
    /// For samples of these units.
    pub fn new(units: &[usize], seed: u64) -> Self {
        let count = units.iter().max().map_or(0, |last| last + 1);
        let mut dealt: Vec<usize> = (0..count).map(|unit| unit % MOST_UNITS).collect();
        if count > MOST_UNITS {
            shuffle(&mut dealt, &mut stream(seed, "blocks"));
        }
        let mut columns = Self {
            unit: units.iter().map(|&unit| dealt[unit]).collect(),
            units: count.min(MOST_UNITS),
            sums: Vec::new(),
        };
        columns.add(&vec![1.0; units.len()]);
        columns
    }

    /// Adds a number a sample.
    pub fn add(&mut self, values: &[f64]) -> Column {
        let mut sums = vec![0.0; self.units];
        for (unit, value) in self.unit.iter().zip(values) {
            sums[*unit] += value;
        }
        self.sums.push(sums);
        Column(self.sums.len() - 1)
    }

    /// Draws units with replacement, `resamples` times.
    pub fn resampled(&self, resamples: usize, seed: u64) -> Resampled {
        let means = |sums: Vec<f64>| Means(sums.iter().map(|sum| sum / sums[0]).collect());
        let draw = |at: usize| {
            let mut draws = SplitMix64(stream(seed, "bootstrap").0 ^ (at as u64).wrapping_mul(0xA24B_AED4_963E_E407));
            let mut counts = vec![0.0; self.units];
            for _ in 0..self.units {
                counts[draws.below(self.units)] += 1.0;
            }
            let of = |sums: &Vec<f64>| sums.iter().zip(&counts).map(|(sum, count)| sum * count).sum();
            means(self.sums.iter().map(of).collect())
        };
        Resampled {
            whole: means(self.sums.iter().map(|sums| sums.iter().sum()).collect()),
            draws: (0..resamples).into_par_iter().map(draw).collect(),
            units: self.units,
        }
    }
}

/// Means over samples of every column.
pub(crate) struct Means(Vec<f64>);

impl Means {
    /// That of a column.
    pub fn of(&self, column: Column) -> f64 {
        self.0[column.0]
    }
}

/// The means of all samples and of each draw.
pub(crate) struct Resampled {
    pub whole: Means,
    draws: Vec<Means>,
    /// Units that were drawn.
    pub units: usize,
}

impl Resampled {
    /// A function of the means with its interval. Draws on which it is not finite are left out.
    pub fn estimate(&self, of: impl Fn(&Means) -> f64) -> Estimated {
        let mut drawn: Vec<f64> = self.draws.iter().map(&of).filter(|value| value.is_finite()).collect();
        drawn.sort_by(f64::total_cmp);
        let value = of(&self.whole);
        let at = |q: f64| if drawn.is_empty() { value } else { quantile(&drawn, q) };
        Estimated {
            value,
            low: at(0.025),
            high: at(0.975),
        }
    }

    /// Chance of a value of 0 or less among the draws, never below one in their number.
    pub fn p_above_zero(&self, of: impl Fn(&Means) -> f64) -> f64 {
        // A draw on which it is not defined counts against it.
        let above = self.draws.iter().filter(|means| of(means) > 0.0).count();
        (self.draws.len() - above + 1) as f64 / (self.draws.len() + 1) as f64
    }
}

/// Chance that labels permuted over the samples lose no more than the samples' own, never below one in the permutations.
pub(crate) fn permutation_p(logits: &[f64], rows: &Rows, permutations: usize, draws: &mut SplitMix64) -> f64 {
    let classes = rows.classes.len();
    let own: f64 = losses(logits, &rows.labels, classes).iter().sum();
    // A loss is the logsum, which stays, less the logit of the label.
    let whole: f64 = logits.chunks_exact(classes).map(log_sum).sum();
    let mut labels = rows.labels.clone();
    let mut as_good = 0;
    for _ in 0..permutations {
        shuffle(&mut labels, draws);
        let said: f64 = labels
            .iter()
            .enumerate()
            .map(|(row, label)| logits[row * classes + *label as usize])
            .sum();
        as_good += usize::from(whole - said <= own);
    }
    (as_good + 1) as f64 / (permutations + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_mean() {
        // Half ones: the standard error of the mean of 400 is 1/40.
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let rows: Vec<usize> = (0..400).collect();
        let mut columns = Columns::new(&rows, 1);
        let column = columns.add(&values);
        let drawn = columns.resampled(4000, 1);
        let found = drawn.estimate(|means| means.of(column));
        assert_eq!(found.value, 0.5);
        for (end, side) in [(found.low, -1.0), (found.high, 1.0)] {
            assert!((end - 0.5 - side * 1.96 / 40.0).abs() < 0.004, "{found:?}");
        }
        assert!(drawn.p_above_zero(|means| means.of(column) - 0.4) < 0.001);
    }

    #[test]
    fn groups_of_equal_samples_count_once() {
        // Forty groups of ten equal samples are forty samples.
        let values: Vec<f64> = (0..400).map(|i| f64::from(i / 10 % 2)).collect();
        let units: Vec<usize> = (0..400).map(|i| i / 10).collect();
        let mut columns = Columns::new(&units, 1);
        let column = columns.add(&values);
        let found = columns.resampled(4000, 1).estimate(|means| means.of(column));
        let expected = 1.96 * 0.5 / 40_f64.sqrt();
        assert!(((found.high - found.low) / 2.0 - expected).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn blocks_of_many_samples_give_the_same_interval() {
        let n = 20_000;
        let values: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i % 2 == 0))).collect();
        let mut columns = Columns::new(&(0..n).collect::<Vec<_>>(), 1);
        let column = columns.add(&values);
        let found = columns.resampled(2000, 1).estimate(|means| means.of(column));
        let expected = 1.96 * 0.5 / (n as f64).sqrt();
        assert!(
            ((found.high - found.low) / 2.0 / expected - 1.0).abs() < 0.15,
            "{found:?}"
        );
    }
}
