//! What a row of a table is called, and which method it is.

use mmcollapse_record::{MethodName, RowId};

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

/// A row of a table, as readers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Which row it is.
    pub row: RowId,
}

impl Method {
    /// Whether a row of the paper with these two methods is this one.
    pub fn is_of_paper(&self, fusion: &str, reallocation: &str) -> bool {
        !self.is_control() && self.row.fusion.method == fusion && self.row.reallocation.method == reallocation
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
        written(&self.row.fusion)
    }

    /// The reallocation for readers: `EBR (literal)`, `no reallocation`.
    pub fn reallocation_label(&self) -> String {
        written(&self.row.reallocation)
    }

    /// Whether it is a control that the paper does not have.
    pub fn is_control(&self) -> bool {
        self.row.fusion.control || self.row.reallocation.control
    }

    /// Whether the encoders are left as they are.
    pub fn is_vanilla(&self) -> bool {
        self.row.is_vanilla()
    }
}

/// The spec's title, else `EBR (literal)` from its name `ebr_literal` of the method `ebr`; a name of its own stays one.
fn written(name: &MethodName) -> String {
    if let Some(title) = &name.title {
        return title.clone();
    }
    match name.variant() {
        "" => label(&name.method),
        variant if variant == name.name => label(&name.name),
        variant => format!("{} ({})", label(&name.method), variant.replace('_', " ")),
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

    #[test]
    fn rows_are_called_as_readers_know_them() {
        for (fusion, reallocation, called) in [
            (("shaspec", "shaspec"), ("none", "none"), "ShaSpec"),
            (("shaspec", "shaspec"), ("kd", "kd"), "ShaSpec + KD"),
            (("concat", "concat"), ("ebr_literal", "ebr"), "Concat + EBR (literal)"),
            (("late_fusion", "late_fusion"), ("none", "none"), "Late fusion"),
            (("image_only", "unimodal"), ("none", "none"), "Image only"),
        ] {
            let [fusion, reallocation] = [fusion, reallocation].map(|(name, method)| MethodName::named(name, method));
            assert_eq!(
                Method {
                    row: RowId { fusion, reallocation }
                }
                .label(),
                called
            );
        }
    }
}
