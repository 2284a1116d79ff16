//! Convolution in two dimensions, with bias, rectifier and pooling in the same pass where a model has them.
//!
//! As in PyTorch and in the papers, "convolution" is cross-correlation: the kernel is not flipped.

use super::conv_fused::Conv;
use super::conv_grafted;
use super::conv_pool::ConvReluPool2;
use super::fused;
use super::planes::Geometry;
use crate::candle::bail;
use crate::{Result, Tensor};

/// `x [n, c, h, w]` with `w [o, c, kh, kw]` and `b [o]` to `[n, o, oh, ow]`,
/// `oh = (h + 2 padding - kh) / stride + 1`.
///
/// Fused on the CPU for stride 1, which is what the models here use.
///
/// # Errors
/// If the shapes do not fit each other, or `stride` is zero.
pub fn conv2d(x: &Tensor, w: &Tensor, b: Option<&Tensor>, stride: usize, padding: usize) -> Result<Tensor> {
    let tensors: Vec<&Tensor> = [x, w].into_iter().chain(b).collect();
    if stride != 1 || !fused::applies(&tensors) {
        return conv2d_composed(x, w, b, stride, padding);
    }
    let geometry = geometry(x, w, b, padding)?;
    let op = Conv {
        geometry,
        input_gradient: x.track_op(),
    };
    let b = bias_or_nothing(w, b)?;
    x.contiguous()?.apply_op3(&w.contiguous()?, &b, op)
}

/// [`conv2d`] composed of candle operations.
///
/// # Errors
/// As [`conv2d`].
pub fn conv2d_composed(x: &Tensor, w: &Tensor, b: Option<&Tensor>, stride: usize, padding: usize) -> Result<Tensor> {
    let shapes = geometry(x, w, b, padding)?;
    let y = match stride {
        0 => bail!("conv2d: a stride of 0"),
        1 => conv_grafted::conv2d(x, w, 1, padding)?,
        _ => {
            // What no window covers is cut off before, so that the backward pass gives the sizes back.
            let covered = |outputs: usize, k: usize| (outputs - 1) / stride * stride + k;
            let x = x
                .pad_with_zeros(2, padding, padding)?
                .pad_with_zeros(3, padding, padding)?
                .narrow(2, 0, covered(shapes.oh, shapes.kh))?
                .narrow(3, 0, covered(shapes.ow, shapes.kw))?;
            conv_grafted::conv2d(&x, w, stride, 0)?
        }
    };
    match b {
        Some(b) => y.broadcast_add(&b.reshape((1, b.elem_count(), 1, 1))?),
        None => Ok(y),
    }
}

/// `max_pool2d(relu(conv2d(x, w, b, 1, padding)), 2, 2)` as one node: only the pooled map and a byte per value
/// of it are kept.
///
/// # Errors
/// If the shapes do not fit each other, or the convolved map is smaller than 2 x 2.
pub fn conv2d_relu_pool2(x: &Tensor, w: &Tensor, b: Option<&Tensor>, padding: usize) -> Result<Tensor> {
    let tensors: Vec<&Tensor> = [x, w].into_iter().chain(b).collect();
    if !fused::applies(&tensors) {
        return conv2d_relu_pool2_composed(x, w, b, padding);
    }
    let geometry = poolable(x, w, b, padding)?;
    let op = ConvReluPool2::new(geometry, x.track_op());
    let b = bias_or_nothing(w, b)?;
    x.contiguous()?.apply_op3(&w.contiguous()?, &b, op)
}

/// [`conv2d_relu_pool2`] composed of candle operations.
///
/// # Errors
/// As [`conv2d_relu_pool2`].
pub fn conv2d_relu_pool2_composed(x: &Tensor, w: &Tensor, b: Option<&Tensor>, padding: usize) -> Result<Tensor> {
    poolable(x, w, b, padding)?;
    let y = super::relu_composed(&conv2d_composed(x, w, b, 1, padding)?)?;
    super::max_pool2d_composed(&y, 2, 2)
}

fn poolable(x: &Tensor, w: &Tensor, b: Option<&Tensor>, padding: usize) -> Result<Geometry> {
    let geometry = geometry(x, w, b, padding)?;
    if geometry.oh < 2 || geometry.ow < 2 {
        bail!(
            "conv2d_relu_pool2: the convolved map is {} x {}, smaller than the 2 x 2 window",
            geometry.oh,
            geometry.ow
        );
    }
    Ok(geometry)
}

/// The shapes of a convolution of stride 1, if they fit.
pub(super) fn geometry(x: &Tensor, w: &Tensor, b: Option<&Tensor>, padding: usize) -> Result<Geometry> {
    let (n, c, h, width) = x.dims4()?;
    let (o, wc, kh, kw) = w.dims4()?;
    let bias_fits = b.is_none_or(|b| b.dims() == [o]);
    if wc != c || !bias_fits || [c, h, width, o, kh, kw].contains(&0) {
        bail!(
            "conv2d: x {:?}, weight {:?}, bias {:?}; weight has to be [o, {c}, k, k], bias [o], no size 0",
            x.shape(),
            w.shape(),
            b.map(Tensor::shape)
        );
    }
    if h + 2 * padding < kh || width + 2 * padding < kw {
        bail!(
            "conv2d: x {:?} with padding {padding} is smaller than the kernel {kh} x {kw}",
            x.shape()
        );
    }
    Ok(Geometry::new((n, c, h, width), (o, kh, kw), padding))
}

/// The bias, or an empty tensor in its place: a custom operation takes a fixed number of tensors.
fn bias_or_nothing(w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    match b {
        Some(b) => b.contiguous(),
        None => Tensor::zeros(0, w.dtype(), w.device()),
    }
}
