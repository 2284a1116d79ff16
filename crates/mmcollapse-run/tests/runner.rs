//! Runs cells in worker processes and kills, interrupts and damages what can be killed, interrupted, damaged.
//!
//! Worker and runner processes are this test binary itself, told by the environment to be one of the two entry
//! tests. The work is a fake: each "epoch" sleeps, adds to a sum that is kept in the checkpoint, and leaves a line
//! in a trace, from which the tests read what was really done.
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use mmcollapse_files::{LineFile, write_atomic};
use mmcollapse_record::{Metric, Outcome, ProtocolKind, Score, Split, Status};
use mmcollapse_run::cell::Cell;
use mmcollapse_run::provenance::origin;
use mmcollapse_run::runner::{Engine, Fate, Interrupt, Job, Runner, Summary, Watcher, WorkerCommand};
use mmcollapse_run::signals;
use mmcollapse_run::store::{Found, Store};
use mmcollapse_run::worker::{Context, Work, WorkError, serve};
use serde_json::{Value, json};

const ROLE: &str = "MMCOLLAPSE_TEST_ROLE";
const STORE: &str = "MMCOLLAPSE_TEST_STORE";
const CELLS: &str = "MMCOLLAPSE_TEST_CELLS";
const EPOCHS: u64 = 5;
/// Has work claimed by leases, as on a file system whose locks cannot be trusted.
const LOCKS: (&str, &str) = ("MMCOLLAPSE_LOCKS", "lease:3");

// The processes.

/// Not a test of its own: what a worker process runs.
#[test]
fn worker_entry() {
    if env::var(ROLE).as_deref() == Ok("worker") {
        let root = PathBuf::from(env::var(STORE).unwrap());
        let mut work = Fake {
            trace: LineFile::append(&trace_path(&root)).unwrap(),
            root: root.clone(),
        };
        serve(&Store::new(&root), &origin("cpu"), &mut work);
    }
}

/// Not a test of its own: what a runner process runs.
#[test]
fn runner_entry() {
    if env::var(ROLE).as_deref() == Ok("runner") {
        let root = PathBuf::from(env::var(STORE).unwrap());
        let configs: Vec<Value> = serde_json::from_str(&env::var(CELLS).unwrap()).unwrap();
        let interrupt = Interrupt::default();
        let handler = interrupt.clone();
        signals::on_stop(move || handler.request()).unwrap();
        let summary = run_with(&root, &configs, 2, interrupt, &Notes::default());
        let unfinished = summary.fates.contains(&Fate::Unfinished);
        std::process::exit(if unfinished { 3 } else { 0 });
    }
}

/// The fake work.
struct Fake {
    root: PathBuf,
    trace: LineFile,
}

impl Work for Fake {
    fn run(&mut self, cell: &Cell, context: &mut Context<'_>) -> Result<Outcome, WorkError> {
        let seed = cell.config["seed"].as_u64().unwrap();
        let pause = cell.config["milliseconds"].as_u64().unwrap();
        let state = context.checkpoint().join("state.json");
        let (mut epoch, mut sum): (u64, u64) = match fs::read(&state) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| WorkError::Checkpoint(format!("cannot be continued: {error}")))?,
            Err(_) => (0, 0),
        };
        let mut say = |what: &str, number: u64| {
            self.trace.write_line(&format!("{what} {seed} {number}")).unwrap();
        };
        let measured: BTreeMap<String, u32> = context.measures().iter().map(|key| (key.clone(), 0)).collect();
        let score = |metric: &str, value: f64| Score {
            protocol: ProtocolKind::Missing,
            rate: 0.5,
            split: Split::Test,
            metric: Metric::from_str(metric).unwrap(),
            value,
            n: 1,
        };
        let outcome = |value: f64| Outcome {
            status: Status::Ok,
            scores: [score("accuracy", value)]
                .into_iter()
                .chain(measured.keys().map(|key| score(key, 7.0)))
                .collect(),
            seconds: 0.1,
            parameters: 1,
            diagnosis: mmcollapse_record::Findings::default(),
            curves: BTreeMap::new(),
            measured: measured.clone(),
            weights: None,
        };
        if context.only_measure() {
            say("measure", 0);
            if cell.config["behave"] == "without weights" {
                return Err(WorkError::NoWeights);
            }
            // Another accuracy than training gave, which must not replace it.
            return Ok(outcome(-1.0));
        }
        say("start", u64::from(std::process::id()));
        let crashed = count(&self.root, &format!("crash {seed} ")) > 0;
        match cell.config["behave"].as_str() {
            Some("fail") => return Err(WorkError::Failed("no such method".to_owned())),
            Some("panic") => panic!("a bug of cell {seed}"),
            Some("crash") => {
                mmcollapse_files::tell!("out of memory, as it were");
                std::process::abort();
            }
            Some("crash once") if !crashed => {
                say("crash", 0);
                std::process::abort();
            }
            _ => {}
        }
        while epoch < EPOCHS {
            if context.should_stop() {
                return Err(WorkError::Stopped);
            }
            thread::sleep(Duration::from_millis(pause));
            sum = sum * 31 + seed + epoch;
            say("epoch", epoch);
            context.epoch("train", epoch as usize, EPOCHS as usize, &[("loss", 1.0)]);
            epoch += 1;
            let bytes = serde_json::to_vec(&(epoch, sum)).unwrap();
            write_atomic(&state, &bytes).unwrap();
        }
        Ok(outcome(sum as f64))
    }
}

