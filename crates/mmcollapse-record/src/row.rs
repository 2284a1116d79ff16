//! Rows of a table: a fusion with a reallocation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::UnknownName;

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
    ("mmvae", "MMVAE"),
    ("kd", "KD"),
    ("ebr", "EBR"),
    ("none", "no reallocation"),
];

/// A method as a spec names it.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodName {
    /// Name in the spec, such as `ebr_literal`.
    pub name: String,
    /// The method itself, such as `ebr`.
    pub method: String,
    /// The spec's own title of it.
    pub title: Option<String>,
    /// Whether it is a control that the paper does not have, though it has the method.
    pub control: bool,
    /// The name of its control in the same spec: the same method without the part that a claim is about.
    pub twin: Option<String>,
    /// Its place in a series that starts at its control.
    pub dose: Option<Dose>,
}

/// How much of something a method has, in a series of methods that differ in that alone. A control has none of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dose {
    /// Name of the series for readers.
    pub series: String,
    /// The amount, above 0.
    pub at: f64,
}

impl MethodName {
    /// The method called by its own name.
    pub fn plain(method: &str) -> Self {
        Self {
            name: method.to_owned(),
            method: method.to_owned(),
            title: None,
            control: false,
            twin: None,
            dose: None,
        }
    }

    /// The method called by another name in the spec.
    pub fn named(name: &str, method: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::plain(method)
        }
    }

    /// What the name says beyond the method: `literal` of `ebr_literal`; all of it if it does not start with the method.
    pub fn variant(&self) -> &str {
        match self.name.strip_prefix(&self.method) {
            Some(rest) => rest.trim_matches(['_', '-', ' ']),
            None => &self.name,
        }
    }

    /// For readers: the spec's title, else `EBR (literal)` from the name `ebr_literal` of the method `ebr`; a name of its own
    /// stays one.
    pub fn label(&self) -> String {
        if let Some(title) = &self.title {
            return title.clone();
        }
        match self.variant() {
            "" => label(&self.method),
            variant if variant == self.name => label(&self.name),
            variant => format!("{} ({})", label(&self.method), variant.replace('_', " ")),
        }
    }
}

/// Which row of a table a run belongs to; unique within an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct RowId {
    /// How encodings are fused.
    pub fusion: MethodName,
    /// How encoders are reallocated; `none` leaves them as they are.
    pub reallocation: MethodName,
}

/// The reallocation that leaves encoders as they are; rows do not name it.
pub(crate) const NONE: &str = "none";

impl RowId {
    /// Fusion and reallocation called by their own names.
    pub fn plain(fusion: &str, reallocation: &str) -> Self {
        Self {
            fusion: MethodName::plain(fusion),
            reallocation: MethodName::plain(reallocation),
        }
    }

    /// Whether the encoders are left as they are, and nothing is said of a variant of that.
    pub fn is_vanilla(&self) -> bool {
        self.reallocation.method == NONE && self.reallocation.name == NONE
    }

    /// For readers: `ShaSpec + EBR (literal)`.
    pub fn label(&self) -> String {
        if self.is_vanilla() {
            self.fusion.label()
        } else {
            format!("{} + {}", self.fusion.label(), self.reallocation.label())
        }
    }

    /// Whether it is a control that the paper does not have.
    pub fn is_control(&self) -> bool {
        self.fusion.control || self.reallocation.control
    }

    /// Its place in a series of rows that differ in one amount.
    pub fn dose(&self) -> Option<&Dose> {
        self.reallocation.dose.as_ref().or(self.fusion.dose.as_ref())
    }

    /// The row of the control of its reallocation, if it has one.
    pub fn twin(&self) -> Option<String> {
        let twin = self.reallocation.twin.as_ref()?;
        let own = Self {
            reallocation: MethodName::named(twin, &self.reallocation.method),
            ..self.clone()
        };
        Some(own.to_string())
    }

    /// Whether a row of the paper with these two methods is this one.
    pub fn is_of_paper(&self, fusion: &str, reallocation: &str) -> bool {
        !self.is_control() && self.fusion.method == fusion && self.reallocation.method == reallocation
    }

