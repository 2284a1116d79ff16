//! The one training loop.
//!
//! A [`Fit`] says what is trained: which parameters, which objective, which phases, for how long. A [`FitState`]
//! is everything that changes while it runs, so that a run continued from a checkpoint has the bits of one that
//! was never interrupted: random draws are keyed by (seed, purpose, epoch or step), not by a generator's state.

mod config;
mod phase;

use std::collections::BTreeMap;

use mmcollapse_data::{Batch, ModalitySpec, Presence, Samples, batches};
use mmcollapse_nn::{
    Device, GradStore, Mode, Params, Result as TensorResult, Tensor, Var, backward,
    optim::{Optimizer, clip_factor},
    random::Stream,
};
use serde::{Deserialize, Serialize};

use crate::{
    balancing::{Balancing, Held, Scene, Step, Weighed},
    encoders::Encoder,
    error::{ModelError, Result},
    model::Model,
    observer::Observer,
};

pub use config::Training;
pub use phase::{JOINT, Phase, Phases, Progress};

/// Losses of one batch.
pub(crate) struct BatchLosses {
    /// L_sem.
    pub semantic: Tensor,
    /// Further terms that are descended together with L_sem, weighted, by name.
    pub aux: Vec<(&'static str, Tensor)>,
    /// The reallocation's terms, weighted, by name.
    pub reallocation: Vec<(&'static str, Tensor)>,
    /// What the balancing makes of the batch.
    pub weighed: Weighed,
    /// Root mean square of the encodings, the largest of those that are watched: what grows without bound when a run blows up.
    pub size: Tensor,
}

/// Of the numbers of a tensor, without gradient.
pub(crate) fn root_mean_square(x: &Tensor) -> TensorResult<Tensor> {
    x.detach().sqr()?.mean_all()?.sqrt()
}

/// What a fit descends.
pub(crate) trait Objective {
    fn losses(&self, batch: &Batch, mode: Mode, progress: &Progress) -> TensorResult<BatchLosses>;

    /// The encoders that may be probed along the training, each with the place of its modality.
    fn encoders(&self) -> Vec<(usize, &dyn Encoder)> {
        Vec::new()
    }

    /// The multimodal model, if it is one that is trained.
    fn model(&self) -> Option<&Model> {
        None
    }
}

/// What of a fit is measured after some of its epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Along {
    Nothing,
    /// Its encoders, by probes.
    Encoders,
    /// The layer in which the modalities meet.
    Layer,
}

/// What was measured after an epoch, by modality and by name; it changes nothing.
#[derive(Default)]
pub(crate) struct Readings {
    pub probes: BTreeMap<String, f64>,
    pub layer: BTreeMap<String, f64>,
}

/// Measures a fit after an epoch.
pub(crate) type Probe<'a> = dyn Fn(usize) -> Result<Readings> + 'a;

/// Samples to train on.
pub(crate) struct TrainingData<'a> {
    pub samples: &'a Samples,
    pub modalities: &'a [ModalitySpec],
    /// Who has what, one row a sample.
    pub presence: &'a Presence,
    /// The samples that take part.
    pub index: &'a [usize],
    /// What the training may be steered by.
    pub validation: Held<'a>,
    pub device: &'a Device,
}

/// What is trained, and how.
pub(crate) struct Fit<'a> {
    /// Name in random streams; fits of equal name and seed see the same batches.
    pub name: String,
    /// Name in history and checkpoints, unique in a cell.
    pub label: String,
    pub seed: u64,
    pub training: Training,
    pub phases: Box<Phases<'a>>,
    pub params: &'a Params,
    /// What is measured along the training.
    pub along: Along,
    /// Prefixes of variables that are not trained.
    pub frozen: Vec<String>,
    /// Prefix of variables with a learning-rate factor of their own.
    pub rate_factor: Option<(&'static str, f64)>,
    /// How the modalities are weighed.
    pub balancing: Option<&'a dyn Balancing>,
    pub objective: &'a dyn Objective,
}

