//! What can go wrong between the hub and a data set, each with what to do about it.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use crate::ehr::EhrError;
use crate::hub::HubError;
use crate::own::OwnError;

/// Everything loading, fetching and verifying data can fail with.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum DataError {
    /// The hub or its cache did not give the file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Hub(#[from] Box<HubError>),

    /// A folder of health records cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ehr(#[from] Box<EhrError>),

    /// A user's own data set is not what it should be.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Own(#[from] Box<OwnError>),

    /// No data set or source of that name.
    #[error("no data set or source is called `{name}`")]
    #[diagnostic(help(
        "there are: {known}; `data list` describes them; your own is named by its YAML (docs/own-data.md)"
    ))]
    UnknownName {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },

    /// Options in the name of a planted data set that cannot be.
    #[error("the data set `{name}` cannot be planted: {reason}")]
    #[diagnostic(help(
        "options stand behind a colon, `planted-features:modalities=4,noise=8`; crates/mmcollapse-data/src/sets/planted_features.rs \
         lists them"
    ))]
    Planted {
        /// What was asked for.
        name: String,
        /// Which option, and what it must be.
        reason: String,
    },

    /// A manifest in `data/` does not say what it should.
    #[error("the manifest data/{name}.yaml is wrong: {reason}")]
    #[diagnostic(help("manifests are built into the program: correct the YAML and build again"))]
    Manifest {
        /// Name of the manifest.
        name: String,
        /// Where and why.
        reason: String,
    },

    /// A downloaded file cannot be read as what it should be.
    #[error("{}: {reason}", path.display())]
    #[diagnostic(help("the file is damaged or of another layout; delete it and run `data fetch` to load it again"))]
    File {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },

    /// One row of a downloaded file is broken.
    #[error("{}, row {row}: {reason}", path.display())]
    #[diagnostic(help(
        "rows count from 0; delete the file and run `data fetch` to load it again; if the same row is broken then, \
         the source has changed under its pinned revision: please report it"
    ))]
    Row {
        /// The file.
        path: PathBuf,
        /// Row in the file, from 0.
        row: usize,
        /// What was expected and what was found.
        reason: String,
    },

    /// What a file decodes to is not what the manifest says.
    #[error("{what}: decoded content has {quantity} {got}, expected {expected}")]
    #[diagnostic(help(
        "the files under {} are not the data this program was tested with; delete them and run `data fetch`, or \
         point HF_HOME to another cache", at.display()
    ))]
    Content {
        /// Source and split.
        what: String,
        /// What was compared: rows or digest.
        quantity: &'static str,
        /// What the files hold.
        got: String,
        /// What the manifest says.
        expected: String,
        /// Where the files lie.
        at: PathBuf,
    },

    /// A folder that the user has to name is not there or does not hold what it should.
    #[error("{title}: {reason}")]
    #[diagnostic(help(
        "set {variable} to a folder that holds a folder a class, such as `{example}`, of WAV files of one channel of \
         16-bit integers at {rate} Hz. Get the recordings from {address} and convert each, for example by \
         `ffmpeg -i IN.ogg -ac 1 -ar {rate} -c:a pcm_s16le OUT.wav`"
    ))]
    Folder {
        /// Full name of the source.
        title: String,
        /// What is missing or wrong, and where.
        reason: String,
        /// Environment variable that names the folder.
        variable: String,
        /// Where the recordings can be had.
        address: String,
        /// Folder of a class.
        example: String,
        /// Samples a second.
        rate: u32,
    },

    /// A file that lies open on the web cannot be downloaded.
    #[error("{title}: {place}: {reason}")]
    #[diagnostic(help(
        "check the network and HTTPS_PROXY and run again, what has come in is kept; or download the files by hand from \
         {address} and name their folder in {variable}"
    ))]
    Download {
        /// Full name of the source.
        title: String,
        /// What was asked for, or the folder that cannot be written.
        place: String,
        /// What was expected and got.
        reason: String,
        /// Where a person can get the files.
        address: String,
        /// Environment variable that names the user's folder.
        variable: String,
    },

    /// Files that the user has to have are not there or not those that are known.
    #[error("{title}: {reason}")]
    #[diagnostic(help("{todo}"))]
    Files {
        /// Full name of the source.
        title: String,
        /// What is missing or wrong, and where.
        reason: String,
        /// How to have them.
        todo: String,
    },

    /// A recipe asks for more than its sources hold.
    #[error("{name}: {reason}")]
    #[diagnostic(help("the recipe stands in data/{name}.yaml"))]
    Recipe {
        /// Name of the data set.
        name: String,
        /// What was needed and what there is.
        reason: String,
    },
}

impl From<HubError> for DataError {
    fn from(error: HubError) -> Self {
        Self::Hub(Box::new(error))
    }
}

impl From<OwnError> for DataError {
    fn from(error: OwnError) -> Self {
        Self::Own(Box::new(error))
    }
}

impl From<EhrError> for DataError {
    fn from(error: EhrError) -> Self {
        Self::Ehr(Box::new(error))
    }
}
