//! A missing modality is the mean of its training encodings, of all or of the class that the other modalities speak for.
//!
//! A sample's class is not known when it is asked for: with `by_class` the class means are weighed with the probabilities
//! that softmax regressions on the training encodings of the modalities that are there give it, averaged over those.

use mmcollapse_data::Presence;
use mmcollapse_nn::{Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use super::{Builder, Substitution, TrainingEncodings, fill, rows_of};
use crate::{
    diagnosis::{Features, LinearProbe},
    encodings::Encodings,
    predictions::probabilities,
    reallocation::Reallocation,
    registry::{Entry, parse_for, resolve_as},
    rows::select_rows,
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "mean",
    summary: "a missing modality is the mean of its training encodings, of all or class by class",
    reference: "Chaudhuri et al., ICML 2025, Table 6 (average without and with class); how the class is known is ours",
    revision: 2, // the second tells the class with a probe at its optimum
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: |options, _| {
        let config: Config = parse_for("substitution", "mean", options)?;
        Ok(Box::new(Mean {
            by_class: config.by_class,
            modalities: Vec::new(),
        }))
    },
};

/// Options of [`Mean`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Whether each class has a mean of its own.
    by_class: bool,
}

struct Mean {
    by_class: bool,
    modalities: Vec<OfModality>,
}

/// What the training encodings of one modality left.
struct OfModality {
    /// Means of the groups: of each class or of all; none for a group without a sample.
    means: Vec<Option<Vec<f32>>>,
    /// Tells the class from the modality; none without `by_class`, or where no training sample has it.
    probe: Option<LinearProbe>,
}

impl Substitution for Mean {
    fn wants_encodings(&self) -> bool {
        true
    }

    fn learn(&mut self, training: &TrainingEncodings) -> TensorResult<()> {
        let groups = if self.by_class { training.classes } else { 1 };
        let of = |(modality, z): (usize, &Tensor)| -> TensorResult<OfModality> {
            let rows = rows_of(z, &training.present, modality)?;
            let group = |i: usize| if self.by_class { training.labels[i] as usize } else { 0 };
            let means = (0..groups).map(|g| {
                let members: Vec<&Vec<f32>> = rows
                    .iter()
                    .filter(|(i, _)| group(*i) == g)
                    .map(|(_, row)| row)
                    .collect();
                let sum = |j: usize| members.iter().map(|row| f64::from(row[j])).sum::<f64>();
                let width = members.first()?.len();
                Some((0..width).map(|j| (sum(j) / members.len() as f64) as f32).collect())
            });
            let means = means.collect();
            let probe = if self.by_class && !rows.is_empty() {
                let having = training.present.rows(modality);
                let features = Features {
                    x: select_rows(z, &having)?,
                    labels: having.iter().map(|&i| training.labels[i]).collect(),
                };
                Some(LinearProbe::fit(&features, training.classes)?)
            } else {
                None
            };
            Ok(OfModality { means, probe })
        };
        self.modalities = training.z.iter().enumerate().map(of).collect::<TensorResult<_>>()?;
        Ok(())
    }

    fn stand_in(&self, encodings: &mut Encodings, _: &dyn Reallocation) -> TensorResult<()> {
        let had = encodings.present.clone();
        let weights = self.weights(encodings, &had)?;
        for (modality, of) in self.modalities.iter().enumerate() {
            fill(encodings, modality, &had, |i| {
                let mut sum: Option<Vec<f32>> = None;
                let mut whole = 0.0;
                for (mean, weight) in of.means.iter().zip(&weights[i]) {
                    let Some(mean) = mean else { continue };
                    let sum = sum.get_or_insert_with(|| vec![0.0; mean.len()]);
                    sum.iter_mut().zip(mean).for_each(|(s, x)| *s += weight * x);
                    whole += weight;
                }
                // A class that no training sample with the modality is of has no mean: the others share its weight.
                Ok(sum.map(|sum| sum.into_iter().map(|s| s / whole.max(f32::MIN_POSITIVE)).collect()))
            })?;
        }
        Ok(())
    }
}

impl Mean {
    /// How much each group counts for each sample.
    fn weights(&self, encodings: &Encodings, had: &Presence) -> TensorResult<Vec<Vec<f32>>> {
        let n = had.len();
        if !self.by_class {
            return Ok(vec![vec![1.0]; n]);
        }
        let mut said: Vec<Option<Vec<Vec<f32>>>> = Vec::new();
        for (of, z) in self.modalities.iter().zip(&encodings.z) {
            let probabilities = of
                .probe
                .as_ref()
                .map(|probe| probabilities(&probe.logits(z)?)?.to_vec2());
            said.push(probabilities.transpose()?);
        }
        let classes = self.modalities.first().map_or(0, |of| of.means.len());
        let of_sample = |i: usize| {
            let there = said.iter().enumerate().filter(|(m, _)| had.get(i, *m));
            let rows: Vec<&Vec<f32>> = there.filter_map(|(_, said)| Some(&said.as_ref()?[i])).collect();
            let mean = |class: usize| rows.iter().map(|row| row[class]).sum::<f32>() / rows.len().max(1) as f32;
            (0..classes).map(mean).collect()
        };
        Ok((0..n).map(of_sample).collect())
    }
}
