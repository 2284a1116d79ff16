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
                let pairs = sample[m].iter().zip(&self.bank[m][candidate]);
                distance += pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / self.variance[m];
                shared += 1;
            }
            if shared > 0 {
                found.push((distance / f64::from(shared), candidate));
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        found.truncate(self.neighbours);
        found.into_iter().map(|(_, candidate)| candidate).collect()
    }
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
