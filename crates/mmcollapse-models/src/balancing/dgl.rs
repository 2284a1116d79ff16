//! DGL (Wei, Luo and Luo, ICCV 2025): the encoders learn from what the fusion predicts of each modality alone, the fusion from what it
//! predicts of all; neither hears of the other's loss.

use mmcollapse_nn::{GradStore, Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use super::{Balancing, Builder, Seen, Step, Weighed, strength, sum};
use crate::{
    encodings::Encodings,
    registry::{Entry, Sampler, parse_for, resolve_as},
};

const NAME: &str = "dgl";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "encoders learn from unimodal predictions alone, the fusion from the multimodal one alone",
    reference: "Wei et al., Disentangled gradient learning, ICCV 2025; its public code",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[("alpha", Sampler::LogUniform(0.25, 8.0))],
    build: |options, _| {
        let config: Config = parse_for("balancing", NAME, options)?;
        strength(NAME, "alpha", config.alpha)?;
        Ok(Box::new(Dgl { config }))
    },
};

/// Options of [`Dgl`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Weight of the unimodal losses (public code: 4).
    alpha: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { alpha: 4.0 }
    }
}

struct Dgl {
    config: Config,
}

impl Balancing for Dgl {
    fn encodings(&self, seen: &Seen) -> TensorResult<Option<Encodings>> {
        Ok(Some(seen.encodings.detached()))
    }

    fn weigh(&self, seen: &Seen) -> TensorResult<Weighed> {
        let mut losses = Vec::new();
        for m in 0..seen.modalities() {
            losses.extend(seen.cross_entropy(m, &seen.logits_of(&[m], seen.mode)?)?);
        }
        Ok(Weighed {
            apart: match sum(&losses)? {
                None => None,
                Some(sum) => Some(("unimodal", (sum * self.config.alpha)?)),
            },
            ..Weighed::default()
        })
    }

    fn gradients(&self, weighed: &Weighed, total: &Tensor, step: &Step) -> TensorResult<GradStore> {
        let mut gradients = step.backward(total)?;
        let Some((_, unimodal)) = &weighed.apart else {
            return Ok(gradients);
        };
        let mut of_encoders = step.backward(unimodal)?;
        for (_, var) in step.under("fusion") {
            of_encoders.remove(var);
        }
        step.add(&mut gradients, of_encoders)?;
        Ok(gradients)
    }
}
