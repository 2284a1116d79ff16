//! Cells on a Slurm cluster: an array of tasks that take them from the shared store.
//!
//! The submitter writes the jobs into the store and submits an array. Each task runs the local engine over all of them: the
//! cells' locks say who trains what, so tasks may come, be lost and come again in any number. The submitter watches the store, and
//! submits again as long as tasks end with cells left.
//!
//! ```text
//! STORE/slurm/<digest>-<time>-<process>/jobs.json      the jobs
//! STORE/slurm/<digest>-<time>-<process>/task.sh        what a task runs
//! STORE/slurm/<digest>-<time>-<process>/task-<n>.log   what it said
//! STORE/slurm/<digest>-<time>-<process>/failed-*.json  the jobs that cannot be done, with the reason
//! ```

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mmcollapse_files::{sha256, write_atomic};
use mmcollapse_record::{Outcome, Status};
use serde::{Deserialize, Serialize};

use crate::runner::{Engine, Fate, Interrupt, Job, Summary, Watcher};
use crate::store::{Found, Store};

/// Submissions in a row that finish no cell: then something is wrong with what the tasks run.
const IDLE: usize = 2;
/// Options of `sbatch` that the submitter sets itself.
const OWN: [&str; 6] = ["array", "output", "error", "parsable", "wrap", "chdir"];
/// Lines of a task's log that an error shows.
const SHOWN: usize = 8;

/// How cells are given to Slurm.
#[derive(Clone, Debug)]
pub struct Slurm {
    /// Tasks of the array, at most.
    pub tasks: usize,
    /// Options of `sbatch` without their dashes: `partition`, `time`, `mem`, `gres`, `account`.
    pub options: BTreeMap<String, String>,
    /// The program and its arguments that make a task; the file of jobs is appended.
    pub command: Vec<OsString>,
    /// The shared store.
    pub store: Store,
    /// Pause between two looks at store and queue.
    pub poll: Duration,
    /// Set when the run is to stop.
    pub interrupt: Interrupt,
}

/// Says whether options of `sbatch` may be given.
///
/// # Errors
/// The option that the submitter sets itself, or that is none.
pub fn check(options: &BTreeMap<String, String>) -> Result<(), String> {
    for name in options.keys() {
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        let is_word = begins && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        if !is_word || OWN.contains(&name.as_str()) {
            return Err(format!(
                "`{name}` is no option to give: expected one of sbatch's long options without dashes, such as partition, time, mem, \
                 gres or account, and none of {}",
                OWN.join(", ")
            ));
        }
    }
    Ok(())
}

/// A job that a task could not do.
#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    place: usize,
    reason: String,
}

/// Reads the jobs that a submitter has written.
///
/// # Errors
/// A file that cannot be read.
pub fn jobs(path: &Path) -> io::Result<Vec<Job>> {
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
}

/// Writes beside the jobs which of them a task could not do.
///
/// # Errors
/// A file that cannot be written.
pub fn tell_failures(path: &Path, task: &str, fates: &[Fate]) -> io::Result<()> {
    let failures: Vec<Failure> = fates
        .iter()
        .enumerate()
        .filter_map(|(place, fate)| match fate {
            Fate::Failed(reason) => Some(Failure {
                place,
                reason: reason.clone(),
            }),
            _ => None,
        })
        .collect();
    if failures.is_empty() {
        return Ok(());
    }
    let file = path.with_file_name(format!("failed-{task}.json"));
    write_atomic(&file, &serde_json::to_vec(&failures)?)
}

impl Engine for Slurm {
    fn run(&self, jobs: &[Job], watcher: &dyn Watcher) -> Summary {
        let mut run = Run {
            slurm: self,
            jobs,
            watcher,
            fates: vec![Fate::Unfinished; jobs.len()],
        };
        let error = run.all().err();
        Summary {
            fates: run.fates,
            error,
        }
    }
}

