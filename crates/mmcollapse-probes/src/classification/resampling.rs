//! How sure a measure is, by drawing the samples again (Efron 1979).

use super::outcomes::Known;
use super::{Outcomes, Tally};
use crate::draws::SplitMix64;
use crate::error::{at_least, at_least_one, confidence};
use crate::estimate::{Interval, quantile};
use crate::{MeasureError, Result};

const MEASURE: &str = "bootstrap over samples";

/// How samples are drawn again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampling {
    /// Number of resamples.
    pub resamples: usize,
    /// Start of the draws (splitmix64, as in [`bootstrap_interval`](crate::bootstrap_interval)); equal seeds give equal
    /// intervals on every machine.
    pub seed: u64,
    /// Confidence of the interval, such as .95.
    pub level: f64,
    /// Whether each class keeps its number of samples: positives are drawn from positives, negatives from negatives.
    /// With a rare class this avoids resamples that lack it, at the price of taking its share as known.
    pub stratified: bool,
}

/// A measure, or the difference of one between two sets of scores, with its percentile interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The measure on the samples themselves.
    pub value: f64,
    /// Percentile interval over the resamples, with linear interpolation as `numpy.percentile`.
    pub interval: Interval,
    /// Samples whose label is known.
    pub n: usize,
    /// Positives among them.
    pub positives: usize,
    /// Samples whose label is unknown, which are left out.
    pub unknown: usize,
    /// Resamples on which the measure is not defined (they lack a class), which the interval leaves out.
    pub undefined: usize,
}

/// `measure` of the samples with its bootstrap interval. O(n) a resample.
///
/// ```
/// use mmcollapse_probes::{Outcomes, Resampling, bootstrap_measure, calibration_error};
/// let outcomes = Outcomes::new(&[0.9, 0.2, 0.4, 0.7], &[Some(true), Some(false), Some(true), None])?;
/// let resampling = Resampling { resamples: 100, seed: 1, level: 0.95, stratified: false };
/// let ece = bootstrap_measure(&outcomes, |tally| calibration_error(tally, 10), &resampling)?;
/// assert!(ece.interval.low <= ece.interval.high && ece.unknown == 1);
/// # Ok::<(), mmcollapse_probes::MeasureError>(())
/// ```
///
/// # Errors
/// Those of `measure` on the samples; fewer than two samples, no resample, a level outside of (0, 1); no resample on
/// which the measure is defined.
pub fn bootstrap_measure(
    outcomes: &Outcomes,
    measure: impl Fn(&Tally) -> Result<f64>,
    resampling: &Resampling,
) -> Result<Measured> {
    let mut drawn = outcomes.tally().emptied();
    bootstrap(outcomes, measure(outcomes.tally())?, resampling, |positions| {
        count(&mut drawn, &outcomes.known, positions);
        measure(&drawn)
    })
}

/// `measure` of `ours` minus that of `reference` on the same samples, with its bootstrap interval.
///
/// Each resample draws the same samples for both, so that what makes samples easy for both cancels.
///
/// # Errors
/// Those of [`bootstrap_measure`]; labels, known or unknown, that differ between the two.
pub fn bootstrap_difference(
    ours: &Outcomes,
    reference: &Outcomes,
    measure: impl Fn(&Tally) -> Result<f64>,
    resampling: &Resampling,
) -> Result<Measured> {
    ours.same_samples(MEASURE, reference)?;
    let value = measure(ours.tally())? - measure(reference.tally())?;
    let (mut our_draw, mut their_draw) = (ours.tally().emptied(), reference.tally().emptied());
    bootstrap(ours, value, resampling, |positions| {
        count(&mut our_draw, &ours.known, positions);
        count(&mut their_draw, &reference.known, positions);
        Ok(measure(&our_draw)? - measure(&their_draw)?)
    })
}

/// Draws positions among the known samples and gathers what `measure` makes of them.
fn bootstrap(
    outcomes: &Outcomes,
    value: f64,
    resampling: &Resampling,
    mut measure: impl FnMut(&[usize]) -> Result<f64>,
) -> Result<Measured> {
    confidence(MEASURE, resampling.level)?;
    at_least(MEASURE, 2, outcomes.n())?;
    at_least_one(MEASURE, "resamples", resampling.resamples)?;
    let strata: Vec<Vec<usize>> = if resampling.stratified {
        let (positives, negatives) = (0..outcomes.n()).partition(|&at| outcomes.known[at].positive);
        vec![positives, negatives]
    } else {
        vec![(0..outcomes.n()).collect()]
    };
    let mut draws = SplitMix64(resampling.seed);
    let mut positions = Vec::with_capacity(outcomes.n());
    let mut values = Vec::with_capacity(resampling.resamples);
    for _ in 0..resampling.resamples {
        positions.clear();
        for stratum in &strata {
            positions.extend(stratum.iter().map(|_| stratum[draws.below(stratum.len())]));
        }
        // The measure is defined on the samples, so an error here is a resample that lacks a class.
        values.extend(measure(&positions).ok());
    }
    if values.is_empty() {
        return Err(MeasureError::Degenerate {
            measure: MEASURE,
            reason: "every resample lacks a class; draw more of them, or stratified",
        });
    }
    values.sort_by(f64::total_cmp);
    Ok(Measured {
        value,
        interval: Interval {
            low: quantile(&values, 0.5 - resampling.level / 2.0),
            high: quantile(&values, 0.5 + resampling.level / 2.0),
        },
        n: outcomes.n(),
        positives: outcomes.tally().positives() as usize,
        unknown: outcomes.unknown(),
        undefined: resampling.resamples - values.len(),
    })
}

/// Makes `tally` the count of the samples at `positions`.
fn count(tally: &mut Tally, known: &[Known], positions: &[usize]) {
    tally.clear();
    for &at in positions {
        tally.add(known[at]);
    }
}