/// Means of one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Name of the fit.
    pub fit: String,
    /// Epoch of the fit, from 0.
    pub epoch: usize,
    /// Phase it was in.
    pub phase: String,
    /// Mean over steps of each loss term; `semantic` is L_sem.
    #[serde(with = "null_if_not_finite")]
    pub losses: BTreeMap<String, f64>,
    /// Mean root mean square of the encodings; what is not finite is written as null.
    #[serde(deserialize_with = "null_is_nan")]
    pub size: f64,
    /// Cross-entropy in nats, on validation, of a linear probe of each encoder as it then was, by modality; in epochs in
    /// which encoders are probed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "null_if_not_finite")]
    pub probes: BTreeMap<String, f64>,
    /// What was measured of the fusion layer as it then was, by name; in epochs in which it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "null_if_not_finite")]
    pub layer: BTreeMap<String, f64>,
}

fn null_is_nan<'de, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or(f64::NAN))
}

/// JSON has no NaN: what is not finite is written as null and read as NaN.
mod null_if_not_finite {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(map: &BTreeMap<String, f64>, s: S) -> Result<S::Ok, S::Error> {
        map.iter()
            .map(|(k, v)| (k, v.is_finite().then_some(*v)))
            .collect::<BTreeMap<_, _>>()
            .serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, f64>, D::Error> {
        Ok(BTreeMap::<String, Option<f64>>::deserialize(d)?
            .into_iter()
            .map(|(k, v)| (k, v.unwrap_or(f64::NAN)))
            .collect())
    }
}

/// Everything of a fit that changes while it runs.
pub(crate) struct FitState {
    pub epoch: usize,
    pub step: u64,
    pub optimizers: Vec<Optimizer>,
    pub history: Vec<EpochRecord>,
}

/// How a fit ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum FitEnd {
    Done,
    Diverged { reason: String, epoch: usize },
}

