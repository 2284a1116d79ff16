//! Protocols for readers: what each does, and what its levels are.

use super::{Amplitude, ProtocolKind, Setting, UpweightMode};
use crate::label;

impl ProtocolKind {
    /// What it does with `modality`, for captions; `levels` are those that were run.
    pub fn in_words(self, modality: &str, levels: &[f64]) -> String {
        let whole = "no test sample has noise or lacks a modality";
        let noise = |amplitude: Amplitude| {
            format!(
                "the given share of training samples has uniform noise of ± {amplitude} standard deviations on {modality}; {whole}"
            )
        };
        match self {
            Self::Missing if levels == [0.0] => {
                "no modality is removed, in training or at test; the source itself lacks some".to_owned()
            }
            Self::Missing => {
                "every sample loses each of its modalities with the given probability, in training as at test, \
                 but never the last"
                    .to_owned()
            }
            Self::TrainNoise(amplitude) => noise(amplitude),
            Self::Modalities => {
                "trained on the first k modalities in the order of the spec; none is removed".to_owned()
            }
            Self::Patterns => {
                "trained on the modalities that samples have; at test only those of one pattern are kept; mean \
                 over the patterns that at least 11 test samples have all of, each scored on these; the empty one is not asked"
                    .to_owned()
            }
            Self::Upweighted(UpweightMode::Loss) => {
                format!(
                    "β times the cross-entropy of a linear head on {modality}'s encoding is added to the loss; {whole}"
                )
            }
            Self::Upweighted(UpweightMode::Feature) => {
                format!("{modality}'s encoding is scaled by 1 + β before fusion; {whole}")
            }
            Self::Planted(planting) => planting.entry().in_words.to_owned(),
            Self::TestMissing => {
                format!("trained on all pairs; each test sample loses its {modality} with the given probability")
            }
            Self::TrainAvailability => {
                format!(
                    "the given share of each class's training pairs lacks {modality}; the test has no {modality} at all"
                )
            }
        }
    }

    /// Whether one training is scored at several levels.
    pub fn is_trained_once(self) -> bool {
        self == Self::TestMissing
    }

    /// Whether it has levels to choose from.
    pub fn has_levels(self) -> bool {
        self != Self::Patterns
    }

    /// Puts levels in the order of tables and axes: rates of missing samples as in the paper, the largest first; all others the
    /// smallest first.
    pub fn sort(self, levels: &mut [f64]) {
        levels.sort_by(f64::total_cmp);
        if matches!(self, Self::TestMissing | Self::TrainAvailability) {
            levels.reverse();
        }
    }
}

impl Setting {
    /// What it does with `modality`, for captions: the label, if it has one, and the protocol.
    pub fn in_words(&self, modality: &str, levels: &[f64]) -> String {
        let task = self.task.as_deref();
        let task = task.map_or_else(String::new, |task| format!("{}: ", label(task).to_lowercase()));
        task + &self.protocol.in_words(modality, levels)
    }

    /// What its levels are, for an axis.
    pub fn axis(&self, modality: &str) -> String {
        match self.protocol {
            ProtocolKind::TestMissing => format!("test samples without {modality} (%)"),
            ProtocolKind::TrainAvailability => format!("training pairs without {modality} (%)"),
            ProtocolKind::TrainNoise(_) => format!("training samples with noise on {modality} (%)"),
            ProtocolKind::Upweighted(_) => format!("β, weight of {modality}"),
            ProtocolKind::Modalities => "number of modalities".to_owned(),
            ProtocolKind::Planted(planting) => planting.entry().axis.to_owned(),
            ProtocolKind::Missing | ProtocolKind::Patterns => {
                format!("missing rate, {} (%)", label(&self.to_string()).to_lowercase())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_explained_with_its_label_and_modality() {
        let of = |name: &str| name.parse::<Setting>().unwrap();
        let noise = of("train_noise_2.5");
        assert_eq!(
            noise.in_words("sound", &[0.5]),
            "the given share of training samples has uniform noise of ± 2.5 standard deviations on sound; no test sample has \
             noise or lacks a modality"
        );
        assert_eq!(noise.axis("sound"), "training samples with noise on sound (%)");
        let labelled = of("mortality_missing");
        assert_eq!(
            labelled.in_words("", &[0.0]),
            "mortality: no modality is removed, in training or at test; the source itself lacks some"
        );
        assert!(
            labelled
                .in_words("", &[0.0, 0.5])
                .contains("loses each of its modalities")
        );
        assert_eq!(labelled.axis(""), "missing rate, mortality missing (%)");
    }

    #[test]
    fn levels_stand_in_the_papers_order() {
        let sorted = |kind: ProtocolKind| {
            let mut levels = [0.9, 0.95, 0.5];
            kind.sort(&mut levels);
            levels
        };
        assert_eq!(sorted(ProtocolKind::TestMissing), [0.95, 0.9, 0.5]);
        assert_eq!(sorted(ProtocolKind::Missing), [0.5, 0.9, 0.95]);
    }
}
