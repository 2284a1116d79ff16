//! Convolution, batch normalisation and rectifier as one operation of the graph.
//!
//! Forward takes the statistics of each map while it is in the cache. Backward turns the output's gradient into that
//! of the convolution's result map by map, just before the convolution's own backward needs it, so that the two
//! gradients between the layers are never stored, zeroed and added up by the graph. Between two such operations the
//! maps travel as a [`Link`], for the same reason.

use std::sync::{Arc, OnceLock};

use super::batch_norm;
use super::conv::geometry;
use super::conv_fused::{Gradient, Maps, backward, forward};
use super::fused;
use super::link::{Link, Return, mark};
use super::normalize::{self, Channel, ChannelGradient, Sizes, Statistics};
use super::planes::Geometry;
use crate::candle::{CpuStorage, CustomOp3, Layout, Shape, bail};
use crate::{Device, Result, Tensor};

/// A convolution of stride 1: weight `[o, c, kh, kw]`, bias `[o]`, zeros around the image.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a> {
    /// `[o, c, kh, kw]`.
    pub weight: &'a Tensor,
    /// `[o]`.
    pub bias: &'a Tensor,
    /// Rows and columns of zeros on each side.
    pub padding: usize,
}

/// `relu(batch_norm_train(conv2d(x)))` as one node: `x [n, c, h, w]`, `weight` and `bias` `[o]` of the norm. Returns
/// (`y [n, o, oh, ow]`, mean `[o]`, unbiased variance `[o]`) as `batch_norm_train` does.
///
/// # Errors
/// If the shapes do not fit each other, or a channel has one value only, whose variance is undefined.
pub fn conv2d_batch_norm_relu(
    x: impl Into<Link>,
    conv: Convolution<'_>,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<(Link, Tensor, Tensor)> {
    let x = x.into();
    if !fused::applies(&[x.values(), conv.weight, conv.bias, weight, bias]) {
        let (y, mean, variance) = conv2d_batch_norm_relu_composed(&x.into_tensor()?, conv, weight, bias, eps)?;
        return Ok((Link::from(&y), mean, variance));
    }
    let geometry = geometry(x.values(), conv.weight, Some(conv.bias), conv.padding)?;
    if weight.dims() != [geometry.o] || bias.dims() != [geometry.o] {
        bail!(
            "conv2d_batch_norm_relu: the convolution has {} outputs, the norm's weight is {:?} and bias {:?}",
            geometry.o,
            weight.shape(),
            bias.shape()
        );
    }
    let sizes = Sizes {
        n: geometry.n,
        c: geometry.o,
        plane: geometry.oh * geometry.ow,
    };
    sizes.values_per_channel()?;
    // A custom operation takes three tensors at most, so the three vectors travel as one.
    let vectors = Tensor::cat(&[conv.bias, weight, bias], 0)?;
    let memory = Arc::new(OnceLock::new());
    let back = Return::default();
    let input_gradient = x.argument().track_op(); // asked before `contiguous`, which records an operation of its own
    let x = x.contiguous()?;
    let op = ConvNormRelu {
        x: x.clone(),
        geometry,
        sizes,
        eps,
        input_gradient,
        memory: Arc::clone(&memory),
        back: back.clone(),
    };
    let mark = x.argument().apply_op3(&conv.weight.contiguous()?, &vectors, op)?;
    let Some(Memory { statistics, y, .. }) = memory.get() else {
        bail!("conv2d_batch_norm_relu: no result after forward");
    };
    Ok((
        Link::new(y.clone(), mark, back),
        Tensor::new(&statistics.mean[..], &Device::Cpu)?,
        Tensor::new(&statistics.unbiased_variance[..], &Device::Cpu)?,
    ))
}

/// [`conv2d_batch_norm_relu`] composed of candle operations.
///
/// # Errors
/// As [`conv2d_batch_norm_relu`].
pub fn conv2d_batch_norm_relu_composed(
    x: &Tensor,
    conv: Convolution<'_>,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let y = super::conv2d_composed(x, conv.weight, Some(conv.bias), 1, conv.padding)?;
    batch_norm::batch_norm_train_composed(&y, weight, bias, eps, true)
}

struct ConvNormRelu {
    x: Link,
    geometry: Geometry,
    sizes: Sizes,
    eps: f64,
    input_gradient: bool,
    memory: Arc<OnceLock<Memory>>,
    /// Where backward finds the gradient of the result.
    back: Return,
}

/// What forward leaves for backward.
struct Memory {
    /// The result, which leaves as a [`Link`].
    y: Tensor,
    /// The convolution's result, `[n, o, oh, ow]`.
    convolved: Vec<f32>,
    statistics: Statistics,
    channels: Vec<Channel>,
}

