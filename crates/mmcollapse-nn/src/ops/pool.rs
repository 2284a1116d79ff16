//! Max and average pooling with right gradients, for any window and stride.
//!
//! candle's own send the maximum's gradient to every tie and scale it, refuse windows that are not the stride
//! wide, and err on odd sizes. Ties are the rule rather than the exception: the background of an image is
//! constant, and so is a rectified map where it is off. Here, as in PyTorch, the first maximum in reading order
//! gets the gradient.

use std::sync::OnceLock;

use super::fused;
use super::link::Link;
use crate::candle::{CpuStorage, CustomOp1, Layout, Shape, bail};
use crate::{Result, Tensor};

/// The largest value of each `k x k` window, moved by `stride`: `x [n, c, h, w]` to `[n, c, oh, ow]` with
/// `oh = (h - k) / stride + 1`. The gradient goes to the first maximum of a window.
///
/// # Errors
/// If `x` is not `[n, c, h, w]`, or is smaller than the window, or `k` or `stride` is zero.
pub fn max_pool2d(x: impl Into<Link>, k: usize, stride: usize) -> Result<Tensor> {
    let x = x.into();
    let windows = Windows::new(x.values(), k, stride)?;
    if fused::applies(&[x.values()]) {
        let (x, argmax) = (x.contiguous()?, OnceLock::new());
        x.argument().clone().apply_op1(MaxPool { x, windows, argmax })
    } else {
        windows.max_composed(&x.into_tensor()?)
    }
}

/// [`max_pool2d`] composed of candle operations.
///
/// # Errors
/// As [`max_pool2d`].
pub fn max_pool2d_composed(x: &Tensor, k: usize, stride: usize) -> Result<Tensor> {
    Windows::new(x, k, stride)?.max_composed(x)
}

/// The mean of each `k x k` window, moved by `stride`: `x [n, c, h, w]` to `[n, c, oh, ow]` with
/// `oh = (h - k) / stride + 1`.
///
/// # Errors
/// As [`max_pool2d`].
pub fn avg_pool2d(x: impl Into<Link>, k: usize, stride: usize) -> Result<Tensor> {
    let x = x.into();
    let windows = Windows::new(x.values(), k, stride)?;
    if fused::applies(&[x.values()]) {
        let x = x.contiguous()?;
        x.argument().clone().apply_op1(AvgPool { x, windows })
    } else {
        windows.mean_composed(&x.into_tensor()?)
    }
}

/// [`avg_pool2d`] composed of candle operations.
///
/// # Errors
/// As [`avg_pool2d`].
pub fn avg_pool2d_composed(x: &Tensor, k: usize, stride: usize) -> Result<Tensor> {
    Windows::new(x, k, stride)?.mean_composed(x)
}

/// Where the windows of a pooling lie.
#[derive(Clone, Copy)]
struct Windows {
    /// Images and channels, pooled each on its own.
    n: usize,
    c: usize,
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    k: usize,
    stride: usize,
}

impl Windows {
    fn new(x: &Tensor, k: usize, stride: usize) -> Result<Self> {
        let (n, c, h, w) = x.dims4()?;
        if k == 0 || stride == 0 || h < k || w < k {
            bail!(
                "pooling: x {:?} with a window of {k} x {k} and stride {stride}",
                x.shape()
            );
        }
        let (oh, ow) = ((h - k) / stride + 1, (w - k) / stride + 1);
        Ok(Self {
            n,
            c,
            h,
            w,
            oh,
            ow,
            k,
            stride,
        })
    }

    fn output_shape(&self) -> Shape {
        Shape::from((self.n, self.c, self.oh, self.ow))
    }

