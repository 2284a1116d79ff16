//! Principal components of 8-bit images: subspace iteration on their covariance with Rayleigh-Ritz steps.
//!
//! Sums run in one fixed order on one thread, so the same images give the same bits anywhere. The tests compare with
//! numpy's singular value decomposition (`scripts/fixtures_hard.py`).

use mmcollapse_nn::random::Stream;

use crate::subspace::{combine, dot, eigen, orthonormal};

/// Directions iterated beyond those asked for; the error shrinks by the ratio of the first variance left out of the
/// block to the last one asked for, each step.
const EXTRA: usize = 16;
/// A direction has converged when it misses its eigenvalue by this share of the largest one.
const TOLERANCE: f64 = 1e-12;
const MOST_STEPS: usize = 1000;

/// The mean and the first principal components of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// Mean image, in grey levels.
    pub mean: Vec<f64>,
    /// Orthonormal directions `[k][pixels]`, the largest variance first.
    pub components: Vec<Vec<f64>>,
    /// Variance along each direction (divided by the number of images), in squared grey levels.
    pub variances: Vec<f64>,
}

impl Pca {
    /// The first `k` components of `images`, all of the same number of pixels.
    ///
    /// `None` when there is no image, `k` exceeds the pixels, or the iteration does not converge.
    pub fn fit(images: &[&[u8]], k: usize) -> Option<Self> {
        let width = images.first()?.len();
        if k > width || images.iter().any(|image| image.len() != width) {
            return None;
        }
        let (mean, covariance) = moments(images, width);
        let mut start = Stream::new(0, "pca");
        let block = (0..(k + EXTRA).min(width)).map(|_| (0..width).map(|_| start.normal()).collect());
        let mut block = orthonormal(block.collect());
        for _ in 0..MOST_STEPS {
            let image = product(&covariance, &block);
            let small: Vec<Vec<f64>> = block
                .iter()
                .map(|q| image.iter().map(|z| dot(q, z)).collect())
                .collect();
            let (values, rotation) = eigen(small);
            let (ritz, image) = (combine(&block, &rotation), combine(&image, &rotation));
            let largest = values.first().copied().unwrap_or(0.).abs();
            let missed = |i: usize| {
                let off = image[i].iter().zip(&ritz[i]).map(|(z, q)| (z - values[i] * q).powi(2));
                off.sum::<f64>().sqrt() <= TOLERANCE * largest
            };
            if (0..k).all(missed) {
                return Some(Self {
                    mean,
                    components: ritz.into_iter().take(k).collect(),
                    variances: values.into_iter().take(k).collect(),
                });
            }
            block = orthonormal(image);
        }
        None
    }

    /// `image` projected on the components and back, in grey levels.
    pub fn reconstruct(&self, image: &[u8]) -> Vec<f64> {
        let centred: Vec<f64> = image.iter().zip(&self.mean).map(|(&x, m)| f64::from(x) - m).collect();
        let mut result = self.mean.clone();
        for component in &self.components {
            let score = dot(component, &centred);
            result.iter_mut().zip(component).for_each(|(r, c)| *r += score * c);
        }
        result
    }
}

/// Mean and covariance. Grey levels are whole numbers, so the sums are exact; paper (0) is skipped.
fn moments(images: &[&[u8]], width: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut mean = vec![0.; width];
    let mut covariance = vec![vec![0.; width]; width];
    for image in images {
        let ink: Vec<(usize, f64)> = image
            .iter()
            .enumerate()
            .filter(|(_, x)| **x > 0)
            .map(|(i, &x)| (i, f64::from(x)))
            .collect();
        for &(i, x) in &ink {
            mean[i] += x;
            let row = &mut covariance[i];
            for &(j, y) in &ink {
                row[j] += x * y;
            }
        }
    }
    let n = images.len() as f64;
    for m in &mut mean {
        *m /= n;
    }
    for (row, a) in covariance.iter_mut().zip(&mean) {
        row.iter_mut().zip(&mean).for_each(|(c, b)| *c = *c / n - a * b);
    }
    (mean, covariance)
}

/// `matrix` times each vector.
fn product(matrix: &[Vec<f64>], vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let times = |v: &Vec<f64>| matrix.iter().map(|row| dot(row, v)).collect();
    vectors.iter().map(times).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_few_directions_come_back_whole() {
        // Two directions only, fewer than asked for.
        let images: Vec<Vec<u8>> = (0..9u8).map(|i| vec![i, 2 * i, i % 3, 0, 7, i, 0, 0]).collect();
        let rows: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        let pca = Pca::fit(&rows, 4).unwrap();
        for row in rows {
            let off = pca
                .reconstruct(row)
                .iter()
                .zip(row)
                .map(|(a, &b)| (a - f64::from(b)).abs())
                .fold(0., f64::max);
            assert!(off < 1e-10, "{off}");
        }
        assert!(Pca::fit(&[], 1).is_none() && Pca::fit(&[&[1, 2]], 3).is_none());
    }
}