// What the tests use.

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

impl Watcher for Notes {
    fn started(&self, _: usize, _: usize) {}
    fn epoch(&self, _: usize, _: &str, _: usize, _: usize) {}
    fn left(&self, _: usize) {}
    fn finished(&self, _: usize, _: &Fate) {}
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

fn trace_path(root: &Path) -> PathBuf {
    root.join("trace")
}

fn trace(root: &Path) -> Vec<String> {
    let text = fs::read_to_string(trace_path(root)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn count(root: &Path, start: &str) -> usize {
    let trace = trace(root);
    trace.iter().filter(|line| line.starts_with(start)).count()
}

/// Process ids of all workers that started a cell.
fn workers(root: &Path) -> BTreeSet<String> {
    let trace = trace(root);
    let starts = trace.iter().filter(|line| line.starts_with("start"));
    starts.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// Waits for something that must happen.
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn config(seed: u64, milliseconds: u64, behave: &str) -> Value {
    json!({"seed": seed, "milliseconds": milliseconds, "behave": behave})
}

fn well(seeds: std::ops::Range<u64>, milliseconds: u64) -> Vec<Value> {
    seeds.map(|seed| config(seed, milliseconds, "well")).collect()
}

fn cell(config: &Value) -> Cell {
    let mut config = config.clone();
    // What is asked for is no part of a cell.
    config.as_object_mut().unwrap().remove("asked");
    Cell {
        config,
        data_digest: "d".into(),
        revision: "r".into(),
    }
}

fn command(root: &Path) -> WorkerCommand {
    let mut command = WorkerCommand::new(
        env::current_exe().unwrap(),
        ["worker_entry", "--exact", "--nocapture"].map(Into::into),
    );
    command.environment.push((ROLE.into(), "worker".into()));
    command.environment.push((STORE.into(), root.into()));
    command
}

/// As [`run`], with work claimed by leases that three seconds of silence end.
fn run_by_leases(root: &Path, configs: &[Value]) -> (Summary, String) {
    let mut command = command(root);
    command.environment.push((LOCKS.0.into(), LOCKS.1.into()));
    let notes = Notes::default();
    let summary = run_by(command, configs, 2, Interrupt::default(), &notes);
    (summary, notes.text())
}

fn run_with(root: &Path, configs: &[Value], workers: usize, interrupt: Interrupt, notes: &Notes) -> Summary {
    run_by(command(root), configs, workers, interrupt, notes)
}

fn run_by(command: WorkerCommand, configs: &[Value], workers: usize, interrupt: Interrupt, notes: &Notes) -> Summary {
    let jobs: Vec<Job> = configs
        .iter()
        .map(|config| Job {
            cell: cell(config),
            measures: config["asked"].as_str().map(str::to_owned).into_iter().collect(),
            label: format!("cell {}", config["seed"]),
            round: config["round"].as_u64().unwrap_or_default(),
            estimate: 1.0,
        })
        .collect();
    let mut runner = Runner::new(command, workers, interrupt);
    runner.busy_pause = Duration::from_millis(50);
    runner.run(&jobs, notes)
}

fn run(root: &Path, configs: &[Value], workers: usize) -> (Summary, String) {
    let notes = Notes::default();
    let summary = run_with(root, configs, workers, Interrupt::default(), &notes);
    (summary, notes.text())
}

/// A runner in a process of its own, and in a process group of its own as a shell would have it.
fn spawn_runner(root: &Path, configs: &[Value]) -> Child {
    runner_process(root, configs).spawn().unwrap()
}

fn runner_process(root: &Path, configs: &[Value]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["runner_entry", "--exact", "--nocapture"])
        .env(ROLE, "runner")
        .env(STORE, root)
        .env(CELLS, serde_json::to_string(configs).unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command
}

fn signal(signal: &str, target: &str) -> bool {
    Command::new("kill")
        .args([signal, "--", target])
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// Whether a process runs; one that ended and that nobody has waited for does not.
fn alive(process: &str) -> bool {
    match fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => !stat.rsplit(") ").next().unwrap_or("").starts_with('Z'),
        Err(_) if Path::new("/proc/self").exists() => false,
        Err(_) => signal("-0", process),
    }
}

fn is_done(fate: &Fate) -> bool {
    matches!(fate, Fate::Done { .. })
}

fn whole(root: &Path, configs: &[Value]) -> usize {
    let store = Store::new(root);
    let found = configs.iter().map(|config| store.find(&cell(config).key()).unwrap());
    found.filter(|found| matches!(found, Found::Whole(_))).count()
}

/// The value each cell must have, whatever happened on the way.
fn check_values(root: &Path, configs: &[Value]) {
    let store = Store::new(root);
    for config in configs {
        let Found::Whole(stored) = store.find(&cell(config).key()).unwrap() else {
            panic!("{config} is not whole");
        };
        let seed = config["seed"].as_u64().unwrap();
        let sum = (0..EPOCHS).fold(0, |sum, epoch| sum * 31 + seed + epoch);
        assert_eq!(stored.outcome.scores[0].value, sum as f64);
    }
}

// The tests.

#[test]
fn cells_are_done_once_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let configs = well(0..6, 1);
    let (summary, _) = run(folder.path(), &configs, 3);
    assert!(summary.fates.iter().all(is_done), "{summary:?}");
    assert_eq!(summary.error, None);
    check_values(folder.path(), &configs);
    let (summary, _) = run(folder.path(), &configs, 1);
    assert!(summary.fates.iter().all(is_done));
    assert_eq!(count(folder.path(), "start"), 6);
}

#[test]
fn workers_have_one_thread() {
    let folder = tempfile::tempdir().unwrap();
    let command = command(folder.path());
    let threads = ("RAYON_NUM_THREADS".into(), "1".into());
    assert!(command.environment.contains(&threads));
}

#[test]
fn a_crash_costs_one_cell() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = well(0..4, 1);
    configs[1] = config(1, 1, "crash");
    configs[2] = config(2, 1, "crash once");
    let (summary, notes) = run(folder.path(), &configs, 2);
    let Fate::Failed(error) = &summary.fates[1] else {
        panic!("{summary:?}");
    };
    assert!(error.contains("out of memory, as it were"), "{error}");
    assert!(error.contains("SIGABRT") || error.contains("signal: 6"), "{error}");
    assert!(notes.contains("cell 1: the worker died"), "{notes}");
    for index in [0, 2, 3] {
        assert!(is_done(&summary.fates[index]), "{summary:?}");
    }
    assert_eq!(count(folder.path(), "start 1 "), 2);
    assert_eq!(count(folder.path(), "start 2 "), 2);
    // What failed is tried again by the next run.
    let (summary, _) = run(folder.path(), &configs[1..2], 1);
    assert!(matches!(summary.fates[0], Fate::Failed(_)));
    assert_eq!(count(folder.path(), "start 1 "), 4);
}

#[test]
fn a_panic_is_reported_and_an_error_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let configs = [config(0, 1, "panic"), config(1, 1, "fail"), config(2, 1, "well")];
    let (summary, _) = run(folder.path(), &configs, 1);
    let Fate::Failed(error) = &summary.fates[0] else {
        panic!("{summary:?}");
    };
    assert!(error.contains("a bug of cell 0"), "{error}");
    assert_eq!(summary.fates[1], Fate::Failed("no such method".to_owned()));
    assert!(is_done(&summary.fates[2]));
    assert_eq!(count(folder.path(), "start 1 "), 1);
}

/// Every row has a seed before any row has the next, whatever takes long.
#[test]
fn jobs_are_done_round_by_round() {
    let folder = tempfile::tempdir().unwrap();
    let rounds = [1, 0, 1, 0, 2, 0];
    let jobs: Vec<Value> = rounds
        .iter()
        .enumerate()
        .map(|(number, round)| {
            let mut config = config(number as u64, 1, "well");
            config["round"] = json!(round);
            config
        })
        .collect();
    run_with(folder.path(), &jobs, 1, Interrupt::default(), &Notes::default());
    let trace = fs::read_to_string(trace_path(folder.path())).unwrap();
    let started = trace.lines().filter_map(|line| line.strip_prefix("start "));
    let order: Vec<&str> = started.filter_map(|rest| rest.split(' ').next()).collect();
    assert_eq!(order, ["1", "3", "5", "0", "2", "4"]);
}

/// A measure that is asked for later reaches finished cells: from their weights, and without moving another number.
#[test]
fn a_measure_reaches_trained_cells() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let plain: Vec<Value> = ["well", "without weights"]
        .into_iter()
        .zip(0..)
        .map(|(behave, seed)| {
            json!({"seed": seed, "milliseconds": 1, "behave": behave, "protocol": {"kind": "missing", "rate": 0.5},
                   "reallocation": {"method": "none"}})
        })
        .collect();
    let asking = |key: &str| -> Vec<Value> {
        let with = |config: &Value| {
            let mut config = config.clone();
            config["asked"] = json!(key);
            config
        };
        plain.iter().map(with).collect()
    };
    let outcomes = || -> Vec<Outcome> {
        let store = Store::new(root);
        let found = plain.iter().map(|config| store.find(&cell(config).key()).unwrap());
        let outcome = |found| match found {
            Found::Whole(stored) => stored.outcome,
            other => panic!("{other:?}"),
        };
        found.map(outcome).collect()
    };
    run(root, &plain, 1);
    let before = outcomes();
    run(root, &asking("rank_stable"), 1);
    let after = outcomes();
    assert_eq!((count(root, "start"), count(root, "measure")), (2, 2));
    let [accuracy, rank] = &after[0].scores[..] else {
        panic!("{:?}", after[0].scores)
    };
    assert_eq!((accuracy, rank.value), (&before[0].scores[0], 7.0));
    assert_eq!(after[0].measured, BTreeMap::from([("rank_stable".to_owned(), 0)]));
    assert_eq!(after[1], before[1], "it has no weights, and keeps what it has");
    // What is there is not measured again.
    run(root, &asking("rank_stable"), 1);
    assert_eq!((count(root, "measure 0"), outcomes()), (1, after));
    assert_eq!(count(root, "start"), 2);
}

