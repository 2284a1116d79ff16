//! Protocols: what is done to which modality, in training and at test.

mod planted;
mod words;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Levels, UnknownName};

pub use planted::Planting;

/// What is done to which modality, with its parameters. A missing rate is always the share of samples that lack the modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Protocol {
    /// Trained on all pairs; each test sample loses the modality with probability `rate`, for each of the rates.
    TestMissing {
        /// The modality that goes missing.
        modality: String,
        /// Missing rates in [0, 1]; one trained model is scored at all of them.
        rates: Vec<f64>,
    },
    /// Only a share `1 - rate` of the training (and validation) samples has the modality; no test sample has it.
    TrainAvailability {
        /// The modality that is scarce.
        modality: String,
        /// Missing rate in training, in [0, 1).
        rate: f64,
    },
    /// Trained on all pairs, some with noise on the modality; no test sample has noise or lacks a modality.
    TrainNoise {
        /// The modality that is corrupted.
        modality: String,
        /// Share of training (and validation) samples with noise, in [0, 1].
        rate: f64,
        /// Half-width of the uniform noise, in standard deviations of the modality over the training set.
        amplitude: f64,
    },
    /// Every sample, in training, validation and test, loses each of its modalities with probability `rate`, but never
    /// the last.
    Missing {
        /// Missing rate in [0, 1]; at 0 a sample keeps the modalities that it has in the source.
        rate: f64,
    },
    /// Models of the first k modalities; the level is k, and none is removed.
    Modalities {},
    /// Trained on what the samples have; at test each sample keeps the modalities of one pattern only, for every pattern
    /// but the empty one. A pattern is scored on the samples that have all of it.
    Patterns {},
    /// Trained on all pairs with the modality up-weighted; no test sample lacks a modality.
    Upweighted {
        /// The modality that is up-weighted.
        modality: String,
        /// How much, at least 0; 0 changes nothing.
        beta: f64,
        /// In what way.
        mode: UpweightMode,
    },
    /// Trained and tested on planted data that differ from level to level; nothing is done to them.
    Planted {
        /// In what they differ. The cell's data set names the options.
        planting: Planting,
        /// How many there are of it.
        level: f64,
    },
}

/// Readings of the paper's "amount of upweighting" beta, which it does not define.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpweightMode {
    /// beta times the cross-entropy of a linear head on the modality's encoding is added to the loss; in a generative model
    /// the log-likelihood of the modality counts 1 + beta times.
    Loss,
    /// The modality's encoding is scaled by 1 + beta before fusion.
    Feature,
}

impl Protocol {
    /// Which protocol it is, without its parameters.
    pub fn kind(&self) -> ProtocolKind {
        match self {
            Self::TestMissing { .. } => ProtocolKind::TestMissing,
            Self::TrainAvailability { .. } => ProtocolKind::TrainAvailability,
            Self::TrainNoise { amplitude, .. } => ProtocolKind::TrainNoise(Amplitude::of(*amplitude)),
            Self::Missing { .. } => ProtocolKind::Missing,
            Self::Modalities {} => ProtocolKind::Modalities,
            Self::Patterns {} => ProtocolKind::Patterns,
            Self::Upweighted { mode, .. } => ProtocolKind::Upweighted(*mode),
            Self::Planted { planting, .. } => ProtocolKind::Planted(*planting),
        }
    }

    /// The modality that goes missing, is corrupted or up-weighted, if it is one.
    pub fn modality(&self) -> Option<&str> {
        match self {
            Self::TestMissing { modality, .. }
            | Self::TrainAvailability { modality, .. }
            | Self::TrainNoise { modality, .. }
            | Self::Upweighted { modality, .. } => Some(modality),
            Self::Missing { .. } | Self::Modalities {} | Self::Patterns {} | Self::Planted { .. } => None,
        }
    }

    /// The level that a model of `modalities` modalities is trained at; none where one training is scored at several.
    pub fn trained_level(&self, modalities: usize) -> Option<f64> {
        match self {
            Self::TestMissing { .. } => None,
            Self::TrainAvailability { rate, .. } | Self::TrainNoise { rate, .. } | Self::Missing { rate } => {
                Some(*rate)
            }
            Self::Modalities {} => Some(modalities as f64),
            Self::Patterns {} => Some(0.0),
            Self::Upweighted { beta, .. } => Some(*beta),
            Self::Planted { level, .. } => Some(*level),
        }
    }

    /// All levels that such a model is scored at.
    pub fn levels(&self, modalities: usize) -> Vec<f64> {
        match self {
            Self::TestMissing { rates, .. } => rates.clone(),
            _ => self.trained_level(modalities).into_iter().collect(),
        }
    }
}

/// Half-width of noise in standard deviations, to three decimals: part of a protocol's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Amplitude {
    thousandths: u32,
}

impl Amplitude {
    /// The amplitude nearest to `deviations`; 0 of what is negative.
    pub fn of(deviations: f64) -> Self {
        Self {
            thousandths: (deviations * 1000.0).round() as u32,
        }
    }

