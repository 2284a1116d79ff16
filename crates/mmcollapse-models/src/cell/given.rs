//! What a cell gives its model, for a model of another program; and the scores of what that one says.

use std::borrow::Cow;

use mmcollapse_data::{Dataset, Presence};
use mmcollapse_record::{Protocol, ProtocolKind, Score, Split};

use super::{
    asked::{self, Condition},
    run::fitted,
};
use crate::{
    config::CellConfig,
    error::{ModelError, Result},
    predictions::Predictions,
    protocol,
};

/// Whether what a protocol does is done to the data alone, so that a model of another program can be trained and scored under it.
///
/// Of the others some act inside the model (up-weighting), some train several models or compare the data of several levels.
pub fn is_exported(kind: ProtocolKind) -> bool {
    matches!(
        kind,
        ProtocolKind::TestMissing
            | ProtocolKind::TrainAvailability
            | ProtocolKind::TrainNoise(_)
            | ProtocolKind::Missing
    )
}

/// What a cell gives its model, whichever its methods are.
pub struct Given<'a> {
    /// The data with the cell's modalities, and what the protocol did to their numbers.
    pub dataset: Cow<'a, Dataset>,
    /// What is left of the training samples.
    pub train: Presence,
    /// What is left of the validation samples, while a model is trained.
    pub validation: Presence,
    /// What a trained model is asked, in the order of the cell's scores.
    pub conditions: Vec<Condition>,
    protocol: Protocol,
}

impl<'a> Given<'a> {
    /// What the cell gives its model of `dataset`. Draws are those of [`super::run_cell`].
    ///
    /// # Errors
    /// A protocol that [`is_exported`] excludes, a configuration that does not fit the data.
    pub fn of(config: &CellConfig, dataset: &'a Dataset) -> Result<Self> {
        let kind = config.protocol.kind();
        if !is_exported(kind) {
            return Err(ModelError::Unfit {
                dataset: dataset.name.clone(),
                reason: format!("protocol `{kind}` is not one of the data alone"),
            });
        }
        let (chosen, weak) = fitted(config, dataset)?;
        let dataset = chosen.map_or(Cow::Borrowed(dataset), Cow::Owned);
        let corrupted = protocol::corrupted(config, &dataset, weak)?;
        let dataset = corrupted.map_or(dataset, Cow::Owned);
        let test = dataset.test.for_final_evaluation();
        let modalities: Vec<String> = dataset.modalities.iter().map(|m| m.name.clone()).collect();
        let mut conditions = asked::as_tested(config, weak, test, Split::Test);
        let level = asked::trained_level(config, modalities.len());
        conditions.extend(asked::beside(level, &modalities, test));
        conditions.extend(asked::as_tested(config, weak, &dataset.validation, Split::Validation));
        Ok(Self {
            train: protocol::available(config, weak, &dataset.train, "train"),
            validation: protocol::available(config, weak, &dataset.validation, "validation"),
            conditions,
            protocol: config.protocol.clone(),
            dataset,
        })
    }

    /// The labels of the samples that a condition asks of.
    pub fn labels(&self, condition: &Condition) -> Vec<u32> {
        let labels = match condition.split() {
            Split::Train => &self.dataset.train.labels,
            Split::Validation => &self.dataset.validation.labels,
            Split::Test => &self.dataset.test.for_final_evaluation().labels,
        };
        condition.rows().into_iter().map(|row| labels[row]).collect()
    }

    /// The scores of class probabilities, one row a sample that the condition asks of, in its order; as a cell scores its model.
    ///
    /// # Errors
    /// A measure without a metric: a bug.
    ///
    /// # Panics
    /// When there are not as many rows as samples, or not as many probabilities as classes.
    pub fn scores(&self, condition: &Condition, probabilities: Vec<Vec<f64>>) -> Result<Vec<Score>> {
        let labels = self.labels(condition);
        assert_eq!(labels.len(), probabilities.len(), "a row of probabilities a sample");
        let fits = probabilities.iter().all(|row| row.len() == self.dataset.classes);
        assert!(fits, "a probability a class");
        let predictions = Predictions::of_probabilities(probabilities, labels);
        let measures = condition.measures(asked::quality(self.dataset.classes), &predictions);
        let scored = measures.into_iter().filter_map(|measure| {
            let value = measure.value?;
            Some(measure.name.parse().map_err(ModelError::from).map(|metric| Score {
                protocol: self.protocol.kind(),
                rate: condition.level,
                split: condition.split(),
                metric,
                value,
                n: measure.n,
            }))
        });
        scored.collect()
    }

