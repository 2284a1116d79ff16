//! What a cell trains before its multimodal model: unimodal baselines, the diagnosis, a distilled encoder.

use mmcollapse_nn::{Mode, losses::Crd};
use serde_json::json;

use super::{
    run::{Branch, Run, UNIMODAL},
    shared::{self, Recipe},
};
use crate::{
    config::{distillation_revision, unimodal_revision},
    diagnosis::{Diagnosis, ModalityDiagnosis},
    error::{ModelError, Result},
    evaluate::{Predictions, each_batch},
    model::Model,
    reallocation::Distillation,
    training::{
        objectives::{Student, Teacher},
        under,
    },
};

impl Run<'_> {
    pub fn unimodal(&mut self) -> Result<()> {
        for modality in self.facts.unimodal.len()..self.spec.modalities.len() {
            let branch = self.branch(modality)?;
            let objective = branch.objective();
            let name = format!("{UNIMODAL}{}", self.spec.modalities[modality]);
            let fit = self.plain(name, &branch.params, &objective);
            let presence = self.presence.train.only(&[modality]);
            let recipe = Recipe {
                data: self.data_of(&[modality]),
                objective: vec![self.spec.encoders[modality].clone()],
                upweight: None,
                distillation: None,
                revision: unimodal_revision(),
            };
            self.fit_shared(&fit, &presence, &presence.rows(modality), &recipe)?;
            let quality = self.branch_quality(&branch)?;
            self.facts.unimodal.push(quality);
            self.keep("unimodal", &branch.params)?;
        }
        Ok(())
    }

    /// Digest of the data of a fit that sees these modalities: a protocol changes the inputs of its own only.
    fn data_of(&self, modalities: &[usize]) -> String {
        let changed = self.weak.is_some_and(|weak| modalities.contains(&weak));
        if changed { &self.dataset.digest } else { &self.clean }.clone()
    }

    /// Quality of a branch on the validation samples that have its modality; none where it is not defined.
    fn branch_quality(&self, branch: &Branch) -> Result<Option<f64>> {
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
                let (encoder, probing) = (vanilla.encoders[m].as_ref(), self.probing());
                let probe = probing.probe(encoder, m)?;
                Ok(ModalityDiagnosis {
                    modality: self.spec.modalities[m].clone(),
                    unimodal: self.facts.unimodal[m],
                    prefix: probing.at_validation(&probe, encoder, m)?.quality(),
                    n: self.presence.validation.rows(m).len(),
                })
            })
            .collect::<Result<_>>()?;
        self.facts.diagnosis = Some(Diagnosis::new(modalities));
        Ok(())
    }

    pub fn distillation(&mut self, config: &Distillation) -> Result<()> {
        let student = match (&config.student, self.facts.student) {
            (_, Some(student)) => student,
            (Some(name), None) => self.modality(name)?,
            (None, None) => {
                let collapsed = self.facts.diagnosis.as_ref().and_then(|d| d.collapsed.clone());
                let collapsed = collapsed.ok_or_else(|| ModelError::Unfit {
                    dataset: self.dataset.name.clone(),
                    reason:
                        "validation cannot tell which modality collapses: of none has it samples, or samples of two \
                             classes where there are two; name the one to distil (`student` of kd)"
                            .to_owned(),
                })?;
                self.modality(&collapsed)?
            }
        };
        self.facts.student = Some(student);
        let rounds = config.rounds(student, &self.facts.unimodal, self.config.seed);
        while self.facts.taught < rounds.len() {
            self.teach(config, student, &rounds[self.facts.taught])?;
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

    /// Trains the student's encoder under some teachers at once, from where those before left it.
    fn teach(&mut self, config: &Distillation, student: usize, teachers: &[usize]) -> Result<()> {
        let names = |modalities: &[usize]| -> Vec<String> {
            modalities.iter().map(|&m| self.spec.modalities[m].clone()).collect()
        };
        let (student_name, teacher_names) = (self.spec.modalities[student].clone(), names(teachers));
        let train = &self.presence.train;
        let index: Vec<usize> = (0..train.len())
            .filter(|&i| train.get(i, student) && teachers.iter().any(|&teacher| train.get(i, teacher)))
            .collect();
        let branch = self.branch(student)?;
        if self.facts.taught > 0 {
            for part in ["encoder", "head"] {
                self.install("distilled", &format!("{part}.{student_name}"), &branch.params)?;
            }
        }
        let mut weights_of_teachers = Vec::new();
        let masters = teachers.iter().zip(&teacher_names).map(|(&teacher, name)| {
            let master = self.branch(teacher)?;
            self.install("unimodal", &format!("encoder.{name}"), &master.params)?;
            weights_of_teachers.push(shared::digest(&master.params.state()?)?);
            let having: Vec<usize> = index.iter().copied().filter(|&i| train.get(i, teacher)).collect();
            let n = having.len();
            if n < 2 {
                return Err(ModelError::Unfit {
                    dataset: self.dataset.name.clone(),
                    reason: format!(
                        "distillation needs at least 2 training samples with both `{student_name}` and `{name}`, got {n}"
                    ),
                });
            }
            let crd = Crd::new(
                &branch.params.root().pp(shared::LOSS).pp(name),
                branch.encoder.width(),
                master.encoder.width(),
                n,
                config.crd(),
            )?;
            let mut place = vec![0; train.len()];
            for (n, &i) in having.iter().enumerate() {
                place[i] = n;
            }
            Ok(Teacher {
                modality: teacher,
                encodings: self.probing().encodings(master.encoder.as_ref(), teacher, &self.dataset.train, &having)?,
                crd,
                place,
            })
        });
        let objective = Student {
            branch: branch.objective(),
            teachers: masters.collect::<Result<_>>()?,
            crd_weight: config.crd_weight,
            task_weight: config.task_weight,
        };
        let name = format!("distillation/{} to {student_name}", teacher_names.join(", "));
        let mut fit = self.plain(name, &branch.params, &objective);
        fit.training = fit.training.stretched(teachers.len());
        let taking_part = [&[student], teachers].concat();
        let presence = self.presence.train.only(&taking_part);
        let recipe = Recipe {
            data: self.data_of(&taking_part),
            objective: taking_part.iter().map(|&m| self.spec.encoders[m].clone()).collect(),
            upweight: None,
            distillation: Some(json!({
                "teachers": weights_of_teachers,
                "crd": config.crd(),
                "weights": [config.crd_weight, config.task_weight],
            })),
            revision: distillation_revision(&self.spec.reallocation)?,
        };
        self.fit_shared(&fit, &presence, &index, &recipe)?;
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
