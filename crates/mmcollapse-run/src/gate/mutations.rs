//! The gate must be able to fail: for each method of the registries, a term switched off, doubled or exchanged.
//!
//! Each mutation trains a tiny cell and is compared as if the configuration were the same, as when the change were one of
//! the code. A method without a mutation here fails the test.

use mmcollapse_record::{Outcome, ProtocolKind, Record, RowId};
use std::collections::BTreeSet;

use mmcollapse_data::{
    Dataset,
    sets::{PlantedConfig, planted},
};
use mmcollapse_models::{BALANCINGS, CellConfig, Conditions, FUSIONS, REALLOCATIONS, Silent, run_cell};
use mmcollapse_nn::Device;
use serde_json::{Value, json};

use super::{Comparison, Golden};
use crate::models::converted;

/// Of each fusion, options that switch off or double one of its terms or, where it has none, a part of its layers.
fn of_fusions() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("late_fusion", vec![json!({"average": "probabilities"})]),
        ("concat", vec![json!({"dropout": 0.0})]),
        ("gated", vec![json!({"dropout": 0.0})]),
        ("lmf", vec![json!({"rank": 8}), json!({"dropout": 0.0})]),
        (
            "autoencoder",
            vec![json!({"reconstruction": 0.0}), json!({"reconstruction": 2.0})],
        ),
        ("gan", vec![json!({"reconstruction": 0.0}), json!({"adversarial": 0.0})]),
        (
            "full2miss",
            vec![json!({"distillation": 0.0}), json!({"adversarial": 0.0})],
        ),
        ("cm_ae", vec![json!({"reconstruction": 0.0}), json!({"drop": 0.0})]),
        (
            "smil",
            vec![
                json!({"joined_weight": 0.0}),
                json!({"fused_weight": 0.0}),
                json!({"inner_rate": 2e-3}),
            ],
        ),
        ("mt", vec![json!({"single_weight": 0.0}), json!({"single_weight": 2.0})]),
        ("mult", vec![json!({"layers": 1}), json!({"residual_dropout": 0.0})]),
        (
            "shaspec",
            vec![json!({"shared_weight": 0.0}), json!({"specific_weight": 0.0})],
        ),
        ("grape", vec![json!({"edge_drop": 0.0})]),
        (
            "m3care",
            vec![
                json!({"kernel_ratio": 4.0}),
                json!({"mix": "product"}),
                json!({"block_dropout": 0.0}),
            ],
        ),
        (
            "muse",
            vec![
                json!({"view_weight": 0.0}),
                json!({"label_weight": 0.0}),
                json!({"label_contrast": "pairwise"}),
                json!({"classifier": "two_layers"}),
                json!({"graph_dropout": 0.25}),
            ],
        ),
        ("masked", vec![json!({"share": 0.5}), json!({"fixed": true})]),
        (
            "gmc",
            vec![json!({"contrast_weight": 0.0}), json!({"temperature": 0.3})],
        ),
        (
            "mmvae",
            vec![
                json!({"weight": 0.0}),
                json!({"objective": "iwae"}),
                json!({"likelihood_weights": {"sound": 4.0}}),
            ],
        ),
    ]
}

/// The same of each reallocation; `none` has no term.
fn of_reallocations() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("none", vec![]),
        (
            "kd",
            vec![
                json!({"crd_weight": 0.0}),
                json!({"crd_weight": 1.6}),
                json!({"task_weight": 0.0}),
                json!({"negatives_from": "all"}),
            ],
        ),
        (
            "ebr",
            vec![
                json!({"lambda_md": 0.0}),
                json!({"lambda_md": 0.2}),
                json!({"warm_up": false}),
                json!({"latent_norm": false}),
            ],
        ),
        (
            "ebr_moved",
            vec![json!({"of": {"lambda_md": 0.0}}), json!({"of": {"latent_norm": false}})],
        ),
        (
            "mmd",
            vec![
                json!({"weight": 0.0}),
                json!({"weight": 2.0}),
                json!({"between": "halves"}),
            ],
        ),
        ("only", vec![json!({"modality": "sound"})]),
        ("trained_encoders", vec![json!({"freeze": true})]),
    ]
}

