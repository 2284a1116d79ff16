//! Trains and scores one cell: its stages in order, each through the one loop.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use mmcollapse_data::{Dataset, Presence, masks};
use mmcollapse_nn::{Device, Mode, Params, Tensor, random::derive_seed};
use serde::{Deserialize, Serialize};

use crate::{
    config::{CellConfig, Protocol, Training},
    diagnosis::{Diagnosis, Features, ModalityDiagnosis, linear_probe},
    encoders,
    error::{ModelError, Result},
    evaluate::{accuracy, correct, each_batch, latents},
    model::{Model, ModelSpec},
    reallocation::{Distillation, JOINT, Stage},
    substitution::LatentSamples,
    training::{
        EpochRecord, Fit, FitEnd, TrainingData,
        checkpoint::{self, Checkpoint},
        objectives::{Multimodal, Student, Unimodal},
        under,
    },
};

/// Wall time between two checkpoints; it decides what a crash loses, not numbers.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(20);

/// Told of every epoch, and asked whether to go on.
pub trait Observer {
    /// An epoch of a fit (from 0) is over; `losses` are its means.
    fn epoch(&mut self, fit: &str, epoch: usize, epochs: usize, losses: &[(&str, f64)]);

    /// Whether to stop after this epoch; a checkpoint is written first.
    fn should_stop(&self) -> bool {
        false
    }
}

/// An observer that does nothing.
pub struct Silent;

impl Observer for Silent {
    fn epoch(&mut self, _: &str, _: usize, _: usize, _: &[(&str, f64)]) {}
}

/// What a cell leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellOutcome {
    /// Whether training went through.
    pub status: Status,
    /// What was measured.
    pub scores: Vec<Score>,
    /// Seconds of training and scoring, over all sessions of an interrupted cell.
    pub seconds: f64,
    /// Trained parameters of the multimodal model.
    pub parameters: usize,
    /// What was found out on the way.
    pub diagnosis: Findings,
    /// Every epoch of every fit.
    pub history: Vec<EpochRecord>,
}

/// Whether training went through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Status {
    /// It did.
    Ok,
    /// A finding about the method: it was stopped, scored as it stood, and is counted in the tables.
    Diverged {
        /// What was seen.
        reason: String,
        /// Epoch at which it was seen.
        epoch: usize,
    },
}

/// One measured number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// `test_missing` or `train_availability`.
    pub protocol: String,
    /// Share of samples that lack the modality: at test, or in training, as the protocol says.
    pub rate: f64,
    /// `validation` or `test`.
    pub split: String,
    /// `accuracy` is the protocol's own score; `accuracy_only_X` keeps modality X alone, `accuracy_complete` all.
    pub metric: String,
    /// A share in [0, 1].
    pub value: f64,
    /// Samples it was measured on.
    pub n: usize,
}

/// What a cell found out beside its scores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// What the vanilla model made of each modality, for methods that measure it.
    pub collapse: Option<Diagnosis>,
    /// Modality whose encoder was distilled.
    pub student: Option<String>,
    /// Validation accuracy of each modality alone, in the final model without stand-ins.
    pub alone: BTreeMap<String, f64>,
}

/// What the finished parts of a cell found out; saved with its checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    unimodal: Vec<f64>,
    diagnosis: Option<Diagnosis>,
    student: Option<usize>,
    taught: usize,
    diverged: Option<(String, usize)>,
    history: Vec<EpochRecord>,
    seconds: f64,
}

