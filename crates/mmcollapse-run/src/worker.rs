//! A worker: a process that trains one cell after the other, as the runner tells it.
//!
//! Runner and worker talk in lines of JSON over the worker's standard input and output. The worker takes the
//! cell's lock itself, so the lock goes with the process that writes. When its input ends, the runner is gone:
//! the worker stops at the next chance and exits.

use mmcollapse_record::{Definition, Origin, Outcome, Status};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant, SystemTime};
use std::{io, process, thread};

use mmcollapse_files::LineFile;
use mmcollapse_files::tell;
use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::signals;
use crate::store::{Claim, Found, Store, StoreError, Stored};

/// How long a worker whose runner is gone may take to reach a point where it can stop.
const ORPHAN_GRACE: Duration = Duration::from_secs(10);

/// Told once: that others can read the store.
static OPEN: Once = Once::new();

/// From the runner to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Train this cell or, where it is finished, measure what it lacks.
    Train {
        /// The cell.
        cell: Box<Cell>,
        /// Measures of its representation that are asked for beyond its protocol's own.
        #[serde(default)]
        measures: Vec<String>,
    },
    /// Stop at the next chance, keeping the checkpoint, and exit.
    Stop,
}

/// From a worker to the runner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It waits for orders.
    Ready,
    /// Something worth telling, for example that a damaged outcome was found.
    Note {
        /// The text.
        text: String,
    },
    /// An epoch is over.
    Epoch {
        /// Stage of the training.
        stage: String,
        /// Epochs of the stage that are over.
        epoch: usize,
        /// Epochs of the stage.
        epochs: usize,
    },
    /// The cell's outcome is in the store.
    Done {
        /// Seconds it took.
        seconds: f64,
        /// Whether it diverged.
        diverged: bool,
        /// Whether it was there already: another runner trained it in the meantime.
        found: bool,
    },
    /// Another process is training the cell.
    Busy {
        /// Who, in words.
        holder: String,
    },
    /// Stopped on order; training goes on from here in a later run.
    Stopped,
    /// The cell cannot be trained.
    Failed {
        /// Why.
        error: String,
    },
}

/// Why a cell has no outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkError {
    /// It was told to stop.
    Stopped,
    /// It was to be measured only, and its weights are gone.
    NoWeights,
    /// Its checkpoint cannot be continued, for this reason.
    Checkpoint(String),
    /// It cannot be done, for this reason.
    Failed(String),
}

/// Whether to stop; cheap to ask.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Says that it is time to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What work may use besides the cell.
pub struct Context<'a> {
    claim: &'a Claim,
    stop: &'a StopFlag,
    metrics: LineFile,
    measures: &'a [String],
    only_measure: bool,
}

impl<'a> Context<'a> {
    /// Folder for the checkpoint; if it is there, work goes on from what it holds.
    pub fn checkpoint(&self) -> PathBuf {
        self.claim.checkpoint()
    }

    /// Folder of what cells leave for each other.
    pub fn shared(&self) -> PathBuf {
        self.claim.shared()
    }

    /// Measures that are asked for beyond the protocol's own.
    pub fn measures(&self) -> &'a [String] {
        self.measures
    }

    /// Whether to train nothing: return [`WorkError::NoWeights`] instead.
    pub fn only_measure(&self) -> bool {
        self.only_measure
    }

    /// Whether to stop: keep the checkpoint and return [`WorkError::Stopped`].
    pub fn should_stop(&self) -> bool {
        self.stop.is_set() || self.claim.is_lost()
    }

    /// Tells the runner something worth knowing.
    pub fn note(&mut self, text: &str) {
        note(text.to_owned());
    }

    /// Reports that an epoch (from 0) is over; it goes into `metrics.jsonl` and to the runner.
    pub fn epoch(&mut self, stage: &str, epoch: usize, epochs: usize, losses: &[(&str, f64)]) {
        // JSON has no word for what is not finite; the text keeps it readable.
        let losses: BTreeMap<&str, serde_json::Value> = losses
            .iter()
            .map(|(name, loss)| {
                let loss = if loss.is_finite() {
                    (*loss).into()
                } else {
                    loss.to_string().into()
                };
                (*name, loss)
            })
            .collect();
        let line = serde_json::json!({"stage": stage, "epoch": epoch, "epochs": epochs, "losses": losses});
        // A log line that cannot be written is no reason to give up a training.
        let _ = self.metrics.write_line(&line.to_string());
        say(&Event::Epoch {
            stage: stage.to_owned(),
            epoch: epoch + 1,
            epochs,
        });
    }
}

/// What a worker does with a cell; training in the program, something quicker in tests of the runner.
pub trait Work {
    /// Does the cell's work.
    ///
    /// # Errors
    /// [`WorkError::Stopped`] if told to stop, else why it cannot be done.
    fn run(&mut self, cell: &Cell, context: &mut Context<'_>) -> Result<Outcome, WorkError>;
}

/// Follows the orders on standard input until they end.
pub fn serve(store: &Store, origin: &Origin, work: &mut dyn Work) {
    let stop = StopFlag::default();
    // Ctrl-C on a terminal reaches the workers too; it is the runner that says when they stop.
    let _ = signals::ignore();
    let orders = listen(stop.clone());
    // What a program prints before it gets here must not run into the first event.
    let _ = io::stdout().write_all(b"\n");
    say(&Event::Ready);
    for order in orders {
        match order {
            Order::Stop => break,
            Order::Train { cell, measures } => say(&train(store, origin, work, &cell, &measures, &stop)),
        }
        if stop.is_set() {
            break;
        }
    }
}

/// Reads orders on a thread of its own, so that a stop is heard during training.
fn listen(stop: StopFlag) -> mpsc::Receiver<Order> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let Ok(order) = serde_json::from_str(&line) else {
                tell!("an order that this worker does not understand: {line}");
                continue;
            };
            if order == Order::Stop {
                stop.set();
            }
            if sender.send(order).is_err() {
                break;
            }
        }
        stop.set();
        drop(sender);
        thread::sleep(ORPHAN_GRACE);
        process::exit(1);
    });
    receiver
}

