//! Measures of the scores as probabilities of the positive class. One class is enough for them.

use super::{Level, Tally};
use crate::error::{at_least, at_least_one};
use crate::{MeasureError, Result};

/// Samples whose scores fall into one bin.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CalibrationBin {
    /// Number of samples, at least 1.
    pub n: u64,
    /// Mean of their scores.
    pub mean_score: f64,
    /// Share of positives among them.
    pub positive_rate: f64,
}

/// Brier score, in [0, 1]: the mean of (score - label)^2. Source: Brier 1950; equals
/// `sklearn.metrics.brier_score_loss`.
///
/// # Errors
/// No sample; a score outside of [0, 1].
pub fn brier_score(tally: &Tally) -> Result<f64> {
    mean_loss("Brier score", tally, |p| (1.0 - p).powi(2), |p| p.powi(2))
}

/// Log loss in nats: the mean of -ln of the probability given to the class that came.
///
/// Probabilities are first cut to [2^-52, 1 - 2^-52], so that a certainty that fails costs 36 and not infinity. Equals
/// `sklearn.metrics.log_loss`.
///
/// # Errors
/// No sample; a score outside of [0, 1].
pub fn log_loss(tally: &Tally) -> Result<f64> {
    let cost = |p: f64| -libm::log(p.clamp(f64::EPSILON, 1.0 - f64::EPSILON));
    mean_loss("log loss", tally, cost, |p| cost(1.0 - p))
}

/// Expected calibration error, in [0, 1]: the mean over samples of |mean score - share of positives| of their bin.
///
/// The bins are those of [`calibration`]: of equal width over the probability of the positive class (as Naeini et al.,
/// AAAI 2015), and not over that of the predicted class (as Guo et al., ICML 2017, for many classes). It depends on
/// `bins` and is above 0 by chance even for scores that are calibrated, the more so the fewer samples a bin has; hence a
/// bootstrap interval of it lies too high.
///
/// # Errors
/// No sample; a score outside of [0, 1]; no bin.
pub fn calibration_error(tally: &Tally, bins: usize) -> Result<f64> {
    let gaps: f64 = calibration(tally, bins)?
        .iter()
        .map(|bin| bin.n as f64 * (bin.mean_score - bin.positive_rate).abs())
        .sum();
    Ok(gaps / tally.n() as f64)
}

/// Mean score and share of positives in each of `bins` bins of equal width over [0, 1], lowest first.
///
/// A bin is open below and closed above; the first holds 0 as well. Bins without samples are left out. Equals
/// `sklearn.calibration.calibration_curve(strategy="uniform")`.
///
/// # Errors
/// No sample; a score outside of [0, 1]; no bin.
pub fn calibration(tally: &Tally, bins: usize) -> Result<Vec<CalibrationBin>> {
    const MEASURE: &str = "calibration";
    at_least_one(MEASURE, "bins", bins)?;
    let levels = probabilities(MEASURE, tally)?;
    // Inner edges as numpy.linspace rounds them: a score beside an edge falls to the same side as there.
    let width = 1.0 / bins as f64;
    let bin_of = |score: f64| {
        let near = ((score * bins as f64) as usize).clamp(1, bins) - 1;
        (near..bins - 1)
            .find(|&bin| score <= (bin + 1) as f64 * width)
            .unwrap_or(bins - 1)
    };
    // Sums first, which become means when all samples are in.
    let mut found: Vec<(usize, CalibrationBin)> = Vec::new();
    for level in levels.iter().rev() {
        let place = bin_of(level.score);
        if found.last().is_none_or(|(last, _)| *last != place) {
            found.push((place, CalibrationBin::default()));
        }
        if let Some((_, bin)) = found.last_mut() {
            let n = level.positives + level.negatives;
            bin.n += n;
            bin.mean_score += level.score * n as f64;
            bin.positive_rate += level.positives as f64;
        }
    }
    Ok(found
        .into_iter()
        .map(|(_, bin)| CalibrationBin {
            n: bin.n,
            mean_score: bin.mean_score / bin.n as f64,
            positive_rate: bin.positive_rate / bin.n as f64,
        })
        .collect())
}

/// Mean of `positive(score)` over the positives and `negative(score)` over the negatives.
fn mean_loss(
    measure: &'static str,
    tally: &Tally,
    positive: impl Fn(f64) -> f64,
    negative: impl Fn(f64) -> f64,
) -> Result<f64> {
    let sum: f64 = probabilities(measure, tally)?
        .iter()
        .map(|level| level.positives as f64 * positive(level.score) + level.negatives as f64 * negative(level.score))
        .sum();
    Ok(sum / tally.n() as f64)
}

/// The levels, highest first, if there are any and all scores lie in [0, 1].
fn probabilities(measure: &'static str, tally: &Tally) -> Result<Vec<Level>> {
    let levels: Vec<Level> = tally.levels().collect();
    at_least(measure, 1, levels.len())?;
    match levels.iter().find(|level| !(0.0..=1.0).contains(&level.score)) {
        Some(level) => Err(MeasureError::Parameter {
            measure,
            parameter: "score",
            expected: "a probability, between 0 and 1",
            got: level.score,
        }),
        None => Ok(levels),
    }
}
