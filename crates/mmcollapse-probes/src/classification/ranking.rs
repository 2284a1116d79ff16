//! Measures of the order of the scores alone: no increasing transform of the scores changes them.

use super::Tally;
use crate::Result;

/// Area under the receiver operating characteristic, in [0, 1]: the chance that a positive scores above a negative.
///
/// A tie counts as half. The count of pairs is exact, so the result is rounded once. Source: Hanley and McNeil 1982,
/// Radiology 143; equals `sklearn.metrics.roc_auc_score`.
///
/// # Errors
/// No positive or no negative.
pub fn auroc(tally: &Tally) -> Result<f64> {
    tally.both_classes("AUROC", 1)?;
    let mut above = 0; // positives that score higher
    let mut doubled: u128 = 0; // twice the pairs won, so that halves stay whole
    for level in tally.levels() {
        doubled += u128::from(level.negatives) * u128::from(2 * above + level.positives);
        above += level.positives;
    }
    let pairs = u128::from(tally.positives()) * u128::from(tally.negatives());
    Ok(doubled as f64 / (2 * pairs) as f64)
}

/// Area under the precision-recall curve by trapezoids, in [0, 1].
///
/// The curve has a point for each score that occurs and starts at recall 0 with precision 1. This is what MUSE (Wu et
/// al., ICLR 2024) reports as AUPRC: `auc(recall, precision)` of `sklearn.metrics.precision_recall_curve`. Straight
/// lines between points are too favourable, most of all with many ties (Davis and Goadrich, ICML 2006): a constant
/// score gets (1 + share of positives) / 2. [`average_precision`] draws none.
///
/// # Errors
/// No positive or no negative.
pub fn auprc_trapezoid(tally: &Tally) -> Result<f64> {
    let mut before = 1.0;
    precision_recall("AUPRC", tally, |precision, recall| {
        let area = recall * (precision + before) / 2.0;
        before = precision;
        area
    })
}

/// Average precision, in [0, 1]: precision at each score, weighted by the recall that the score adds.
///
/// About the share of positives for scores that know nothing. Equals `sklearn.metrics.average_precision_score`.
///
/// # Errors
/// No positive or no negative.
pub fn average_precision(tally: &Tally) -> Result<f64> {
    precision_recall("average precision", tally, |precision, recall| precision * recall)
}

/// Sums `area(precision, recall added)` over the scores, highest first.
fn precision_recall(measure: &'static str, tally: &Tally, mut area: impl FnMut(f64, f64) -> f64) -> Result<f64> {
    tally.both_classes(measure, 1)?;
    let (mut positives, mut called) = (0, 0);
    let sum = tally
        .levels()
        .map(|level| {
            positives += level.positives;
            called += level.positives + level.negatives;
            let recall = level.positives as f64 / tally.positives() as f64;
            area(positives as f64 / called as f64, recall)
        })
        .sum();
    Ok(sum)
}
