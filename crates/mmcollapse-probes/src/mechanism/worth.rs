//! What a modality is worth to a prediction.

use crate::error::finite;
use crate::{MeasureError, Result};

/// The most modalities of which all subsets are scored.
const MOST: usize = 8;

/// Shapley value of each of m modalities: its mean gain over all orders in which modalities are added.
///
/// `scores` has the score of each subset, `2^m` of them: bit i of the place says whether modality i is in it. They add up to the
/// score of all less that of none. Source: Shapley 1953; for modalities Hu et al., WACV 2022.
///
/// # Errors
/// A number of scores that is no power of two, more than 8 modalities, a score that is not finite.
///
/// ```
/// // Alone the first scores 1, the second 2, both 4: in the one order it gains 1, in the other 2.
/// assert_eq!(mmcollapse_probes::shapley(&[0.0, 1.0, 2.0, 4.0])?, [1.5, 2.5]);
/// # Ok::<(), mmcollapse_probes::MeasureError>(())
/// ```
pub fn shapley(scores: &[f64]) -> Result<Vec<f64>> {
    const MEASURE: &str = "Shapley value";
    finite(MEASURE, scores)?;
    let modalities = scores.len().max(1).trailing_zeros() as usize;
    if !scores.len().is_power_of_two() {
        return Err(MeasureError::Parameter {
            measure: MEASURE,
            parameter: "number of scores",
            expected: "a power of two, one for each subset",
            got: scores.len() as f64,
        });
    }
    if modalities > MOST {
        return Err(MeasureError::TooMany {
            measure: MEASURE,
            limit: 1 << MOST,
            got: scores.len(),
        });
    }
    let of = |modality: usize| {
        let without = (0..scores.len()).filter(|subset| subset >> modality & 1 == 0);
        let gains = without.map(|subset| {
            let orders = share_of_orders(modalities, subset.count_ones() as usize);
            orders * (scores[subset | 1 << modality] - scores[subset])
        });
        gains.sum()
    };
    Ok((0..modalities).map(of).collect())
}

/// Share of the orders of m modalities in which `before` given ones, and no others, come before a given one: the weight of its gain
/// in its Shapley value. `before` is below `modalities`.
pub fn share_of_orders(modalities: usize, before: usize) -> f64 {
    let factorial = |n: usize| (1..=n).map(|k| k as f64).product::<f64>();
    factorial(before) * factorial(modalities.saturating_sub(before + 1)) / factorial(modalities)
}

/// Perceptual score of a modality: the share of a score that is lost when it is permuted over samples. Source: Gat et al.,
/// NeurIPS 2021, normalised by the model's score.
///
/// # Errors
/// A score that is not finite or a whole one of 0.
pub fn perceptual_score(whole: f64, permuted: f64) -> Result<f64> {
    lost_share("perceptual score", whole, permuted)
}

/// Conditional utilisation rate of a modality given another: `(A(both) - A(other)) / A(both)`, each a score with a head
/// of its own on frozen encodings. Source: Wu et al., ICML 2022, definition 1.
///
/// # Errors
/// As [`perceptual_score`].
pub fn utilisation_rate(both: f64, other: f64) -> Result<f64> {
    lost_share("conditional utilisation rate", both, other)
}

fn lost_share(measure: &'static str, whole: f64, rest: f64) -> Result<f64> {
    finite(measure, &[whole, rest])?;
    if whole == 0.0 {
        return Err(MeasureError::Degenerate {
            measure,
            reason: "the whole score is 0",
        });
    }
    Ok((whole - rest) / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_that_are_none() {
        assert_eq!(shapley(&[3.0]).unwrap(), Vec::<f64>::new());
        assert!(shapley(&[]).is_err() && shapley(&[0.0; 3]).is_err());
        assert!(matches!(shapley(&[0.0; 512]), Err(MeasureError::TooMany { .. })));
    }

    #[test]
    fn what_is_lost_is_a_share() {
        assert_eq!(perceptual_score(0.5, 0.125).unwrap(), 0.75);
        assert_eq!(utilisation_rate(0.8, 0.8).unwrap(), 0.0);
        assert!(perceptual_score(0.0, 0.2).is_err());
    }
}
