//! What every balancing holds to, and what each does to a training.

use std::collections::BTreeSet;

use mmcollapse_data::{
    Batch, Dataset, ModalitySpec,
    sets::{PlantedConfig, planted},
};
use mmcollapse_nn::{Device, Mode, Params, Var};
use serde_json::json;

use super::*;
use crate::{
    CellConfig, CellOutcome, Conditions, ModelSpec, Silent,
    multimodal::Multimodal,
    run_cell,
    tests::{balanced, cell, changed, moved, tiny},
    training::{Objective, under},
};

fn with(fusion: &str, balancing: Value, protocol: &Protocol) -> CellConfig {
    let mut config = cell("concat", "none", Value::Null);
    config.fusion = MethodConfig::named(fusion);
    config.balancing = serde_json::from_value(balancing).unwrap();
    config.protocol = protocol.clone();
    config.resolve().unwrap()
}

fn test_missing() -> Protocol {
    Protocol::TestMissing {
        modality: "sound".to_owned(),
        rates: vec![0.5],
    }
}

/// Shares of the samples that keep both modalities, the first alone and the second alone; what no sample had it does
/// not get.
pub(super) fn kept(balancing: &dyn Balancing, epoch: usize, epochs: usize) -> [f64; 3] {
    let n = 4000;
    let own = Presence::from_fn(n + 100, 2, |i, m| i < n || m == 1);
    let progress = Progress {
        epoch,
        epochs,
        semantic: &[],
        phases: &[],
    };
    let left = balancing.presence(&own, 3, &progress);
    assert_eq!(left, balancing.presence(&own, 3, &progress));
    assert!(
        (n..n + 100).all(|i| left.get(i, 1) && !left.get(i, 0)),
        "the last stays"
    );
    assert!((0..n).all(|i| left.get(i, 0) || left.get(i, 1)));
    [[true, true], [true, false], [false, true]].map(|pattern| {
        let count = (0..n).filter(|&i| [left.get(i, 0), left.get(i, 1)] == pattern).count();
        count as f64 / n as f64
    })
}

pub(super) fn near(shares: [f64; 3], expected: [f64; 3]) {
    // Four standard deviations of a share of 4000 are at most .032.
    assert!(
        shares.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.032),
        "{shares:?} {expected:?}"
    );
}

#[test]
fn a_cell_without_balancing_has_no_word_of_it() {
    let config = with("concat", json!(null), &test_missing());
    assert_eq!(config, with("concat", json!({"method": "none"}), &test_missing()));
    assert!(!serde_json::to_string(&config).unwrap().contains("balancing"));
}

#[test]
fn shaspec_has_its_own_where_modalities_are_missing_at_test_alone() {
    let own = with("shaspec", json!(null), &test_missing());
    assert_eq!(own.balancing.as_ref().unwrap().method, "random_subsets");
    assert_eq!(own.resolve().unwrap(), own);
    let none = with("shaspec", json!({"method": "none"}), &test_missing());
    assert_eq!(none.balancing.as_ref().unwrap().method, "none");
    assert_eq!(none.resolve().unwrap(), none);
    assert!(
        with("shaspec", json!(null), &Protocol::Missing { rate: 0.3 })
            .balancing
            .is_none()
    );
    let run = |config: &CellConfig| {
        let outcome = run_cell(config, &tiny(), &Device::Cpu, &mut Silent, Conditions::default());
        outcome.unwrap().history
    };
    let (balanced, plain) = (run(&own), run(&none));
    // The first two of three epochs are its warm-up.
    assert_eq!(balanced[..2], plain[..2]);
    assert_ne!(balanced[2], plain[2]);
}

#[test]
fn a_share_that_is_none_is_refused() {
    for options in [
        json!({"method": "modality_dropout", "rate": 1.5}),
        json!({"method": "random_subsets", "warm_up": -0.1}),
    ] {
        let params = Params::new(0, &Device::Cpu);
        let context = BalancingContext {
            modalities: &[],
            widths: &[],
            classes: 2,
            scope: params.root(),
        };
        let error = build(&serde_json::from_value(options).unwrap(), &context)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("must lie in 0..=1"), "{error}");
    }
}

fn run(config: &CellConfig, dataset: &Dataset) -> CellOutcome {
    run_cell(config, dataset, &Device::Cpu, &mut Silent, Conditions::default()).unwrap()
}

/// Of which clusters are not the classes.
fn weak() -> Dataset {
    planted(&PlantedConfig {
        classes: 3,
        train: 8,
        validation: 12,
        test: 4,
        signal: vec![0.3, 0.3],
        ..PlantedConfig::default()
    })
}

/// The losses of the multimodal fit, epoch by epoch.
fn losses(outcome: &CellOutcome, name: &str) -> Vec<f64> {
    let own = outcome.history.iter().filter(|record| record.fit == "multimodal");
    own.map(|record| record.losses[name]).collect()
}

