//! What a run finds out beside its scores: which modality the model lets collapse, measured on validation.
//!
//! The paper's Figure 4 compares the encoder inside the multimodal model (the prefix) with the same encoder
//! trained on its own loss (the unimodal baseline): the wider the gap, the more the modality is ignored. Here the
//! gap is in validation quality (accuracy, or AUROC where there are two classes) of a linear probe on the frozen prefix
//! against the unimodal baseline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a run found out beside its scores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// What the vanilla model made of each modality, for methods that measure it.
    pub collapse: Option<Diagnosis>,
    /// Modality whose encoder was distilled.
    pub student: Option<String>,
    /// Validation accuracy (AUROC for two classes) of each modality alone, in the final model without stand-ins.
    #[serde(default)]
    pub alone: BTreeMap<String, f64>,
    /// Modality whose encoder has lost most against the same encoder trained alone, where that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eliminated: Option<String>,
}

/// What a multimodal model makes of each modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// One entry a modality.
    pub modalities: Vec<ModalityDiagnosis>,
    /// The modality with the widest gap; none where no modality has one.
    pub collapsed: Option<String>,
}

/// What a multimodal model makes of one modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModalityDiagnosis {
    /// Name of the modality.
    pub modality: String,
    /// Validation accuracy (AUROC for two classes) of the encoder trained alone; none where it is not defined, as where no
    /// validation sample has the modality or all that have it are of one of two classes.
    #[serde(alias = "unimodal_accuracy")]
    pub unimodal: Option<f64>,
    /// The same of a linear probe on the encoder inside the multimodal model.
    #[serde(alias = "prefix_accuracy")]
    pub prefix: Option<f64>,
    /// Validation samples that have the modality.
    pub n: usize,
}

impl Diagnosis {
    /// Finds the collapsed modality among those that have a gap; of equal gaps, the weaker modality.
    pub fn new(modalities: Vec<ModalityDiagnosis>) -> Self {
        let measured = modalities
            .iter()
            .filter_map(|m| Some((&m.modality, m.unimodal? - m.prefix?, m.unimodal?)));
        let collapsed = measured
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.2.total_cmp(&a.2)))
            .map(|(modality, ..)| modality.clone());
        Self { modalities, collapsed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modality(name: &str, unimodal: f64, prefix: f64) -> ModalityDiagnosis {
        ModalityDiagnosis {
            modality: name.to_owned(),
            unimodal: Some(unimodal),
            prefix: Some(prefix),
            n: 10,
        }
    }

    #[test]
    fn the_widest_gap_is_the_collapse() {
        let d = Diagnosis::new(vec![modality("image", 0.9, 0.4), modality("sound", 0.8, 0.79)]);
        assert_eq!(d.collapsed.as_deref(), Some("image"));
        let tie = Diagnosis::new(vec![modality("image", 0.9, 0.9), modality("sound", 0.8, 0.8)]);
        assert_eq!(tie.collapsed.as_deref(), Some("sound"));
    }

    #[test]
    fn a_modality_that_validation_cannot_tell_is_not_the_collapse() {
        let unknown = || ModalityDiagnosis {
            unimodal: None,
            prefix: None,
            n: 0,
            ..modality("image", 0.0, 0.0)
        };
        let d = Diagnosis::new(vec![unknown(), modality("sound", 0.8, 0.9)]);
        assert_eq!(d.collapsed.as_deref(), Some("sound"));
        assert_eq!(Diagnosis::new(vec![unknown(), unknown()]).collapsed, None);
    }
}
