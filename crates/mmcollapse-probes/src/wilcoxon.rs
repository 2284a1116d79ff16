//! Wilcoxon's signed-rank test, exact.
//!
//! Few seeds are the rule here, and a normal approximation is wrong just where it matters. The distribution is
//! therefore counted out: each of the 2^n sign patterns of the observed ranks is equally likely when the
//! differences are symmetric about 0. This holds with ties as well (ranks are then averaged and the count is
//! conditional on them). Zero differences are left out before ranking (`zero_method="wilcox"` of scipy).
//!
//! Source: Wilcoxon 1945; Pratt and Gibbons 1981, chapter 3. Without ties it equals
//! `scipy.stats.wilcoxon(d, zero_method="wilcox", method="exact")`, with ties scipy's exhaustive
//! `PermutationMethod`.

use crate::error::finite;
use crate::{MeasureError, Result};

const MEASURE: &str = "Wilcoxon signed-rank test";

/// The exact count takes about n^3 additions; a thousand pairs are still a matter of a second.
const LIMIT: usize = 1000;

/// Differences closer than this, relative to the largest, are tied: accuracies are multiples of 1/n_test, and
/// subtracting two of them leaves rounding errors that must not break ties.
const TIE: f64 = 1e-12;

/// Outcome of the two-sided test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wilcoxon {
    /// Differences that are not 0, which the test uses.
    pub n: usize,
    /// Differences that are 0 and are left out.
    pub zeros: usize,
    /// Sum of the ranks of the positive differences.
    pub w_plus: f64,
    /// Sum of the ranks of the negative differences.
    pub w_minus: f64,
    /// Two-sided exact p, at most 1; it is 1 when no difference is left.
    pub p: f64,
    /// Least p that so many differences can give without ties: 2 / 2^n.
    pub smallest_p: f64,
}

/// Least two-sided p of `n` differences that are not 0: all of one sign, 2 / 2^n (1 for n = 0).
///
/// Five pairs cannot give less than .0625, ten not less than .00195.
pub fn smallest_attainable_p(n: usize) -> f64 {
    (2.0 * 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX))).min(1.0)
}

/// Tests whether `differences` are symmetric about 0.
///
/// # Errors
/// A difference that is not finite; more than 1000 of them.
pub fn wilcoxon_signed_rank(differences: &[f64]) -> Result<Wilcoxon> {
    finite(MEASURE, differences)?;
    if differences.len() > LIMIT {
        return Err(MeasureError::TooMany {
            measure: MEASURE,
            limit: LIMIT,
            got: differences.len(),
        });
    }
    let largest = differences.iter().fold(0.0_f64, |m, d| m.max(d.abs()));
    let tie = largest * TIE;
    let mut kept: Vec<f64> = differences.iter().copied().filter(|d| d.abs() > tie).collect();
    kept.sort_by(|a, b| a.abs().total_cmp(&b.abs()));

    let ranks = doubled_ranks(&kept, tie);
    let doubled_plus: usize = kept
        .iter()
        .zip(&ranks)
        .filter(|(difference, _)| **difference > 0.0)
        .map(|(_, rank)| rank)
        .sum();
    let doubled_all: usize = ranks.iter().sum();
    let doubled_minus = doubled_all - doubled_plus;
    let tail: f64 = sign_distribution(&ranks)
        .iter()
        .take(doubled_plus.min(doubled_minus) + 1)
        .sum();
    Ok(Wilcoxon {
        n: kept.len(),
        zeros: differences.len() - kept.len(),
        w_plus: doubled_plus as f64 / 2.0,
        w_minus: doubled_minus as f64 / 2.0,
        p: (2.0 * tail).min(1.0),
        smallest_p: smallest_attainable_p(kept.len()),
    })
}

/// Twice the average rank of each value, sorted by size: twice, so that tied ranks stay whole numbers.
fn doubled_ranks(sorted: &[f64], tie: f64) -> Vec<usize> {
    let mut ranks = vec![0; sorted.len()];
    let mut first = 0;
    while first < sorted.len() {
        let mut end = first + 1;
        while end < sorted.len() && sorted[end].abs() - sorted[first].abs() <= tie {
            end += 1;
        }
        // Ranks first+1 ..= end share their average, (first + 1 + end) / 2.
        ranks[first..end].fill(first + 1 + end);
        first = end;
    }
    ranks
}

/// Probability of each (doubled) rank sum of the positive differences, all sign patterns equally likely.
fn sign_distribution(ranks: &[usize]) -> Vec<f64> {
    let mut probability = vec![0.0; ranks.iter().sum::<usize>() + 1];
    probability[0] = 1.0;
    let mut reached = 0;
    for &rank in ranks {
        reached += rank;
        for sum in (0..=reached).rev() {
            let with = if sum >= rank { probability[sum - rank] } else { 0.0 };
            probability[sum] = 0.5 * (probability[sum] + with);
        }
    }
    probability
}
