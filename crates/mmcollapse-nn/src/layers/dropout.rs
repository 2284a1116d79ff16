//! Dropout (Srivastava et al. 2014) of single values.

use candle_core::bail;

use crate::random::Stream;
use crate::{Device, Mode, Result, Scope, Tensor, ops};

/// Sets values to 0 with probability `p` in training and scales the others by `1/(1-p)`; the identity in
/// evaluation.
///
/// There is no generator to save: the draws are those of the stream keyed by (seed, this layer's path, step),
/// so a run that was interrupted goes on with the same masks. A layer that is applied twice in a step therefore
/// needs two scopes, or it drops the same places twice.
#[derive(Clone, Debug)]
pub struct Dropout {
    p: f64,
    purpose: String,
}

impl Dropout {
    /// A layer that drops with probability `p` (PyTorch's `Dropout`).
    ///
    /// # Errors
    /// If `p` does not lie in 0..1.
    pub fn new(scope: &Scope, p: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&p) {
            bail!("dropout `{}`: the probability must lie in 0..1, got {p}", scope.path());
        }
        Ok(Self {
            p,
            purpose: format!("dropout/{}", scope.path()),
        })
    }

    /// `x` to the same shape.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Train { seed, step } = mode else {
            return Ok(x.clone());
        };
        if self.p == 0.0 {
            return Ok(x.clone());
        }
        let keep = 1.0 - self.p;
        let mask = Stream::at(seed, &self.purpose, step).mask_vec(x.elem_count(), keep, (1.0 / keep) as f32);
        let mask = Tensor::from_vec(mask, x.dims(), &Device::Cpu)?
            .to_dtype(x.dtype())?
            .to_device(x.device())?;
        ops::masked(x, &mask)
    }
}
