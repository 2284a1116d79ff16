//! What a method adds on the same seeds: the mean of the differences, not the difference of the means.
//!
//! Runs that share a seed share split, masks and noise, so their common luck cancels in the difference.

use crate::Result;
use crate::error::{at_least, same_length};
use crate::estimate::{Estimate, Interval, bootstrap_interval, estimate};
use crate::wilcoxon::{Wilcoxon, wilcoxon_signed_rank};

/// A comparison of two methods over the same seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedDifference {
    /// Number of pairs, mean of `ours - reference`, its sd and its 95 % t interval.
    pub estimate: Estimate,
    /// 95 % percentile bootstrap interval of the mean difference; none for a single pair.
    pub bootstrap: Option<Interval>,
    /// Exact two-sided signed-rank test of "the differences are symmetric about 0".
    pub wilcoxon: Wilcoxon,
}

/// Compares `ours` with `reference` pair by pair; the i-th of each come from the same seed.
///
/// `resamples` and `seed` are those of [`bootstrap_interval`].
///
/// # Errors
/// No pair, unequal lengths, a value that is not finite, more pairs than the exact test takes.
pub fn paired_difference(ours: &[f64], reference: &[f64], resamples: usize, seed: u64) -> Result<PairedDifference> {
    const MEASURE: &str = "paired difference";
    same_length(MEASURE, ours.len(), reference.len())?;
    at_least(MEASURE, 1, ours.len())?;
    let differences: Vec<f64> = ours.iter().zip(reference).map(|(a, b)| a - b).collect();
    let bootstrap = (differences.len() > 1)
        .then(|| bootstrap_interval(&differences, 0.95, resamples, seed))
        .transpose()?;
    Ok(PairedDifference {
        estimate: estimate(&differences)?,
        bootstrap,
        wilcoxon: wilcoxon_signed_rank(&differences)?,
    })
}
