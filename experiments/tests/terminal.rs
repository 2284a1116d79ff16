//! What happens to the terminal of a program: pipes that close, disks that are full, hang-ups. And that it writes only where
//! it was told to.

#![cfg(feature = "train")]
#![cfg(unix)]

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

/// A training of seconds that needs no data.
const TRAINS: [&str; 9] = [
    "reproduce",
    "ebr-dose",
    "--dataset",
    "planted",
    "--preset",
    "smoke",
    "--workers",
    "2",
    "--offline",
];

/// The program, with nothing of the surroundings that decides how it prints.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmcollapse"));
    command
        .args(arguments)
        .env_remove("NO_COLOR")
        .env_remove("TERM")
        .stdin(Stdio::null());
    command
}

/// The training in a folder of its own, where `runs` and `results` lie below `within`.
fn training(folder: &Path, within: &str) -> Command {
    let mut command = program(&TRAINS);
    command.current_dir(folder);
    for (flag, name) in [("--store", "runs"), ("--results", "results")] {
        command.arg(flag).arg(folder.join(within).join(name));
    }
    command
}

/// A pipe whose reader has gone.
fn closed() -> Stdio {
    let mut child = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let pipe = child.stdin.take().unwrap();
    child.wait().unwrap();
    pipe.into()
}

/// A disk that is full.
fn full() -> Option<Stdio> {
    // Opened as any device is: nothing is created or cut.
    #[allow(clippy::disallowed_methods)]
    let file = File::options().write(true).open("/dev/full").ok()?;
    Some(file.into())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

#[test]
fn a_list_whose_reader_has_gone_ends_quietly() {
    for arguments in [&["list"][..], &["list", "methods"], &["data", "list"]] {
        let output = run(program(arguments).stdout(closed()).stderr(Stdio::piped()));
        assert_eq!(
            output.status.code(),
            Some(141),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
    }
    // An error is still an error.
    let output = run(program(&["run", "no-such-experiment"]).stdout(closed()));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no-such-experiment"));
}

#[test]
fn a_list_that_cannot_be_written_says_so() {
    let Some(full) = full() else { return };
    let output = run(program(&["list"]).stdout(full));
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("standard output could not be written"), "{told}");
    assert!(!told.contains("panicked"), "{told}");
}

#[test]
fn an_error_that_nobody_can_read_is_no_panic() {
    for stderr in [Some(closed()), full()].into_iter().flatten() {
        let status = program(&["run", "no-such-experiment"]).stderr(stderr).status().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(1), None));
    }
}

/// What stands in for a stream, where the machine has it, and its name.
type Stream = (fn() -> Option<Stdio>, &'static str);

/// Trains to the end whatever becomes of its output, and leaves the same files.
#[test]
fn a_run_goes_on_without_its_terminal() {
    let streams: [Stream; 2] = [(|| Some(closed()), "closed"), (full, "full")];
    for (stream, name) in streams {
        let folder = tempfile::tempdir().unwrap();
        let (Some(stdout), Some(stderr)) = (stream(), stream()) else {
            continue;
        };
        let status = training(folder.path(), "")
            .stdout(stdout)
            .stderr(stderr)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(0), "{name}: {status}");
        let table = folder.path().join("results/ebr-dose/planted-smoke/table.md");
        assert!(table.is_file(), "{name}");
    }
}

/// Everything in a folder, by path.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// The folder that a run starts in, and what lies beside its results, may be anybody's.
#[test]
fn nothing_is_written_outside_of_store_and_results() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["REPRODUCTION.md", "theirs/REPRODUCTION.md"] {
        mmcollapse_files::write_atomic(&root.join(name), b"mine").unwrap();
    }
    let output = run(&mut training(root, "theirs"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let results = root.join("theirs/results");
    let mut report = program(&[
        "report",
        "ebr-dose",
        "--dataset",
        "planted",
        "--preset",
        "smoke",
        "--offline",
    ]);
    report.current_dir(root).arg("--results").arg(&results);
    report.arg("--store").arg(root.join("theirs/runs"));
    let output = run(&mut report);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(results.join("REPRODUCTION.md").is_file());
    for name in ["REPRODUCTION.md", "theirs/REPRODUCTION.md"] {
        assert_eq!(fs::read(root.join(name)).unwrap(), b"mine", "{name}");
    }
    let own = [results, root.join("theirs/runs")];
    let others: Vec<PathBuf> = files(root)
        .into_iter()
        .filter(|path| !own.iter().any(|own| path.starts_with(own)))
        .collect();
    let expected = ["REPRODUCTION.md", "theirs", "theirs/REPRODUCTION.md"].map(|name| root.join(name));
    assert_eq!(others, expected);
}

/// After each seed but the last its table is made and the terminal says where; the table says from which sources it comes.
#[test]
fn a_run_shows_each_seed_and_the_commit_it_was_built_from() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(training(folder.path(), "").args(["--seeds", "2"]));
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    let result = folder.path().join("results/ebr-dose/planted-smoke");
    let line = format!("ebr-dose, n = 1 of 2: {}; ", result.join("table.md").display());
    assert!(told.contains(&line) && told.contains(" for the rest"), "{line}: {told}");
    let provenance = fs::read_to_string(result.join("table.provenance.json")).unwrap();
    let table = fs::read_to_string(result.join("table.md")).unwrap();
    assert!(!table.contains("Incomplete"), "{table}");
    match mmcollapse_experiments::BUILT_FROM.split(' ').collect::<Vec<_>>()[..] {
        ["commit", hash, _] => {
            assert!(provenance.contains(hash), "{provenance}");
            assert!(table.contains(&hash[..12]), "{table}");
        }
        _ => assert!(table.contains("commit not known"), "{table}"),
    }
}

