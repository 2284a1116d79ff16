//! Layer normalisation (Ba, Kiros, Hinton 2016; PyTorch's `nn.LayerNorm` over the last dimension).
//!
//! candle's fused layer norm has no gradient, and says so to nobody. Here: one pass forward and one back on the
//! CPU in f32, else composed of operations whose gradients are right.

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Storage, bail};

use crate::{D, DType, Init, Result, Scope, Tensor};

/// Added to the variance (PyTorch's default).
const EPSILON: f64 = 1e-5;

/// Normalises the last dimension to mean 0 and variance 1, then scales and shifts it.
///
/// Parameters `weight` and `bias`, both `[width]`.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    /// Weight one, bias zero.
    ///
    /// # Errors
    /// If `scope` holds a parameter `weight` or `bias` already.
    pub fn new(scope: &Scope, width: usize) -> Result<Self> {
        Ok(Self {
            weight: scope.var("weight", width, Init::Ones)?,
            bias: scope.var("bias", width, Init::Zeros)?,
        })
    }

    /// Weight and bias fixed at one and zero: no parameters.
    ///
    /// # Errors
    /// Whatever the device of `scope` says about making a tensor.
    pub fn without_gain(scope: &Scope, width: usize) -> Result<Self> {
        let (dtype, device) = (scope.dtype(), scope.device());
        Ok(Self {
            weight: Tensor::ones(width, dtype, &device)?,
            bias: Tensor::zeros(width, dtype, &device)?,
        })
    }

    /// `x [.., width]` to the same shape.
    ///
    /// # Errors
    /// If the last dimension of `x` is not `width`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, EPSILON)
    }
}

/// `(x - mean) / sqrt(variance + eps) * weight + bias` over the last dimension, with the biased variance.
/// `x [.., width]`, `weight` and `bias` `[width]`.
///
/// # Errors
/// If the shapes do not fit each other.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let width = x.dim(D::Minus1)?;
    if weight.dims() != [width] || bias.dims() != [width] || width == 0 {
        bail!(
            "layer_norm: x {:?}, weight {:?}, bias {:?}; the last two have to be [{width}], at least 1",
            x.dims(),
            weight.dims(),
            bias.dims()
        );
    }
    let fits = |tensor: &Tensor| tensor.device().is_cpu() && tensor.dtype() == DType::F32;
    if fits(x) && fits(weight) && fits(bias) {
        let op = Fused { width, eps: eps as f32 };
        x.contiguous()?
            .apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
    } else {
        layer_norm_composed(x, weight, bias, eps)
    }
}

/// [`layer_norm`] composed of candle operations.
///
/// # Errors
/// As [`layer_norm`].
pub fn layer_norm_composed(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred
        .broadcast_div(&(variance + eps)?.sqrt()?)?
        .broadcast_mul(weight)?
        .broadcast_add(bias)
}

struct Fused {
    width: usize,
    eps: f32,
}

impl Fused {
    /// Mean and reciprocal standard deviation of a row.
    fn moments(&self, row: &[f32]) -> (f32, f32) {
        let mean = sum(row.iter().copied()) / self.width as f32;
        let variance = sum(row.iter().map(|x| (x - mean) * (x - mean))) / self.width as f32;
        (mean, 1.0 / (variance + self.eps).sqrt())
    }
}

impl CustomOp3 for Fused {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, x_layout)?;
        let (weight, bias) = (slice(weight, weight_layout)?, slice(bias, bias_layout)?);
        let mut y = vec![0_f32; x.len()];
        for (row, out) in x.chunks_exact(self.width).zip(y.chunks_exact_mut(self.width)) {
            let (mean, scale) = self.moments(row);
            for (((y, x), w), b) in out.iter_mut().zip(row).zip(weight).zip(bias) {
                *y = (x - mean) * scale * w + b;
            }
        }
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (x_storage, x_layout) = x.storage_and_layout();
        let (w_storage, w_layout) = weight.storage_and_layout();
        let (g_storage, g_layout) = grad.storage_and_layout();
        let (Storage::Cpu(x_cpu), Storage::Cpu(w_cpu), Storage::Cpu(g_cpu)) = (&*x_storage, &*w_storage, &*g_storage)
        else {
            bail!("layer-norm: expected tensors on the CPU");
        };
        let values = slice(x_cpu, x_layout)?;
        let (weights, grads) = (slice(w_cpu, w_layout)?, slice(g_cpu, g_layout)?);
        let width = self.width;
        let mut dx = vec![0_f32; values.len()];
        let (mut dw, mut db) = (vec![0_f32; width], vec![0_f32; width]);
        let rows = values.chunks_exact(width).zip(grads.chunks_exact(width));
        for ((row, g), out) in rows.zip(dx.chunks_exact_mut(width)) {
            let (mean, scale) = self.moments(row);
            // With n the normalised row and u = g w: dx = scale (u - mean(u) - n mean(u n)).
            for ((((out, x), g), w), (dw, db)) in out
                .iter_mut()
                .zip(row)
                .zip(g)
                .zip(weights)
                .zip(dw.iter_mut().zip(db.iter_mut()))
            {
                *out = g * w;
                *dw += g * (x - mean) * scale;
                *db += g;
            }
            let mean_u = sum(out.iter().copied()) / width as f32;
            let mean_un = sum(out.iter().zip(row).map(|(u, x)| u * (x - mean) * scale)) / width as f32;
            for (out, x) in out.iter_mut().zip(row) {
                *out = scale * (*out - mean_u - (x - mean) * scale * mean_un);
            }
        }
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), device)?),
            Some(Tensor::from_vec(dw, width, device)?),
            Some(Tensor::from_vec(db, width, device)?),
        ))
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("layer-norm: expected a contiguous tensor"),
    }
}

/// Over eight running sums, so that it vectorises; the order is always the same.
fn sum(values: impl Iterator<Item = f32>) -> f32 {
    let mut lanes = [0_f32; 8];
    for (i, value) in values.enumerate() {
        lanes[i % 8] += value;
    }
    lanes.iter().sum()
}
