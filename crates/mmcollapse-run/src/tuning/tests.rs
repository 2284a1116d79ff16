use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::fixture::*;
use super::*;

use crate::models::{ModelResolver, NoData};
use crate::plan::{Plan, Selection};
use crate::spec::Spec;
use crate::store::Store;
use mmcollapse_models::{AS_TESTED, BALANCINGS, FUSIONS, REALLOCATIONS};
use mmcollapse_record::{ExperimentInfo, Preset, ProtocolKind, Score, Split};

/// What was found, when every trial is in a store.
fn tuned(folder: &std::path::Path) -> Tuned {
    let (store, trials) = (Store::new(folder), trials());
    put_all(&store, &trials.plan);
    trials.gather(&store).unwrap().0
}

/// One setting for all labels of a data set, in a file of its own.
#[test]
fn another_data_set_is_tuned_apart() {
    static TWO: ExperimentInfo = ExperimentInfo {
        spec: "\
dataset: ehr-planted
paper_dataset: mimic-iv
tasks: [mortality, readmission]
rates: [0]
protocols: [missing]
training: {optimizer: {kind: adam, lr: 0.001}}
fusions: {concat: {}}
reallocations: {none: {}}
rows: [{fusion: [concat], reallocation: [none]}]
presets: {smoke: {seeds: 1, seconds: 1, training: {epochs: 1}}}
",
        ..EXPERIMENT
    };
    let budget = Budget {
        protocol: ProtocolKind::Missing,
        rate: 0.0,
        ..BUDGET
    };
    let spec = Spec::of(&TWO).unwrap();
    let trials = Trials::new(&TWO, &spec, &spaces(), budget, &mut NoData(ModelResolver::new(true))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    for planned in &trials.plan.cells {
        let of_task = if planned.setting.task.as_deref() == Some("mortality") {
            0.25
        } else {
            0.0
        };
        put(
            &store,
            planned,
            Some(0.5 + of_task + number(planned) as f64 / 16.0),
            0.5,
        );
    }
    let (tuned, ..) = trials.gather(&store).unwrap();
    assert_eq!(
        (tuned.rows[0].trials[0].validation.as_slice(), tuned.rows[0].best),
        ([0.75, 0.75, 0.5, 0.5].as_slice(), 3)
    );
    let path = tuned.write(&spec, folder.path()).unwrap();
    assert_eq!(path, folder.path().join("tuned/table4/ehr-planted-smoke.yaml"));
    assert_eq!(Tuned::of(folder.path(), &TWO, &spec, Preset::Smoke).unwrap(), tuned);
    assert_eq!(tuned.by(&spec).file, "results/tuned/table4/ehr-planted-smoke.yaml");
    // The paper's data set has not been tuned.
    let mut papers = spec.clone();
    papers.on("mimic-iv");
    let error = Tuned::of(folder.path(), &TWO, &papers, Preset::Smoke)
        .unwrap_err()
        .to_string();
    assert!(error.contains("tuned/table4/smoke.yaml"), "{error}");
}

#[test]
fn every_row_has_the_same_trials_and_the_first_is_the_specs_own() {
    let trials = trials();
    assert_eq!(trials.rows(), ["concat", "concat+ebr", "shaspec", "shaspec+ebr"]);
    let mut counts: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for planned in &trials.plan.cells {
        let row = planned.row.name.split(' ').next().unwrap().to_owned();
        counts.entry(row).or_default().push((number(planned), planned.seed));
        assert_eq!(planned.setting.protocol, ProtocolKind::TestMissing);
        assert_eq!(planned.rates, [0.9]);
    }
    let expected: Vec<(u64, u64)> = (0..4).flat_map(|trial| [(trial, 1000), (trial, 1001)]).collect();
    assert_eq!(counts.len(), 4);
    assert!(counts.values().all(|found| *found == expected), "{counts:?}");
    let keys: BTreeSet<_> = trials.plan.cells.iter().map(|planned| &planned.key).collect();
    assert_eq!(keys.len(), trials.plan.cells.len());

    // Trial 0 is the row of the spec at this seed, with the layers of its preset; the others differ in what they draw.
    let own = |place: usize| &trials.plan.cells[place].cell.config;
    assert_eq!(own(0)["fusion"]["hidden"], 48);
    assert_eq!(own(0)["training"]["epochs"], 3);
    assert_eq!(own(0)["training"]["optimizer"]["lr"], 0.001);
    assert_eq!(own(2)["training"]["epochs"], 3);
    assert_eq!(own(2)["training"]["optimizer"]["lr"], 0.00102);
    assert_eq!(own(2)["training"]["optimizer"]["kind"], "adam");
    assert_eq!(own(8)["training"]["epochs"], 3);
    assert_ne!(
        own(10)["reallocation"]["lambda_md"],
        own(8)["reallocation"]["lambda_md"]
    );

    // What the spec states for a row stays, whatever the space says.
    assert!((0..8).all(|place| own(place)["fusion"]["hidden"] == 48));
    assert_ne!(own(2)["fusion"]["dropout"], own(0)["fusion"]["dropout"]);

    let some = trials.of_rows(&["shaspec".to_owned()]).unwrap();
    assert_eq!(some.cells.len(), 8);
    assert!(
        some.cells
            .iter()
            .all(|planned| planned.row.name.starts_with("shaspec trial "))
    );
    let error = trials.of_rows(&["shapec".to_owned()]).unwrap_err().to_string();
    assert!(error.contains("--only shapec"), "{error}");
}

/// A control differs from its row in one thing, tuned or not, and takes no trials of its own.
#[test]
fn a_control_has_the_setting_of_its_row() {
    static CONTROLLED: ExperimentInfo = ExperimentInfo {
        spec: "\
dataset: planted
modality: sound
rates: [0.9]
protocols: [test_missing]
training: {epochs: 3, optimizer: {kind: adam, lr: 0.001}}
fusions: {concat: {}}
reallocations:
  ebr: {config: {method: ebr, regime: stable}, twin: heads}
  heads: {config: {method: ebr, regime: stable, heads_only: true}, control: true}
rows: [{fusion: [concat], reallocation: [ebr, heads]}]
presets: {smoke: {seeds: 2, seconds: 1}}
",
        ..EXPERIMENT
    };
    let spec = Spec::of(&CONTROLLED).unwrap();
    let mut resolver = ModelResolver::new(true);
    let trials = Trials::new(&CONTROLLED, &spec, &spaces(), BUDGET, &mut resolver).unwrap();
    assert_eq!(trials.rows(), ["concat+ebr"]);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    put_all(&store, &trials.plan);
    let tuned = trials.gather(&store).unwrap().0;
    assert!(tuned.by(&spec).left_out.is_empty());
    let plan = tuned
        .plan(&CONTROLLED, &spec, &Selection::default(), &mut resolver)
        .unwrap();
    assert_eq!(plan.cells.len(), 4);
    for pair in [[0, 2], [1, 3]] {
        let [mut row, control] = pair.map(|place| plan.cells[place].cell.config.clone());
        assert_ne!(row["reallocation"]["lambda_md"], 0.1, "it was tuned");
        row["reallocation"]["heads_only"] = true.into();
        assert_eq!(row, control);
    }
}

fn of<'a>(fusion: &'a str, reallocation: &'a str, balancing: Option<&'a str>) -> Methods<'a> {
    Methods {
        fusion,
        reallocation,
        balancing,
    }
}

