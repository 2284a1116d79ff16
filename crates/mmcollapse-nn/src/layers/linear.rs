//! The fully connected layer, `y = x W^T + b` (PyTorch's `nn.Linear`).

use candle_core::bail;

use crate::{GradStore, Init, Result, Scope, Tensor, ops};

/// A fully connected layer with parameters `weight` `[outputs, inputs]` and `bias` `[outputs]`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// A layer with bias; both parameters start at PyTorch's default, uniform within `1/sqrt(inputs)` of zero.
    ///
    /// # Errors
    /// If a width is 0, or `scope` holds a parameter `weight` or `bias` already.
    pub fn new(scope: &Scope, inputs: usize, outputs: usize) -> Result<Self> {
        if inputs == 0 || outputs == 0 {
            bail!(
                "linear `{}`: widths must be at least 1, got {inputs} to {outputs}",
                scope.path()
            );
        }
        let mut layer = Self::without_bias(scope, inputs, outputs)?;
        layer.bias = Some(scope.var("bias", outputs, Init::FanIn(inputs))?);
        Ok(layer)
    }

    /// A layer with bias whose parameters start as told.
    ///
    /// # Errors
    /// If `scope` holds a parameter `weight` or `bias` already.
    pub fn starting(scope: &Scope, inputs: usize, outputs: usize, weight: Init, bias: Init) -> Result<Self> {
        Ok(Self {
            weight: scope.var("weight", (outputs, inputs), weight)?,
            bias: Some(scope.var("bias", outputs, bias)?),
        })
    }

    /// A layer with bias whose weight starts as Glorot and Bengio's (2010), and its bias at 0.
    ///
    /// # Errors
    /// If `scope` holds a parameter `weight` or `bias` already.
    pub fn glorot(scope: &Scope, inputs: usize, outputs: usize) -> Result<Self> {
        let glorot = Init::Glorot {
            fan_in: inputs,
            fan_out: outputs,
        };
        Self::starting(scope, inputs, outputs, glorot, Init::Zeros)
    }

    /// A layer that only multiplies, with parameter `weight` `[outputs, inputs]`.
    ///
    /// # Errors
    /// If `scope` holds a parameter `weight` already.
    pub fn without_bias(scope: &Scope, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self {
            weight: scope.var("weight", (outputs, inputs), Init::FanIn(inputs))?,
            bias: None,
        })
    }

    /// `x [.., inputs]` to `[.., outputs]`.
    ///
    /// # Errors
    /// If the last dimension of `x` is not `inputs`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, self.bias.as_ref(), false)
    }

    /// `relu(forward(x))` in one pass.
    ///
    /// # Errors
    /// If the last dimension of `x` is not `inputs`.
    pub fn forward_relu(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, self.bias.as_ref(), true)
    }

    /// This layer after a step of gradient descent, without changing it: what model-agnostic meta-learning adapts.
    ///
    /// The gradients are constants, so that what is descended through the stepped layer moves this one's parameters as in
    /// the first-order approximation (Finn, Abbeel and Levine 2017, section 5.2).
    ///
    /// # Errors
    /// Whatever candle reports, such as memory running out on a device.
    pub fn stepped(&self, gradients: &GradStore, rate: f64) -> Result<Self> {
        let step = |parameter: &Tensor| match gradients.get(parameter) {
            Some(gradient) => parameter - (gradient.detach() * rate)?,
            None => Ok(parameter.clone()),
        };
        Ok(Self {
            weight: step(&self.weight)?,
            bias: self.bias.as_ref().map(step).transpose()?,
        })
    }

    /// This layer with its parameters as constants.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            weight: self.weight.detach(),
            bias: self.bias.as_ref().map(Tensor::detach),
        }
    }

    /// The weight, `[outputs, inputs]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias, `[outputs]`, where the layer has one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }
}
