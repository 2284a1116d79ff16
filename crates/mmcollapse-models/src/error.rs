//! Why a cell could not be resolved, built, trained or continued.

use miette::Diagnostic;
use thiserror::Error;

/// Errors of this crate; a diverged run is not one of them (it is an outcome).
#[derive(Debug, Error, Diagnostic)]
pub enum ModelError {
    /// No registry entry has this name.
    #[error("there is no {axis} named `{name}`")]
    #[diagnostic(help("known: {known}"))]
    UnknownMethod {
        /// Which registry was asked: encoder, fusion, reallocation, substitution.
        axis: &'static str,
        /// The name asked for.
        name: String,
        /// All names of that registry.
        known: String,
    },
    /// A method refused its options.
    #[error("{axis} `{method}` refuses its options: {reason}")]
    #[diagnostic(help("`mmcollapse list methods` prints every option with its default"))]
    Options {
        /// Which registry.
        axis: &'static str,
        /// Method name.
        method: String,
        /// What serde or the method itself found.
        reason: String,
    },
    /// The configuration does not fit the data set.
    #[error("the configuration does not fit data set `{dataset}`: {reason}")]
    Unfit {
        /// Data set name.
        dataset: String,
        /// Expected and got.
        reason: String,
    },
    /// A checkpoint exists but cannot be continued.
    #[error("checkpoint {path} cannot be continued: {reason}")]
    #[diagnostic(help("delete the file to train this cell from its start"))]
    Checkpoint {
        /// File of the checkpoint.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint could not be written; the one before it is as it was.
    #[error("checkpoint {path} cannot be written: {reason}")]
    #[diagnostic(help("check that the folder can be written and the disk has room"))]
    CheckpointUnwritten {
        /// File of the checkpoint.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A finished fit could not be left for other cells, or what another left cannot be believed.
    #[error("shared fit {path} cannot be used: {reason}")]
    #[diagnostic(help("check that the folder can be written and the disk has room"))]
    Shared {
        /// File of the fit.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A measure gave its number a name that no metric has.
    #[error(transparent)]
    #[diagnostic(help("metrics are listed in crates/mmcollapse-record/src/metric.rs"))]
    Metric(#[from] mmcollapse_record::UnknownName),
    /// Something would have to be trained that may not be.
    #[error("the weights of fit `{fit}` are not among the shared fits")]
    NoWeights {
        /// Name of the fit.
        fit: String,
    },
    /// Training was asked to stop; where a checkpoint folder was given, it can be continued.
    #[error("stopped before the end, as asked")]
    Interrupted,
    /// A tensor operation failed (shapes, device memory).
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] mmcollapse_nn::Error),
}

/// Results of this crate.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;
