//! What this program was built from and what it runs on.

use std::sync::OnceLock;
use std::{env, fs, thread};

use mmcollapse_record::{Commit, Machine, Origin};

/// This program on this machine.
pub fn origin(device: &str) -> Origin {
    Origin {
        version: VERSION.to_owned(),
        commit: Build::here().commit(),
        machine: machine(),
        device: device.to_owned(),
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

/// The machine this process runs on.
pub fn machine() -> Machine {
    Machine {
        cpu: processor().unwrap_or_else(|| env::consts::ARCH.to_owned()),
        cores: cores(),
        os: format!("{} {}", env::consts::OS, env::consts::ARCH),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_and_cores() {
        let machine = machine();
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
}
