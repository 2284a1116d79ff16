//! How far a run is and how long it will take.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use mmcollapse_files::{duration_text, output, tell};
use mmcollapse_probes::quantile;

use crate::runner::{Fate, Watcher};

/// Expects a cell to take as long as finished cells of its kind, else what the spec says, corrected by how
/// far the spec was off for the kinds that are known. Medians: a run that was paused, or that found its model trained
/// by another cell, says nothing of its like.
#[derive(Clone, Debug, Default)]
pub struct Estimator {
    measured: BTreeMap<String, Measured>,
}

/// The finished cells of a kind.
#[derive(Clone, Debug, Default)]
struct Measured {
    /// Seconds of each, at least one, the least first.
    seconds: Vec<f64>,
    /// Sum of what the spec said.
    rough: f64,
}

impl Measured {
    fn median(&self) -> f64 {
        quantile(&self.seconds, 0.5)
    }
}

/// What an estimate rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// Finished cells that differ in the seed alone.
    SameKind,
    /// The spec's figure, corrected by finished cells of other kinds.
    OtherKinds,
    /// The spec's figure.
    Spec,
}

impl Basis {
    /// As a reader is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SameKind => "finished cells that differ in the seed alone",
            Self::OtherKinds => "the spec's rough figures, scaled by finished cells of other kinds",
            Self::Spec => "the spec's rough figures",
        }
    }
}

impl Estimator {
    /// Learns of a finished cell of `kind` that took `seconds` where the spec said `rough`.
    pub fn add(&mut self, kind: &str, seconds: f64, rough: f64) {
        let measured = self.measured.entry(kind.to_owned()).or_default();
        let place = measured.seconds.partition_point(|other| *other < seconds);
        measured.seconds.insert(place, seconds);
        measured.rough += rough;
    }

    /// Seconds a cell of `kind` is expected to take where the spec says `rough`, and what that rests on.
    pub fn seconds(&self, kind: &str, rough: f64) -> (f64, Basis) {
        if let Some(measured) = self.measured.get(kind) {
            return (measured.median(), Basis::SameKind);
        }
        let seconds: f64 = self
            .measured
            .values()
            .map(|m| m.median() * m.seconds.len() as f64)
            .sum();
        let expected: f64 = self.measured.values().map(|m| m.rough).sum();
        if expected > 0.0 {
            (rough * seconds / expected, Basis::OtherKinds)
        } else {
            (rough, Basis::Spec)
        }
    }
}

/// Wall time of jobs of these lengths on so many workers, the longest first.
pub fn makespan(jobs: &[f64], workers: usize) -> f64 {
    let mut jobs = jobs.to_vec();
    jobs.sort_by(|a, b| b.total_cmp(a));
    let mut ends = vec![0.0_f64; workers.max(1)];
    for seconds in jobs {
        if let Some(first) = ends.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *first += seconds;
        }
    }
    ends.into_iter().fold(0.0, f64::max)
}

/// What the watcher knows of each job before the run.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Name of the job.
    pub label: String,
    /// Kind, for estimates.
    pub kind: String,
    /// The spec's figure in seconds.
    pub rough: f64,
}

/// Shows a run on the terminal: a bar for the whole and a line for each worker; where standard error is no
/// terminal, or one that takes no control sequences, a plain line for each finished cell.
pub struct Progress {
    jobs: Vec<Expectation>,
    workers: usize,
    state: Mutex<State>,
    bars: Option<Bars>,
}

struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    slots: Vec<ProgressBar>,
}

struct State {
    estimator: Estimator,
    fates: Vec<bool>,
    /// Job and start of each worker.
    running: BTreeMap<usize, (usize, Instant)>,
    finished: usize,
    failed: usize,
}

impl Progress {
    /// A watcher of these jobs; `estimator` knows the durations in the store.
    pub fn new(jobs: Vec<Expectation>, workers: usize, estimator: Estimator) -> Self {
        let is_terminal = io::stderr().is_terminal() && !output::is_plain();
        let bars = is_terminal.then(|| Bars::new(jobs.len(), workers));
        let fates = vec![false; jobs.len()];
        let progress = Self {
            jobs,
            workers,
            state: Mutex::new(State {
                estimator,
                fates,
                running: BTreeMap::new(),
                finished: 0,
                failed: 0,
            }),
            bars,
        };
        if let Some(bars) = &progress.bars {
            bars.total.set_message(progress.eta(&progress.state()));
        }
        progress
    }

