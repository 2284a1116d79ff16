//! What keeps an array from being read.

use std::path::{Path, PathBuf};

/// A file or array that cannot be read: which, and why. Never quotes a number of the array.
#[derive(Debug, Clone, PartialEq, thiserror::Error, miette::Diagnostic)]
#[error("{}{}: {reason}", path.display(), array.as_ref().map(|name| format!(": array `{name}`")).unwrap_or_default())]
pub struct ArrayError {
    path: PathBuf,
    array: Option<String>,
    reason: String,
    #[help]
    help: Option<String>,
}

impl ArrayError {
    /// An error of the file at `path`.
    pub fn of(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            array: None,
            reason: reason.into(),
            help: None,
        }
    }

    /// The same, of the array called `name`.
    #[must_use]
    pub fn array(mut self, name: &str) -> Self {
        self.array = Some(name.to_owned());
        self
    }

    /// The same, with what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
