//! SGD with momentum, Adam and AdamW with the semantics of PyTorch, and a state that can be saved.
//!
//! On CPU in f32 a step is one pass over each parameter, in place and without allocating; on any other device
//! or type it is composed of tensor operations. Sums are formed in PyTorch's order, so that trajectories agree
//! to rounding.

mod clip;
mod config;
mod pass;
mod slot;

use std::collections::BTreeMap;

use candle_core::bail;

use crate::{DType, Device, GradStore, Result, Tensor, Var};
use slot::{Moment, Slot};

pub use clip::{Clip, clip_factor};
pub use config::{OptimizerConfig, OptimizerKind};

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
                largest: None,
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
        self.step_scaled(grads, 1.0, lr_factor)
    }

    /// [`Optimizer::step`] along `scale` times the gradients, such as [`Clip::factor`].
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    pub fn step_scaled(&mut self, grads: &GradStore, scale: f64, lr_factor: f64) -> Result<()> {
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
                slot.step(&self.config, grad, scale, lr)?;
            }
        }
        Ok(())
    }

    /// Copies of the moments and step counts, under the names that PyTorch gives them:
    /// `<parameter>.momentum_buffer`, or `<parameter>.exp_avg`, `.exp_avg_sq`, `.max_exp_avg_sq` and `.step`.
    /// A parameter that has not moved yet has none.
    ///
    /// # Errors
    /// Whatever the device says about copying.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for slot in &self.slots {
            for (key, moment) in self.keys().into_iter().zip([&slot.first, &slot.second, &slot.largest]) {
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
        let is_adam = self.config.kind != OptimizerKind::Sgd;
        let needs = [is_adam || self.config.momentum != 0.0, is_adam, self.config.amsgrad];
        let keys = self.keys();
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
            let mut moments = [None, None, None];
            for ((moment_of, key), needed) in moments.iter_mut().zip(keys).zip(needs) {
                if needed {
                    *moment_of = moment(key)?;
                }
            }
            let full = format!("{}.step", slot.name);
            let steps = match state.get(&full) {
                None => 0,
                Some(tensor) => {
                    used += 1;
                    step_count(&full, tensor)?
                }
            };
            let moved = steps > 0;
            let is_whole = |(moment, needed): (&Option<Moment>, bool)| !needed || moment.is_some() == moved;
            if !moments.iter().zip(needs).all(is_whole) {
                bail!(
                    "optimizer state of `{}` is incomplete: expected all or none of its step count and moments; \
                     load a state that an optimizer of the same kind saved",
                    slot.name
                );
            }
            loaded.push((steps, moments));
        }
        if used != state.len() {
            let known: Vec<String> = self
                .slots
                .iter()
                .flat_map(|slot| {
                    let needed = keys
                        .into_iter()
                        .zip(needs)
                        .filter_map(|(key, needed)| needed.then_some(key));
                    needed.chain(["step"]).map(|key| format!("{}.{key}", slot.name))
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
        for (slot, (steps, [first, second, largest])) in self.slots.iter_mut().zip(loaded) {
            slot.steps = steps;
            slot.first = first;
            slot.second = second;
            slot.largest = largest;
        }
        Ok(())
    }

    /// PyTorch's names of the moments.
    fn keys(&self) -> [&'static str; 3] {
        let first = match self.config.kind {
            OptimizerKind::Sgd => "momentum_buffer",
            OptimizerKind::Adam | OptimizerKind::AdamW => "exp_avg",
        };
        [first, "exp_avg_sq", "max_exp_avg_sq"]
    }
}

/// A step count saved here (i64) or by PyTorch (f32).
fn step_count(name: &str, tensor: &Tensor) -> Result<u64> {
    let value = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    match value[..] {
        [steps] if steps >= 0.0 && steps.fract() == 0.0 => Ok(steps as u64),
        _ => bail!("optimizer state `{name}`: expected one whole number, got {value:?}"),
    }
}
