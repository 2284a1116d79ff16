//! Two-dimensional convolution with bias (PyTorch's `nn.Conv2d` with a square kernel).

use super::BatchNorm2d;
use crate::{Init, Mode, Result, Scope, Tensor, ops};

/// A convolution with parameters `weight` `[outputs, inputs, k, k]` and `bias` `[outputs]`.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// Parameters start at PyTorch's default, uniform within `1/sqrt(inputs k k)` of zero.
    ///
    /// # Errors
    /// If `scope` holds a parameter `weight` or `bias` already.
    pub fn new(scope: &Scope, inputs: usize, outputs: usize, k: usize, stride: usize, padding: usize) -> Result<Self> {
        let fan_in = inputs * k * k;
        Ok(Self {
            weight: scope.var("weight", (outputs, inputs, k, k), Init::FanIn(fan_in))?,
            bias: scope.var("bias", outputs, Init::FanIn(fan_in))?,
            stride,
            padding,
        })
    }

    /// `x [n, inputs, h, w]` to `[n, outputs, oh, ow]` with `oh = (h + 2 padding - k) / stride + 1`.
    ///
    /// # Errors
    /// If `x` has another shape or is smaller than the kernel.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::conv2d(x, &self.weight, Some(&self.bias), self.stride, self.padding)
    }

    /// `max_pool_2x2(relu(forward(x)))` as one node of the graph; needs stride 1.
    ///
    /// # Errors
    /// If the layer's stride is not 1, or `x` has another shape or is smaller than the kernel.
    pub fn forward_relu_pool2(&self, x: &Tensor) -> Result<Tensor> {
        if self.stride != 1 {
            crate::candle::bail!(
                "forward_relu_pool2 needs a convolution of stride 1, this one has {}; \
                 use forward, relu and max_pool2d",
                self.stride
            );
        }
        ops::conv2d_relu_pool2(x, &self.weight, Some(&self.bias), self.padding)
    }

    /// `norm.forward_relu(forward(x))`, in training as one node of the graph.
    ///
    /// # Errors
    /// If `norm` has another number of channels, or as [`Self::forward`] and [`BatchNorm2d::forward`].
    pub fn forward_norm_relu(&self, norm: &BatchNorm2d, x: impl Into<ops::Link>, mode: Mode) -> Result<ops::Link> {
        if self.stride != 1 || !mode.is_train() {
            let y = norm.forward_relu(&self.forward(&x.into().into_tensor()?)?, mode)?;
            return Ok(ops::Link::from(&y));
        }
        let conv = ops::Convolution {
            weight: &self.weight,
            bias: &self.bias,
            padding: self.padding,
        };
        norm.train(|weight, bias, eps| ops::conv2d_batch_norm_relu(x, conv, weight, bias, eps))
    }

    /// The weight, `[outputs, inputs, k, k]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias, `[outputs]`.
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }
}
