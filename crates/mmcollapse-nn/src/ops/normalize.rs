//! The arithmetic of batch normalisation on the CPU, one channel of one image at a time.
//!
//! Sums run within an image in f32 and across images in f64, so the order of every sum is that of the images,
//! whichever thread worked on them.

use super::activation::{pass, rectify};
use super::fused;
use super::vector::{Kernel, Simd, vectorized};
use crate::Result;
use crate::candle::bail;

/// Sizes of a batch `[n, c, plane]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub n: usize,
    pub c: usize,
    pub plane: usize,
}

impl Sizes {
    /// Values of a channel, if there are enough for a variance.
    pub fn values_per_channel(&self) -> Result<usize> {
        match self.n * self.plane {
            count @ 2.. => Ok(count),
            count => bail!(
                "batch norm: {count} values per channel in training, but a variance needs two; use a larger batch"
            ),
        }
    }

    /// Numbers in an image, all channels.
    fn image(&self) -> usize {
        self.c * self.plane
    }

    /// Numbers in a part of the batch, for `fused::map_parts`.
    fn part(&self) -> usize {
        fused::images_per_part(self.n) * self.image()
    }

    /// A pass over the batch costs about as much as this many multiply-adds.
    fn work(&self) -> usize {
        self.n * self.image() * 8
    }
}

/// How a channel is normalised: `y = (x - mean) scale + bias`, rectified where `RELU`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub mean: f32,
    pub scale: f32,
    pub bias: f32,
}

impl Channel {
    #[inline(always)]
    fn apply<const RELU: bool>(self, x: f32) -> f32 {
        let y = (x - self.mean) * self.scale + self.bias;
        if RELU { rectify(y) } else { y }
    }

    /// The gradient before the rectifier, given the one after it.
    #[inline(always)]
    fn pass<const RELU: bool>(self, x: f32, gradient: f32) -> f32 {
        if RELU {
            pass(gradient, self.apply::<false>(x))
        } else {
            gradient
        }
    }
}

/// The channels of a layer, from its statistics and parameters.
pub(super) fn channels(mean: &[f32], inverse_sd: &[f32], weight: &[f32], bias: &[f32]) -> Vec<Channel> {
    let parameters = weight.iter().zip(bias);
    mean.iter()
        .zip(inverse_sd)
        .zip(parameters)
        .map(|((&mean, &inverse_sd), (&weight, &bias))| Channel {
            mean,
            scale: weight * inverse_sd,
            bias,
        })
        .collect()
}

/// Mean and sum of squared deviations of a channel of an image.
///
/// Two passes over numbers that are in the cache: the one-pass formula loses all digits when the mean is large.
#[inline(always)]
pub(super) fn moments(plane: &[f32]) -> (f64, f64) {
    let mean = fused::sum_of(plane, |v| v) / plane.len() as f32;
    let squares = fused::sum_of(plane, |v| (v - mean) * (v - mean));
    (f64::from(mean), f64::from(squares))
}

/// The statistics of a batch.
#[derive(Clone, Debug)]
pub(super) struct Statistics {
    pub mean: Vec<f32>,
    /// `1 / sqrt(biased variance + eps)`.
    pub inverse_sd: Vec<f32>,
    pub unbiased_variance: Vec<f32>,
}

impl Statistics {
    /// From the [`moments`] of each channel of each image, `[n, c]` (Chan et al. 1979).
    pub fn new(moments: &[(f64, f64)], sizes: Sizes, eps: f64) -> Self {
        let (n, plane) = (sizes.n as f64, sizes.plane as f64);
        let (mut mean, mut inverse_sd, mut unbiased_variance) = (vec![], vec![], vec![]);
        for channel in 0..sizes.c {
            let images = || moments.iter().skip(channel).step_by(sizes.c);
            let middle = images().map(|image| image.0).sum::<f64>() / n;
            let squares: f64 = images().map(|image| image.1 + plane * (image.0 - middle).powi(2)).sum();
            mean.push(middle as f32);
            inverse_sd.push((1.0 / (squares / (n * plane) + eps).sqrt()) as f32);
            unbiased_variance.push((squares / (n * plane - 1.0)) as f32);
        }
        Self {
            mean,
            inverse_sd,
            unbiased_variance,
        }
    }
}

/// The [`moments`] of each channel of each image.
pub(super) fn all_moments(x: &[f32], sizes: Sizes) -> Vec<(f64, f64)> {
    struct Part<'a>(&'a [f32], usize);
    impl Kernel for Part<'_> {
        type Output = Vec<(f64, f64)>;

        #[inline(always)]
        fn run<S: Simd>(self, _simd: S) -> Self::Output {
            let mut all = Vec::with_capacity(self.0.len() / self.1);
            for plane in self.0.chunks_exact(self.1) {
                all.push(moments(plane));
            }
            all
        }
    }
    let parts = x.chunks(sizes.part()).collect();
    fused::map_parts(parts, sizes.work(), |_, x| vectorized(Part(x, sizes.plane))).concat()
}

