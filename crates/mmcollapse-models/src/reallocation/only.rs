//! One modality alone in the same architecture: what the fused representation is without the others.
//!
//! A control, not a method: the unimodal rank beside which the paper's Figures 5 and 10 stand is that of the same
//! fusion when every other modality's encoding is zero, in training as at test.

use mmcollapse_nn::{Mode, Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use super::{Builder, Reallocated, Reallocation};
use crate::{
    error::ModelError,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "only",
    summary: "one modality alone in the same fusion, all others' encodings zero (a control)",
    reference: "Chaudhuri et al., ICML 2025, Figures 5 and 10, unimodal rank",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        substitution: "none",
        uses: &[],
        make: |options, context| {
            let config: Config = parse_for("reallocation", "only", options)?;
            let kept = match &config.modality {
                None => 0,
                Some(name) => context
                    .modalities
                    .iter()
                    .position(|m| m == name)
                    .ok_or_else(|| ModelError::Options {
                        axis: "reallocation",
                        method: "only".to_owned(),
                        reason: format!(
                            "there is no modality `{name}`; there are {}",
                            context.modalities.join(", ")
                        ),
                    })?,
            };
            Ok(Box::new(Only { kept }))
        },
    },
};

/// Options of [`Only`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// The modality that stays; the data set's first if not said.
    modality: Option<String>,
}

struct Only {
    kept: usize,
}

impl Reallocation for Only {
    fn transform(&self, modality: usize, z: &Tensor, _mode: Mode) -> TensorResult<Reallocated> {
        Ok(Reallocated {
            // The encoder still runs, so that its batch norms follow the data as in the other methods.
            encoding: if modality == self.kept {
                z.clone()
            } else {
                z.zeros_like()?
            },
            latent: None,
        })
    }

    fn silences(&self, modality: usize) -> bool {
        modality != self.kept
    }
}
