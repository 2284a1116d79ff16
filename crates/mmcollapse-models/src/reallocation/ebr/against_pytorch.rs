//! EBR's training beside an independent one in PyTorch: `scripts/ebr_pytorch.py`, which says what is compared.

use std::collections::BTreeMap;

use mmcollapse_data::{Dataset, ModalitySpec, Presence, Samples};
use mmcollapse_nn::{Device, Tensor};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    CellConfig, ModelSpec, Silent,
    balancing::Held,
    multimodal::Multimodal,
    training::{Along, Fit, FitEnd, Readings, TrainingData},
};

/// What PyTorch makes of one kind of turns.
#[derive(Deserialize)]
struct Expected {
    options: Value,
    optimizer: Value,
    phases: Vec<String>,
    semantic: Vec<f64>,
    modality: Vec<f64>,
    weights: BTreeMap<String, Vec<f64>>,
}

const SAMPLES: usize = 12;
const CLASSES: usize = 3;
const INPUTS: [(&str, usize); 2] = [("a", 5), ("b", 4)];

/// Relative to 1, or to the number where it is larger.
const TOLERANCE: f64 = 1e-4;

fn data() -> Dataset {
    let inputs = INPUTS.iter().enumerate().map(|(m, (_, width))| {
        let of = |i: usize, j: usize| {
            let (class, m) = ((i % CLASSES) as f64, m as f64);
            libm::sin(1.1 * i as f64 + 0.9 * j as f64 + m) + 1.5 * libm::cos(2.1 * class + 1.3 * j as f64 + m)
        };
        (0..SAMPLES)
            .flat_map(|i| (0..*width).map(move |j| of(i, j) as f32))
            .collect()
    });
    let samples = Samples::complete(
        (0..SAMPLES).map(|i| i.to_string()).collect(),
        inputs.collect(),
        (0..SAMPLES).map(|i| (i % CLASSES) as u32).collect(),
    );
    let modalities = INPUTS.map(|(name, width)| ModalitySpec::new(name, &[width])).to_vec();
    let classes = (0..CLASSES).map(|class| class.to_string()).collect();
    Dataset::new(
        "formula",
        modalities,
        classes,
        samples.clone(),
        samples.clone(),
        samples,
    )
}

/// The start of a parameter, by the formula that the script has.
fn start(name: &str, shape: &[usize]) -> Tensor {
    let phase = f64::from(name.bytes().map(u32::from).sum::<u32>() % 97) / 10.0;
    let scale = match shape {
        [_, inputs] => 1.8 / (*inputs as f64).sqrt(),
        _ => 0.1,
    };
    let n: usize = shape.iter().product();
    let values = (0..n)
        .map(|i| (libm::sin(0.7 * i as f64 + phase) * scale) as f32)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn assert_near(got: &[f64], expected: &[f64], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
        let near = (got - expected).abs() <= TOLERANCE * expected.abs().max(1.0);
        assert!(near, "{what}, place {place}: {got}, PyTorch has {expected}");
    }
}

#[test]
fn losses_and_weights_of_fifty_steps_are_those_of_pytorch() {
    let runs: BTreeMap<String, Expected> =
        serde_json::from_str(include_str!("../../../tests/fixtures/ebr.json")).unwrap();
    assert_eq!(runs.len(), 7);
    let (dataset, device) = (data(), Device::Cpu);
    let encoder = json!({"method": "mlp", "hidden": 6, "width": 6, "dropout": 0});
    for (name, run) in runs {
        let mut reallocation = run.options.clone();
        reallocation["method"] = json!("ebr");
        reallocation["epochs"] = json!(50);
        reallocation["optimizer"] = run.optimizer.clone();
        reallocation["schedule"] = json!({"kind": "constant"});
        let config = json!({
            "dataset": "formula", "protocol": {"kind": "modalities"}, "encoders": {"a": encoder, "b": encoder},
            "fusion": {"method": "concat", "hidden": 9, "dropout": 0}, "reallocation": reallocation,
            "training": {"epochs": 50, "batch_size": SAMPLES}, "seed": 0,
        });
        let config: CellConfig = serde_json::from_value::<CellConfig>(config).unwrap().resolve().unwrap();
        let model = ModelSpec::new(&config, &dataset).unwrap().build(&device).unwrap();
        let mut state = model.params.state().unwrap();
        for (name, tensor) in &mut state {
            *tensor = start(name, tensor.dims());
        }
        model.params.load(&state).unwrap();
        let objective = Multimodal(&model);
        let fit = Fit {
            name: "multimodal".into(),
            label: "multimodal".into(),
            seed: 0,
            training: model.reallocation.training(&config.training),
            phases: Box::new(|progress| {
                let is_over = progress.epoch == run.phases.len();
                model.reallocation.phase(progress).filter(|_| !is_over)
            }),
            params: &model.params,
            along: Along::Nothing,
            frozen: Vec::new(),
            rate_factor: model.reallocation.rate_factor(),
            balancing: None,
            objective: &objective,
        };
        let data = TrainingData {
            samples: &dataset.train,
            modalities: &dataset.modalities,
            presence: &Presence::all(SAMPLES, INPUTS.len()),
            index: &(0..SAMPLES).collect::<Vec<_>>(),
            validation: Held {
                samples: &dataset.validation,
                presence: &dataset.validation.present,
            },
            device: &device,
        };
        let mut state = fit.start().unwrap();
        let unprobed = |_: usize| Ok(Readings::default());
        let end = fit
            .run(&data, &mut state, &mut Silent, &unprobed, &mut |_, _| Ok(()))
            .unwrap();
        assert_eq!(end, FitEnd::Done, "{name}");
        let phases: Vec<&str> = state.history.iter().map(|record| record.phase.as_str()).collect();
        assert_eq!(phases, run.phases, "{name}");
        let losses = |term: &str| -> Vec<f64> { state.history.iter().map(|record| record.losses[term]).collect() };
        assert_near(&losses("semantic"), &run.semantic, &format!("{name}: L_sem"));
        assert_near(&losses("modality"), &run.modality, &format!("{name}: L_md"));
        let weights = model.params.state().unwrap();
        assert_eq!(weights.len(), run.weights.len(), "{name}");
        for (parameter, expected) in &run.weights {
            let got: Vec<f32> = weights[parameter].flatten_all().unwrap().to_vec1().unwrap();
            let got: Vec<f64> = got.into_iter().map(f64::from).collect();
            assert_near(&got, expected, &format!("{name}: {parameter}"));
        }
    }
}