struct Run<'a> {
    slurm: &'a Slurm,
    jobs: &'a [Job],
    watcher: &'a dyn Watcher,
    fates: Vec<Fate>,
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), String> {
        let text = serde_json::to_vec(self.jobs).map_err(|error| error.to_string())?;
        // In a container another run may have this process's number, or may have had it: its failures are not ours.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let since = since.map_or(0, |since| since.as_millis());
        let name = format!("{}-{since}-{}", &sha256(&text)[..12], std::process::id());
        let folder = self.slurm.store.root().join("slurm").join(name);
        // Tasks run elsewhere, in another folder.
        let folder = std::path::absolute(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let written = self.write(&folder, &text);
        written.map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut idle = 0;
        self.look(&folder);
        while self.left() > 0 && !self.is_interrupted() {
            let before = self.left();
            let id = self.submit(&folder)?;
            self.watch(&id, &folder)?;
            if self.is_interrupted() {
                break;
            }
            idle = if self.left() < before { 0 } else { idle + 1 };
            if idle >= IDLE {
                return Err(format!(
                    "{IDLE} Slurm jobs in a row ended without a finished cell; the last one said:\n{}",
                    last_lines(&folder)
                ));
            }
            if self.left() > 0 {
                let (left, cells) = (self.left(), self.jobs.len());
                self.watcher.note(&format!(
                    "Slurm job {id} ended with {left} of {cells} cells left; they are submitted again"
                ));
            }
        }
        Ok(())
    }

    fn is_interrupted(&self) -> bool {
        self.slurm.interrupt.requests() > 0
    }

    fn left(&self) -> usize {
        self.fates
            .iter()
            .filter(|fate| matches!(fate, Fate::Unfinished))
            .count()
    }

    fn write(&self, folder: &Path, jobs: &[u8]) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let file = folder.join("jobs.json");
        write_atomic(&file, jobs)?;
        let words = self.slurm.command.iter().map(|word| quoted(&word.to_string_lossy()));
        let mut words: Vec<String> = words.collect();
        words.push(quoted(&file.to_string_lossy()));
        // In the place of the shell, so that Slurm's signals reach the program.
        let script = format!("#!/bin/sh\nexec {}\n", words.join(" "));
        write_atomic(&folder.join("task.sh"), script.as_bytes())
    }

    /// Submits an array; returns the number of its job.
    fn submit(&self, folder: &Path) -> Result<String, String> {
        let tasks = self.slurm.tasks.min(self.left()).max(1);
        let mut command = Command::new("sbatch");
        command.args([
            "--parsable",
            "--requeue",
            "--open-mode=append",
            "--job-name=mmcollapse",
            "--signal=B:TERM@60",
        ]);
        command.arg(format!("--array=0-{}", tasks - 1));
        for what in ["output", "error"] {
            command.arg(format!("--{what}={}", folder.join("task-%a.log").display()));
        }
        for (name, value) in &self.slurm.options {
            command.arg(format!("--{name}={value}"));
        }
        let output = asked(command.arg(folder.join("task.sh")))?;
        if !output.status.success() {
            return Err(format!("sbatch refused the array: {}", text(&output.stderr)));
        }
        // A cluster's name may stand behind the number.
        let id = text(&output.stdout);
        let id = id.split(';').next().unwrap_or_default().trim().to_owned();
        self.watcher.note(&format!(
            "Slurm job {id}: an array of {tasks} tasks; logs in {}",
            folder.display()
        ));
        Ok(id)
    }

    /// Watches store and queue until no task is left.
    fn watch(&mut self, id: &str, folder: &Path) -> Result<(), String> {
        let mut told = String::new();
        let mut cancelled = false;
        loop {
            self.look(folder);
            if self.is_interrupted() && !cancelled {
                cancelled = true;
                cancel(id)?;
            }
            let states = states(id)?;
            let is_over = states.as_ref().is_some_and(Vec::is_empty);
            if is_over || self.slurm.interrupt.requests() > 1 {
                break;
            }
            if self.left() == 0 && !cancelled {
                // Tasks that wait in the queue have nothing left to do.
                cancelled = true;
                cancel(id)?;
            }
            if let Some(states) = states {
                let now = counted(&states);
                if now != told {
                    self.watcher.note(&format!("Slurm job {id}: {now}"));
                    told = now;
                }
            }
            let next = Instant::now() + self.pause();
            while Instant::now() < next && (cancelled || !self.is_interrupted()) {
                thread::sleep(Duration::from_millis(50));
            }
        }
        self.look(folder);
        Ok(())
    }

    /// Each look asks for every cell that is left: the more there are, the longer the pause, so that the file system is asked at
    /// most 500 times a second.
    fn pause(&self) -> Duration {
        self.slurm.poll.max(Duration::from_millis(2 * self.left() as u64))
    }

    /// Whether an outcome has all that is asked for, or can have no more.
    fn is_done(&self, job: &Job, outcome: &Outcome) -> bool {
        job.cell.lacking(outcome, &job.measures).is_empty() || !self.slurm.store.has_weights(outcome)
    }

    /// Takes over what has come into the store, and what tasks could not do.
    fn look(&mut self, folder: &Path) {
        let failures = failures(folder);
        for (place, job) in self.jobs.iter().enumerate() {
            if !matches!(self.fates[place], Fate::Unfinished) {
                continue;
            }
            let fate = match self.slurm.store.find(&job.cell.key()) {
                Ok(Found::Whole(stored)) if self.is_done(job, &stored.outcome) => Fate::Done {
                    seconds: stored.outcome.seconds,
                    diverged: matches!(stored.outcome.status, Status::Diverged { .. }),
                    elsewhere: false,
                },
                _ => match failures.get(&place) {
                    Some(reason) => Fate::Failed(reason.clone()),
                    None => continue,
                },
            };
            self.watcher.finished(place, &fate);
            self.fates[place] = fate;
        }
    }
}

