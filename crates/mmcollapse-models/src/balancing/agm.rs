//! AGM (Li et al., ICCV 2023): the encoders' gradients are weighed by how far the Shapley value of each modality's logits stands
//! from where it stood along training.
//!
//! Its authors' code and that of its benchmark differ in a sign. The authors' slows a modality that is further ahead of the others
//! than it was on average (`ratio_a = exp(score_visual - score_audio)`, of cross-entropies). The benchmark's slows one that is further
//! behind.

use mmcollapse_nn::{DType, GradStore, Mode, Result as TensorResult, Tensor, Var};
use mmcollapse_probes::share_of_orders;
use serde::{Deserialize, Serialize};

use super::{Balancing, Builder, Encoders, Seen, Step, Weighed, strength};
use crate::registry::{Entry, Sampler, parse_for, resolve_as};

const NAME: &str = "agm";

/// The most that a ratio is above another, so that the factor stays finite (its authors' code).
const MOST: f64 = 10.0;

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "gradients are weighed by the Shapley value of each modality's logits",
    reference: "Li et al., AGM, ICCV 2023; its authors' code, and that of its benchmark (Xu et al. 2025)",
    revision: 2, // the first had its benchmark's sign and strength
    resolve: resolve_as::<Config>,
    tuned: &[("alpha", Sampler::LogUniform(0.03, 3.0))],
    build: |options, context| {
        let config: Config = parse_for("balancing", NAME, options)?;
        strength(NAME, "alpha", config.alpha)?;
        let zeros = Tensor::zeros(context.modalities.len(), DType::F64, &context.scope.device())?;
        Ok(Box::new(Agm {
            config,
            encoders: Encoders::new(context.modalities),
            means: context.scope.buffer("means", zeros)?,
        }))
    },
};

/// Options of [`Agm`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Strength (its authors' code: 1; its benchmark: .1).
    alpha: f64,
    /// Which modality is slowed.
    slows: Slows,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            slows: Slows::Leader,
        }
    }
}

/// Which modality is slowed, against its own mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Slows {
    /// The one that is further ahead of the others than on average (its authors' code).
    Leader,
    /// The one that is further behind (its benchmark's code).
    Follower,
}

struct Agm {
    config: Config,
    encoders: Encoders,
    /// Of each modality the mean score of all steps so far, `[modalities]`.
    means: Var,
}

/// Shapley values of logits, given those of every subset of modalities by its bits; those of none are zero. `[batch, classes]` each.
fn mono_outputs(modalities: usize, logits: &[Option<Tensor>]) -> TensorResult<Vec<Tensor>> {
    let of = |m: usize| {
        let mut sum: Option<Tensor> = None;
        let mut add = |subset: usize, weight: f64| -> TensorResult<()> {
            if let Some(logits) = &logits[subset] {
                let part = (logits * weight)?;
                sum = Some(match sum.take() {
                    Some(sum) => (sum + part)?,
                    None => part,
                });
            }
            Ok(())
        };
        for subset in (0..logits.len()).filter(|subset| subset >> m & 1 == 0) {
            let orders = share_of_orders(modalities, subset.count_ones() as usize);
            add(subset | 1 << m, orders)?;
            add(subset, -orders)?;
        }
        sum.ok_or_else(|| mmcollapse_nn::Error::Msg("a Shapley value of no logits".to_owned()))
    };
    (0..modalities).map(of).collect()
}

impl Config {
    /// `exp(M / (M - 1) (mean s - s_m))`, s the cross-entropies: above 1 where modality m is ahead of the others. Its inverse where
    /// the follower is slowed.
    fn ratios(&self, scores: &[f64]) -> Vec<f64> {
        let m = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / m;
        let stretch = match self.slows {
            Slows::Leader => -1.0,
            Slows::Follower => 1.0,
        } * m
            / (m - 1.0).max(1.0);
        scores.iter().map(|score| libm::exp(stretch * (score - mean))).collect()
    }

    /// `exp(alpha min(tau_m - r_m, 10))` with r the ratios of a batch and tau those of the means.
    fn factors(&self, scores: &[f64], means: &[f64]) -> Vec<f64> {
        let (now, before) = (self.ratios(scores), self.ratios(means));
        let of = |(tau, r): (&f64, &f64)| libm::exp(self.alpha * (tau - r).min(MOST));
        before.iter().zip(&now).map(of).collect()
    }
}

