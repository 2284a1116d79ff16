//! An optimizer's settings, as they stand in a spec.

use candle_core::bail;
use serde::{Deserialize, Serialize};

use crate::Result;

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
    /// Whether Adam divides by the largest second moment so far (Reddi et al., ICLR 2018): a parameter whose gradients fade takes no
    /// longer steps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub amsgrad: bool,
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
            amsgrad: false,
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
        if self.amsgrad && self.kind == OptimizerKind::Sgd {
            bail!("optimizer: `amsgrad` is Adam's; SGD has no second moment");
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
