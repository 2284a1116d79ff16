//! Where a result comes from: what every table and figure carries.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::{env, fs, thread};

use serde::{Deserialize, Serialize};

use crate::tuning::TunedBy;

/// Where a table or figure comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name of the experiment.
    pub experiment: String,
    /// `smoke`, `quick` or `full`.
    pub preset: String,
    /// The command that gives the result again.
    pub command: String,
    /// Commit that the program which made the result was built from, if it is known.
    pub commit: Option<Commit>,
    /// Why it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_not_known: Option<String>,
    /// Version of the program.
    pub version: String,
    /// Digest of each data set.
    pub data: BTreeMap<String, String>,
    /// Cells that went into the result, diverged ones included.
    pub cells: usize,
    /// Cells of the preset that are missing from it; a complete result has none.
    pub missing: usize,
    /// Distinct seeds.
    pub seeds: usize,
    /// Seeds of the preset, if the result lacks cells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset_seeds: Option<usize>,
    /// Name of the folder beside this one that holds a more complete result, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_complete: Option<String>,
    /// On what and at which commit the cells were trained, and how many of them each.
    pub origins: Vec<OriginCount>,
    /// Sum of the cells' own times, in seconds.
    pub cell_seconds: f64,
    /// Wall time in which they were trained, in seconds: overlaps of workers counted once.
    pub wall_seconds: f64,
    /// The data set, if it is not the one of the experiment's spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// What is to be said of the data set first, if it is synthetic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<String>,
    /// How settings were chosen, if they are not the spec's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned: Option<TunedBy>,
}

/// A commit, and whether the sources differed from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Full hash.
    pub hash: String,
    /// Whether sources were changed or added; before the commit was built in, any file but results counted.
    pub dirty: bool,
}

/// On what and at which commit a cell was trained; stored with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Version of the program.
    pub version: String,
    /// Commit that the program was built from, if it is known.
    pub commit: Option<Commit>,
    /// The machine.
    pub machine: Machine,
    /// Device the cell was trained on, for example `cpu`.
    pub device: String,
}

/// An origin and how many cells share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginCount {
    /// The origin.
    pub origin: Origin,
    /// Cells trained there.
    pub cells: usize,
}

/// What a run ran on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Model of the processor as the system names it, else its architecture.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Operating system and architecture.
    pub os: String,
}

impl Origin {
    /// This program on this machine.
    pub fn here(device: &str) -> Self {
        Self {
            version: VERSION.to_owned(),
            commit: Build::here().commit(),
            machine: Machine::here(),
            device: device.to_owned(),
        }
    }
}

/// Version of the program, from the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a program was built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Build {
    /// A commit, with or without changes.
    From(Commit),
    /// Nothing that is known, for this reason.
    NotKnown(String),
}

static BUILD: OnceLock<Build> = OnceLock::new();

impl Build {
    /// Says what this program was built from: `commit HASH clean`, `commit HASH dirty`, or why it is not known. The first call
    /// counts.
    pub fn set(text: &str) {
        BUILD.get_or_init(|| Self::parse(text));
    }

    /// What this program was built from.
    pub fn here() -> Self {
        let unsaid = || Self::NotKnown("the program does not say what it was built from".to_owned());
        BUILD.get().cloned().unwrap_or_else(unsaid)
    }

    fn parse(text: &str) -> Self {
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["commit", hash, state @ ("clean" | "dirty")] => Self::From(Commit {
                hash: hash.to_owned(),
                dirty: state == "dirty",
            }),
            _ => Self::NotKnown(text.to_owned()),
        }
    }

    /// The commit, if it is known.
    pub fn commit(&self) -> Option<Commit> {
        match self {
            Self::From(commit) => Some(commit.clone()),
            Self::NotKnown(_) => None,
        }
    }

    /// Why the commit is not known, if it is not.
    pub fn why_not_known(&self) -> Option<String> {
        match self {
            Self::From(_) => None,
            Self::NotKnown(reason) => Some(reason.clone()),
        }
    }
}

impl Commit {
    /// The first twelve digits, with `+` where the sources differed.
    pub fn short(&self) -> String {
        let digits = self.hash.get(..12).unwrap_or(&self.hash);
        format!("{digits}{}", if self.dirty { "+" } else { "" })
    }
}

impl Machine {
    /// The machine this process runs on.
    pub fn here() -> Self {
        Self {
            cpu: processor().unwrap_or_else(|| env::consts::ARCH.to_owned()),
            cores: cores(),
            os: format!("{} {}", env::consts::OS, env::consts::ARCH),
        }
    }
}

/// Cores this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Linux tells the model in a file; elsewhere the architecture has to do.
fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Counts equal origins, the most frequent first.
pub fn count_origins<'a>(origins: impl IntoIterator<Item = &'a Origin>) -> Vec<OriginCount> {
    let mut counts: BTreeMap<&Origin, usize> = BTreeMap::new();
    for origin in origins {
        *counts.entry(origin).or_default() += 1;
    }
    let mut counts: Vec<OriginCount> = counts
        .into_iter()
        .map(|(origin, cells)| OriginCount {
            origin: origin.clone(),
            cells,
        })
        .collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.cells));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_and_cores() {
        let machine = Machine::here();
        assert!(!machine.cpu.is_empty());
        assert!(machine.cores > 0);
        assert!(machine.os.contains(env::consts::OS));
    }

    #[test]
    fn what_a_program_was_built_from_is_read() {
        let clean = Build::parse("commit 0123456789abcdef clean").commit().unwrap();
        assert_eq!((clean.short().as_str(), clean.dirty), ("0123456789ab", false));
        let dirty = Build::parse("commit 0123456789abcdef dirty").commit().unwrap();
        assert_eq!(dirty.short(), "0123456789ab+");
        let reason = "git refused: fatal: detected dubious ownership";
        let build = Build::parse(reason);
        assert_eq!((build.commit(), build.why_not_known().as_deref()), (None, Some(reason)));
    }

    /// As programs wrote it that read the commit where they ran.
    #[test]
    fn an_older_provenance_is_read() {
        let text = r#"{"experiment": "table4", "preset": "quick", "command": "c", "commit": null, "version": "0.1.0",
            "data": {}, "cells": 3, "missing": 0, "seeds": 1, "origins": [], "cell_seconds": 1.0, "wall_seconds": 1.0}"#;
        let read: Provenance = serde_json::from_str(text).unwrap();
        assert_eq!((read.cells, read.commit, read.commit_not_known), (3, None, None));
    }

    #[test]
    fn origins_are_counted() {
        let one = Origin {
            version: "1".into(),
            commit: None,
            machine: Machine {
                cpu: "a".into(),
                cores: 2,
                os: "linux".into(),
            },
            device: "cpu".into(),
        };
        let two = Origin {
            device: "cuda:0".into(),
            ..one.clone()
        };
        let counts = count_origins([&one, &two, &two]);
        assert_eq!(counts.len(), 2);
        assert_eq!((counts[0].cells, counts[0].origin.device.as_str()), (2, "cuda:0"));
    }
}