#[test]
fn a_program_that_does_not_start_is_no_endless_loop() {
    let jobs = [Job {
        cell: cell(&config(0, 1, "well")),
        measures: Vec::new(),
        label: "cell".into(),
        round: 0,
        estimate: 1.0,
    }];
    for (program, expected) in [
        ("/nonexistent/program", "does not start"),
        ("false", "ends before it is ready"),
    ] {
        let command = WorkerCommand::new(program, []);
        let summary = Runner::new(command, 2, Interrupt::default()).run(&jobs, &Notes::default());
        assert_eq!(summary.fates, [Fate::Unfinished]);
        let error = summary.error.unwrap();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_killed_worker_costs_no_more_than_its_cell() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let configs = well(0..4, 30);
    thread::scope(|scope| {
        let run = scope.spawn(|| run(root, &configs, 2));
        wait_for("an epoch", || count(root, "epoch 0 ") > 1);
        let start = trace(root)
            .into_iter()
            .find(|line| line.starts_with("start 0 "))
            .unwrap();
        assert!(signal("-9", start.rsplit(' ').next().unwrap()));
        let (summary, notes) = run.join().unwrap();
        assert!(summary.fates.iter().all(is_done), "{summary:?}");
        assert!(notes.contains("signal: 9"), "{notes}");
    });
    check_values(root, &configs);
    assert_eq!(count(root, "start 0 "), 2);
    assert_eq!(count(root, "start"), 5);
    // Continued from its checkpoint, not from the start.
    assert!(count(root, "epoch 0 ") <= EPOCHS as usize + 1);
}

#[test]
fn a_killed_runner_costs_no_more_than_the_running_cells() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let configs = well(0..6, 20);
    let mut runner = spawn_runner(root, &configs);
    wait_for("two cells", || whole(root, &configs) >= 2);
    runner.kill().unwrap();
    runner.wait().unwrap();
    let before = whole(root, &configs);
    assert!(before < 6, "killed too late to tell");
    // Workers see that the runner is gone; the cell each was at may still be finished.
    let workers = workers(root);
    wait_for("the workers to end", || !workers.iter().any(|worker| alive(worker)));
    assert!(whole(root, &configs) <= before + 2);
    for config in &configs {
        let found = Store::new(root).find(&cell(config).key()).unwrap();
        assert!(!matches!(found, Found::Damaged(_)), "{found:?}");
    }
    let (summary, _) = run(root, &configs, 2);
    assert!(summary.fates.iter().all(is_done), "{summary:?}");
    check_values(root, &configs);
    assert!(count(root, "epoch") <= 6 * EPOCHS as usize + 2);
}

