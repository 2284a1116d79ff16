//! candle's convolution with gradients of our own.
//!
//! The backward pass of candle 0.11 convolves with the gradient as a transposed view, which its CUDA code copies to lie
//! contiguously and then reads from the original storage: the gradient of the weights is wrong, without an error. Later versions are
//! mended (huggingface/candle#3894). Here every tensor that a convolution is given lies contiguously; `conv2d_of_candle_errs_on_a_card`
//! in `tests/gradients.rs` says on a card when this file can go.

use crate::candle::{CpuStorage, CudaStorage, CustomOp2, Layout, Shape, Storage, backend::BackendStorage, bail};
use crate::{Result, Tensor};

/// `x [n, c, h, w]` with `w [o, c, kh, kw]`, where the last window ends at the padded border.
///
/// # Errors
/// Whatever candle reports.
pub(super) fn conv2d(x: &Tensor, w: &Tensor, stride: usize, padding: usize) -> Result<Tensor> {
    let (x, w) = (x.contiguous()?, w.contiguous()?);
    let op = Grafted {
        value: x.detach().conv2d(&w.detach(), padding, stride, 1, 1)?.contiguous()?,
        stride,
        padding,
        input_gradient: x.track_op(),
    };
    x.apply_op2(&w, op)
}

/// The value is there already; what it adds is the backward pass.
struct Grafted {
    value: Tensor,
    stride: usize,
    padding: usize,
    input_gradient: bool,
}

impl CustomOp2 for Grafted {
    fn name(&self) -> &'static str {
        "conv2d-grafted"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let (storage, layout) = self.value.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => bail!("conv2d: a value on another device than its input"),
        }
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let (storage, layout) = self.value.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => bail!("conv2d: a value on another device than its input"),
        }
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _value: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let swapped = |tensor: &Tensor| tensor.transpose(0, 1)?.contiguous();
        // Each weight meets each of the positions it was moved to: a convolution whose window is the gradient.
        let dw = swapped(x)?.conv2d(&swapped(&gradient)?, self.padding, 1, self.stride, 1)?;
        let dw = swapped(&dw)?;
        if dw.dims() != w.dims() {
            bail!(
                "conv2d: the gradient of weights {:?} came out as {:?}",
                w.shape(),
                dw.shape()
            );
        }
        let dx = self
            .input_gradient
            .then(|| gradient.conv_transpose2d(w, self.padding, 0, self.stride, 1))
            .transpose()?;
        Ok((dx, Some(dw)))
    }
}
