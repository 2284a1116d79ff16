//! What is committed agrees with the code: pages of results, documents, and the folders of the experiments.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use mmcollapse_record::RowName;
use mmcollapse_report::paper::{Paper, PaperMean};
use mmcollapse_report::report;
use mmcollapse_report::report::claims::Claims;

use crate::{CLAIMS, EXPERIMENTS};

fn root() -> &'static Path {
    Path::new("..")
}

/// Each page is, byte by byte, what the committed results give.
#[test]
fn the_committed_pages_are_those_of_the_committed_results() {
    // They say which tests were stated before their runs, which only the whole history tells.
    let git = Command::new("git")
        .args(["-C", "..", "rev-parse", "--is-shallow-repository"])
        .output();
    if !git.is_ok_and(|output| output.stdout == b"false\n") {
        println!("skipped: the history of the repository is not at hand");
        return;
    }
    for (path, made) in report::pages(EXPERIMENTS, CLAIMS, &root().join("results")).unwrap() {
        let committed = fs::read_to_string(&path).unwrap();
        assert!(
            made == committed,
            "{}: not up to date: run `just pages`",
            path.display()
        );
    }
}

/// No committed result is stale or of changed sources but those that `exceptions.yaml` lists, and the pages know which are stale.
#[cfg(feature = "train")]
#[test]
fn committed_results_are_those_of_the_committed_code() {
    use crate::cli::results;

    let folder = root().join("results");
    let mut resolver = mmcollapse_run::models::ModelResolver::new(true);
    let published = results::states(EXPERIMENTS, &folder, &mut resolver, &mut BTreeSet::new()).unwrap();
    assert!(published.len() > 20, "{}", published.len());
    let faults = results::faults(&published, &results::exceptions(&folder).unwrap());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let states = fs::read_to_string(folder.join(report::STATES)).unwrap();
    assert_eq!(
        states,
        results::text(&published),
        "run `mmcollapse results`, then `just pages`"
    );
}

/// Margins with the place of a table are the gains that the paper prints there.
#[test]
fn margins_are_gains_that_the_paper_prints() {
    let claims = Claims::parse(CLAIMS, EXPERIMENTS).unwrap();
    let tests = claims.claims.iter().flat_map(|claim| &claim.primary);
    let mut compared = 0;
    for part in tests.flat_map(|test| &test.parts) {
        if !matches!(part.printed.as_deref(), Some("Table 2" | "Table 3" | "Table 4")) {
            continue;
        }
        let experiment = EXPERIMENTS.iter().find(|e| e.name == part.experiment).unwrap();
        let paper = Paper::of(experiment).unwrap();
        let printed = |row: &RowName| {
            // The paper has one training: its own, which `sgd` is without reallocation.
            let name = row.to_string().replace("_literal", "").replace("+sgd", "");
            let (fusion, reallocation) = name.split_once('+').unwrap_or((&name, "none"));
            let of_means = || {
                let mean = |mean: &&PaperMean| mean.fusion == fusion && mean.reallocation == reallocation;
                let task = part.protocol.task.as_ref()?;
                let values = &paper.means.iter().find(mean)?.values;
                values.get(&format!("{task}_{}", part.metric)).copied()
            };
            let of_rows = paper.mean(fusion, reallocation, &paper.rates);
            of_rows
                .or_else(of_means)
                .unwrap_or_else(|| panic!("{}: {name}", part.experiment))
        };
        let gain = printed(&part.row) - printed(part.against.as_ref().unwrap());
        let margin = part.margin.unwrap();
        assert!(
            (gain - margin).abs() < 6e-5,
            "{} {}: {gain}, {margin}",
            part.experiment,
            part.row
        );
        compared += 1;
    }
    assert!(compared > 30, "{compared}");
}

/// `just pages` builds no candle, hence nothing that trains.
#[test]
fn the_pages_are_made_without_candle() {
    let tree =
        "tree --offline --package mmcollapse-experiments --no-default-features --edges normal,build --prefix none";
    let output = Command::new(env!("CARGO")).args(tree.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let packages: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(packages.contains("mmcollapse-report"), "{tree}");
    for package in packages {
        let trains = package.starts_with("candle") || ["mmcollapse-nn", "mmcollapse-run"].contains(&package);
        assert!(!trains, "{package}");
    }
}

/// Blocks of the documents that name a file stand in it, word by word.
#[test]
fn documents_quote_the_code_as_it_is() {
    let pages = fs::read_dir(root().join("docs")).unwrap();
    let names = pages.map(|page| page.unwrap().file_name().into_string().unwrap());
    let added: Vec<String> = names.filter(|name| name.starts_with("add-a")).collect();
    assert_eq!(
        added.len(),
        5,
        "a page each for method, data set, measure, protocol, experiment: {added:?}"
    );
    for document in added {
        let text = fs::read_to_string(root().join("docs").join(&document)).unwrap();
        let mut blocks = 0;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some((_, file)) = line.split_once(" file=").filter(|_| line.starts_with("```")) else {
                continue;
            };
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let code = fs::read_to_string(root().join(file)).unwrap();
            let block = block.join("\n");
            assert!(code.contains(&block), "{document}: {file} does not have:\n{block}");
            blocks += 1;
        }
        assert!(blocks > 1, "{document}: no block names its file");
    }
}

/// A folder with a spec or the paper's numbers is an experiment of the list, which reads what the folder has.
#[test]
fn every_folder_is_an_experiment() {
    let folders = fs::read_dir(".").unwrap().map(|entry| entry.unwrap().path());
    let parts = ["spec.yaml", "paper.yaml", "main.rs"];
    let folders = folders.filter(|folder| parts.iter().any(|part| folder.join(part).is_file()));
    let folders: BTreeSet<String> = folders
        .map(|folder| folder.file_name().unwrap().display().to_string())
        .collect();
    let names: Vec<&str> = EXPERIMENTS.iter().map(|experiment| experiment.name).collect();
    assert_eq!(
        names.len(),
        folders.len(),
        "a name is there twice, or a folder is not in lib.rs"
    );
    assert!(names.iter().all(|name| folders.contains(*name)), "{folders:?}");
    for experiment in EXPERIMENTS {
        let has_paper = Path::new(experiment.name).join("paper.yaml").is_file();
        assert_eq!(experiment.paper.is_some(), has_paper, "{}: paper.yaml", experiment.name);
        let paper = Paper::of(experiment);
        assert!(paper.is_ok(), "{paper:?}");
    }
}

/// An experiment has a program of its own if its folder has a `main.rs`; Cargo.toml lists these in the order of the list.
#[test]
fn every_main_is_a_program() {
    let listed = fs::read_to_string("Cargo.toml").unwrap();
    let programs: Vec<String> = EXPERIMENTS
        .iter()
        .filter(|experiment| Path::new(experiment.name).join("main.rs").is_file())
        .map(|experiment| {
            let name = experiment.name;
            format!(
                "[[bin]]\nname = \"{name}\"\npath = \"{name}/main.rs\"\ntest = false\nrequired-features = [\"programs\"]\n\n"
            )
        })
        .collect();
    let (count, programs) = (programs.len(), programs.concat());
    assert!(
        listed.contains(&programs),
        "Cargo.toml has to list exactly these programs:\n\n{programs}"
    );
    assert_eq!(listed.matches("required-features = [\"programs\"]").count(), count);
}
