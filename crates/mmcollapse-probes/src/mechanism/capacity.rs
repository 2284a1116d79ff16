//! How much of a layer a feature has for itself.

use crate::matrix::dot;
use crate::{Matrix, Result};

/// Capacity of each feature, in [0, 1]: `(w_i . w_i)^2 / sum_j (w_i . w_j)^2`, where row i of `features` `[features, neurons]` is
/// what feature i does to the neurons. 1 where no other feature shares its direction, 1/k where k features lie in one; 0 for a
/// feature that the layer does not represent. Source: Scherlis et al., 2022, section 2.
///
/// # Errors
/// A bug: what is finite has a finite capacity.
///
/// ```
/// use mmcollapse_probes::{Matrix, capacity};
/// let features = Matrix::new(&[1.0, 0.0, 0.0, 2.0, 0.0, 1.0], 3, 2)?;
/// assert_eq!(capacity(&features)?, [1.0, 0.8, 0.2]);
/// # Ok::<(), mmcollapse_probes::MeasureError>(())
/// ```
pub fn capacity(features: &Matrix) -> Result<Vec<f64>> {
    let gram = features.gram();
    let of = |i: usize| {
        let own = gram.row(i)[i];
        let all = dot(gram.row(i), gram.row(i));
        if all > 0.0 { own * own / all } else { 0.0 }
    };
    Ok((0..features.rows()).map(of).collect())
}
