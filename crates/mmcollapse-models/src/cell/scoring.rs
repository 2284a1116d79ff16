//! Scores a trained cell under its protocol.

use std::collections::BTreeMap;

use mmcollapse_data::{Presence, masks};
use mmcollapse_nn::Mode;

use super::{
    AS_TESTED, CellOutcome, Findings, Score, Status,
    run::{MULTIMODAL, Run, only},
};
use crate::{
    config::Protocol,
    error::Result,
    evaluate::{accuracy, correct, each_batch, latents},
    model::Model,
    substitution::LatentSamples,
};

impl Run<'_> {
    pub fn outcome(&mut self, mut model: Model) -> Result<CellOutcome> {
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
            parameters: model.params.vars().iter().map(|(_, v)| v.elem_count()).sum(),
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
        let presence = only(&Presence::all(rows.len(), self.spec.modalities.len()), &[modality]);
        let mut right = 0;
        each_batch(&samples, &self.dataset.modalities, &presence, self.device, |batch| {
            let encodings = model.encode(batch, Mode::Eval)?;
            let output = model.fusion.forward(&encodings, Mode::Eval)?;
            right += correct(&output.logits, &batch.labels)?;
            Ok(())
        })?;
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
                protocol: protocol.clone(),
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
            Protocol::TrainNoise { rate, .. } => {
                push(*rate, "test", "accuracy".to_owned(), score(&Presence::all(n, m))?, n);
                *rate
            }
            Protocol::Upweighted { beta, .. } => {
                push(*beta, "test", "accuracy".to_owned(), score(&Presence::all(n, m))?, n);
                for (measure, value) in self.measures(model, test)? {
                    push(*beta, "test", measure, value, n);
                }
                *beta
            }
        };
        let complete = score(&Presence::all(n, m))?;
        push(rate, "test", "accuracy_complete".to_owned(), complete, n);
        for (modality, name) in self.spec.modalities.iter().enumerate() {
            let only = Presence::from_fn(n, m, |_, j| j == modality);
            push(rate, "test", format!("accuracy_only_{name}"), score(&only)?, n);
        }
        push(
            rate,
            "validation",
            "accuracy".to_owned(),
            at_validation,
            dataset.validation.len(),
        );
        for (rate, value) in self.as_tested(model, at_validation)? {
            push(
                rate,
                "validation",
                AS_TESTED.to_owned(),
                value,
                dataset.validation.len(),
            );
        }
        let last = self.facts.history.iter().rev().find(|record| record.fit == MULTIMODAL);
        let losses = last.into_iter().flat_map(|record| &record.losses);
        for (name, value) in losses.filter(|(_, value)| value.is_finite()) {
            push(rate, "train", format!("loss_{name}"), *value, dataset.train.len());
        }
        Ok(scores)
    }

    /// Validation accuracy with what the protocol leaves of a test sample, at each of its levels. A mask of its own
    /// for validation, or the choice of a setting would know the test's.
    fn as_tested(&self, model: &Model, at_validation: f64) -> Result<Vec<(f64, f64)>> {
        let (samples, m, weak) = (&self.dataset.validation, self.spec.modalities.len(), self.weak);
        let n = samples.len();
        let score = |seen: &Presence| accuracy(model, self.dataset, samples, seen, self.device);
        Ok(match &self.config.protocol {
            Protocol::TestMissing { rates, .. } => {
                let mut scores = Vec::new();
                for &rate in rates {
                    let seen = masks::missing(n, m, weak, rate, self.config.seed, "validation");
                    scores.push((rate, score(&seen)?));
                }
                scores
            }
            Protocol::TrainAvailability { rate, .. } => {
                vec![(*rate, score(&Presence::from_fn(n, m, |_, j| j != weak))?)]
            }
            // Nothing is missing at test, nor in validation, which has its noise (the test has none).
            Protocol::TrainNoise { rate: level, .. } | Protocol::Upweighted { beta: level, .. } => {
                vec![(*level, at_validation)]
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::Device;

    use super::*;
    use crate::{
        CellConfig, Folders, Silent, run_cell,
        tests::{cell, tiny},
    };

    /// Settings are chosen by what a test would ask, on the validation split.
    #[test]
    fn validation_is_scored_as_the_test_is() {
        let dataset = tiny();
        let run = |protocol: Protocol| {
            let config = CellConfig {
                protocol,
                ..cell("concat", "none", serde_json::Value::Null)
            };
            run_cell(&config, &dataset, &Device::Cpu, &mut Silent, Folders::default()).unwrap()
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
                .filter(|s| s.split == "validation" && s.metric == metric);
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
