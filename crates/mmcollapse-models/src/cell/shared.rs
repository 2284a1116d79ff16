//! Fits that several cells would train alike are trained once.
//!
//! The vanilla model is a cell of its own and what KD diagnoses; a unimodal baseline serves every fusion and, where its
//! modality is never scarce, every missing rate; a distilled encoder serves every fusion that lets its modality
//! collapse. A finished fit leaves its weights and history in a file named by the hash of all that decides them, initial
//! weights included, so that the file's user gets the bits it would have trained itself. A file that is damaged is
//! reported and trained anew.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use mmcollapse_data::Presence;
use mmcollapse_files::sha256;
use mmcollapse_nn::{Params, Tensor, safetensors};
use serde_json::{Value, json};

use super::mechanism;
use crate::{
    diagnosis,
    error::{ModelError, Result},
    method::MethodConfig,
    reallocation::digest,
    training::{Along, EpochRecord, Fit, FitEnd, under},
    upweight::UpweightConfig,
};

/// What decides a fit beside its seed, data and training.
pub(super) struct Recipe {
    /// Digest of the data it sees.
    pub data: String,
    /// The methods whose parameters it trains.
    pub objective: Vec<MethodConfig>,
    /// The modality that weighs more in its loss, if one does.
    pub upweight: Option<UpweightConfig>,
    /// What else its loss depends on.
    pub further: Option<Value>,
    /// Prefix of what only its loss uses; it ends with the fit.
    pub discarded: Option<&'static str>,
    /// The revisions of their code.
    pub revision: String,
}

/// Where a fit is, or will be.
pub(super) struct SharedFit {
    path: PathBuf,
    /// What decides its bits, as JSON.
    recipe: String,
}

impl Recipe {
    /// The place of `fit`, which has its initial weights, in `folder`. Modalities that no sample of `index` has take no
    /// part, so that a unimodal baseline is the same whatever other modalities a cell has.
    pub fn place(
        &self,
        folder: &Path,
        fit: &Fit,
        modalities: &[String],
        presence: &Presence,
        index: &[usize],
    ) -> Result<SharedFit> {
        let mut who: BTreeMap<&String, Vec<bool>> = BTreeMap::new();
        for (m, name) in modalities.iter().enumerate() {
            let having: Vec<bool> = index.iter().map(|&i| presence.get(i, m)).collect();
            if having.contains(&true) {
                who.insert(name, having);
            }
        }
        let mut recipe = json!({
            "objective": self.objective,
            "revision": self.revision,
            "fit": fit.name,
            "seed": fit.seed,
            "training": fit.training,
            "data": self.data,
            "samples": sha256(json!([index, who]).to_string().as_bytes()),
            "weights": digest(&fit.params.state()?)?,
            // Another device rounds differently; another processor does too, by less than a table shows.
            "device": if fit.params.root().device().is_cpu() { "cpu" } else { "gpu" },
        });
        // The weights are the same; the history tells more.
        match fit.along {
            Along::Encoders if !fit.objective.encoders().is_empty() => recipe["probes"] = json!(diagnosis::REVISION),
            Along::Layer if fit.objective.model().is_some() => recipe["layer"] = json!(mechanism::REVISION),
            _ => {}
        }
        if let Some(upweight) = &self.upweight {
            recipe["upweight"] = json!(upweight);
        }
        if let Some(further) = &self.further {
            recipe["further"] = further.clone();
        }
        let recipe = recipe.to_string();
        Ok(SharedFit {
            path: folder.join(format!("{}.safetensors", &sha256(recipe.as_bytes())[..16])),
            recipe,
        })
    }
}

impl SharedFit {
    /// The file's name in its folder; none if it is not there, as where it could not be written.
    pub fn file(&self) -> Option<String> {
        let name = self.path.file_name()?.to_str()?;
        self.path.is_file().then(|| name.to_owned())
    }

    /// Puts the trained weights into the fit's parameters and returns its history and end; nothing if it is not there.
    ///
    /// # Errors
    /// A file that is not as it was written; the parameters are then as they were.
    pub fn read(&self, fit: &Fit) -> Result<Option<(Vec<EpochRecord>, FitEnd)>> {
        // Whatever else than its absence keeps it from being read is told by reading it.
        if self.path.try_exists().is_ok_and(|exists| !exists) {
            return Ok(None);
        }
        let broken = |reason: String| self.error(reason);
        let (state, metadata) =
            safetensors::load(&self.path, &fit.params.root().device()).map_err(|e| broken(e.to_string()))?;
        if metadata.get("recipe") != Some(&self.recipe) {
            return Err(broken("it belongs to another fit".to_owned()));
        }
        let field = |name: &str| metadata.get(name).map_or("", String::as_str);
        let mut history: Vec<EpochRecord> =
            serde_json::from_str(field("history")).map_err(|e| broken(e.to_string()))?;
        let end = match field("end") {
            "" => FitEnd::Done, // of an older program, which kept no fit that had diverged
            end => serde_json::from_str(end).map_err(|e| broken(e.to_string()))?,
        };
        let mut weights = fit.params.state()?;
        weights.extend(state);
        fit.params.load(&weights)?;
        for record in &mut history {
            record.fit.clone_from(&fit.label);
        }
        Ok(Some((history, end)))
    }

    /// Writes the trained weights, the history and the end, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, fit: &Fit, history: &[EpochRecord], end: &FitEnd, discarded: Option<&str>) -> Result<()> {
        let broken = |reason: String| self.error(reason);
        let history = serde_json::to_string(history).map_err(|e| broken(e.to_string()))?;
        let end = serde_json::to_string(end).map_err(|e| broken(e.to_string()))?;
        let state = outcome(fit.params, discarded)?;
        let metadata = BTreeMap::from([
            ("recipe".to_owned(), self.recipe.clone()),
            ("history".to_owned(), history),
            ("end".to_owned(), end),
        ]);
        safetensors::save(&self.path, &state, &metadata).map_err(|e| broken(e.to_string()))
    }

    fn error(&self, reason: String) -> ModelError {
        ModelError::Shared {
            path: self.path.display().to_string(),
            reason,
        }
    }
}

/// The weights and buffers of a finished fit that others go on from.
pub(super) fn outcome(params: &Params, discarded: Option<&str>) -> Result<BTreeMap<String, Tensor>> {
    let mut state = params.state()?;
    state.retain(|name, _| discarded.is_none_or(|prefix| !under(name, prefix)));
    Ok(state)
}
