//! The encoders' part of the gradients.

use mmcollapse_nn::{GradStore, Result as TensorResult, Tensor, Var, backward};

use crate::training::under;

/// A step of training.
pub struct Step<'a> {
    /// The variables that are trained, by name.
    pub vars: &'a [(String, Var)],
    /// The cell's seed.
    pub seed: u64,
    /// Number of the step, from 0.
    pub step: u64,
}

impl Step<'_> {
    /// The gradients of a loss.
    ///
    /// # Errors
    /// An operation without a gradient.
    pub fn backward(&self, loss: &Tensor) -> TensorResult<GradStore> {
        backward(loss, self.vars)
    }

    /// Adds to gradients those of another loss.
    ///
    /// # Errors
    /// A tensor operation failed.
    pub fn add(&self, gradients: &mut GradStore, mut others: GradStore) -> TensorResult<()> {
        for (_, var) in self.vars {
            if let Some(other) = others.remove(var) {
                let sum = match gradients.remove(var) {
                    Some(own) => (own + other)?,
                    None => other,
                };
                gradients.insert(var, sum);
            }
        }
        Ok(())
    }

    /// The variables below a prefix.
    pub fn under(&self, prefix: &str) -> impl Iterator<Item = &(String, Var)> {
        self.vars.iter().filter(move |(name, _)| under(name, prefix))
    }
}

/// Where the encoders' variables lie, modality by modality.
pub struct Encoders(Vec<String>);

impl Encoders {
    /// Of these modalities.
    pub fn new(modalities: &[String]) -> Self {
        Self(modalities.iter().map(|name| format!("encoder.{name}")).collect())
    }

    /// Their prefixes, in the modalities' order.
    pub fn prefixes(&self) -> &[String] {
        &self.0
    }

    /// Multiplies the gradients of each encoder's weights. Biases and the scales of norms, which have one dimension, stay, as in
    /// the public codes.
    ///
    /// # Errors
    /// A tensor operation failed.
    pub fn scale(&self, gradients: &mut GradStore, step: &Step, factors: &[f64]) -> TensorResult<()> {
        for (prefix, &factor) in self.0.iter().zip(factors) {
            if factor == 1.0 {
                continue;
            }
            for (_, var) in step.under(prefix).filter(|(_, var)| var.rank() > 1) {
                if let Some(gradient) = gradients.remove(var) {
                    gradients.insert(var, (gradient * factor)?);
                }
            }
        }
        Ok(())
    }
}
