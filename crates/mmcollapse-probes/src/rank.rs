//! How many directions a representation uses.
//!
//! The paper speaks of rank without an estimator. Three are given, always of the centred matrix of n held-out
//! samples by d features, and always with n and d, which bound them: min(n - 1, d).

use crate::error::at_least;
use crate::{Matrix, Result, symmetric_eigenvalues};

/// Three ranks of one centred n x d matrix. Of samples that are all equal the numerical rank is 0, the others are not
/// defined: they divide by the singular values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranks {
    /// Samples.
    pub n: usize,
    /// Features.
    pub d: usize,
    /// Singular values above sigma_max * max(n, d) * 2^-23, as numpy's `matrix_rank` of an f32 matrix.
    pub numerical: usize,
    /// exp(entropy of sigma / sum sigma), between 1 and min(n - 1, d) (Roy and Vetterli, EUSIPCO 2007).
    pub effective: Option<f64>,
    /// sum sigma^2 / sigma_max^2, between 1 and min(n - 1, d) (Rudelson and Vershynin 2007).
    pub stable: Option<f64>,
}

/// Singular values of the centred matrix, largest first, min(n, d) of them.
///
/// Roots of the eigenvalues of the smaller Gram matrix, in f64: those under about 1e-8 of the largest are noise.
///
/// # Errors
/// Fewer than two samples.
pub fn singular_values(samples: &Matrix) -> Result<Vec<f64>> {
    at_least("singular values", 2, samples.rows())?;
    of_matrix(&samples.centred())
}

/// Singular values of a matrix as it is.
fn of_matrix(matrix: &Matrix) -> Result<Vec<f64>> {
    let gram = if matrix.rows() <= matrix.columns() {
        matrix.gram()
    } else {
        matrix.transposed().gram()
    };
    let eigenvalues = symmetric_eigenvalues(&gram)?;
    Ok(eigenvalues.into_iter().map(|value| value.max(0.0).sqrt()).collect())
}

/// Effective rank of a matrix that is no set of samples, such as a gradient: it is not centred. None of a matrix of zeros.
///
/// # Errors
/// What the eigenvalues report.
pub fn effective_rank(matrix: &Matrix) -> Result<Option<f64>> {
    let sigma = of_matrix(matrix)?;
    let varies = sigma.first().is_some_and(|largest| *largest > 0.0);
    Ok(varies.then(|| exp_entropy(&sigma)))
}

/// exp(entropy of sigma / sum sigma).
fn exp_entropy(sigma: &[f64]) -> f64 {
    let sum: f64 = sigma.iter().sum();
    let shares = sigma.iter().map(|value| value / sum).filter(|share| *share > 0.0);
    libm::exp(shares.map(|share| -share * libm::log(share)).sum())
}

/// Numerical, effective and stable rank of the centred matrix.
///
/// # Errors
/// Fewer than two samples.
pub fn ranks(samples: &Matrix) -> Result<Ranks> {
    let sigma = singular_values(samples)?;
    let (n, d) = (samples.rows(), samples.columns());
    let largest = sigma.first().copied().unwrap_or(0.0);
    if !samples.varies() {
        return Ok(Ranks {
            n,
            d,
            numerical: 0,
            effective: None,
            stable: None,
        });
    }
    let threshold = largest * n.max(d) as f64 * f64::from(f32::EPSILON);
    Ok(Ranks {
        n,
        d,
        numerical: sigma.iter().filter(|value| **value > threshold).count(),
        effective: Some(exp_entropy(&sigma)),
        stable: Some(sigma.iter().map(|value| (value / largest).powi(2)).sum()),
    })
}
