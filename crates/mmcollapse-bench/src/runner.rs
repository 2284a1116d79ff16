//! The runner: hands cells to worker processes until all are done.
//!
//! A crash costs one cell: the worker is started anew and the cell tried once more. A cell that another runner
//! is training is put aside and asked for again later. An interruption tells the workers to stop where they
//! can continue later; a second one, or patience at its end, kills them, which the store survives as well.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::cell::Cell;
use crate::worker::{Event, Order};

/// How often a cell is started before its crashes are taken for its own fault.
const ATTEMPTS: usize = 2;
/// Workers in a row that end before they are ready: then it is the program that does not start.
const FALSE_STARTS: usize = 3;
/// Lines kept of what a worker writes to its standard error.
const LAST_WORDS: usize = 20;
/// Pause between two looks at what changes outside of this process.
const TICK: Duration = Duration::from_millis(20);

/// A cell to be done, with what the runner needs to know of it.
#[derive(Clone, Debug)]
pub struct Job {
    /// The cell.
    pub cell: Cell,
    /// Its name in progress and errors, for example `shaspec+ebr, test_missing, seed 3`.
    pub label: String,
    /// Seconds it is expected to take; long ones start first, so that the end is not spent waiting for one.
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

/// How to start a worker.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What is added to its environment.
    pub environment: Vec<(OsString, OsString)>,
}

impl WorkerCommand {
    /// A worker with one thread: parallelism is over cells, and threads of several workers would fight.
    pub fn new(program: impl Into<OsString>, arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().collect(),
            environment: [("RAYON_NUM_THREADS", "1")]
                .into_iter()
                .chain(allocator())
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// Settings of mimalloc, the programs' allocator, that are not set already. Each step of a training takes the same megabytes
/// again: what is given back to the system in between comes back as pages to be cleared anew.
fn allocator() -> impl Iterator<Item = (&'static str, &'static str)> {
    let keep_for_seconds = ("MIMALLOC_PURGE_DELAY", "10000"); // milliseconds
    let large_pages = ("MIMALLOC_ALLOW_LARGE_OS_PAGES", "1");
    let unset = |(name, _): &(&str, &str)| std::env::var_os(name).is_none();
    [keep_for_seconds, large_pages].into_iter().filter(unset)
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

    /// Does the jobs, the longest first; returns when each is done, failed or given up.
    pub fn run(&self, jobs: &[Job], watcher: &dyn Watcher) -> Summary {
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        // Stable: equal estimates keep the order of the plan.
        order.sort_by(|&a, &b| jobs[b].estimate.total_cmp(&jobs[a].estimate));
        let run = Run {
            runner: self,
            jobs,
            watcher,
            state: Mutex::new(State {
                pending: order.into(),
                busy: Vec::new(),
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
            worker.process.close();
            worker.process.wait(self.runner.grace);
        }
    }

    /// Starts a worker and waits until it is ready.
    fn connect(&self, slot: usize) -> Result<Connection, String> {
        let mut child = self.runner.command.spawn().map_err(|error| {
            format!(
                "a worker does not start: {}: {error}",
                self.runner.command.program.display()
            )
        })?;
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("a worker does not start: it has no pipes".to_owned());
        };
        let last_words = LastWords::default();
        let listener = {
            let last_words = last_words.clone();
            thread::spawn(move || {
                for line in BufReader::new(errors).lines().map_while(Result::ok) {
                    last_words.add(line);
                }
            })
        };
        let process = Arc::new(WorkerProcess {
            child: Mutex::new(child),
            input: Mutex::new(Some(input)),
        });
        *self.processes[slot].lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&process));
        // An interruption before this line did not find the process; `work` looks again before each order.
        let mut connection = Connection {
            process,
            output: BufReader::new(output),
            last_words,
            listener: Some(listener),
        };
        loop {
            match connection.hear() {
                Some(Event::Ready) => return Ok(connection),
                Some(_) => {}
                None => {
                    return Err(format!(
                        "a worker ends before it is ready: {}",
                        connection.obituary(self.runner.grace)
                    ));
                }
            }
        }
    }

    /// Has the worker do one job.
    fn work(&self, slot: usize, job: usize, worker: &mut Connection) -> Left {
        let order = Order::Train {
            cell: Box::new(self.jobs[job].cell.clone()),
        };
        if self.interrupted() || !worker.process.send(&order) {
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
                Some(Event::Busy) => {
                    let when = Instant::now() + self.runner.busy_pause;
                    self.state().busy.push((job, when));
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
            worker.process.close();
            worker.obituary(self.runner.grace);
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

/// The side of a worker that may be used from any thread.
struct WorkerProcess {
    child: Mutex<Child>,
    input: Mutex<Option<ChildStdin>>,
}

impl WorkerProcess {
    /// Sends an order; false if the worker cannot hear it.
    fn send(&self, order: &Order) -> bool {
        let Ok(line) = serde_json::to_string(order) else {
            return false;
        };
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input
            .as_mut()
            .is_some_and(|input| writeln!(input, "{line}").and_then(|()| input.flush()).is_ok())
    }

    fn stop(&self) {
        self.send(&Order::Stop);
    }

    /// Ends its input.
    fn close(&self) {
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn kill(&self) {
        // Fails if it has ended already, which is as good.
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }

    /// Waits for its end, at most `grace`, then kills it.
    fn wait(&self, grace: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + grace;
        loop {
            let ended = self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
            match ended {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => thread::sleep(TICK),
                Ok(None) => {
                    self.kill();
                    let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
                    return child.wait().ok();
                }
                Err(_) => return None,
            }
        }
    }
}

/// A worker as its slot sees it.
struct Connection {
    process: Arc<WorkerProcess>,
    output: BufReader<ChildStdout>,
    last_words: LastWords,
    listener: Option<thread::JoinHandle<()>>,
}

impl Connection {
    /// The next event; `None` if there will be no more.
    fn hear(&mut self) -> Option<Event> {
        let mut line = String::new();
        loop {
            line.clear();
            match self.output.read_line(&mut line) {
                Ok(0) | Err(_) => return None,
                // A library that prints is no event.
                Ok(_) => match serde_json::from_str(line.trim()) {
                    Ok(event) => return Some(event),
                    Err(_) => self.last_words.add(line.trim_end().to_owned()),
                },
            }
        }
    }

    /// Sees the worker to its end and says how it ended and what it last said.
    fn obituary(&mut self, grace: Duration) -> String {
        self.process.close();
        let status = self
            .process
            .wait(grace)
            .map_or_else(|| "it is not known how".to_owned(), |status| status.to_string());
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        let words = self.last_words.text();
        if words.is_empty() {
            format!("the worker died ({status}) without a word")
        } else {
            format!("the worker died ({status}); its last words:\n{words}")
        }
    }
}

/// The last lines that a worker wrote beside its events.
#[derive(Clone, Default)]
struct LastWords(Arc<Mutex<VecDeque<String>>>);

impl LastWords {
    fn add(&self, line: String) {
        if line.trim().is_empty() {
            return;
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_WORDS {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().fold(String::new(), |text, line| {
            if text.is_empty() {
                format!("    {line}")
            } else {
                format!("{text}\n    {line}")
            }
        })
    }
}