    /// In standard deviations.
    pub fn deviations(self) -> f64 {
        f64::from(self.thousandths) / 1000.0
    }
}

impl fmt::Display for Amplitude {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deviations().fmt(formatter)
    }
}

/// A protocol without its parameters, as specs choose it and results name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ProtocolKind {
    /// [`Protocol::TestMissing`]: one training serves all rates.
    TestMissing,
    /// [`Protocol::TrainAvailability`]: one training a rate.
    TrainAvailability,
    /// [`Protocol::TrainNoise`] of this amplitude: one training a rate.
    TrainNoise(Amplitude),
    /// [`Protocol::Missing`]: one training a rate.
    Missing,
    /// [`Protocol::Modalities`]: one training a number.
    Modalities,
    /// [`Protocol::Patterns`]: one training, level 0.
    Patterns,
    /// [`Protocol::Upweighted`] in this way: one training a beta.
    Upweighted(UpweightMode),
    /// [`Protocol::Planted`], varied in this: one training a level.
    Planted(Planting),
}

/// Before the amplitude in a name.
const TRAIN_NOISE: &str = "train_noise_";

impl ProtocolKind {
    /// Every one, with the paper's amplitudes of noise.
    pub const ALL: [Self; 20] = [
        Self::TestMissing,
        Self::TrainAvailability,
        Self::TrainNoise(Amplitude { thousandths: 1000 }),
        Self::TrainNoise(Amplitude { thousandths: 3000 }),
        Self::Missing,
        Self::Modalities,
        Self::Patterns,
        Self::Upweighted(UpweightMode::Loss),
        Self::Upweighted(UpweightMode::Feature),
        Self::Planted(Planting::Modalities),
        Self::Planted(Planting::UnequalModalities),
        Self::Planted(Planting::AdditiveModalities),
        Self::Planted(Planting::RedundantModalities),
        Self::Planted(Planting::Pairs),
        Self::Planted(Planting::Noise),
        Self::Planted(Planting::NoiseRedundant),
        Self::Planted(Planting::NoisierRedundant),
        Self::Planted(Planting::NoisierDistinct),
        Self::Planted(Planting::NoiseAdditive),
        Self::Planted(Planting::PairsUnlabelled),
    ];

    /// Its name where it has no amplitude.
    fn word(self) -> &'static str {
        match self {
            Self::TestMissing => "test_missing",
            Self::TrainAvailability => "train_availability",
            Self::TrainNoise(_) => TRAIN_NOISE,
            Self::Missing => "missing",
            Self::Modalities => "modalities",
            Self::Patterns => "patterns",
            Self::Upweighted(UpweightMode::Loss) => "upweighted_loss",
            Self::Upweighted(UpweightMode::Feature) => "upweighted_feature",
            Self::Planted(planting) => planting.entry().word,
        }
    }

    /// What its levels are.
    pub fn levels(self) -> Levels {
        match self {
            Self::Upweighted(_) => Levels::Weights,
            Self::Modalities => Levels::Counts,
            Self::Planted(_) => Levels::Amounts,
            _ => Levels::Shares,
        }
    }

    /// Whether it is about one modality.
    pub fn of_one_modality(self) -> bool {
        !matches!(
            self,
            Self::Missing | Self::Modalities | Self::Patterns | Self::Planted(_)
        )
    }

    /// Whether the representation of each model is measured, whatever the experiment asks for.
    pub fn measures_representation(self) -> bool {
        matches!(self, Self::Modalities | Self::Upweighted(_))
    }

    /// Whether each encoder inside a model is measured beside the same encoder trained alone.
    pub fn probes_encoders(self) -> bool {
        self == Self::Modalities
    }

    /// Whether the layer in which the modalities meet is measured along the training.
    pub fn probes_layer(self) -> bool {
        matches!(self, Self::Planted(_))
    }

    /// The data set that a cell is trained on, where the spec names `dataset`.
    pub fn dataset(self, dataset: &str, levels: &[f64]) -> String {
        match (self, levels) {
            (Self::Planted(planting), [level]) => planting.dataset(dataset, *level),
            _ => dataset.to_owned(),
        }
    }

    /// Whether a model is scored on every pattern of modalities.
    pub fn scores_patterns(self) -> bool {
        self == Self::Patterns
    }

    /// Whether training sees every modality that a sample has and some of them are missing at test.
    pub fn missing_at_test_alone(self) -> bool {
        matches!(self, Self::TestMissing | Self::Patterns)
    }

    /// The protocol on `modality` at these levels, of which all but `TestMissing` take the first.
    pub fn on(self, modality: &str, levels: &[f64]) -> Protocol {
        let level = levels.first().copied().unwrap_or_default();
        let modality = modality.to_owned();
        match self {
            Self::TestMissing => Protocol::TestMissing {
                modality,
                rates: levels.to_vec(),
            },
            Self::TrainAvailability => Protocol::TrainAvailability { modality, rate: level },
            Self::TrainNoise(amplitude) => Protocol::TrainNoise {
                modality,
                rate: level,
                amplitude: amplitude.deviations(),
            },
            Self::Missing => Protocol::Missing { rate: level },
            Self::Modalities => Protocol::Modalities {},
            Self::Patterns => Protocol::Patterns {},
            Self::Upweighted(mode) => Protocol::Upweighted {
                modality,
                beta: level,
                mode,
            },
            Self::Planted(planting) => Protocol::Planted { planting, level },
        }
    }
}

