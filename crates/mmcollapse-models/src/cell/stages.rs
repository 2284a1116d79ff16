//! What a cell trains before its multimodal model: unimodal baselines, the diagnosis, a distilled encoder.

use mmcollapse_nn::{Mode, Tensor, losses::Crd};

use super::{
    run::{Branch, Run},
    shared::Recipe,
};
use crate::{
    config::unimodal_revision,
    diagnosis::{Diagnosis, Features, ModalityDiagnosis, linear_probe},
    error::{ModelError, Result},
    evaluate::{Predictions, each_batch},
    model::Model,
    reallocation::Distillation,
    training::{objectives::Student, under},
};

impl Run<'_> {
    pub fn unimodal(&mut self) -> Result<()> {
        for modality in self.facts.unimodal.len()..self.spec.modalities.len() {
            let branch = self.branch(modality)?;
            let objective = branch.objective();
            let name = format!("unimodal/{}", self.spec.modalities[modality]);
            let fit = self.plain(name, &branch.params, &objective);
            let presence = self.presence.train.only(&[modality]);
            let recipe = Recipe {
                // A protocol changes the inputs of its own modality only.
                data: if Some(modality) == self.weak {
                    &self.dataset.digest
                } else {
                    &self.clean
                }
                .clone(),
                objective: vec![self.spec.encoders[modality].clone()],
                upweight: None,
                revision: unimodal_revision(),
            };
            self.fit_shared(&fit, &presence, &presence.rows(modality), &recipe)?;
            let quality = self.branch_quality(&branch)?;
            self.facts.unimodal.push(quality);
            self.keep("unimodal", &branch.params)?;
        }
        Ok(())
    }

    /// Quality of a branch on the validation samples that have its modality.
    fn branch_quality(&self, branch: &Branch) -> Result<f64> {
        let rows = self.presence.validation.rows(branch.modality);
        let samples = self.dataset.validation.select(&rows);
        let presence = samples.present.only(&[branch.modality]);
        let objective = branch.objective();
        let mut predictions = Predictions::default();
        each_batch(&samples, &self.dataset.modalities, &presence, self.device, |batch| {
            let (_, logits) = objective.forward(batch, Mode::Eval)?;
            predictions.push(&logits, &batch.labels)
        })?;
        Ok(predictions.quality())
    }

    pub fn diagnosis(&mut self) -> Result<()> {
        if self.facts.diagnosis.is_some() {
            return Ok(());
        }
        let vanilla = self.spec.vanilla().build(self.device)?;
        self.vanilla(&vanilla, "diagnosis")?;
        let modalities = (0..self.spec.modalities.len())
            .map(|m| {
                let train = self.features(&vanilla, m, true)?;
                let validation = self.features(&vanilla, m, false)?;
                Ok(ModalityDiagnosis {
                    modality: self.spec.modalities[m].clone(),
                    unimodal: self.facts.unimodal[m],
                    prefix: linear_probe(&train, &validation, self.spec.classes, self.device)?,
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
        let presence = some.present.only(&[modality]);
        let mut parts = Vec::new();
        each_batch(&some, &self.dataset.modalities, &presence, self.device, |batch| {
            if let Some(x) = &batch.inputs[modality].x {
                parts.push(model.encoders[modality].forward(x, Mode::Eval)?.detach());
            }
            Ok(())
        })?;
        Ok(Features::new(Tensor::cat(&parts, 0)?, samples, &rows))
    }

    pub fn distillation(&mut self, config: &Distillation) -> Result<()> {
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
        self.dataset.modality(name).ok_or_else(|| ModelError::Unfit {
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
        let (student_name, teacher_name) = (&self.spec.modalities[student], &self.spec.modalities[teacher]);
        self.install("unimodal", &format!("encoder.{teacher_name}"), &master.params)?;
        let branch = self.branch(student)?;
        if self.facts.taught > 0 {
            for part in ["encoder", "head"] {
                self.install("distilled", &format!("{part}.{student_name}"), &branch.params)?;
            }
        }
        let crd = Crd::new(
            &branch.params.root().pp("crd").pp(teacher_name),
            branch.encoder.width(),
            master.encoder.width(),
            both.len(),
            config.crd(),
        )?;
        let objective = Student {
            branch: branch.objective(),
            teacher: master.encoder.as_ref(),
            teacher_modality: teacher,
            crd: &crd,
            crd_weight: config.crd_weight,
            task_weight: config.task_weight,
            place: &place,
        };
        let name = format!("distillation/{teacher_name} to {student_name}");
        let fit = self.plain(name, &branch.params, &objective);
        let presence = self.presence.train.only(&[student, teacher]);
        self.fit(&fit, &presence, &both)?;
        self.artifacts.retain(|name, _| !under(name, "distilled"));
        self.keep("distilled", &branch.params)
    }

    /// Puts the distilled encoder, if there is one, into the model; returns the prefix of what stays frozen.
    pub fn install_distilled(&self, model: &Model, freeze: bool) -> Result<Option<String>> {
        let Some(student) = self.facts.student else {
            return Ok(None);
        };
        let path = format!("encoder.{}", self.spec.modalities[student]);
        self.install("distilled", &path, &model.params)?;
        Ok(freeze.then_some(path))
    }
}
