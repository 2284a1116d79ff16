//! A missing modality is that of the training samples that resemble the sample in what it has.
//!
//! Two samples are as far apart as the mean, over the modalities that both have, of the squared distance of their
//! encodings in units of that modality's total variance over the training samples. A modality that all of them encode alike
//! tells nobody apart and is left out.

use mmcollapse_data::Presence;
use mmcollapse_nn::{Result as TensorResult, Tensor, ops::matmul};
use serde::{Deserialize, Serialize};

use super::{Builder, Substitution, TrainingEncodings, fill};
use crate::{
    encodings::Encodings,
    reallocation::Reallocation,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "nearest",
    summary: "a missing modality is that of the training sample nearest in the encodings of the others",
    reference: "Chaudhuri et al., ICML 2025, Table 6 (rep. NN); the distance is ours",
    revision: 2, // the first took no distance where an encoder was constant: the first training sample stood in
    resolve: resolve_as::<Config>,
    tuned: &[],
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

/// Samples whose distances to all training samples are computed, and held, at a time.
const ROWS: usize = 64;

#[derive(Default)]
struct Nearest {
    neighbours: usize,
    /// Per modality what the training samples are in it.
    bank: Vec<Bank>,
    present: Presence,
}

/// One modality's encodings of the training samples.
struct Bank {
    rows: Vec<Vec<f32>>,
    /// `[1, width]`, their mean; distances are computed about it, where they lose least to rounding.
    centre: Tensor,
    /// `[width, n]`, the encodings about their mean.
    centred: Tensor,
    /// `[1, n]`, the squared length of each.
    squares: Tensor,
    /// Their total variance; none if they are all the same.
    variance: Option<f64>,
}

impl Bank {
    /// `z` is `[n, width]`; mean and variance are those of the rows `having`.
    fn new(z: &Tensor, having: &[u32]) -> TensorResult<Self> {
        let own = match having {
            [] => z.clone(),
            _ => z.index_select(&Tensor::new(having, z.device())?, 0)?,
        };
        let centre = own.mean_keepdim(0)?;
        let variance: f32 = own.broadcast_sub(&centre)?.sqr()?.mean(0)?.sum_all()?.to_scalar()?;
        let centred = z.broadcast_sub(&centre)?.t()?.contiguous()?;
        Ok(Self {
            rows: z.to_vec2()?,
            centre,
            squares: centred.sqr()?.sum_keepdim(0)?,
            centred,
            // A device divides by way of the reciprocal, which has to be a number in f32.
            variance: (variance >= f32::MIN_POSITIVE).then(|| f64::from(variance)),
        })
    }

    /// Squared distances of `z` `[b, width]` to every training sample, in units of the total variance, `b` rows of `n`; none
    /// where that is 0.
    fn distances(&self, z: &Tensor) -> TensorResult<Option<Vec<Vec<f32>>>> {
        let Some(variance) = self.variance else { return Ok(None) };
        let z = z.broadcast_sub(&self.centre)?;
        let squares = z.sqr()?.sum_keepdim(1)?.broadcast_add(&self.squares)?;
        let distances = (squares - (matmul(&z, &self.centred)? * 2.0)?)?.maximum(0f32)?;
        (distances / variance)?.to_vec2().map(Some)
    }
}

impl Nearest {
    /// Of the training samples `candidates` those with the least distance to a sample, nearest first; of equal ones the
    /// first. `distances` are the sample's, per modality that it has.
    fn neighbours(&self, candidates: &[usize], distances: &[Option<&[f32]>]) -> Vec<usize> {
        let mut found: Vec<(f64, usize)> = Vec::with_capacity(candidates.len());
        for &candidate in candidates {
            let (mut shared, mut sum) = (0, 0.0);
            for (m, distances) in distances.iter().enumerate() {
                if let Some(distances) = distances
                    && self.present.get(candidate, m)
                {
                    sum += f64::from(distances[candidate]);
                    shared += 1;
                }
            }
            if shared > 0 {
                found.push((sum / f64::from(shared), candidate));
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

impl Substitution for Nearest {
    fn wants_encodings(&self) -> bool {
        true
    }

    fn learn(&mut self, training: &TrainingEncodings) -> TensorResult<()> {
        self.present = training.present.clone();
        let banks = training.z.iter().enumerate().map(|(m, z)| {
            let having: Vec<u32> = self.present.rows(m).into_iter().map(|i| i as u32).collect();
            Bank::new(z, &having)
        });
        self.bank = banks.collect::<TensorResult<_>>()?;
        Ok(())
    }

    fn stand_in(&self, encodings: &mut Encodings, _: &dyn Reallocation) -> TensorResult<()> {
        let (had, seen) = (encodings.present.clone(), encodings.z.clone());
        let modalities = 0..self.bank.len();
        for modality in modalities.clone() {
            let candidates = self.present.rows(modality);
            let lacking: Vec<usize> = (0..had.len()).filter(|&i| !had.get(i, modality)).collect();
            let mut near = vec![Vec::new(); had.len()];
            for chunk in lacking.chunks(ROWS) {
                let index: Vec<u32> = chunk.iter().map(|&i| i as u32).collect();
                let index = Tensor::new(index, seen[modality].device())?;
                let distances = modalities.clone().map(|m| {
                    if !chunk.iter().any(|&i| had.get(i, m)) {
                        return Ok(None);
                    }
                    self.bank[m].distances(&seen[m].index_select(&index, 0)?)
                });
                let distances: Vec<_> = distances.collect::<TensorResult<_>>()?;
                for (row, &i) in chunk.iter().enumerate() {
                    let of = distances.iter().enumerate().map(|(m, of)| {
                        let has = had.get(i, m);
                        of.as_ref().filter(|_| has).map(|rows| rows[row].as_slice())
                    });
                    near[i] = self.neighbours(&candidates, &of.collect::<Vec<_>>());
                }
            }
            fill(encodings, modality, &had, |i| {
                let near = &near[i];
                Ok((!near.is_empty()).then(|| {
                    let mut sum = vec![0.0; self.bank[modality].rows[near[0]].len()];
                    for &candidate in near {
                        for (sum, x) in sum.iter_mut().zip(&self.bank[modality].rows[candidate]) {
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
    use mmcollapse_nn::{Device, random::Stream};

    use super::*;

    #[test]
    fn distances_are_those_of_the_formula() {
        let mut stream = Stream::new(3, "nearest");
        let (n, b, width) = (70, 9, 33);
        let mut rows =
            |rows: usize| -> Vec<Vec<f32>> { (0..rows).map(|_| stream.uniform_vec(width, 4.0, 6.0)).collect() };
        let (bank, seen) = (rows(n), rows(b));
        let tensor = |rows: &[Vec<f32>]| Tensor::new(rows.to_vec(), &Device::Cpu).unwrap();
        let having: Vec<u32> = (0..50).collect();
        let distances = Bank::new(&tensor(&bank), &having)
            .unwrap()
            .distances(&tensor(&seen))
            .unwrap()
            .unwrap();

        let variance: f64 = (0..width)
            .map(|j| {
                let values: Vec<f64> = bank[..50].iter().map(|row| f64::from(row[j])).collect();
                let mean = values.iter().sum::<f64>() / 50.0;
                values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 50.0
            })
            .sum();
        for (seen, distances) in seen.iter().zip(&distances) {
            for (bank, &distance) in bank.iter().zip(distances) {
                let pairs = seen.iter().zip(bank);
                let squared: f64 = pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
                let expected = squared / variance;
                assert!(
                    (f64::from(distance) - expected).abs() < 1e-5 * expected.max(1.0),
                    "{distance} {expected}"
                );
            }
        }
    }

    #[test]
    fn an_encoder_that_is_constant_decides_nothing() {
        let of = |rows: &[[f32; 2]; 4]| Tensor::new(rows, &Device::Cpu).unwrap();
        let dead = of(&[[0.5, 0.5]; 4]);
        assert!(
            Bank::new(&dead, &[0, 1, 2, 3])
                .unwrap()
                .distances(&dead)
                .unwrap()
                .is_none()
        );
        // Subnormal, so that its reciprocal is no number in f32.
        let nearly = of(&[[0.0, 0.0], [1e-20, 0.0], [0.0, 0.0], [1e-20, 0.0]]);
        assert!(
            Bank::new(&nearly, &[0, 1, 2, 3])
                .unwrap()
                .distances(&nearly)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn the_nearest_come_in_order_and_the_first_of_equal_ones() {
        let nearest = |neighbours| Nearest {
            neighbours,
            present: Presence::from_fn(5, 2, |i, m| m == 0 || i != 4),
            ..Nearest::default()
        };
        let (first, second) = ([3.0, 1.0, 2.0, 1.0, 0.5], [1.0, 1.0, 9.0, 1.0, 0.0]);
        let found = |n, second| nearest(n).neighbours(&[0, 1, 2, 3, 4], &[Some(&first[..]), second]);
        assert_eq!(found(1, None), [4]);
        assert_eq!(found(3, None), [4, 1, 3]);
        assert_eq!(found(9, None), [4, 1, 3, 2, 0]);
        // The last lacks the second modality: its mean is over the first.
        assert_eq!(found(9, Some(&second[..])), [4, 1, 3, 0, 2]);
        assert!(nearest(2).neighbours(&[0, 1], &[None, None]).is_empty());
    }
}
