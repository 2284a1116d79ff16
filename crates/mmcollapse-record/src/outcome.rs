//! What a run leaves: whether it went through, and its scores.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Definition, Findings, Metric, ProtocolKind, neurons_of};

/// The measure with which comes what each fusion neuron is made of.
pub const NEURONS_MEASURE: &str = "leading_modality";

/// Whether training went through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Status {
    /// It did.
    Ok,
    /// It was stopped because it could not recover: a finding about the method, counted in the tables.
    Diverged {
        /// What was seen: a loss that is not finite, latents that blow up, accuracy at chance.
        reason: String,
        /// Epoch at which it was seen.
        epoch: usize,
    },
}

/// Which samples a number was measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// The training samples: losses.
    Train,
    /// The validation samples: what choices are made by.
    Validation,
    /// The test samples.
    Test,
}

impl Split {
    /// Which samples these are, in running text: `training` samples.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Train => "training",
            other => other.as_str(),
        }
    }

    /// Name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One measured number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// The protocol.
    pub protocol: ProtocolKind,
    /// The protocol's level: share of samples that lack the modality at test or in training, share with noise, beta, or the
    /// number of modalities; 0 where there is none.
    pub rate: f64,
    /// The samples it was measured on.
    pub split: Split,
    /// `accuracy` is the protocol's own score; `accuracy_only_X` keeps modality X alone, in the samples that have it,
    /// `accuracy_complete` keeps all. With two classes there are `auroc`, `auprc` (trapezoid), `average_precision`,
    /// `brier` and `calibration_error` as well, and `auroc_only_X` and `auroc_complete` instead.
    /// On the validation split `accuracy` (`auroc`) is with the modalities that the protocol leaves there, and `as_tested`
    /// with those of a test sample. `loss_X` is the mean of a loss term over the last epoch of the model's training.
    pub metric: Metric,
    /// The number, unscaled: a share in [0, 1]; of a loss, nats.
    pub value: f64,
    /// Samples it was measured on.
    pub n: usize,
}

/// What a finished run leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Whether training went through.
    pub status: Status,
    /// What was measured; a diverged run is scored as it stood when it was stopped, or not at all.
    pub scores: Vec<Score>,
    /// Seconds the run took on one worker, all its parts together where it was interrupted.
    pub seconds: f64,
    /// Number of trained parameters.
    pub parameters: usize,
    /// Findings beside the scores.
    #[serde(default)]
    pub diagnosis: Findings,
    /// Of each loss term of the model that is scored, its mean over each epoch, up to the first that is not finite; and
    /// of encoders that are probed along training, `probe_prefix_M` and `probe_baseline_M`. What each fusion neuron is made of is
    /// there too, where it was asked for ([`crate::neurons`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub curves: BTreeMap<String, Vec<f64>>,
    /// Revisions of the measures that it has beyond those of its protocol at revision 0, by [`Definition::key`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measured: BTreeMap<String, u32>,
    /// The shared fit that holds the final weights; none where no file was written, as by older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
}

