//! Where the data of a source are, who may have them, and whether `all` needs them.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::manifest::folder_in;

/// Who may have the data of a source. Of several sources the last counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Everyone: they are in the program.
    BuiltIn,
    /// Everyone: the program makes them.
    Synthetic,
    /// Everyone, from their authors or the hub.
    Open,
    /// Who signed for them.
    Credentialed,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BuiltIn => "built in",
            Self::Synthetic => "synthetic",
            Self::Open => "open",
            Self::Credentialed => "credentialed",
        })
    }
}

/// What `data fetch all` and `data verify all` mean for a source.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// `fetch` downloads it, and `verify` fails where it is missing.
    #[default]
    Required,
    /// `fetch` downloads it where anyone may, and `verify` passes over it where it is missing.
    Optional,
    /// `fetch` leaves it alone, and `verify` passes over it where it is missing.
    OnRequest,
}

/// Where the data of a source are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the program.
    BuiltIn,
    /// In the hub's cache, all of them.
    Cache,
    /// In a folder of downloads.
    Downloads(PathBuf),
    /// In the folder that this variable names.
    Folder(String, PathBuf),
    /// Nowhere yet; the program writes them when they are first used.
    OnFirstUse,
    /// Nowhere, or not all of them: `data fetch` with this name downloads them.
    NotFetched(String),
    /// Nowhere: this variable has to name a folder with them.
    NotSet(String),
}

impl Place {
    /// The place of a source whose files are in `folder`, which is the user's where `variable` names one.
    pub(super) fn of_folder(name: &str, variable: &str, folder: Option<PathBuf>, is_open: bool) -> Self {
        match folder {
            Some(folder) if folder_in(variable).is_none() => Self::Downloads(folder),
            Some(folder) => Self::Folder(variable.to_owned(), folder),
            None if is_open => Self::NotFetched(name.to_owned()),
            None => Self::NotSet(variable.to_owned()),
        }
    }

    /// The place of a source of which all files are in the hub's cache, or not.
    pub(super) fn of_cache(name: &str, is_complete: bool) -> Self {
        if is_complete {
            Self::Cache
        } else {
            Self::NotFetched(name.to_owned())
        }
    }

    /// Whether the data are there.
    pub fn is_there(&self) -> bool {
        matches!(
            self,
            Self::BuiltIn | Self::Cache | Self::Downloads(_) | Self::Folder(..)
        )
    }

    /// Whether a data set can be made of them without doing anything else.
    pub fn is_ready(&self) -> bool {
        self.is_there() || *self == Self::OnFirstUse
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("in the program"),
            Self::Cache => f.write_str("in the cache"),
            Self::Downloads(folder) => write!(f, "{}", folder.display()),
            Self::Folder(variable, folder) => write!(f, "{variable}={}", folder.display()),
            Self::OnFirstUse => f.write_str("written on first use"),
            Self::NotFetched(name) => write!(f, "not fetched: `data fetch {name}`"),
            Self::NotSet(variable) => write!(f, "not set: {variable}"),
        }
    }
}
