//! Clipping of gradients by their joint norm.

use candle_core::{Storage, bail};

use crate::{DType, GradStore, Result, Tensor, Var};

/// Scales the gradients of `vars` so that their joint L2 norm is at most `max_norm`, and returns the norm that
/// they had (PyTorch's `clip_grad_norm_`). A norm that is not a number makes the gradients such too: the next
/// loss shows it.
///
/// # Errors
/// Whatever the device says.
pub fn clip_grad_norm(grads: &mut GradStore, vars: &[(String, Var)], max_norm: f64) -> Result<f64> {
    let mut squares = 0.0;
    let mut on_device: Option<Tensor> = None;
    for (_, var) in vars {
        let Some(grad) = grads.get(var) else { continue };
        if grad.device().is_cpu() && grad.dtype() == DType::F32 {
            squares += sum_of_squares(grad)?;
        } else {
            // Added up where they are, so that an accelerator is asked once and not once a parameter.
            let square = grad.detach().sqr()?.sum_all()?.to_dtype(DType::F64)?;
            on_device = Some(match on_device {
                Some(sum) => (sum + square)?,
                None => square,
            });
        }
    }
    if let Some(sum) = on_device {
        squares += sum.to_scalar::<f64>()?;
    }
    let norm = squares.sqrt();
    // PyTorch's formula, small term included.
    let scale = max_norm / (norm + 1e-6);
    if scale >= 1.0 {
        return Ok(norm);
    }
    for (_, var) in vars {
        if let Some(grad) = grads.get(var) {
            let scaled = (grad.detach() * scale)?;
            grads.insert(var, scaled);
        }
    }
    Ok(norm)
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
    // Over eight running sums, so that it vectorises; the order is always the same.
    let (blocks, rest) = values[start..end].as_chunks::<8>();
    let mut sums = [0_f64; 8];
    for block in blocks {
        for (sum, &g) in sums.iter_mut().zip(block) {
            *sum += f64::from(g) * f64::from(g);
        }
    }
    for (sum, &g) in sums.iter_mut().zip(rest) {
        *sum += f64::from(g) * f64::from(g);
    }
    Ok(sums.iter().sum())
}
