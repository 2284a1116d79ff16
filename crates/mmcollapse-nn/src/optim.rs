//! SGD with momentum, Adam and AdamW with the semantics of PyTorch, and a state that can be saved.
//!
//! On CPU in f32 a step is one pass over each parameter, in place and without allocating; on any other device
//! or type it is composed of tensor operations. Sums are formed in PyTorch's order, so that trajectories agree
//! to rounding.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{CpuStorage, InplaceOp2, Layout, bail};
use serde::{Deserialize, Serialize};

use crate::{DType, Device, GradStore, Result, Tensor, Var};

/// Which rule turns gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Stochastic gradient descent, with momentum where it is not 0 (PyTorch's `SGD`).
    Sgd,
    /// Adam (Kingma and Ba 2015); weight decay is added to the gradient (PyTorch's `Adam`).
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019; PyTorch's `AdamW`).
    #[serde(rename = "adamw")]
    AdamW,
}

/// An optimizer and its settings, as they stand in a spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// The rule.
    pub kind: OptimizerKind,
    /// Learning rate before any schedule.
    pub lr: f64,
    /// Momentum of SGD, in 0..1.
    #[serde(default)]
    pub momentum: f64,
    /// Weight decay: L2 for SGD and Adam, decoupled for AdamW.
    #[serde(default)]
    pub weight_decay: f64,
    /// Decay rates of Adam's two moments, in 0..1.
    #[serde(default = "default_betas")]
    pub betas: [f64; 2],
    /// Added to the root of Adam's second moment.
    #[serde(default = "default_eps")]
    pub eps: f64,
}

fn default_betas() -> [f64; 2] {
    [0.9, 0.999]
}

fn default_eps() -> f64 {
    1e-8
}

impl OptimizerConfig {
    /// A rule with a learning rate and PyTorch's defaults for the rest (but AdamW without weight decay).
    pub fn new(kind: OptimizerKind, lr: f64) -> Self {
        Self {
            kind,
            lr,
            momentum: 0.0,
            weight_decay: 0.0,
            betas: default_betas(),
            eps: default_eps(),
        }
    }

    /// Whether each number lies where it has a meaning.
    ///
    /// # Errors
    /// Names the first key that does not, with its value and its range.
    pub fn check(&self) -> Result<()> {
        let unit = 0.0..1.0;
        if !(self.lr.is_finite() && self.lr >= 0.0) {
            bail!("optimizer: `lr` must be finite and not negative, got {}", self.lr);
        }
        if !unit.contains(&self.momentum) {
            bail!("optimizer: `momentum` must lie in 0..1, got {}", self.momentum);
        }
        if self.momentum != 0.0 && self.kind != OptimizerKind::Sgd {
            bail!("optimizer: `momentum` is SGD's; Adam's are the `betas`");
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            bail!(
                "optimizer: `weight_decay` must be finite and not negative, got {}",
                self.weight_decay
            );
        }
        if !self.betas.iter().all(|beta| unit.contains(beta)) {
            bail!("optimizer: `betas` must lie in 0..1, got {:?}", self.betas);
        }
        if !(self.eps.is_finite() && self.eps > 0.0) {
            bail!("optimizer: `eps` must be positive, got {}", self.eps);
        }
        Ok(())
    }
}

/// A moment of a parameter: the momentum buffer of SGD, or one of Adam's two.
#[derive(Debug)]
enum Moment {
    /// CPU, f32: updated in place by the same pass that moves the parameter.
    Fused(Vec<f32>),
    Composed(Tensor),
}

#[derive(Debug)]
struct Slot {
    name: String,
    var: Var,
    /// Steps that this parameter took. Its own, as in PyTorch: one without a gradient stands still.
    steps: u64,
    first: Option<Moment>,
    second: Option<Moment>,
}

/// Moves parameters along their gradients.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    slots: Vec<Slot>,
}