#[test]
fn two_runners_share_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let configs = well(0..10, 10);
    let runners = [0, 1].map(|_| spawn_runner(root, &configs));
    for mut runner in runners {
        assert_eq!(runner.wait().unwrap().code(), Some(0));
    }
    check_values(root, &configs);
    // Each cell once, and by workers of both.
    assert_eq!(count(root, "start"), 10);
    let workers = workers(root);
    assert!(workers.len() > 2, "{workers:?}");
}

#[test]
fn what_another_runner_dropped_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let configs = well(0..2, 40);
    let mut other = spawn_runner(root, &configs);
    wait_for("an epoch of each", || {
        count(root, "epoch 0") > 0 && count(root, "epoch 1") > 0
    });
    thread::scope(|scope| {
        let run = scope.spawn(|| run(root, &configs, 2));
        thread::sleep(Duration::from_millis(50));
        other.kill().unwrap();
        other.wait().unwrap();
        let (summary, _) = run.join().unwrap();
        assert!(summary.fates.iter().all(is_done), "{summary:?}");
    });
    check_values(root, &configs);
}

#[test]
fn half_and_corrupted_outcomes_are_reported_and_redone() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let configs = well(0..3, 1);
    run(root, &configs, 1);
    let store = Store::new(root);
    let outcome = |index: usize| store.folder(&cell(&configs[index]).key()).join("outcome.json");
    let half = fs::read(outcome(0)).unwrap();
    write_atomic(&outcome(0), &half[..half.len() / 2]).unwrap();
    let text = fs::read_to_string(outcome(1)).unwrap();
    let changed = text.replacen("\"n\": 1", "\"n\": 2", 1);
    assert_ne!(text, changed);
    write_atomic(&outcome(1), changed.as_bytes()).unwrap();
    assert_eq!(whole(root, &configs), 1);
    let (summary, notes) = run(root, &configs, 1);
    assert!(summary.fates.iter().all(is_done));
    assert!(notes.contains("cell 0: damaged, done again"), "{notes}");
    assert!(notes.contains("cell 1: damaged, done again"), "{notes}");
    assert!(notes.contains("checksum"), "{notes}");
    assert!(!notes.contains("cell 2"), "{notes}");
    check_values(root, &configs);
}

