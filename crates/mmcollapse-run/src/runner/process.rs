//! The worker processes of a run: how they are started, spoken to, and seen to their end.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::TICK;
use crate::worker::{Event, Order};

/// Lines kept of what a worker writes to its standard error.
const LAST_WORDS: usize = 20;

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

/// The side of a worker that may be used from any thread.
pub(super) struct WorkerProcess {
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

    /// Asks it to stop where it can continue later.
    pub(super) fn stop(&self) {
        self.send(&Order::Stop);
    }

    /// Ends its input.
    fn close(&self) {
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn kill(&self) {
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
pub(super) struct Connection {
    process: Arc<WorkerProcess>,
    output: BufReader<ChildStdout>,
    last_words: LastWords,
    listener: Option<thread::JoinHandle<()>>,
}

impl Connection {
    /// Starts a worker.
    pub(super) fn start(command: &WorkerCommand) -> Result<Self, String> {
        let mut child = command
            .spawn()
            .map_err(|error| format!("a worker does not start: {}: {error}", command.program.display()))?;
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
        Ok(Self {
            process: Arc::new(WorkerProcess {
                child: Mutex::new(child),
                input: Mutex::new(Some(input)),
            }),
            output: BufReader::new(output),
            last_words,
            listener: Some(listener),
        })
    }

    /// Its process, for whoever may have to stop it.
    pub(super) fn process(&self) -> Arc<WorkerProcess> {
        Arc::clone(&self.process)
    }

    /// Waits for its first [`Event::Ready`].
    pub(super) fn wait_until_ready(&mut self, grace: Duration) -> Result<(), String> {
        loop {
            match self.hear() {
                Some(Event::Ready) => return Ok(()),
                Some(_) => {}
                None => {
                    return Err(format!("a worker ends before it is ready: {}", self.obituary(grace)));
                }
            }
        }
    }

    /// Sends an order; false if the worker cannot hear it.
    pub(super) fn send(&self, order: &Order) -> bool {
        self.process.send(order)
    }

    /// Ends its input, so that it ends, and waits for that.
    pub(super) fn end(&self, grace: Duration) {
        self.process.close();
        self.process.wait(grace);
    }

    /// The next event; `None` if there will be no more.
    pub(super) fn hear(&mut self) -> Option<Event> {
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
    pub(super) fn obituary(&mut self, grace: Duration) -> String {
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
