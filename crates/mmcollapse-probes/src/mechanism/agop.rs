//! The average gradient outer product, and how close a layer's weights are to it.

use crate::error::same_length;
use crate::matrix::dot;
use crate::{Matrix, MeasureError, Result};

/// Mean of the outer products of the rows of `gradients` `[n, inputs]`, `[inputs, inputs]`.
///
/// A row is the gradient of one output by a layer's input for one sample; with several outputs each sample has a row for each, and
/// the mean is over samples if it is multiplied by their number. Source: Radhakrishnan et al., Science 2024, equation 2.
pub fn agop(gradients: &Matrix) -> Matrix {
    let n = gradients.rows() as f64;
    gradients.transposed().gram().scaled(1.0 / n)
}

/// How near `W^T W` is to an average gradient outer product, whatever the scale of either.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Closeness {
    /// Cosine of the two as vectors, in [-1, 1]; of two positive semidefinite matrices at least 0.
    pub cosine: f64,
    /// Frobenius norm of the difference after each is scaled to norm 1, in [0, 2].
    pub distance: f64,
}

/// Compares `W^T W` of `weights` `[outputs, inputs]` with `agop` `[inputs, inputs]`.
///
/// # Errors
/// Shapes that do not fit, a matrix of zeros.
pub fn closeness(weights: &Matrix, agop: &Matrix) -> Result<Closeness> {
    const MEASURE: &str = "closeness to the average gradient outer product";
    same_length(MEASURE, agop.square(MEASURE)?, weights.columns())?;
    let of_weights = weights.transposed().gram();
    let norm = |matrix: &Matrix| dot(matrix.values(), matrix.values()).sqrt();
    let (ours, theirs) = (norm(&of_weights), norm(agop));
    if ours == 0.0 || theirs == 0.0 {
        return Err(MeasureError::Degenerate {
            measure: MEASURE,
            reason: "a matrix is zero",
        });
    }
    let cosine = (dot(of_weights.values(), agop.values()) / (ours * theirs)).clamp(-1.0, 1.0);
    let squares = of_weights.values().iter().zip(agop.values());
    let squares = squares.map(|(a, b)| (a / ours - b / theirs).powi(2));
    Ok(Closeness {
        cosine,
        distance: squares.sum::<f64>().sqrt(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_gradients_by_hand() {
        let found = agop(&Matrix::new(&[1.0, 2.0, 3.0, 0.0], 2, 2).unwrap());
        assert_eq!(found.values(), [5.0, 1.0, 1.0, 2.0]);
    }

    #[test]
    fn weights_that_are_the_gradients_root_are_close() {
        let weights = Matrix::new(&[1.0, 2.0, 3.0, 0.0], 2, 2).unwrap();
        let same = closeness(&weights, &agop(&weights)).unwrap();
        assert!((same.cosine - 1.0).abs() < 1e-15 && same.distance < 1e-15, "{same:?}");
        // Along another axis nothing is shared: the difference of two unit vectors at a right angle.
        let first = Matrix::new(&[1.0, 0.0], 1, 2).unwrap();
        let second = agop(&Matrix::new(&[0.0, 5.0], 1, 2).unwrap());
        let apart = closeness(&first, &second).unwrap();
        assert_eq!((apart.cosine, apart.distance), (0.0, 2_f64.sqrt()));
        assert!(closeness(&first, &Matrix::new(&[0.0; 4], 2, 2).unwrap()).is_err());
    }
}
