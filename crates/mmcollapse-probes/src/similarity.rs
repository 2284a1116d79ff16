//! How alike two representations are.

use crate::error::{at_least, finite, same_length};
use crate::matrix::{Matrix, dot};
use crate::{MeasureError, Result};

/// Cosine of the angle between two vectors, in [-1, 1].
///
/// # Errors
/// Unequal lengths, a value that is not finite, a vector of length 0.
///
/// ```
/// assert_eq!(mmcollapse_probes::cosine_similarity(&[1.0, 0.0], &[0.0, 2.0])?, 0.0);
/// # Ok::<(), mmcollapse_probes::MeasureError>(())
/// ```
pub fn cosine_similarity(a: &[f64], b: &[f64]) -> Result<f64> {
    const MEASURE: &str = "cosine similarity";
    same_length(MEASURE, a.len(), b.len())?;
    at_least(MEASURE, 1, a.len())?;
    let size = dot(finite(MEASURE, a)?, a).sqrt() * dot(finite(MEASURE, b)?, b).sqrt();
    if size == 0.0 {
        return Err(MeasureError::Degenerate {
            measure: MEASURE,
            reason: "a vector is zero",
        });
    }
    Ok((dot(a, b) / size).clamp(-1.0, 1.0))
}

/// Mean over samples of the cosine between row i of `a` and row i of `b`, in [-1, 1], and the number of samples in it.
///
/// A row where either vector is zero (an encoding that died) has no direction and is not in the mean.
///
/// # Errors
/// Unequal shapes; no row where both vectors have a direction.
pub fn mean_cosine_similarity(a: &Matrix, b: &Matrix) -> Result<(f64, usize)> {
    const MEASURE: &str = "mean cosine similarity";
    same_length(MEASURE, a.rows(), b.rows())?;
    same_length(MEASURE, a.columns(), b.columns())?;
    let cosines: Vec<f64> = (0..a.rows())
        .filter_map(|row| cosine_similarity(a.row(row), b.row(row)).ok())
        .collect();
    if cosines.is_empty() {
        return Err(MeasureError::Degenerate {
            measure: MEASURE,
            reason: "in every sample a vector is zero",
        });
    }
    Ok((cosines.iter().sum::<f64>() / cosines.len() as f64, cosines.len()))
}

/// Linear centred kernel alignment of two representations of the same n samples, in [0, 1].
///
/// |X^T Y|_F^2 / (|X^T X|_F |Y^T Y|_F) of the centred matrices; widths may differ; it does not change when
/// either is rotated or scaled. Source: Kornblith et al., ICML 2019, equation 5. With fewer samples than
/// features it is biased upwards, so print n and d beside it.
///
/// # Errors
/// Unequal numbers of samples, fewer than two, or samples that are all equal.
pub fn linear_cka(x: &Matrix, y: &Matrix) -> Result<f64> {
    const MEASURE: &str = "linear CKA";
    same_length(MEASURE, x.rows(), y.rows())?;
    at_least(MEASURE, 2, x.rows())?;
    if !(x.varies() && y.varies()) {
        return Err(MeasureError::Degenerate {
            measure: MEASURE,
            reason: "all samples of a representation are equal",
        });
    }
    // In n x n Gram matrices: tr(K L) / sqrt(tr(K K) tr(L L)).
    let k = x.centred().gram();
    let l = y.centred().gram();
    let size = dot(k.values(), k.values()).sqrt() * dot(l.values(), l.values()).sqrt();
    Ok((dot(k.values(), l.values()) / size).clamp(0.0, 1.0))
}
