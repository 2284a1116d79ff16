use std::fs;

use mmcollapse_nn::device::DeviceChoice;

use super::super::{Place, What, run};
use super::*;
use crate::cli::fixture::{BUDGET, EXPERIMENT, SPACES, put, put_all, spec, trials};
use mmcollapse_record::Provenance;
use mmcollapse_run::plan::Selection;

fn asked(only: &[&str]) -> Asked {
    Asked {
        only: only.iter().map(ToString::to_string).collect(),
        preset: Preset::Smoke,
        trials: BUDGET.trials,
        seeds: BUDGET.seeds,
        halving: Vec::new(),
        protocol: None,
        rate: None,
        dataset: None,
    }
}

fn from(results: &Path, no_published: bool) -> From {
    From {
        results: results.to_owned(),
        no_published,
    }
}

fn how(store: &Path) -> How {
    How {
        weights: super::super::store::Bytes(u64::MAX),
        place: Place {
            store: store.to_owned(),
            offline: true,
        },
        device: DeviceChoice::Cpu,
        workers: Some(1),
        place_of_work: engine::Where::default(),
        dry_run: false,
        verbose: false,
    }
}

/// From the trials to the table, with outcomes made up: what is trained is in the store already.
#[test]
fn a_table_is_made_with_tuned_settings() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, results) = (folder.path().join("runs"), folder.path().join("results"));
    let (store, how) = (Store::new(&runs), how(&runs));
    put_all(&store, &trials().plan);
    assert_eq!(
        tune(&EXPERIMENT, SPACES, &asked(&[]), &how, &from(&results, false)).unwrap(),
        Ending::Well
    );
    let tuned = Tuned::of(&results, &EXPERIMENT, &spec(), Preset::Smoke).unwrap();
    assert_eq!(tuned.rows.len(), 4);
    let provenance = &tuned.provenance;
    assert_eq!((provenance.cells, provenance.missing, provenance.seeds), (32, 0, 2));
    assert_eq!(
        provenance.command,
        "mmcollapse tune table4 --preset smoke --trials 4 --seeds 2"
    );

    let plan = tuned
        .plan(
            &EXPERIMENT,
            &spec(),
            &Selection::default(),
            &mut ModelResolver::new(true),
        )
        .unwrap();
    for planned in &plan.cells {
        put(&store, planned, Some(0.5), 0.5 + planned.seed as f64 / 64.0);
    }
    let what = What {
        preset: Preset::Smoke,
        seeds: None,
        dataset: None,
    };
    let published = run::Published {
        results: &results,
        force: false,
        anew: false,
    };
    let asked = run::Asked {
        experiments: vec![&EXPERIMENT],
        all: false,
        what,
        tuned: true,
        limit: None,
    };
    assert_eq!(run::reproduce(&asked, &how, published).unwrap(), Ending::Well);
    let read = |name: &str| fs::read_to_string(results.join("table4/smoke-tuned").join(name)).unwrap();
    for name in ["table.md", "table.tex"] {
        let text = read(name);
        assert!(
            text.contains("each row has the best of 4 trials by its score on validation"),
            "{text}"
        );
        assert!(text.contains("tuned/table4/smoke.yaml"), "{text}");
    }
    let provenance: Provenance = serde_json::from_str(&read("runs.provenance.json")).unwrap();
    assert_eq!(provenance.tuned, Some(tuned.by(&spec())));
    assert_eq!(provenance.command, "mmcollapse reproduce table4 --preset smoke --tuned");
    // The plain result stays as it is.
    assert!(!results.join("table4/smoke").exists());
}

#[test]
fn a_file_does_not_lose_rows_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, results) = (folder.path().join("runs"), folder.path().join("results"));
    put_all(&Store::new(&runs), &trials().of_rows(&["concat".to_owned()]).unwrap());
    let tune = |store: &Path| {
        let from = from(&results, true);
        tune(&EXPERIMENT, SPACES, &asked(&["concat"]), &how(store), &from)
    };
    tune(&runs).unwrap();
    let tuned = Tuned::of(&results, &EXPERIMENT, &spec(), Preset::Smoke).unwrap();
    assert!(
        tuned.provenance.command.ends_with("--only concat"),
        "{:?}",
        tuned.provenance
    );
    // With the others there too, the file has them all, and another store that lacks them is refused.
    put_all(&Store::new(&runs), &rest());
    tune(&runs).unwrap();
    assert_eq!(
        Tuned::of(&results, &EXPERIMENT, &spec(), Preset::Smoke)
            .unwrap()
            .rows
            .len(),
        4
    );
    let other = folder.path().join("other");
    put_all(&Store::new(&other), &trials().of_rows(&["concat".to_owned()]).unwrap());
    let error = tune(&other).unwrap_err().to_string();
    assert!(error.contains("would lose concat+ebr, shaspec, shaspec+ebr"), "{error}");
}

/// What was trained and is committed is not trained again on a machine with an empty store.
#[test]
fn trials_are_taken_from_what_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, results) = (folder.path().join("runs"), folder.path().join("results"));
    put_all(&Store::new(&runs), &trials().plan);
    let tune = |store: &Path| tune(&EXPERIMENT, SPACES, &asked(&[]), &how(store), &from(&results, false));
    tune(&runs).unwrap();
    let written = || {
        let path = |name: &str| results.join(name);
        let files = [
            path("tuned/table4/smoke.yaml"),
            path("cells/table4/smoke-trials.jsonl.zst"),
        ];
        files.map(|file| fs::read(file).unwrap())
    };
    let before = written();
    let other = folder.path().join("other");
    assert_eq!(tune(&other).unwrap(), Ending::Well);
    assert_eq!(written(), before);
    let cells = trials().plan.cells;
    assert!(cells.iter().all(|cell| Store::new(&other).folder(&cell.key).is_dir()));
}

/// A search of fewer trials takes none of a larger one's from the file.
#[test]
fn a_smaller_search_keeps_the_trials_of_a_larger_one() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, results) = (folder.path().join("runs"), folder.path().join("results"));
    put_all(&Store::new(&runs), &trials().plan);
    let fewer = Asked {
        trials: BUDGET.trials - 1,
        ..asked(&[])
    };
    let file = results.join("cells/table4/smoke-trials.jsonl.zst");
    let tune = |asked: &Asked| tune(&EXPERIMENT, SPACES, asked, &how(&runs), &from(&results, false)).unwrap();
    tune(&asked(&[]));
    let before = fs::read(&file).unwrap();
    tune(&fewer);
    assert_eq!(fs::read(&file).unwrap(), before);
}

fn rest() -> mmcollapse_run::plan::Plan {
    let rows = ["concat+ebr", "shaspec", "shaspec+ebr"].map(str::to_owned);
    trials().of_rows(&rows).unwrap()
}
