//! The one error of reading a name.

/// A name that stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is no {what}; known: {known}")]
pub struct UnknownName {
    /// What was expected: `protocol`, `metric`.
    pub what: &'static str,
    /// What was found.
    pub got: String,
    /// The names there are.
    pub known: String,
}