#[test]
fn a_method_is_tuned_as_its_file_says_unless_the_yaml_says_otherwise() {
    let (general, _) = SPACES.split_once("fusions:").unwrap();
    let own = Spaces::parse(general).unwrap();
    let drawn = |spaces: &Spaces, fusion: &str| -> Vec<String> {
        let setting = spaces.draw("row", &of(fusion, "none", None), 1).unwrap();
        setting.fusion.keys().cloned().collect()
    };
    assert_eq!(drawn(&own, "concat"), ["dropout", "hidden"]);
    assert_eq!(drawn(&own, "late_fusion"), ["average"]);
    let other = Spaces::parse(&format!("{general}fusions:\n  concat: {{}}\n")).unwrap();
    assert!(drawn(&other, "concat").is_empty());
    assert_eq!(drawn(&other, "late_fusion"), ["average"]);
    assert_ne!(own.digest(), other.digest());
    let error = own.draw("row", &of("conct", "none", None), 1).unwrap_err();
    assert!(error.contains("there is no fusion `conct`"), "{error}");
}

/// Each method's own space holds values that the method takes.
#[test]
fn what_methods_say_of_themselves_can_be_drawn() {
    let (general, _) = SPACES.split_once("fusions:").unwrap();
    let own = Spaces::parse(general).unwrap();
    for fusion in FUSIONS {
        for reallocation in REALLOCATIONS {
            for trial in 1..20 {
                let setting = own
                    .draw("row", &of(fusion.name, reallocation.name, None), trial)
                    .unwrap();
                (fusion.resolve)(&setting.fusion).unwrap();
                (reallocation.resolve)(&setting.reallocation).unwrap();
            }
        }
    }
    for balancing in BALANCINGS {
        for trial in 1..20 {
            let methods = of("concat", "none", Some(balancing.name));
            let setting = own.draw("row", &methods, trial).unwrap();
            (balancing.resolve)(&setting.balancing).unwrap();
            assert_eq!(setting.balancing.len(), balancing.tuned.len());
        }
    }
    let error = own.draw("row", &of("concat", "none", Some("oggm")), 1).unwrap_err();
    assert!(error.contains("there is no balancing `oggm`"), "{error}");
}

