//! UMT (Du et al., ICML 2023): each encoder is drawn towards the encodings of one that was trained on its modality alone.

use mmcollapse_nn::{Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Balancing, Builder, Seen, Weighed, strength, sum};
use crate::{
    error::Result,
    reallocation::{Workbench, digest},
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::{gather_rows, places, select_rows},
};

const NAME: &str = "umt";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "encoders are drawn towards teachers that were trained on one modality each",
    reference: "Du et al., On uni-modal feature learning (Uni-Modal Teacher), ICML 2023",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[("weight", Sampler::LogUniform(0.1, 50.0))],
    build: |options, context| {
        let config: Config = parse_for("balancing", NAME, options)?;
        strength(NAME, "weight", config.weight)?;
        Ok(Box::new(Umt {
            config,
            teachers: Vec::with_capacity(context.modalities.len()),
            digests: Vec::new(),
        }))
    },
};

/// Options of [`Umt`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Weight of the mean squared distance to the teachers (ours; the paper's differ by data set).
    weight: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { weight: 1.0 }
    }
}

struct Umt {
    config: Config,
    teachers: Vec<Teacher>,
    /// Of their weights.
    digests: Vec<String>,
}

/// A frozen teacher's encodings of the training samples that have its modality.
struct Teacher {
    /// `[samples that have it, width]`.
    encodings: Tensor,
    /// Of each training sample its row there.
    place: Vec<usize>,
}

impl Balancing for Umt {
    fn prepare(&mut self, bench: &mut dyn Workbench) -> Result<()> {
        bench.alone()?;
        self.teachers.clear();
        self.digests.clear();
        for m in 0..bench.modalities().len() {
            let branch = bench.trained_alone(m)?;
            let rows = bench.available().rows(m);
            self.digests.push(digest(&branch.params.state()?)?);
            self.teachers.push(Teacher {
                encodings: bench.encodings(branch.encoder.as_ref(), m, &rows)?,
                place: places(&rows, bench.available().len()),
            });
        }
        Ok(())
    }

    fn decided_by(&self) -> Option<Value> {
        Some(json!({ "teachers": self.digests }))
    }

    fn weigh(&self, seen: &Seen) -> TensorResult<Weighed> {
        let mut losses = Vec::new();
        for (m, teacher) in self.teachers.iter().enumerate() {
            let rows = &seen.batch.inputs[m].rows;
            if rows.is_empty() {
                continue;
            }
            let places: Vec<usize> = rows.iter().map(|&row| teacher.place[seen.batch.index[row]]).collect();
            let taught = gather_rows(&teacher.encodings, &places)?;
            losses.push((select_rows(&seen.encodings.z[m], rows)? - taught)?.sqr()?.mean_all()?);
        }
        Ok(Weighed {
            terms: match sum(&losses)? {
                None => Vec::new(),
                Some(sum) => vec![("teachers", (sum * self.config.weight)?)],
            },
            ..Weighed::default()
        })
    }
}
