//! Trains one cell: its stages in order, each through the one loop.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use mmcollapse_data::{Dataset, Presence};
use mmcollapse_nn::{Device, Params, Tensor};
use mmcollapse_record::Diagnosis;
use serde::{Deserialize, Serialize};

use super::{
    CellOutcome,
    checkpoint::{self, Checkpoint},
    mechanism,
    probing::{self, Probing, due},
    shared::{self, Recipe},
};
use crate::{
    balancing::Held,
    config::CellConfig,
    error::{ModelError, Result},
    method::MethodConfig,
    model::{Model, ModelSpec},
    multimodal::Multimodal,
    observer::Observer,
    protocol,
    reallocation::Placed,
    revision::{reallocation_revision, vanilla_revision},
    training::{Along, EpochRecord, Fit, FitEnd, JOINT, Objective, Readings, TrainingData, under},
};

/// Name in the history of the fit of the model that is scored.
pub const MULTIMODAL: &str = "multimodal";

/// What stands before a modality's name in the history of its encoder's training alone.
pub const UNIMODAL: &str = "unimodal/";

/// Wall time between two checkpoints; it decides what a crash loses, not numbers.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(20);

/// What the finished parts of a cell found out; saved with its checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(super) unimodal: Vec<Option<f64>>,
    pub(super) diagnosis: Option<Diagnosis>,
    pub(super) diverged: Option<(String, usize)>,
    pub(super) history: Vec<EpochRecord>,
    pub(super) seconds: f64,
}

impl Facts {
    /// The epochs of a fit, by its label.
    pub(super) fn of_fit<'a>(&'a self, label: &'a str) -> impl DoubleEndedIterator<Item = &'a EpochRecord> {
        self.history.iter().filter(move |record| record.fit == label)
    }
}

/// What a cell works with beside its configuration. None of it changes a number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    /// Folder of its own: an interrupted cell is continued from there, bit for bit as if it had not been interrupted.
    pub checkpoint: Option<&'a Path>,
    /// Folder of all cells: what several of them would train alike (unimodal baselines, the vanilla model, distilled encoders,
    /// and the final models of cells that differ in evaluation alone) is trained by the first and read by the others.
    pub shared: Option<&'a Path>,
    /// Measures of the representation beyond the protocol's own, by `Definition::key`.
    pub measures: &'a [String],
    /// Whether to train nothing: all fits must be in `shared`.
    pub only_measure: bool,
}

/// Trains the cell on `dataset` and scores it.
///
/// # Errors
/// A configuration that does not fit the data, a broken checkpoint, [`ModelError::Interrupted`] when the observer
/// asks to stop, [`ModelError::NoWeights`] where something would have to be trained and may not. A run that diverges is an
/// outcome, not an error.
pub fn run_cell(
    config: &CellConfig,
    dataset: &Dataset,
    device: &Device,
    observer: &mut dyn Observer,
    conditions: Conditions<'_>,
) -> Result<CellOutcome> {
    let config = config.resolve()?;
    let clean = dataset.digest.clone();
    let (chosen, weak) = fitted(&config, dataset)?;
    let dataset = chosen.as_ref().unwrap_or(dataset);
    let config_json = serde_json::to_string(&config).map_err(|e| ModelError::Unfit {
        dataset: dataset.name.clone(),
        reason: format!("the configuration cannot be written as JSON: {e}"),
    })?;
    let mut resumed = match conditions.checkpoint {
        Some(dir) => Checkpoint::read(dir, &config_json, device)?,
        None => None,
    };
    let (facts, artifacts) = match &mut resumed {
        Some(c) => (c.facts.clone(), std::mem::take(&mut c.artifacts)),
        None => Default::default(),
    };
    let spec = ModelSpec::new(&config, dataset)?;
    let corrupted = protocol::corrupted(&config, dataset, weak)?;
    let dataset = corrupted.as_ref().unwrap_or(dataset);
    let mut run = Run {
        presence: Split {
            train: protocol::available(&config, weak, &dataset.train, "train"),
            validation: protocol::available(&config, weak, &dataset.validation, "validation"),
        },
        everyone: (0..dataset.train.len()).collect(),
        config,
        config_json,
        spec,
        dataset,
        clean,
        weak,
        device,
        observer,
        conditions,
        weights: None,
        resumed,
        facts,
        artifacts,
        started: Instant::now(),
        saved: Instant::now(),
    };
    run.all_stages()
}