    /// All windows side by side: `[n, c, oh, ow, k k]`.
    fn gathered(&self, x: &Tensor) -> Result<Tensor> {
        let positions = |offset: usize, count: usize| {
            let list: Vec<u32> = (0..count).map(|i| (i * self.stride + offset) as u32).collect();
            Tensor::new(list, x.device())
        };
        let mut taps = Vec::with_capacity(self.k * self.k);
        for ky in 0..self.k {
            let rows = x.index_select(&positions(ky, self.oh)?, 2)?;
            for kx in 0..self.k {
                taps.push(rows.index_select(&positions(kx, self.ow)?, 3)?);
            }
        }
        Tensor::stack(&taps, 4)
    }

    fn max_composed(&self, x: &Tensor) -> Result<Tensor> {
        let gathered = self.gathered(x)?;
        let first = gathered.detach().argmax_keepdim(4)?;
        gathered.gather(&first, 4)?.squeeze(4)
    }

    fn mean_composed(&self, x: &Tensor) -> Result<Tensor> {
        self.gathered(x)?.mean(4)
    }

    /// Calls `f(output position, input position of the window's first value)` over all channels of all images.
    #[inline(always)]
    fn each(&self, mut f: impl FnMut(usize, usize)) {
        for plane in 0..self.n * self.c {
            for oy in 0..self.oh {
                let output = (plane * self.oh + oy) * self.ow;
                let input = (plane * self.h + oy * self.stride) * self.w;
                for ox in 0..self.ow {
                    f(output + ox, input + ox * self.stride);
                }
            }
        }
    }
}

struct MaxPool {
    x: Link,
    windows: Windows,
    /// For each output, the position in `x` it came from.
    argmax: OnceLock<Vec<u32>>,
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool2d"
    }

    fn cpu_fwd(&self, _x: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let windows = &self.windows;
        let outputs = windows.output_shape();
        let mut y = vec![0.0; outputs.elem_count()];
        let mut argmax = vec![0; y.len()];
        fused::with(self.x.values(), |x| {
            windows.each(|output, start| {
                let (mut best, mut from) = (x[start], start);
                for ky in 0..windows.k {
                    let row = start + ky * windows.w;
                    for (i, &value) in x[row..row + windows.k].iter().enumerate() {
                        if value > best {
                            (best, from) = (value, row + i);
                        }
                    }
                }
                (y[output], argmax[output]) = (best, from as u32);
            });
            Ok(())
        })?;
        let _ = self.argmax.set(argmax);
        Ok((CpuStorage::F32(y), outputs))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let Some(argmax) = self.argmax.get() else {
            bail!("max_pool2d: backward before forward");
        };
        let x = self.x.values();
        let mut dx = vec![0.0; x.elem_count()];
        fused::with(&gradient.contiguous()?, |g| {
            for (&from, g) in argmax.iter().zip(g) {
                dx[from as usize] += g;
            }
            Ok(())
        })?;
        self.x.give(fused::tensor(dx, x)?).map(Some)
    }
}

struct AvgPool {
    x: Link,
    windows: Windows,
}

impl CustomOp1 for AvgPool {
    fn name(&self) -> &'static str {
        "avg-pool2d"
    }

    fn cpu_fwd(&self, _x: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let windows = &self.windows;
        let outputs = windows.output_shape();
        let mut y = vec![0.0; outputs.elem_count()];
        let area = (windows.k * windows.k) as f32;
        fused::with(self.x.values(), |x| {
            windows.each(|output, start| {
                let mut sum = 0.0;
                for ky in 0..windows.k {
                    let row = start + ky * windows.w;
                    sum += x[row..row + windows.k].iter().sum::<f32>();
                }
                y[output] = sum / area;
            });
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), outputs))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let windows = &self.windows;
        let x = self.x.values();
        let mut dx = vec![0.0; x.elem_count()];
        let area = (windows.k * windows.k) as f32;
        fused::with(&gradient.contiguous()?, |g| {
            windows.each(|output, start| {
                let share = g[output] / area;
                for ky in 0..windows.k {
                    let row = start + ky * windows.w;
                    for value in &mut dx[row..row + windows.k] {
                        *value += share;
                    }
                }
            });
            Ok(())
        })?;
        self.x.give(fused::tensor(dx, x)?).map(Some)
    }
}
