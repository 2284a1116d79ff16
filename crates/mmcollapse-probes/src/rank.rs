//! How many directions a representation uses.
//!
//! The paper speaks of rank without an estimator. Three are given, always of the centred matrix of n held-out
//! samples by d features, and always with n and d, which bound them: min(n - 1, d).

use crate::error::at_least;
use crate::{Matrix, Result, symmetric_eigenvalues};

/// Three ranks of one n x d matrix. Of samples that are all equal the numerical rank is 0, the others are not
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

/// The ranks of a matrix that is no set of samples, such as a gradient: it is not centred. Of a matrix of zeros the numerical rank is 0,
/// the others are not defined.
///
/// # Errors
/// What the eigenvalues report.
pub fn matrix_ranks(matrix: &Matrix) -> Result<Ranks> {
    let sigma = of_matrix(matrix)?;
    let varies = sigma.first().is_some_and(|largest| *largest > 0.0);
    Ok(ranks_of(&sigma, (matrix.rows(), matrix.columns()), varies))
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
    Ok(ranks_of(&sigma, (samples.rows(), samples.columns()), samples.varies()))
}

/// The ranks of an `n` by `d` matrix with these singular values, largest first.
fn ranks_of(sigma: &[f64], (n, d): (usize, usize), varies: bool) -> Ranks {
    let largest = sigma.first().copied().unwrap_or(0.0);
    let threshold = largest * n.max(d) as f64 * f64::from(f32::EPSILON);
    let counts = |value: &f64| varies && *value > threshold;
    Ranks {
        n,
        d,
        numerical: sigma.iter().filter(|value| counts(value)).count(),
        effective: varies.then(|| exp_entropy(sigma)),
        stable: varies.then(|| sigma.iter().map(|value| (value / largest).powi(2)).sum()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_that_is_no_set_of_samples_is_not_centred() {
        let found = matrix_ranks(&Matrix::new(&[2.0, 0.0, 0.0, 0.0, 1.0, 0.0], 2, 3).unwrap()).unwrap();
        assert_eq!((found.numerical, found.stable), (2, Some(1.25)));
        // exp of the entropy of 2/3 and 1/3.
        let effective = 3.0 / libm::cbrt(4.0);
        assert!((found.effective.unwrap() - effective).abs() < 1e-12);
        let nothing = matrix_ranks(&Matrix::new(&[0.0; 4], 2, 2).unwrap()).unwrap();
        assert_eq!((nothing.numerical, nothing.effective, nothing.stable), (0, None, None));
    }
}
