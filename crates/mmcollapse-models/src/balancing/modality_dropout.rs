//! Modality dropout (Neverova et al., ModDrop, TPAMI 2016): in each epoch each training sample loses each of its modalities
//! with a probability, but never the last.

use mmcollapse_data::{Presence, masks};
use mmcollapse_nn::random::derive_seed;
use serde::{Deserialize, Serialize};

use super::{Balancing, Builder, share};
use crate::{
    registry::{Entry, Sampler, parse_for, resolve_as},
    training::Progress,
};

const NAME: &str = "modality_dropout";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "each training sample loses each modality at random, never the last",
    reference: "Neverova et al., ModDrop, TPAMI 2016",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[("rate", Sampler::Uniform(0.1, 0.9))],
    build: |options, _| {
        let config: Config = parse_for("balancing", NAME, options)?;
        Ok(Box::new(ModalityDropout {
            rate: share(NAME, "rate", config.rate)?,
        }))
    },
};

/// Options of [`ModalityDropout`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Probability of losing a modality (ours; ModDrop's differ by data set).
    rate: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { rate: 0.5 }
    }
}

struct ModalityDropout {
    rate: f64,
}

impl Balancing for ModalityDropout {
    fn presence(&self, own: &Presence, seed: u64, progress: &Progress) -> Presence {
        let seed = derive_seed(seed, &format!("balancing/{NAME}/{}", progress.epoch));
        masks::any_missing(own, self.rate, seed, "train")
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{kept, near},
        *,
    };

    #[test]
    fn each_modality_is_lost_with_the_rate_and_never_the_last() {
        // Both are lost with .16, and then each is kept as often.
        near(kept(&ModalityDropout { rate: 0.4 }, 0, 10), [0.36, 0.32, 0.32]);
        assert_eq!(kept(&ModalityDropout { rate: 0.0 }, 0, 10), [1.0, 0.0, 0.0]);
        let dropout = ModalityDropout { rate: 0.5 };
        assert_ne!(kept(&dropout, 0, 10), kept(&dropout, 1, 10), "drawn anew in each epoch");
    }
}
