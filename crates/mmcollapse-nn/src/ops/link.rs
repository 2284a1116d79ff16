//! A tensor between two operations whose gradient goes from the one to the other directly.
//!
//! candle gives each tensor of the graph a gradient of zeros and adds what the operations after it report. For the
//! maps between convolutions that is three passes over memory for nothing, as one operation reads each. A link
//! shows the graph a mark of one number instead; the gradient takes a way of its own.

use std::sync::{Arc, Mutex, PoisonError};

use super::fused;
use crate::candle::{CpuStorage, CustomOp1, Layout, Shape, bail};
use crate::{Result, Tensor};

/// A tensor on its way from an operation to the next: an ordinary one, by `From`, or one that an operation here left.
#[derive(Clone, Debug)]
pub struct Link {
    values: Tensor,
    /// What stands for `values` in the graph, and their gradient in a backward pass; without it they stand for themselves.
    mark: Option<(Tensor, Return)>,
}

/// Where an operation finds the gradient of what it left as a [`Link`].
#[derive(Clone, Debug, Default)]
pub(super) struct Return(Arc<Mutex<Option<Tensor>>>);

impl Return {
    /// The gradient that the operations after this one have given, which is then gone.
    pub fn take(&self) -> Result<Tensor> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(gradient) => Ok(gradient),
            None => bail!("a link's gradient was asked for before any operation had given one"),
        }
    }

    fn give(&self, gradient: Tensor) -> Result<()> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(match place.take() {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        });
        Ok(())
    }
}

/// What an operation that leaves a [`Link`] returns to candle.
pub(super) fn mark() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), Shape::from(1))
}

impl Link {
    /// The link of `values`, which the operation behind `mark` has computed and whose gradient it takes from `back`.
    pub(super) fn new(values: Tensor, mark: Tensor, back: Return) -> Self {
        Self {
            values: values.detach(),
            mark: Some((mark, back)),
        }
    }

    /// The numbers, outside the graph unless this is an ordinary tensor.
    pub(super) fn values(&self) -> &Tensor {
        &self.values
    }

    /// What an operation on the numbers names as its argument.
    pub(super) fn argument(&self) -> &Tensor {
        match &self.mark {
            Some((mark, _)) => mark,
            None => &self.values,
        }
    }

    /// This link with its numbers in a row.
    pub(super) fn contiguous(mut self) -> Result<Self> {
        self.values = self.values.contiguous()?;
        Ok(self)
    }

    /// Sends the gradient of [`Self::values`] on its way; returns that of [`Self::argument`], for candle.
    pub(super) fn give(&self, gradient: Tensor) -> Result<Tensor> {
        match &self.mark {
            Some((mark, back)) => {
                back.give(gradient)?;
                mark.zeros_like()
            }
            None => Ok(gradient),
        }
    }

    /// An ordinary tensor, for operations that take no link.
    ///
    /// # Errors
    /// Whatever the device says.
    pub fn into_tensor(self) -> Result<Tensor> {
        match &self.mark {
            Some((mark, _)) => {
                let mark = mark.clone();
                mark.apply_op1(Landing(self))
            }
            None => Ok(self.values),
        }
    }
}

impl From<&Tensor> for Link {
    fn from(tensor: &Tensor) -> Self {
        Self {
            values: tensor.clone(),
            mark: None,
        }
    }
}

/// The numbers of a link as a node of the graph.
struct Landing(Link);

impl CustomOp1 for Landing {
    fn name(&self) -> &'static str {
        "link"
    }

    fn cpu_fwd(&self, _mark: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = fused::with(self.0.values(), |values| Ok(values.to_vec()))?;
        Ok((CpuStorage::F32(values), self.0.values().shape().clone()))
    }

    fn bwd(&self, _mark: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        self.0.give(gradient.clone()).map(Some)
    }
}
