//! MMPareto (Wei and Hu, ICML 2024): each encoder follows the gradients of the multimodal and of its own unimodal loss; where they
//! conflict, in the direction of their min-norm point.

use mmcollapse_nn::{GradStore, Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use super::{Balancing, Builder, Encoders, Seen, Step, Weighed, heads::Heads, strength, sum};
use crate::registry::{Entry, Sampler, parse_for, resolve_as};

const NAME: &str = "mmpareto";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "multimodal and unimodal gradients of each encoder are brought together without conflict",
    reference: "Wei and Hu, MMPareto, ICML 2024; its public code",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[("gamma", Sampler::Uniform(1.0, 2.0))],
    build: |options, context| {
        let config: Config = parse_for("balancing", NAME, options)?;
        strength(NAME, "gamma", config.gamma)?;
        Ok(Box::new(MmPareto {
            config,
            encoders: Encoders::new(context.modalities),
            heads: Heads::new(context)?,
        }))
    },
};

/// Options of [`MmPareto`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// What the encoders' gradients are multiplied by in the end (public code: 1.5).
    gamma: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { gamma: 1.5 }
    }
}

struct MmPareto {
    config: Config,
    encoders: Encoders,
    heads: Heads,
}

/// Weights of two gradients with these inner products: halves where they agree, else those of the point of least norm between them
/// (Désidéri 2012).
fn weights(first: f64, both: f64, second: f64) -> [f64; 2] {
    if both >= 0.0 {
        return [0.5, 0.5];
    }
    let share = (second - both) / (first + second - 2.0 * both);
    [share, 1.0 - share]
}

/// `2 w_1 g_1 + 2 w_2 g_2`, not shorter than `g_1 + g_2`, times gamma.
fn joined(g: [&Tensor; 2], weights: [f64; 2], gamma: f64) -> TensorResult<Tensor> {
    let joined = ((g[0] * (2.0 * weights[0]))? + (g[1] * (2.0 * weights[1]))?)?;
    let plain = inner(&(g[0] + g[1])?, None)?.sqrt();
    let longer = plain / inner(&joined, None)?.sqrt();
    // Two gradients that cancel have no direction.
    let stretch = if longer.is_finite() { longer.max(1.0) } else { 1.0 };
    joined * (stretch * gamma)
}

/// Inner product with another gradient or itself.
fn inner(a: &Tensor, b: Option<&Tensor>) -> TensorResult<f64> {
    let product = match b {
        Some(b) => (a * b)?,
        None => a.sqr()?,
    };
    Ok(f64::from(product.sum_all()?.to_scalar::<f32>()?))
}

impl Balancing for MmPareto {
    fn weigh(&self, seen: &Seen) -> TensorResult<Weighed> {
        let losses: Vec<Tensor> = self.heads.cross_entropies(seen)?.into_iter().flatten().collect();
        Ok(Weighed {
            // The sum: of each encoder only its own reaches it.
            apart: sum(&losses)?.map(|sum| ("unimodal", sum)),
            ..Weighed::default()
        })
    }

    fn gradients(&self, weighed: &Weighed, total: &Tensor, step: &Step) -> TensorResult<GradStore> {
        let mut multimodal = step.backward(total)?;
        let Some((_, unimodal)) = &weighed.apart else {
            return Ok(multimodal);
        };
        let mut unimodal = step.backward(unimodal)?;
        for prefix in self.encoders.prefixes() {
            let mut products = [0.0; 3];
            for (_, var) in step.under(prefix) {
                if let (Some(mm), Some(uni)) = (multimodal.get(var), unimodal.get(var)) {
                    products[0] += inner(mm, None)?;
                    products[1] += inner(mm, Some(uni))?;
                    products[2] += inner(uni, None)?;
                }
            }
            let weights = weights(products[0], products[1], products[2]);
            for (_, var) in step.under(prefix) {
                if let (Some(mm), Some(uni)) = (multimodal.remove(var), unimodal.remove(var)) {
                    multimodal.insert(var, joined([&mm, &uni], weights, self.config.gamma)?);
                }
            }
        }
        // What is left: the heads.
        step.add(&mut multimodal, unimodal)?;
        Ok(multimodal)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::Device;

    use super::*;

    #[test]
    fn gradients_that_conflict_meet_at_the_least_norm() {
        assert_eq!(weights(4.0, 0.0, 1.0), [0.5, 0.5]);
        assert_eq!(weights(4.0, 1.0, 1.0), [0.5, 0.5]);
        // (2, 0) and (-1, 1): the nearest point to the origin on the line between is (.2, .6) = .4 (2, 0) + .6 (-1, 1).
        let found = weights(4.0, -2.0, 2.0);
        assert!(
            (found[0] - 0.4).abs() < 1e-12 && (found[1] - 0.6).abs() < 1e-12,
            "{found:?}"
        );
        let t = |v: [f32; 2]| Tensor::new(&v, &Device::Cpu).unwrap();
        let (a, b) = (t([2.0, 0.0]), t([-1.0, 1.0]));
        // 2 (.2, .6) has norm sqrt 1.6, less than sqrt 2 of the sum.
        let step: Vec<f32> = joined([&a, &b], found, 1.5).unwrap().to_vec1().unwrap();
        let norm = libm::hypot(f64::from(step[0]), f64::from(step[1]));
        assert!((norm - 1.5 * std::f64::consts::SQRT_2).abs() < 1e-6, "{step:?}");
        assert!((f64::from(step[1] / step[0]) - 3.0).abs() < 1e-5, "the direction stays");
        // Where they agree it is their sum.
        let sum: Vec<f32> = joined([&a, &t([0.0, 1.0])], [0.5, 0.5], 1.0)
            .unwrap()
            .to_vec1()
            .unwrap();
        assert_eq!(sum, [2.0, 1.0]);
        let none: Vec<f32> = joined([&a, &t([-2.0, 0.0])], [0.5, 0.5], 1.5)
            .unwrap()
            .to_vec1()
            .unwrap();
        assert_eq!(none, [0.0, 0.0]);
    }
}