impl Fit<'_> {
    /// The state before the first step.
    pub fn start(&self) -> Result<FitState> {
        Ok(FitState {
            epoch: 0,
            step: 0,
            optimizers: self
                .groups()
                .into_iter()
                .map(|(vars, _)| Optimizer::new(self.training.optimizer.clone(), vars))
                .collect::<TensorResult<_>>()?,
            history: Vec::new(),
        })
    }

    /// Variables that are trained, in groups of one learning-rate factor.
    fn groups(&self) -> Vec<(Vec<(String, Var)>, f64)> {
        let mut trained = self.params.vars();
        trained.retain(|(name, _)| !self.frozen.iter().any(|frozen| under(name, frozen)));
        let mut special: Vec<(String, f64)> = self.balancing.map(Balancing::rates).unwrap_or_default();
        special.extend(self.rate_factor.map(|(prefix, factor)| (prefix.to_owned(), factor)));
        let mut groups = Vec::new();
        for (prefix, factor) in special {
            let (own, rest): (Vec<_>, Vec<_>) = trained.into_iter().partition(|(name, _)| under(name, &prefix));
            groups.push((own, factor));
            trained = rest;
        }
        groups.insert(0, (trained, 1.0));
        groups
    }

    /// Trains from `state` to the end. `probe` is asked after every epoch, `after_epoch` is called with every finished one
    /// and may save the state.
    ///
    /// # Errors
    /// [`ModelError::Interrupted`] when the observer asks to stop (after `after_epoch` of that epoch); tensor errors.
    pub fn run(
        &self,
        data: &TrainingData,
        state: &mut FitState,
        observer: &mut dyn Observer,
        probe: &Probe,
        after_epoch: &mut dyn FnMut(&FitState, bool) -> Result<()>,
    ) -> Result<FitEnd> {
        let groups = self.groups();
        let all: Vec<(String, Var)> = groups.iter().flat_map(|(g, _)| g.clone()).collect();
        while state.epoch < self.training.epochs {
            let Some(mut record) = self.epoch(data, state, &groups, &all)? else {
                break;
            };
            let Readings { probes, layer } = probe(state.epoch)?;
            (record.probes, record.layer) = (probes, layer);
            let losses: Vec<(&str, f64)> = record.losses.iter().map(|(k, v)| (k.as_str(), *v)).collect();
            observer.epoch(&self.label, state.epoch, self.training.epochs, &losses);
            let trouble = divergence(&record, self.training.blow_up);
            state.history.push(record);
            state.epoch += 1;
            if let Some(reason) = trouble {
                return Ok(FitEnd::Diverged {
                    reason,
                    epoch: state.epoch - 1,
                });
            }
            let stop = observer.should_stop();
            after_epoch(state, stop)?;
            if stop {
                return Err(ModelError::Interrupted);
            }
        }
        Ok(FitEnd::Done)
    }

    /// Trains an epoch; none where its phases say that training is over.
    fn epoch(
        &self,
        data: &TrainingData,
        state: &mut FitState,
        groups: &[(Vec<(String, Var)>, f64)],
        all: &[(String, Var)],
    ) -> Result<Option<EpochRecord>> {
        let semantic: Vec<f64> = state.history.iter().map(EpochRecord::semantic).collect();
        let phases: Vec<&str> = state.history.iter().map(|record| record.phase.as_str()).collect();
        let progress = Progress {
            epoch: state.epoch,
            epochs: self.training.epochs,
            semantic: &semantic,
            phases: &phases,
        };
        let Some(phase) = (self.phases)(&progress) else {
            return Ok(None);
        };
        let moves = |name: &str| {
            phase.only.is_none_or(|prefix| under(name, prefix))
                && !phase.except.is_some_and(|prefix| under(name, prefix))
        };
        let stay: Vec<&Var> = all
            .iter()
            .filter(|(name, _)| !moves(name))
            .map(|(_, var)| var)
            .collect();
        let rate = self.training.schedule.factor(state.epoch, self.training.epochs);
        let mut order = data.index.to_vec();
        Stream::at(self.seed, &format!("shuffle/{}", self.name), state.epoch as u64).shuffle(&mut order);
        if let (Some(balancing), Some(model)) = (self.balancing, self.objective.model()) {
            let scene = Scene {
                model,
                modalities: data.modalities,
                train: Held {
                    samples: data.samples,
                    presence: data.presence,
                },
                validation: data.validation,
                seed: self.seed,
                device: data.device,
            };
            balancing.begin(&scene, &progress)?;
        }
        let balanced = self
            .balancing
            .map(|balancing| balancing.presence(data.presence, self.seed, &progress));
        let mut means = Means::default();
        for batch in batches(
            data.samples,
            data.modalities,
            balanced.as_ref().unwrap_or(data.presence),
            &order,
            self.training.batch_size,
            data.device,
        ) {
            let mode = Mode::Train {
                seed: self.seed,
                step: state.step,
            };
            let losses = self.objective.losses(&batch?, mode, &progress)?;
            let total = means.add(&losses, phase)?;
            if let Some(total) = total {
                let step = Step {
                    vars: all,
                    seed: self.seed,
                    step: state.step,
                };
                let mut gradients = self.gradients(&losses.weighed, &total, phase, &step)?;
                for var in &stay {
                    gradients.remove(var);
                }
                let scale = match self.training.clip_norm {
                    Some(norm) => clip_factor(&gradients, all, norm)?.factor,
                    None => 1.0,
                };
                for (optimizer, (_, factor)) in state.optimizers.iter_mut().zip(groups) {
                    optimizer.step_scaled(&gradients, scale, rate * factor)?;
                }
            }
            state.step += 1;
        }
        let (losses, size) = means.finish()?;
        Ok(Some(EpochRecord {
            fit: self.label.clone(),
            epoch: state.epoch,
            phase: phase.name.to_owned(),
            losses,
            size,
            probes: BTreeMap::new(),
            layer: BTreeMap::new(),
        }))
    }

    /// The gradients that a step follows. A phase that does not follow L_sem is none of the balancing's.
    fn gradients(&self, weighed: &Weighed, total: &Tensor, phase: Phase, step: &Step) -> TensorResult<GradStore> {
        match self.balancing.filter(|_| phase.semantic) {
            Some(balancing) => balancing.gradients(weighed, total, step),
            None => backward(total, step.vars),
        }
    }
}