/// A strength of zero is no balancing, to the last bit: no rule reads it as "not given".
#[test]
fn a_strength_of_zero_changes_nothing() {
    let dataset = tiny();
    let plain = run(&cell("concat", "none", Value::Null), &dataset);
    for (name, options) in [
        ("ogm_ge", json!({"alpha": 0.0, "noise": false})),
        ("agm", json!({"alpha": 0.0})),
        ("pmr", json!({"alpha": 0.0})),
        ("umt", json!({"weight": 0.0})),
        ("opm", json!({"q": 0.0, "executed": 1.0, "warm_up": 0.0})),
        ("relearning", json!({"lambda": 0.0, "every": 0.01})),
        ("mslr", json!({"factor": 1.0})),
        ("modality_dropout", json!({"rate": 0.0})),
    ] {
        let zero = run(&balanced("concat", name, options), &dataset);
        assert_eq!(losses(&zero, "semantic"), losses(&plain, "semantic"), "{name}");
        let same = |outcome: &CellOutcome| -> Vec<f64> {
            let own = outcome.scores.iter().filter(|score| score.metric == "accuracy");
            own.map(|score| score.value).collect()
        };
        assert_eq!(same(&zero), same(&plain), "{name}");
    }
}

/// And another strength does change the training.
#[test]
fn every_balancing_changes_the_training() {
    let dataset = weak();
    let plain = losses(&run(&cell("concat", "none", Value::Null), &dataset), "semantic");
    for (name, options) in [
        ("modality_dropout", json!({})),
        ("random_subsets", json!({"warm_up": 0.0})),
        ("mslr", json!({})),
        ("g_blending", json!({})),
        ("ogm_ge", json!({"noise": false, "until": 1.0})),
        ("ogm_ge", json!({"alpha": 0.0, "until": 1.0})),
        ("opm", json!({"warm_up": 0.0, "executed": 1.0})),
        ("pmr", json!({})),
        ("agm", json!({})),
        ("mmpareto", json!({})),
        ("relearning", json!({"every": 0.01, "lambda": 10.0})),
        ("dgl", json!({})),
        ("umt", json!({})),
    ] {
        let outcome = run(&balanced("concat", name, options), &dataset);
        assert_ne!(losses(&outcome, "semantic"), plain, "{name}");
    }
}

#[test]
fn every_balancing_takes_three_modalities_and_every_fusion_what_it_gives() {
    let three = planted(&PlantedConfig {
        modalities: ["a", "b", "c"].map(|name| ModalitySpec::new(name, &[6])).to_vec(),
        classes: 3,
        train: 8,
        validation: 4,
        test: 4,
        signal: vec![2.0, 1.0, 0.5],
        ..PlantedConfig::default()
    });
    for balancing in BALANCINGS.iter().filter(|balancing| balancing.name != NONE) {
        let mut config = balanced("concat", balancing.name, Value::Null);
        config.protocol = Protocol::Missing { rate: 0.3 };
        config.encoders.clear();
        assert!(!run(&config, &three).scores.is_empty(), "{}", balancing.name);
    }
    for fusion in FUSIONS {
        for name in ["opm", "agm", "dgl"] {
            let mut config = balanced(fusion.name, name, Value::Null);
            config.training.epochs = 2;
            assert!(!run(&config, &tiny()).scores.is_empty(), "{} + {name}", fusion.name);
        }
    }
}

/// DGL: without the unimodal loss no encoder learns, and with it the fusion still learns from the multimodal loss alone.
#[test]
fn gradients_are_disentangled() {
    let names = |alpha: f64| moved(&balanced("concat", "dgl", json!({"alpha": alpha})), None, &[]);
    assert!(names(0.0).iter().all(|name| under(name, "fusion")), "{:?}", names(0.0));
    assert!(names(4.0).iter().any(|name| under(name, "encoder.image")));
    let (dataset, device) = (tiny(), Device::Cpu);
    let gradients = |config: &CellConfig| {
        let model = ModelSpec::new(config, &dataset).unwrap().build(&device).unwrap();
        let presence = Presence::all(dataset.train.len(), 2);
        let batch = Batch::new(&dataset.train, &dataset.modalities, &presence, &[0, 5, 9, 11], &device).unwrap();
        let progress = Progress {
            epoch: 0,
            epochs: 3,
            semantic: &[],
            phases: &[],
        };
        let losses = Multimodal(&model)
            .losses(&batch, Mode::Train { seed: 1, step: 0 }, &progress)
            .unwrap();
        let vars = model.params.vars();
        let step = Step {
            vars: &vars,
            seed: 1,
            step: 0,
        };
        let store = match &model.balancing {
            Some(balancing) => balancing.gradients(&losses.weighed, &losses.semantic, &step).unwrap(),
            None => step.backward(&losses.semantic).unwrap(),
        };
        let of = |(name, var): &(String, Var)| {
            Some((
                name.clone(),
                store.get(var)?.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            ))
        };
        vars.iter().filter_map(of).collect::<std::collections::BTreeMap<_, _>>()
    };
    let (plain, disentangled) = (
        gradients(&cell("concat", "none", Value::Null)),
        gradients(&balanced("concat", "dgl", Value::Null)),
    );
    for (name, gradient) in &plain {
        assert_eq!(disentangled[name] == *gradient, under(name, "fusion"), "{name}");
    }
    // The gradients of both losses are read apart: of MMPareto's heads only theirs, of the fusion only the multimodal.
    let pareto = gradients(&balanced("concat", "mmpareto", Value::Null));
    let heads: BTreeSet<&String> = pareto.keys().filter(|name| under(name, "balancing.head")).collect();
    assert_eq!(heads.len(), 4, "{heads:?}");
    for (name, gradient) in plain.iter().filter(|(name, _)| under(name, "fusion")) {
        assert_eq!(pareto[name], *gradient, "{name}");
    }
}