#[test]
fn the_best_is_chosen_by_validation_and_ties_go_to_the_lower_trial() {
    let folder = tempfile::tempdir().unwrap();
    let tuned = tuned(folder.path());
    let best: Vec<(&str, u64)> = tuned.rows.iter().map(|row| (row.row.as_str(), row.best)).collect();
    assert_eq!(
        best,
        [("concat", 2), ("concat+ebr", 2), ("shaspec", 1), ("shaspec+ebr", 2)]
    );
    let tried = &tuned.rows[0].trials[2];
    assert_eq!(
        (tried.validation.as_slice(), tried.mean),
        ([0.875, 0.625].as_slice(), 0.75)
    );
    assert_eq!((tried.diverged, tried.seconds), (0, 4.0));
    assert_eq!(
        (tuned.trials, tuned.trainings, tuned.seeds.as_slice()),
        (4, 8, [1000, 1001].as_slice())
    );
}

#[test]
fn a_row_that_is_not_finished_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (store, trials) = (Store::new(folder.path()), trials());
    let mut plan = trials.plan.clone();
    plan.cells.truncate(8 + 7);
    put_all(&store, &plan);
    let (tuned, _, stored) = trials.gather(&store).unwrap();
    assert_eq!(tuned.rows.len(), 1);
    assert_eq!(stored.len(), 8);
}

