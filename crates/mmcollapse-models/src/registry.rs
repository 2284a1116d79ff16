//! How a method is found by name, and how its options are completed.
//!
//! Each axis has a plain static slice of [`Entry`]. An entry resolves options (defaults filled in, unknown keys
//! refused), so that a cell's configuration is complete before it is hashed, and builds the method from them.

use mmcollapse_files::plain_words;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::error::{ModelError, Result};
use crate::method::MethodConfig;

/// A method's options as they stand in YAML or JSON.
pub type Options = Map<String, Value>;

/// One method of one axis; `C` is the constructor's type.
pub struct Entry<C: 'static> {
    /// Name in specs and results.
    pub name: &'static str,
    /// One line for `mmcollapse list methods`.
    pub summary: &'static str,
    /// Paper (authors, venue, year) and the place in it.
    pub reference: &'static str,
    /// Raised when the method's numbers may change; part of every cell key.
    pub revision: u32,
    /// Fills in the defaults and refuses what the method does not know.
    pub resolve: fn(&Options) -> std::result::Result<Options, String>,
    /// What a tuning may draw for its options, around their defaults and wide enough for what its paper searched. An option that
    /// is not named stays.
    pub tuned: &'static [(&'static str, Sampler)],
    /// Makes the method from resolved options.
    pub build: C,
}

/// What a tuning may draw for an option; all values of a list are equally likely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampler {
    /// A number between these, whose logarithm is uniform.
    LogUniform(f64, f64),
    /// A number between these.
    Uniform(f64, f64),
    /// One of these whole numbers.
    Whole(&'static [u64]),
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these switches.
    Switch(&'static [bool]),
}

impl Sampler {
    /// Off or on.
    pub const EITHER: Self = Self::Switch(&[false, true]);
}

/// The entry called `name`, or an error that lists the names there are.
pub fn find<C>(axis: &'static str, entries: &'static [Entry<C>], name: &str) -> Result<&'static Entry<C>> {
    entries
        .iter()
        .find(|e| e.name == name)
        .ok_or_else(|| ModelError::UnknownMethod {
            axis,
            name: name.to_owned(),
            known: entries.iter().map(|e| e.name).collect::<Vec<_>>().join(", "),
        })
}

/// Options read as `T` and written back: every default is now explicit.
///
/// `T` should carry `#[serde(default, deny_unknown_fields)]`.
///
/// # Errors
/// The reason serde gives: an unknown key, a wrong type. Options that mean something else when they are read again: a cell would
/// train something else than was asked for.
pub fn resolve_as<T: Serialize + DeserializeOwned>(options: &Options) -> std::result::Result<Options, String> {
    let resolved = written(&parse::<T>(options)?)?;
    let again = written(&parse::<T>(&resolved)?)?;
    if again != resolved {
        return Err(format!(
            "read again, these options are others (a bug: please report it): {} became {}",
            Value::Object(resolved),
            Value::Object(again)
        ));
    }
    Ok(resolved)
}

/// The options that `config` is, every one of them explicit.
///
/// # Errors
/// Something else than a map.
pub fn written<T: Serialize>(config: &T) -> std::result::Result<Options, String> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(format!("expected a map of options, got {other}")),
        Err(e) => Err(e.to_string()),
    }
}

/// Options read as `T`.
///
/// # Errors
/// The reason serde gives.
pub fn parse<T: DeserializeOwned>(options: &Options) -> std::result::Result<T, String> {
    serde_json::from_value(Value::Object(options.clone())).map_err(|e| plain_words(&e.to_string()))
}

/// A method with the options that `config` is.
pub fn configured<T: Serialize>(axis: &'static str, method: &str, config: &T) -> Result<MethodConfig> {
    let options = written(config).map_err(|reason| ModelError::Options {
        axis,
        method: method.to_owned(),
        reason,
    })?;
    Ok(MethodConfig {
        method: method.to_owned(),
        options,
    })
}

/// [`parse`], with the error a user sees.
pub fn parse_for<T: DeserializeOwned>(axis: &'static str, method: &str, options: &Options) -> Result<T> {
    parse(options).map_err(|reason| ModelError::Options {
        axis,
        method: method.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_change_when_they_are_read_again_are_refused() {
        #[derive(Serialize, serde::Deserialize)]
        #[serde(default)]
        struct Forgetful {
            #[serde(skip_serializing_if = "Option::is_none")]
            width: Option<usize>,
        }
        impl Default for Forgetful {
            fn default() -> Self {
                Self { width: Some(16) }
            }
        }
        let options = |json: Value| json.as_object().cloned().unwrap_or_default();
        assert_eq!(resolve_as::<Forgetful>(&Options::new()).unwrap()["width"], 16);
        let error = resolve_as::<Forgetful>(&options(serde_json::json!({"width": null}))).unwrap_err();
        assert!(error.contains(r#"{} became {"width":16}"#), "{error}");
    }
}