/// Normalises a batch.
pub(super) fn normalize(x: &[f32], sizes: Sizes, channels: &[Channel], relu: bool) -> Vec<f32> {
    struct Part<'a> {
        x: &'a [f32],
        y: &'a mut [f32],
        plane: usize,
        channels: &'a [Channel],
        relu: bool,
    }
    impl Kernel for Part<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, _simd: S) {
            let planes = self.x.chunks_exact(self.plane).zip(self.y.chunks_exact_mut(self.plane));
            for ((x, y), channel) in planes.zip(self.channels.iter().cycle()) {
                if self.relu {
                    for (x, y) in x.iter().zip(y) {
                        *y = channel.apply::<true>(*x);
                    }
                } else {
                    for (x, y) in x.iter().zip(y) {
                        *y = channel.apply::<false>(*x);
                    }
                }
            }
        }
    }
    let mut y = vec![0.0; x.len()];
    let parts = x.chunks(sizes.part()).zip(y.chunks_mut(sizes.part())).collect();
    fused::map_parts(parts, sizes.work(), |_, (x, y)| {
        vectorized(Part {
            x,
            y,
            plane: sizes.plane,
            channels,
            relu,
        });
    });
    y
}

/// The gradient of a normalised channel: that of its parameters, and what that of its input is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChannelGradient {
    channel: Channel,
    /// Of the layer's weight and bias.
    pub weight: f32,
    pub bias: f32,
    /// With `u = (x - mean) / sd`: the mean of the output's gradient `g`, and the mean of `g u` over the deviation.
    shift: f32,
    slope: f32,
}

/// The gradients of the channels, given the gradient `g` of the output.
///
/// Where `own_statistics`, mean and deviation were computed from `x`, so its gradient runs through them too:
/// `dx = weight / sd (g - mean(g) - u mean(g u))`, else `dx = weight / sd g`.
pub(super) fn channel_gradients(
    x: &[f32],
    g: &[f32],
    sizes: Sizes,
    (channels, inverse_sd): (&[Channel], &[f32]),
    relu: bool,
    own_statistics: bool,
) -> Vec<ChannelGradient> {
    struct Part<'a> {
        x: &'a [f32],
        g: &'a [f32],
        plane: usize,
        channels: &'a [Channel],
        relu: bool,
    }
    impl Kernel for Part<'_> {
        /// For each channel of each image, the sums of `g` and of `g (x - mean)`.
        type Output = Vec<(f32, f32)>;

        #[inline(always)]
        fn run<S: Simd>(self, _simd: S) -> Self::Output {
            let mut sums = Vec::with_capacity(self.x.len() / self.plane);
            let planes = self.x.chunks_exact(self.plane).zip(self.g.chunks_exact(self.plane));
            for ((x, g), &channel) in planes.zip(self.channels.iter().cycle()) {
                sums.push(if self.relu {
                    fused::sums_of(x, g, |x, g| {
                        let g = channel.pass::<true>(x, g);
                        (g, g * (x - channel.mean))
                    })
                } else {
                    fused::sums_of(x, g, |x, g| (g, g * (x - channel.mean)))
                });
            }
            sums
        }
    }
    let parts = x.chunks(sizes.part()).zip(g.chunks(sizes.part())).collect();
    let sums = fused::map_parts(parts, sizes.work(), |_, (x, g)| {
        vectorized(Part {
            x,
            g,
            plane: sizes.plane,
            channels,
            relu,
        })
    })
    .concat();

    let share = if own_statistics {
        1.0 / (sizes.n * sizes.plane) as f64
    } else {
        0.0
    };
    let gradient = |(index, (&channel, &inverse_sd)): (usize, (&Channel, &f32))| {
        let images = || sums.iter().skip(index).step_by(sizes.c);
        let plain: f64 = images().map(|sum| f64::from(sum.0)).sum();
        let product: f64 = images().map(|sum| f64::from(sum.1)).sum();
        let inverse_sd = f64::from(inverse_sd);
        ChannelGradient {
            channel,
            weight: (product * inverse_sd) as f32,
            bias: plain as f32,
            shift: (plain * share) as f32,
            slope: (product * share * inverse_sd * inverse_sd) as f32,
        }
    };
    channels.iter().zip(inverse_sd).enumerate().map(gradient).collect()
}

impl ChannelGradient {
    /// The gradient of a channel of an image.
    #[inline(always)]
    pub fn input(&self, x: &[f32], g: &[f32], relu: bool, dx: &mut [f32]) {
        let Self {
            channel, shift, slope, ..
        } = *self;
        let spread = |x: f32, g: f32| (g - shift - (x - channel.mean) * slope) * channel.scale;
        let values = x.iter().zip(g).zip(dx);
        if relu {
            for ((&x, &g), dx) in values {
                *dx = spread(x, channel.pass::<true>(x, g));
            }
        } else {
            for ((&x, &g), dx) in values {
                *dx = spread(x, g);
            }
        }
    }
}

/// The gradient of a batch's input.
pub(super) fn input_gradient(
    x: &[f32],
    g: &[f32],
    sizes: Sizes,
    gradients: &[ChannelGradient],
    relu: bool,
) -> Vec<f32> {
    struct Part<'a> {
        x: &'a [f32],
        g: &'a [f32],
        dx: &'a mut [f32],
        plane: usize,
        gradients: &'a [ChannelGradient],
        relu: bool,
    }
    impl Kernel for Part<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, _simd: S) {
            let planes = self.x.chunks_exact(self.plane).zip(self.g.chunks_exact(self.plane));
            let planes = planes.zip(self.dx.chunks_exact_mut(self.plane));
            for (((x, g), dx), channel) in planes.zip(self.gradients.iter().cycle()) {
                channel.input(x, g, self.relu, dx);
            }
        }
    }
    let mut dx = vec![0.0; x.len()];
    let part = sizes.part();
    let parts = x.chunks(part).zip(g.chunks(part)).zip(dx.chunks_mut(part)).collect();
    fused::map_parts(parts, sizes.work(), |_, ((x, g), dx)| {
        vectorized(Part {
            x,
            g,
            dx,
            plane: sizes.plane,
            gradients,
            relu,
        });
    });
    dx
}
