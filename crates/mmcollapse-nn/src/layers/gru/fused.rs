//! The recurrence of a GRU as one node of the graph, on the CPU in f32.
//!
//! Composed of operations, a sequence of T steps is T slices of one tensor, and the gradient of each slice is a
//! tensor of the whole: T^2 in time. Here the gates of all steps are kept, and the backward pass walks over them once.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, bail};

use crate::{
    Result, Tensor,
    ops::{
        Kernel, Matrix, Simd, fused, gemm,
        math::{sigmoid, tanh},
        product, transposed, vectorized,
    },
};

/// States after each step, `[batch, time, hidden]`, from what the input gives to the gates,
/// `from_input [batch, time, 3 hidden]`, `weight [3 hidden, hidden]` and `bias [3 hidden]`; all f32 on the CPU.
pub(super) fn recurrence(from_input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (batch, time, gates) = from_input.dims3()?;
    let op = Recurrence {
        sizes: Sizes {
            batch,
            time,
            hidden: gates / 3,
        },
        gates: OnceLock::new(),
    };
    from_input
        .contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    time: usize,
    hidden: usize,
}

struct Recurrence {
    sizes: Sizes,
    /// Those of the forward pass: see [`Forward::gates`].
    gates: OnceLock<Vec<f32>>,
}

impl CustomOp3 for Recurrence {
    fn name(&self) -> &'static str {
        "gru"
    }

    fn cpu_fwd(
        &self,
        from_input: &CpuStorage,
        from_input_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let Sizes { batch, time, hidden } = self.sizes;
        // Laid out as the products of all steps read it.
        let weight = transposed(fused::slice(weight, weight_layout)?, hidden); // [hidden, 3 hidden]
        let bias = fused::slice(bias, bias_layout)?;
        let mut states = vec![0_f32; batch * time * hidden];
        let mut gates = vec![0_f32; batch * time * 4 * hidden];
        let mut state = vec![0_f32; batch * hidden];
        let mut from_state = vec![0_f32; batch * 3 * hidden];
        for step in 0..time {
            for row in from_state.chunks_exact_mut(3 * hidden) {
                row.copy_from_slice(bias);
            }
            gemm(
                &mut from_state,
                Matrix::new(&state, batch, hidden),
                Matrix::new(&weight, hidden, 3 * hidden),
                true,
            );
            vectorized(Forward {
                sizes: self.sizes,
                step,
                from_input: fused::slice(from_input, from_input_layout)?,
                from_state: &from_state,
                state: &mut state,
                gates: &mut gates,
            });
            for (sample, row) in state.chunks_exact(hidden).enumerate() {
                states[(sample * time + step) * hidden..][..hidden].copy_from_slice(row);
            }
        }
        if self.gates.set(gates).is_err() {
            bail!("gru: one node was run twice");
        }
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
        let Some(gates) = self.gates.get() else {
            bail!("gru: a gradient was asked for before the states");
        };
        let previous = fused::with(states, |states| Ok(self.sizes.previous(states)))?;
        let mut d_input = vec![0_f32; batch * time * 3 * hidden];
        let mut d_gates = vec![0_f32; batch * time * 3 * hidden]; // of what the state gives: [time, batch, 3 hidden]
        let mut carry = vec![0_f32; batch * hidden];
        let grad = grad.contiguous()?;
        fused::with(weight, |weight| {
            fused::with(&grad, |grad| {
                for step in (0..time).rev() {
                    vectorized(Backward {
                        sizes: self.sizes,
                        step,
                        gates,
                        previous: &previous,
                        grad,
                        carry: &mut carry,
                        d_input: &mut d_input,
                        d_gates: &mut d_gates,
                    });
                    let here = &d_gates[step * batch * 3 * hidden..][..batch * 3 * hidden];
                    gemm(
                        &mut carry,
                        Matrix::new(here, batch, 3 * hidden),
                        Matrix::new(weight, 3 * hidden, hidden),
                        true,
                    );
                }
                Ok(())
            })
        })?;
        let d_weight = product(
            Matrix::new(&d_gates, time * batch, 3 * hidden).transposed(),
            Matrix::new(&previous, time * batch, hidden),
        );
        let d_bias = fused::column_sums(&d_gates, 3 * hidden);
        Ok((
            Some(fused::tensor(d_input, from_input)?),
            Some(fused::tensor(d_weight, weight)?),
            Some(fused::tensor(d_bias, bias)?),
        ))
    }
}

