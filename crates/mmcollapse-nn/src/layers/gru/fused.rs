//! The recurrence of a GRU as one node of the graph, on the CPU in f32.
//!
//! Composed of operations, a sequence of T steps is T slices of one tensor, and the gradient of each slice is a
//! tensor of the whole: T^2 in time. Here the backward pass makes the gates of all steps again with a single
//! product (all states are known by then) and then walks back once.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Storage, bail};

use crate::{Device, Result, Tensor, ops};

/// States after each step, `[batch, time, hidden]`, from what the input gives to the gates,
/// `from_input [batch, time, 3 hidden]`, `weight [3 hidden, hidden]` and `bias [3 hidden]`; all f32 on the CPU.
pub(super) fn recurrence(from_input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (batch, time, gates) = from_input.dims3()?;
    let sizes = Sizes {
        batch,
        time,
        hidden: gates / 3,
    };
    let from_input = from_input.contiguous()?;
    let states = sizes.forward(&from_input.detach(), &weight.detach(), &bias.detach())?;
    let op = Recurrence {
        sizes,
        states: Mutex::new(states),
    };
    from_input.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    time: usize,
    hidden: usize,
}

/// The gates of one unit at one step.
struct Gates {
    reset: f32,
    update: f32,
    new: f32,
}

impl Gates {
    /// Gates of unit `j` from rows `[reset, update, new]` of the input and of the state.
    fn new(input: &[f32], state: &[f32], hidden: usize, j: usize) -> Self {
        let reset = sigmoid(input[j] + state[j]);
        let update = sigmoid(input[hidden + j] + state[hidden + j]);
        let new = (input[2 * hidden + j] + reset * state[2 * hidden + j]).tanh();
        Self { reset, update, new }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Sizes {
    fn forward(self, from_input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Vec<f32>> {
        let Self { batch, time, hidden } = self;
        let inputs = values(from_input)?;
        let mut states = vec![0_f32; batch * time * hidden];
        let mut state = vec![0_f32; batch * hidden];
        for step in 0..time {
            let tensor = Tensor::from_slice(&state, (batch, hidden), &Device::Cpu)?;
            let from_state = values(&ops::linear(&tensor, weight, Some(bias), false)?)?;
            for (sample, row) in state.chunks_exact_mut(hidden).enumerate() {
                let place = sample * time + step;
                let input = &inputs[place * 3 * hidden..][..3 * hidden];
                let gates = &from_state[sample * 3 * hidden..][..3 * hidden];
                for (j, old) in row.iter_mut().enumerate() {
                    let Gates { update, new, .. } = Gates::new(input, gates, hidden, j);
                    *old = new + update * (*old - new);
                }
                states[place * hidden..][..hidden].copy_from_slice(row);
            }
        }
        Ok(states)
    }

    /// The states before each step, time first: `[time, batch, hidden]`.
    fn previous(self, states: &[f32]) -> Vec<f32> {
        let Self { batch, time, hidden } = self;
        let mut previous = vec![0_f32; states.len()];
        for step in 1..time {
            for sample in 0..batch {
                let from = &states[(sample * time + step - 1) * hidden..][..hidden];
                previous[(step * batch + sample) * hidden..][..hidden].copy_from_slice(from);
            }
        }
        previous
    }
}

struct Recurrence {
    sizes: Sizes,
    /// Made before the node, because a node's own forward pass sees storages and not tensors; taken once.
    states: Mutex<Vec<f32>>,
}

impl CustomOp3 for Recurrence {
    fn name(&self) -> &'static str {
        "gru"
    }

    fn cpu_fwd(
        &self,
        _from_input: &CpuStorage,
        _: &Layout,
        _weight: &CpuStorage,
        _: &Layout,
        _bias: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let Ok(mut states) = self.states.lock() else {
            bail!("gru: a thread failed while it held the states");
        };
        let Sizes { batch, time, hidden } = self.sizes;
        let states = std::mem::take(&mut *states);
        Ok((CpuStorage::F32(states), Shape::from((batch, time, hidden))))
    }

    fn bwd(
        &self,
        from_input: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        states: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Sizes { batch, time, hidden } = self.sizes;
        let (weight, bias) = (weight.detach(), bias.detach());
        let (inputs, grads) = (values(from_input)?, values(grad)?);
        let previous = self.sizes.previous(&values(states)?);
        let before = Tensor::from_slice(&previous, (time * batch, hidden), &Device::Cpu)?;
        let from_state = values(&ops::linear(&before, &weight, Some(&bias), false)?)?; // [time, batch, 3 hidden]

        let mut d_input = vec![0_f32; inputs.len()];
        let mut d_gates = vec![0_f32; inputs.len()]; // of what the state gives: [time, batch, 3 hidden]
        let mut carry = vec![0_f32; batch * hidden];
        for step in (0..time).rev() {
            for (sample, carry) in carry.chunks_exact_mut(hidden).enumerate() {
                let (by_batch, by_time) = (sample * time + step, step * batch + sample);
                let input = &inputs[by_batch * 3 * hidden..][..3 * hidden];
                let state = &from_state[by_time * 3 * hidden..][..3 * hidden];
                let before = &previous[by_time * hidden..][..hidden];
                let grad = &grads[by_batch * hidden..][..hidden];
                let d_input = &mut d_input[by_batch * 3 * hidden..][..3 * hidden];
                let d_gates = &mut d_gates[by_time * 3 * hidden..][..3 * hidden];
                for j in 0..hidden {
                    let Gates { reset, update, new } = Gates::new(input, state, hidden, j);
                    let d = grad[j] + carry[j];
                    let d_new = d * (1.0 - update) * (1.0 - new * new);
                    let d_update = d * (before[j] - new) * update * (1.0 - update);
                    let d_reset = d_new * state[2 * hidden + j] * reset * (1.0 - reset);
                    d_input[j] = d_reset;
                    d_input[hidden + j] = d_update;
                    d_input[2 * hidden + j] = d_new;
                    d_gates[j] = d_reset;
                    d_gates[hidden + j] = d_update;
                    d_gates[2 * hidden + j] = d_new * reset;
                    carry[j] = d * update;
                }
            }
            let here = &d_gates[step * batch * 3 * hidden..][..batch * 3 * hidden];
            let here = Tensor::from_slice(here, (batch, 3 * hidden), &Device::Cpu)?;
            for (carry, more) in carry.iter_mut().zip(values(&here.matmul(&weight)?)?) {
                *carry += more;
            }
        }
        let d_gates = Tensor::from_vec(d_gates, (time * batch, 3 * hidden), &Device::Cpu)?;
        Ok((
            Some(Tensor::from_vec(d_input, (batch, time, 3 * hidden), &Device::Cpu)?),
            Some(d_gates.t()?.matmul(&before)?),
            Some(d_gates.sum(0)?),
        ))
    }
}

/// The numbers of an f32 tensor on the CPU, row-major.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((start, end))) => Ok(storage.as_slice::<f32>()?[start..end].to_vec()),
        _ => bail!("gru: expected a tensor on the CPU"),
    }
}