/// Of four trials on one seed two go on to three, and of those one to four; whoever fails its check comes after who passes.
#[test]
fn the_best_go_on_to_more_seeds() {
    let budget = Budget {
        seeds: 1,
        halving: vec![Stage { trials: 2, seeds: 3 }, Stage { trials: 1, seeds: 4 }],
        ..BUDGET
    };
    let text: &str = Box::leak(
        SPEC.replace("ebr: {config", "ebr: {checked: true, config")
            .into_boxed_str(),
    );
    let experiment = ExperimentInfo {
        spec: text,
        ..EXPERIMENT
    };
    let spec = Spec::of(&experiment).unwrap();
    let mut resolver = ModelResolver::new(true);
    let trials = Trials::new(&experiment, &spec, &spaces(), budget, &mut resolver).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let only = ["concat".to_owned(), "concat+ebr".to_owned()];
    let mut stages = Vec::new();
    while let Some(plan) = trials.next(&only, &store).unwrap() {
        let mut seeds: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for planned in &plan.cells {
            seeds.entry(&planned.row.name).or_default().push(planned.seed);
            if !matches!(store.find(&planned.key).unwrap(), crate::store::Found::Missing) {
                continue;
            }
            // The higher the number, the better on the first seed; then 2 is better than 3.
            let later = if planned.seed > 1000 && number(planned) == 3 {
                0.5
            } else {
                0.0
            };
            let validation = number(planned) as f64 / 4.0 - later;
            // With EBR trial 3 fails its check.
            let confusion = if number(planned) == 3 { 0.1 } else { 1.0 };
            let scores = [
                (Split::Validation, AS_TESTED, validation),
                (Split::Test, "confusion", confusion),
            ];
            let scores = scores.map(|(split, metric, value)| Score {
                protocol: planned.setting.protocol,
                rate: 0.9,
                split,
                metric: metric.parse().unwrap(),
                value,
                n: 9,
            });
            put_scores(&store, planned, scores.to_vec());
        }
        let seen: Vec<(String, usize)> = seeds
            .into_iter()
            .map(|(row, seeds)| (row.to_owned(), seeds.len()))
            .collect();
        stages.push(seen);
    }
    let of = |stage: &[(&str, usize)]| -> Vec<(String, usize)> {
        stage.iter().map(|(row, seeds)| ((*row).to_owned(), *seeds)).collect()
    };
    assert_eq!(stages.len(), 3);
    assert_eq!(stages[0].len(), 8);
    assert_eq!(
        stages[1],
        of(&[
            ("concat trial 2", 3),
            ("concat trial 3", 3),
            ("concat+ebr trial 1", 3),
            ("concat+ebr trial 2", 3)
        ])
    );
    assert_eq!(stages[2], of(&[("concat trial 2", 4), ("concat+ebr trial 2", 4)]));
    let (tuned, used, stored) = trials.gather(&store).unwrap();
    assert_eq!(tuned.rows.iter().map(|row| row.best).collect::<Vec<_>>(), [2, 2]);
    // 4 on one seed, 2 on two more, 1 on one more, in two rows.
    assert_eq!((tuned.trainings, used.cells.len(), stored.len()), (9, 18, 18));
    assert_eq!(tuned.seeds, [1000, 1001, 1002, 1003]);
    let of_trials = |row: usize| {
        tuned.rows[row]
            .trials
            .iter()
            .map(|t| (t.validation.len(), t.passes))
            .collect::<Vec<_>>()
    };
    assert_eq!(of_trials(0), [(1, None), (1, None), (4, None), (3, None)]);
    assert_eq!(
        of_trials(1),
        [(1, Some(true)), (3, Some(true)), (4, Some(true)), (1, Some(false))]
    );
}

#[test]
fn an_outcome_without_the_validation_accuracy_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (store, trials) = (Store::new(folder.path()), trials());
    for planned in &trials.plan.cells {
        put(&store, planned, None, 0.5);
    }
    let error = trials.gather(&store).unwrap_err().to_string();
    assert!(error.contains("concat trial 0, test_missing, seed 1000"), "{error}");
}

/// As where a seed's validation samples are of one class: its score is not defined for any trial.
#[test]
fn a_seed_without_a_validation_score_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (store, trials) = (Store::new(folder.path()), trials());
    for planned in &trials.plan.cells {
        if planned.seed == 1000 {
            put_scores(&store, planned, Vec::new());
        } else {
            put(&store, planned, Some(0.25), 0.5);
        }
    }
    let (tuned, ..) = trials.gather(&store).unwrap();
    let trial = &tuned.rows[0].trials[0];
    assert_eq!((trial.validation.clone(), trial.mean), (vec![0.25], 0.25));

    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    for planned in &trials.plan.cells {
        put_scores(&store, planned, Vec::new());
    }
    let error = trials.gather(&store).unwrap_err().to_string();
    assert!(
        error.contains("concat trial 0: no seed has a validation score"),
        "{error}"
    );
}

