//! A missing modality is noise with the mean and spread of its training encodings.
//!
//! The draw is keyed by the cell's seed and by what the sample has, so that a prediction depends neither on the batch nor
//! on the order of the samples.

use mmcollapse_nn::{Result as TensorResult, Tensor, random::Stream};
use serde::{Deserialize, Serialize};

use super::{Builder, Substitution, TrainingEncodings, fill, rows_of};
use crate::{
    encodings::Encodings,
    reallocation::Reallocation,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "random",
    summary: "a missing modality is normal noise, each number with mean and spread of its training encodings",
    reference: "Chaudhuri et al., ICML 2025, Table 6; the distribution is ours",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: |options, _| {
        let _: Config = parse_for("substitution", "random", options)?;
        Ok(Box::<Random>::default())
    },
};

/// There is nothing to choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {}

#[derive(Default)]
struct Random {
    seed: u64,
    /// Per modality mean and standard deviation of each number; empty where no training sample has it.
    moments: Vec<Vec<(f64, f64)>>,
}

impl Substitution for Random {
    fn wants_encodings(&self) -> bool {
        true
    }

    fn learn(&mut self, training: &TrainingEncodings) -> TensorResult<()> {
        self.seed = training.seed;
        self.moments.clear();
        for (modality, z) in training.z.iter().enumerate() {
            let rows = rows_of(z, &training.present, modality)?;
            let n = rows.len().max(1) as f64;
            let width = rows.first().map_or(0, |(_, row)| row.len());
            let moments = (0..width).map(|j| {
                let values = || rows.iter().map(|(_, row)| f64::from(row[j]));
                let mean = values().sum::<f64>() / n;
                let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                (mean, variance.sqrt())
            });
            self.moments.push(moments.collect());
        }
        Ok(())
    }

    fn stand_in(&self, encodings: &mut Encodings, _: &dyn Reallocation) -> TensorResult<()> {
        let had = encodings.present.clone();
        let seen: Vec<Vec<Vec<f32>>> = encodings.z.iter().map(Tensor::to_vec2).collect::<TensorResult<_>>()?;
        for (modality, moments) in self.moments.iter().enumerate() {
            fill(encodings, modality, &had, |i| {
                let mut stream = Stream::at(self.seed, &format!("substitution/random/{modality}"), key(&seen, i));
                let drawn = moments.iter().map(|(mean, sd)| (mean + sd * stream.normal()) as f32);
                Ok((!moments.is_empty()).then(|| drawn.collect()))
            })?;
        }
        Ok(())
    }
}

/// A number made of the bits of everything that sample `i` has (FNV-1a).
fn key(seen: &[Vec<Vec<f32>>], i: usize) -> u64 {
    let bytes = seen.iter().flat_map(|rows| &rows[i]).flat_map(|x| x.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