    /// Share of the predictions, as of [`Self::scores`], whose first highest probability is that of the label; none of no sample.
    pub fn accuracy(&self, condition: &Condition, probabilities: &[Vec<f64>]) -> Option<f64> {
        Predictions::of_probabilities(probabilities.to_vec(), self.labels(condition)).accuracy()
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::sets::{PlantedConfig, planted};
    use mmcollapse_nn::{Device, Mode, safetensors};
    use serde_json::Value;

    use super::*;
    use crate::{
        AS_TESTED, Asked, Conditions, ModelSpec, Silent,
        evaluate::each_batch,
        run_cell,
        tests::{cell, tiny},
    };

    /// Of every protocol that is exported, and of two and of three classes: what the model of a cell says of what the cell was
    /// given has the scores of the cell, to the last bit.
    #[test]
    fn the_predictions_of_a_cell_have_its_scores() {
        let two = planted(&PlantedConfig {
            classes: 2,
            train: 8,
            validation: 8,
            test: 12,
            signal: vec![0.3, 0.3],
            ..PlantedConfig::default()
        });
        let three = planted(&PlantedConfig {
            classes: 3,
            test: 6,
            signal: vec![0.3, 0.3],
            ..PlantedConfig::default()
        });
        let mut compared = 0;
        for dataset in [&two, &three] {
            for kind in ProtocolKind::ALL.into_iter().filter(|kind| is_exported(*kind)) {
                let config = CellConfig {
                    protocol: kind.on("sound", &[0.5, 0.9]),
                    ..cell("concat", "none", Value::Null)
                };
                let folder = tempfile::tempdir().unwrap();
                let conditions = Conditions {
                    shared: Some(folder.path()),
                    ..Conditions::default()
                };
                let outcome = run_cell(&config, dataset, &Device::Cpu, &mut Silent, conditions).unwrap();
                let given = Given::of(&config, dataset).unwrap();
                let model = ModelSpec::new(&config, &given.dataset)
                    .unwrap()
                    .build(&Device::Cpu)
                    .unwrap();
                let weights = folder.path().join(outcome.weights.as_ref().unwrap());
                let mut state = model.params.state().unwrap();
                state.extend(safetensors::load(&weights, &Device::Cpu).unwrap().0);
                model.params.load(&state).unwrap();
                let mut scores = Vec::new();
                for condition in &given.conditions {
                    let samples = match condition.split() {
                        Split::Test => given.dataset.test.for_final_evaluation(),
                        _ => &given.dataset.validation,
                    };
                    let samples = samples.select(&condition.rows());
                    let mut said = Vec::new();
                    each_batch(
                        &samples,
                        &given.dataset.modalities,
                        &condition.present(),
                        &Device::Cpu,
                        |batch| {
                            let logits: Vec<Vec<f32>> = model.forward(batch, Mode::Eval)?.1.logits.to_vec2()?;
                            said.extend(logits.iter().map(|row| softmax(row)));
                            Ok(())
                        },
                    )
                    .unwrap();
                    scores.extend(given.scores(condition, said).unwrap());
                }
                // What a prediction has no part in: losses, and validation with what training leaves there.
                let own: Vec<&Score> = outcome
                    .scores
                    .iter()
                    .filter(|score| match score.split {
                        Split::Train => false,
                        Split::Validation => score.metric == *AS_TESTED,
                        Split::Test => true,
                    })
                    .collect();
                assert_eq!(scores.iter().collect::<Vec<_>>(), own, "{kind}");
                compared += own.len();
            }
        }
        assert!(compared > 40, "{compared}");
    }

    /// Of two classes by their odds, as a cell has their probability.
    fn softmax(logits: &[f32]) -> Vec<f64> {
        if let &[a, b] = logits {
            let second = 1.0 / (1.0 + libm::exp(f64::from(a) - f64::from(b)));
            return vec![1.0 - second, second];
        }
        let e: Vec<f64> = logits.iter().map(|x| libm::exp(f64::from(*x))).collect();
        let sum: f64 = e.iter().sum();
        e.iter().map(|e| e / sum).collect()
    }

    #[test]
    fn what_acts_inside_a_model_is_not_given() {
        for kind in ProtocolKind::ALL.into_iter().filter(|kind| !is_exported(*kind)) {
            let config = CellConfig {
                protocol: kind.on("sound", &[0.5]),
                ..cell("concat", "none", Value::Null)
            };
            let error = Given::of(&config, &tiny()).err().unwrap().to_string();
            assert!(error.contains(&kind.to_string()), "{error}");
        }
    }

    #[test]
    fn each_modality_alone_is_asked_of_those_that_have_it() {
        let mut dataset = tiny();
        let mut test = dataset.test.for_final_evaluation().clone();
        test.present.set(4, 1, false);
        dataset.test = mmcollapse_data::TestSplit::new(test);
        let given = Given::of(&cell("concat", "none", Value::Null), &dataset).unwrap();
        let of = |asked: Asked| given.conditions.iter().find(|c| c.asked == asked).unwrap();
        let sound = of(Asked::Only("sound".into()));
        assert_eq!(sound.rows().len(), 11);
        assert!(!sound.rows().contains(&4));
        assert_eq!(sound.present().rows(0), [0; 0]);
        assert_eq!(
            of(Asked::Complete).present(),
            dataset.test.for_final_evaluation().present
        );
    }
}
