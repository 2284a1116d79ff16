//! The directions that few samples of many features span: the weights of a penalised model lie there.

use super::lanes;

/// What of the length of a sample must be left beyond the directions before it to count as one of its own.
const OWN: f64 = 1e-10;

/// Orthonormal directions that samples span.
pub(super) struct Span {
    /// Each as long as there are features.
    pub(super) directions: Vec<Vec<f64>>,
    features: usize,
}

impl Span {
    /// By Gram and Schmidt, twice each, which is enough (Giraud et al., Numerische Mathematik 101, 2005).
    pub(super) fn of(samples: &[f64], features: usize) -> Self {
        let mut directions: Vec<Vec<f64>> = Vec::new();
        for x in samples.chunks_exact(features) {
            let length = lanes(x, x).sqrt();
            let mut own = x.to_vec();
            for _ in 0..2 {
                for direction in &directions {
                    let along = lanes(&own, direction);
                    own.iter_mut().zip(direction).for_each(|(own, d)| *own -= along * d);
                }
            }
            let left = lanes(&own, &own).sqrt();
            if left > OWN * length {
                for own in &mut own {
                    *own /= left;
                }
                directions.push(own);
            }
        }
        Self { directions, features }
    }

    /// Inner products of each row with each direction.
    pub(super) fn coordinates<'a>(&self, rows: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
        rows.flat_map(|row| self.directions.iter().map(move |direction| lanes(row, direction)))
            .collect()
    }

    /// Weights of all features, class by class with intercepts, as those along the directions.
    pub(super) fn within(&self, weights: &[f64]) -> Vec<f64> {
        let class = |class: &[f64]| {
            let (weights, intercept) = class.split_at(self.features);
            let mut along = self.coordinates(std::iter::once(weights));
            along.extend(intercept);
            along
        };
        weights.chunks_exact(self.features + 1).flat_map(class).collect()
    }

    /// The other way round.
    pub(super) fn among_all(&self, weights: &[f64]) -> Vec<f64> {
        let class = |class: &[f64]| {
            let (along, intercept) = class.split_at(self.directions.len());
            let mut all = vec![0.0; self.features];
            for (along, direction) in along.iter().zip(&self.directions) {
                all.iter_mut().zip(direction).for_each(|(all, d)| *all += along * d);
            }
            all.extend(intercept);
            all
        };
        weights
            .chunks_exact(self.directions.len() + 1)
            .flat_map(class)
            .collect()
    }
}
