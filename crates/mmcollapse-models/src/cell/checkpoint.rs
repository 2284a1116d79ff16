//! A cell's progress on disk: one safetensors file, replaced as a whole.
//!
//! It holds the weights, buffers and optimizer moments of the fit that runs, what earlier fits left (weights of
//! teachers, of a distilled encoder), and as JSON in its metadata the configuration, the epoch, the step and what
//! was measured; with a checksum of all that, so that a damaged one is never trained on. Random streams need no state of their own: their positions are the epoch and the step.

use std::{collections::BTreeMap, path::Path};

use mmcollapse_nn::{Device, Params, Tensor, safetensors};
use serde::{Deserialize, Serialize};

use super::Facts;
use crate::{
    error::{ModelError, Result},
    training::{EpochRecord, FitState},
};

/// File name in a cell's folder.
pub(crate) const FILE: &str = "checkpoint.safetensors";

/// Where a fit stands, as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    fit: String,
    epoch: usize,
    step: u64,
    history: Vec<EpochRecord>,
}

/// A checkpoint that was read.
pub(crate) struct Checkpoint {
    pub facts: Facts,
    pub artifacts: BTreeMap<String, Tensor>,
    fit: Option<(Position, BTreeMap<String, Tensor>)>,
}

impl Checkpoint {
    /// Reads the checkpoint in `folder`, if there is one.
    ///
    /// # Errors
    /// A file that is broken or belongs to another configuration.
    pub fn read(folder: &Path, config: &str, device: &Device) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        // Whatever else than its absence keeps it from being read is told by reading it.
        if path.try_exists().is_ok_and(|exists| !exists) {
            return Ok(None);
        }
        let broken = |reason: String| ModelError::Checkpoint {
            path: path.display().to_string(),
            reason,
        };
        let (tensors, metadata) = safetensors::load(&path, device).map_err(|e| broken(e.to_string()))?;
        let field = |name: &str| {
            metadata
                .get(name)
                .ok_or_else(|| broken(format!("its metadata lack `{name}`")))
        };
        if field("config")? != config {
            return Err(broken("it belongs to another configuration".to_owned()));
        }
        let facts = serde_json::from_str(field("facts")?).map_err(|e| broken(e.to_string()))?;
        let position: Option<Position> = serde_json::from_str(field("fit")?).map_err(|e| broken(e.to_string()))?;
        let (mut artifacts, mut fit) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in tensors {
            if let Some(name) = name.strip_prefix("artifact.") {
                artifacts.insert(name.to_owned(), tensor);
            } else if let Some(name) = name.strip_prefix("fit.") {
                fit.insert(name.to_owned(), tensor);
            } else {
                return Err(broken(format!("unexpected tensor `{name}`")));
            }
        }
        Ok(Some(Self {
            facts,
            artifacts,
            fit: position.map(|p| (p, fit)),
        }))
    }

    /// Puts the saved state of fit `name` into `params` and `state`, if that is the fit that was running.
    ///
    /// # Errors
    /// Names or shapes that do not fit.
    pub fn restore(&mut self, name: &str, params: &Params, state: &mut FitState) -> Result<()> {
        let Some((position, tensors)) = self.fit.take_if(|(p, _)| p.fit == name) else {
            return Ok(());
        };
        let below = |prefix: &str| -> BTreeMap<String, Tensor> {
            tensors
                .iter()
                .filter_map(|(n, t)| Some((n.strip_prefix(prefix)?.to_owned(), t.clone())))
                .collect()
        };
        params.load(&below("params."))?;
        for (i, optimizer) in state.optimizers.iter_mut().enumerate() {
            optimizer.load_state(&below(&format!("optimizer{i}.")))?;
        }
        state.epoch = position.epoch;
        state.step = position.step;
        state.history = position.history;
        Ok(())
    }
}

/// Writes a checkpoint; `fit` is the one that runs, or none between two.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(
    folder: &Path,
    config: &str,
    facts: &Facts,
    artifacts: &BTreeMap<String, Tensor>,
    fit: Option<(&str, &Params, &FitState)>,
) -> Result<()> {
    let path = folder.join(FILE);
    let broken = |reason: String| ModelError::CheckpointUnwritten {
        path: path.display().to_string(),
        reason,
    };
    let mut tensors: BTreeMap<String, Tensor> = artifacts
        .iter()
        .map(|(n, t)| (format!("artifact.{n}"), t.clone()))
        .collect();
    let mut position = None;
    if let Some((name, params, state)) = fit {
        for (n, t) in params.state()? {
            tensors.insert(format!("fit.params.{n}"), t);
        }
        for (i, optimizer) in state.optimizers.iter().enumerate() {
            for (n, t) in optimizer.state()? {
                tensors.insert(format!("fit.optimizer{i}.{n}"), t);
            }
        }
        position = Some(Position {
            fit: name.to_owned(),
            epoch: state.epoch,
            step: state.step,
            history: state.history.clone(),
        });
    }
    let json = |e: serde_json::Error| broken(e.to_string());
    let metadata = BTreeMap::from([
        ("config".to_owned(), config.to_owned()),
        ("facts".to_owned(), serde_json::to_string(facts).map_err(json)?),
        ("fit".to_owned(), serde_json::to_string(&position).map_err(json)?),
    ]);
    safetensors::save(&path, &tensors, &metadata).map_err(|e| broken(e.to_string()))
}
