//! DeLong's variance of an AUROC, and the test of two AUROCs on the same samples.
//!
//! Each sample has a placement: for a positive the share of negatives that score lower, for a negative the share of
//! positives that score higher, ties as half. The AUROC is the mean placement of either class, and the variance of
//! that mean over the samples of each class is the variance of the AUROC. Two AUROCs are compared by the placements'
//! differences, sample by sample, which keeps their correlation.
//!
//! Source: DeLong, DeLong, Clarke-Pearson 1988, Biometrics 44, equations 4 to 6. Placements are read off the sorted
//! scores, as the midranks of Sun and Xu 2014, IEEE Signal Processing Letters 21: O(n log n) in all.

use statrs::function::erf::erfc;

use super::{Outcomes, auroc};
use crate::error::confidence;
use crate::estimate::{Interval, normal_quantile};
use crate::{MeasureError, Result};

const MEASURE: &str = "DeLong's variance";

/// Below this, relative to the difference, a standard error is what rounding leaves of 0: a single sample that differs
/// from the rest makes it larger, up to millions of samples.
const NONE: f64 = 1e-13;

/// An AUROC and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Auroc {
    /// The AUROC.
    pub value: f64,
    /// Its standard error by DeLong; 0 when the classes are apart (or reversed), where it says nothing.
    pub standard_error: f64,
    /// Normal interval, cut to [0, 1].
    pub interval: Interval,
    /// Samples whose label is known.
    pub n: usize,
    /// Positives among them.
    pub positives: usize,
    /// Samples whose label is unknown, which are left out.
    pub unknown: usize,
}

/// Two AUROCs on the same samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AurocTest {
    /// AUROC of the first scores minus that of the second.
    pub difference: f64,
    /// Standard error of the difference.
    pub standard_error: f64,
    /// Normal interval of the difference.
    pub interval: Interval,
    /// Difference in standard errors; 0 for scores that order the samples alike.
    pub z: f64,
    /// Two-sided p of "both AUROCs are equal", by the normal distribution, to ten digits.
    pub p: f64,
    /// Samples whose label is known.
    pub n: usize,
    /// Positives among them.
    pub positives: usize,
    /// Samples whose label is unknown, which are left out.
    pub unknown: usize,
}

/// AUROC with DeLong's standard error and its normal interval of confidence `level`, such as .95.
///
/// # Errors
/// Fewer than two positives or two negatives; a level outside of (0, 1).
pub fn auroc_delong(outcomes: &Outcomes, level: f64) -> Result<Auroc> {
    confidence(MEASURE, level)?;
    let half_width = normal_quantile(level);
    outcomes.tally().both_classes(MEASURE, 2)?;
    let value = auroc(outcomes.tally())?;
    let standard_error = standard_error(outcomes, &placements(outcomes));
    Ok(Auroc {
        value,
        standard_error,
        interval: Interval {
            low: (value - half_width * standard_error).max(0.0),
            high: (value + half_width * standard_error).min(1.0),
        },
        n: outcomes.n(),
        positives: outcomes.tally().positives() as usize,
        unknown: outcomes.unknown(),
    })
}

/// DeLong's test of the AUROC of `ours` against that of `reference` on the same samples.
///
/// # Errors
/// Those of [`auroc_delong`]; labels, known or unknown, that differ between the two; AUROCs that differ by the same
/// amount on every sample, so that the difference has no variance (a perfect order against its reverse).
pub fn delong_test(ours: &Outcomes, reference: &Outcomes, level: f64) -> Result<AurocTest> {
    confidence(MEASURE, level)?;
    let half_width = normal_quantile(level);
    ours.same_samples(MEASURE, reference)?;
    ours.tally().both_classes(MEASURE, 2)?;
    let difference = auroc(ours.tally())? - auroc(reference.tally())?;
    let differences: Vec<f64> = placements(ours)
        .iter()
        .zip(placements(reference))
        .map(|(a, b)| a - b)
        .collect();
    let standard_error = standard_error(ours, &differences);
    let z = if standard_error > NONE * difference.abs() {
        difference / standard_error
    } else if difference == 0.0 {
        0.0
    } else {
        return Err(MeasureError::Degenerate {
            measure: "DeLong's test",
            reason: "the AUROCs differ, but by the same amount on every sample: the difference has no variance",
        });
    };
    Ok(AurocTest {
        difference,
        standard_error,
        interval: Interval {
            low: difference - half_width * standard_error,
            high: difference + half_width * standard_error,
        },
        z,
        p: erfc(z.abs() / std::f64::consts::SQRT_2),
        n: ours.n(),
        positives: ours.tally().positives() as usize,
        unknown: ours.unknown(),
    })
}

/// Placement of each known sample, in the order given.
fn placements(outcomes: &Outcomes) -> Vec<f64> {
    let tally = outcomes.tally();
    let (positives, negatives) = (tally.positives() as f64, tally.negatives() as f64);
    let (mut higher, mut lower) = (0, tally.negatives());
    let of_level: Vec<(f64, f64)> = tally
        .all_levels()
        .iter()
        .map(|level| {
            lower -= level.negatives;
            let positive = (lower as f64 + level.negatives as f64 / 2.0) / negatives;
            let negative = (higher as f64 + level.positives as f64 / 2.0) / positives;
            higher += level.positives;
            (positive, negative)
        })
        .collect();
    outcomes
        .known
        .iter()
        .map(|sample| {
            let (positive, negative) = of_level[sample.level];
            if sample.positive { positive } else { negative }
        })
        .collect()
}

/// Root of the sum over classes of the variance (n - 1 in the denominator) of their samples' values, over n.
fn standard_error(outcomes: &Outcomes, values: &[f64]) -> f64 {
    let of_class = |positive: bool| {
        let class = || {
            let pairs = outcomes.known.iter().zip(values);
            pairs
                .filter(move |(sample, _)| sample.positive == positive)
                .map(|(_, value)| *value)
        };
        let n = class().count() as f64;
        let mean = class().sum::<f64>() / n;
        class().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n
    };
    (of_class(true) + of_class(false)).sqrt()
}
