//! OPM (Wei et al., TPAMI 2024): features of the modality that predicts better alone are dropped in the forward pass, sample by
//! sample, and the others made larger.

use mmcollapse_data::Presence;
use mmcollapse_nn::{Mode, Result as TensorResult, random::Stream};
use serde::{Deserialize, Serialize};

use super::{Balancing, Builder, Seen, share, strength, within};
use crate::{
    encodings::Encodings,
    registry::{Entry, Sampler, parse_for, resolve_as},
};

const NAME: &str = "opm";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "features of the better modality are dropped in the forward pass",
    reference: "Wei et al., On-the-fly modulation, TPAMI 2024; its public code",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[("q", Sampler::Uniform(0.1, 0.9)), ("alpha", Sampler::Uniform(0.1, 1.0))],
    build: |options, context| {
        let config: Config = parse_for("balancing", NAME, options)?;
        strength(NAME, "alpha", config.alpha)?;
        share(NAME, "q", config.q)?;
        share(NAME, "executed", config.executed)?;
        share(NAME, "warm_up", config.warm_up)?;
        Ok(Box::new(Opm {
            config,
            widths: context.widths.to_vec(),
        }))
    },
};

/// Options of [`Opm`]; the defaults are those of the public code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Probability of a drop where the modality is just ahead.
    q: f64,
    /// How much it grows with the discrepancy.
    alpha: f64,
    /// Share of the steps that drop at all.
    executed: f64,
    /// Share of the epochs before it acts (public code: 6 epochs of 80, in a later script of 100).
    warm_up: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            q: 0.5,
            alpha: 0.5,
            executed: 0.7,
            warm_up: 0.075,
        }
    }
}

struct Opm {
    config: Config,
    widths: Vec<usize>,
}

impl Config {
    /// Probability of dropping a modality: `q (1 + alpha tanh(rho - 1))` of one that is ahead, at most 1, else 0.
    fn probability(&self, discrepancy: f64) -> f64 {
        if discrepancy > 1.0 {
            (self.q * (1.0 + self.alpha * libm::tanh(discrepancy - 1.0))).min(1.0)
        } else {
            0.0
        }
    }
}

/// Who keeps what where each modality is dropped with a probability; the last that a sample has stays.
fn kept(own: &Presence, probabilities: &[f64], stream: &mut Stream) -> Presence {
    let mut kept = own.clone();
    for i in 0..own.len() {
        // One draw a sample and modality, whoever has it.
        let dropped: Vec<bool> = probabilities.iter().map(|&p| stream.bernoulli(p)).collect();
        let having = (0..dropped.len()).filter(|&m| own.get(i, m));
        if having.clone().any(|m| !dropped[m]) {
            having.filter(|&m| dropped[m]).for_each(|m| kept.set(i, m, false));
        }
    }
    kept
}

impl Balancing for Opm {
    fn encodings(&self, seen: &Seen) -> TensorResult<Option<Encodings>> {
        let Mode::Train { seed, step } = seen.mode else {
            return Ok(None);
        };
        let mut stream = Stream::at(seed, &format!("balancing/{NAME}"), step);
        let is_executed = stream.bernoulli(self.config.executed);
        if within(self.config.warm_up, seen.progress) || !is_executed {
            return Ok(None);
        }
        let discrepancies = seen.discrepancies()?;
        let probabilities: Vec<f64> = discrepancies.iter().map(|&rho| self.config.probability(rho)).collect();
        let lost: f64 = probabilities
            .iter()
            .zip(&self.widths)
            .map(|(q, &width)| q * width as f64)
            .sum();
        let share = lost / self.widths.iter().sum::<usize>() as f64;
        // Not all can be ahead of the others, so that the share is below 1.
        let keep = kept(&seen.encodings.present, &probabilities, &mut stream);
        let mut encodings = seen.encodings.kept(&keep)?;
        encodings.scale(1.0 / (1.0 - share))?;
        Ok(Some(encodings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_ahead_is_dropped_and_nobody_loses_all() {
        let config = Config::default();
        assert_eq!(config.probability(1.0), 0.0);
        assert!((config.probability(2.0) - 0.5 * (1.0 + 0.5 * libm::tanh(1.0))).abs() < 1e-15);
        let own = Presence::from_fn(3000, 2, |i, m| m == 0 || i < 2000);
        let mut stream = Stream::new(3, "test");
        let left = kept(&own, &[0.6, 0.0], &mut stream);
        let lost = (0..2000).filter(|&i| !left.get(i, 0)).count() as f64 / 2000.0;
        assert!((lost - 0.6).abs() < 0.04, "{lost}");
        assert!((0..2000).all(|i| left.get(i, 1)));
        assert!(
            (2000..3000).all(|i| left.get(i, 0) && !left.get(i, 1)),
            "the last stays"
        );
    }
}
