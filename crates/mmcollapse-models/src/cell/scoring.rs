//! Scores a trained cell under its protocol.

use std::collections::BTreeMap;

use mmcollapse_data::Samples;
use mmcollapse_nn::Mode;
use mmcollapse_record::{Findings, Score, Split, Status};

use super::{
    CellOutcome,
    asked::{self, Condition},
    run::{MULTIMODAL, Run},
};
use crate::{
    error::Result,
    evaluate::{complete_latents, each_batch, predictions},
    model::Model,
    predictions::Predictions,
    reallocation::Prepared,
    substitution::LatentSamples,
};

/// A score on fewer samples is not told: it says little, and of health records so small a group is nobody's business.
pub(super) const FEWEST: usize = 11;

/// A number by name, before it is known whether it becomes a score.
pub(super) struct Measure {
    pub name: String,
    /// None where it is not defined.
    pub value: Option<f64>,
    /// Samples it was measured on.
    pub n: usize,
}

impl Run<'_> {
    pub fn outcome(&mut self, mut model: Model, prepared: &Prepared) -> Result<CellOutcome> {
        let dataset = self.dataset;
        let (validation, seen) = (&dataset.validation, &self.presence.validation);
        let mut alone = BTreeMap::new();
        let mut strongest = (0, f64::NEG_INFINITY);
        for modality in 0..self.spec.modalities.len() {
            // Without a score it is not known to be the strongest.
            let Some(quality) = self.alone(&model, modality)? else {
                continue;
            };
            if quality > strongest.1 {
                strongest = (modality, quality);
            }
            alone.insert(self.spec.modalities[modality].clone(), quality);
        }
        if let Some(latents) = complete_latents(&model, dataset, validation, seen, self.device)? {
            model.substitution.fit(&LatentSamples {
                latents,
                strongest: strongest.0,
            });
        }
        if model.substitution.wants_encodings() {
            let encodings = self.training_encodings(&model)?;
            model.substitution.learn(&encodings)?;
        }
        let at_validation = predictions(&model, dataset, validation, seen, self.device)?;
        let (mut more, eliminated) = if self.config.protocol.kind().probes_encoders() {
            self.gaps(&model, dataset.test.for_final_evaluation())?
        } else {
            Default::default()
        };
        let mut along = self.ranks_along();
        if self.config.protocol.kind().probes_encoders() {
            along.extend(self.lowest_losses());
        }
        if self.is_checked() {
            let test = dataset.test.for_final_evaluation();
            more.extend(self.manipulation(&model, prepared, test)?);
        }
        let (mut measures, neurons) = self.measures(&model, dataset.test.for_final_evaluation())?;
        measures.extend(more);
        let mut scores = self.scores(&model, &at_validation, measures)?;
        let level = self.trained_level();
        for Measure { name, value, n } in along {
            scores.extend(self.score(level, Split::Train, &name, value, n)?);
        }
        let own = self.config.protocol.kind().measures_representation();
        let beyond = self
            .asked_measures()
            .into_iter()
            .filter(|asked| asked.revision > 0 || !own);
        let measured = beyond.map(|asked| (asked.key.to_owned(), asked.revision)).collect();
        self.facts.seconds += self.started.elapsed().as_secs_f64();
        Ok(CellOutcome {
            status: self.status(&at_validation),
            scores,
            seconds: self.facts.seconds,
            parameters: model.params.vars().iter().map(|(_, v)| v.elem_count()).sum(),
            diagnosis: Findings {
                collapse: self.facts.diagnosis.clone(),
                student: prepared.student.map(|student| self.spec.modalities[student].clone()),
                alone,
                eliminated,
            },
            history: self.facts.history.clone(),
            measured,
            neurons,
            weights: self.weights.clone(),
        })
    }

    /// Validation quality of the model with one modality, nothing standing in for the others.
    fn alone(&self, model: &Model, modality: usize) -> Result<Option<f64>> {
        let rows = self.presence.validation.rows(modality);
        let samples = self.dataset.validation.select(&rows);
        let presence = samples.present.only(&[modality]);
        let mut predictions = Predictions::default();
        each_batch(&samples, &self.dataset.modalities, &presence, self.device, |batch| {
            let encodings = model.encode(batch, Mode::Eval)?;
            let output = model.fusion.forward(&encodings, Mode::Eval)?;
            predictions.push(&output.logits, &batch.labels)
        })?;
        Ok(predictions.quality())
    }

    fn status(&self, at_validation: &Predictions) -> Status {
        if let Some((reason, epoch)) = &self.facts.diverged {
            return Status::Diverged {
                reason: reason.clone(),
                epoch: *epoch,
            };
        }
        let epoch = self.facts.history.last().map_or(0, |r| r.epoch);
        match told_nothing(at_validation, self.spec.classes, self.dataset.validation.len()) {
            Some(reason) => Status::Diverged { reason, epoch },
            None => Status::Ok,
        }
    }

    fn scores(&self, model: &Model, at_validation: &Predictions, measures: Vec<Measure>) -> Result<Vec<Score>> {
        let dataset = self.dataset;
        let test = dataset.test.for_final_evaluation();
        let kind = self.config.protocol.kind();
        let quality = self.quality();
        let mut scores = Vec::new();
        let mut push = |rate: f64, split: Split, metric: &str, value: Option<f64>, n: usize| -> Result<()> {
            scores.extend(self.score(rate, split, metric, value, n)?);
            Ok(())
        };
        let by_pattern = kind.scores_patterns();
        if by_pattern {
            for measure in self.pattern_scores(model, test)? {
                push(0.0, Split::Test, &measure.name, measure.value, measure.n)?;
            }
        }
        let at_levels = asked::as_tested(&self.config, self.weak, test, Split::Test);
        for condition in at_levels.iter().filter(|_| !by_pattern) {
            for measure in condition.measures(quality, &self.answers(model, condition, test)?) {
                push(condition.level, Split::Test, &measure.name, measure.value, measure.n)?;
            }
        }
        let level = self.trained_level();
        for measure in measures {
            push(level, Split::Test, &measure.name, measure.value, measure.n)?;
        }
        for condition in asked::beside(level, &self.spec.modalities, test) {
            for measure in condition.measures(quality, &self.answers(model, &condition, test)?) {
                push(level, Split::Test, &measure.name, measure.value, measure.n)?;
            }
        }
        let at_end = at_validation.quality();
        let n_validation = dataset.validation.len();
        push(level, Split::Validation, quality, at_end, n_validation)?;
        for (condition, predictions) in self.as_tested(model, at_validation)? {
            for measure in condition.measures(quality, &predictions) {
                push(
                    condition.level,
                    Split::Validation,
                    &measure.name,
                    measure.value,
                    measure.n,
                )?;
            }
        }
        let last = self.facts.of_fit(MULTIMODAL).next_back();
        let losses = last.into_iter().flat_map(|record| &record.losses);
        for (name, value) in losses {
            let value = value.is_finite().then_some(*value);
            push(level, Split::Train, &format!("loss_{name}"), value, dataset.train.len())?;
        }
        Ok(scores)
    }

    /// A number as a score. The one place that leaves a score out: it has no value. Nothing is ever put in its place.
    fn score(&self, rate: f64, split: Split, metric: &str, value: Option<f64>, n: usize) -> Result<Option<Score>> {
        let Some(value) = value else {
            return Ok(None);
        };
        Ok(Some(Score {
            protocol: self.config.protocol.kind(),
            rate,
            split,
            metric: metric.parse()?,
            value,
            n,
        }))
    }

    /// Where the scores stand of what is measured with all modalities: the level of the training, or 0 where that serves several.
    fn trained_level(&self) -> f64 {
        asked::trained_level(&self.config, self.spec.modalities.len())
    }

    /// The measure of [`Predictions::quality`].
    pub fn quality(&self) -> &'static str {
        asked::quality(self.spec.classes)
    }

    /// What the model says of the samples that a condition asks of.
    fn answers(&self, model: &Model, condition: &Condition, samples: &Samples) -> Result<Predictions> {
        let some;
        let samples = match &condition.rows {
            None => samples,
            Some(rows) => {
                some = samples.select(rows);
                &some
            }
        };
        Ok(predictions(
            model,
            self.dataset,
            samples,
            &condition.present(),
            self.device,
        )?)
    }

    /// What it says of validation with what the protocol leaves of a test sample, at each of its levels. A mask of its own for
    /// validation, or the choice of a setting would know the test's.
    fn as_tested(&self, model: &Model, at_end: &Predictions) -> Result<Vec<(Condition, Predictions)>> {
        let samples = &self.dataset.validation;
        let asked = asked::as_tested(&self.config, self.weak, samples, Split::Validation).into_iter();
        let answered = asked.map(|condition| {
            // Where validation sees the same as the test, it was asked already.
            let answers = if condition.seen == self.presence.validation {
                at_end.clone()
            } else {
                self.answers(model, &condition, samples)?
            };
            Ok((condition, answers))
        });
        answered.collect()
    }
}