    /// Takes the bars off the terminal.
    pub fn close(&self) {
        if let Some(bars) = &self.bars {
            for slot in &bars.slots {
                slot.finish_and_clear();
            }
            bars.total.finish_and_clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time until the last job is done, for readers.
    pub fn time_left(&self) -> String {
        duration_text(self.seconds_left(&self.state()))
    }

    fn eta(&self, state: &State) -> String {
        format!("ETA {}", duration_text(self.seconds_left(state)))
    }

    /// Seconds until the last job is done, from what jobs took so far.
    fn seconds_left(&self, state: &State) -> f64 {
        let mut left = Vec::new();
        for (index, job) in self.jobs.iter().enumerate() {
            if state.fates[index] {
                continue;
            }
            let (seconds, _) = state.estimator.seconds(&job.kind, job.rough);
            let spent = state
                .running
                .values()
                .find(|(running, _)| *running == index)
                .map_or(0.0, |(_, since)| since.elapsed().as_secs_f64());
            left.push((seconds - spent).max(0.0));
        }
        makespan(&left, self.workers)
    }

    fn print(&self, line: &str) {
        match &self.bars {
            // Fails if the terminal is gone, and then there is nobody to tell.
            Some(bars) => drop(bars.all.println(line)),
            None => tell!("{line}"),
        }
    }
}

impl Bars {
    fn new(jobs: usize, workers: usize) -> Self {
        let all = MultiProgress::new();
        let style =
            |template: &str| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let total = all.add(ProgressBar::new(jobs as u64));
        total.set_style(style("{elapsed_precise} [{bar:32}] {pos}/{len} cells  {msg}"));
        total.enable_steady_tick(Duration::from_millis(500));
        let slots = (0..workers.min(jobs))
            .map(|_| {
                let slot = all.add(ProgressBar::new(0));
                slot.set_style(style("  [{bar:16}] {pos:>4}/{len:<4} {wide_msg}"));
                slot
            })
            .collect();
        Self { all, total, slots }
    }
}

impl Watcher for Progress {
    fn started(&self, slot: usize, job: usize) {
        self.state().running.insert(slot, (job, Instant::now()));
        if let Some(bar) = self.bars.as_ref().and_then(|bars| bars.slots.get(slot)) {
            bar.set_length(0);
            bar.set_position(0);
            bar.set_message(self.jobs[job].label.clone());
        }
    }

    fn epoch(&self, slot: usize, stage: &str, epoch: usize, epochs: usize) {
        let Some(bars) = &self.bars else { return };
        let state = self.state();
        if let (Some(bar), Some((job, _))) = (bars.slots.get(slot), state.running.get(&slot)) {
            bar.set_length(epochs as u64);
            bar.set_position(epoch as u64);
            bar.set_message(format!("{}: {stage}", self.jobs[*job].label));
        }
        bars.total.set_message(self.eta(&state));
    }

    fn left(&self, slot: usize) {
        self.state().running.remove(&slot);
        if let Some(bar) = self.bars.as_ref().and_then(|bars| bars.slots.get(slot)) {
            bar.set_length(0);
            bar.set_position(0);
            bar.set_message("");
        }
    }

    fn finished(&self, job: usize, fate: &Fate) {
        let expectation = &self.jobs[job];
        let mut state = self.state();
        state.fates[job] = true;
        let what = match fate {
            Fate::Done {
                seconds,
                diverged,
                elsewhere,
            } => {
                state.finished += 1;
                if !diverged {
                    // A diverged run stops early and tells nothing of how long its like take.
                    state.estimator.add(&expectation.kind, *seconds, expectation.rough);
                }
                let time = duration_text(*seconds);
                match (diverged, elsewhere) {
                    (true, _) => format!("diverged after {time}"),
                    (false, true) => format!("done by another run in {time}"),
                    (false, false) => format!("done in {time}"),
                }
            }
            Fate::Failed(error) => {
                state.failed += 1;
                format!("FAILED: {error}")
            }
            Fate::Unfinished => "unfinished".to_owned(),
        };
        let done = state.finished + state.failed;
        let eta = self.eta(&state);
        drop(state);
        let failed = matches!(fate, Fate::Failed(_));
        if let Some(bars) = &self.bars {
            bars.total.set_position(done as u64);
            bars.total.set_message(eta);
            if failed {
                self.print(&format!("{}: {what}", expectation.label));
            }
        } else {
            let all = self.jobs.len();
            self.print(&format!("[{done}/{all}] {}: {what}; {eta}", expectation.label));
        }
    }

    fn note(&self, text: &str) {
        self.print(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_use_the_best_there_is() {
        let mut estimator = Estimator::default();
        assert_eq!(estimator.seconds("a", 10.0), (10.0, Basis::Spec));
        estimator.add("b", 30.0, 10.0);
        estimator.add("b", 50.0, 10.0);
        // The spec was off by a factor of 4.
        assert_eq!(estimator.seconds("a", 10.0), (40.0, Basis::OtherKinds));
        assert_eq!(estimator.seconds("b", 10.0), (40.0, Basis::SameKind));
        // One that was paused for hours.
        estimator.add("b", 9000.0, 10.0);
        assert_eq!(estimator.seconds("b", 10.0), (50.0, Basis::SameKind));
        assert_eq!(estimator.seconds("a", 10.0), (50.0, Basis::OtherKinds));
    }

    #[test]
    fn the_longest_job_bounds_the_wall_time() {
        assert_eq!(makespan(&[], 4), 0.0);
        assert_eq!(makespan(&[1.0; 10], 2), 5.0);
        assert_eq!(makespan(&[1.0, 1.0, 10.0], 2), 10.0);
        assert_eq!(makespan(&[3.0, 3.0, 2.0, 2.0, 2.0], 2), 7.0);
    }

    #[test]
    fn the_eta_falls_as_jobs_finish() {
        let jobs = vec![
            Expectation {
                label: "a".into(),
                kind: "k".into(),
                rough: 10.0,
            };
            4
        ];
        let progress = Progress {
            workers: 2,
            bars: None,
            state: Mutex::new(State {
                estimator: Estimator::default(),
                fates: vec![false; 4],
                running: BTreeMap::new(),
                finished: 0,
                failed: 0,
            }),
            jobs,
        };
        assert_eq!(progress.eta(&progress.state()), "ETA 20 s");
        progress.started(0, 0);
        progress.epoch(0, "train", 1, 2);
        progress.finished(
            0,
            &Fate::Done {
                seconds: 30.0,
                diverged: false,
                elsewhere: false,
            },
        );
        progress.left(0);
        assert_eq!(progress.eta(&progress.state()), "ETA 60 s");
        progress.finished(1, &Fate::Failed("x".into()));
        assert_eq!(progress.eta(&progress.state()), "ETA 30 s");
    }
}
