//! The protocols by name, and what their levels are.

use serde::{Deserialize, Serialize};

/// What happens to the modality: it goes missing, is corrupted, or weighs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolName {
    /// Trained on all pairs; each test sample loses the modality with probability `rate`: one training serves
    /// all rates.
    TestMissing,
    /// Only a share `1 - rate` of the training samples has it and no test sample: one training a rate.
    TrainAvailability,
    /// Noise of amplitude 1 in a share `rate` of the training samples, none at test: one training a rate.
    #[serde(rename = "train_noise_1")]
    TrainNoise1,
    /// The same with amplitude 3.
    #[serde(rename = "train_noise_3")]
    TrainNoise3,
    /// Every sample loses each of its modalities with probability `rate`, in training as at test: one training a rate.
    Missing,
    /// The first so many of the spec's modalities, the level, and nothing else: one training a number.
    Modalities,
    /// Nothing lacks in training; at test every pattern of modalities is all that is left: one training, level 0.
    Patterns,
    /// The modality's own loss added with weight beta, the level: one training a beta.
    UpweightedLoss,
    /// The modality's encoding scaled by 1 + beta, the level: one training a beta.
    UpweightedFeature,
}

impl ProtocolName {
    /// As in YAML and results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TestMissing => "test_missing",
            Self::TrainAvailability => "train_availability",
            Self::TrainNoise1 => "train_noise_1",
            Self::TrainNoise3 => "train_noise_3",
            Self::Missing => "missing",
            Self::Modalities => "modalities",
            Self::Patterns => "patterns",
            Self::UpweightedLoss => "upweighted_loss",
            Self::UpweightedFeature => "upweighted_feature",
        }
    }

    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::TestMissing,
        Self::TrainAvailability,
        Self::TrainNoise1,
        Self::TrainNoise3,
        Self::Missing,
        Self::Modalities,
        Self::Patterns,
        Self::UpweightedLoss,
        Self::UpweightedFeature,
    ];

    /// The protocol of a name in results, and the task in front of it: `mortality_missing`, `test_missing`.
    pub fn of_setting(setting: &str) -> Option<(Self, Option<&str>)> {
        let found = Self::ALL.into_iter().filter_map(|protocol| {
            let before = setting.strip_suffix(protocol.as_str())?;
            match before.strip_suffix('_') {
                Some(task) => Some((protocol, Some(task))),
                None => before.is_empty().then_some((protocol, None)),
            }
        });
        // `test_missing` is not `missing` of a task `test`.
        found.max_by_key(|(protocol, _)| protocol.as_str().len())
    }

    /// What its levels are.
    pub fn levels(self) -> Levels {
        match self {
            Self::UpweightedLoss | Self::UpweightedFeature => Levels::Weights,
            Self::Modalities => Levels::Counts,
            _ => Levels::Shares,
        }
    }

    /// Whether it is about one modality.
    pub(super) fn of_one(self) -> bool {
        !matches!(self, Self::Missing | Self::Modalities | Self::Patterns)
    }
}

/// What the levels of a protocol are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Levels {
    /// Shares of samples, in [0, 1].
    Shares,
    /// Values of beta, at least 0.
    Weights,
    /// Numbers of modalities, at least 1.
    Counts,
}
