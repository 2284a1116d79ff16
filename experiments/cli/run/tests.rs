use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use mmcollapse_nn::device::DeviceChoice;

use super::*;
use crate::cli::fixture::{EXPERIMENT, put, spec};
use mmcollapse_record::{Preset, Provenance};
use mmcollapse_report::publish::Kept;

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

fn how(store: &Path) -> How {
    How {
        weights: super::super::store::Bytes(u64::MAX),
        place: place(store),
        device: DeviceChoice::Cpu,
        workers: Some(1),
        place_of_work: engine::Where::default(),
        dry_run: false,
        verbose: false,
    }
}

fn asked(seeds: Option<u64>) -> Asked {
    Asked {
        experiments: vec![&EXPERIMENT],
        all: false,
        what: what(seeds),
        tuned: false,
        limit: None,
    }
}

fn report(store: &Path, results: &Path, force: bool) -> Result<Ending> {
    super::report(
        &[&EXPERIMENT],
        false,
        what(None),
        &place(store),
        Published {
            results,
            force,
            anew: true,
        },
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
    let how = how(&whole);
    let published = Published {
        results: &results,
        force: false,
        anew: true,
    };
    let reproduce = |seeds| reproduce(&asked(seeds), &how, published).unwrap();
    reproduce(None);
    let before = contents(&results.join("table4/smoke"));
    assert_eq!(reproduce(Some(1)), Ending::Well);
    assert_eq!(contents(&results.join("table4/smoke")), before);
    let partial = provenance(&results.join("table4/smoke-partial"));
    assert_eq!((partial.seeds, partial.preset_seeds, partial.missing), (1, Some(2), 12));
    // The report of every experiment is no other: what it finds less of stays.
    let less = store(folder.path(), "less", |planned| planned.seed == 1);
    let ending = super::report(&[&EXPERIMENT], true, what(None), &place(&less), published).unwrap();
    assert_eq!(ending, Ending::Well);
    assert_eq!(contents(&results.join("table4/smoke")), before);
    // Nor does one partial result replace another that has other seeds.
    assert_eq!(folders(&results), ["smoke", "smoke-partial", "smoke-partial-2"]);
    assert_eq!(provenance(&results.join("table4/smoke-partial")), partial);
}

/// On another machine, nothing is trained that was published: tables are the same, and each cell keeps its origin.
#[test]
fn an_empty_store_is_filled_from_published_cells() {
    let folder = tempfile::tempdir().unwrap();
    let (results, elsewhere) = (folder.path().join("results"), folder.path().join("elsewhere"));
    let published = Published {
        results: &results,
        force: false,
        anew: false,
    };
    let whole = store(folder.path(), "whole", |_| true);
    reproduce(&asked(None), &how(&whole), published).unwrap();
    let own = results.join("table4/smoke");
    let before = contents(&own);
    let keys = String::from_utf8(before["runs.keys"].clone()).unwrap();
    assert_eq!(keys.lines().count(), 24);

    // What it would take is no work, and nothing is written to find that out.
    let dry = How {
        dry_run: true,
        ..how(&elsewhere)
    };
    assert_eq!(reproduce(&asked(None), &dry, published).unwrap(), Ending::Well);
    assert!(!elsewhere.exists());
    assert_eq!(
        reproduce(&asked(None), &how(&elsewhere), published).unwrap(),
        Ending::Well
    );
    assert_eq!(contents(&own), before);
    // Some seeds only: the published cells stay.
    let cells = results.join("cells/table4/smoke.jsonl.zst");
    let bytes = fs::read(&cells).unwrap();
    let few = folder.path().join("few");
    reproduce(&asked(Some(1)), &how(&few), published).unwrap();
    assert_eq!(fs::read(&cells).unwrap(), bytes);
    // A report of another store has them too.
    let ending = super::report(
        &[&EXPERIMENT],
        true,
        what(None),
        &place(&folder.path().join("new")),
        published,
    );
    assert_eq!(ending.unwrap(), Ending::Well);
    assert_eq!(contents(&own), before);

    // A damaged file is an error that says what to do, before anything is trained; all else stays.
    mmcollapse_files::write_atomic(&cells, &bytes[..bytes.len() / 2]).unwrap();
    for anew in [false, true] {
        let published = Published { anew, ..published };
        let error = reproduce(&asked(None), &how(&few), published).unwrap_err();
        assert!(error.to_string().contains(&cells.display().to_string()), "{error}");
        assert!(error.help().unwrap().to_string().contains("git checkout"));
    }
    assert_eq!(contents(&own), before);
}

/// A run whose time is over trains nothing more and says so; that of a run which has all is not missed.
#[test]
fn a_limit_that_is_over_ends_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    let published = Published {
        results: &results,
        force: false,
        anew: false,
    };
    let less = store(folder.path(), "less", |planned| planned.seed == 0);
    let over = Asked {
        limit: Some(Duration::ZERO),
        ..asked(None)
    };
    assert_eq!(reproduce(&over, &how(&less), published).unwrap(), Ending::Limited);
}

