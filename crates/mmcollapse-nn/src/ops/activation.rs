//! The rectifier, with PyTorch's gradient at zero, and its smooth form.

use super::elementary::{exp, ln};
use super::fused;
use crate::candle::{CpuStorage, CustomOp1, Layout, Shape};
use crate::{Result, Tensor};

/// `max(x, 0)`; the gradient at 0 is 0 (candle's own has 1 there). NaN stays NaN.
///
/// # Errors
/// Whatever candle reports, such as memory running out on a device.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if fused::applies(&[x]) {
        x.contiguous()?.apply_op1(Relu)
    } else {
        relu_composed(x)
    }
}

/// [`relu`] composed of candle operations.
///
/// # Errors
/// As [`relu`].
pub fn relu_composed(x: &Tensor) -> Result<Tensor> {
    x.le(0f64)?.where_cond(&x.zeros_like()?, x)
}

/// `log(1 + exp(x))`, element by element.
///
/// The form `max(x, 0) + log(1 + exp(-|x|))` neither overflows nor loses its gradient at any `x`. `max(x, 0)` is written
/// `(x + |x|) / 2`: at 0 the two kinks then cancel, and the gradient is `1/2` as it should be.
///
/// # Errors
/// Whatever candle reports, such as memory running out on a device.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    let magnitude = x.abs()?;
    let positive = ((x + &magnitude)? * 0.5)?;
    positive + ln(&(exp(&magnitude.neg()?)? + 1.0)?)?
}

/// `max(value, 0)` that lets NaN through, as the fused operations apply it.
#[inline(always)]
pub(super) fn rectify(value: f32) -> f32 {
    if value <= 0.0 { 0.0 } else { value }
}

/// The gradient that passes a rectifier whose output was `output`.
#[inline(always)]
pub(super) fn pass(gradient: f32, output: f32) -> f32 {
    if output <= 0.0 { 0.0 } else { gradient }
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = fused::slice(x, layout)?.iter().map(|&v| rectify(v)).collect();
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let dx = fused::with(y, |y| {
            fused::with(&gradient, |g| Ok(g.iter().zip(y).map(|(&g, &y)| pass(g, y)).collect()))
        })?;
        Ok(Some(fused::tensor(dx, y)?))
    }
}
