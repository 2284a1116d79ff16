//! Batch normalisation (Ioffe and Szegedy 2015, algorithm 1), with its rectifier in the same pass.
//!
//! `y = weight (x - mean) / sqrt(variance + eps) + bias` for each channel; training takes mean and (biased)
//! variance over batch, rows and columns, and its gradient runs through both.

use super::fused;
use super::normalize::{self, Channel, Sizes, Statistics};
use crate::candle::{CpuStorage, CustomOp3, Layout, Shape, bail};
use crate::{Result, Tensor};

/// Normalises `x [n, c, h, w]` by its own statistics; `weight`, `bias` are `[c]`. Returns
/// (`y`, mean `[c]`, unbiased variance `[c]`); the statistics carry no gradient.
///
/// # Errors
/// If the shapes do not fit, or a channel has one value only, whose variance is undefined.
pub fn batch_norm_train(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let sizes = sizes(x, weight, bias)?;
    if !fused::applies(&[x, weight, bias]) {
        return batch_norm_train_composed(x, weight, bias, eps, relu);
    }
    sizes.values_per_channel()?;
    let x = x.contiguous()?;
    let moments = fused::with(&x, |x| Ok(normalize::all_moments(x, sizes)))?;
    let statistics = Statistics::new(&moments, sizes, eps);
    let op = BatchNorm {
        sizes,
        relu,
        own_statistics: true,
        mean: statistics.mean.clone(),
        inverse_sd: statistics.inverse_sd,
    };
    let y = x.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)?;
    Ok((
        y,
        Tensor::from_vec(statistics.mean, sizes.c, x.device())?,
        Tensor::from_vec(statistics.unbiased_variance, sizes.c, x.device())?,
    ))
}

/// [`batch_norm_train`] composed of candle operations.
///
/// # Errors
/// As [`batch_norm_train`].
pub fn batch_norm_train_composed(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let sizes = sizes(x, weight, bias)?;
    let count = sizes.values_per_channel()?;
    let channels = (1, sizes.c, 1, 1);
    let mean = x.mean_keepdim((0, 2, 3))?;
    let centred = x.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
    let scale = (weight.reshape(channels)? / (&variance + eps)?.sqrt()?)?;
    let y = centred.broadcast_mul(&scale)?.broadcast_add(&bias.reshape(channels)?)?;
    let y = if relu { super::relu_composed(&y)? } else { y };
    let unbiased = (variance.detach() * (count as f64 / (count - 1) as f64))?;
    Ok((y, mean.detach().flatten_all()?, unbiased.flatten_all()?))
}

/// Normalises `x [n, c, h, w]` by given statistics, `mean` and `variance` `[c]`; gradients flow to `x`,
/// `weight` and `bias`.
///
/// # Errors
/// If the shapes do not fit.
pub fn batch_norm_eval(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<Tensor> {
    let sizes = sizes(x, weight, bias)?;
    if !fused::applies(&[x, weight, bias, mean, variance]) {
        return batch_norm_eval_composed(x, weight, bias, mean, variance, eps, relu);
    }
    let inverse_sd = variance
        .to_vec1::<f32>()?
        .iter()
        .map(|&v| (1.0 / (f64::from(v) + eps).sqrt()) as f32)
        .collect();
    let op = BatchNorm {
        sizes,
        relu,
        own_statistics: false,
        mean: mean.to_vec1()?,
        inverse_sd,
    };
    x.contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// [`batch_norm_eval`] composed of candle operations.
///
/// # Errors
/// As [`batch_norm_eval`].
pub fn batch_norm_eval_composed(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<Tensor> {
    let channels = (1, sizes(x, weight, bias)?.c, 1, 1);
    let scale = (weight / (variance.detach() + eps)?.sqrt()?)?;
    let y = x
        .broadcast_sub(&mean.detach().reshape(channels)?)?
        .broadcast_mul(&scale.reshape(channels)?)?
        .broadcast_add(&bias.reshape(channels)?)?;
    if relu { super::relu_composed(&y) } else { Ok(y) }
}

/// The sizes of a batch, if the parameters fit it.
pub(super) fn sizes(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Sizes> {
    let (n, c, h, w) = x.dims4()?;
    if weight.dims() != [c] || bias.dims() != [c] || [c, h, w].contains(&0) {
        bail!(
            "batch norm: x {:?} has {c} channels of {h} x {w}, weight is {:?} and bias {:?}",
            x.shape(),
            weight.shape(),
            bias.shape()
        );
    }
    Ok(Sizes { n, c, plane: h * w })
}

struct BatchNorm {
    sizes: Sizes,
    relu: bool,
    /// Whether mean and deviation were computed from `x`, so that its gradient runs through them too.
    own_statistics: bool,
    mean: Vec<f32>,
    inverse_sd: Vec<f32>,
}

impl BatchNorm {
    fn channels(&self, weight: &[f32], bias: &[f32]) -> Vec<Channel> {
        normalize::channels(&self.mean, &self.inverse_sd, weight, bias)
    }
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
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
        let weight = fused::slice(weight, weight_layout)?;
        let channels = self.channels(weight, fused::slice(bias, bias_layout)?);
        let x = fused::slice(x, x_layout)?;
        let y = normalize::normalize(x, self.sizes, &channels, self.relu);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (sizes, relu) = (self.sizes, self.relu);
        let channels = fused::with(weight, |weight| {
            fused::with(bias, |bias| Ok(self.channels(weight, bias)))
        })?;
        let (dx, gradients) = fused::with(x, |x| {
            fused::with(&gradient.contiguous()?, |g| {
                let channels = (&channels[..], &self.inverse_sd[..]);
                let gradients = normalize::channel_gradients(x, g, sizes, channels, relu, self.own_statistics);
                Ok((normalize::input_gradient(x, g, sizes, &gradients, relu), gradients))
            })
        })?;
        let dweight = gradients.iter().map(|channel| channel.weight).collect();
        let dbias = gradients.iter().map(|channel| channel.bias).collect();
        Ok((
            Some(fused::tensor(dx, x)?),
            Some(fused::tensor(dweight, weight)?),
            Some(fused::tensor(dbias, bias)?),
        ))
    }
}
