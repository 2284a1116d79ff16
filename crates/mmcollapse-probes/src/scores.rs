//! How good predictions are.

use crate::Result;
use crate::error::{at_least, same_length};

/// Share of samples whose predicted class is the label, in [0, 1].
///
/// # Errors
/// No sample, or as many predictions as labels are not given.
///
/// ```
/// assert_eq!(mmcollapse_probes::accuracy(&[0, 1, 2, 2], &[0, 1, 1, 2])?, 0.75);
/// # Ok::<(), mmcollapse_probes::MeasureError>(())
/// ```
pub fn accuracy(predictions: &[u32], labels: &[u32]) -> Result<f64> {
    same_length("accuracy", predictions.len(), labels.len())?;
    at_least("accuracy", 1, labels.len())?;
    let right = predictions
        .iter()
        .zip(labels)
        .filter(|(prediction, label)| prediction == label)
        .count();
    Ok(right as f64 / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MeasureError;

    #[test]
    fn counts_the_right_ones() {
        assert_eq!(accuracy(&[3], &[3]).unwrap(), 1.0);
        assert_eq!(accuracy(&[3, 1], &[1, 3]).unwrap(), 0.0);
    }

    #[test]
    fn refuses_what_it_cannot_count() {
        assert!(matches!(
            accuracy(&[1], &[1, 2]),
            Err(MeasureError::Lengths { left: 1, right: 2, .. })
        ));
        assert!(matches!(accuracy(&[], &[]), Err(MeasureError::TooFew { .. })));
    }
}