#[test]
fn an_encoder_whose_rate_is_zero_stays() {
    let config = balanced("concat", "mslr", json!({"rates": {"image": 0.0}}));
    let moved = moved(&config, None, &[]);
    assert!(!moved.iter().any(|name| under(name, "encoder.image")));
    assert!(moved.iter().any(|name| under(name, "encoder.sound")));
    let error = ModelSpec::new(&balanced("concat", "mslr", json!({"rates": {"smell": 0.5}})), &tiny())
        .unwrap()
        .build(&Device::Cpu)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("`rates` names modality `smell`; there are image, sound"),
        "{error}"
    );
}

/// MSLR's ranking is that of encoders that have been trained: the planted sound says more than the image.
#[test]
fn the_strongest_is_found_by_training() {
    let strong = planted(&PlantedConfig {
        classes: 3,
        train: 24,
        validation: 20,
        test: 4,
        signal: vec![0.0, 4.0],
        ..PlantedConfig::default()
    });
    let mut config = balanced("concat", "mslr", json!({"factor": 0.0}));
    config.training.epochs = 10;
    let slowed = run(&config, &strong);
    config.balancing = None;
    let plain = run(&config, &strong);
    // Without the sound's encoder training learns little.
    let last = |outcome: &CellOutcome| *losses(outcome, "semantic").last().unwrap();
    assert!(last(&slowed) > 2.0 * last(&plain), "{} {}", last(&slowed), last(&plain));
}

#[test]
fn encoders_are_drawn_towards_their_teachers() {
    let distance = |weight: f64| {
        let mut config = balanced("concat", "umt", json!({"weight": weight}));
        config.training.epochs = 10;
        losses(&run(&config, &tiny()), "teachers").last().unwrap() / weight
    };
    let (free, drawn) = (distance(1e-6), distance(10.0));
    assert!(drawn < 0.7 * free, "{drawn} {free}");
}

#[test]
fn losses_are_blended_by_what_training_alone_showed() {
    let outcome = run(&balanced("concat", "g_blending", Value::Null), &tiny());
    let fits: BTreeSet<&str> = outcome.history.iter().map(|record| record.fit.as_str()).collect();
    assert_eq!(
        fits.into_iter().collect::<Vec<_>>(),
        ["multimodal", "naive", "unimodal/image", "unimodal/sound"]
    );
    let unimodal = losses(&outcome, "unimodal");
    assert!(
        unimodal.iter().all(|loss| *loss >= 0.0 && loss.is_finite()),
        "{unimodal:?}"
    );
    // The naive model is the one of a cell without balancing.
    let plain = run(&cell("concat", "none", Value::Null), &tiny());
    let naive = outcome.history.iter().filter(|record| record.fit == "naive");
    assert_eq!(
        naive.map(|record| record.losses["semantic"]).collect::<Vec<_>>(),
        losses(&plain, "semantic")
    );
}

#[test]
fn encoders_are_drawn_back_to_their_start() {
    let (dataset, device) = (weak(), Device::Cpu);
    let config = balanced("concat", "relearning", json!({"every": 0.25, "lambda": 1e9}));
    let model = ModelSpec::new(&config, &dataset).unwrap().build(&device).unwrap();
    let at = |epoch: usize| {
        let held = |samples| Held {
            samples,
            presence: &dataset.train.present,
        };
        let scene = Scene {
            model: &model,
            modalities: &dataset.modalities,
            train: held(&dataset.train),
            validation: Held {
                samples: &dataset.validation,
                presence: &dataset.validation.present,
            },
            seed: 3,
            device: &device,
        };
        let progress = Progress {
            epoch,
            epochs: 8,
            semantic: &[0.0; 8][..epoch],
            phases: &["joint"; 8][..epoch],
        };
        model.balancing.as_ref().unwrap().begin(&scene, &progress).unwrap();
        model.params.state().unwrap()
    };
    let start = at(0);
    for (name, var) in model.params.vars() {
        if !under(&name, "balancing") {
            var.set(&(var.as_tensor() * 0.5).unwrap()).unwrap();
        }
    }
    let halved = model.params.state().unwrap();
    assert!(changed(&halved, &at(1)).is_empty(), "no diagnosis is due");
    let after = at(2);
    let moved = changed(&halved, &after);
    assert!(
        !moved.is_empty() && moved.iter().all(|name| under(name, "encoder")),
        "{moved:?}"
    );
    // Drawn back all the way.
    let back = changed(&start, &after);
    assert!(moved.iter().all(|name| !back.contains(name)), "{back:?}");
}
