//! What keeps a user's data set from being read.

use std::path::{Path, PathBuf};

use miette::Diagnostic;
use mmcollapse_arrays::ArrayError;

/// A YAML or array of a user's data set that will not do: where, and why. Never quotes a number of an array.
#[derive(Debug, Clone, PartialEq, thiserror::Error, miette::Diagnostic)]
#[error("{}: {reason}", path.display())]
pub struct OwnError {
    path: PathBuf,
    reason: String,
    #[help]
    help: Option<String>,
}

impl OwnError {
    /// Of the YAML.
    pub(super) fn yaml(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.into(),
            help: Some("docs/own-data.md describes the form".to_owned()),
        }
    }

    /// Of an array that the YAML names.
    pub(super) fn array(path: &Path, array: &str, reason: impl Into<String>) -> Self {
        let reason = format!("array `{array}`: {}", reason.into());
        Self::yaml(path, reason)
    }

    /// Of what the YAML names and cannot be read.
    pub(super) fn unreadable(path: &Path, error: &ArrayError) -> Self {
        let own = Self::yaml(path, error.to_string());
        match Diagnostic::help(error) {
            Some(help) => own.advised(help.to_string()),
            None => own,
        }
    }

    /// With what to do.
    pub(super) fn advised(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}
