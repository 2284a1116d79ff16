use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc;
use std::{fs, thread};

use mmcollapse_nn::device::DeviceChoice;

use super::super::run::{self, Published};
use super::super::{Ending, How, Place, What};
use super::*;
use crate::cli::fixture::{EXPERIMENT, put, spec};
use mmcollapse_record::{Preset, Provenance};
use mmcollapse_run::models::ModelResolver;
use mmcollapse_run::plan::{Planned, Selection};
use mmcollapse_run::progress::{Estimator, Expectation};

fn plan() -> Plan {
    let selection = Selection::default();
    Plan::new(&EXPERIMENT, Preset::Smoke, &selection, &mut ModelResolver::new(true)).unwrap()
}

/// Puts the cells that `like` picks into the store of this name, and returns its folder.
fn store(folder: &Path, name: &str, like: impl Fn(&Planned) -> bool) -> PathBuf {
    let root = folder.join(name);
    for planned in plan().cells.iter().filter(|planned| like(planned)) {
        put(&Store::new(&root), planned, None, 0.5 + planned.seed as f64 / 64.0);
    }
    root
}

fn what(seeds: Option<u64>) -> What {
    What {
        preset: Preset::Smoke,
        seeds,
        dataset: None,
    }
}

fn place(store: &Path) -> Place {
    Place {
        store: store.to_owned(),
        offline: true,
    }
}

fn report(store: &Path, results: &Path, force: bool) -> Result<Ending> {
    run::report(
        &[&EXPERIMENT],
        false,
        what(None),
        &place(store),
        Published { results, force },
    )
}

/// Every file of a result and what it holds.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| (path.file_name().unwrap().display().to_string(), fs::read(path).unwrap());
    files.map(read).collect()
}

fn provenance(folder: &Path) -> Provenance {
    serde_json::from_slice(&fs::read(folder.join("runs.provenance.json")).unwrap()).unwrap()
}

fn folders(results: &Path) -> Vec<String> {
    let entries = fs::read_dir(results.join("table4")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().display().to_string())
        .collect();
    names.sort();
    names
}

/// A kind of less: its name, the cells that it has, and what its caption says.
type Kind = (&'static str, fn(&Planned) -> bool, &'static str);

/// Whatever it has less of, it is written beside the more complete one and says so.
#[test]
fn a_less_complete_result_never_replaces_a_more_complete_one() {
    let folder = tempfile::tempdir().unwrap();
    let whole = store(folder.path(), "whole", |_| true);
    let kinds: [Kind; 3] = [
        (
            "fewer-seeds",
            |planned| planned.seed == 0,
            "n = 1 of 2 seeds, 12 of 24 cells",
        ),
        (
            "fewer-rows",
            |planned| planned.row.name == "concat",
            "n = 2 of 2 seeds, 18 of 24 cells",
        ),
        (
            "interrupted",
            |planned| planned.row.name != "shaspec+ebr" || planned.seed == 0,
            "n = 2 of 2 seeds, 3 of 24 cells",
        ),
    ];
    for (name, like, says) in kinds {
        let results = folder.path().join("results-of").join(name);
        assert_eq!(report(&whole, &results, false).unwrap(), Ending::Well);
        let own = results.join("table4/smoke");
        let before = contents(&own);
        let less = store(folder.path(), name, like);
        assert_eq!(report(&less, &results, false).unwrap(), Ending::Well);
        assert_eq!(contents(&own), before, "{name}");
        let partial = results.join("table4/smoke-partial");
        for file in ["table.md", "table.tex", "figure.svg"] {
            let text = fs::read_to_string(partial.join(file)).unwrap();
            // A figure's letters are outlines; its provenance is text.
            if file == "figure.svg" {
                assert!(text.contains("\"more_complete\": \"smoke\""), "{name}: {file}");
            } else {
                assert!(text.contains(says), "{name}: {file}: {text}");
                assert!(text.contains("more complete result"), "{name}: {file}");
            }
        }
        // Only who insists loses it, and then it says what it lacks.
        assert_eq!(report(&less, &results, true).unwrap(), Ending::Well);
        assert_ne!(contents(&own), before);
        let forced = provenance(&own);
        assert!(forced.missing > 0 && forced.more_complete.is_none(), "{name}");
    }
}

/// Fewer seeds by choice are fewer seeds, also where the store has them all.
#[test]
fn reproducing_some_seeds_keeps_the_result_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let whole = store(folder.path(), "whole", |_| true);
    let results = folder.path().join("results");
    let how = How {
        place: place(&whole),
        device: DeviceChoice::Cpu,
        workers: Some(1),
        dry_run: false,
        verbose: false,
    };
    let published = Published {
        results: &results,
        force: false,
    };
    let reproduce = |seeds| run::reproduce(&[&EXPERIMENT], what(seeds), false, &how, published).unwrap();
    reproduce(None);
    let before = contents(&results.join("table4/smoke"));
    assert_eq!(reproduce(Some(1)), Ending::Well);
    assert_eq!(contents(&results.join("table4/smoke")), before);
    let partial = provenance(&results.join("table4/smoke-partial"));
    assert_eq!((partial.seeds, partial.preset_seeds, partial.missing), (1, Some(2), 12));
    // The report of every experiment is no other: what it finds less of stays.
    let less = store(folder.path(), "less", |planned| planned.seed == 1);
    let ending = run::report(&[&EXPERIMENT], true, what(None), &place(&less), published).unwrap();
    assert_eq!(ending, Ending::Well);
    assert_eq!(contents(&results.join("table4/smoke")), before);
    // Nor does one partial result replace another that has other seeds.
    assert_eq!(folders(&results), ["smoke", "smoke-partial", "smoke-partial-2"]);
    assert_eq!(provenance(&results.join("table4/smoke-partial")), partial);
}

