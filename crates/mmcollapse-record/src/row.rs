//! Rows of a table: a fusion with a reallocation.

use std::fmt;

/// A method as a spec names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MethodName {
    /// Name in the spec, such as `ebr_literal`.
    pub name: String,
    /// The method itself, such as `ebr`.
    pub method: String,
    /// The spec's own title of it.
    pub title: Option<String>,
    /// Whether it is a control that the paper does not have, though it has the method.
    pub control: bool,
}

impl MethodName {
    /// The method called by its own name.
    pub fn plain(method: &str) -> Self {
        Self {
            name: method.to_owned(),
            method: method.to_owned(),
            title: None,
            control: false,
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
}

/// Which row of a table a run belongs to; unique within an experiment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId {
    /// How encodings are fused.
    pub fusion: MethodName,
    /// How encoders are reallocated; `none` leaves them as they are.
    pub reallocation: MethodName,
}

/// The reallocation that leaves encoders as they are; rows do not name it.
const NONE: &str = "none";

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

    /// What the names say beyond the methods: `literal`; empty for the plain ones.
    pub fn variant(&self) -> String {
        let both = [self.fusion.variant(), self.reallocation.variant()];
        both.into_iter()
            .filter(|variant| !variant.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
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
        for (row, written, variant, vanilla) in [
            (RowId::plain("shaspec", "none"), "shaspec", "", true),
            (RowId::plain("shaspec", "kd"), "shaspec+kd", "", false),
            (
                of(("concat", "concat"), ("ebr_literal", "ebr")),
                "concat+ebr_literal",
                "literal",
                false,
            ),
            (
                of(("image_only", "unimodal"), ("none", "none")),
                "image_only",
                "image_only",
                true,
            ),
            (
                of(("concat", "concat"), ("dropout", "none")),
                "concat+dropout",
                "dropout",
                false,
            ),
        ] {
            assert_eq!(
                (row.to_string().as_str(), row.variant().as_str(), row.is_vanilla()),
                (written, variant, vanilla)
            );
        }
    }
}
