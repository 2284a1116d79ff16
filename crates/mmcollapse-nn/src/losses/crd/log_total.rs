//! The sum over all pairs that the loss spends its time in.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Storage, bail};

use crate::{DType, Result, Tensor};

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
    let odds = scores.exp()?.broadcast_div(&normalizer.detach())?;
    (odds + noise)?.log()?.sum_all()
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
        let mut total = 0_f64;
        for score in slice(scores, layout)? {
            total += f64::from((score.exp() * self.factor + self.noise).ln());
        }
        Ok((CpuStorage::F32(vec![total as f32]), Shape::from(())))
    }

    fn bwd(&self, scores: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.to_scalar::<f32>()?;
        let (storage, layout) = scores.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else {
            bail!("crd: expected scores on the CPU");
        };
        let slopes: Vec<f32> = slice(storage, layout)?
            .iter()
            .map(|score| {
                let odds = score.exp() * self.factor;
                grad * odds / (odds + self.noise)
            })
            .collect();
        Tensor::from_vec(slopes, scores.shape(), scores.device()).map(Some)
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("crd: expected contiguous scores"),
    }
}
