//! What varies from level to level where the data are planted: options in the data set's name.

use serde::{Deserialize, Serialize};

/// What of a planted data set the levels are values of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Planting {
    /// Number of modalities, all of one width.
    Modalities,
    /// Number of modalities, each wider than the one before it.
    UnequalModalities,
    /// Number of modalities, all of one width, without conjugate features: nothing ties features of two modalities together.
    AdditiveModalities,
    /// Number of modalities, all of one width, that share what predicts and no noise: one feature of each pair is a copy of the other.
    RedundantModalities,
    /// Pairs of conjugate features of each modality and the next.
    Pairs,
    /// Noise features of each modality, where pairs of conjugate features are complementary.
    Noise,
    /// Noise features of each modality, where one feature of each pair is a copy of a predictive one.
    NoiseRedundant,
    /// Noise features of each modality, where the features of each pair add up.
    NoiseAdditive,
    /// Pairs of conjugate features of each modality and the next, where labels are drawn at random.
    PairsUnlabelled,
    /// Noise features that each modality has more than the one before it, where pairs are redundant.
    NoisierRedundant,
    /// Noise features that each modality has more than the one before it, where each has four features of its own that predict and
    /// no pairs.
    NoisierDistinct,
}

/// How one is called and explained.
pub(super) struct Planted {
    /// Name of the protocol.
    pub word: &'static str,
    /// Options of the data set's name; `{}` stands for the level.
    options: &'static str,
    /// What the levels are, for an axis.
    pub axis: &'static str,
    /// What the data are, for captions.
    pub in_words: &'static str,
}

impl Planting {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::Modalities,
        Self::UnequalModalities,
        Self::AdditiveModalities,
        Self::RedundantModalities,
        Self::Pairs,
        Self::Noise,
        Self::NoiseRedundant,
        Self::NoiseAdditive,
        Self::PairsUnlabelled,
        Self::NoisierRedundant,
        Self::NoisierDistinct,
    ];

    pub(super) fn entry(self) -> Planted {
        match self {
            Self::Modalities => Planted {
                word: "planted_modalities",
                options: "modalities={}",
                axis: "number of modalities",
                in_words: "data of so many modalities, all equally wide, drawn with known features",
            },
            Self::UnequalModalities => Planted {
                word: "planted_unequal_modalities",
                options: "modalities={},noisier=2",
                axis: "number of modalities, unequal",
                in_words: "data of so many modalities, each with two noise features more than the one before it, drawn with known features",
            },
            Self::AdditiveModalities => Planted {
                word: "planted_additive_modalities",
                options: "modalities={},conjugates=0",
                axis: "number of modalities, no conjugate features",
                in_words: "data of so many modalities without conjugate features, drawn with known features",
            },
            Self::RedundantModalities => Planted {
                word: "planted_redundant_modalities",
                options: "modalities={},pairing=copy,noise_correlation=0",
                axis: "number of modalities that share what predicts",
                in_words: "data of so many modalities that share features that predict, and no noise, drawn with known features",
            },
            Self::Pairs => Planted {
                word: "planted_pairs",
                options: "conjugates={}",
                axis: "conjugate pairs a modality",
                in_words: "data with so many pairs of conjugate features between each modality and the next, drawn with known features",
            },
            Self::Noise => Planted {
                word: "planted_noise",
                options: "noise={}",
                axis: "noise features a modality",
                in_words: "data with so many noise features in each modality and complementary conjugate pairs, drawn with known features",
            },
            Self::NoiseRedundant => Planted {
                word: "planted_noise_redundant",
                options: "noise={},pairing=copy",
                axis: "noise features a modality, redundant pairs",
                in_words: "data with so many noise features in each modality and redundant conjugate pairs, drawn with known features",
            },
            Self::NoiseAdditive => Planted {
                word: "planted_noise_additive",
                options: "noise={},pairing=sum",
                axis: "noise features a modality, additive",
                in_words: "data with so many noise features in each modality and complementary features that add up, drawn with known features",
            },
            Self::PairsUnlabelled => Planted {
                word: "planted_pairs_unlabelled",
                options: "conjugates={},label_noise=1",
                axis: "conjugate pairs a modality, random labels",
                in_words: "data with so many pairs of conjugate features between each modality and the next, and labels drawn at random",
            },
            Self::NoisierRedundant => Planted {
                word: "planted_noisier_redundant",
                options: "noisier={},pairing=copy",
                axis: "noise features more in the second modality",
                in_words: "redundant data whose every modality has so many noise features more than the one before it, drawn with known features",
            },
            Self::NoisierDistinct => Planted {
                word: "planted_noisier_distinct",
                options: "noisier={},conjugates=0,predictive=4",
                axis: "noise features more in the second modality, distinct",
                in_words: "data whose every modality has four predictive features of its own and so many noise features more than the one before it",
            },
        }
    }

    /// The name of the data set at a level: `planted-features:modalities=4`. Options that `dataset` names already stay, but for those
    /// that the protocol is about.
    pub fn dataset(self, dataset: &str, level: f64) -> String {
        let own = self.entry().options.replace("{}", &level.to_string());
        let is_own = |option: &&str| {
            let key = |option: &str| option.split('=').next().map(str::to_owned);
            own.split(',').any(|own| key(own) == key(option))
        };
        let (set, named) = dataset.split_once(':').unwrap_or((dataset, ""));
        let kept = named.split(',').filter(|option| !option.is_empty() && !is_own(option));
        format!("{set}:{}", kept.chain(own.split(',')).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_called_or_drawn_alike() {
        let entries = Planting::ALL.map(Planting::entry);
        for (place, entry) in entries.iter().enumerate() {
            let others = || entries[..place].iter();
            assert!(others().all(|other| other.word != entry.word && other.options != entry.options));
        }
    }

    #[test]
    fn a_level_is_an_option_in_the_data_sets_name() {
        assert_eq!(
            Planting::Modalities.dataset("planted-features", 4.0),
            "planted-features:modalities=4"
        );
        assert_eq!(
            Planting::NoiseRedundant.dataset("planted-features:width=32", 8.0),
            "planted-features:width=32,noise=8,pairing=copy"
        );
        // What the protocol is about goes before what the name has.
        assert_eq!(
            Planting::RedundantModalities.dataset("planted-features:noise_correlation=0.5,width=32", 2.0),
            "planted-features:width=32,modalities=2,pairing=copy,noise_correlation=0"
        );
    }
}