impl Balancing for Agm {
    fn weigh(&self, seen: &Seen) -> TensorResult<Weighed> {
        let Mode::Train { step, .. } = seen.mode else {
            return Ok(Weighed::default());
        };
        let m = seen.modalities();
        let of = |bits: usize| (0..m).filter(|modality| bits >> modality & 1 == 1).collect::<Vec<_>>();
        let mut logits = vec![None];
        for bits in 1..1 << m {
            logits.push(Some(seen.logits_of(&of(bits), Mode::Eval)?.detach()));
        }
        let outputs = mono_outputs(m, &logits)?;
        let mut means: Vec<f64> = self.means.to_vec1()?;
        let scores = outputs
            .iter()
            .enumerate()
            .map(|(modality, output)| seen.surprise(modality, output));
        let scores: Vec<Option<f64>> = scores.collect::<TensorResult<_>>()?;
        // A modality that no sample of the batch has stands where it stood.
        let scores: Vec<f64> = scores
            .iter()
            .zip(&means)
            .map(|(score, mean)| score.unwrap_or(*mean))
            .collect();
        let factors = self.config.factors(&scores, &means);
        let n = (step + 1) as f64;
        for (mean, score) in means.iter_mut().zip(&scores) {
            *mean += (score - *mean) / n;
        }
        self.means.set(&Tensor::from_vec(means, m, self.means.device())?)?;
        Ok(Weighed {
            factors,
            ..Weighed::default()
        })
    }

    fn gradients(&self, weighed: &Weighed, total: &Tensor, step: &Step) -> TensorResult<GradStore> {
        let mut gradients = step.backward(total)?;
        self.encoders.scale(&mut gradients, step, &weighed.factors)?;
        Ok(gradients)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::Device;

    use super::*;

    #[test]
    fn mono_outputs_are_shapley_values() {
        let t = |value: f32| Some(Tensor::new(&[[value]], &Device::Cpu).unwrap());
        let value = |t: &Tensor| t.to_vec2::<f32>().unwrap()[0][0];
        // Two modalities: (f(ab) - f(b) + f(a)) / 2.
        let two = mono_outputs(2, &[None, t(1.0), t(2.0), t(5.0)]).unwrap();
        assert_eq!([value(&two[0]), value(&two[1])], [2.0, 3.0]);
        // Three, as in the paper: 1/3 (abc - bc) + 1/6 (ab - b + ac - c) + 1/3 a.
        let all = [0.0, 1.0, 2.0, 4.0, 3.0, 6.0, 7.0, 9.0]; // by the bits cba
        let logits: Vec<Option<Tensor>> = all
            .iter()
            .enumerate()
            .map(|(i, &v)| if i == 0 { None } else { t(v) })
            .collect();
        let three = mono_outputs(3, &logits).unwrap();
        let expected = (9.0 - 7.0) / 3.0 + (4.0 - 2.0 + 6.0 - 3.0) / 6.0 + 1.0 / 3.0;
        assert!((value(&three[0]) - expected).abs() < 1e-6);
        let total: f32 = three.iter().map(value).sum();
        assert!((total - 9.0).abs() < 1e-6, "they add up to all: {total}");
    }

    /// Cross-entropies of two modalities, as in the authors' code: `r_a = exp(s_b - s_a)`, `k_a = exp(alpha min(tau_a - r_a, 10))`.
    #[test]
    fn who_is_further_ahead_than_on_average_is_slowed() {
        let of = |alpha: f64, slows: Slows| Config { alpha, slows };
        let leader = of(0.1, Slows::Leader);
        assert_eq!(of(0.0, Slows::Leader).factors(&[3.0, 1.0], &[0.5, 0.4]), [1.0, 1.0]);
        let e = std::f64::consts::E;
        // The second has the lower cross-entropy by 1; at the start tau = 1.
        let start = leader.factors(&[1.5, 0.5], &[0.0, 0.0]);
        assert!((start[0] - libm::exp(0.1 * (1.0 - 1.0 / e))).abs() < 1e-12);
        assert!((start[1] - libm::exp(0.1 * (1.0 - e))).abs() < 1e-12);
        assert!(start[1] < 1.0 && start[0] > 1.0, "the leader is slowed: {start:?}");
        // As far ahead as on average: neither.
        assert_eq!(leader.factors(&[1.5, 0.5], &[2.5, 1.5]), [1.0, 1.0]);
        assert!(
            (leader.factors(&[0.0, 0.0], &[1.0, 9.0])[0] - libm::exp(1.0)).abs() < 1e-12,
            "at most 10"
        );
        let follower = of(0.1, Slows::Follower).factors(&[1.5, 0.5], &[0.0, 0.0]);
        assert!(follower[0] < 1.0 && follower[1] > 1.0, "{follower:?}");
    }
}
