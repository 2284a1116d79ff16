//! Batch normalisation of channels (Ioffe and Szegedy 2015; PyTorch's `nn.BatchNorm2d` with its defaults).

use crate::{Init, Mode, Result, Scope, Tensor, Var, ops};

/// Weight of the newest batch in the running statistics (PyTorch's default).
const MOMENTUM: f64 = 0.1;

/// Added to the variance (PyTorch's default).
const EPSILON: f64 = 1e-5;

/// Normalises each channel over batch, rows and columns.
///
/// Parameters `weight`, `bias` and buffers `running_mean`, `running_var`, all `[channels]`. Training normalises
/// by the batch's own statistics and moves the running ones towards them (the variance unbiased, as PyTorch
/// does); evaluation uses the running ones.
#[derive(Clone, Debug)]
pub struct BatchNorm2d {
    weight: Tensor,
    bias: Tensor,
    running_mean: Var,
    running_var: Var,
}

impl BatchNorm2d {
    /// Weight one, bias zero, running mean zero, running variance one.
    ///
    /// # Errors
    /// If `scope` holds one of the four names already.
    pub fn new(scope: &Scope, channels: usize) -> Result<Self> {
        let zeros = Tensor::zeros(channels, scope.dtype(), &scope.device())?;
        let ones = Tensor::ones(channels, scope.dtype(), &scope.device())?;
        Ok(Self {
            weight: scope.var("weight", channels, Init::Ones)?,
            bias: scope.var("bias", channels, Init::Zeros)?,
            running_mean: scope.buffer("running_mean", zeros)?,
            running_var: scope.buffer("running_var", ones)?,
        })
    }

    /// `x [n, channels, h, w]` to the same shape. Training moves the running statistics.
    ///
    /// # Errors
    /// If `x` has another number of channels, or has one value per channel only and `mode` is training.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.run(x, mode, false)
    }

    /// `relu(forward(x))` in one pass.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_relu(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.run(x, mode, true)
    }

    fn run(&self, x: &Tensor, mode: Mode, relu: bool) -> Result<Tensor> {
        if !mode.is_train() {
            return ops::batch_norm_eval(
                x,
                &self.weight,
                &self.bias,
                self.running_mean.as_tensor(),
                self.running_var.as_tensor(),
                EPSILON,
                relu,
            );
        }
        self.train(|weight, bias, eps| ops::batch_norm_train(x, weight, bias, eps, relu))
    }

    /// Runs `operation` of (weight, bias, eps), which returns (y, mean, unbiased variance), and moves the running
    /// statistics; returns y.
    pub(super) fn train<Y>(
        &self,
        operation: impl FnOnce(&Tensor, &Tensor, f64) -> Result<(Y, Tensor, Tensor)>,
    ) -> Result<Y> {
        let (y, mean, variance) = operation(&self.weight, &self.bias, EPSILON)?;
        follow(&self.running_mean, &mean)?;
        follow(&self.running_var, &variance)?;
        Ok(y)
    }
}

/// Moves a running statistic towards that of the newest batch.
fn follow(running: &Var, batch: &Tensor) -> Result<()> {
    let kept = (running.as_detached_tensor() * (1.0 - MOMENTUM))?;
    running.set(&(kept + (batch.detach() * MOMENTUM)?)?)
}