#[test]
fn the_file_comes_back_as_it_was_and_gives_the_same_cells() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    let found = tuned(folder.path());
    let path = found.write(&spec(), &results).unwrap();
    assert_eq!(path, results.join("tuned/table4/smoke.yaml"));
    let read = Tuned::of(&results, &EXPERIMENT, &spec(), Preset::Smoke).unwrap();
    assert_eq!(read, found);

    let mut resolver = ModelResolver::new(true);
    read.check_data(&mut resolver).unwrap();
    let other = Tuned {
        data: read.data.keys().map(|name| (name.clone(), "0".repeat(64))).collect(),
        ..read.clone()
    };
    assert_eq!(other.data.len(), 1);
    let error = other.check_data(&mut resolver).unwrap_err().to_string();
    assert!(error.contains("was tuned on other data of the name"), "{error}");
    let plan = read
        .plan(&EXPERIMENT, &spec(), &Selection::default(), &mut resolver)
        .unwrap();
    let plain = Plan::new(&EXPERIMENT, Preset::Smoke, &Selection::default(), &mut resolver).unwrap();
    let place = |plan: &Plan| -> Vec<(String, String, u64)> {
        let cells = plan.cells.iter();
        cells
            .map(|p| (p.row.name.clone(), p.setting.to_string(), p.seed))
            .collect()
    };
    assert_eq!(place(&plan), place(&plain));
    for (tuned, plain) in plan.cells.iter().zip(&plain.cells) {
        let row = found.rows.iter().find(|row| row.row == tuned.row.name).unwrap();
        let setting = &row.best().unwrap().setting;
        let mut expected = plain.cell.config.clone();
        for (axis, options) in [("fusion", &setting.fusion), ("reallocation", &setting.reallocation)] {
            for (option, value) in options {
                expected[axis][option] = value.clone();
            }
        }
        expected["training"]["optimizer"]["lr"] = setting.training["optimizer"]["lr"].clone();
        assert_eq!(tuned.cell.config, expected);
        assert_ne!(tuned.key, plain.key);
    }
}

#[test]
fn a_file_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    let of =
        |experiment: &ExperimentInfo| Tuned::of(&results, experiment, &Spec::of(experiment).unwrap(), Preset::Smoke);
    let error = of(&EXPERIMENT).unwrap_err().to_string();
    assert!(error.contains("was not tuned: there is no"), "{error}");

    let mut found = tuned(folder.path());
    found.write(&spec(), &results).unwrap();
    let longer = ExperimentInfo {
        spec: Box::leak(SPEC.replace("epochs: 7", "epochs: 8").into_boxed_str()),
        ..EXPERIMENT
    };
    let error = of(&longer).unwrap_err().to_string();
    assert!(error.contains("was made from another spec"), "{error}");
    // A comment is no other spec.
    let commented = ExperimentInfo {
        spec: Box::leak(format!("# of a table\n{SPEC}").into_boxed_str()),
        ..EXPERIMENT
    };
    assert!(of(&commented).is_ok());

    found.rows.remove(1);
    found.write(&spec(), &results).unwrap();
    let mut read = of(&EXPERIMENT).unwrap();
    let plan = |read: &Tuned| {
        read.plan(
            &EXPERIMENT,
            &spec(),
            &Selection::default(),
            &mut ModelResolver::new(true),
        )
    };
    let rows: BTreeSet<String> = plan(&read).unwrap().cells.into_iter().map(|p| p.row.name).collect();
    assert_eq!(rows.len(), 3);
    let by = read.by(&spec());
    assert_eq!(by.left_out, ["concat+ebr"]);
    assert!(
        by.text(false).ends_with("Not tuned, and left out: concat+ebr."),
        "{}",
        by.text(false)
    );
    read.rows.clear();
    let error = plan(&read).unwrap_err().to_string();
    assert!(
        error.contains("no row of table4 (smoke) was tuned: it has concat, concat+ebr"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(crate::mutation::cases(1000))]

    #[test]
    fn no_mutated_space_makes_the_reader_panic(edits in crate::mutation::edits()) {
        let text = crate::mutation::mutated_text(SPACES, &edits);
        if let Ok(spaces) = Spaces::parse(&text) {
            // A range that was read can be drawn from.
            let _ = spaces.draw("concat", &of("concat", "ebr", Some("umt")), 1);
        }
    }
}

static TUNED: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = tuned(folder.path()).write(&spec(), folder.path()).unwrap();
    std::fs::read(path).unwrap()
});

proptest! {
    #![proptest_config(crate::mutation::cases(100))]

    #[test]
    fn no_mutated_tuned_file_makes_the_reader_panic(edits in crate::mutation::edits()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tuned/table4/smoke.yaml");
        let text = crate::mutation::mutated(&TUNED, &edits);
        mmcollapse_files::write_atomic(&path, &text).unwrap();
        if let Err(error) = Tuned::of(folder.path(), &EXPERIMENT, &spec(), Preset::Smoke) {
            prop_assert!(error.to_string().contains("smoke.yaml"), "{}", error);
        }
    }
}
