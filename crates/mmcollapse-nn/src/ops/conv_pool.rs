//! Convolution, rectifier and 2 x 2 max pooling as one operation: the convolved map, four times the size of
//! what is kept, never leaves the cache.

use std::sync::OnceLock;

use super::activation::rectify;
use super::conv_fused::{Gradient, Maps, backward, forward};
use super::fused;
use super::planes::Geometry;
use crate::candle::{CpuStorage, CustomOp3, Layout, Shape, bail};
use crate::{Result, Tensor};

/// In place of an argmax: the rectifier was off, no gradient passes.
const OFF: u32 = 4;

/// `conv2d_relu_pool2`.
pub(super) struct ConvReluPool2 {
    geometry: Geometry,
    input_gradient: bool,
    /// For each output, which value of its window it was (0 to 3 in reading order), or [`OFF`].
    argmax: OnceLock<Vec<u8>>,
}

impl ConvReluPool2 {
    pub fn new(geometry: Geometry, input_gradient: bool) -> Self {
        Self {
            geometry,
            input_gradient,
            argmax: OnceLock::new(),
        }
    }
}

/// Rows and columns of the pooled map.
#[inline(always)]
fn pooled(geometry: &Geometry) -> (usize, usize) {
    (geometry.oh / 2, geometry.ow / 2)
}

/// Outputs that are rectified and pooled on their way out.
struct Pooled<'a> {
    y: &'a mut [f32],
    argmax: &'a mut [u8],
}

impl Maps for Pooled<'_> {
    #[inline(always)]
    fn take(&mut self, geometry: &Geometry, runs: &[f32], images: usize) {
        let (ph, pw) = pooled(geometry);
        let count = images * geometry.o * ph * pw;
        let (y, y_rest) = std::mem::take(&mut self.y).split_at_mut(count);
        let (argmax, argmax_rest) = std::mem::take(&mut self.argmax).split_at_mut(count);
        (self.y, self.argmax) = (y_rest, argmax_rest);
        let run = geometry.run();
        for (row, (y, argmax)) in y.chunks_exact_mut(pw).zip(argmax.chunks_exact_mut(pw)).enumerate() {
            let (map, py) = (row / ph, row % ph);
            let (image, channel) = (map / geometry.o, map % geometry.o);
            let start = channel * run + image * geometry.plane + 2 * py * geometry.pitch;
            let upper = runs[start..start + 2 * pw].as_chunks::<2>().0;
            let lower = runs[start + geometry.pitch..][..2 * pw].as_chunks::<2>().0;
            for ((upper, lower), (y, argmax)) in upper.iter().zip(lower).zip(y.iter_mut().zip(argmax)) {
                // Selections instead of branches, so that it vectorises; of equals the first wins.
                let (right, low_right) = (upper[1] > upper[0], lower[1] > lower[0]);
                let first = if right { upper[1] } else { upper[0] };
                let second = if low_right { lower[1] } else { lower[0] };
                let low = second > first;
                let value = if low { second } else { first };
                let from = if low {
                    2 + u32::from(low_right)
                } else {
                    u32::from(right)
                };
                *y = rectify(value);
                *argmax = (if value <= 0.0 { OFF } else { from }) as u8;
            }
        }
    }
}

/// The gradient of pooled outputs, `[n, o, oh / 2, ow / 2]`.
struct Unpooled<'a> {
    g: &'a [f32],
    argmax: &'a [u8],
}

impl Gradient for Unpooled<'_> {
    #[inline(always)]
    fn spread(&self, geometry: &Geometry, first: usize, images: usize, runs: &mut [f32], margin: usize) {
        let (ph, pw) = pooled(geometry);
        let range = first * geometry.o * ph * pw..(first + images) * geometry.o * ph * pw;
        let g = self.g[range.clone()].chunks_exact(pw);
        let argmax = self.argmax[range].chunks_exact(pw);
        let run = geometry.run();
        for (row, (g, argmax)) in g.zip(argmax).enumerate() {
            let (map, py) = (row / ph, row % ph);
            let (image, channel) = (map / geometry.o, map % geometry.o);
            let start = channel * run + margin + image * geometry.plane + 2 * py * geometry.pitch;
            let (upper, lower) = runs[start..start + geometry.pitch + 2 * pw].split_at_mut(geometry.pitch);
            let upper = upper[..2 * pw].as_chunks_mut::<2>().0;
            let lower = lower.as_chunks_mut::<2>().0;
            for ((upper, lower), (&g, &from)) in upper.iter_mut().zip(lower).zip(g.iter().zip(argmax)) {
                // A mask instead of a branch, so that it vectorises.
                let only = |position: u32| {
                    let mask = u32::from(u32::from(from) == position).wrapping_neg();
                    f32::from_bits(g.to_bits() & mask)
                };
                *upper = [only(0), only(1)];
                *lower = [only(2), only(3)];
            }
        }
    }
}

impl CustomOp3 for ConvReluPool2 {
    fn name(&self) -> &'static str {
        "conv2d-relu-pool2"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = &self.geometry;
        let x = fused::slice(x, x_layout)?;
        let w = fused::slice(w, w_layout)?;
        let b = fused::slice(b, b_layout)?;
        let (ph, pw) = pooled(geometry);
        let shape = Shape::from((geometry.n, geometry.o, ph, pw));
        let mut y = vec![0.0; shape.elem_count()];
        let mut argmax = vec![0; y.len()];
        let part = geometry.part() * geometry.o * ph * pw;
        let maps = y
            .chunks_mut(part)
            .zip(argmax.chunks_mut(part))
            .map(|(y, argmax)| Pooled { y, argmax })
            .collect();
        forward(geometry, x, w, (!b.is_empty()).then_some(b), maps);
        let _ = self.argmax.set(argmax);
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(argmax) = self.argmax.get() else {
            bail!("conv2d_relu_pool2: backward before forward");
        };
        let gradients = fused::with(x, |x| {
            fused::with(w, |w| {
                fused::with(&gradient.contiguous()?, |g| {
                    let unpooled = Unpooled { g, argmax };
                    Ok(backward(&self.geometry, x, w, &unpooled, self.input_gradient))
                })
            })
        })?;
        gradients.tensors((x, w, b))
    }
}
