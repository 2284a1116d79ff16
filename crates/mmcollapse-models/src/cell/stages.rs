//! What a cell trains before its model: unimodal baselines, the diagnosis, and whatever its reallocation prepares.

use mmcollapse_data::{Presence, Samples};
use mmcollapse_nn::{Mode, Params, Tensor, layers::Linear};
use mmcollapse_record::{Diagnosis, ModalityDiagnosis};

use super::{
    run::{MULTIMODAL, Run, UNIMODAL},
    shared::Recipe,
};
use crate::{
    branch::Branch,
    config::CellConfig,
    encoders::{self, Encoder},
    error::{ModelError, Result},
    evaluate::{each_batch, predictions},
    method::MethodConfig,
    model::{Model, ModelSpec},
    multimodal::Multimodal,
    predictions::Predictions,
    reallocation::{self, ALONE, Learnt, Preparation, Workbench},
    revision::{reallocation_revision, unimodal_revision, vanilla_revision},
    training::{Fit, Training, under},
};

/// Where the weights of the model without reallocation and balancing are kept.
const NAIVE: &str = "naive";

/// Name in the history of the fit whose phases a control replays.
const YOKED: &str = "yoked";

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
                further: None,
                discarded: None,
                revision: unimodal_revision(&self.config.dataset),
            };
            self.fit_shared(&fit, &presence, &presence.rows(modality), &recipe)?;
            let said = self.branch_predictions(&branch, &self.dataset.validation, &self.presence.validation)?;
            self.facts.unimodal.push(said.quality());
            self.keep(ALONE, &branch.params, None)?;
        }
        Ok(())
    }

    /// Digest of the data of a fit that sees these modalities: a protocol changes the inputs of its own only.
    fn data_of(&self, modalities: &[usize]) -> String {
        let changed = self.weak.is_some_and(|weak| modalities.contains(&weak));
        if changed { &self.dataset.digest } else { &self.clean }.clone()
    }

    /// The cell's model with another reallocation.
    pub fn model_with(&self, reallocation: &MethodConfig) -> Result<Model> {
        let spec = ModelSpec {
            reallocation: reallocation.clone(),
            ..self.spec.clone()
        };
        spec.build(self.device)
    }

    /// The same, trained; `label` names the fit in the history.
    fn trained_with(&mut self, reallocation: &MethodConfig, label: &str) -> Result<Model> {
        let mut model = self.model_with(reallocation)?;
        let prepared = model.reallocation.prepare(self)?;
        self.balance(&mut model)?;
        self.model(reallocation, &model, &prepared.placed, label)?;
        Ok(model)
    }

    /// What a branch says of the samples that have its modality.
    fn branch_predictions(&self, branch: &Branch, samples: &Samples, presence: &Presence) -> Result<Predictions> {
        let having = samples.select(&presence.rows(branch.modality));
        let seen = having.present.only(&[branch.modality]);
        let objective = branch.objective();
        let mut predictions = Predictions::default();
        each_batch(&having, &self.dataset.modalities, &seen, self.device, |batch| {
            let (_, logits) = objective.forward(batch, Mode::Eval)?;
            predictions.push(&logits, &batch.labels)
        })?;
        Ok(predictions)
    }

    /// Cross-entropies on training and validation of what is said of them; not a number where nobody is asked.
    fn losses(&self, said: impl Fn(&Samples, &Presence) -> Result<Predictions>) -> Result<[f64; 2]> {
        let of = |samples, presence| Ok::<_, ModelError>(said(samples, presence)?.cross_entropy().unwrap_or(f64::NAN));
        Ok([
            of(&self.dataset.train, &self.presence.train)?,
            of(&self.dataset.validation, &self.presence.validation)?,
        ])
    }

    /// Trains the cell's model without reallocation and balancing, and reads its cross-entropies before and after.
    fn naive(&mut self) -> Result<Learnt> {
        let spec = ModelSpec {
            balancing: None,
            ..self.spec.vanilla()
        };
        let model = spec.build(self.device)?;
        let said = |run: &Self| {
            run.losses(|samples, presence| Ok(predictions(&model, run.dataset, samples, presence, run.device)?))
        };
        let before = said(self)?;
        let objective = Multimodal(&model);
        let fit = Fit {
            label: "naive".to_owned(),
            ..self.plain(MULTIMODAL.to_owned(), &model.params, &objective)
        };
        let mut parts = spec.encoders.clone();
        parts.push(spec.fusion.clone());
        let unbalanced = CellConfig {
            balancing: None,
            ..self.config.clone()
        };
        let recipe = Recipe {
            objective: parts,
            revision: vanilla_revision(&unbalanced)?,
            ..self.vanilla_recipe()?
        };
        let (presence, index) = (self.presence.train.clone(), self.everyone.clone());
        if self.has(NAIVE) {
            Run::install(self, NAIVE, "", &model.params)?;
        } else {
            // How that one ends is its own cell's affair.
            let diverged = self.facts.diverged.clone();
            self.fit_shared(&fit, &presence, &index, &recipe)?;
            self.facts.diverged = diverged;
            self.keep(NAIVE, &model.params, None)?;
        }
        Ok(Learnt {
            before,
            after: said(self)?,
        })
    }

    fn diagnose(&mut self) -> Result<Diagnosis> {
        let mut vanilla = self.spec.vanilla().build(self.device)?;
        self.balance(&mut vanilla)?;
        self.vanilla(&vanilla, "diagnosis")?;
        let modalities = (0..self.spec.modalities.len())
            .map(|m| {
                let probing = self.probing();
                // Of both encoders by a probe of its frozen training encodings: a trained head beside a probe would compare
                // readings, not encoders.
                let quality = |encoder: &dyn Encoder| {
                    let probe = probing.probe(encoder, m)?;
                    Ok::<_, ModelError>(probing.at_validation(&probe, encoder, m)?.quality())
                };
                Ok(ModalityDiagnosis {
                    modality: self.spec.modalities[m].clone(),
                    unimodal: quality(self.trained_alone(m)?.encoder.as_ref())?,
                    prefix: quality(vanilla.encoders[m].as_ref())?,
                    n: self.presence.validation.rows(m).len(),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Diagnosis::new(modalities))
    }
}

impl Workbench for Run<'_> {
    fn modalities(&self) -> &[String] {
        &self.spec.modalities
    }

    fn seed(&self) -> u64 {
        self.config.seed
    }

    fn training(&self) -> &Training {
        &self.config.training
    }

    fn available(&self) -> &Presence {
        &self.presence.train
    }

    fn labels(&self) -> &[u32] {
        &self.dataset.train.labels
    }

    fn unfit(&self, reason: String) -> ModelError {
        ModelError::Unfit {
            dataset: self.dataset.name.clone(),
            reason,
        }
    }

    fn alone(&mut self) -> Result<&[Option<f64>]> {
        self.unimodal()?;
        Ok(&self.facts.unimodal)
    }

    fn diagnosis(&mut self) -> Result<Diagnosis> {
        if let Some(known) = &self.facts.diagnosis {
            return Ok(known.clone());
        }
        self.unimodal()?;
        let diagnosis = self.diagnose()?;
        self.facts.diagnosis = Some(diagnosis.clone());
        Ok(diagnosis)
    }

    fn learnt(&mut self) -> Result<Vec<Learnt>> {
        self.unimodal()?;
        let mut learnt = Vec::new();
        for m in 0..self.spec.modalities.len() {
            let of =
                |branch: &Branch| self.losses(|samples, presence| self.branch_predictions(branch, samples, presence));
            learnt.push(Learnt {
                before: of(&self.branch(m)?)?,
                after: of(&self.trained_alone(m)?)?,
            });
        }
        learnt.push(self.naive()?);
        Ok(learnt)
    }

    fn student(&mut self, named: Option<&str>) -> Result<usize> {
        let collapsed = match named {
            Some(_) => None,
            None => self.diagnosis()?.collapsed,
        };
        let name = named.or(collapsed.as_deref()).ok_or_else(|| {
            self.unfit(
                "validation cannot tell which modality collapses: of none has it samples, or samples of two classes where \
                 there are two; name the one to replace (`student`)"
                    .to_owned(),
            )
        })?;
        reallocation::named(&self.spec.modalities, name).map_err(|reason| self.unfit(reason))
    }

    fn train_with(&mut self, reallocation: &MethodConfig, kept: &str) -> Result<()> {
        if self.has(kept) {
            return Ok(());
        }
        let model = self.trained_with(reallocation, kept)?;
        self.keep(kept, &model.params, None)
    }

    fn phases_of(&mut self, reallocation: &MethodConfig) -> Result<Vec<String>> {
        let is_known = self.facts.of_fit(YOKED).next().is_some();
        if !is_known {
            // How that one ends is its own cell's affair.
            let diverged = self.facts.diverged.clone();
            self.trained_with(reallocation, YOKED)?;
            self.facts.diverged = diverged;
        }
        Ok(self.facts.of_fit(YOKED).map(|record| record.phase.clone()).collect())
    }

    fn params(&self) -> Params {
        Params::new(self.config.seed, self.device)
    }

    fn branch(&self, modality: usize) -> Result<Branch> {
        let params = Params::new(self.config.seed, self.device);
        let name = &self.spec.modalities[modality];
        let encoder = encoders::build(
            &self.spec.encoders[modality].method,
            &self.spec.encoders[modality].options,
            &self.spec.inputs[modality],
            &params.root().pp("encoder").pp(name),
        )?;
        let head = Linear::new(&params.root().pp("head").pp(name), encoder.width(), self.spec.classes)?;
        Ok(Branch {
            params,
            encoder,
            head,
            modality,
        })
    }

    fn trained_alone(&self, modality: usize) -> Result<Branch> {
        let branch = self.branch(modality)?;
        let path = format!("encoder.{}", self.spec.modalities[modality]);
        Run::install(self, ALONE, &path, &branch.params)?;
        Ok(branch)
    }

    fn encodings(&self, encoder: &dyn Encoder, modality: usize, rows: &[usize]) -> Result<Tensor> {
        self.probing().encodings(encoder, modality, &self.dataset.train, rows)
    }

    fn train(&mut self, preparation: &Preparation) -> Result<()> {
        let fit = Fit {
            training: preparation.training.clone(),
            ..self.plain(preparation.name.clone(), preparation.params, preparation.objective)
        };
        let presence = self.presence.train.only(preparation.modalities);
        let encoders = preparation.modalities.iter().map(|&m| self.spec.encoders[m].clone());
        let recipe = Recipe {
            data: self.data_of(preparation.modalities),
            objective: encoders.collect(),
            upweight: None,
            further: Some(preparation.decided_by.clone()),
            discarded: preparation.discarded,
            revision: format!(
                "{} {}",
                unimodal_revision(&self.config.dataset),
                reallocation_revision(&self.spec.reallocation)?
            ),
        };
        self.fit_shared(&fit, &presence, preparation.samples, &recipe)?;
        self.keep(preparation.keep, preparation.params, preparation.discarded)
    }

    fn has(&self, kept: &str) -> bool {
        self.artifacts.keys().any(|name| under(name, kept))
    }

    fn install(&self, kept: &str, params: &Params) -> Result<()> {
        Run::install(self, kept, "", params)
    }

    fn forget(&mut self, kept: &str) {
        self.artifacts.retain(|name, _| !under(name, kept));
    }
}