impl fmt::Display for ProtocolKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrainNoise(amplitude) => write!(formatter, "{TRAIN_NOISE}{amplitude}"),
            other => formatter.write_str(other.word()),
        }
    }
}

impl FromStr for ProtocolKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let noise = || {
            let deviations: f64 = name.strip_prefix(TRAIN_NOISE)?.parse().ok()?;
            let kind = Self::TrainNoise(Amplitude::of(deviations));
            // Only what is written as it would be: `train_noise_1`, not `train_noise_1.0`.
            (kind.to_string() == name).then_some(kind)
        };
        let known = Self::ALL.into_iter().find(|kind| kind.to_string() == name);
        known.or_else(noise).ok_or_else(|| UnknownName {
            what: "protocol",
            got: name.to_owned(),
            known: Self::ALL.map(|kind| kind.to_string()).join(", "),
        })
    }
}

impl TryFrom<String> for ProtocolKind {
    type Error = UnknownName;

    fn try_from(name: String) -> Result<Self, UnknownName> {
        name.parse()
    }
}

impl From<ProtocolKind> for String {
    fn from(kind: ProtocolKind) -> Self {
        kind.to_string()
    }
}

/// A protocol and, where an experiment has several, the label that is predicted: `test_missing`, `mortality_missing`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Setting {
    /// The label, such as `mortality`.
    pub task: Option<String>,
    /// The protocol.
    pub protocol: ProtocolKind,
}

impl From<ProtocolKind> for Setting {
    fn from(protocol: ProtocolKind) -> Self {
        Self { task: None, protocol }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(formatter, "{task}_{}", self.protocol),
            None => self.protocol.fmt(formatter),
        }
    }
}

impl FromStr for Setting {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        // The longest protocol that the name ends with: `test_missing` is not `missing` of a task `test`.
        let mut starts = std::iter::once(0).chain(name.match_indices('_').map(|(at, _)| at + 1));
        let found = starts.find_map(|start| {
            let protocol = name.get(start..)?.parse().ok()?;
            let task = name[..start].strip_suffix('_').map(str::to_owned);
            Some(Self { task, protocol })
        });
        found.ok_or_else(|| UnknownName {
            what: "protocol, with or without a label in front",
            got: name.to_owned(),
            known: ProtocolKind::ALL.map(|kind| kind.to_string()).join(", "),
        })
    }
}

impl TryFrom<String> for Setting {
    type Error = UnknownName;

    fn try_from(name: String) -> Result<Self, UnknownName> {
        name.parse()
    }
}

impl From<Setting> for String {
    fn from(setting: Setting) -> Self {
        setting.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let more = ProtocolKind::TrainNoise(Amplitude::of(2.5));
        for kind in ProtocolKind::ALL.into_iter().chain([more]) {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            for task in [None, Some("mortality".to_owned())] {
                let setting = Setting { task, protocol: kind };
                assert_eq!(setting.to_string().parse(), Ok(setting));
            }
        }
        assert_eq!("test_missing".parse(), Ok(Setting::from(ProtocolKind::TestMissing)));
        for unknown in [
            "",
            "gone",
            "train_noise_",
            "train_noise_1.0",
            "train_noise_-1",
            "train_noise_NaN",
        ] {
            assert!(unknown.parse::<ProtocolKind>().is_err(), "{unknown}");
        }
        let error = "mortality_gone".parse::<Setting>().unwrap_err().to_string();
        assert!(
            error.contains("mortality_gone") && error.contains("test_missing"),
            "{error}"
        );
    }

    #[test]
    fn a_kind_with_its_parameters_is_a_protocol_of_that_kind() {
        for kind in ProtocolKind::ALL {
            let protocol = kind.on("sound", &[0.5, 0.25]);
            assert_eq!(protocol.kind(), kind);
            assert_eq!(protocol.modality().is_some(), kind.of_one_modality());
            let json = serde_json::to_string(&protocol).unwrap();
            assert_eq!(serde_json::from_str::<Protocol>(&json).unwrap(), protocol);
        }
        let levels = |kind: ProtocolKind| kind.on("sound", &[0.5, 0.25]).levels(3);
        assert_eq!(levels(ProtocolKind::TestMissing), [0.5, 0.25]);
        assert_eq!(levels(ProtocolKind::Missing), [0.5]);
        assert_eq!(levels(ProtocolKind::Modalities), [3.0]);
        assert_eq!(levels(ProtocolKind::Patterns), [0.0]);
    }
}
