//! `--engine slurm` on a real cluster: the one of `scripts/slurm_one_node.sh`, which `SLURM_CONF` names.
//!
//! Without a cluster the tests say that they are skipped.

#![cfg(feature = "train")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// One test at a time: they share the node, and one of them kills it.
static NODE: Mutex<()> = Mutex::new(());

fn cluster() -> Option<MutexGuard<'static, ()>> {
    let guard = NODE.lock().unwrap_or_else(PoisonError::into_inner);
    let answers = env::var_os("SLURM_CONF").is_some()
        && Command::new("sinfo")
            .output()
            .is_ok_and(|output| output.status.success());
    if !answers {
        eprintln!("SKIPPED: --engine slurm, as no cluster answers (scripts/slurm_one_node.sh starts one)");
        return None;
    }
    Some(guard)
}

fn command(folder: &Path, store: &str, results: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmcollapse"));
    command
        .args([
            "reproduce",
            "ebr-dose",
            "--dataset",
            "planted",
            "--preset",
            "smoke",
            "--offline",
        ])
        .args(["--store", store, "--results", results])
        .args(more)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

fn on_cluster(folder: &Path, seeds: &str) -> Command {
    command(
        folder,
        "runs",
        "results",
        &["--engine", "slurm", "--tasks", "2", "--seeds", seeds],
    )
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts it, and waits until the first cell is in the store.
fn begun(folder: &Path) -> Child {
    let child = on_cluster(folder, "12")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_mins(2);
    while outcomes(folder) == 0 && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
    child
}

fn outcomes(folder: &Path) -> usize {
    let cells = fs::read_dir(folder.join("runs/cells")).into_iter().flatten().flatten();
    cells.filter(|cell| cell.path().join("outcome.json").is_file()).count()
}

/// Processes of a task whose command line names this folder.
fn tasks(folder: &Path) -> Vec<String> {
    let found = Command::new("pgrep")
        .args(["-f", &format!("task .*{}", folder.display())])
        .output()
        .unwrap();
    String::from_utf8_lossy(&found.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

/// Scores of all cells, as the table of runs has them.
fn runs(folder: &Path, results: &str) -> String {
    fs::read_to_string(folder.join(results).join("ebr-dose/planted-smoke/runs.csv")).unwrap()
}

/// The same scores as of a run on this machine.
fn assert_like_local(folder: &Path, seeds: &str) {
    let local = command(folder, "local", "at-home", &["--seeds", seeds, "--workers", "2"])
        .output()
        .unwrap();
    assert!(local.status.success(), "{}", text(&local));
    assert_eq!(runs(folder, "results"), runs(folder, "at-home"));
}

#[test]
fn a_cluster_trains_what_this_machine_would() {
    let Some(_node) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = on_cluster(folder.path(), "2").output().unwrap();
    let told = text(&output);
    assert!(output.status.success(), "{told}");
    assert!(
        told.contains("an array of 2 tasks") && told.contains("6 cells done"),
        "{told}"
    );
    assert_like_local(folder.path(), "2");
    // Nothing is left to submit.
    let again = on_cluster(folder.path(), "2").output().unwrap();
    assert!(
        again.status.success() && !text(&again).contains("Slurm job"),
        "{}",
        text(&again)
    );
}

#[test]
fn what_was_killed_and_what_was_cancelled_is_done_all_the_same() {
    let Some(_node) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    let child = begun(folder.path());
    for process in tasks(folder.path()) {
        run("kill", &["-9", &process]);
    }
    thread::sleep(Duration::from_secs(1));
    run("scancel", &["--name=mmcollapse"]);
    let output = child.wait_with_output().unwrap();
    let told = text(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("they are submitted again"), "{told}");
    assert!(told.contains("36 cells done"), "{told}");
    assert_like_local(folder.path(), "12");
}

#[test]
fn a_node_that_dies_and_comes_back_loses_nothing() {
    let Some(_node) = cluster() else { return };
    let conf = PathBuf::from(env::var_os("SLURM_CONF").unwrap());
    let pid = conf.with_file_name("slurmd.pid");
    let folder = tempfile::tempdir().unwrap();
    let child = begun(folder.path());
    let daemon = fs::read_to_string(&pid).unwrap();
    run("kill", &["-9", daemon.trim()]);
    for process in tasks(folder.path()) {
        run("kill", &["-9", &process]);
    }
    run("pkill", &["-9", "slurmstepd"]);
    thread::sleep(Duration::from_secs(2));
    assert!(run("slurmd", &["-f", &conf.display().to_string()]).status.success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_like_local(folder.path(), "12");
}

#[test]
fn two_submitters_share_the_cells() {
    let Some(_node) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    let first = begun(folder.path());
    let mut second = command(
        folder.path(),
        "runs",
        "second",
        &["--engine", "slurm", "--tasks", "2", "--seeds", "12"],
    );
    let second = second.output().unwrap();
    let first = first.wait_with_output().unwrap();
    for output in [&first, &second] {
        assert!(output.status.success(), "{}", text(output));
    }
    assert_eq!(outcomes(folder.path()), 36);
    assert_eq!(runs(folder.path(), "results"), runs(folder.path(), "second"));
    assert_like_local(folder.path(), "12");
}

#[test]
fn an_interruption_cancels_the_tasks_and_the_same_command_continues() {
    let Some(_node) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    let child = begun(folder.path());
    run("kill", &["-INT", &child.id().to_string()]);
    let output = child.wait_with_output().unwrap();
    let told = text(&output);
    assert_eq!(output.status.code(), Some(130), "{told}");
    let left = run("squeue", &["--noheader", "--name=mmcollapse"]);
    assert_eq!(
        String::from_utf8_lossy(&left.stdout).trim(),
        "",
        "no task is left in the queue"
    );
    let before = outcomes(folder.path());
    assert!(before < 36, "it was stopped before its end");
    let again = on_cluster(folder.path(), "12").output().unwrap();
    assert!(again.status.success(), "{}", text(&again));
    assert_like_local(folder.path(), "12");
}

#[test]
fn what_slurm_refuses_is_told() {
    let Some(_node) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = on_cluster(folder.path(), "1")
        .args(["--slurm", "partition=nowhere"])
        .output()
        .unwrap();
    let told = text(&output);
    assert!(!output.status.success());
    assert!(
        told.contains("sbatch refused the array") && told.contains("partition"),
        "{told}"
    );
    let output = on_cluster(folder.path(), "1")
        .args(["--slurm", "array=0-99"])
        .output()
        .unwrap();
    assert!(
        text(&output).contains("`array` is no option to give"),
        "{}",
        text(&output)
    );
}
