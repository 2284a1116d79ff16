//! Small dense algebra on lists of vectors, in one fixed order on one thread: what the iterations for principal
//! components and for the singular vectors of texts share.

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Each column of `rotation` as a combination of `vectors`.
pub(crate) fn combine(vectors: &[Vec<f64>], rotation: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let combination = |weights: &Vec<f64>| {
        let mut sum = vec![0.; vectors.first().map_or(0, Vec::len)];
        for (w, v) in weights.iter().zip(vectors) {
            sum.iter_mut().zip(v).for_each(|(s, x)| *s += w * x);
        }
        sum
    };
    rotation.iter().map(combination).collect()
}

/// Gram and Schmidt, twice for the digits that the first pass loses. A vector that depends on those before becomes 0.
pub(crate) fn orthonormal(mut vectors: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for i in 0..vectors.len() {
        let (done, rest) = vectors.split_at_mut(i);
        let vector = &mut rest[0];
        let before = dot(vector, vector).sqrt();
        for _ in 0..2 {
            for other in done.iter() {
                let overlap = dot(other, vector);
                vector.iter_mut().zip(other).for_each(|(x, o)| *x -= overlap * o);
            }
        }
        let length = dot(vector, vector).sqrt();
        let scale = if length > 1e-14 * before { 1. / length } else { 0. };
        for x in vector.iter_mut() {
            *x *= scale;
        }
    }
    vectors
}

/// Eigenvalues, the largest first, and eigenvectors of a small symmetric matrix (Jacobi's cyclic rotations).
pub(crate) fn eigen(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    const SWEEPS: usize = 30;
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> = (0..n)
        .map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect())
        .collect();
    for _ in 0..SWEEPS {
        for p in 0..n {
            for q in p + 1..n {
                let off = a[p][q];
                if off.abs() <= 1e-16 * (a[p][p] * a[q][q]).abs().sqrt() {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2. * off);
                let t = theta.signum() / (theta.abs() + libm::hypot(theta, 1.));
                let c = 1. / libm::hypot(t, 1.);
                let s = t * c;
                for row in &mut a {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                for matrix in [&mut a, &mut vectors] {
                    let (above, below) = matrix.split_at_mut(q);
                    for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
                        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                    }
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j][j].total_cmp(&a[i][i]));
    let values = order.iter().map(|&i| a[i][i]).collect();
    (values, order.iter().map(|&i| vectors[i].clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_matrices_are_diagonalised() {
        let (values, vectors) = eigen(vec![vec![2., 1., 0.], vec![1., 2., 0.], vec![0., 0., 5.]]);
        for (value, known) in values.iter().zip([5., 3., 1.]) {
            assert!((value - known).abs() < 1e-14);
        }
        assert!((vectors[1][0] - vectors[1][1]).abs() < 1e-14 && vectors[1][2].abs() < 1e-14);
    }
}
