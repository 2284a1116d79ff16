//! What a row of a table is called, and which method it is.

use serde_json::Value;

use crate::cell::CellRecord;

/// How names of methods are written for readers; any other name is its own, with spaces and a capital.
const WRITTEN: &[(&str, &str)] = &[
    ("shaspec", "ShaSpec"),
    ("smil", "SMIL"),
    ("muse", "MUSE"),
    ("gan", "GAN"),
    ("grape", "GRAPE"),
    ("cm_ae", "CM-AE"),
    ("mt", "MT"),
    ("m3care", "M3Care"),
    ("lmf", "LMF"),
    ("gmc", "GMC"),
    ("kd", "KD"),
    ("ebr", "EBR"),
    ("none", "no reallocation"),
];

/// One row: a fusion with a reallocation, and what tells it from other variants of the same two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Name of the row in the spec, unique within the experiment: `shaspec+ebr_literal`.
    pub row: String,
    /// Name of the fusion in the spec: `shaspec`.
    pub fusion_name: String,
    /// Name of the reallocation in the spec: `ebr_literal`.
    pub reallocation_name: String,
    /// Fusion method: `shaspec`.
    pub fusion: String,
    /// Reallocation method: `ebr`.
    pub reallocation: String,
    /// What the spec's names say beyond the methods' names: `literal`; empty for the plain ones.
    pub variant: String,
    /// The spec's own titles of fusion and reallocation.
    pub titles: (Option<String>, Option<String>),
    /// Whether it is a control that the paper does not have, though it has the two methods.
    pub control: bool,
}

impl Method {
    /// Takes a record's row apart.
    pub fn of(record: &CellRecord) -> Self {
        let method = |axis: &str| {
            let name = record.config.pointer(&format!("/{axis}/method"));
            name.and_then(Value::as_str).map(str::to_owned)
        };
        let (fusion_name, named_reallocation) = match record.row.split_once('+') {
            Some((fusion, reallocation)) => (fusion, Some(reallocation)),
            None => (record.row.as_str(), None),
        };
        let fusion = method("fusion").unwrap_or_else(|| fusion_name.to_owned());
        let reallocation = method("reallocation").unwrap_or_else(|| named_reallocation.unwrap_or("none").to_owned());
        let reallocation_name = named_reallocation.unwrap_or(&reallocation).to_owned();
        let variant = [beyond(fusion_name, &fusion), beyond(&reallocation_name, &reallocation)];
        Self {
            variant: variant
                .into_iter()
                .filter(|v| !v.is_empty())
                .collect::<Vec<_>>()
                .join(" "),
            titles: (None, None),
            control: false,
            row: record.row.clone(),
            fusion_name: fusion_name.to_owned(),
            reallocation_name,
            fusion,
            reallocation,
        }
    }

    /// Whether a row of the paper with these two methods is this one.
    pub fn is_of_paper(&self, fusion: &str, reallocation: &str) -> bool {
        !self.control && self.fusion == fusion && self.reallocation == reallocation
    }

    /// For readers: `ShaSpec + EBR (literal)`.
    pub fn label(&self) -> String {
        if self.is_vanilla() {
            self.fusion_label()
        } else {
            format!("{} + {}", self.fusion_label(), self.reallocation_label())
        }
    }

    /// The fusion for readers: `Late fusion`.
    pub fn fusion_label(&self) -> String {
        let title = self.titles.0.clone();
        title.unwrap_or_else(|| written(&self.fusion_name, &self.fusion))
    }

    /// The reallocation for readers: `EBR (literal)`, `no reallocation`.
    pub fn reallocation_label(&self) -> String {
        let title = self.titles.1.clone();
        title.unwrap_or_else(|| written(&self.reallocation_name, &self.reallocation))
    }

    /// Whether the encoders are left as they are, and nothing is said of a variant of that.
    pub fn is_vanilla(&self) -> bool {
        self.reallocation == "none" && self.reallocation_name == "none"
    }
}

/// `EBR (literal)` from the spec's name `ebr_literal` of the method `ebr`; a name of its own stays one.
fn written(name: &str, method: &str) -> String {
    let beyond = beyond(name, method);
    if beyond.is_empty() {
        label(method)
    } else if beyond == name {
        label(name)
    } else {
        format!("{} ({})", label(method), beyond.replace('_', " "))
    }
}

/// What `name` says beyond `method`: `literal` of `ebr_literal`; all of it if it does not start with the method.
fn beyond<'a>(name: &'a str, method: &str) -> &'a str {
    match name.strip_prefix(method) {
        Some(rest) => rest.trim_matches(['_', '-', ' ']),
        None => name,
    }
}

/// A method's name for readers.
pub fn label(name: &str) -> String {
    if let Some((_, written)) = WRITTEN.iter().find(|(known, _)| *known == name) {
        return (*written).to_owned();
    }
    // A variant: `KD (strongest only)`.
    let variant = |(known, written): &(&str, &str)| {
        let beyond = name.strip_prefix(known)?.strip_prefix('_')?;
        Some(format!("{written} ({})", beyond.replace('_', " ")))
    };
    if let Some(written) = WRITTEN.iter().find_map(variant) {
        return written;
    }
    let spaced = name.replace('_', " ");
    let mut letters = spaced.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::{Outcome, Status};

    fn method(row: &str, fusion: &str, reallocation: &str) -> Method {
        Method::of(&CellRecord {
            row: row.into(),
            protocol: "test_missing".into(),
            seed: 0,
            config: serde_json::json!({
                "fusion": {"method": fusion}, "reallocation": {"method": reallocation}
            }),
            outcome: Outcome {
                status: Status::Ok,
                scores: vec![],
                seconds: 0.0,
                parameters: 0,
                diagnosis: Value::Null,
                curves: std::collections::BTreeMap::new(),
            },
        })
    }

    #[test]
    fn rows_are_taken_apart() {
        for (row, fusion, reallocation, variant, written) in [
            ("shaspec", "shaspec", "none", "", "ShaSpec"),
            ("shaspec+kd", "shaspec", "kd", "", "ShaSpec + KD"),
            (
                "concat+ebr_literal",
                "concat",
                "ebr",
                "literal",
                "Concat + EBR (literal)",
            ),
            ("late_fusion", "late_fusion", "none", "", "Late fusion"),
            ("image_only", "unimodal", "none", "image_only", "Image only"),
        ] {
            let method = method(row, fusion, reallocation);
            assert_eq!(method.variant, variant, "{row}");
            assert_eq!(method.label(), written, "{row}");
        }
    }
}