/// A result grows in its folder, and one that covers partial ones removes them.
#[test]
fn a_more_complete_result_replaces_a_less_complete_one() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    let less = store(folder.path(), "less", |planned| planned.seed == 0);
    report(&less, &results, false).unwrap();
    assert_eq!(folders(&results), ["smoke"]);
    let other = store(folder.path(), "other", |planned| planned.seed == 1);
    report(&other, &results, false).unwrap();
    assert_eq!(folders(&results), ["smoke", "smoke-partial"]);
    let notes = results.join("table4/smoke-partial/notes.txt");
    mmcollapse_files::write_atomic(&notes, b"mine").unwrap();
    let whole = store(folder.path(), "whole", |_| true);
    report(&whole, &results, false).unwrap();
    assert_eq!(provenance(&results.join("table4/smoke")).missing, 0);
    // What the user put there stays.
    assert_eq!(contents(&results.join("table4/smoke-partial")).len(), 1);
    fs::remove_file(notes).unwrap();
    // As complete as what is there: it is made anew.
    report(&whole, &results, false).unwrap();
    assert!(contents(&results.join("table4/smoke")).len() > 5);
}

/// The table of the seeds that are whole, while others are trained.
#[test]
fn a_table_is_made_after_every_seed() {
    let folder = tempfile::tempdir().unwrap();
    let (results, plan) = (folder.path().join("results"), plan());
    // Of the second seed some cells are there already: no part of the first table.
    let root = store(folder.path(), "store", |planned| {
        planned.seed == 0 || planned.row.name == "concat"
    });
    let showing = Showing::new(
        &EXPERIMENT,
        &spec(),
        &plan,
        &what(None),
        None,
        Published {
            results: &results,
            force: false,
        },
    )
    .unwrap();
    let seeds: Vec<u64> = plan.cells.iter().map(|planned| planned.seed).collect();
    let expectations = plan.cells.iter().map(|planned| Expectation {
        label: planned.label(),
        kind: planned.cell.kind(),
        rough: 1.0,
    });
    let progress = Progress::new(expectations.collect(), 1, Estimator::default());
    let (sender, settled) = mpsc::channel();
    let rounds = Rounds::new(&progress, seeds.clone(), sender);
    let store = Store::new(&root);
    thread::scope(|scope| {
        let (rounds, plan, store, showing) = (&rounds, &plan, &store, &showing);
        let shown = scope.spawn(move || rounds.show(settled, plan, store, showing));
        let of_first = seeds.iter().enumerate().filter(|(_, seed)| **seed == 0);
        for (job, _) in of_first {
            assert!(!results.exists(), "a table before the first seed is whole");
            // One fails: the table does not wait for it for ever.
            let fate = match job {
                0 => Fate::Failed("made up".into()),
                _ => Fate::Done {
                    seconds: 1.0,
                    diverged: false,
                    elsewhere: false,
                },
            };
            rounds.finished(job, &fate);
        }
        rounds.end();
        shown.join().unwrap();
    });
    let made = provenance(&results.join("table4/smoke"));
    assert_eq!((made.seeds, made.cells, made.missing), (1, 12, 12));
    let text = fs::read_to_string(results.join("table4/smoke/table.md")).unwrap();
    assert!(
        text.contains("Incomplete: n = 1 of 2 seeds, 12 of 24 cells are missing"),
        "{text}"
    );
}

#[test]
fn a_line_says_where_the_table_of_a_seed_is() {
    let table = Path::new("results/table4/quick/table.md");
    assert_eq!(
        line("table4", 1, 10, table, None),
        "Table 4, n = 1 of 10: results/table4/quick/table.md"
    );
    assert_eq!(
        line("fig8", 2, 3, table, Some("x stays")),
        "Figure 8, n = 2 of 3: results/table4/quick/table.md (x stays)"
    );
    assert_eq!(name("ebr-stability"), "ebr-stability");
}

/// A row of few seeds, such as a training of many epochs, does not hold up the first table.
#[test]
fn rows_of_fewer_seeds_come_last() {
    let mut plan = plan();
    assert!(late_rows(&plan).is_empty());
    plan.cells
        .retain(|planned| planned.row.name != "concat" || planned.seed == 0);
    assert_eq!(late_rows(&plan), BTreeSet::from(["concat"]));
}