/// Why a model's predictions of validation say nothing of the samples, if they do not.
///
/// Two classes of very different size are told from chance by rank alone, and a weak signal is no divergence; none is. So it is for
/// more classes, where the largest may be much larger than a guess of all alike.
fn told_nothing(at_validation: &Predictions, classes: usize, samples: usize) -> Option<String> {
    if classes > 2
        && let Some(accuracy) = at_validation.accuracy()
    {
        let chance = 1.0 / classes as f64;
        let n = samples.max(1) as f64;
        // Two standard errors of a guess.
        let bar = chance + 2.0 * (chance * (1.0 - chance) / n).sqrt();
        if accuracy <= bar {
            return Some(format!(
                "validation accuracy {accuracy:.3} at the end is not above chance ({bar:.3})"
            ));
        }
    }
    let constant = at_validation.is_constant() == Some(true);
    constant.then(|| "every validation sample gets the same prediction, the shares of the classes".to_owned())
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::{Device, Tensor};
    use mmcollapse_record::Protocol;

    use super::*;
    use crate::{
        AS_TESTED, CellConfig, Conditions, Silent, run_cell,
        tests::{cell, tiny},
    };

    #[test]
    fn a_model_that_names_the_largest_class_says_nothing() {
        // Of ten samples of three classes seven are of the first.
        let labels = [0, 0, 0, 0, 0, 0, 0, 1, 1, 2];
        let said = |of: &dyn Fn(usize) -> [f32; 3]| {
            let logits: Vec<f32> = (0..10).flat_map(of).collect();
            let logits = Tensor::from_vec(logits, (10, 3), &Device::Cpu).unwrap();
            let mut predictions = Predictions::default();
            predictions.push(&logits, &labels).unwrap();
            told_nothing(&predictions, 3, 10)
        };
        let constant = said(&|_| [2.0, 0.5, -1.0]).unwrap();
        assert!(constant.contains("the same prediction"), "{constant}");
        // Right as often, but not of all alike.
        assert_eq!(said(&|i| [2.0, 0.1 * i as f32, -1.0]), None);
        let wrong = said(&|i| [-1.0, i as f32, -2.0]).unwrap();
        assert!(wrong.contains("not above chance"), "{wrong}");
    }

    /// Settings are chosen by what a test would ask, on the validation split.
    #[test]
    fn validation_is_scored_as_the_test_is() {
        let dataset = tiny();
        let run = |protocol: Protocol| {
            let config = CellConfig {
                protocol,
                ..cell("concat", "none", serde_json::Value::Null)
            };
            run_cell(&config, &dataset, &Device::Cpu, &mut Silent, Conditions::default()).unwrap()
        };
        let sound = || "sound".to_owned();
        let missing = run(Protocol::TestMissing {
            modality: sound(),
            rates: vec![0.0, 0.5, 1.0],
        });
        let on_validation = |outcome: &CellOutcome, metric: &str| -> Vec<(f64, f64, usize)> {
            let scores = outcome
                .scores
                .iter()
                .filter(|s| s.split == Split::Validation && s.metric == metric);
            scores.map(|s| (s.rate, s.value, s.n)).collect()
        };
        let as_tested = on_validation(&missing, AS_TESTED);
        let rates: Vec<f64> = as_tested.iter().map(|(rate, ..)| *rate).collect();
        assert_eq!(rates, [0.0, 0.5, 1.0]);
        assert!(as_tested.iter().all(|(.., n)| *n == dataset.validation.len()));
        // At rate 0 nothing is missing; at rate 1 the image is alone.
        assert_eq!(as_tested[0].1, on_validation(&missing, "accuracy")[0].1);
        assert_eq!(as_tested[2].1, missing.diagnosis.alone["image"]);

        let scarce = run(Protocol::TrainAvailability {
            modality: sound(),
            rate: 0.8,
        });
        assert_eq!(
            on_validation(&scarce, AS_TESTED),
            [(0.8, scarce.diagnosis.alone["image"], 12)]
        );
    }
}
