//! Gradient reversal (Ganin and Lempitsky 2015, section 3.1): what adversarial feature alignment needs.

use super::fused;
use crate::candle::{CpuStorage, CustomOp1, Layout, Shape};
use crate::{Result, Tensor};

/// The identity, whose gradient is multiplied by `-lambda`.
///
/// # Errors
/// Whatever candle reports, such as memory running out on a device.
pub fn gradient_reversal(x: &Tensor, lambda: f64) -> Result<Tensor> {
    if fused::applies(&[x]) {
        x.contiguous()?.apply_op1(Reversal { lambda })
    } else {
        gradient_reversal_composed(x, lambda)
    }
}

/// [`gradient_reversal`] composed of candle operations: `(1 + lambda) x - lambda x` with the first term cut
/// from the graph. Equals `x` up to rounding.
///
/// # Errors
/// As [`gradient_reversal`].
pub fn gradient_reversal_composed(x: &Tensor, lambda: f64) -> Result<Tensor> {
    (x.detach() * (1.0 + lambda))? - (x * lambda)?
}

struct Reversal {
    lambda: f64,
}

impl CustomOp1 for Reversal {
    fn name(&self) -> &'static str {
        "gradient-reversal"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = fused::slice(x, layout)?.to_vec();
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(gradient.affine(-self.lambda, 0.0)?))
    }
}
