//! The program on a machine that has no data and cannot reach the hub.

#![cfg(feature = "train")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, io};

/// A machine of its own: empty caches, no network.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mmcollapse"));
        let path = |name: &str| self.0.path().join(name);
        command
            .args(arguments.split(' '))
            .current_dir(self.0.path())
            .env("HF_HOME", path("hf"))
            .env("HF_HUB_OFFLINE", "1")
            .env("MMCOLLAPSE_CACHE", path("cache"))
            .env_remove("HF_ENDPOINT");
        command
    }

    fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Every file below the folder `results`, by path.
    fn results(&self) -> Vec<PathBuf> {
        fn below(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    below(&path, found)?;
                } else {
                    found.push(path);
                }
            }
            Ok(())
        }
        let mut found = Vec::new();
        below(&self.0.path().join("results"), &mut found).unwrap();
        found
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The first line says which data set took avMNIST's place, and why.
fn says_so(output: &Output) {
    let text = stderr(output);
    assert!(output.status.success(), "{text}");
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with("Data set avmnist-embedded instead of avmnist") && first.contains("is not in the cache"),
        "{text}"
    );
}

const TABLE4: &str = "table4 --preset smoke --seeds 1";

#[test]
fn the_excerpt_takes_avmnists_place_and_every_result_says_so() {
    let machine = Machine::new();
    for verb in ["reproduce", "run", "tune"] {
        says_so(&machine.run(&format!("{verb} {TABLE4} --dry-run")));
    }
    says_so(&machine.run(&format!("run {TABLE4} --only late_fusion,protocol=test_missing")));
    says_so(&machine.run(&format!("report {TABLE4}")));

    let results = machine.results();
    let told = "Data set avmnist-embedded, which is not the paper's";
    let less = "images drawn from 4000 instead of 60 000";
    for name in [
        "table.md",
        "table.tex",
        "figure.svg",
        "table.provenance.json",
        "runs.provenance.json",
    ] {
        let path = results.iter().find(|path| path.ends_with(name)).unwrap();
        assert!(
            path.display().to_string().contains("avmnist-embedded-smoke"),
            "{}",
            path.display()
        );
        // Lines of a figure are cut where they are too long.
        let text = fs::read_to_string(path).unwrap();
        if path.extension().is_some_and(|extension| extension == "json") {
            assert!(text.contains("\"dataset\": \"avmnist-embedded\""), "{text}");
            assert!(text.contains("--dataset avmnist-embedded"), "{text}");
        } else {
            assert!(text.contains("avmnist-embedded"), "{}", path.display());
        }
        if name == "table.md" {
            assert!(text.contains(told) && text.contains(less), "{text}");
        }
    }
}

#[test]
fn a_data_set_that_is_asked_for_is_not_replaced() {
    let machine = Machine::new();
    let output = machine.run(&format!("reproduce {TABLE4} --dry-run --dataset avmnist"));
    let text = stderr(&output);
    assert!(!output.status.success(), "{text}");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("is not in the cache") && text.contains("data fetch"),
        "{text}"
    );
    assert!(text.contains("`--dataset avmnist-embedded`"), "{text}");

    let output = machine.run(&format!("reproduce {TABLE4} --dry-run --dataset avmnist-embedded"));
    assert!(
        output.status.success() && stderr(&output).is_empty(),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_excerpt_is_listed_and_verified() {
    let machine = Machine::new();
    let listed = String::from_utf8(machine.run("data list").stdout).unwrap();
    let excerpt = listed
        .lines()
        .find(|line| line.starts_with("avmnist-embedded"))
        .unwrap();
    assert!(excerpt.contains(" built in "), "{listed}");
    for verb in ["verify", "fetch"] {
        let output = machine.run(&format!("data {verb} avmnist-embedded"));
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(
            text.contains("avmnist-embedded clips: 1500 rows") && text.contains("as expected"),
            "{text}"
        );
    }
}

#[test]
fn experiments_have_a_line_each_and_details_by_name() {
    let machine = Machine::new();
    let said = |arguments: &str| String::from_utf8(machine.run(arguments).stdout).unwrap();
    let all = said("list");
    assert_eq!(
        all.lines().count(),
        1 + mmcollapse_experiments::EXPERIMENTS.len(),
        "{all}"
    );
    let one = said("list table4");
    for part in ["avmnist", "test_missing", "0.95", "concat+ebr", "seeds"] {
        assert!(one.contains(part), "{part} is not in\n{one}");
    }
    let output = machine.run("list table44");
    assert!(
        !output.status.success() && stderr(&output).contains("table4"),
        "{}",
        stderr(&output)
    );
    let data = said("data list eicu-demo+bert-tiny-mortality");
    for part in ["135 of 1965", "Source eicu-demo:", "Source bert-tiny:", "EICU_DEMO_DIR"] {
        assert!(data.contains(part), "{part} is not in\n{data}");
    }
}