/// What every cell would fail for is told before the first is trained, by a run and by its plan.
#[test]
fn what_no_cell_can_be_trained_on_is_refused_when_planned() {
    let folder = tempfile::tempdir().unwrap();
    for extra in [&[][..], &["--dry-run"]] {
        let arguments = [
            "reproduce",
            "fig7",
            "--dataset",
            "planted",
            "--preset",
            "smoke",
            "--offline",
        ];
        let mut command = program(&arguments);
        command.args(extra).current_dir(folder.path());
        let output = run(&mut command);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("modality `labs`"), "{told}");
        assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
    }
}

fn wait(child: &mut Child, seconds: u64) -> Option<ExitStatus> {
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    None
}

/// Starts a training of several cells, waits until one is done, sends it a SIGHUP and sees how it ends.
fn hung_up(folder: &Path, ignored: bool) -> (ExitStatus, String) {
    let training = training(folder, "");
    let mut command = Command::new("sh");
    command.args([
        "-c",
        if ignored {
            "trap '' HUP; : > trapped; exec \"$@\""
        } else {
            "exec \"$@\""
        },
        "sh",
    ]);
    command.arg(training.get_program()).args(training.get_args());
    command.current_dir(folder).env_remove("TERM").env_remove("NO_COLOR");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let until = Instant::now() + Duration::from_mins(2);
    // The store may be there from before, and the shell not yet so far that it ignores what comes.
    let is_ready = || folder.join("runs/cells").is_dir() && (!ignored || folder.join("trapped").exists());
    while !is_ready() && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
    let killed = Command::new("kill")
        .args(["-HUP", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let status = wait(&mut child, 300).unwrap();
    let mut told = String::new();
    stderr.read_to_string(&mut told).unwrap();
    (status, told)
}

#[test]
fn a_hang_up_stops_a_run_unless_it_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    // Where these tests themselves run under `nohup`, no child of theirs can be hung up.
    let shell = Command::new("sh").args(["-c", "kill -HUP $$"]).status().unwrap();
    if shell.success() {
        eprintln!("SKIPPED: a hang-up that stops a run, as these tests ignore hang-ups");
    } else {
        let (status, told) = hung_up(folder.path(), false);
        assert_eq!(status.code(), Some(130), "{told}");
        assert!(told.contains("running cells keep their checkpoints"), "{told}");
    }
    // As `nohup` starts it, in the same store: it goes on from there, to the end.
    let (status, told) = hung_up(folder.path(), true);
    assert_eq!(status.code(), Some(0), "{told}");
    assert!(!told.contains("stopping"), "{told}");
}

/// A limit ends a run as Ctrl-C does. What was finished is published: the next run goes on from there with an empty store.
#[test]
fn a_run_that_its_limit_ended_goes_on_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let store = |name: &str| folder.path().join(name).display().to_string();
    let some = ["run", "ebr-dose", "--only", "row=concat", "--store", &store("runs")];
    let output = run(program(&some).args(&TRAINS[2..]).current_dir(folder.path()));
    assert!(output.status.success(), "{}", text(&output.stderr));

    // So many that no machine trains them in a second; how many it does is its own affair.
    let seeds = ["--seeds", "8"];
    let output = run(training(folder.path(), "").args(seeds).args(["--limit", "1s"]));
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{told}");
    let (_, left) = told.split_once("the limit is reached; ").expect(&told);
    let (left, rest) = left.split_once(' ').expect(&told);
    assert!(rest.starts_with("cells are left to train, about "), "{told}");
    let left: usize = left.parse().expect(&told);
    assert!(
        folder
            .path()
            .join("results/cells/ebr-dose/planted-smoke.jsonl.zst")
            .is_file()
    );

    let mut elsewhere = program(&TRAINS);
    elsewhere
        .args(seeds)
        .args(["--store", &store("elsewhere")])
        .current_dir(folder.path());
    let output = run(&mut elsewhere);
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    let taken = 24 - left;
    assert!(
        told.contains(&format!("{taken} cells taken from results/cells (--no-published")),
        "{told}"
    );
    assert!(told.contains(&format!("{left} cells done")), "{told}");
}

/// On a terminal that takes no control sequences there are plain lines.
#[test]
fn a_plain_terminal_gets_no_control_sequences() {
    let script = |surroundings: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let training = training(folder.path(), "");
        let words = [training.get_program()].into_iter().chain(training.get_args());
        let line: Vec<String> = words.map(|word| format!("'{}'", word.display())).collect();
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-c", &line.join(" "), "/dev/null"]);
        command
            .current_dir(folder.path())
            .env("TERM", "xterm")
            .env_remove("NO_COLOR");
        command.envs(surroundings.iter().copied()).stdin(Stdio::null());
        let output = command.output().ok()?;
        output.status.success().then(|| text(&output.stdout))
    };
    // A machine without `script` has no terminal to offer.
    let Some(coloured) = script(&[]) else { return };
    assert!(coloured.contains('\u{1b}'), "{coloured}");
    for surroundings in [("TERM", "dumb"), ("NO_COLOR", "1")] {
        let plain = script(&[surroundings]).unwrap();
        assert!(!plain.contains('\u{1b}'), "{surroundings:?}: {plain}");
        assert!(plain.contains(": done in "), "{surroundings:?}: {plain}");
    }
}
