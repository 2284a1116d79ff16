use mmcollapse_run::store::Store;

use super::*;
use crate::cli::fixture::{EXPERIMENT, SPEC, put};
use crate::cli::{Place, What, run};

/// The made-up experiment with a quick preset and this number of epochs.
fn experiment(epochs: usize) -> ExperimentInfo {
    let spec = SPEC
        .replace("smoke:", "quick:")
        .replace("epochs: 7", &format!("epochs: {epochs}"));
    ExperimentInfo {
        spec: Box::leak(spec.into_boxed_str()),
        ..EXPERIMENT
    }
}

/// Puts outcomes for the cells of the first `seeds` into a store and makes their result.
fn publish(experiment: &'static ExperimentInfo, results: &Path, seeds: u64) {
    let root = results.join("runs");
    let selection = Selection::default();
    let plan = Plan::new(experiment, Preset::Quick, &selection, &mut ModelResolver::new(true)).unwrap();
    let first = plan.cells.iter().map(|planned| planned.seed).min().unwrap();
    for planned in plan.cells.iter().filter(|planned| planned.seed < first + seeds) {
        put(
            &Store::new(&root),
            planned,
            None,
            0.5 + (planned.seed - first) as f64 / 64.0,
        );
    }
    let what = What {
        preset: Preset::Quick,
        seeds: None,
        dataset: None,
    };
    let place = Place {
        store: root,
        offline: true,
    };
    let published = run::Published {
        results,
        force: true,
        anew: false,
    };
    run::report(&[experiment], false, what, &place, published).unwrap();
}

fn found(experiment: &ExperimentInfo, results: &Path) -> Vec<Published> {
    let found = states(
        std::slice::from_ref(experiment),
        results,
        &mut ModelResolver::new(true),
        &mut BTreeSet::new(),
    );
    found.unwrap()
}

#[test]
fn a_result_is_held_against_todays_plan() {
    let folder = tempfile::tempdir().unwrap();
    let own: &'static ExperimentInfo = Box::leak(Box::new(experiment(7)));
    let says = |experiment: &ExperimentInfo| {
        let found = found(experiment, folder.path());
        let lines = found.iter().map(|one| format!("{}: {}", one.name, one.state));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(says(own), "");
    publish(own, folder.path(), 1);
    assert_eq!(says(own), "table4/quick: incomplete: 12 of 24 cells are missing");
    publish(own, folder.path(), 2);
    assert_eq!(says(own), "table4/quick: fresh");
    // Rows of concat have their own number of epochs, those of EBR too.
    let stale = "table4/quick: stale: 6 of 24 keys moved (6 configuration)";
    assert_eq!(says(&experiment(8)), stale);
    assert_eq!(
        text(&found(own, folder.path())),
        "# Written by `mmcollapse results`, read by the pages.\ntable4/quick: fresh\n"
    );
    // The cells file is damaged: an error, not a state.
    let cells = folder.path().join("cells/table4/quick.jsonl.zst");
    write_atomic(&cells, b"not it").unwrap();
    let error = states(
        std::slice::from_ref(own),
        folder.path(),
        &mut ModelResolver::new(true),
        &mut BTreeSet::new(),
    );
    assert!(error.is_err_and(|error| error.to_string().contains("quick.jsonl.zst")));
    // A result of before there were keys.
    fs::remove_file(folder.path().join("table4/quick/runs.keys")).unwrap();
    assert_eq!(says(own), "table4/quick: stale: its cells are not known");
}

/// Seeds count from the first of the preset, wherever that is.
#[test]
fn a_preset_that_begins_at_another_seed_is_held_against_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let later = SPEC.replace("smoke: {seeds: 2,", "quick: {seeds: 2, first_seed: 100,");
    let own: &'static ExperimentInfo = Box::leak(Box::new(ExperimentInfo {
        spec: Box::leak(later.into_boxed_str()),
        ..EXPERIMENT
    }));
    let state = || found(own, folder.path()).remove(0).state;
    publish(own, folder.path(), 1);
    assert_eq!(state().to_string(), "incomplete: 12 of 24 cells are missing");
    publish(own, folder.path(), 2);
    assert_eq!(state(), State::Fresh);
}

#[test]
fn only_what_is_listed_may_be_stale_or_of_changed_sources() {
    let one = |state: State, dirty: Option<&str>| Published {
        name: "table4/quick".to_owned(),
        state,
        dirty: dirty.map(str::to_owned),
    };
    let stale = || State::Stale("1 of 2 keys moved".to_owned());
    let partly = State::Incomplete { missing: 1, of: 2 };
    let listed = BTreeMap::from([("table4/quick".to_owned(), "being trained".to_owned())]);
    let none = BTreeMap::new();
    for (published, is_fault) in [
        (one(State::Fresh, None), false),
        (one(partly, None), false),
        (one(State::Fresh, Some("2 cells of changed sources")), true),
        (one(stale(), None), true),
    ] {
        let published = [published];
        assert_eq!(faults(&published, &none).len(), usize::from(is_fault));
        // An exception that is no longer needed is a fault as well.
        assert_eq!(faults(&published, &listed).len(), usize::from(!is_fault));
    }
    assert!(faults(&[one(stale(), None)], &none)[0].contains("1 of 2 keys moved; reproduce it"));
    assert!(faults(&[], &listed)[0].contains("there is no such result"));
}

/// The sources of the fixture's cells are not known.
#[test]
fn cells_of_unknown_sources_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let own: &'static ExperimentInfo = Box::leak(Box::new(experiment(7)));
    publish(own, folder.path(), 2);
    let dirty = found(own, folder.path()).remove(0).dirty.unwrap();
    assert_eq!(dirty, "24 of 24 cells trained from changed or unknown sources");
}
