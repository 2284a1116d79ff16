//! A missing modality is that of the training samples that resemble the sample in what it has.
//!
//! Two samples are as far apart as the mean, over the modalities that both have, of the squared distance of their
//! encodings in units of that modality's total variance over the training samples.

use mmcollapse_data::Presence;
use mmcollapse_nn::{Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use super::{Builder, Substitution, TrainingEncodings, fill};
use crate::{
    model::Encodings,
    reallocation::Reallocation,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "nearest",
    summary: "a missing modality is that of the training sample nearest in the encodings of the others",
    reference: "Chaudhuri et al., ICML 2025, Table 6 (rep. NN); the distance is ours",
    revision: 1,
    resolve: resolve_as::<Config>,
    build: |options, _| {
        let config: Config = parse_for("substitution", "nearest", options)?;
        Ok(Box::new(Nearest {
            neighbours: config.neighbours.max(1),
            ..Nearest::default()
        }))
    },
};

/// Options of [`Nearest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Training samples whose encodings are averaged.
    neighbours: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { neighbours: 1 }
    }
}

#[derive(Default)]
struct Nearest {
    neighbours: usize,
    /// Per modality the training samples' encodings.
    bank: Vec<Vec<Vec<f32>>>,
    present: Presence,
    /// Per modality the sum of the variances of its numbers.
    variance: Vec<f64>,
}

impl Nearest {
    /// The training samples with `modality` and the least distance to a sample, nearest first; of equal ones the first.
    fn neighbours(&self, modality: usize, sample: &[&[f32]], has: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut found: Vec<(f64, usize)> = Vec::new();
        for candidate in self.present.rows(modality) {
            let mut shared = 0;
            let mut distance = 0.0;
            for m in (0..self.bank.len()).filter(|&m| has(m) && self.present.get(candidate, m)) {
                distance += squared_distance(sample[m], &self.bank[m][candidate]) / self.variance[m];
                shared += 1;
            }
            if shared > 0 {
                found.push((distance / f64::from(shared), candidate));
            }
        }
        let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if found.len() > self.neighbours {
            found.select_nth_unstable_by(self.neighbours - 1, order);
            found.truncate(self.neighbours);
        }
        found.sort_unstable_by(order);
        found.into_iter().map(|(_, candidate)| candidate).collect()
    }
}

/// The squared Euclidean distance of two rows of one length. Several sums at once, which the processor's vectors take
/// together: every test sample is compared with every training sample.
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 16;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b).powi(2);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b).powi(2));
    sums.into_iter().chain(rest).map(f64::from).sum()
}

impl Substitution for Nearest {
    fn wants_encodings(&self) -> bool {
        true
    }

    fn learn(&mut self, training: &TrainingEncodings) -> TensorResult<()> {
        self.present = training.present.clone();
        self.bank = training.z.iter().map(Tensor::to_vec2).collect::<TensorResult<_>>()?;
        let variance = |(m, rows): (usize, &Vec<Vec<f32>>)| {
            let having = self.present.rows(m);
            let n = having.len().max(1) as f64;
            let width = rows.first().map_or(0, Vec::len);
            let of = |j: usize| {
                let values = || having.iter().map(|&i| f64::from(rows[i][j]));
                let mean = values().sum::<f64>() / n;
                values().map(|x| (x - mean).powi(2)).sum::<f64>() / n
            };
            (0..width).map(of).sum::<f64>().max(f64::MIN_POSITIVE)
        };
        self.variance = self.bank.iter().enumerate().map(variance).collect();
        Ok(())
    }

    fn stand_in(&self, encodings: &mut Encodings, _: &dyn Reallocation) -> TensorResult<()> {
        let had = encodings.present.clone();
        let seen: Vec<Vec<Vec<f32>>> = encodings.z.iter().map(Tensor::to_vec2).collect::<TensorResult<_>>()?;
        for modality in 0..self.bank.len() {
            fill(encodings, modality, &had, |i| {
                let sample: Vec<&[f32]> = seen.iter().map(|rows| rows[i].as_slice()).collect();
                let near = self.neighbours(modality, &sample, |m| had.get(i, m));
                Ok((!near.is_empty()).then(|| {
                    let mut sum = vec![0.0; sample[modality].len()];
                    for &candidate in &near {
                        for (sum, x) in sum.iter_mut().zip(&self.bank[modality][candidate]) {
                            *sum += x / near.len() as f32;
                        }
                    }
                    sum
                }))
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_sums_of_squares_whatever_the_width() {
        for width in [0, 1, 15, 16, 17, 40] {
            let a: Vec<f32> = (0..width).map(|i| i as f32).collect();
            let b: Vec<f32> = a.iter().map(|x| x - (x + 1.0)).collect();
            let expected: f64 = (1..=width).map(|i| f64::from(i).powi(2)).sum();
            assert_eq!(squared_distance(&a, &b), expected, "{width}");
        }
    }

    #[test]
    fn the_nearest_come_in_order_and_the_first_of_equal_ones() {
        let rows: Vec<Vec<f32>> = [3.0, 1.0, 2.0, 1.0, 0.5].map(|x| vec![x]).to_vec();
        let nearest = |neighbours| Nearest {
            neighbours,
            present: Presence::all(5, 1),
            bank: vec![rows.clone()],
            variance: vec![2.0],
        };
        let found = |neighbours| nearest(neighbours).neighbours(0, &[&[1.0]], |_| true);
        assert_eq!(found(1), [1]);
        assert_eq!(found(3), [1, 3, 4]);
        assert_eq!(found(9), [1, 3, 4, 2, 0]);
    }
}
