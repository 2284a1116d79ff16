//! Where a result comes from: what every table and figure carries.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
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
    /// Commit of the checkout the result was made in, if it was made in one.
    pub commit: Option<Commit>,
    /// Version of the program.
    pub version: String,
    /// Digest of each data set.
    pub data: BTreeMap<String, String>,
    /// Cells that went into the result, diverged ones included.
    pub cells: usize,
    /// Cells of the plan that are missing from it; a complete result has none.
    pub missing: usize,
    /// Distinct seeds.
    pub seeds: usize,
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

/// A commit, and whether the checkout differed from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Full hash.
    pub hash: String,
    /// Whether files that git tracks were changed, or others were added; results themselves do not count.
    pub dirty: bool,
}

/// On what and at which commit a cell was trained; stored with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Version of the program.
    pub version: String,
    /// Commit of the checkout the run was started in, if it was one.
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
            commit: Commit::of(Path::new(".")),
            machine: Machine::here(),
            device: device.to_owned(),
        }
    }
}

/// Version of the program, from the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Commit {
    /// The commit of the checkout around `folder`; `None` without git or outside of a checkout.
    ///
    /// It is read when the program runs rather than built in, so that a commit does not force a rebuild.
    pub fn of(folder: &Path) -> Option<Self> {
        let hash = git(folder, &["rev-parse", "--verify", "HEAD"])?;
        let changes = git(
            folder,
            &["status", "--porcelain", "--", ":(top)", ":(top,exclude)results"],
        )?;
        Some(Self {
            hash: hash.trim().to_owned(),
            dirty: !changes.trim().is_empty(),
        })
    }

    /// The first twelve digits, with `+` where the checkout differed.
    pub fn short(&self) -> String {
        let digits = self.hash.get(..12).unwrap_or(&self.hash);
        format!("{digits}{}", if self.dirty { "+" } else { "" })
    }
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()
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
    fn outside_of_a_checkout_there_is_no_commit() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Commit::of(folder.path()), None);
    }

    #[test]
    fn a_checkout_that_differs_is_marked() {
        let folder = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| {
            let done = Command::new("git")
                .arg("-C")
                .arg(folder.path())
                .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
                .args(["-c", "commit.gpgsign=false"])
                .args(arguments)
                .output();
            done.is_ok_and(|output| output.status.success())
        };
        if !run(&["init", "-q"]) {
            return; // a machine without git: `Commit::of` is then `None`, as tested above
        }
        assert!(run(&["commit", "-q", "--allow-empty", "--no-verify", "-m", "first"]));
        let clean = Commit::of(folder.path()).unwrap();
        assert!(!clean.dirty);
        assert_eq!(clean.short(), clean.hash[..12]);
        mmcollapse_nn::files::write_atomic(&folder.path().join("new"), b"x").unwrap();
        let dirty = Commit::of(folder.path()).unwrap();
        assert!(dirty.dirty && dirty.short().ends_with('+'));
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
