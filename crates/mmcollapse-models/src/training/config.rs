//! How long, in what steps and by which rule something is trained.

use mmcollapse_nn::{
    optim::{OptimizerConfig, OptimizerKind},
    schedule::Schedule,
};
use serde::{Deserialize, Serialize};

/// How a stage is trained. The defaults are those of SMIL's fused model on avMNIST.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Passes over the training samples.
    pub epochs: usize,
    /// Samples in a batch; the last one of an epoch may be smaller.
    pub batch_size: usize,
    /// Update rule of all parameters but a discriminator's.
    pub optimizer: OptimizerConfig,
    /// Learning-rate factor along the epochs.
    pub schedule: Schedule,
    /// Largest global norm of the gradient, if it is clipped.
    pub clip_norm: Option<f64>,
    /// A run has diverged when the root mean square of its encodings or latents, or one of its losses, is over this.
    pub blow_up: f64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 60,
            batch_size: 32,
            optimizer: OptimizerConfig {
                weight_decay: 1e-4,
                ..OptimizerConfig::new(OptimizerKind::Adam, 1e-3)
            },
            schedule: Schedule::Step { every: 30, factor: 0.1 },
            clip_norm: None,
            blow_up: 1e4,
        }
    }
}

impl Training {
    /// Whether each number lies where it has a meaning; the reason if one does not.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.epochs == 0 || self.batch_size == 0 {
            return Err(format!(
                "epochs and batch_size must be at least 1, got {} and {}",
                self.epochs, self.batch_size
            ));
        }
        // A negative norm would turn every step around.
        for (name, bound) in [("clip_norm", self.clip_norm), ("blow_up", Some(self.blow_up))] {
            if let Some(bound) = bound.filter(|bound| !(bound.is_finite() && *bound > 0.0)) {
                return Err(format!("`{name}` must be a number above 0, got {bound}"));
            }
        }
        self.optimizer.check().map_err(|error| error.to_string())
    }

    /// The same over so many times the epochs, the schedule with them.
    pub(crate) fn stretched(&self, times: usize) -> Self {
        Self {
            epochs: self.epochs * times,
            schedule: self.schedule.stretched(times),
            ..self.clone()
        }
    }
}
