//! A method as a configuration names it.

use serde::{Deserialize, Serialize};

use crate::registry::Options;

/// A method's name and its options, flat: `{method: ebr, regime: stable}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodConfig {
    /// Name in the registry.
    pub method: String,
    /// Options; what is not given takes the default.
    #[serde(flatten)]
    pub options: Options,
}

impl MethodConfig {
    /// The method `name` with its default options.
    pub fn named(name: &str) -> Self {
        Self {
            method: name.to_owned(),
            options: Options::new(),
        }
    }

    pub(crate) fn none() -> Self {
        Self::named("none")
    }

    pub(crate) fn auto() -> Self {
        Self::named("auto")
    }
}
