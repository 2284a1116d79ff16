//! The runner: hands cells to worker processes until all are done.
//!
//! A crash costs one cell: the worker is started anew and the cell tried once more. A cell that another runner
//! is training is put aside and asked for again later. An interruption tells the workers to stop where they
//! can continue later; a second one, or patience at its end, kills them, which the store survives as well.

mod process;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::worker::{Event, Order};
use process::{Connection, WorkerProcess};

pub use process::WorkerCommand;

/// How often a cell is started before its crashes are taken for its own fault.
const ATTEMPTS: usize = 2;
/// Workers in a row that end before they are ready: then it is the program that does not start.
const FALSE_STARTS: usize = 3;
/// A wait for another run's cell that lasts longer is told.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two looks at what changes outside of this process.
const TICK: Duration = Duration::from_millis(20);

/// Where cells are trained.
pub trait Engine {
    /// Does the jobs round by round, and tells the watcher of each; returns when each is done, failed or given up.
    fn run(&self, jobs: &[Job], watcher: &dyn Watcher) -> Summary;
}

/// A cell to be done, with what the runner needs to know of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The cell.
    pub cell: Cell,
    /// Measures that are asked for beyond its protocol's own.
    pub measures: Vec<String>,
    /// Its name in progress and errors, for example `shaspec+ebr, test_missing, seed 3`.
    pub label: String,
    /// Jobs of a lower round start before all of a higher one: the seed, so that every row has it before the next.
    pub round: u64,
    /// Seconds it is expected to take; long ones of a round start first, so that the end is not spent waiting for one.
    pub estimate: f64,
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// Its outcome is in the store.
    Done {
        /// Seconds it took.
        seconds: f64,
        /// Whether training diverged.
        diverged: bool,
        /// Whether another runner did it.
        elsewhere: bool,
    },
    /// It cannot be done, for this reason.
    Failed(String),
    /// The run ended before it.
    Unfinished,
}

/// Told of everything that happens; called from several threads.
pub trait Watcher: Sync {
    /// Worker `slot` starts on a job.
    fn started(&self, slot: usize, job: usize);
    /// Worker `slot` is through an epoch.
    fn epoch(&self, slot: usize, stage: &str, epoch: usize, epochs: usize);
    /// Worker `slot` is no longer on a job.
    fn left(&self, slot: usize);
    /// A job's fate is known.
    fn finished(&self, job: usize, fate: &Fate);
    /// Something worth telling.
    fn note(&self, text: &str);
}