/// The same of each balancing; `none` has no term.
fn of_balancings() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("none", vec![]),
        ("modality_dropout", vec![json!({"rate": 0.0}), json!({"rate": 0.9})]),
        ("random_subsets", vec![json!({"warm_up": 1.0}), json!({"warm_up": 0.0})]),
        ("mslr", vec![json!({"factor": 1.0}), json!({"factor": 0.6})]),
        // Of its only variant the weights are measured.
        ("g_blending", vec![]),
        (
            "ogm_ge",
            vec![json!({"alpha": 0.0}), json!({"alpha": 0.6}), json!({"noise": false})],
        ),
        (
            "opm",
            vec![json!({"q": 0.0}), json!({"executed": 0.2}), json!({"alpha": 4.0})],
        ),
        (
            "pmr",
            vec![json!({"alpha": 0.0}), json!({"momentum": 0.9, "until": 1.0})],
        ),
        (
            "agm",
            vec![
                json!({"alpha": 0.0}),
                json!({"alpha": 0.3}),
                json!({"slows": "follower"}),
            ],
        ),
        ("mmpareto", vec![json!({"gamma": 1.0})]),
        (
            "relearning",
            vec![json!({"lambda": 0.0}), json!({"lambda": 9.0}), json!({"times": 0})],
        ),
        ("dgl", vec![json!({"alpha": 1.0})]),
        ("umt", vec![json!({"weight": 0.0}), json!({"weight": 2.0})]),
    ]
}

fn dataset() -> Dataset {
    planted(&PlantedConfig {
        classes: 3,
        train: 8,
        validation: 4,
        test: 40, // so many that predictions near a boundary are among them
        signal: vec![0.8, 0.4],
        ..PlantedConfig::default()
    })
}

fn train(dataset: &Dataset, fusion: &Value, reallocation: &Value, balancing: &Value) -> Outcome {
    let config: CellConfig = serde_json::from_value(json!({
        "dataset": "planted",
        "protocol": {"kind": "train_availability", "modality": "sound", "rate": 0.5},
        "fusion": fusion,
        "reallocation": reallocation,
        "balancing": balancing,
        "training": {"epochs": 3, "batch_size": 8},
        "seed": 5,
    }))
    .unwrap();
    let config = config.resolve().unwrap();
    let outcome = run_cell(&config, dataset, &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
    converted(outcome)
}

/// What the gate says of `mutated` where `plain` is expected.
fn verdict(plain: &Outcome, mutated: &Outcome, comparison: Comparison) -> Result<String, String> {
    let golden = |outcome: &Outcome| {
        let record = Record {
            row: RowId::plain("concat", "none"),
            setting: ProtocolKind::TrainAvailability.into(),
            protocol: ProtocolKind::TrainAvailability.on("sound", &[0.5]),
            modalities: Vec::new(),
            config: String::new(),
            key: String::new(),
            seed: 5,
            outcome: outcome.clone(),
        };
        Golden::of("mutations", &[record])
    };
    let checks = golden(plain).compare(&golden(mutated), comparison);
    checks.into_iter().next().unwrap().verdict
}

/// A method's name with these options.
fn method(name: &str, options: &Value) -> Value {
    let mut method = options.clone();
    method["method"] = json!(name);
    method
}

#[test]
fn the_gate_sees_each_term_of_each_method() {
    let listed =
        |mutations: &[(&'static str, Vec<Value>)]| mutations.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>();
    let (fusions, reallocations, balancings) = (of_fusions(), of_reallocations(), of_balancings());
    let told = "each method has an entry in of_fusions(), of_reallocations() or of_balancings() of \
                crates/mmcollapse-run/src/gate/mutations.rs";
    assert_eq!(
        listed(&fusions),
        FUSIONS.iter().map(|entry| entry.name).collect(),
        "{told}"
    );
    assert_eq!(
        listed(&reallocations),
        REALLOCATIONS.iter().map(|entry| entry.name).collect(),
        "{told}"
    );
    assert_eq!(
        listed(&balancings),
        BALANCINGS.iter().map(|entry| entry.name).collect(),
        "{told}"
    );
    assert!(
        fusions
            .iter()
            .chain(&reallocations)
            .chain(&balancings)
            .all(|(name, mutations)| ["none", "g_blending"].contains(name) || !mutations.is_empty())
    );

    let dataset = dataset();
    let plain = json!({});
    let mut unseen = Vec::new();
    let mut check = |name: &str, mutations: &[Value], train: &dyn Fn(&Value) -> Outcome| {
        let expected = train(&plain);
        assert!(
            verdict(&expected, &train(&plain), Comparison::Exact).is_ok(),
            "{name} differs from itself"
        );
        for options in mutations {
            if verdict(&expected, &train(options), Comparison::Exact).is_ok() {
                unseen.push(format!("{name} with {options}"));
            }
        }
    };
    for (name, mutations) in &fusions {
        check(name, mutations, &|options| {
            train(&dataset, &method(name, options), &method("none", &plain), &Value::Null)
        });
    }
    for (name, mutations) in &reallocations {
        check(name, mutations, &|options| {
            train(
                &dataset,
                &method("concat", &plain),
                &method(name, options),
                &Value::Null,
            )
        });
    }
    for (name, mutations) in &balancings {
        check(name, mutations, &|options| {
            let balancing = method(name, options);
            train(&dataset, &method("concat", &plain), &method("none", &plain), &balancing)
        });
    }
    assert!(unseen.is_empty(), "the gate passes {unseen:?}");
}
