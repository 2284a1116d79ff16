//! Random subsets of modalities after a warm-up, as ShaSpec's script trains (`run.sh`, `train_SS.py` with `--mode=random`).
//!
//! 80000 of its 180000 steps see all modalities. Then each sample keeps a number of its modalities, all numbers from one to
//! what it has equally likely, and which ones is as random.

use mmcollapse_data::Presence;
use mmcollapse_nn::random::Stream;
use serde::{Deserialize, Serialize};

use super::{Balancing, Builder, share, within};
use crate::{
    registry::{Entry, Sampler, parse_for, resolve_as},
    training::Progress,
};

/// Its name, which the fusion that brings it along says.
pub(crate) const NAME: &str = "random_subsets";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "after a warm-up each training sample keeps a random number of its modalities",
    reference: "Wang et al., ShaSpec, CVPR 2023; its public code",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[("warm_up", Sampler::Uniform(0.0, 0.8))],
    build: |options, _| {
        let config: Config = parse_for("balancing", NAME, options)?;
        Ok(Box::new(RandomSubsets {
            warm_up: share(NAME, "warm_up", config.warm_up)?,
        }))
    },
};

/// Options of [`RandomSubsets`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Share of the epochs that see all modalities (ShaSpec: 80000 of 180000 steps).
    warm_up: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { warm_up: 4.0 / 9.0 }
    }
}

struct RandomSubsets {
    warm_up: f64,
}

impl Balancing for RandomSubsets {
    fn presence(&self, own: &Presence, seed: u64, progress: &Progress) -> Presence {
        if within(self.warm_up, progress) {
            return own.clone();
        }
        let mut stream = Stream::at(seed, &format!("balancing/{NAME}"), progress.epoch as u64);
        let m = own.modalities();
        let kept: Vec<Vec<usize>> = (0..own.len())
            .map(|i| {
                let having: Vec<usize> = (0..m).filter(|&modality| own.get(i, modality)).collect();
                let number = 1 + stream.below(having.len().max(1));
                let chosen = stream.choose_distinct(having.len(), number);
                chosen.into_iter().map(|place| having[place]).collect()
            })
            .collect();
        Presence::from_fn(own.len(), m, |i, modality| kept[i].contains(&modality))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{kept, near},
        *,
    };

    #[test]
    fn numbers_are_equally_likely_after_the_warm_up() {
        let subsets = RandomSubsets { warm_up: 4.0 / 9.0 };
        for epoch in 0..4 {
            assert_eq!(kept(&subsets, epoch, 9), [1.0, 0.0, 0.0]);
        }
        near(kept(&subsets, 4, 9), [0.5, 0.25, 0.25]);
        assert_ne!(kept(&subsets, 4, 9), kept(&subsets, 5, 9));
    }
}
