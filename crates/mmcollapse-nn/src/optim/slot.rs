//! One parameter with its moments, and how it moves.

use candle_core::bail;

use super::config::{OptimizerConfig, OptimizerKind};
use super::pass::Pass;
use crate::{DType, Result, Tensor, Var};

/// A moment of a parameter: the momentum buffer of SGD, one of Adam's two, or the largest second one so far.
#[derive(Debug)]
pub(super) enum Moment {
    /// CPU, f32: updated in place by the same pass that moves the parameter.
    Fused(Vec<f32>),
    Composed(Tensor),
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) var: Var,
    /// Steps that this parameter took. Its own, as in PyTorch: one without a gradient stands still.
    pub(super) steps: u64,
    pub(super) first: Option<Moment>,
    pub(super) second: Option<Moment>,
    /// AMSGrad's alone.
    pub(super) largest: Option<Moment>,
}

impl Slot {
    fn is_fused(&self) -> bool {
        self.var.dtype() == DType::F32 && self.var.device().is_cpu()
    }

    /// A saved moment in the form that this parameter keeps.
    pub(super) fn moment(&self, name: &str, tensor: &Tensor) -> Result<Moment> {
        if tensor.dims() != self.var.dims() || tensor.dtype() != self.var.dtype() {
            bail!(
                "optimizer state `{name}` is {:?} {:?}, expected {:?} {:?}",
                tensor.dtype(),
                tensor.dims(),
                self.var.dtype(),
                self.var.dims()
            );
        }
        if self.is_fused() {
            Ok(Moment::Fused(tensor.flatten_all()?.to_vec1()?))
        } else {
            let tensor = tensor.to_device(self.var.device())?.copy()?.detach();
            Ok(Moment::Composed(tensor))
        }
    }

    /// One step with the learning rate `lr` along `scale` times the gradient.
    pub(super) fn step(&mut self, config: &OptimizerConfig, grad: &Tensor, scale: f64, lr: f64) -> Result<()> {
        self.steps += 1;
        let rule = Rule::new(config, self.steps, lr);
        let is_fused = self.is_fused();
        let n = self.var.elem_count();
        if is_fused {
            let grad = grad.contiguous()?;
            if let Rule::Adam { .. } = rule {
                let first = fused(&mut self.first, n);
                let second = fused(&mut self.second, n);
                let largest = if config.amsgrad {
                    fused(&mut self.largest, n)
                } else {
                    &mut []
                };
                self.var
                    .inplace_op2(&grad, &Pass::new(rule, scale, [first, second, largest]))
            } else if config.momentum == 0.0 {
                self.var
                    .inplace_op2(&grad, &Pass::new(rule, scale, [&mut [], &mut [], &mut []]))
            } else {
                let first = fused(&mut self.first, n);
                self.var
                    .inplace_op2(&grad, &Pass::new(rule, scale, [first, &mut [], &mut []]))
            }
        } else if scale == 1.0 {
            self.composed(rule, grad, config.amsgrad)
        } else {
            self.composed(rule, &(grad * scale)?, config.amsgrad)
        }
    }

    fn composed(&mut self, rule: Rule, grad: &Tensor, amsgrad: bool) -> Result<()> {
        let param = self.var.as_detached_tensor();
        let zeros = || grad.zeros_like();
        let next = match rule {
            Rule::Sgd {
                lr,
                momentum,
                decay,
                is_first,
            } => {
                let mut direction = (grad + (&param * decay)?)?;
                if momentum != 0.0 {
                    if !is_first {
                        let buffer = composed(&mut self.first, zeros)?;
                        direction = ((buffer * momentum)? + direction)?;
                    }
                    self.first = Some(Moment::Composed(direction.detach()));
                }
                (param - (direction * lr)?)?
            }
            Rule::Adam {
                keep,
                decay,
                beta1,
                beta2,
                step_size,
                root_scale,
                eps,
            } => {
                let direction = (grad + (&param * decay)?)?;
                let first = composed(&mut self.first, zeros)?;
                let first = (&first + ((&direction - &first)? * (1.0 - beta1))?)?;
                let second = composed(&mut self.second, zeros)?;
                let second = ((second * beta2)? + (direction.sqr()? * (1.0 - beta2))?)?;
                let over = if amsgrad {
                    let largest = composed(&mut self.largest, zeros)?.maximum(&second)?;
                    self.largest = Some(Moment::Composed(largest.detach()));
                    largest
                } else {
                    second.clone()
                };
                let denominator = ((over.sqrt()? * root_scale)? + eps)?;
                let next = ((param * keep)? - ((&first / denominator)? * step_size)?)?;
                self.first = Some(Moment::Composed(first.detach()));
                self.second = Some(Moment::Composed(second.detach()));
                next
            }
        };
        self.var.set(&next.detach())
    }
}

/// The values of a moment, made where there is none yet.
fn fused(moment: &mut Option<Moment>, n: usize) -> &mut [f32] {
    if !matches!(moment, Some(Moment::Fused(_))) {
        *moment = Some(Moment::Fused(vec![0.0; n]));
    }
    match moment {
        Some(Moment::Fused(values)) => values,
        _ => &mut [],
    }
}

fn composed(moment: &mut Option<Moment>, zeros: impl Fn() -> Result<Tensor>) -> Result<Tensor> {
    match moment.take() {
        Some(Moment::Composed(tensor)) => Ok(tensor),
        _ => zeros(),
    }
}

/// The numbers of one step of one parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    Sgd {
        lr: f64,
        momentum: f64,
        decay: f64,
        /// The first step fills the buffer with the gradient itself.
        is_first: bool,
    },
    Adam {
        /// Factor of the parameter (AdamW's decoupled decay), else 1.
        keep: f64,
        /// Factor of the parameter added to the gradient (Adam's L2), else 0.
        decay: f64,
        beta1: f64,
        beta2: f64,
        /// Learning rate over the first moment's bias correction.
        step_size: f64,
        /// One over the root of the second moment's bias correction.
        root_scale: f64,
        eps: f64,
    },
}

impl Rule {
    pub(super) fn new(config: &OptimizerConfig, steps: u64, lr: f64) -> Self {
        let [beta1, beta2] = config.betas;
        let correction = |beta: f64| 1.0 - libm::pow(beta, steps as f64);
        let (keep, decay) = match config.kind {
            OptimizerKind::AdamW => (1.0 - lr * config.weight_decay, 0.0),
            OptimizerKind::Sgd | OptimizerKind::Adam => (1.0, config.weight_decay),
        };
        match config.kind {
            OptimizerKind::Sgd => Self::Sgd {
                lr,
                momentum: config.momentum,
                decay,
                is_first: steps == 1,
            },
            OptimizerKind::Adam | OptimizerKind::AdamW => Self::Adam {
                keep,
                decay,
                beta1,
                beta2,
                step_size: lr / correction(beta1),
                root_scale: 1.0 / correction(beta2).sqrt(),
                eps: config.eps,
            },
        }
    }
}
