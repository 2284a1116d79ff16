//! Clipping of gradients by their joint norm.

use candle_core::{Storage, bail};

use crate::ops::{Kernel, Simd, map_parts, vectorized};
use crate::{DType, GradStore, Result, Tensor, Var};

/// Multiply-adds in whose time a number is squared and added.
const COST: usize = 8;

/// How far gradients are to be clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "gradients are clipped by the step that is given the factor"]
pub struct Clip {
    /// Joint L2 norm of the gradients as they are.
    pub norm: f64,
    /// What to scale them by, at most 1, for [`Optimizer::step_scaled`](super::Optimizer::step_scaled): there it costs
    /// no pass over the gradients of its own.
    pub factor: f64,
}

/// What the gradients of `vars` have to be scaled by so that their joint L2 norm is at most `max_norm` (PyTorch's
/// `clip_grad_norm_`). A norm that is not a number makes the factor such too: the next loss shows it.
///
/// # Errors
/// Whatever the device says.
pub fn clip_factor(grads: &GradStore, vars: &[(String, Var)], max_norm: f64) -> Result<Clip> {
    let mut on_cpu: Vec<&Tensor> = vec![];
    let mut on_device: Option<Tensor> = None;
    for (_, var) in vars {
        let Some(grad) = grads.get(var) else { continue };
        if grad.device().is_cpu() && grad.dtype() == DType::F32 {
            on_cpu.push(grad);
        } else {
            // Added up where they are, so that an accelerator is asked once and not once a parameter.
            let square = grad.detach().sqr()?.sum_all()?.to_dtype(DType::F64)?;
            on_device = Some(match on_device {
                Some(sum) => (sum + square)?,
                None => square,
            });
        }
    }
    let work = on_cpu.iter().map(|grad| COST * grad.elem_count()).sum();
    let parts = map_parts(on_cpu, work, |_, grad| sum_of_squares(grad));
    let mut squares: f64 = parts.into_iter().sum::<Result<f64>>()?;
    if let Some(sum) = on_device {
        squares += sum.to_scalar::<f64>()?;
    }
    let norm = squares.sqrt();
    // PyTorch's formula, small term included.
    let scale = max_norm / (norm + 1e-6);
    let factor = if scale >= 1.0 { 1.0 } else { scale };
    Ok(Clip { norm, factor })
}

/// In f64 and without a temporary tensor.
fn sum_of_squares(grad: &Tensor) -> Result<f64> {
    let grad = grad.contiguous()?;
    let (storage, layout) = grad.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        bail!("expected a gradient on the CPU");
    };
    let values = storage.as_slice::<f32>()?;
    let (start, end) = layout.contiguous_offsets().unwrap_or((0, 0));
    Ok(vectorized(Squares(&values[start..end])))
}

/// The sum of the squares of some numbers.
struct Squares<'a>(&'a [f32]);

impl Kernel for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> f64 {
        // Over 32 running sums, so that it vectorises and no addition waits for another; the order is always the same.
        let (blocks, rest) = self.0.as_chunks::<32>();
        let mut sums = [0_f64; 32];
        for block in blocks {
            for i in 0..32 {
                sums[i] += f64::from(block[i]) * f64::from(block[i]);
            }
        }
        for (sum, &g) in sums.iter_mut().zip(rest) {
            *sum += f64::from(g) * f64::from(g);
        }
        sums.iter().sum()
    }
}
