//! The gated recurrent unit (Cho et al. 2014; PyTorch's `nn.GRU` of one layer, `batch_first`).

mod fused;

use candle_core::bail;

use crate::{DType, Init, Result, Scope, Tensor, ops};

/// A recurrent layer that starts from a state of zeros.
///
/// Parameters `weight_ih_l0` `[3 hidden, inputs]`, `weight_hh_l0` `[3 hidden, hidden]`, `bias_ih_l0` and
/// `bias_hh_l0` `[3 hidden]`; gates in the order reset, update, new.
#[derive(Clone, Debug)]
pub struct Gru {
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    hidden: usize,
}

impl Gru {
    /// Parameters start at PyTorch's default, uniform within `1/sqrt(hidden)` of zero.
    ///
    /// # Errors
    /// If a size is 0 or names are taken.
    pub fn new(scope: &Scope, inputs: usize, hidden: usize) -> Result<Self> {
        if inputs == 0 || hidden == 0 {
            bail!(
                "gru `{}`: {inputs} inputs and {hidden} hidden units, expected at least 1 of each",
                scope.path()
            );
        }
        let init = Init::FanIn(hidden);
        Ok(Self {
            weight_ih: scope.var("weight_ih_l0", (3 * hidden, inputs), init)?,
            weight_hh: scope.var("weight_hh_l0", (3 * hidden, hidden), init)?,
            bias_ih: scope.var("bias_ih_l0", 3 * hidden, init)?,
            bias_hh: scope.var("bias_hh_l0", 3 * hidden, init)?,
            hidden,
        })
    }

    /// `x [batch, time, inputs]` to the states after each step, `[batch, time, hidden]`.
    ///
    /// # Errors
    /// If `x` has another shape or no step.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.dims3()?.1 == 0 {
            bail!("gru: x {:?} has no time step", x.dims());
        }
        let from_input = ops::linear(x, &self.weight_ih, Some(&self.bias_ih), false)?; // [batch, time, 3 hidden]
        if x.device().is_cpu() && x.dtype() == DType::F32 {
            fused::recurrence(&from_input, &self.weight_hh, &self.bias_hh)
        } else {
            self.recurrence_composed(&from_input)
        }
    }

    /// The states from what the input gives to the gates, `[batch, time, 3 hidden]`, composed of operations.
    fn recurrence_composed(&self, from_input: &Tensor) -> Result<Tensor> {
        let (batch, time, _) = from_input.dims3()?;
        let shape = (batch, self.hidden);
        let mut state = Tensor::zeros(shape, from_input.dtype(), from_input.device())?;
        let mut states = Vec::with_capacity(time);
        for step in 0..time {
            let input = from_input.narrow(1, step, 1)?.squeeze(1)?;
            state = self.step(&input, &state)?;
            states.push(state.clone());
        }
        Tensor::stack(&states, 1)
    }

    /// The state at the last step of each sample, `[batch, hidden]`, where `states` are those of
    /// [`Gru::forward`] on sequences padded at their ends and `lengths` counts the real steps.
    ///
    /// # Errors
    /// If there are not as many lengths as samples, or one is 0 or longer than the sequences.
    pub fn last(states: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (batch, time, hidden) = states.dims3()?;
        if lengths.len() != batch {
            bail!("gru: {} lengths for {batch} sequences", lengths.len());
        }
        let mut rows = Vec::with_capacity(batch);
        for (sample, &length) in lengths.iter().enumerate() {
            if length == 0 || length > time {
                bail!("gru: sequence {sample} has length {length}, expected 1..={time}");
            }
            rows.push((sample * time + length - 1) as u32);
        }
        let rows = Tensor::from_vec(rows, batch, states.device())?;
        states.reshape((batch * time, hidden))?.index_select(&rows, 0)
    }

    /// One step: `input [batch, 3 hidden]`, `state [batch, hidden]` to the next state.
    fn step(&self, input: &Tensor, state: &Tensor) -> Result<Tensor> {
        let from_state = ops::linear(state, &self.weight_hh, Some(&self.bias_hh), false)?;
        let gate = |i: usize| -> Result<(Tensor, Tensor)> {
            let start = i * self.hidden;
            Ok((
                input.narrow(1, start, self.hidden)?,
                from_state.narrow(1, start, self.hidden)?,
            ))
        };
        let ((reset_x, reset_h), (update_x, update_h), (new_x, new_h)) = (gate(0)?, gate(1)?, gate(2)?);
        let reset = ops::sigmoid(&(reset_x + reset_h)?)?;
        let update = ops::sigmoid(&(update_x + update_h)?)?;
        let new = ops::tanh(&(new_x + (reset * new_h)?)?)?;
        // (1 - update) new + update state
        &new + (update * (state - &new)?)?
    }
}
