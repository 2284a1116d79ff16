//! What is not defined is absent: from every score of every protocol, and from what is decided by scores.

use std::collections::BTreeSet;

use mmcollapse_data::{
    Dataset, Presence, Samples,
    sets::{PlantedConfig, planted},
};
use mmcollapse_nn::Device;
use mmcollapse_record::{ProtocolKind, Split};

use crate::{
    CellConfig, CellOutcome, Conditions, Protocol, Silent, revision, run_cell,
    tests::{cell, tiny},
};

fn two_classes() -> Dataset {
    planted(&PlantedConfig {
        classes: 2,
        train: 8,
        validation: 8,
        test: 8,
        signal: vec![2.0, 2.0],
        ..PlantedConfig::default()
    })
}

/// All protocols, each with a reallocation that decides by scores.
fn every_protocol() -> Vec<CellConfig> {
    let config = |kind: ProtocolKind| CellConfig {
        protocol: kind.on("sound", &[0.5, 0.0]),
        ..cell("concat", "none", serde_json::Value::Null)
    };
    ProtocolKind::ALL.map(config).into()
}

fn run(config: &CellConfig, dataset: &Dataset) -> CellOutcome {
    let outcome = run_cell(config, dataset, &Device::Cpu, &mut Silent, Conditions::default());
    outcome.unwrap_or_else(|error| panic!("{}: {error}", config.protocol.kind()))
}

/// Names of the metrics of a split.
fn metrics(outcome: &CellOutcome, split: Split) -> BTreeSet<&str> {
    let scores = outcome.scores.iter().filter(|score| score.split == split);
    scores.map(|score| score.metric.as_str()).collect()
}

/// Measures that rank one class above the other, in each of their variants.
fn ranked<'a>(metrics: &BTreeSet<&'a str>) -> Vec<&'a str> {
    let of_rank = ["auroc", "auprc", "average_precision", "as_tested", "gap_"];
    let some = metrics.iter().copied();
    some.filter(|metric| of_rank.iter().any(|start| metric.starts_with(start)))
        .collect()
}

#[test]
fn a_test_of_one_class_has_no_ranked_score_in_any_variant() {
    for config in every_protocol() {
        let name = config.protocol.kind();
        let whole = run(&config, &two_classes());
        let expected = if name == ProtocolKind::Modalities { 5 } else { 3 };
        let there = metrics(&whole, Split::Test);
        assert!(ranked(&there).len() >= expected, "{name}: {there:?}");
        for class in [0, 1] {
            let mut dataset = two_classes();
            let mut test = dataset.test.for_final_evaluation().clone();
            test.labels.fill(class);
            dataset.test = mmcollapse_data::TestSplit::new(test);
            let outcome = run(&config, &dataset);
            assert_eq!(ranked(&metrics(&outcome, Split::Test)), [""; 0], "{name}");
            // What is defined of one class stays, and so does validation, which has two.
            let lost: BTreeSet<&str> = there.difference(&metrics(&outcome, Split::Test)).copied().collect();
            assert_eq!(lost.into_iter().collect::<Vec<_>>(), ranked(&there), "{name}");
            assert_eq!(
                metrics(&outcome, Split::Validation),
                metrics(&whole, Split::Validation),
                "{name}"
            );
        }
    }
}

#[test]
fn a_validation_of_one_class_has_no_score_and_decides_nothing() {
    for config in every_protocol() {
        let mut dataset = two_classes();
        dataset.validation.labels.fill(1);
        let outcome = run(&config, &dataset);
        let name = config.protocol.kind();
        assert_eq!(metrics(&outcome, Split::Validation), BTreeSet::new(), "{name}");
        assert!(outcome.diagnosis.alone.is_empty(), "{name}");
        assert_eq!(outcome.diagnosis.eliminated, None, "{name}");
        assert!(!metrics(&outcome, Split::Test).contains("gap_eliminated"), "{name}");
    }
}

/// `samples` as if none of them had the modality.
fn without(samples: &Samples, modality: usize) -> Samples {
    let own = samples.present.clone();
    Samples {
        present: Presence::from_fn(samples.len(), own.modalities(), |i, m| m != modality && own.get(i, m)),
        ..samples.clone()
    }
}

#[test]
fn kd_works_where_validation_lacks_a_modality() {
    let mut dataset = tiny();
    dataset.validation = without(&dataset.validation, 1);
    let outcome = run(&cell("concat", "kd", serde_json::Value::Null), &dataset);
    let collapse = outcome.diagnosis.collapse.unwrap();
    assert_eq!(collapse.modalities[1].n, 0);
    assert_eq!(
        (collapse.modalities[1].unimodal, collapse.modalities[1].prefix),
        (None, None)
    );
    assert_eq!(
        outcome.diagnosis.student.as_deref(),
        Some("image"),
        "of what can be told"
    );
    assert_eq!(outcome.diagnosis.alone.keys().collect::<Vec<_>>(), ["image"]);
    // A student that is named needs no diagnosis.
    let named = run(&cell("concat", "kd", serde_json::json!({"student": "sound"})), &dataset);
    assert_eq!(named.diagnosis.student.as_deref(), Some("sound"));
    // Nothing can be told of anything: an error that says what to do.
    dataset.validation = without(&dataset.validation, 0);
    let config = cell("concat", "kd", serde_json::Value::Null);
    let error = run_cell(&config, &dataset, &Device::Cpu, &mut Silent, Conditions::default()).unwrap_err();
    assert!(error.to_string().contains("student"), "{error}");
}

#[test]
fn every_protocol_works_where_validation_or_test_lacks_a_modality() {
    for config in every_protocol() {
        for modality in [0, 1] {
            let mut dataset = tiny();
            dataset.validation = without(&dataset.validation, modality);
            let test = without(dataset.test.for_final_evaluation(), modality);
            dataset.test = mmcollapse_data::TestSplit::new(test);
            let outcome = run(&config, &dataset);
            let lacking = ["image", "sound"][modality];
            assert!(!outcome.diagnosis.alone.contains_key(lacking));
            for score in &outcome.scores {
                let of_it = score.metric.as_str().ends_with(lacking) && !score.metric.as_str().starts_with("loss_");
                // The fusion is given an encoding of what is not there.
                assert!(!of_it || score.metric.as_str().starts_with("cka_"), "{score:?}");
                assert!(score.value.is_finite() && score.n > 0, "{score:?}");
            }
        }
    }
}

/// Cells whose scores were not what they are now have another key; those of all others keep theirs.
#[test]
fn the_revision_of_scores_is_part_of_the_keys_that_it_may_change() {
    let of = |dataset: &str, config: &CellConfig| {
        let config = CellConfig {
            dataset: dataset.to_owned(),
            ..config.clone()
        };
        revision(&config).unwrap().contains(" scores/2")
    };
    for config in every_protocol() {
        let of_representations = matches!(
            config.protocol,
            Protocol::Modalities {} | Protocol::Patterns {} | Protocol::Upweighted { .. }
        );
        for set in mmcollapse_data::SETS.iter() {
            let of_two = ["physionet-2012", "-mortality", "-readmission", "planted-features"];
            let two = of_two.iter().any(|end| set.name().ends_with(end));
            assert_eq!(of(set.name(), &config), two || of_representations, "{}", set.name());
        }
        assert_eq!(of("somebody's own", &config), of_representations);
    }
}