/// The data set with the modalities that the cell names, if it names any, and where in it the protocol's modality stands.
pub(super) fn fitted(config: &CellConfig, dataset: &Dataset) -> Result<(Option<Dataset>, Option<usize>)> {
    let chosen = match &config.modalities[..] {
        [] => None,
        named => Some(dataset.with(&positions(dataset, named)?)),
    };
    let dataset = chosen.as_ref().unwrap_or(dataset);
    let weak = config.protocol.modality().map(|name| {
        dataset.modality(name).ok_or_else(|| ModelError::Unfit {
            dataset: dataset.name.clone(),
            reason: format!(
                "the protocol is about modality `{name}`; the data set has {}",
                names(dataset).join(", ")
            ),
        })
    });
    let weak = weak.transpose()?;
    Ok((chosen, weak))
}

/// Where the named modalities stand in the data set.
fn positions(dataset: &Dataset, modalities: &[String]) -> Result<Vec<usize>> {
    let position = |name: &String| {
        dataset.modality(name).ok_or_else(|| ModelError::Unfit {
            dataset: dataset.name.clone(),
            reason: format!(
                "`modalities` names `{name}`; the data set has {}",
                names(dataset).join(", ")
            ),
        })
    };
    modalities.iter().map(position).collect()
}

fn names(dataset: &Dataset) -> Vec<String> {
    dataset.modalities.iter().map(|m| m.name.clone()).collect()
}

pub(super) struct Split<T> {
    pub train: T,
    pub validation: T,
}

/// A cell while it runs.
pub(super) struct Run<'a> {
    pub config: CellConfig,
    pub config_json: String,
    pub spec: ModelSpec,
    pub dataset: &'a Dataset,
    /// Digest of the whole data set, before modalities are chosen and the protocol corrupts one of them.
    pub clean: String,
    /// The modality that the protocol takes away, corrupts or up-weights.
    pub weak: Option<usize>,
    pub device: &'a Device,
    pub observer: &'a mut dyn Observer,
    pub conditions: Conditions<'a>,
    /// File of the last fit among the shared ones.
    pub weights: Option<String>,
    pub resumed: Option<Checkpoint>,
    pub facts: Facts,
    pub artifacts: BTreeMap<String, Tensor>,
    pub presence: Split<Presence>,
    pub everyone: Vec<usize>,
    pub started: Instant,
    pub saved: Instant,
}