#[test]
fn a_checkpoint_that_cannot_be_used_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let configs = well(0..1, 1);
    let checkpoint = Store::new(root)
        .folder(&cell(&configs[0]).key())
        .join("checkpoint/state.json");
    write_atomic(&checkpoint, b"[3,").unwrap();
    let (summary, notes) = run(root, &configs, 1);
    assert!(is_done(&summary.fates[0]), "{summary:?}");
    assert!(notes.contains("cannot be continued"), "{notes}");
    check_values(root, &configs);
    assert!(!checkpoint.exists());
}

/// Hours may be in it, and the reason of a failure may be gone at the next try.
#[test]
fn another_failure_leaves_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut configs = well(0..1, 1);
    configs[0]["behave"] = "fail".into();
    let checkpoint = Store::new(root)
        .folder(&cell(&configs[0]).key())
        .join("checkpoint/state.json");
    write_atomic(&checkpoint, b"[0,0]").unwrap();
    let (summary, _) = run(root, &configs, 1);
    assert!(
        matches!(&summary.fates[0], Fate::Failed(error) if error.contains("no such method")),
        "{summary:?}"
    );
    assert_eq!(fs::read(&checkpoint).unwrap(), b"[0,0]");
}

#[test]
fn an_interruption_leaves_a_clean_store_and_a_rerun_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let configs = well(0..6, 30);
    let mut runner = spawn_runner(root, &configs);
    wait_for("an epoch of the second pair", || {
        count(root, "start") > 2 && whole(root, &configs) >= 2
    });
    // To the whole group, workers included, as a terminal does.
    assert!(signal("-INT", &format!("-{}", runner.id())));
    assert_eq!(runner.wait().unwrap().code(), Some(3));
    let done = whole(root, &configs);
    assert!(done < 6, "interrupted too late to tell");
    let outlive = workers(root).into_iter().any(|worker| alive(&worker));
    assert!(!outlive, "workers outlive the runner");
    let (summary, notes) = run(root, &configs, 2);
    assert!(summary.fates.iter().all(is_done), "{summary:?}");
    assert!(!notes.contains("damaged"), "{notes}");
    check_values(root, &configs);
    // Not one epoch was done twice: workers stopped where they could go on.
    assert_eq!(count(root, "epoch"), 6 * EPOCHS as usize);
}