/// Sends an event. The runner may be gone; its end is heard on standard input, not here.
fn say(event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        let mut output = io::stdout().lock();
        let _ = writeln!(output, "{line}");
        let _ = output.flush();
    }
}

fn note(text: String) {
    say(&Event::Note { text });
}

fn train(
    store: &Store,
    origin: &Origin,
    work: &mut dyn Work,
    cell: &Cell,
    measures: &[String],
    stop: &StopFlag,
) -> Event {
    let result = (|| {
        let busy = || {
            Ok(Event::Busy {
                holder: store.holder(cell),
            })
        };
        let Some(claim) = store.claim(cell).map_err(told)? else {
            return busy();
        };
        if !claim.is_private() {
            OPEN.call_once(|| {
                let root = store.root().display();
                note(format!(
                    "the store {root} is open to others: its file system keeps no modes"
                ));
            });
        }
        // Looked up under the lock: another runner may have finished the cell since it was planned.
        match store.find(&cell.key()).map_err(told)? {
            Found::Whole(stored) => {
                let lacking = cell.lacking(&stored.outcome, measures);
                let started = Instant::now();
                let measured = !lacking.is_empty()
                    && match measure(&claim, work, cell, &stored, &lacking, stop) {
                        // The cell is another's by now, who measures it.
                        Err(_) if !stop.is_set() && !claim.holds() => return busy(),
                        measured => measured?,
                    };
                return Ok(Event::Done {
                    seconds: if measured {
                        started.elapsed().as_secs_f64()
                    } else {
                        stored.outcome.seconds
                    },
                    diverged: stored.outcome.status != Status::Ok,
                    found: !measured,
                });
            }
            Found::Damaged(reason) => note(format!("damaged, done again: {reason}")),
            Found::Missing => {}
        }
        // The clock of the wall may be set meanwhile; only its start is read.
        let (from, started) = (now(), Instant::now());
        let outcome = match attempt(&claim, work, cell, measures, stop) {
            // Whatever went wrong: the cell and its folder are another's by now.
            Err(_) if !stop.is_set() && !claim.holds() => return busy(),
            outcome => outcome?,
        };
        let stored = Stored {
            outcome,
            origin: origin.clone(),
            trained: (from, from + started.elapsed().as_secs_f64()),
        };
        if !claim.finish(&stored).map_err(told)? {
            return busy();
        }
        Ok(Event::Done {
            seconds: stored.outcome.seconds,
            diverged: stored.outcome.status != Status::Ok,
            found: false,
        })
    })();
    match result {
        Ok(event) => event,
        Err(WorkError::Stopped) => Event::Stopped,
        // Only what is to be measured may lack weights, and it keeps the outcome that it has.
        Err(WorkError::NoWeights) => Event::Failed {
            error: "its weights are gone".to_owned(),
        },
        Err(WorkError::Checkpoint(error) | WorkError::Failed(error)) => Event::Failed { error },
    }
}

/// Adds to a finished cell the measures that it lacks, from its weights; false where they are gone. Nothing else of the outcome
/// changes.
fn measure(
    claim: &Claim,
    work: &mut dyn Work,
    cell: &Cell,
    stored: &Stored,
    lacking: &[&'static Definition],
    stop: &StopFlag,
) -> Result<bool, WorkError> {
    let keys: Vec<String> = lacking.iter().map(|definition| definition.key.to_owned()).collect();
    let mut context = Context {
        claim,
        stop,
        metrics: claim.log().map_err(told)?,
        measures: &keys,
        only_measure: true,
    };
    let measured = match work.run(cell, &mut context) {
        Ok(measured) => measured,
        Err(WorkError::Stopped) => return Err(WorkError::Stopped),
        Err(WorkError::NoWeights) => return Ok(false),
        Err(WorkError::Checkpoint(reason) | WorkError::Failed(reason)) => {
            note(format!("it keeps its outcome without {}: {reason}", keys.join(", ")));
            return Ok(false);
        }
    };
    let mut stored = stored.clone();
    stored.outcome.add(&measured, lacking);
    if claim.finish(&stored).map_err(told)? {
        Ok(true)
    } else {
        Err(WorkError::Stopped) // as where training finds that the cell is another's
    }
}

/// Trains the claimed cell, from its checkpoint if there is one; a checkpoint that cannot be used is given up.
fn attempt(
    claim: &Claim,
    work: &mut dyn Work,
    cell: &Cell,
    measures: &[String],
    stop: &StopFlag,
) -> Result<Outcome, WorkError> {
    loop {
        let continued = claim.checkpoint().exists();
        let mut context = Context {
            claim,
            stop,
            metrics: claim.begin().map_err(told)?,
            measures,
            only_measure: false,
        };
        match work.run(cell, &mut context) {
            // Any other failure leaves the checkpoint: it may be of hours, and the reason gone at the next try.
            Err(WorkError::Checkpoint(error)) if continued && claim.holds() => {
                note(format!("done from the start: {error}"));
                claim.forget_checkpoint().map_err(told)?;
            }
            result => return result,
        }
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

fn told(error: StoreError) -> WorkError {
    WorkError::Failed(error.to_string())
}