    /// What the names say beyond the methods: `literal`; empty for the plain ones.
    pub fn variant(&self) -> String {
        let both = [self.fusion.variant(), self.reallocation.variant()];
        both.into_iter()
            .filter(|variant| !variant.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
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

/// The name in specs, filters and results: `shaspec+ebr_literal`, or the fusion's alone.
impl fmt::Display for RowId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.fusion.name)?;
        if self.reallocation.name != NONE {
            write!(formatter, "+{}", self.reallocation.name)?;
        }
        Ok(())
    }
}

impl PartialEq<str> for RowId {
    fn eq(&self, name: &str) -> bool {
        match name.strip_prefix(self.fusion.name.as_str()) {
            Some("") => self.reallocation.name == NONE,
            Some(rest) => rest.strip_prefix('+') == Some(&self.reallocation.name) && self.reallocation.name != NONE,
            None => false,
        }
    }
}

/// The name of a row, as results and claims have it: which row it is within an experiment, without the methods behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RowName(String);

impl RowName {
    /// Whether it names a reallocation, or another change of the fusion.
    pub fn is_reallocated(&self) -> bool {
        self.0.contains('+')
    }

    /// Fusion and reallocation, for readers; the titles of a spec are not known here.
    pub fn methods(&self) -> Vec<String> {
        self.0.split('+').map(label).collect()
    }

    /// For readers: `ShaSpec + KD`.
    pub fn label(&self) -> String {
        self.methods().join(" + ")
    }
}

impl From<&RowId> for RowName {
    fn from(row: &RowId) -> Self {
        Self(row.to_string())
    }
}

impl FromStr for RowName {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let mut parts = name.split('+');
        let (fusion, reallocation, rest) = (parts.next(), parts.next(), parts.next());
        let is_one = fusion != Some("") && !matches!(reallocation, Some("" | NONE)) && rest.is_none();
        is_one.then(|| Self(name.to_owned())).ok_or_else(|| UnknownName {
            what: "name of a row",
            got: name.to_owned(),
            known: "FUSION and FUSION+REALLOCATION, such as `shaspec+kd`".to_owned(),
        })
    }
}

impl TryFrom<String> for RowName {
    type Error = UnknownName;

    fn try_from(name: String) -> Result<Self, UnknownName> {
        name.parse()
    }
}

impl From<RowName> for String {
    fn from(name: RowName) -> Self {
        name.0
    }
}

impl fmt::Display for RowName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl PartialEq<&str> for RowId {
    fn eq(&self, name: &&str) -> bool {
        *self == **name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_named_by_fusion_and_reallocation() {
        let of = |fusion: (&str, &str), reallocation: (&str, &str)| {
            let [fusion, reallocation] = [fusion, reallocation].map(|(name, method)| MethodName::named(name, method));
            RowId { fusion, reallocation }
        };
        for (row, written, variant, label, vanilla) in [
            (RowId::plain("shaspec", "none"), "shaspec", "", "ShaSpec", true),
            (
                RowId::plain("late_fusion", "none"),
                "late_fusion",
                "",
                "Late fusion",
                true,
            ),
            (RowId::plain("shaspec", "kd"), "shaspec+kd", "", "ShaSpec + KD", false),
            (
                of(("concat", "concat"), ("ebr_literal", "ebr")),
                "concat+ebr_literal",
                "literal",
                "Concat + EBR (literal)",
                false,
            ),
            (
                of(("image_only", "unimodal"), ("none", "none")),
                "image_only",
                "image_only",
                "Image only",
                true,
            ),
            (
                of(("concat", "concat"), ("dropout", "none")),
                "concat+dropout",
                "dropout",
                "Concat + Dropout",
                false,
            ),
        ] {
            let (name, own_variant, own_label) = (row.to_string(), row.variant(), row.label());
            assert_eq!(
                (name.as_str(), own_variant.as_str(), own_label.as_str()),
                (written, variant, label)
            );
            assert_eq!(row.is_vanilla(), vanilla, "{written}");
            let named = RowName::from(&row);
            assert_eq!(written.parse(), Ok(named.clone()));
            assert_eq!(named.is_reallocated(), !vanilla);
        }
        assert_eq!(RowName::from(&RowId::plain("shaspec", "kd")).label(), "ShaSpec + KD");
        for wrong in ["", "+kd", "shaspec+", "shaspec+none", "shaspec+kd+ebr"] {
            assert!(wrong.parse::<RowName>().is_err(), "{wrong}");
        }
    }
}