/// The outcome of each cell as it was first seen whole: it must stay so.
#[derive(Default)]
struct FirstSeen(BTreeMap<String, Vec<u8>>);

impl FirstSeen {
    fn look(&mut self, root: &Path, configs: &[Value]) {
        for config in configs {
            let key = cell(config).key();
            let path = Store::new(root).folder(&key).join("outcome.json");
            if let Ok(bytes) = fs::read(path) {
                let first = self.0.entry(key.as_str().to_owned()).or_insert_with(|| bytes.clone());
                assert_eq!(first, &bytes, "{config} was trained to two outcomes");
            }
        }
    }
}

/// The worker that began the cell last.
fn worker_of(root: &Path, seed: u64) -> String {
    let start = format!("start {seed} ");
    let lines = trace(root).into_iter().rev();
    let line = lines.into_iter().find(|line| line.starts_with(&start)).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn leases_share_the_work_and_survive_kills() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let configs = well(0..10, 15);
    let mut seen = FirstSeen::default();
    let mut runners = [0, 1].map(|_| runner_process(root, &configs).env(LOCKS.0, LOCKS.1).spawn().unwrap());
    // A worker, then a whole runner, then whatever it left.
    wait_for("an epoch", || count(root, "epoch 0 ") > 1);
    assert!(signal("-9", &worker_of(root, 0)));
    wait_for("two cells", || whole(root, &configs) >= 2);
    seen.look(root, &configs);
    runners[0].kill().unwrap();
    runners[0].wait().unwrap();
    assert_eq!(runners[1].wait().unwrap().code(), Some(0));
    seen.look(root, &configs);
    check_values(root, &configs);
    assert_eq!(seen.0.len(), 10, "none is lost");
    let (summary, _) = run_by_leases(root, &configs);
    assert!(summary.fates.iter().all(is_done), "{summary:?}");
    seen.look(root, &configs);
}

#[test]
fn who_is_silent_for_too_long_loses_the_cell_and_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let configs = well(0..1, 200);
    let mut asleep = runner_process(root, &configs).env(LOCKS.0, LOCKS.1).spawn().unwrap();
    wait_for("an epoch", || count(root, "epoch 0 ") > 0);
    let worker = worker_of(root, 0);
    assert!(signal("-STOP", &worker));
    let (summary, notes) = run_by_leases(root, &configs);
    assert!(is_done(&summary.fates[0]), "{summary:?}");
    assert!(notes.contains("waiting for process"), "{notes}");
    let mut seen = FirstSeen::default();
    seen.look(root, &configs);
    assert!(signal("-CONT", &worker));
    // It finds out, and finds the outcome of the other.
    assert_eq!(asleep.wait().unwrap().code(), Some(0));
    seen.look(root, &configs);
    check_values(root, &configs);
    assert!(count(root, "epoch 0 ") <= 2 * EPOCHS as usize);
}

#[test]
fn an_unreadable_outcome_costs_its_cell_alone() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let configs = well(0..3, 1);
    let in_place = Store::new(root).folder(&cell(&configs[1]).key()).join("outcome.json");
    write_atomic(&in_place.join("what"), b"a folder in its place").unwrap();
    let (summary, notes) = run(root, &configs, 1);
    assert!(summary.fates.iter().all(is_done), "{summary:?}");
    assert!(notes.contains("cell 1: damaged, done again"), "{notes}");
    check_values(root, &configs);
}
