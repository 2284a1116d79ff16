//! Presets: how much of an experiment is run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::UnknownName;

/// How much is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Show in seconds to minutes that everything works; its numbers are no evidence.
    Smoke,
    /// Train enough seeds for intervals: an hour or more on two cores.
    #[default]
    Quick,
    /// Train the paper's protocol with many seeds, on a cluster or a GPU.
    Full,
}

impl fmt::Display for Preset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Preset {
    /// Every one, the smallest first.
    pub const ALL: [Self; 3] = [Self::Smoke, Self::Quick, Self::Full];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }

    /// The name of a result of the preset, on another data set than that of the paper's numbers if one is given.
    pub fn on(self, dataset: Option<&str>) -> String {
        dataset.map_or_else(|| self.to_string(), |dataset| format!("{dataset}-{self}"))
    }

    /// The folder of a result, in that of its experiment; `tuned`: with settings that a search chose.
    pub fn folder(self, dataset: Option<&str>, tuned: bool) -> String {
        format!("{}{}", self.on(dataset), if tuned { "-tuned" } else { "" })
    }
}

impl FromStr for Preset {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|preset| preset.to_string() == name);
        found.ok_or_else(|| UnknownName {
            what: "preset",
            got: name.to_owned(),
            known: Self::ALL.map(|preset| preset.to_string()).join(", "),
        })
    }
}
