//! An adversary that tells what is made up from what is real, and whose gradient is reversed towards the maker.

use mmcollapse_nn::{
    Result as TensorResult, Scope, Tensor,
    layers::Linear,
    ops::{gradient_reversal, softmax_cross_entropy},
};

/// Variables `hidden`, `verdict` below a scope.
pub(super) struct Critic {
    hidden: Linear,
    verdict: Linear,
}

impl Critic {
    /// `width` to `hidden` to the two verdicts.
    pub fn new(scope: &Scope, width: usize, hidden: usize) -> TensorResult<Self> {
        Ok(Self {
            hidden: Linear::new(&scope.pp("hidden"), width, hidden)?,
            verdict: Linear::new(&scope.pp("verdict"), hidden, 2)?,
        })
    }

    /// Mean cross-entropy of the verdicts on what is made up (class 0) and what is real (class 1), each `[rows, width]`. The
    /// critic descends it, the maker ascends it with weight `adversarial`; what is real is not moved.
    pub fn loss(&self, made_up: &Tensor, real: &Tensor, adversarial: f64) -> TensorResult<Tensor> {
        let rows = real.dim(0)?;
        let both = Tensor::cat(&[&gradient_reversal(made_up, adversarial)?, &real.detach()], 0)?;
        let verdicts = self.verdict.forward(&self.hidden.forward_relu(&both)?)?;
        softmax_cross_entropy(&verdicts, &[vec![0; rows], vec![1; rows]].concat())
    }
}
