//! What a metric is: its kind by its name, and how it is called before readers.

/// What a number of a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In [0, 1], written in percent: what begins with `accuracy` (a share of samples), `auroc`, `auprc` or is
    /// `average_precision`, and a difference of such (`gap_`).
    Share,
    /// In nats: what begins with `loss_`.
    Loss,
    /// A number in its own unit: ranks, similarities, epochs.
    Measure,
}

impl Kind {
    /// The kind of a metric.
    pub fn of(metric: &str) -> Self {
        if ["accuracy", "auroc", "auprc", "average_precision", "gap_"]
            .iter()
            .any(|share| metric.starts_with(share))
        {
            Self::Share
        } else if metric.starts_with("loss_") {
            Self::Loss
        } else {
            Self::Measure
        }
    }

    /// What a number is multiplied with before it is shown.
    pub fn scale(self) -> f64 {
        match self {
            Self::Share => 100.0,
            Self::Loss | Self::Measure => 1.0,
        }
    }
}

/// A metric for readers, with its unit: `test accuracy (%)`, `effective rank`, `semantic loss (nats)`.
pub fn title(metric: &str) -> String {
    let rest = |prefix: &str| metric.strip_prefix(prefix).map(|rest| rest.replace('_', " "));
    match metric {
        "plateaus" => "plateaus of the semantic loss".to_owned(),
        "epochs_to_90" => "epochs until 90 % of the fall".to_owned(),
        "vif_mean" => "mean variance inflation factor".to_owned(),
        "vif_collinear" => "collinear fused features".to_owned(),
        _ => match Kind::of(metric) {
            Kind::Share => match rest("gap_") {
                Some(modality) => format!("gap of the {modality} modality (points)"),
                None => format!("test {} (%)", words(metric)),
            },
            Kind::Loss => format!("{} loss (nats)", rest("loss_").unwrap_or_default()),
            Kind::Measure => rest("rank_")
                .map(|kind| format!("{kind} rank"))
                .or_else(|| rest("cka_").map(|modality| format!("CKA with {modality}")))
                .or_else(|| rest("cosine_").map(|modality| format!("cosine with {modality} alone")))
                .or_else(|| {
                    let probe = rest("probe_")?;
                    let (encoder, modality) = probe.split_once(' ')?;
                    Some(format!("{encoder}'s probe, {modality} modality (nats)"))
                })
                .unwrap_or_else(|| metric.replace('_', " ")),
        },
    }
}

/// A metric's name as it is spoken of: `AUROC only labs`.
pub fn words(metric: &str) -> String {
    let words = metric.replace('_', " ");
    words.replace("auroc", "AUROC").replace("auprc", "AUPRC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_kinds_and_titles() {
        for (metric, kind, written) in [
            ("accuracy", Kind::Share, "test accuracy (%)"),
            ("accuracy_only_image", Kind::Share, "test accuracy only image (%)"),
            ("auroc_only_labs", Kind::Share, "test AUROC only labs (%)"),
            ("average_precision", Kind::Share, "test average precision (%)"),
            ("brier", Kind::Measure, "brier"),
            ("loss_semantic", Kind::Loss, "semantic loss (nats)"),
            ("rank_effective", Kind::Measure, "effective rank"),
            ("cka_sound", Kind::Measure, "CKA with sound"),
            ("cosine_sound", Kind::Measure, "cosine with sound alone"),
            ("gap_first", Kind::Share, "gap of the first modality (points)"),
            (
                "probe_prefix_first",
                Kind::Measure,
                "prefix's probe, first modality (nats)",
            ),
        ] {
            assert_eq!((Kind::of(metric), title(metric).as_str()), (kind, written));
        }
    }
}
