//! Who holds a lock or writes a file: a process, and the machine on which it can be asked whether it lives.

use std::fmt;
use std::fs;
use std::process;
use std::sync::LazyLock;

use crate::sha256;

/// A process, as it is written down for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub host: String,
    /// Where its number means a process: host, boot and namespace of process numbers. Empty where that is not known.
    pub machine: String,
    pub pid: u32,
    /// When it started, in ticks since boot: numbers come round again.
    started: u64,
}

static HERE: LazyLock<Holder> = LazyLock::new(|| {
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let host = line("/proc/sys/kernel/hostname");
    let boot = line("/proc/sys/kernel/random/boot_id");
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    // Two containers on one host count their processes apart.
    let machine = format!("{host} {boot} {}", namespace.display());
    let known = !boot.is_empty() && !namespace.as_os_str().is_empty();
    Holder {
        host: if host.is_empty() { "?".to_owned() } else { host },
        machine: if known { short_hash(&machine) } else { String::new() },
        pid: process::id(),
        started: started(process::id()).unwrap_or(0),
    }
});

impl Holder {
    /// This process.
    pub fn here() -> &'static Self {
        &HERE
    }

    /// From what [`Holder`] displays.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_whitespace();
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        Some(Self {
            host: field("host")?.to_owned(),
            machine: field("machine")?.to_owned(),
            pid: field("pid")?.parse().ok()?,
            started: field("started")?.parse().ok()?,
        })
    }

    /// Whether it is known to have ended.
    pub fn is_gone(&self) -> bool {
        is_here(&self.machine) && started(self.pid) != Some(self.started)
    }

    /// For a person.
    pub fn words(&self) -> String {
        format!("process {} on {}", self.pid, self.host)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            machine,
            pid,
            started,
        } = self;
        write!(f, "host={host} machine={machine} pid={pid} started={started}")
    }
}

/// Whether processes of that machine can be asked for here.
pub(super) fn is_here(machine: &str) -> bool {
    !machine.is_empty() && *machine == Holder::here().machine
}

/// Whether a process of this machine runs.
pub(super) fn runs(pid: u32) -> bool {
    started(pid).is_some()
}

/// When a running process of this machine started; none if there is none, or only what its parent has not buried yet.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn short_hash(text: &str) -> String {
    sha256(text)[..8].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_survives_its_text() {
        let here = Holder::here();
        assert_eq!(Holder::parse(&here.to_string()).as_ref(), Some(here));
        for torn in ["", "host=a", "host=a machine=b pid=x started=1", "free"] {
            assert_eq!(Holder::parse(torn), None, "{torn}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_a_process_of_this_machine_is_known_to_be_gone() {
        let here = Holder::here();
        assert!(!here.is_gone() && runs(here.pid));
        let mut child = process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = Holder {
            pid: child.id(),
            started: started(child.id()).unwrap(),
            ..here.clone()
        };
        assert!(!other.is_gone());
        child.kill().unwrap();
        // Dead, and not yet buried by its parent.
        while runs(other.pid) {
            std::thread::yield_now();
        }
        assert!(other.is_gone());
        child.wait().unwrap();
        assert!(other.is_gone());
        let elsewhere = Holder {
            machine: "00000000".to_owned(),
            ..other.clone()
        };
        assert!(!elsewhere.is_gone());
        // Its number came round again.
        let successor = Holder {
            started: 1,
            ..here.clone()
        };
        assert!(successor.is_gone());
    }
}