/// `all` is each experiment, and each of its results of the preset on other data or with tuned settings.
#[test]
fn all_results_are_those_that_were_published() {
    let folder = tempfile::tempdir().unwrap();
    for (place, dataset) in [
        ("quick", None),
        ("mfeat-quick", Some("mfeat")),
        ("mfeat-full", Some("mfeat")),
    ] {
        let preset = if place.ends_with("full") {
            Preset::Full
        } else {
            Preset::Quick
        };
        let conditions = Conditions {
            dataset: dataset.map(str::to_owned),
            ..Conditions::default()
        };
        let mut provenance = Gathered::default().provenance(&plan(), &conditions, "");
        provenance.preset = preset;
        let path = folder.path().join("table4").join(place).join("runs.provenance.json");
        mmcollapse_files::write_atomic(&path, &serde_json::to_vec(&provenance).unwrap()).unwrap();
    }
    let published = Published {
        results: folder.path(),
        force: false,
        anew: false,
    };
    let targets = |all, dataset: Option<&str>| {
        let asked = Asked {
            all,
            what: What {
                preset: Preset::Quick,
                seeds: None,
                dataset: dataset.map(str::to_owned),
            },
            ..asked(None)
        };
        let targets = asked.targets(published).unwrap();
        targets.into_iter().map(|(_, what, _)| what.dataset).collect::<Vec<_>>()
    };
    let mfeat = || Some("mfeat".to_owned());
    assert_eq!(targets(true, None), [None, mfeat()]);
    assert_eq!(targets(false, None), [None]);
    assert_eq!(targets(true, Some("mfeat")), [mfeat()]);
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
fn a_table_of_some_seeds_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (results, plan) = (folder.path().join("results"), plan());
    // Of the second seed some cells are there already: no part of the first table.
    let root = store(folder.path(), "store", |planned| {
        planned.seed == 0 || planned.row.name == "concat"
    });
    let store = Store::new(&root);
    let conditions = Conditions::of(&spec(), &plan, None).unwrap();
    let published = Published {
        results: &results,
        force: false,
        anew: true,
    };
    let showing = Showing::new(&EXPERIMENT, &plan, &store, &conditions, &what(None), published).unwrap();
    assert_eq!(showing.of_seeds(&BTreeSet::from([7])).unwrap(), None);
    let table = results.join("table4/smoke/table.md");
    assert_eq!(
        showing.of_seeds(&BTreeSet::from([0])).unwrap(),
        Some(format!("Table 4, n = 1 of 2: {}", table.display()))
    );
    let made = provenance(&results.join("table4/smoke"));
    assert_eq!((made.seeds, made.cells, made.missing), (1, 12, 12));
    let text = fs::read_to_string(table).unwrap();
    assert!(
        text.contains("Incomplete: n = 1 of 2 seeds, 12 of 24 cells are missing"),
        "{text}"
    );
}

#[test]
fn a_line_says_where_the_table_of_a_seed_is() {
    let mut shown = Shown {
        folder: "results/fig8/quick".into(),
        files: Vec::new(),
        kept: None,
        replaced_other_data: false,
    };
    assert_eq!(
        line("fig8", 1, 10, &shown),
        "Figure 8, n = 1 of 10: results/fig8/quick/table.md"
    );
    shown.kept = Some(Kept {
        folder: "x".into(),
        reason: "no concat".into(),
    });
    assert_eq!(
        line("fig8", 2, 3, &shown),
        "Figure 8, n = 2 of 3: results/fig8/quick/table.md (x is kept: the new result has no concat)"
    );
    assert_eq!(name("ebr-dose"), "ebr-dose");
}
