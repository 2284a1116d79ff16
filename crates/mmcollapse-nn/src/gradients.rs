//! Gradients of a loss, without candle's detour for the large ones.
//!
//! candle gives each tensor a gradient of zeros and adds what operations report, so that a weight that is used once
//! costs four passes over memory. Here an operation may [`deposit`] the gradient of a variable instead.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::TensorId;

use crate::{GradStore, Result, Tensor, Var};

thread_local! {
    /// Gradients of the variables that the backward pass in progress on this thread is for.
    static DEPOSITS: RefCell<HashMap<TensorId, Option<Tensor>>> = RefCell::default();
}

/// The gradients of `loss`, as [`Tensor::backward`] gives them. Those of `vars` take less time; of others the same.
///
/// # Errors
/// Whatever candle reports, such as an operation without a gradient.
pub fn backward(loss: &Tensor, vars: &[(String, Var)]) -> Result<GradStore> {
    let places = vars.iter().map(|(_, var)| (var.id(), None)).collect();
    // Of a pass that this one runs within, as when a thread takes up other work while it waits.
    let outer = DEPOSITS.replace(places);
    let gradients = loss.backward();
    let deposits = DEPOSITS.replace(outer);
    let mut gradients = gradients?;
    for (id, deposit) in deposits {
        let Some(deposit) = deposit else { continue };
        let sum = match gradients.get_id(id) {
            Some(gradient) => (gradient + deposit)?,
            None => deposit,
        };
        gradients.insert_id(id, sum);
    }
    Ok(gradients)
}

/// Adds to the gradient of `tensor` if the backward pass takes deposits for it, else gives `gradient` back for candle.
///
/// # Errors
/// If two gradients of one tensor have different shapes.
pub(crate) fn deposit(tensor: &Tensor, gradient: Tensor) -> Result<Option<Tensor>> {
    DEPOSITS.with_borrow_mut(|deposits| match deposits.get_mut(&tensor.id()) {
        None => Ok(Some(gradient)),
        Some(place) => {
            *place = Some(match place.take() {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            });
            Ok(None)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Linear;
    use crate::{Device, Params};

    /// A loss that uses one layer's weight three times, once by an operation of candle, and another's once.
    fn loss(params: &Params) -> (Tensor, Vec<(String, Var)>) {
        let first = Linear::new(&params.root().pp("first"), 4, 4).unwrap();
        let second = Linear::new(&params.root().pp("second"), 4, 2).unwrap();
        let x = Tensor::new(&[[1_f32, -2.0, 3.0, 0.5], [0.1, 0.2, -0.3, 1.0]], &Device::Cpu).unwrap();
        let y = first.forward_relu(&first.forward(&x).unwrap()).unwrap();
        let square = second.forward(&y).unwrap().sqr().unwrap().sum_all().unwrap();
        let decay = first.weight().sqr().unwrap().sum_all().unwrap();
        ((square + decay).unwrap(), params.vars())
    }

    #[test]
    fn all_uses_of_a_variable_are_added() {
        let (loss, vars) = loss(&Params::new(5, &Device::Cpu));
        let expected = loss.backward().unwrap();
        let only_second: Vec<_> = vars
            .iter()
            .filter(|(name, _)| name.starts_with("second"))
            .cloned()
            .collect();
        for listed in [&vars, &only_second, &vec![]] {
            let gradients = backward(&loss, listed).unwrap();
            for (name, var) in &vars {
                let values = |of: &GradStore| of.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                for (a, b) in values(&gradients).iter().zip(values(&expected)) {
                    assert!((a - b).abs() < 1e-5, "{name}: {a} and {b}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_kept_for_the_next_pass() {
        let (loss, vars) = loss(&Params::new(5, &Device::Cpu));
        let _ = backward(&loss, &vars).unwrap();
        let plain = loss.backward().unwrap();
        assert!(vars.iter().all(|(_, var)| plain.get(var).is_some()));
    }
}
