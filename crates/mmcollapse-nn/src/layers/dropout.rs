//! Dropout (Srivastava et al. 2014), of single values or of whole channels.

use candle_core::bail;

use crate::random::Stream;
use crate::{Device, Mode, Result, Scope, Tensor};

/// Sets values to 0 with probability `p` in training and scales the others by `1/(1-p)`; the identity in
/// evaluation.
///
/// There is no generator to save: the draws are those of the stream keyed by (seed, this layer's path, step),
/// so a run that was interrupted goes on with the same masks. A layer that is applied twice in a step therefore
/// needs two scopes, or it drops the same places twice.
#[derive(Clone, Debug)]
pub struct Dropout {
    p: f64,
    by_channel: bool,
    purpose: String,
}

impl Dropout {
    /// Drops single values (PyTorch's `Dropout`).
    ///
    /// # Errors
    /// If `p` does not lie in 0..1.
    pub fn new(scope: &Scope, p: f64) -> Result<Self> {
        Self::build(scope, p, false)
    }

    /// Drops whole channels, `x[i, c, ..]` at once (PyTorch's `Dropout2d`).
    ///
    /// # Errors
    /// If `p` does not lie in 0..1.
    pub fn channel(scope: &Scope, p: f64) -> Result<Self> {
        Self::build(scope, p, true)
    }

    fn build(scope: &Scope, p: f64, by_channel: bool) -> Result<Self> {
        if !(0.0..1.0).contains(&p) {
            bail!("dropout `{}`: the probability must lie in 0..1, got {p}", scope.path());
        }
        Ok(Self {
            p,
            by_channel,
            purpose: format!("dropout/{}", scope.path()),
        })
    }

    /// `x` to the same shape; `[batch, channels, ..]` where channels are dropped.
    ///
    /// # Errors
    /// If channels are dropped and `x` has fewer than two dimensions.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let Mode::Train { seed, step } = mode else {
            return Ok(x.clone());
        };
        if self.p == 0.0 {
            return Ok(x.clone());
        }
        let mut shape = x.dims().to_vec();
        if self.by_channel {
            if shape.len() < 2 {
                bail!("channel dropout: expected [batch, channels, ..], got {shape:?}");
            }
            shape[2..].fill(1);
        }
        let keep = 1.0 - self.p;
        let n = shape.iter().product();
        let mask = Stream::at(seed, &self.purpose, step).mask_vec(n, keep, (1.0 / keep) as f32);
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?
            .to_dtype(x.dtype())?
            .to_device(x.device())?;
        x.broadcast_mul(&mask)
    }
}