impl Outcome {
    /// Takes over from another scoring of the same model what these measures give, and nothing else.
    pub fn add(&mut self, measured: &Self, measures: &[&'static Definition]) {
        let is_new = |score: &Score| measures.iter().any(|new| new.key == score.metric.definition().key);
        self.scores.retain(|score| !is_new(score));
        self.scores
            .extend(measured.scores.iter().filter(|score| is_new(score)).cloned());
        if measures.iter().any(|new| new.key == NEURONS_MEASURE) {
            self.curves.retain(|name, _| neurons_of(name).is_none());
            let over_neurons = measured.curves.iter().filter(|(name, _)| neurons_of(name).is_some());
            self.curves
                .extend(over_neurons.map(|(name, curve)| (name.clone(), curve.clone())));
        }
        for measure in measures {
            self.measured.insert(measure.key.to_owned(), measure.revision);
        }
    }

    /// Leaves out what the measures gave that only an experiment that asks for them has, but for those of these keys: another
    /// experiment may have asked for more of the same cell.
    pub fn keep_asked(&mut self, asked: &[String]) {
        let left_out: Vec<&str> = Definition::of_representation()
            .filter(|measure| measure.is_asked_for() && asked.iter().all(|key| key != measure.key))
            .map(|measure| measure.key)
            .collect();
        self.scores
            .retain(|score| !left_out.contains(&score.metric.definition().key));
        if left_out.contains(&NEURONS_MEASURE) {
            self.curves.retain(|name, _| neurons_of(name).is_none());
        }
        self.measured.retain(|key, _| !left_out.contains(&key.as_str()));
    }

    /// Whether a cell of this protocol lacks a measure, or has it at an older revision.
    pub fn lacks(&self, protocol: ProtocolKind, definition: &Definition) -> bool {
        match self.measured.get(definition.key) {
            Some(revision) => *revision < definition.revision,
            None => definition.revision > 0 || !protocol.measures_representation(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An outcome as stores have held it from the first version on: its text must stay what it is.
    #[test]
    fn an_outcome_of_before_is_read_and_written_as_it_was() {
        let text = concat!(
            r#"{"status":{"kind":"diverged","reason":"loss is not finite","epoch":4},"#,
            r#""scores":[{"protocol":"test_missing","rate":0.95,"split":"test","metric":"accuracy","value":0.1,"n":450},"#,
            r#"{"protocol":"train_noise_3","rate":0.5,"split":"train","metric":"loss_semantic","value":0.25,"n":9}],"#,
            r#""seconds":1.5,"parameters":10,"diagnosis":{"collapse":{"modalities":[{"modality":"sound","unimodal":0.75,"#,
            r#""prefix":null,"n":9}],"collapsed":"sound"},"student":"sound","alone":{"image":0.5}},"curves":{"semantic":[2.5,0.5]}}"#
        );
        let outcome: Outcome = serde_json::from_str(text).unwrap();
        assert_eq!(outcome.scores[1].metric.of(), Some("semantic"));
        assert_eq!(outcome.scores[0].protocol, ProtocolKind::TestMissing);
        assert_eq!(serde_json::to_string(&outcome).unwrap(), text);
        assert!(serde_json::from_str::<Outcome>(&text.replace("accuracy", "exactness")).is_err());
    }

    /// Two experiments share a cell, and one asks for more: the other shows what it asked for.
    #[test]
    fn measures_of_another_experiment_are_left_out() {
        let text = concat!(
            r#"{"status":{"kind":"ok"},"scores":["#,
            r#"{"protocol":"test_missing","rate":0.9,"split":"test","metric":"accuracy","value":0.5,"n":450},"#,
            r#"{"protocol":"test_missing","rate":0.9,"split":"test","metric":"leading_modality","value":0.6,"n":450},"#,
            r#"{"protocol":"test_missing","rate":0.9,"split":"test","metric":"polysemanticity","value":0.3,"n":840}],"#,
            r#""seconds":1.0,"parameters":1,"measured":{"leading_modality":1,"polysemanticity":1}}"#
        );
        let whole: Outcome = serde_json::from_str(text).unwrap();
        let kept = |asked: &[&str]| {
            let mut outcome = whole.clone();
            outcome.keep_asked(&asked.iter().map(ToString::to_string).collect::<Vec<_>>());
            let scores = outcome.scores.iter().map(|score| score.metric.as_str().to_owned());
            (
                scores.collect::<Vec<_>>(),
                outcome.measured.into_keys().collect::<Vec<_>>(),
            )
        };
        assert_eq!(kept(&["polysemanticity", "leading_modality"]).0.len(), 3);
        let (scores, measured) = kept(&["leading_modality"]);
        assert_eq!(
            (scores, measured),
            (
                vec!["accuracy".to_owned(), "leading_modality".to_owned()],
                vec!["leading_modality".to_owned()]
            )
        );
        assert_eq!(kept(&[]).0, ["accuracy"]);
    }

    #[test]
    fn a_measure_is_lacking_until_it_is_there_at_its_revision() {
        let text = r#"{"status":{"kind":"ok"},"scores":[],"seconds":1.0,"parameters":1}"#;
        let mut outcome: Outcome = serde_json::from_str(text).unwrap();
        let first = "rank_stable".parse::<Metric>().unwrap().definition();
        let (own, other) = (ProtocolKind::Modalities, ProtocolKind::TestMissing);
        // Outcomes of before say nothing of what their protocol measured.
        assert!(!outcome.lacks(own, first) && outcome.lacks(other, first));
        outcome.measured.insert(first.key.to_owned(), 0);
        assert!(!outcome.lacks(other, first));
        let raised = Definition {
            revision: 1,
            range: first.range,
            ..*first
        };
        assert!(outcome.lacks(own, &raised) && outcome.lacks(other, &raised));
        outcome.measured.insert(first.key.to_owned(), 1);
        assert!(!outcome.lacks(own, &raised) && !outcome.lacks(other, &raised));
    }
}