impl Sizes {
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

/// `N` slices of `length` numbers, one after the other.
#[inline(always)]
fn parts<const N: usize>(values: &[f32], length: usize) -> [&[f32]; N] {
    std::array::from_fn(|i| &values[i * length..][..length])
}

/// As [`parts`], to write to.
#[inline(always)]
fn parts_mut<const N: usize>(values: &mut [f32], length: usize) -> [&mut [f32]; N] {
    let mut rest = values;
    std::array::from_fn(|_| {
        let (first, others) = std::mem::take(&mut rest).split_at_mut(length);
        rest = others;
        first
    })
}

/// One step forward of all samples.
struct Forward<'a> {
    sizes: Sizes,
    step: usize,
    /// `[batch, time, 3 hidden]`.
    from_input: &'a [f32],
    /// `[batch, 3 hidden]`.
    from_state: &'a [f32],
    /// `[batch, hidden]`, the state before the step and after it.
    state: &'a mut [f32],
    /// `[time, batch, 4 hidden]`: reset, update, new, and what the state gives to new.
    gates: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Sizes { batch, time, hidden } = self.sizes;
        let gates = &mut self.gates[self.step * batch * 4 * hidden..];
        let rows = self
            .state
            .chunks_exact_mut(hidden)
            .zip(gates.chunks_exact_mut(4 * hidden));
        for (sample, (state, gates)) in rows.enumerate() {
            let from_input = &self.from_input[(sample * time + self.step) * 3 * hidden..][..3 * hidden];
            let [reset_x, update_x, new_x] = parts(from_input, hidden);
            let [reset_h, update_h, new_h] = parts(&self.from_state[sample * 3 * hidden..], hidden);
            let [reset, update, new, new_state] = parts_mut(gates, hidden);
            // One loop a gate: few enough slices that they vectorise.
            for j in 0..hidden {
                reset[j] = sigmoid(reset_x[j] + reset_h[j]);
            }
            for j in 0..hidden {
                update[j] = sigmoid(update_x[j] + update_h[j]);
            }
            new_state.copy_from_slice(new_h);
            for j in 0..hidden {
                new[j] = tanh(new_x[j] + reset[j] * new_h[j]);
            }
            for j in 0..hidden {
                state[j] = new[j] + update[j] * (state[j] - new[j]);
            }
        }
    }
}

/// One step backward of all samples.
struct Backward<'a> {
    sizes: Sizes,
    step: usize,
    /// As in [`Forward`].
    gates: &'a [f32],
    /// `[time, batch, hidden]`, the states before each step.
    previous: &'a [f32],
    /// `[batch, time, hidden]`, of the states.
    grad: &'a [f32],
    /// `[batch, hidden]`: what the steps behind give to the state after this one, then this one's own part of what it
    /// gives to the state before it.
    carry: &'a mut [f32],
    /// `[batch, time, 3 hidden]`.
    d_input: &'a mut [f32],
    /// `[time, batch, 3 hidden]`.
    d_gates: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Sizes { batch, time, hidden } = self.sizes;
        for (sample, carry) in self.carry.chunks_exact_mut(hidden).enumerate() {
            let (by_batch, by_time) = (sample * time + self.step, self.step * batch + sample);
            let [reset, update, new, new_state] = parts(&self.gates[by_time * 4 * hidden..], hidden);
            let [before] = parts(&self.previous[by_time * hidden..], hidden);
            let [grad] = parts(&self.grad[by_batch * hidden..], hidden);
            let d_input = &mut self.d_input[by_batch * 3 * hidden..][..3 * hidden];
            let d_gates = &mut self.d_gates[by_time * 3 * hidden..][..3 * hidden];
            {
                let [d_reset, d_update, d_new] = parts_mut(d_input, hidden);
                for j in 0..hidden {
                    let d = grad[j] + carry[j];
                    d_new[j] = d * (1.0 - update[j]) * (1.0 - new[j] * new[j]);
                    d_update[j] = d * (before[j] - new[j]) * update[j] * (1.0 - update[j]);
                    carry[j] = d * update[j];
                }
                for j in 0..hidden {
                    d_reset[j] = d_new[j] * new_state[j] * reset[j] * (1.0 - reset[j]);
                }
            }
            d_gates.copy_from_slice(d_input);
            for (d_new, reset) in d_gates[2 * hidden..].iter_mut().zip(reset) {
                *d_new *= reset;
            }
        }
    }
}
