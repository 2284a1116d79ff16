//! G-Blending (Wang, Tran and Feiszli, CVPR 2020), offline: the multimodal loss and one of a classifier on each modality are added, each
//! with the weight that its overfitting allows.

use mmcollapse_nn::{DType, Result as TensorResult, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::{Balancing, Builder, Seen, Weighed, heads::Heads, sum};
use crate::{
    error::Result,
    reallocation::{Learnt, Workbench},
    registry::{Entry, parse_for, resolve_as},
};

const NAME: &str = "g_blending";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "unimodal and multimodal losses, weighted by generalisation over the square of overfitting",
    reference: "Wang, Tran and Feiszli, What makes training multi-modal classification networks hard?, CVPR 2020, equation 7",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: |options, context| {
        let _: Config = parse_for("balancing", NAME, options)?;
        let n = context.modalities.len() + 1;
        let equal = Tensor::from_vec(vec![1.0 / n as f64; n], n, &context.scope.device())?.to_dtype(DType::F64)?;
        Ok(Box::new(GBlending {
            heads: Heads::new(context)?,
            weights: context.scope.buffer("weights", equal)?,
        }))
    },
};

/// There is nothing to choose: the offline variant has no option.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {}

struct GBlending {
    heads: Heads,
    /// Of each modality's loss and, last, of the multimodal one, `[modalities + 1]`.
    weights: Var,
}

/// Weights `G / O^2` that add up to 1, with G how far the loss on validation fell and O how far the gap between it and that on
/// training grew. What has not got better on validation has no weight; where nothing has, all are equal.
fn weights(learnt: &[Learnt]) -> Vec<f64> {
    let of = |learnt: &Learnt| {
        let [[train_before, before], [train_after, after]] = [learnt.before, learnt.after];
        let overfitting = (after - train_after) - (before - train_before);
        // What does not overfit at all would take all weight.
        let weight = (before - after).max(0.0) / (overfitting * overfitting).max(1e-6);
        if weight.is_finite() { weight } else { 0.0 }
    };
    let weights: Vec<f64> = learnt.iter().map(of).collect();
    let sum: f64 = weights.iter().sum();
    let equal = 1.0 / weights.len() as f64;
    weights
        .iter()
        .map(|weight| if sum > 0.0 { weight / sum } else { equal })
        .collect()
}

impl Balancing for GBlending {
    fn prepare(&mut self, bench: &mut dyn Workbench) -> Result<()> {
        let weights = weights(&bench.learnt()?);
        let n = weights.len();
        // In a buffer, so that it is part of what decides the fit.
        Ok(self
            .weights
            .set(&Tensor::from_vec(weights, n, self.weights.device())?)?)
    }

    fn weigh(&self, seen: &Seen) -> TensorResult<Weighed> {
        let weights: Vec<f64> = self.weights.to_vec1()?;
        let losses = self.heads.cross_entropies(seen)?;
        let weighted = losses
            .iter()
            .zip(&weights)
            .filter_map(|(loss, &weight)| Some(loss.as_ref()? * weight));
        let weighted: Vec<Tensor> = weighted.collect::<TensorResult<_>>()?;
        Ok(Weighed {
            semantic: weights.last().copied().unwrap_or(1.0),
            terms: sum(&weighted)?.map(|sum| ("unimodal", sum)).into_iter().collect(),
            ..Weighed::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_generalises_without_overfitting_weighs_more() {
        let learnt = |before: [f64; 2], after: [f64; 2]| Learnt { before, after };
        // G = 1, O = .5: 4. G = 1.5, O = 1: 1.5. G = .2, O = 2: .05.
        let found = weights(&[
            learnt([2.0, 2.0], [0.5, 1.0]),
            learnt([2.0, 2.0], [-0.5, 0.5]),
            learnt([2.0, 2.0], [-0.2, 1.8]),
        ]);
        let sum = 4.0 + 1.5 + 0.05;
        for (weight, expected) in found.iter().zip([4.0, 1.5, 0.05]) {
            assert!((weight - expected / sum).abs() < 1e-12, "{found:?}");
        }
        let none = [learnt([2.0, 2.0], [1.0, 3.0]), learnt([2.0, 2.0], [1.0, f64::NAN])];
        assert_eq!(weights(&none), [0.5, 0.5]);
    }
}