impl Optimizer {
    /// An optimizer for `vars`, whose names are those of its state. Parameters are moved in the order of names.
    ///
    /// # Errors
    /// A setting that has no meaning, a name given twice, or a parameter that is not of a floating type.
    pub fn new(config: OptimizerConfig, vars: Vec<(String, Var)>) -> Result<Self> {
        config.check()?;
        let mut slots: Vec<Slot> = Vec::with_capacity(vars.len());
        for (name, var) in vars {
            if !matches!(var.dtype(), DType::F32 | DType::F64) {
                bail!(
                    "optimizer: the parameter `{name}` is {:?}, expected F32 or F64",
                    var.dtype()
                );
            }
            slots.push(Slot {
                name,
                var,
                steps: 0,
                first: None,
                second: None,
            });
        }
        slots.sort_by(|a, b| a.name.cmp(&b.name));
        let twice = slots.windows(2).find_map(|pair| match pair {
            [a, b] if a.name == b.name => Some(&a.name),
            _ => None,
        });
        if let Some(name) = twice {
            bail!("optimizer: the parameter `{name}` is given twice");
        }
        Ok(Self { config, slots })
    }

    /// The settings.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// One step with the learning rate `lr * lr_factor`. A parameter without a gradient in `grads` is left
    /// alone, and so are its moments.
    ///
    /// # Errors
    /// A gradient of another shape than its parameter, or whatever the device says.
    pub fn step(&mut self, grads: &GradStore, lr_factor: f64) -> Result<()> {
        let lr = self.config.lr * lr_factor;
        for slot in &mut self.slots {
            if let Some(grad) = grads.get(&slot.var) {
                if grad.dims() != slot.var.dims() {
                    bail!(
                        "optimizer: the gradient of `{}` is {:?}, expected {:?}",
                        slot.name,
                        grad.dims(),
                        slot.var.dims()
                    );
                }
                slot.step(&self.config, grad, lr)?;
            }
        }
        Ok(())
    }

    /// Copies of the moments and step counts, under the names that PyTorch gives them:
    /// `<parameter>.momentum_buffer`, or `<parameter>.exp_avg`, `.exp_avg_sq` and `.step`.
    /// A parameter that has not moved yet has none.
    ///
    /// # Errors
    /// Whatever the device says about copying.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for slot in &self.slots {
            for (key, moment) in [(self.first_key(), &slot.first), (SECOND_KEY, &slot.second)] {
                if let Some(moment) = moment {
                    let tensor = match moment {
                        Moment::Fused(values) => Tensor::from_slice(values, slot.var.shape(), &Device::Cpu)?,
                        Moment::Composed(tensor) => tensor.copy()?,
                    };
                    state.insert(format!("{}.{key}", slot.name), tensor);
                }
            }
            if slot.steps > 0 {
                let steps = Tensor::new(slot.steps as i64, &Device::Cpu)?;
                state.insert(format!("{}.step", slot.name), steps);
            }
        }
        Ok(state)
    }

    /// Puts a [`Optimizer::state`] back, so that the next step is the one that would have followed it.
    /// Nothing is changed if anything does not fit.
    ///
    /// # Errors
    /// Unexpected names, incomplete states of a parameter, and shapes or types that differ, each named.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let (first_key, needs_second) = (self.first_key(), self.config.kind != OptimizerKind::Sgd);
        let needs_first = needs_second || self.config.momentum != 0.0;
        let mut used = 0;
        let mut loaded = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let mut moment = |key: &str| -> Result<Option<Moment>> {
                let full = format!("{}.{key}", slot.name);
                let Some(tensor) = state.get(&full) else {
                    return Ok(None);
                };
                used += 1;
                slot.moment(&full, tensor).map(Some)
            };
            let first = if needs_first { moment(first_key)? } else { None };
            let second = if needs_second { moment(SECOND_KEY)? } else { None };
            let full = format!("{}.step", slot.name);
            let steps = match state.get(&full) {
                None => 0,
                Some(tensor) => {
                    used += 1;
                    step_count(&full, tensor)?
                }
            };
            let moved = steps > 0;
            if (needs_first && first.is_some() != moved) || (needs_second && second.is_some() != moved) {
                bail!(
                    "optimizer state of `{}` is incomplete: expected all or none of its step count and moments; \
                     load a state that an optimizer of the same kind saved",
                    slot.name
                );
            }
            loaded.push((steps, first, second));
        }
        if used != state.len() {
            let known: Vec<String> = self
                .slots
                .iter()
                .flat_map(|slot| {
                    let mut keys = vec!["step"];
                    keys.extend(needs_first.then_some(first_key));
                    keys.extend(needs_second.then_some(SECOND_KEY));
                    keys.into_iter().map(|key| format!("{}.{key}", slot.name))
                })
                .collect();
            let unexpected: Vec<&str> = state
                .keys()
                .filter(|key| !known.contains(key))
                .map(String::as_str)
                .collect();
            bail!(
                "optimizer state has unexpected entries: {}; load a state that an optimizer of the same kind \
                 and parameters saved",
                unexpected.join(", ")
            );
        }
        for (slot, (steps, first, second)) in self.slots.iter_mut().zip(loaded) {
            slot.steps = steps;
            slot.first = first;
            slot.second = second;
        }
        Ok(())
    }

    fn first_key(&self) -> &'static str {
        match self.config.kind {
            OptimizerKind::Sgd => "momentum_buffer",
            OptimizerKind::Adam | OptimizerKind::AdamW => "exp_avg",
        }
    }
}