/// Counts the requests to stop; cheap to copy.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Asks to stop; the second time, at once.
    pub fn request(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub fn requests(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// How a run is done.
#[derive(Clone, Debug)]
pub struct Runner {
    /// How to start a worker.
    pub command: WorkerCommand,
    /// Number of workers.
    pub workers: usize,
    /// How long workers may take to stop when the run is interrupted.
    pub grace: Duration,
    /// Pause before a cell that another runner trains is asked for again.
    pub busy_pause: Duration,
    /// Set when the run is to stop.
    pub interrupt: Interrupt,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What became of each job, in the order they were given.
    pub fates: Vec<Fate>,
    /// Why the run was given up, if it was.
    pub error: Option<String>,
}

impl Runner {
    /// A runner with `workers` workers and the usual patience.
    pub fn new(command: WorkerCommand, workers: usize, interrupt: Interrupt) -> Self {
        Self {
            command,
            workers: workers.max(1),
            grace: Duration::from_secs(15),
            busy_pause: Duration::from_secs(1),
            interrupt,
        }
    }
}

impl Engine for Runner {
    /// In each round the longest first.
    fn run(&self, jobs: &[Job], watcher: &dyn Watcher) -> Summary {
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        // Stable: equal estimates keep the order of the plan.
        order.sort_by(|&a, &b| {
            let rounds = jobs[a].round.cmp(&jobs[b].round);
            rounds.then_with(|| jobs[b].estimate.total_cmp(&jobs[a].estimate))
        });
        let run = Run {
            runner: self,
            jobs,
            watcher,
            state: Mutex::new(State {
                pending: order.into(),
                busy: Vec::new(),
                waits: BTreeMap::new(),
                attempts: vec![0; jobs.len()],
                fates: vec![Fate::Unfinished; jobs.len()],
                error: None,
            }),
            processes: (0..self.workers.min(jobs.len())).map(|_| Mutex::new(None)).collect(),
        };
        thread::scope(|scope| {
            let slots: Vec<_> = (0..run.processes.len())
                .map(|slot| {
                    let run = &run;
                    scope.spawn(move || run.slot(slot))
                })
                .collect();
            let mut told: Option<Instant> = None;
            while slots.iter().any(|slot| !slot.is_finished()) {
                if self.interrupt.requests() > 0 && told.is_none() {
                    told = Some(Instant::now());
                    run.each_process(WorkerProcess::stop);
                }
                let patience = told.is_none_or(|since| since.elapsed() < self.grace);
                if self.interrupt.requests() > 1 || !patience {
                    run.each_process(WorkerProcess::kill);
                }
                thread::sleep(TICK);
            }
        });
        let state = run.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        Summary {
            fates: state.fates,
            error: state.error,
        }
    }
}

/// One call of [`Runner::run`].
struct Run<'a> {
    runner: &'a Runner,
    jobs: &'a [Job],
    watcher: &'a dyn Watcher,
    state: Mutex<State>,
    /// The process of each slot, for the thread that stops them.
    processes: Vec<Mutex<Option<Arc<WorkerProcess>>>>,
}

struct State {
    pending: VecDeque<usize>,
    /// Jobs that another runner has, and when to ask again.
    busy: Vec<(usize, Instant)>,
    /// Since when each job is waited for, until that is told.
    waits: BTreeMap<usize, Option<Instant>>,
    attempts: Vec<usize>,
    fates: Vec<Fate>,
    error: Option<String>,
}

enum Next {
    Job(usize),
    Wait,
    End,
}

/// How a worker left a job.
enum Left {
    /// It waits for the next one.
    Alive,
    /// Its process is gone.
    Gone,
}

impl Run<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interrupted(&self) -> bool {
        self.runner.interrupt.requests() > 0
    }

    fn each_process(&self, action: impl Fn(&WorkerProcess)) {
        for slot in &self.processes {
            let process = slot.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(process) = process {
                action(&process);
            }
        }
    }

    fn next(&self) -> Next {
        let mut state = self.state();
        if self.interrupted() || state.error.is_some() {
            return Next::End;
        }
        if let Some(job) = state.pending.pop_front() {
            return Next::Job(job);
        }
        let now = Instant::now();
        if let Some(place) = state.busy.iter().position(|(_, when)| *when <= now) {
            return Next::Job(state.busy.swap_remove(place).0);
        }
        if state.busy.is_empty() { Next::End } else { Next::Wait }
    }

    fn finish(&self, job: usize, fate: Fate) {
        self.watcher.finished(job, &fate);
        self.state().fates[job] = fate;
    }

    /// One worker after the other in this slot, until there is nothing left to do.
    fn slot(&self, slot: usize) {
        let mut connection: Option<Connection> = None;
        let mut false_starts = 0;
        loop {
            let job = match self.next() {
                Next::Job(job) => job,
                Next::Wait => {
                    thread::sleep(TICK);
                    continue;
                }
                Next::End => break,
            };
            let worker = match connection.take() {
                Some(worker) => Ok(worker),
                None => self.connect(slot),
            };
            match worker {
                Ok(mut worker) => {
                    false_starts = 0;
                    self.watcher.started(slot, job);
                    let left = self.work(slot, job, &mut worker);
                    self.watcher.left(slot);
                    if matches!(left, Left::Alive) {
                        connection = Some(worker);
                    }
                }
                Err(error) => {
                    let mut state = self.state();
                    state.pending.push_front(job);
                    false_starts += 1;
                    if false_starts >= FALSE_STARTS {
                        state.error.get_or_insert(error);
                    }
                }
            }
        }
        // Its input ends, so the worker does.
        *self.processes[slot].lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(worker) = connection {
            worker.end(self.runner.grace);
        }
    }

    /// Starts a worker and waits until it is ready.
    fn connect(&self, slot: usize) -> Result<Connection, String> {
        let mut connection = Connection::start(&self.runner.command)?;
        *self.processes[slot].lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.process());
        // An interruption before this line did not find the process; `work` looks again before each order.
        connection.wait_until_ready(self.runner.grace)?;
        Ok(connection)
    }

    /// Has the worker do one job.
    fn work(&self, slot: usize, job: usize, worker: &mut Connection) -> Left {
        let order = Order::Train {
            cell: Box::new(self.jobs[job].cell.clone()),
            measures: self.jobs[job].measures.clone(),
        };
        if self.interrupted() || !worker.send(&order) {
            return self.died(job, worker);
        }
        loop {
            match worker.hear() {
                Some(Event::Ready) => {}
                Some(Event::Note { text }) => self.watcher.note(&format!("{}: {text}", self.jobs[job].label)),
                Some(Event::Epoch { stage, epoch, epochs }) => self.watcher.epoch(slot, &stage, epoch, epochs),
                Some(Event::Done {
                    seconds,
                    diverged,
                    found,
                }) => {
                    let elsewhere = found;
                    self.finish(
                        job,
                        Fate::Done {
                            seconds,
                            diverged,
                            elsewhere,
                        },
                    );
                    return Left::Alive;
                }
                Some(Event::Failed { error }) => {
                    self.finish(job, Fate::Failed(error));
                    return Left::Alive;
                }
                Some(Event::Busy { holder }) => {
                    let now = Instant::now();
                    let long = {
                        let mut state = self.state();
                        state.busy.push((job, now + self.runner.busy_pause));
                        let since = state.waits.entry(job).or_insert(Some(now));
                        since.take_if(|since| now - *since >= PATIENCE).is_some()
                    };
                    if long {
                        let label = &self.jobs[job].label;
                        self.watcher
                            .note(&format!("{label}: waiting for {holder}, who trains it"));
                    }
                    return Left::Alive;
                }
                // On order, so the run is ending: the fate stays `Unfinished`.
                Some(Event::Stopped) => return Left::Alive,
                None => return self.died(job, worker),
            }
        }
    }

    /// The worker is gone: the cell is tried once more, or has failed.
    fn died(&self, job: usize, worker: &mut Connection) -> Left {
        if self.interrupted() {
            worker.end(self.runner.grace);
            return Left::Gone;
        }
        let obituary = worker.obituary(self.runner.grace);
        let attempts = {
            let mut state = self.state();
            state.attempts[job] += 1;
            if state.attempts[job] < ATTEMPTS {
                // To the end: if it is the machine that is short of memory, there is less beside it then.
                state.pending.push_back(job);
            }
            state.attempts[job]
        };
        if attempts < ATTEMPTS {
            self.watcher
                .note(&format!("{}: {obituary}; it is tried once more", self.jobs[job].label));
        } else {
            self.finish(job, Fate::Failed(format!("{obituary} (twice)")));
        }
        Left::Gone
    }
}
