//! Batch normalisation (Ioffe and Szegedy 2015, algorithm 1), with its rectifier in the same pass.
//!
//! `y = weight (x - mean) / sqrt(variance + eps) + bias` for each channel; training takes mean and (biased)
//! variance over batch, rows and columns, and its gradient runs through both.

use super::activation::{pass, rectify};
use super::fused;
use super::gemm::{Kernel, Simd, vectorized};
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
    let sizes = Sizes::new(x, weight, bias)?;
    if !fused::applies(&[x, weight, bias]) {
        return batch_norm_train_composed(x, weight, bias, eps, relu);
    }
    let count = sizes.values_per_channel()?;
    let x = x.contiguous()?;
    let moments = fused::with(&x, |x| Ok(vectorized(Moments { x, sizes })))?;
    let scale = count as f32 / (count - 1) as f32;
    let mean: Vec<f32> = moments.iter().map(|m| m.0 as f32).collect();
    let unbiased: Vec<f32> = moments.iter().map(|m| m.1 as f32 * scale).collect();
    let inverse_sd = moments.iter().map(|m| (1.0 / (m.1 + eps).sqrt()) as f32).collect();
    let op = BatchNorm {
        sizes,
        relu,
        own_statistics: true,
        mean: mean.clone(),
        inverse_sd,
    };
    let y = x.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)?;
    let device = x.device();
    Ok((
        y,
        Tensor::from_vec(mean, sizes.c, device)?,
        Tensor::from_vec(unbiased, sizes.c, device)?,
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
    let sizes = Sizes::new(x, weight, bias)?;
    let count = sizes.values_per_channel()?;
    let channels = (1, sizes.c, 1, 1);
    let mean = x.mean_keepdim((0, 2, 3))?;
    let centred = x.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim((0, 2, 3))?;
    let scale = (weight.reshape(channels)? / (&variance + eps)?.sqrt()?)?;
    let y = centred
        .broadcast_mul(&scale)?
        .broadcast_add(&bias.reshape(channels)?)?;
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
    let sizes = Sizes::new(x, weight, bias)?;
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
    let channels = (1, Sizes::new(x, weight, bias)?.c, 1, 1);
    let scale = (weight / (variance.detach() + eps)?.sqrt()?)?;
    let y = x
        .broadcast_sub(&mean.detach().reshape(channels)?)?
        .broadcast_mul(&scale.reshape(channels)?)?
        .broadcast_add(&bias.reshape(channels)?)?;
    if relu { super::relu_composed(&y) } else { Ok(y) }
}

/// The shape `[n, c, h w]`.
#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    c: usize,
    plane: usize,
}

impl Sizes {
    fn new(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Self> {
        let (n, c, h, w) = x.dims4()?;
        if weight.dims() != [c] || bias.dims() != [c] {
            bail!(
                "batch norm: x {:?} has {c} channels, weight is {:?} and bias {:?}",
                x.shape(),
                weight.shape(),
                bias.shape()
            );
        }
        Ok(Self { n, c, plane: h * w })
    }

    fn values_per_channel(&self) -> Result<usize> {
        match self.n * self.plane {
            count @ 2.. => Ok(count),
            count => bail!(
                "batch norm: {count} values per channel in training, but a variance needs two; \
                 use a larger batch"
            ),
        }
    }

    /// Where channel `channel` of image `image` lies.
    #[inline(always)]
    fn range(&self, image: usize, channel: usize) -> std::ops::Range<usize> {
        let start = (image * self.c + channel) * self.plane;
        start..start + self.plane
    }
}

/// Mean and biased variance of each channel.
struct Moments<'a> {
    x: &'a [f32],
    sizes: Sizes,
}

impl Kernel for Moments<'_> {
    type Output = Vec<(f64, f64)>;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Self::Output {
        let Self { x, sizes } = self;
        let count = (sizes.n * sizes.plane) as f64;
        let mut moments = vec![(0.0, 0.0); sizes.c];
        // Two passes, the second about the mean: the one-pass formula loses all digits when the mean is large.
        for image in 0..sizes.n {
            for (channel, moment) in moments.iter_mut().enumerate() {
                moment.0 += f64::from(fused::sum(&x[sizes.range(image, channel)]));
            }
        }
        for moment in &mut moments {
            moment.0 /= count;
        }
        for image in 0..sizes.n {
            for (channel, moment) in moments.iter_mut().enumerate() {
                let mean = moment.0 as f32;
                let squares = fused::sum_of(&x[sizes.range(image, channel)], |v| (v - mean) * (v - mean));
                moment.1 += f64::from(squares);
            }
        }
        for moment in &mut moments {
            moment.1 /= count;
        }
        moments
    }
}