const SECOND_KEY: &str = "exp_avg_sq";

/// A step count saved here (i64) or by PyTorch (f32).
fn step_count(name: &str, tensor: &Tensor) -> Result<u64> {
    let value = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    match value[..] {
        [steps] if steps >= 0.0 && steps.fract() == 0.0 => Ok(steps as u64),
        _ => bail!("optimizer state `{name}`: expected one whole number, got {value:?}"),
    }
}

impl Slot {
    fn is_fused(&self) -> bool {
        self.var.dtype() == DType::F32 && self.var.device().is_cpu()
    }

    /// A saved moment in the form that this parameter keeps.
    fn moment(&self, name: &str, tensor: &Tensor) -> Result<Moment> {
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

    fn step(&mut self, config: &OptimizerConfig, grad: &Tensor, lr: f64) -> Result<()> {
        self.steps += 1;
        let rule = Rule::new(config, self.steps, lr);
        let is_fused = self.is_fused();
        let n = self.var.elem_count();
        if is_fused {
            let grad = grad.contiguous()?;
            if let Rule::Adam { .. } = rule {
                let first = fused(&mut self.first, n);
                let second = fused(&mut self.second, n);
                self.var.inplace_op2(&grad, &Pass::new(rule, first, second))
            } else if config.momentum == 0.0 {
                self.var.inplace_op2(&grad, &Pass::new(rule, &mut [], &mut []))
            } else {
                let first = fused(&mut self.first, n);
                self.var.inplace_op2(&grad, &Pass::new(rule, first, &mut []))
            }
        } else {
            self.composed(rule, grad)
        }
    }

    fn composed(&mut self, rule: Rule, grad: &Tensor) -> Result<()> {
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
                let denominator = ((second.sqrt()? * root_scale)? + eps)?;
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
enum Rule {
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
    fn new(config: &OptimizerConfig, steps: u64, lr: f64) -> Self {
        let [beta1, beta2] = config.betas;
        let correction = |beta: f64| 1.0 - beta.powf(steps as f64);
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

/// One pass over a parameter, its gradient and its moments.
struct Pass<'a> {
    rule: Rule,
    moments: RefCell<(&'a mut [f32], &'a mut [f32])>,
}

impl<'a> Pass<'a> {
    fn new(rule: Rule, first: &'a mut [f32], second: &'a mut [f32]) -> Self {
        Self {
            rule,
            moments: RefCell::new((first, second)),
        }
    }
}

impl InplaceOp2 for Pass<'_> {
    fn name(&self) -> &'static str {
        "optimizer-step"
    }

    fn cpu_fwd(
        &self,
        params: &mut CpuStorage,
        params_layout: &Layout,
        grads: &CpuStorage,
        grads_layout: &Layout,
    ) -> Result<()> {
        let CpuStorage::F32(params) = params else {
            bail!("optimizer: expected an F32 parameter");
        };
        let grads = grads.as_slice::<f32>()?;
        let (Some((p0, p1)), Some((g0, g1))) = (params_layout.contiguous_offsets(), grads_layout.contiguous_offsets())
        else {
            bail!("optimizer: expected a contiguous parameter and gradient");
        };
        let (params, grads) = (&mut params[p0..p1], &grads[g0..g1]);
        let (first, second) = &mut *self.moments.borrow_mut();
        match self.rule {
            Rule::Sgd {
                lr,
                momentum,
                decay,
                is_first,
            } => {
                let (lr, momentum, decay) = (lr as f32, momentum as f32, decay as f32);
                if first.is_empty() {
                    for (p, &g) in params.iter_mut().zip(grads) {
                        *p -= lr * (g + decay * *p);
                    }
                } else {
                    let momentum = if is_first { 0.0 } else { momentum };
                    for ((p, &g), m) in params.iter_mut().zip(grads).zip(first.iter_mut()) {
                        *m = momentum * *m + (g + decay * *p);
                        *p -= lr * *m;
                    }
                }
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
                let (keep, decay, rise1) = (keep as f32, decay as f32, (1.0 - beta1) as f32);
                let (beta2, rise2) = (beta2 as f32, (1.0 - beta2) as f32);
                let (step_size, root_scale, eps) = (step_size as f32, root_scale as f32, eps as f32);
                let moments = first.iter_mut().zip(second.iter_mut());
                for ((p, &g), (m, v)) in params.iter_mut().zip(grads).zip(moments) {
                    let g = g + decay * *p;
                    *m += rise1 * (g - *m);
                    *v = beta2 * *v + rise2 * (g * g);
                    *p = keep * *p - step_size * (*m / (v.sqrt() * root_scale + eps));
                }
            }
        }
        Ok(())
    }
}

/// Scales the gradients of `vars` so that their joint L2 norm is at most `max_norm`, and returns the norm that
/// they had (PyTorch's `clip_grad_norm_`). A norm that is not a number makes the gradients such too: the next
/// loss shows it.
///
/// # Errors
/// Whatever the device says.
pub fn clip_grad_norm(grads: &mut GradStore, vars: &[(String, Var)], max_norm: f64) -> Result<f64> {
    let mut squares = 0.0;
    let mut on_device: Option<Tensor> = None;
    for (_, var) in vars {
        let Some(grad) = grads.get(var) else { continue };
        if grad.device().is_cpu() && grad.dtype() == DType::F32 {
            squares += sum_of_squares(grad)?;
        } else {
            // Added up where they are, so that an accelerator is asked once and not once a parameter.
            let square = grad.detach().sqr()?.sum_all()?.to_dtype(DType::F64)?;
            on_device = Some(match on_device {
                Some(sum) => (sum + square)?,
                None => square,
            });
        }
    }
    if let Some(sum) = on_device {
        squares += sum.to_scalar::<f64>()?;
    }
    let norm = squares.sqrt();
    // PyTorch's formula, small term included.
    let scale = max_norm / (norm + 1e-6);
    if scale >= 1.0 {
        return Ok(norm);
    }
    for (_, var) in vars {
        if let Some(grad) = grads.get(var) {
            let scaled = (grad.detach() * scale)?;
            grads.insert(var, scaled);
        }
    }
    Ok(norm)
}

/// In f64 and without a temporary tensor.
fn sum_of_squares(grad: &Tensor) -> Result<f64> {
    let grad = grad.contiguous()?;
    let (storage, layout) = grad.storage_and_layout();
    let candle_core::Storage::Cpu(storage) = &*storage else {
        bail!("expected a gradient on the CPU");
    };
    let values = storage.as_slice::<f32>()?;
    let (start, end) = layout.contiguous_offsets().unwrap_or((0, 0));
    // Over eight running sums, so that it vectorises; the order is always the same.
    let (blocks, rest) = values[start..end].as_chunks::<8>();
    let mut sums = [0_f64; 8];
    for block in blocks {
        for (sum, &g) in sums.iter_mut().zip(block) {
            *sum += f64::from(g) * f64::from(g);
        }
    }
    for (sum, &g) in sums.iter_mut().zip(rest) {
        *sum += f64::from(g) * f64::from(g);
    }
    Ok(sums.iter().sum())
}