/// Trains the cell on `dataset` and scores it. With `checkpoint_dir` an interrupted cell is continued from there,
/// bit for bit as if it had not been interrupted.
///
/// # Errors
/// A configuration that does not fit the data, a broken checkpoint, [`ModelError::Interrupted`] when the observer
/// asks to stop. A run that diverges is an outcome, not an error.
pub fn run_cell(
    config: &CellConfig,
    dataset: &Dataset,
    device: &Device,
    observer: &mut dyn Observer,
    checkpoint_dir: Option<&Path>,
) -> Result<CellOutcome> {
    let config = config.resolve()?;
    let weak = dataset
        .modality(config.protocol.modality())
        .ok_or_else(|| ModelError::Unfit {
            dataset: dataset.name.clone(),
            reason: format!(
                "the protocol takes away modality `{}`; the data set has {}",
                config.protocol.modality(),
                names(dataset).join(", ")
            ),
        })?;
    let config_json = serde_json::to_string(&config).map_err(|e| ModelError::Unfit {
        dataset: dataset.name.clone(),
        reason: format!("the configuration cannot be written as JSON: {e}"),
    })?;
    let mut resumed = match checkpoint_dir {
        Some(dir) => Checkpoint::read(dir, &config_json, device)?,
        None => None,
    };
    let (facts, artifacts) = match &mut resumed {
        Some(c) => (c.facts.clone(), std::mem::take(&mut c.artifacts)),
        None => Default::default(),
    };
    let spec = ModelSpec::new(&config, dataset)?;
    let mut run = Run {
        presence: Split {
            train: available(&config, weak, dataset, &dataset.train.labels, "train"),
            validation: available(&config, weak, dataset, &dataset.validation.labels, "validation"),
        },
        everyone: (0..dataset.train.len()).collect(),
        config,
        config_json,
        spec,
        dataset,
        weak,
        device,
        observer,
        folder: checkpoint_dir,
        resumed,
        facts,
        artifacts,
        started: Instant::now(),
        saved: Instant::now(),
    };
    run.all_stages()
}

fn names(dataset: &Dataset) -> Vec<String> {
    dataset.modalities.iter().map(|m| m.name.clone()).collect()
}

/// Who has what in training and validation under the cell's protocol.
fn available(
    config: &CellConfig,
    weak: usize,
    dataset: &Dataset,
    labels: &[u32],
    purpose: &str,
) -> Presence {
    let m = dataset.modalities.len();
    match config.protocol {
        Protocol::TestMissing { .. } => Presence::all(labels.len(), m),
        Protocol::TrainAvailability { rate, .. } => {
            // 1 - .8 is not .2 in binary, and a share just below a whole number would lose a sample.
            let share = ((1.0 - rate) * 1e9).round() / 1e9;
            let seed = derive_seed(config.seed, &format!("availability/{purpose}"));
            masks::availability(labels, m, weak, share, seed)
        }
    }
}

struct Split<T> {
    train: T,
    validation: T,
}

/// A cell while it runs.
struct Run<'a> {
    config: CellConfig,
    config_json: String,
    spec: ModelSpec,
    dataset: &'a Dataset,
    /// The modality that the protocol takes away.
    weak: usize,
    device: &'a Device,
    observer: &'a mut dyn Observer,
    folder: Option<&'a Path>,
    resumed: Option<Checkpoint>,
    facts: Facts,
    artifacts: BTreeMap<String, Tensor>,
    presence: Split<Presence>,
    everyone: Vec<usize>,
    started: Instant,
    saved: Instant,
}

