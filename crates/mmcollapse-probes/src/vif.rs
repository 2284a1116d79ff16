//! How far each feature repeats the others.

use crate::error::at_least;
use crate::matrix::{CONSTANT, dot};
use crate::{Matrix, Result};

/// A feature is a combination of others if what they leave of it is below this part of its size: R's `lm` draws the
/// line there too (`tol = 1e-7`), and features in f32 are rounded by about as much.
const COLLINEAR: f64 = 1e-7;

/// Variance inflation factors of the features of one matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct VarianceInflation {
    /// 1 / (1 - R^2) for each feature, at least 1; infinity where it is a combination of others; none where it does not
    /// vary, for then it has no variance to explain.
    pub features: Vec<Option<f64>>,
    /// Mean over the features that vary; infinity if one of them is; none if no feature varies.
    pub mean: Option<f64>,
    /// Features that are combinations of others.
    pub collinear: usize,
    /// Features that do not vary, which the mean leaves out.
    pub constant: usize,
}

/// Variance inflation factor of each feature of `samples` ([n, features]): 1 / (1 - R^2_j), where R^2_j is the share of
/// feature j's variance that the least-squares regression (with intercept) on all others explains.
///
/// These are the diagonal of the inverse correlation matrix, got here from a QR decomposition with pivoting of the
/// standardised features, which keeps the digits that squaring into a correlation matrix would lose. With n samples or
/// more features every feature that varies is collinear. O(n features^2). Source: Belsley, Kuh, Welsch 1980, section
/// 3.2; equals `statsmodels.stats.outliers_influence.variance_inflation_factor` with an intercept among the regressors.
///
/// # Errors
/// Fewer than two samples.
pub fn variance_inflation(samples: &Matrix) -> Result<VarianceInflation> {
    at_least("variance inflation", 2, samples.rows())?;
    let (original, centred) = (samples.transposed(), samples.centred().transposed());
    let mut varying = Vec::new();
    let mut columns = Vec::new();
    for feature in 0..samples.columns() {
        let column = centred.row(feature);
        let size = dot(column, column).sqrt();
        if size > CONSTANT * dot(original.row(feature), original.row(feature)).sqrt() {
            varying.push(feature);
            columns.push(column.iter().map(|x| x / size).collect());
        }
    }
    let factors = inflation(columns);
    let mut features = vec![None; samples.columns()];
    for (&feature, &factor) in varying.iter().zip(&factors) {
        features[feature] = Some(factor);
    }
    Ok(VarianceInflation {
        features,
        mean: (!factors.is_empty()).then(|| factors.iter().sum::<f64>() / factors.len() as f64),
        collinear: factors.iter().filter(|factor| factor.is_infinite()).count(),
        constant: samples.columns() - varying.len(),
    })
}

/// Factors of centred columns of norm 1, in their order.
fn inflation(columns: Vec<Vec<f64>>) -> Vec<f64> {
    let d = columns.len();
    let (order, r, rank) = pivoted_qr(columns);
    // With R = [R11 R12] over the pivots, pivots^-1 = R11^-1 and each other column is R11^-1 R12 of the pivots.
    let mut factors = vec![f64::INFINITY; d];
    for place in 0..rank {
        // Row `place` of R11^-1, from row . R11 = unit vector.
        let mut row = vec![0.0; rank];
        for j in place..rank {
            let known: f64 = (place..j).map(|k| row[k] * r[k][j]).sum();
            row[j] = (f64::from(j == place) - known) / r[j][j];
        }
        // A pivot that no other column needs keeps a finite factor.
        let needed = (rank..d).any(|j| {
            let share: f64 = (place..rank).map(|k| row[k] * r[k][j]).sum();
            share.abs() > COLLINEAR
        });
        if !needed {
            factors[order[place]] = dot(&row, &row).max(1.0);
        }
    }
    factors
}

/// Modified Gram-Schmidt with the longest remaining column first; its R, all that is used here, is as exact as
/// Householder's (Bjorck 1967). Returns the order of the columns, R in that order ([rank][columns]) and the rank.
fn pivoted_qr(mut columns: Vec<Vec<f64>>) -> (Vec<usize>, Vec<Vec<f64>>, usize) {
    let d = columns.len();
    let mut order: Vec<usize> = (0..d).collect();
    let mut r = vec![vec![0.0; d]; d];
    for place in 0..d {
        let lengths = columns[place..].iter().map(|x| dot(x, x).sqrt());
        let (ahead, length) = lengths
            .enumerate()
            .fold((0, 0.0), |best, next| if next.1 > best.1 { next } else { best });
        if length <= COLLINEAR {
            return (order, r, place);
        }
        let pivot = place + ahead;
        columns.swap(place, pivot);
        order.swap(place, pivot);
        for row in &mut r[..place] {
            row.swap(place, pivot);
        }
        let direction: Vec<f64> = columns[place].iter().map(|x| x / length).collect();
        r[place][place] = length;
        for (share, column) in r[place][place + 1..].iter_mut().zip(&mut columns[place + 1..]) {
            *share = take_off(column, &direction);
        }
    }
    (order, r, d)
}

/// Takes the part along the unit vector `direction` off `column` and returns its length.
fn take_off(column: &mut [f64], direction: &[f64]) -> f64 {
    let along = dot(column, direction);
    for (x, q) in column.iter_mut().zip(direction) {
        *x -= along * q;
    }
    along
}
