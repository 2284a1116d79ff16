//! What keeps a model from being diagnosed.

use mmcollapse_arrays::ArrayError;
use mmcollapse_probes::MeasureError;

/// Result of a diagnosis.
pub type Result<T> = std::result::Result<T, DiagnoseError>;

/// Why there is no diagnosis. Never quotes a number of a sample.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum DiagnoseError {
    /// A file or array that cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Array(#[from] ArrayError),
    /// Arrays that do not fit each other or hold nothing to tell apart.
    #[error("{reason}")]
    Input {
        /// Which array, what was expected, what was found.
        reason: String,
        /// What to do.
        #[help]
        help: Option<String>,
    },
    /// A measure that is not defined on the arrays.
    #[error(transparent)]
    Measure(#[from] MeasureError),
}

/// An error of the input.
pub(crate) fn input(reason: impl Into<String>, help: impl Into<String>) -> DiagnoseError {
    DiagnoseError::Input {
        reason: reason.into(),
        help: Some(help.into()),
    }
}
