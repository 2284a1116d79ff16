//! `mmcollapse diagnose` as docs/diagnose.md shows it, and as it fails.

#![cfg(feature = "train")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(arguments: &[&str], within: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmcollapse"));
    command
        .args(arguments)
        .current_dir(within)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

/// Each command of the page with the lines below it that show what it prints.
fn examples(page: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let mut found: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if let Some(command) = line.strip_prefix("    $ cargo mmcollapse ") {
            found.push((command.split(' ').map(str::to_owned).collect(), Vec::new()));
            inside = true;
        } else if let (true, Some((_, shown))) = (
            inside && (line.is_empty() || line.starts_with("    ")),
            found.last_mut(),
        ) {
            shown.push(line.trim().to_owned());
        } else {
            inside = false;
        }
    }
    found
}

#[test]
fn the_page_shows_what_its_commands_print() {
    let page = fs::read_to_string(root().join("docs/diagnose.md")).unwrap();
    let examples = examples(&page);
    assert!(!examples.is_empty());
    let folder = tempfile::tempdir().unwrap();
    for (command, shown) in examples {
        let files: Vec<&str> = command
            .iter()
            .map(String::as_str)
            .filter(|word| word.starts_with("crates/"))
            .collect();
        let absolute: Vec<String> = files
            .iter()
            .map(|file| root().join(file).display().to_string())
            .collect();
        let arguments: Vec<&str> = command
            .iter()
            .map(|word| {
                files
                    .iter()
                    .position(|file| file == word)
                    .map_or(word.as_str(), |at| &absolute[at])
            })
            .collect();
        let output = run(&arguments, folder.path());
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // The page may end early, at a line `...`.
        let mut lines = printed.lines().map(str::trim);
        for line in shown.iter().take_while(|line| *line != "...") {
            if !line.is_empty() {
                let next = lines.by_ref().find(|line| !line.is_empty());
                assert_eq!(next, Some(line.as_str()), "{command:?} printed:\n{printed}");
            }
        }
    }
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("diagnosis.json")).unwrap()).unwrap();
    assert_eq!(json["modalities"][1]["verdict"], "neglected");
    let page = fs::read_to_string(folder.path().join("diagnosis.html")).unwrap();
    assert!(page.contains("<h1>Diagnosis of collapsed.npz</h1>"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["diagnose", "none.npz"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("none.npz"), "{error}");
    assert!(output.stdout.is_empty());
}