struct BatchNorm {
    sizes: Sizes,
    relu: bool,
    /// Whether mean and deviation were computed from `x`, so that its gradient runs through them too.
    own_statistics: bool,
    mean: Vec<f32>,
    inverse_sd: Vec<f32>,
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
        let y = vectorized(Normalize {
            op: self,
            x: fused::slice(x, x_layout)?,
            weight: fused::slice(weight, weight_layout)?,
            bias: fused::slice(bias, bias_layout)?,
        });
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (dx, dweight, dbias) = fused::with(x, |x| {
            fused::with(y, |y| {
                fused::with(weight, |weight| {
                    fused::with(&gradient, |g| {
                        Ok(vectorized(NormalizeBackward { op: self, x, y, weight, g }))
                    })
                })
            })
        })?;
        Ok((
            Some(fused::tensor(dx, x)?),
            Some(fused::tensor(dweight, weight)?),
            Some(fused::tensor(dbias, bias)?),
        ))
    }
}

struct Normalize<'a> {
    op: &'a BatchNorm,
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
}

impl Kernel for Normalize<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Vec<f32> {
        let Self { op, x, weight, bias } = self;
        let mut y = Vec::with_capacity(x.len());
        for image in 0..op.sizes.n {
            for channel in 0..op.sizes.c {
                let scale = weight[channel] * op.inverse_sd[channel];
                let (mean, bias) = (op.mean[channel], bias[channel]);
                let values = x[op.sizes.range(image, channel)].iter();
                if op.relu {
                    y.extend(values.map(|v| rectify((v - mean) * scale + bias)));
                } else {
                    y.extend(values.map(|v| (v - mean) * scale + bias));
                }
            }
        }
        y
    }
}

struct NormalizeBackward<'a> {
    op: &'a BatchNorm,
    x: &'a [f32],
    y: &'a [f32],
    weight: &'a [f32],
    g: &'a [f32],
}

impl Kernel for NormalizeBackward<'_> {
    type Output = (Vec<f32>, Vec<f32>, Vec<f32>);

    /// With `u = (x - mean) / sd` over `count` values:
    /// `dx = weight / sd (g - sum g / count - u sum(g u) / count)`; only the first term where the statistics
    /// were given.
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> Self::Output {
        let Self { op, x, y, weight, g } = self;
        let sizes = op.sizes;
        let mut sums = vec![(0f64, 0f64); sizes.c]; // (sum g, sum g (x - mean))
        for image in 0..sizes.n {
            for (channel, sum) in sums.iter_mut().enumerate() {
                let range = sizes.range(image, channel);
                let mean = op.mean[channel];
                let (x, y, g) = (&x[range.clone()], &y[range.clone()], &g[range]);
                let (plain, product) = fused::sums_of(x, y, g, |x, y, g| {
                    let g = if op.relu { pass(g, y) } else { g };
                    (g, g * (x - mean))
                });
                sum.0 += f64::from(plain);
                sum.1 += f64::from(product);
            }
        }
        let per_value = if op.own_statistics {
            1.0 / (sizes.n * sizes.plane) as f64
        } else {
            0.0
        };
        let mut dx = Vec::with_capacity(x.len());
        for image in 0..sizes.n {
            for (channel, sum) in sums.iter().enumerate() {
                let range = sizes.range(image, channel);
                let (mean, inverse_sd) = (op.mean[channel], op.inverse_sd[channel]);
                let scale = weight[channel] * inverse_sd;
                let shift = (sum.0 * per_value) as f32;
                let slope = (sum.1 * per_value) as f32 * inverse_sd * inverse_sd;
                let values = x[range.clone()].iter().zip(&y[range.clone()]).zip(&g[range]);
                if op.relu {
                    dx.extend(values.map(|((x, &y), &g)| {
                        (pass(g, y) - shift - (x - mean) * slope) * scale
                    }));
                } else {
                    dx.extend(values.map(|((x, _), &g)| (g - shift - (x - mean) * slope) * scale));
                }
            }
        }
        let dweight = sums
            .iter()
            .zip(&op.inverse_sd)
            .map(|(sum, inverse_sd)| sum.1 as f32 * inverse_sd)
            .collect();
        (dx, dweight, sums.iter().map(|sum| sum.0 as f32).collect())
    }
}
