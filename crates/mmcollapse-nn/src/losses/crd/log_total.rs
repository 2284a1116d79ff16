//! The sum over all pairs that the loss spends its time in.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape};

use crate::{
    DType, Result, Tensor,
    ops::{
        self, Kernel, Simd, fused,
        math::{exp, ln},
        vectorized,
    },
};

/// `sum(log(exp(score) / normalizer + noise))` over all `scores`, a scalar. No gradient flows to `normalizer`.
/// One pass on the CPU in f32, else composed of operations.
pub(super) fn sum_log_total(scores: &Tensor, normalizer: &Tensor, noise: f64) -> Result<Tensor> {
    if scores.device().is_cpu() && scores.dtype() == DType::F32 {
        let op = LogTotal {
            factor: 1.0 / normalizer.to_scalar::<f32>()?,
            noise: noise as f32,
        };
        return scores.contiguous()?.apply_op1(op);
    }
    let odds = ops::exp(scores)?.broadcast_div(&normalizer.detach())?;
    ops::ln(&(odds + noise)?)?.sum_all()
}

struct LogTotal {
    factor: f32,
    noise: f32,
}

impl CustomOp1 for LogTotal {
    fn name(&self) -> &'static str {
        "crd-log-total"
    }

    fn cpu_fwd(&self, scores: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let total = vectorized(Sum {
            of: self,
            scores: fused::slice(scores, layout)?,
        });
        Ok((CpuStorage::F32(vec![total]), Shape::from(())))
    }

    fn bwd(&self, scores: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.to_scalar::<f32>()?;
        let slopes = fused::with(scores, |scores| Ok(vectorized(Slopes { of: self, scores, grad })))?;
        fused::tensor(slopes, scores).map(Some)
    }
}

struct Sum<'a> {
    of: &'a LogTotal,
    scores: &'a [f32],
}

impl Kernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f32 {
        let LogTotal { factor, noise } = *self.of;
        let mut total = 0_f64;
        // Blocks in f32 and their sums in f64: there are some million terms.
        for block in self.scores.chunks(1 << 10) {
            total += f64::from(fused::sum_of(block, |score| ln(exp(score) * factor + noise)));
        }
        total as f32
    }
}

struct Slopes<'a> {
    of: &'a LogTotal,
    scores: &'a [f32],
    grad: f32,
}

impl Kernel for Slopes<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Vec<f32> {
        let LogTotal { factor, noise } = *self.of;
        let mut slopes = vec![0.0; self.scores.len()];
        for (slope, &score) in slopes.iter_mut().zip(self.scores) {
            let odds = exp(score) * factor;
            *slope = self.grad * odds / (odds + noise);
        }
        slopes
    }
}
