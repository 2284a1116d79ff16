//! The experiment that docs/add-an-experiment.md adds: it does what the page says, and is in no list that users see.

use mmcollapse_models::{CellConfig, Conditions, Silent, run_cell};
use mmcollapse_nn::Device;
use mmcollapse_record::{ExperimentInfo, Preset, Shows};
use mmcollapse_run::models::{ModelResolver, check_spec};
use mmcollapse_run::plan::{Plan, Selection};
use mmcollapse_run::store::Store;

use crate::cli;

#[rustfmt::skip] // The line as the page has it.
static ADDED: &[ExperimentInfo] = &[
    experiment!("late-or-early", "Late fusion against concatenation", Shows::Scores),
];

/// Its folder and its line are all: it is listed, checked, trained, tabulated and drawn.
#[test]
fn a_folder_and_a_line_make_an_experiment() {
    let experiment = &ADDED[0];
    let described = cli::list::experiment(experiment).unwrap();
    assert!(described.contains("late_fusion, concat"), "{described}");
    assert!(cli::list::experiments(ADDED).contains(experiment.title));
    // Smoke and quick: two rows of one and of ten seeds.
    assert_eq!(check_spec(experiment).unwrap(), 22);

    let folder = tempfile::tempdir().unwrap();
    let (store, results) = (Store::new(&folder.path().join("runs")), folder.path().join("results"));
    let mut resolver = ModelResolver::new(true);
    let plan = Plan::new(experiment, Preset::Smoke, &Selection::default(), &mut resolver).unwrap();
    let source = mmcollapse_data::find("avmnist-embedded").unwrap();
    let dataset = source.load(resolver.options()).unwrap();
    for planned in &plan.cells {
        let config: CellConfig = serde_json::from_value(planned.cell.config.clone()).unwrap();
        let outcome = run_cell(&config, &dataset, &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
        cli::fixture::put_scores(&store, planned, outcome.scores);
    }
    cli::report_smoke(ADDED, store.root(), &results);
    let made = results.join("late-or-early/smoke");
    let table = std::fs::read_to_string(made.join("table.md")).unwrap();
    for line in ["| Late fusion | here |", "| Concat      | here |", "Test accuracy in %"] {
        assert!(table.contains(line), "{line}: {table}");
    }
    assert!(!table.contains("paper"), "the paper has no such experiment: {table}");
    assert!(made.join("figure.svg").is_file());
}