/// Why a run has diverged after an epoch, if it has: a loss or a size that is not finite or over `limit`.
fn divergence(record: &EpochRecord, limit: f64) -> Option<String> {
    let blown = |value: f64| !value.is_finite() || value.abs() > limit;
    if let Some((name, value)) = record.losses.iter().find(|(_, value)| blown(**value)) {
        return Some(format!("loss `{name}` is {value:.3e}, over {limit:.0e}"));
    }
    blown(record.size).then(|| {
        format!(
            "root mean square of the encodings is {:.3e}, over {limit:.0e}",
            record.size
        )
    })
}

impl EpochRecord {
    /// Mean L_sem of the epoch.
    pub fn semantic(&self) -> f64 {
        self.losses.get("semantic").copied().unwrap_or(f64::NAN)
    }
}

/// Whether a variable's name stands below `prefix` in the tree of names.
pub(crate) fn under(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[derive(Default)]
struct Means {
    losses: BTreeMap<&'static str, Vec<Tensor>>,
    sizes: Vec<Tensor>,
}

impl Means {
    /// Notes the losses of a batch and returns what is descended in this phase, if anything.
    fn add(&mut self, losses: &BatchLosses, phase: Phase) -> TensorResult<Option<Tensor>> {
        self.sizes.push(losses.size.detach());
        let mut total: Option<Tensor> = None;
        let semantic = std::iter::once(("semantic", &losses.semantic))
            .chain(losses.aux.iter().chain(&losses.weighed.terms).map(|(n, t)| (*n, t)))
            .map(|(n, t)| (n, t, phase.semantic));
        let reallocation = losses.reallocation.iter().map(|(n, t)| (*n, t, phase.reallocation));
        for (name, term, descended) in semantic.chain(reallocation) {
            self.losses.entry(name).or_default().push(term.detach());
            if descended {
                let weighted = match name {
                    "semantic" if losses.weighed.semantic != 1.0 => (term * losses.weighed.semantic)?,
                    _ => term.clone(),
                };
                total = Some(match total {
                    Some(t) => (t + weighted)?,
                    None => weighted,
                });
            }
        }
        if let Some((name, term)) = &losses.weighed.apart {
            self.losses.entry(name).or_default().push(term.detach());
        }
        Ok(total)
    }

    fn finish(self) -> TensorResult<(BTreeMap<String, f64>, f64)> {
        let losses = self
            .losses
            .into_iter()
            .map(|(name, terms)| Ok((name.to_owned(), mean(&terms)?)))
            .collect::<TensorResult<_>>()?;
        Ok((losses, mean(&self.sizes)?))
    }
}

fn mean(scalars: &[Tensor]) -> TensorResult<f64> {
    if scalars.is_empty() {
        return Ok(0.0);
    }
    let values: Vec<f32> = Tensor::stack(scalars, 0)?.to_vec1()?;
    Ok(values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_dot() {
        assert!(under("encoder.image.conv1.weight", "encoder.image"));
        assert!(!under("encoder.image2.conv1.weight", "encoder.image"));
    }
    #[test]
    fn losses_and_encodings_are_watched() {
        let record = |loss: f64, size: f64| EpochRecord {
            fit: "multimodal".to_owned(),
            epoch: 0,
            phase: "joint".to_owned(),
            losses: BTreeMap::from([("semantic".to_owned(), 0.5), ("modality".to_owned(), loss)]),
            size,
            probes: BTreeMap::new(),
            layer: BTreeMap::new(),
        };
        let of = |loss: f64, size: f64| divergence(&record(loss, size), 1e4);
        assert_eq!(of(-9e3, 9e3), None);
        for loss in [2e4, -2e4, f64::NAN, f64::INFINITY] {
            assert!(of(loss, 1.0).unwrap().starts_with("loss `modality` is"), "{loss}");
        }
        assert_eq!(
            of(1.0, 2e4).unwrap(),
            "root mean square of the encodings is 2.000e4, over 1e4"
        );
        assert!(of(1.0, f64::NAN).is_some());
    }
}
