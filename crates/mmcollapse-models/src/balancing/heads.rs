//! Linear classifiers on each modality's encodings, for methods that learn from unimodal losses.

use mmcollapse_nn::{Result as TensorResult, Scope, Tensor, layers::Linear};

use super::{BalancingContext, Seen};

/// A linear classifier on each modality's encodings.
pub(super) struct Heads(Vec<Linear>);

impl Heads {
    pub fn new(context: &BalancingContext) -> TensorResult<Self> {
        let scope = |name: &String| -> Scope { context.scope.pp("head").pp(name) };
        let named = context.modalities.iter().zip(context.widths);
        let heads = named.map(|(name, &width)| Linear::new(&scope(name), width, context.classes));
        heads.collect::<TensorResult<_>>().map(Self)
    }

    /// Of each modality the cross-entropy of its classifier, over the samples that have it; none where none has it.
    pub fn cross_entropies(&self, seen: &Seen) -> TensorResult<Vec<Option<Tensor>>> {
        let of = |(m, head): (usize, &Linear)| seen.cross_entropy(m, &head.forward(&seen.encodings.z[m])?);
        self.0.iter().enumerate().map(of).collect()
    }
}