impl Run<'_> {
    fn all_stages(&mut self) -> Result<CellOutcome> {
        let mut model = self.spec.build(self.device)?;
        if self.config.protocol.kind().probes_encoders() {
            // Beside its baselines an encoder inside the model is measured, whatever the reallocation.
            self.unimodal()?;
        }
        // What is kept for later comes first: a checkpoint knows of the model itself only while it is trained.
        if model.substitution.retrains() {
            self.targets()?;
        }
        let prepared = model.reallocation.prepare(self)?;
        if let Some(found) = &prepared.found {
            model = self.model_with(found)?;
        }
        self.balance(&mut model)?;
        self.model(&self.spec.reallocation.clone(), &model, &prepared.placed, MULTIMODAL)?;
        self.outcome(model, &prepared)
    }

    /// Runs a fit that other cells may have run already, or will.
    pub fn fit_shared(&mut self, fit: &Fit, presence: &Presence, index: &[usize], recipe: &Recipe) -> Result<()> {
        let shared = match self.conditions.shared {
            Some(folder) => Some(recipe.place(folder, fit, &self.spec.modalities, presence, index)?),
            None => None,
        };
        let found = shared.as_ref().map(|shared| shared.read(fit)).transpose();
        let found = found.unwrap_or_else(|damaged| {
            self.observer.note(&format!("{damaged}; it is trained again"));
            None
        });
        let end = if let Some((history, end)) = found.flatten() {
            self.facts.history.extend(history);
            end
        } else {
            if self.conditions.only_measure {
                return Err(ModelError::NoWeights { fit: fit.label.clone() });
            }
            let before = self.facts.history.len();
            let end = self.fit(fit, presence, index)?;
            if let Some(shared) = &shared
                && let Err(error) = shared.write(fit, &self.facts.history[before..], &end, recipe.discarded)
            {
                // Others then train it themselves.
                self.observer.note(&error.to_string());
            }
            end
        };
        self.weights = shared.and_then(|shared| shared.file());
        self.ended(fit, end);
        Ok(())
    }

    /// Remembers of the first fit that diverged why and when.
    fn ended(&mut self, fit: &Fit, end: FitEnd) {
        if let FitEnd::Diverged { reason, epoch } = end {
            let reason = format!("{} in fit `{}`", reason, fit.label);
            self.facts.diverged.get_or_insert((reason, epoch));
        }
    }

    /// Runs a fit, or what a checkpoint has left of it.
    fn fit(&mut self, fit: &Fit, presence: &Presence, index: &[usize]) -> Result<FitEnd> {
        let mut state = fit.start()?;
        if let Some(checkpoint) = &mut self.resumed {
            checkpoint.restore(&fit.label, fit.params, &mut state)?;
        }
        let data = TrainingData {
            samples: &self.dataset.train,
            modalities: &self.dataset.modalities,
            presence,
            index,
            validation: Held {
                samples: &self.dataset.validation,
                presence: &self.presence.validation,
            },
            device: self.device,
        };
        let probing = Probing::new(self.dataset, &self.presence, &self.spec, self.device);
        let probe = |epoch: usize| {
            let mut readings = Readings::default();
            match (fit.along, fit.objective.model()) {
                (Along::Encoders, _) if due(epoch, fit.training.epochs, probing::POINTS) => {
                    readings.probes = probing.cross_entropies(&fit.objective.encoders())?;
                }
                (Along::Layer, Some(model)) if due(epoch, fit.training.epochs, mechanism::POINTS) => {
                    readings.layer = probing.layer_ranks(model)?;
                }
                _ => {}
            }
            Ok(readings)
        };
        let (folder, config_json) = (self.conditions.checkpoint, &self.config_json);
        let (facts, artifacts) = (&mut self.facts, &self.artifacts);
        let (started, saved) = (&mut self.started, &mut self.saved);
        let end = fit.run(&data, &mut state, &mut *self.observer, &probe, &mut |state, stop| {
            let Some(folder) = folder else { return Ok(()) };
            if stop || saved.elapsed() >= CHECKPOINT_INTERVAL {
                facts.seconds += started.elapsed().as_secs_f64();
                *started = Instant::now();
                let running = Some((fit.label.as_str(), fit.params, state));
                checkpoint::write(folder, config_json, facts, artifacts, running)?;
                *saved = Instant::now();
            }
            Ok(())
        })?;
        self.facts.history.append(&mut state.history);
        Ok(end)
    }

    /// What reads encoders on the cell's samples.
    pub fn probing(&self) -> Probing<'_> {
        Probing::new(self.dataset, &self.presence, &self.spec, self.device)
    }

    /// A fit of this cell, with what is the same for all of them filled in.
    pub fn plain<'f>(&self, name: String, params: &'f Params, objective: &'f dyn Objective) -> Fit<'f> {
        Fit {
            label: name.clone(),
            name,
            seed: self.config.seed,
            training: self.config.training.clone(),
            phases: Box::new(|_| Some(JOINT)),
            params,
            along: match self.config.protocol.kind() {
                kind if kind.probes_encoders() => Along::Encoders,
                kind if kind.probes_layer() => Along::Layer,
                _ => Along::Nothing,
            },
            frozen: Vec::new(),
            rate_factor: None,
            balancing: None,
            objective,
        }
    }

    /// Trains a model of the cell's data with a reallocation, after putting kept weights into it.
    pub fn model(&mut self, reallocation: &MethodConfig, model: &Model, placed: &[Placed], label: &str) -> Result<()> {
        for placed in placed {
            self.install(&placed.kept, &placed.path, &model.params)?;
        }
        if model.reallocation.is_vanilla() {
            return self.vanilla(model, label);
        }
        let objective = Multimodal(model);
        let frozen = placed.iter().filter(|placed| placed.freeze);
        let fit = Fit {
            label: label.to_owned(),
            training: model.reallocation.training(&self.config.training),
            phases: Box::new(|progress| model.reallocation.phase(progress)),
            frozen: frozen.map(|placed| placed.path.clone()).collect(),
            rate_factor: model.reallocation.rate_factor(),
            balancing: model.balancing.as_deref(),
            ..self.plain(MULTIMODAL.to_owned(), &model.params, &objective)
        };
        let recipe = Recipe {
            objective: [self.vanilla_parts(), vec![reallocation.clone()]].concat(),
            further: model.balancing.as_ref().and_then(|balancing| balancing.decided_by()),
            revision: format!(
                "{} {}",
                vanilla_revision(&self.config)?,
                reallocation_revision(reallocation)?
            ),
            ..self.vanilla_recipe()?
        };
        let (presence, index) = (self.presence.train.clone(), self.everyone.clone());
        self.fit_shared(&fit, &presence, &index, &recipe)
    }

    /// Trains a model without reallocation. Whatever the label, its bits are those of a vanilla cell.
    pub fn vanilla(&mut self, model: &Model, label: &str) -> Result<()> {
        let objective = Multimodal(model);
        let fit = Fit {
            label: label.to_owned(),
            balancing: model.balancing.as_deref(),
            ..self.plain(MULTIMODAL.to_owned(), &model.params, &objective)
        };
        let recipe = Recipe {
            further: model.balancing.as_ref().and_then(|balancing| balancing.decided_by()),
            ..self.vanilla_recipe()?
        };
        let (presence, index) = (self.presence.train.clone(), self.everyone.clone());
        self.fit_shared(&fit, &presence, &index, &recipe)
    }

    /// Lets a model's balancing prepare what it needs.
    pub fn balance(&mut self, model: &mut Model) -> Result<()> {
        match &mut model.balancing {
            Some(balancing) => balancing.prepare(self),
            None => Ok(()),
        }
    }

    fn vanilla_parts(&self) -> Vec<MethodConfig> {
        let parts = self.spec.encoders.iter().chain([&self.spec.fusion]);
        parts.chain(&self.spec.balancing).cloned().collect()
    }

    pub fn vanilla_recipe(&self) -> Result<Recipe> {
        Ok(Recipe {
            data: self.dataset.digest.clone(),
            objective: self.vanilla_parts(),
            upweight: self.spec.upweight.clone(),
            further: None,
            discarded: None,
            revision: vanilla_revision(&self.config)?,
        })
    }

    /// Keeps the weights of a finished fit for later ones.
    pub fn keep(&mut self, prefix: &str, params: &Params, discarded: Option<&str>) -> Result<()> {
        for (name, tensor) in shared::outcome(params, discarded)? {
            self.artifacts.insert(format!("{prefix}.{name}"), tensor);
        }
        Ok(())
    }

    /// Puts kept weights below `path`, all of them if it is empty, into `params`, which must have all of them.
    pub fn install(&self, prefix: &str, path: &str, params: &Params) -> Result<()> {
        let mut state = params.state()?;
        for (name, tensor) in &self.artifacts {
            if let Some(name) = name.strip_prefix(prefix).and_then(|n| n.strip_prefix('.'))
                && (path.is_empty() || under(name, path))
            {
                state.insert(name.to_owned(), tensor.clone());
            }
        }
        Ok(params.load(&state)?)
    }
}