impl Run<'_> {
    fn all_stages(&mut self) -> Result<CellOutcome> {
        let model = self.spec.build(self.device)?;
        for stage in model.reallocation.stages() {
            match stage {
                Stage::Unimodal => self.unimodal()?,
                Stage::Diagnosis => self.diagnosis()?,
                Stage::Distillation(config) => self.distillation(&config)?,
                Stage::Multimodal { freeze_distilled } => {
                    let frozen = self.install_distilled(&model, freeze_distilled)?;
                    let training = model.reallocation.training(&self.config.training);
                    self.multimodal(&model, "multimodal", training, frozen)?;
                }
            }
        }
        self.outcome(model)
    }

    /// Runs a fit, or what a checkpoint has left of it.
    fn fit(&mut self, fit: &Fit, presence: &Presence, index: &[usize]) -> Result<()> {
        let mut state = fit.start()?;
        if let Some(checkpoint) = &mut self.resumed {
            checkpoint.restore(&fit.label, fit.params, &mut state)?;
        }
        let data = TrainingData {
            samples: &self.dataset.train,
            modalities: &self.dataset.modalities,
            presence,
            index,
            device: self.device,
        };
        let (folder, config_json) = (self.folder, &self.config_json);
        let (facts, artifacts) = (&mut self.facts, &self.artifacts);
        let (started, saved) = (&mut self.started, &mut self.saved);
        let end = fit.run(&data, &mut state, &mut *self.observer, &mut |state, stop| {
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
        if let FitEnd::Diverged { reason, epoch } = end {
            let reason = format!("{} in fit `{}`", reason, fit.label);
            self.facts.diverged.get_or_insert((reason, epoch));
        }
        self.facts.history.append(&mut state.history);
        Ok(())
    }

    /// A fit of this cell, with what is the same for all of them filled in.
    fn plain<'f>(
        &self,
        name: String,
        params: &'f Params,
        objective: &'f dyn crate::training::Objective,
    ) -> Fit<'f> {
        Fit {
            label: name.clone(),
            name,
            seed: self.config.seed,
            training: self.config.training.clone(),
            phases: vec![JOINT],
            params,
            frozen: None,
            rate_factor: None,
            objective,
        }
    }

    fn multimodal(
        &mut self,
        model: &Model,
        label: &str,
        training: Training,
        frozen: Option<String>,
    ) -> Result<()> {
        let objective = Multimodal(model);
        let fit = Fit {
            label: label.to_owned(),
            training,
            phases: model.reallocation.phases(),
            frozen,
            rate_factor: model.reallocation.rate_factor(),
            ..self.plain("multimodal".to_owned(), &model.params, &objective)
        };
        let (presence, index) = (self.presence.train.clone(), self.everyone.clone());
        self.fit(&fit, &presence, &index)
    }

    /// Encoder and linear head of one modality with fresh weights, by the names they have in the whole model.
    fn branch(&self, modality: usize) -> Result<Branch> {
        let params = Params::new(self.config.seed, self.device);
        let name = &self.spec.modalities[modality];
        let encoder = encoders::build(
            &self.spec.encoders[modality].method,
            &self.spec.encoders[modality].options,
            &params.root().pp("encoder").pp(name),
        )?;
        let head = mmcollapse_nn::layers::Linear::new(
            &params.root().pp("head").pp(name),
            encoder.width(),
            self.spec.classes,
        )?;
        Ok(Branch {
            params,
            encoder,
            head,
            modality,
        })
    }

    /// Presence with only these modalities left, so that batches do not carry the others.
    fn only(&self, presence: &Presence, modalities: &[usize]) -> Presence {
        Presence::from_fn(presence.len(), presence.modalities(), |i, m| {
            modalities.contains(&m) && presence.get(i, m)
        })
    }

    fn unimodal(&mut self) -> Result<()> {
        for modality in self.facts.unimodal.len()..self.spec.modalities.len() {
            let branch = self.branch(modality)?;
            let objective = branch.objective();
            let name = format!("unimodal/{}", self.spec.modalities[modality]);
            let fit = self.plain(name, &branch.params, &objective);
            let presence = self.only(&self.presence.train, &[modality]);
            self.fit(&fit, &presence, &presence.rows(modality))?;
            let accuracy = self.branch_accuracy(&branch)?;
            self.facts.unimodal.push(accuracy);
            self.keep("unimodal", &branch.params)?;
        }
        Ok(())
    }

    /// Validation accuracy of a branch on the samples that have its modality.
    fn branch_accuracy(&self, branch: &Branch) -> Result<f64> {
        let rows = self.presence.validation.rows(branch.modality);
        let samples = self.dataset.validation.select(&rows);
        let presence = self.only(
            &Presence::all(rows.len(), self.spec.modalities.len()),
            &[branch.modality],
        );
        let objective = branch.objective();
        let mut right = 0;
        each_batch(
            &samples,
            &self.dataset.modalities,
            &presence,
            self.device,
            |batch| {
                let (_, logits) = objective.forward(batch, Mode::Eval)?;
                right += correct(&logits, &batch.labels)?;
                Ok(())
            },
        )?;
        Ok(right as f64 / rows.len().max(1) as f64)
    }

    /// Keeps the weights of a finished fit for later ones.
    fn keep(&mut self, prefix: &str, params: &Params) -> Result<()> {
        for (name, tensor) in params.state()? {
            self.artifacts.insert(format!("{prefix}.{name}"), tensor);
        }
        Ok(())
    }

    /// Puts kept weights below `path` into `params`, which must have all of them.
    fn install(&self, prefix: &str, path: &str, params: &Params) -> Result<()> {
        let mut state = params.state()?;
        for (name, tensor) in &self.artifacts {
            if let Some(name) = name.strip_prefix(prefix).and_then(|n| n.strip_prefix('.'))
                && under(name, path)
            {
                state.insert(name.to_owned(), tensor.clone());
            }
        }
        Ok(params.load(&state)?)
    }

    fn diagnosis(&mut self) -> Result<()> {
        if self.facts.diagnosis.is_some() {
            return Ok(());
        }
        // Its fit has the name, the seed and so the bits of a vanilla cell's.
        let vanilla = self.spec.vanilla().build(self.device)?;
        self.multimodal(&vanilla, "diagnosis", self.config.training.clone(), None)?;
        let modalities = (0..self.spec.modalities.len())
            .map(|m| {
                let train = self.features(&vanilla, m, true)?;
                let validation = self.features(&vanilla, m, false)?;
                Ok(ModalityDiagnosis {
                    modality: self.spec.modalities[m].clone(),
                    unimodal_accuracy: self.facts.unimodal[m],
                    prefix_accuracy: linear_probe(
                        &train,
                        &validation,
                        self.spec.classes,
                        self.device,
                    )?,
                    n: validation.labels.len(),
                })
            })
            .collect::<Result<_>>()?;
        self.facts.diagnosis = Some(Diagnosis::new(modalities));
        Ok(())
    }

    /// Frozen encodings of one modality, of the training or the validation samples that have it.
    fn features(&self, model: &Model, modality: usize, train: bool) -> Result<Features> {
        let (samples, presence) = if train {
            (&self.dataset.train, &self.presence.train)
        } else {
            (&self.dataset.validation, &self.presence.validation)
        };
        let rows = presence.rows(modality);
        let some = samples.select(&rows);
        let presence = self.only(
            &Presence::all(rows.len(), self.spec.modalities.len()),
            &[modality],
        );
        let mut parts = Vec::new();
        each_batch(
            &some,
            &self.dataset.modalities,
            &presence,
            self.device,
            |batch| {
                if let Some(x) = &batch.inputs[modality].x {
                    parts.push(model.encoders[modality].forward(x, Mode::Eval)?.detach());
                }
                Ok(())
            },
        )?;
        Ok(Features::new(Tensor::cat(&parts, 0)?, samples, &rows))
    }

    fn distillation(&mut self, config: &Distillation) -> Result<()> {
        let student = match (&config.student, self.facts.student) {
            (_, Some(student)) => student,
            (Some(name), None) => self.modality(name)?,
            (None, None) => {
                let collapsed = self.facts.diagnosis.as_ref().map(|d| d.collapsed.clone());
                self.modality(&collapsed.unwrap_or_default())?
            }
        };
        self.facts.student = Some(student);
        let teachers = config.teachers(student, &self.facts.unimodal);
        while self.facts.taught < teachers.len() {
            let teacher = teachers[self.facts.taught];
            self.teach(config, student, teacher)?;
            self.facts.taught += 1;
        }
        Ok(())
    }

    fn modality(&self, name: &str) -> Result<usize> {
        self.dataset
            .modality(name)
            .ok_or_else(|| ModelError::Unfit {
                dataset: self.dataset.name.clone(),
                reason: format!(
                    "there is no modality `{name}` to distil; there are {}",
                    self.spec.modalities.join(", ")
                ),
            })
    }

    /// Trains the student's encoder under one teacher, from where the teacher before left it.
    fn teach(&mut self, config: &Distillation, student: usize, teacher: usize) -> Result<()> {
        let train = &self.presence.train;
        let both: Vec<usize> = (0..train.len())
            .filter(|&i| train.get(i, student) && train.get(i, teacher))
            .collect();
        if both.len() < 2 {
            return Err(ModelError::Unfit {
                dataset: self.dataset.name.clone(),
                reason: format!(
                    "distillation needs at least 2 training samples with both `{}` and `{}`, got {}",
                    self.spec.modalities[student],
                    self.spec.modalities[teacher],
                    both.len()
                ),
            });
        }
        let mut place = vec![0; train.len()];
        for (p, &i) in both.iter().enumerate() {
            place[i] = p;
        }
        let master = self.branch(teacher)?;
        let (student_name, teacher_name) = (
            &self.spec.modalities[student],
            &self.spec.modalities[teacher],
        );
        self.install("unimodal", &format!("encoder.{teacher_name}"), &master.params)?;
        let branch = self.branch(student)?;
        if self.facts.taught > 0 {
            for part in ["encoder", "head"] {
                self.install("distilled", &format!("{part}.{student_name}"), &branch.params)?;
            }
        }
        let crd = mmcollapse_nn::losses::Crd::new(
            &branch.params.root().pp("crd").pp(teacher_name),
            branch.encoder.width(),
            master.encoder.width(),
            both.len(),
            config.crd(),
        )?;
        let objective = Student {
            student: branch.objective(),
            teacher: master.encoder.as_ref(),
            teacher_modality: teacher,
            crd: &crd,
            crd_weight: config.crd_weight,
            task_weight: config.task_weight,
            place: &place,
        };
        let name = format!("distillation/{teacher_name} to {student_name}");
        let fit = self.plain(name, &branch.params, &objective);
        let presence = self.only(&self.presence.train, &[student, teacher]);
        self.fit(&fit, &presence, &both)?;
        self.artifacts.retain(|name, _| !under(name, "distilled"));
        self.keep("distilled", &branch.params)
    }

    /// Puts the distilled encoder, if there is one, into the model; returns the prefix of what stays frozen.
    fn install_distilled(&self, model: &Model, freeze: bool) -> Result<Option<String>> {
        let Some(student) = self.facts.student else {
            return Ok(None);
        };
        let path = format!("encoder.{}", self.spec.modalities[student]);
        self.install("distilled", &path, &model.params)?;
        Ok(freeze.then_some(path))
    }

    fn outcome(&mut self, mut model: Model) -> Result<CellOutcome> {
        let (dataset, m) = (self.dataset, self.spec.modalities.len());
        let (validation, seen) = (&dataset.validation, &self.presence.validation);
        let mut alone = BTreeMap::new();
        let mut strongest = (0, f64::NEG_INFINITY);
        for modality in 0..m {
            let accuracy = self.alone(&model, modality)?;
            if accuracy > strongest.1 {
                strongest = (modality, accuracy);
            }
            alone.insert(self.spec.modalities[modality].clone(), accuracy);
        }
        if let Some(latents) = latents(&model, dataset, validation, seen, self.device)? {
            model.substitution.fit(&LatentSamples {
                latents,
                strongest: strongest.0,
            });
        }
        let at_validation = accuracy(&model, dataset, validation, seen, self.device)?;
        let scores = self.scores(&model, at_validation)?;
        self.facts.seconds += self.started.elapsed().as_secs_f64();
        Ok(CellOutcome {
            status: self.status(at_validation),
            scores,
            seconds: self.facts.seconds,
            parameters: model
                .params
                .vars()
                .iter()
                .map(|(_, v)| v.elem_count())
                .sum(),
            diagnosis: Findings {
                collapse: self.facts.diagnosis.clone(),
                student: self.facts.student.map(|s| self.spec.modalities[s].clone()),
                alone,
            },
            history: self.facts.history.clone(),
        })
    }

    /// Validation accuracy of the model with one modality, nothing standing in for the others.
    fn alone(&self, model: &Model, modality: usize) -> Result<f64> {
        let rows = self.presence.validation.rows(modality);
        let samples = self.dataset.validation.select(&rows);
        let presence = self.only(
            &Presence::all(rows.len(), self.spec.modalities.len()),
            &[modality],
        );
        let mut right = 0;
        each_batch(
            &samples,
            &self.dataset.modalities,
            &presence,
            self.device,
            |batch| {
                let encodings = model.encode(batch, Mode::Eval)?;
                let output = model.fusion.forward(&encodings, Mode::Eval)?;
                right += correct(&output.logits, &batch.labels)?;
                Ok(())
            },
        )?;
        Ok(right as f64 / rows.len().max(1) as f64)
    }

    fn status(&self, validation_accuracy: f64) -> Status {
        if let Some((reason, epoch)) = &self.facts.diverged {
            return Status::Diverged {
                reason: reason.clone(),
                epoch: *epoch,
            };
        }
        let chance = 1.0 / self.spec.classes as f64;
        let n = self.dataset.validation.len().max(1) as f64;
        // Two standard errors of a guess.
        let bar = chance + 2.0 * (chance * (1.0 - chance) / n).sqrt();
        if validation_accuracy <= bar {
            return Status::Diverged {
                reason: format!(
                    "validation accuracy {validation_accuracy:.3} at the end is not above chance ({bar:.3})"
                ),
                epoch: self.facts.history.last().map_or(0, |r| r.epoch),
            };
        }
        Status::Ok
    }

    fn scores(&self, model: &Model, at_validation: f64) -> Result<Vec<Score>> {
        let (dataset, m, weak) = (self.dataset, self.spec.modalities.len(), self.weak);
        let test = dataset.test.for_final_evaluation();
        let n = test.len();
        let protocol = self.config.protocol.name();
        let mut scores = Vec::new();
        let mut push = |rate: f64, split: &str, metric: String, value: f64, n: usize| {
            scores.push(Score {
                protocol: protocol.to_owned(),
                rate,
                split: split.to_owned(),
                metric,
                value,
                n,
            });
        };
        let score = |presence: &Presence| accuracy(model, dataset, test, presence, self.device);
        let rate = match &self.config.protocol {
            Protocol::TestMissing { rates, .. } => {
                for &rate in rates {
                    let seen = masks::missing(n, m, weak, rate, self.config.seed, "test");
                    push(rate, "test", "accuracy".to_owned(), score(&seen)?, n);
                }
                0.0
            }
            Protocol::TrainAvailability { rate, .. } => {
                let without = Presence::from_fn(n, m, |_, j| j != weak);
                push(*rate, "test", "accuracy".to_owned(), score(&without)?, n);
                *rate
            }
        };
        let complete = score(&Presence::all(n, m))?;
        push(rate, "test", "accuracy_complete".to_owned(), complete, n);
        for (modality, name) in self.spec.modalities.iter().enumerate() {
            let only = Presence::from_fn(n, m, |_, j| j == modality);
            push(
                rate,
                "test",
                format!("accuracy_only_{name}"),
                score(&only)?,
                n,
            );
        }
        push(
            rate,
            "validation",
            "accuracy".to_owned(),
            at_validation,
            dataset.validation.len(),
        );
        Ok(scores)
    }
}

/// One modality on its own.
struct Branch {
    params: Params,
    encoder: Box<dyn encoders::Encoder>,
    head: mmcollapse_nn::layers::Linear,
    modality: usize,
}

impl Branch {
    fn objective(&self) -> Unimodal<'_> {
        Unimodal {
            modality: self.modality,
            encoder: self.encoder.as_ref(),
            head: &self.head,
        }
    }
}