/// Outputs that are copied out, and their moments taken.
struct Measured<'a> {
    maps: &'a mut [f32],
    moments: &'a mut [(f64, f64)],
}

impl Maps for Measured<'_> {
    #[inline(always)]
    fn take(&mut self, geometry: &Geometry, runs: &[f32], images: usize) {
        let (maps, rest) = std::mem::take(&mut self.maps).split_at_mut(images * geometry.output());
        let (moments, moments_rest) = std::mem::take(&mut self.moments).split_at_mut(images * geometry.o);
        (self.maps, self.moments) = (rest, moments_rest);
        geometry.collect_outputs(runs, maps);
        let planes = maps.chunks_exact(geometry.oh * geometry.ow);
        for (plane, moments) in planes.zip(moments) {
            *moments = normalize::moments(plane);
        }
    }
}

/// The gradient of the convolution's result, made from that of the rectified norm where it is needed.
struct ThroughNorm<'a> {
    convolved: &'a [f32],
    g: &'a [f32],
    channels: &'a [ChannelGradient],
}

impl Gradient for ThroughNorm<'_> {
    #[inline(always)]
    fn spread(&self, geometry: &Geometry, first: usize, images: usize, runs: &mut [f32], margin: usize) {
        let size = geometry.oh * geometry.ow;
        let run = geometry.run();
        let mut map = vec![0.0; size];
        for i in 0..images {
            let start = margin + i * geometry.plane;
            for (channel, gradient) in self.channels.iter().enumerate() {
                let place = ((first + i) * geometry.o + channel) * size;
                let range = place..place + size;
                gradient.input(&self.convolved[range.clone()], &self.g[range], true, &mut map);
                geometry.spread_output(&map, &mut runs[channel * run..(channel + 1) * run], start);
            }
        }
    }
}

impl CustomOp3 for ConvNormRelu {
    fn name(&self) -> &'static str {
        "conv2d-batch-norm-relu"
    }

    fn cpu_fwd(
        &self,
        _x: &CpuStorage,
        _x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        vectors: &CpuStorage,
        vectors_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = &self.geometry;
        let vectors = fused::slice(vectors, vectors_layout)?;
        let (b, norm) = vectors.split_at(geometry.o);
        let (weight, bias) = norm.split_at(geometry.o);
        let mut convolved = vec![0.0; geometry.n * geometry.output()];
        let mut moments = vec![(0.0, 0.0); geometry.n * geometry.o];
        let maps = convolved
            .chunks_mut(geometry.part() * geometry.output())
            .zip(moments.chunks_mut(geometry.part() * geometry.o))
            .map(|(maps, moments)| Measured { maps, moments })
            .collect();
        let w = fused::slice(w, w_layout)?;
        fused::with(self.x.values(), |x| {
            forward(geometry, x, w, Some(b), maps);
            Ok(())
        })?;
        let statistics = Statistics::new(&moments, self.sizes, self.eps);
        let channels = normalize::channels(&statistics.mean, &statistics.inverse_sd, weight, bias);
        let y = normalize::normalize(&convolved, self.sizes, &channels, true);
        let shape = (geometry.n, geometry.o, geometry.oh, geometry.ow);
        let _ = self.memory.set(Memory {
            y: Tensor::from_vec(y, shape, &Device::Cpu)?,
            convolved,
            statistics,
            channels,
        });
        Ok(mark())
    }

    fn bwd(
        &self,
        _x: &Tensor,
        w: &Tensor,
        vectors: &Tensor,
        _mark: &Tensor,
        _of_mark: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(Memory {
            convolved,
            statistics,
            channels,
            ..
        }) = self.memory.get()
        else {
            bail!("conv2d_batch_norm_relu: backward before forward");
        };
        let gradients = fused::with(self.x.values(), |x| {
            fused::with(w, |w| {
                fused::with(&self.back.take()?.contiguous()?, |g| {
                    let norm = (&channels[..], &statistics.inverse_sd[..]);
                    let channels = normalize::channel_gradients(convolved, g, self.sizes, norm, true, true);
                    let through = ThroughNorm {
                        convolved,
                        g,
                        channels: &channels,
                    };
                    let mut gradients = backward(&self.geometry, x, w, &through, self.input_gradient);
                    gradients.b.extend(channels.iter().map(|channel| channel.weight));
                    gradients.b.extend(channels.iter().map(|channel| channel.bias));
                    Ok(gradients)
                })
            })
        })?;
        let (dx, dw, db) = gradients.tensors((self.x.values(), w, vectors))?;
        Ok((dx.map(|dx| self.x.give(dx)).transpose()?, dw, db))
    }
}