fn cancel(id: &str) -> Result<(), String> {
    asked(Command::new("scancel").arg(id)).map(drop)
}

/// The states of the tasks that are left of a job; none where the queue cannot be asked now.
fn states(id: &str) -> Result<Option<Vec<String>>, String> {
    let mut command = Command::new("squeue");
    command.args(["--noheader", "--array", "--format=%T", "--jobs", id]);
    let output = asked(&mut command)?;
    if output.status.success() {
        let states = text(&output.stdout);
        return Ok(Some(
            states
                .lines()
                .map(|line| line.trim().to_owned())
                .filter(|line| !line.is_empty())
                .collect(),
        ));
    }
    // The controller forgets jobs some minutes after their end. One that does not answer comes back.
    let is_forgotten = text(&output.stderr).contains("Invalid job id");
    Ok(is_forgotten.then(Vec::new))
}

/// `3 running, 5 pending`.
fn counted(states: &[String]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for state in states {
        *counts.entry(state.to_lowercase()).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().rev().map(|(state, n)| format!("{n} {state}")).collect();
    counts.join(", ")
}

fn failures(folder: &Path) -> BTreeMap<usize, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("failed-") && Path::new(&name).extension().is_some_and(|end| end == "json") {
            let failures = fs::read(entry.path())
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Vec<Failure>>(&bytes).ok());
            found.extend(
                failures
                    .into_iter()
                    .flatten()
                    .map(|failure| (failure.place, failure.reason)),
            );
        }
    }
    found
}

/// The end of the log that was written last.
fn last_lines(folder: &Path) -> String {
    let logs = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let logs = logs.filter(|path| path.extension().is_some_and(|end| end == "log"));
    let newest: Option<PathBuf> = logs.max_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok());
    let Some(newest) = newest else {
        return format!("no task wrote a log in {}", folder.display());
    };
    let text = fs::read_to_string(&newest).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    format!("{}\n{shown}", newest.display())
}

fn asked(command: &mut Command) -> Result<Output, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    output.map_err(|error| format!("{program} cannot be run: {error}; `--engine slurm` needs Slurm's commands on PATH"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sbatchs_and_not_the_submitters() {
        let of = |name: &str| check(&BTreeMap::from([(name.to_owned(), "x".to_owned())]));
        for name in ["partition", "cpus-per-task", "gres"] {
            assert_eq!(of(name), Ok(()));
        }
        for name in ["array", "--mem", "", "Mem", "output"] {
            assert!(of(name).unwrap_err().contains("is no option to give"), "{name}");
        }
    }

    #[test]
    fn words_and_states() {
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
        let states = ["RUNNING", "PENDING", "RUNNING"].map(str::to_owned);
        assert_eq!(counted(&states), "2 running, 1 pending");
    }

    #[test]
    fn failures_come_back_and_the_last_log_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = folder.path().join("jobs.json");
        let done = Fate::Done {
            seconds: 1.0,
            diverged: false,
            elsewhere: false,
        };
        tell_failures(&jobs, "7-0", &[done.clone(), Fate::Failed("no data".to_owned())]).unwrap();
        tell_failures(&jobs, "7-1", &[done]).unwrap();
        assert_eq!(failures(folder.path()), BTreeMap::from([(1, "no data".to_owned())]));
        assert!(last_lines(folder.path()).contains("no task wrote a log"));
        write_atomic(&folder.path().join("task-0.log"), b"one\ntwo\n").unwrap();
        assert!(last_lines(folder.path()).ends_with("one\ntwo"));
    }
}
