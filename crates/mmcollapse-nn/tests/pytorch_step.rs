//! One training step of SMIL's two encoders gives PyTorch's loss, weights and running statistics.
//!
//! `tests/fixtures/step.json` is the output of `scripts/fixtures_nn.py`. Weights and inputs follow the formula
//! there, repeated in [`pattern`]; the networks are those that the benchmark times.

use std::collections::BTreeMap;

use mmcollapse_nn::optim::{Optimizer, OptimizerConfig, OptimizerKind};
use mmcollapse_nn::{DType, Device, Mode, Params, Tensor, ops};
use serde::Deserialize;

#[allow(dead_code, reason = "the benchmark has more networks than are compared here")]
#[path = "../examples/bench_cpu/nets.rs"]
mod nets;

use nets::{Net, Unimodal};

const BATCH: usize = 6;
const EVERY: usize = 29;
const TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Fixtures {
    steps: BTreeMap<String, Step>,
}

#[derive(Deserialize)]
struct Step {
    loss: f64,
    after: BTreeMap<String, Summary>,
}

#[derive(Deserialize)]
struct Summary {
    sum: f64,
    squares: f64,
    values: Vec<f64>,
}

/// Numbers in -1..1 without a visible order.
fn pattern(n: usize, salt: usize) -> Vec<f64> {
    (0..n)
        .map(|i| ((i * 7919 + salt * 104_729) % 10_007) as f64 / 5003.5 - 1.0)
        .collect()
}

/// Puts every parameter where `start` of the script puts it.
fn start(params: &Params) {
    let vars = params.vars();
    for (salt, (name, var)) in vars.iter().enumerate() {
        let (layer, kind) = name.rsplit_once('.').unwrap();
        let (scale, shift) = if name.contains("norm") {
            (0.3, if kind == "weight" { 1.0 } else { 0.0 })
        } else {
            let weight = format!("{layer}.weight");
            let (_, weight) = vars.iter().find(|(name, _)| *name == weight).unwrap();
            let fan_in: usize = weight.dims()[1..].iter().product();
            (1.0 / (fan_in as f64).sqrt(), 0.0)
        };
        let values: Vec<f64> = pattern(var.elem_count(), salt)
            .iter()
            .map(|value| value * scale + shift)
            .collect();
        let values = Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap();
        var.set(&values.to_dtype(var.dtype()).unwrap()).unwrap();
    }
}

fn optimizer(name: &str) -> OptimizerConfig {
    match name {
        "sgd" => OptimizerConfig {
            momentum: 0.9,
            weight_decay: 1e-2,
            ..OptimizerConfig::new(OptimizerKind::Sgd, 0.1)
        },
        _ => OptimizerConfig {
            weight_decay: 1e-4,
            ..OptimizerConfig::new(OptimizerKind::Adam, 1e-3)
        },
    }
}

/// Trains a step on the device's path for `dtype` and compares everything with the fixture.
fn check(encoder: &str, optimizer_name: &str, dtype: DType) {
    let fixtures: Fixtures = serde_json::from_str(include_str!("fixtures/step.json")).unwrap();
    let expected = &fixtures.steps[&format!("{encoder}_{optimizer_name}")];
    let params = Params::with_dtype(0, &Device::Cpu, dtype);
    let net: Box<dyn Net> = match encoder {
        "image" => Box::new(Unimodal::image(&params.root(), 0.0).unwrap()),
        _ => Box::new(Unimodal::sound(&params.root(), 0.0).unwrap()),
    };
    start(&params);
    let shape = [&[BATCH], &net.inputs()[0][..]].concat();
    let x = Tensor::from_vec(pattern(shape.iter().product(), 1000), shape, &Device::Cpu)
        .and_then(|x| x.to_dtype(DType::F32)?.to_dtype(dtype))
        .unwrap();
    let targets: Vec<u32> = (0..BATCH as u32).map(|i| (3 * i + 1) % 10).collect();

    let mut optimizer = Optimizer::new(optimizer(optimizer_name), params.vars()).unwrap();
    let logits = net.logits(&[x], Mode::Train { seed: 0, step: 0 }).unwrap();
    let loss = ops::softmax_cross_entropy(&logits, &targets).unwrap();
    optimizer.step(&loss.backward().unwrap(), 1.0).unwrap();

    let loss = loss.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap();
    assert!(
        (loss - expected.loss).abs() < TOLERANCE,
        "loss {loss}, PyTorch has {}",
        expected.loss
    );
    let state = params.state().unwrap();
    let names: Vec<&String> = state.keys().collect();
    assert_eq!(names, expected.after.keys().collect::<Vec<_>>());
    for (name, tensor) in &state {
        let expected = &expected.after[name];
        let values: Vec<f64> = tensor
            .to_dtype(DType::F64)
            .and_then(|t| t.flatten_all()?.to_vec1())
            .unwrap();
        for (i, (ours, theirs)) in values.iter().step_by(EVERY).zip(&expected.values).enumerate() {
            let place = i * EVERY;
            assert!(
                (ours - theirs).abs() < TOLERANCE,
                "{encoder}, {optimizer_name}, {dtype:?}: {name}[{place}] is {ours}, in PyTorch {theirs}"
            );
        }
        let (sum, squares) = values.iter().fold((0.0, 0.0), |(s, q), v| (s + v, q + v * v));
        let bound = TOLERANCE * (values.len() as f64).sqrt();
        assert!(
            (sum - expected.sum).abs() < bound,
            "{name}: sum {sum}, in PyTorch {}",
            expected.sum
        );
        assert!(
            (squares - expected.squares).abs() < bound,
            "{name}: sum of squares {squares}, in PyTorch {}",
            expected.squares
        );
    }
}

#[test]
fn image_encoder() {
    for dtype in [DType::F32, DType::F64] {
        check("image", "sgd", dtype);
        check("image", "adam", dtype);
    }
}

#[test]
fn sound_encoder() {
    for dtype in [DType::F32, DType::F64] {
        check("sound", "sgd", dtype);
        check("sound", "adam", dtype);
    }
}
