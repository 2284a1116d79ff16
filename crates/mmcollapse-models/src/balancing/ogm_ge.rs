//! OGM-GE (Peng et al., CVPR 2022, equation 10): the encoder of the modality that predicts better alone learns slower, and noise
//! as wide as its gradients makes up for what their smaller size takes from generalisation.

use mmcollapse_nn::{GradStore, Result as TensorResult, Tensor, random::Stream};
use serde::{Deserialize, Serialize};

use super::{Balancing, Builder, Encoders, Seen, Step, Weighed, share, strength, within};
use crate::registry::{Entry, Sampler, parse_for, resolve_as};

const NAME: &str = "ogm_ge";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "gradients of the better encoder are made smaller, and noise is added",
    reference: "Peng et al., OGM-GE, CVPR 2022, equations 8 to 11; its public code",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[("alpha", Sampler::Uniform(0.1, 1.0)), ("noise", Sampler::EITHER)],
    build: |options, context| {
        let config: Config = parse_for("balancing", NAME, options)?;
        strength(NAME, "alpha", config.alpha)?;
        share(NAME, "until", config.until)?;
        Ok(Box::new(OgmGe {
            config,
            encoders: Encoders::new(context.modalities),
        }))
    },
};

/// Options of [`OgmGe`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// How fast the factor falls with the discrepancy (the paper tunes it; its benchmark has .3).
    alpha: f64,
    /// Whether noise is added (GE).
    noise: bool,
    /// Share of the epochs in which it acts (public code: 50 of 100).
    until: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            alpha: 0.3,
            noise: true,
            until: 0.5,
        }
    }
}

struct OgmGe {
    config: Config,
    encoders: Encoders,
}

/// Equation 10: `1 - tanh(alpha rho)` of a modality that is ahead, else 1.
fn factor(alpha: f64, discrepancy: f64) -> f64 {
    if discrepancy > 1.0 {
        1.0 - libm::tanh(alpha * discrepancy)
    } else {
        1.0
    }
}

impl Balancing for OgmGe {
    fn weigh(&self, seen: &Seen) -> TensorResult<Weighed> {
        if !within(self.config.until, seen.progress) {
            return Ok(Weighed::default());
        }
        let discrepancies = seen.discrepancies()?;
        Ok(Weighed {
            factors: discrepancies
                .iter()
                .map(|&rho| factor(self.config.alpha, rho))
                .collect(),
            ..Weighed::default()
        })
    }

    fn gradients(&self, weighed: &Weighed, total: &Tensor, step: &Step) -> TensorResult<GradStore> {
        let mut gradients = step.backward(total)?;
        // The noise is as wide as the gradients were before they were scaled, as in the public code.
        let noise = if self.config.noise && !weighed.factors.is_empty() {
            self.noise(&gradients, step)?
        } else {
            Vec::new()
        };
        self.encoders.scale(&mut gradients, step, &weighed.factors)?;
        for (var, noise) in noise {
            if let Some(gradient) = gradients.remove(var) {
                gradients.insert(var, (gradient + noise)?);
            }
        }
        Ok(gradients)
    }
}

impl OgmGe {
    /// Normal noise for each encoder's weights, with the standard deviation of their gradients.
    fn noise<'s>(&self, gradients: &GradStore, step: &Step<'s>) -> TensorResult<Vec<(&'s Tensor, Tensor)>> {
        let mut noise = Vec::new();
        for (name, var) in step.vars {
            let of_encoder = self
                .encoders
                .prefixes()
                .iter()
                .any(|prefix| crate::training::under(name, prefix));
            let (true, true, Some(gradient)) = (of_encoder, var.rank() > 1, gradients.get(var)) else {
                continue;
            };
            let values: Vec<f32> = gradient.flatten_all()?.to_vec1()?;
            let deviation = deviation(&values) + 1e-8;
            let mut stream = Stream::at(step.seed, &format!("balancing/{NAME}/{name}"), step.step);
            let draws: Vec<f32> = stream.normal_vec(values.len());
            let draws = Tensor::from_vec(draws, gradient.shape(), gradient.device())?;
            noise.push((var.as_tensor(), (draws * deviation)?));
        }
        Ok(noise)
    }
}

/// Standard deviation with n - 1 (`torch.std`); 0 of fewer than two values.
fn deviation(values: &[f32]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let squares: f64 = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    (squares / (n - 1.0).max(1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_ahead_is_slowed() {
        assert_eq!(factor(0.3, 0.5), 1.0);
        assert_eq!(factor(0.3, 1.0), 1.0);
        assert!((factor(0.5, 2.0) - (1.0 - libm::tanh(1.0))).abs() < 1e-15);
        assert_eq!(factor(0.0, 2.0), 1.0);
        assert!((deviation(&[1.0, 2.0, 3.0, 4.0]) - 1.290_994_448_735_805_6).abs() < 1e-12);
    }
}
