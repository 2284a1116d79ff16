//! How far apart two sets of encodings lie.

use crate::error::{at_least, same_length};
use crate::{Matrix, MeasureError, Result, quantile};

/// Squared maximum mean discrepancy of two samples of one space, unbiased (it may lie below 0), with the Gaussian kernel
/// `exp(-|x - y|^2 / (2 s^2))`, where s is the median distance between two of all samples. Source: Gretton et al., JMLR 2012,
/// equation 3 and section 8.
///
/// # Errors
/// Unequal numbers of features, fewer than two samples in one, samples that are all equal.
pub fn mmd(x: &Matrix, y: &Matrix) -> Result<f64> {
    const MEASURE: &str = "maximum mean discrepancy";
    same_length(MEASURE, x.columns(), y.columns())?;
    at_least(MEASURE, 2, x.rows().min(y.rows()))?;
    let all = || (0..x.rows()).map(|i| x.row(i)).chain((0..y.rows()).map(|i| y.row(i)));
    let all: Vec<&[f64]> = all().collect();
    let squared = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    // Of each pair, the later sample first.
    let pairs: Vec<Vec<f64>> = (0..all.len())
        .map(|i| all[..i].iter().map(|other| squared(all[i], other)).collect())
        .collect();
    let mut distances: Vec<f64> = pairs.iter().flatten().map(|squared| squared.sqrt()).collect();
    distances.sort_by(f64::total_cmp);
    let width = quantile(&distances, 0.5);
    if width == 0.0 {
        return Err(MeasureError::Degenerate {
            measure: MEASURE,
            reason: "half of the samples are equal",
        });
    }
    let (mut within_x, mut within_y, mut between) = (0.0, 0.0, 0.0);
    for (i, row) in pairs.iter().enumerate() {
        for (j, squared) in row.iter().enumerate() {
            let kernel = libm::exp(-squared / (2.0 * width * width));
            match (i < x.rows(), j < x.rows()) {
                (true, _) => within_x += kernel,
                (false, false) => within_y += kernel,
                (false, true) => between += kernel,
            }
        }
    }
    let (m, n) = (x.rows() as f64, y.rows() as f64);
    let of_pairs = |sum: f64, n: f64| 2.0 * sum / (n * (n - 1.0));
    Ok(of_pairs(within_x, m) + of_pairs(within_y, n) - 2.0 * between / (m * n))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distances between 0, 1 and 3, 4 are 1, 1, 3, 4, 2, 3: the median is 2.5.
    #[test]
    fn four_numbers_by_hand() {
        let set = |values: [f64; 2]| Matrix::new(&values, 2, 1).unwrap();
        let k = |distance: f64| libm::exp(-distance * distance / (2.0 * 2.5 * 2.5));
        let expected = k(1.0) + k(1.0) - 2.0 * (k(3.0) + k(4.0) + k(2.0) + k(3.0)) / 4.0;
        let found = mmd(&set([0.0, 1.0]), &set([3.0, 4.0])).unwrap();
        assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        assert!(mmd(&set([1.0, 1.0]), &set([1.0, 1.0])).is_err());
    }
}
