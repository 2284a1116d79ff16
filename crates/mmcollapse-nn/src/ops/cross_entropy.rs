//! Softmax cross entropy, the mean over a batch of `log sum_j exp(z_j) - z_target`.

use super::fused;
use crate::candle::{CpuStorage, CustomOp1, Layout, Shape, bail};
use crate::{D, Result, Tensor};

/// The mean cross entropy of `logits [n, classes]` against the class of each row, a scalar.
///
/// # Errors
/// If `logits` is not a matrix of `targets.len()` rows, if there is no row, or if a target is not below the
/// number of classes.
pub fn softmax_cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    check(logits, targets)?;
    if fused::applies(&[logits]) {
        let targets = targets.to_vec();
        logits.contiguous()?.apply_op1(CrossEntropy { targets })
    } else {
        composed(logits, targets)
    }
}

/// [`softmax_cross_entropy`] composed of candle operations.
///
/// # Errors
/// As [`softmax_cross_entropy`].
pub fn softmax_cross_entropy_composed(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    check(logits, targets)?;
    composed(logits, targets)
}

fn composed(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let targets = Tensor::new(targets, logits.device())?.unsqueeze(1)?; // [n, 1]
    candle_nn::ops::log_softmax(&logits.contiguous()?, D::Minus1)?
        .gather(&targets, 1)?
        .mean_all()?
        .neg()
}

fn check(logits: &Tensor, targets: &[u32]) -> Result<()> {
    let (n, classes) = logits.dims2()?;
    if n != targets.len() || n == 0 {
        bail!(
            "softmax_cross_entropy: {n} rows of logits for {} targets",
            targets.len()
        );
    }
    if let Some(row) = targets.iter().position(|&t| t as usize >= classes) {
        bail!(
            "softmax_cross_entropy: target {} in row {row}, but the logits have {classes} classes",
            targets[row]
        );
    }
    Ok(())
}

struct CrossEntropy {
    targets: Vec<u32>,
}

/// The largest logit of a row and the sum of `exp(logit - largest)`.
fn normalizer(row: &[f32]) -> (f32, f32) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (largest, row.iter().map(|z| libm::expf(z - largest)).sum())
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "softmax-cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, classes) = layout.shape().dims2()?;
        let rows = fused::slice(logits, layout)?.chunks_exact(classes);
        let total: f64 = rows
            .zip(&self.targets)
            .map(|(row, &target)| {
                let (largest, sum) = normalizer(row);
                f64::from(libm::logf(sum) + (largest - row[target as usize]))
            })
            .sum();
        let mean = (total / n as f64) as f32;
        Ok((CpuStorage::F32(vec![mean]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (n, classes) = logits.dims2()?;
        let scale = gradient.to_scalar::<f32>()? / n as f32;
        let mut d = fused::with(logits, |logits| Ok(logits.to_vec()))?;
        for (row, &target) in d.chunks_exact_mut(classes).zip(&self.targets) {
            let (largest, sum) = normalizer(row);
            for z in row.iter_mut() {
                *z = libm::expf(*z - largest) / sum * scale;
            }
            row[target as usize] -= scale;
        }
        Ok(Some(fused::tensor(d, logits)?))
    }
}
