//! Several tests at once.

use crate::{MeasureError, Result};

/// Holm's adjusted p values, in the order of `p`: the chance that any test of the family errs stays below the
/// level at which they are read.
///
/// The k-th smallest of m is multiplied by m - k + 1, then made monotone and cut at 1. Source: Holm 1979,
/// Scandinavian Journal of Statistics 6; equals R's `p.adjust(p, "holm")`.
///
/// # Errors
/// A p outside of [0, 1].
///
/// ```
/// let adjusted = mmcollapse_probes::holm(&[0.04, 0.01, 0.03])?;
/// assert_eq!(adjusted, [0.06, 0.03, 0.06]);
/// # Ok::<(), mmcollapse_probes::MeasureError>(())
/// ```
pub fn holm(p: &[f64]) -> Result<Vec<f64>> {
    if let Some(bad) = p.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(MeasureError::Parameter {
            measure: "Holm correction",
            parameter: "p",
            expected: "between 0 and 1",
            got: *bad,
        });
    }
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut floor = 0.0_f64;
    for (place, &test) in order.iter().enumerate() {
        floor = floor.max((p.len() - place) as f64 * p[test]).min(1.0);
        adjusted[test] = floor;
    }
    Ok(adjusted)
}
