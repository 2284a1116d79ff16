//! Values, gradients and trajectories against PyTorch and against code written independently in Python. The
//! fixtures come from scripts/fixtures_losses.py and scripts/fixtures_generative.py; these tests need no Python, but the
//! last one uses it where it is there.
#![expect(
    clippy::disallowed_methods,
    reason = "elementary functions make inputs and expectations here"
)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use mmcollapse_nn::device::test_device;
use mmcollapse_nn::layers::{AttentionBlock, Gru, LayerNorm};
use mmcollapse_nn::losses::{
    Crd, CrdConfig, DoublyReparameterized, bce_with_logits, distillation, info_nce, laplace_log_density, log_mean_exp,
    nt_xent,
};
use mmcollapse_nn::ops::matmul;
use mmcollapse_nn::optim::{Clip, Optimizer, OptimizerConfig, clip_factor};
use mmcollapse_nn::schedule::Schedule;
use mmcollapse_nn::{DType, Device, GradStore, Mode, Params, Result, Tensor, Var, safetensors};
use serde_json::Value;

/// `MMCOLLAPSE_TEST_DEVICE=cuda:0` runs these tests there.
static DEVICE: LazyLock<Device> = LazyLock::new(|| test_device().unwrap());

/// In f64 the formulas have to agree, in f32 their rounding too.
const TYPES: [(DType, f64); 2] = [(DType::F64, 1e-11), (DType::F32, 1e-5)];

fn fixture(name: &str) -> Value {
    let text = fs::read_to_string(format!("tests/fixtures/{name}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    let items = value["data"].as_array().unwrap().iter();
    items.map(|item| item.as_f64().unwrap()).collect()
}

fn tensor(value: &Value, dtype: DType) -> Tensor {
    let shape: Vec<usize> = serde_json::from_value(value["shape"].clone()).unwrap();
    Tensor::from_vec(numbers(value), shape, &DEVICE)
        .unwrap()
        .to_dtype(dtype)
        .unwrap()
}

fn variable(value: &Value, dtype: DType) -> Var {
    Var::from_tensor(&tensor(value, dtype)).unwrap()
}

fn doubles(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Each number within `tolerance` of the largest expected one (of 1 where that is smaller).
fn assert_close(what: &str, found: &Tensor, expected: &Value, tolerance: f64) {
    let (found, expected) = (doubles(found), numbers(expected));
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0_f64, |top, v| top.max(v.abs()));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance * scale,
            "{what} at {i}: {found}, PyTorch {expected}"
        );
    }
}

fn assert_scalar(what: &str, found: &Tensor, expected: &Value, tolerance: f64) {
    let (found, expected) = (doubles(found)[0], expected.as_f64().unwrap());
    let scale = expected.abs().max(1.0);
    assert!(
        (found - expected).abs() <= tolerance * scale,
        "{what}: {found}, PyTorch {expected}"
    );
}

/// Loads PyTorch's parameters under their own names, runs the layer and compares output and all gradients.
fn check_layer<L>(case: &str, build: impl Fn(&Params) -> L, forward: impl Fn(&L, &Tensor, &Value) -> Result<Tensor>) {
    let case_name = case;
    let case = &fixture("layers")[case];
    for (dtype, tolerance) in TYPES {
        let params = Params::with_dtype(0, &DEVICE, dtype);
        let layer = build(&params);
        let state = case["state"].as_object().unwrap().iter();
        let state = state
            .map(|(name, value)| (name.clone(), tensor(value, dtype)))
            .collect();
        params.load(&state).unwrap();
        let x = variable(&case["x"], dtype);
        let y = forward(&layer, &x, case).unwrap();
        assert_close(&format!("{case_name} {dtype:?} y"), &y, &case["y"], tolerance);
        let grads = (y * tensor(&case["r"], dtype))
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        let mut vars = params.vars();
        vars.push(("x".into(), x));
        assert_eq!(vars.len(), case["grads"].as_object().unwrap().len());
        for (name, var) in vars {
            let expected = &case["grads"][format!("grad.{name}")];
            let what = format!("{case_name} {dtype:?} grad {name}");
            assert_close(&what, grads.get(&var).unwrap(), expected, tolerance);
        }
    }
}

#[test]
fn recurrent() {
    check_layer(
        "gru",
        |params| Gru::new(&params.root(), 4, 6).unwrap(),
        |layer, x, _| layer.forward(x),
    );
}

#[test]
fn layer_norm() {
    check_layer(
        "layer_norm",
        |params| LayerNorm::new(&params.root(), 7).unwrap(),
        |layer, x, _| layer.forward(x),
    );
}

#[test]
fn attention() {
    let build = |params: &Params| AttentionBlock::new(&params.root(), 8, 2, 4, 0.0).unwrap();
    let mode = Mode::Train { seed: 0, step: 0 };
    check_layer("attention", build, |layer, x, _| layer.forward(x, None, mode));
    check_layer("attention_masked", build, |layer, x, case| {
        let present = tensor(&case["present"], x.dtype());
        let y = layer.forward(x, Some(&present), mode)?;
        y.broadcast_mul(&present.unsqueeze(2)?)
    });
}

#[test]
fn bce() {
    let case = &fixture("losses")["bce"];
    for (dtype, tolerance) in TYPES {
        let x = variable(&case["x"], dtype);
        let (y, w) = (tensor(&case["y"], dtype), tensor(&case["w"], dtype));
        for (name, weights) in [("plain", None), ("weighted", Some(&w))] {
            let loss = bce_with_logits(&x, &y, weights).unwrap();
            assert_scalar(name, &loss, &case[name], tolerance);
            let grads = loss.backward().unwrap();
            let expected = &case[format!("{name}_grad")];
            assert_close(name, grads.get(&x).unwrap(), expected, tolerance);
        }
    }
}

fn check_contrast(case: &Value, contrast: fn(&Tensor, &Tensor, f64) -> Result<Tensor>) {
    for (dtype, tolerance) in TYPES {
        let (a, b) = (variable(&case["a"], dtype), variable(&case["b"], dtype));
        let loss = contrast(&a, &b, case["temperature"].as_f64().unwrap()).unwrap();
        assert_scalar("loss", &loss, &case["loss"], tolerance);
        let grads = loss.backward().unwrap();
        assert_close("grad a", grads.get(&a).unwrap(), &case["grad_a"], tolerance);
        assert_close("grad b", grads.get(&b).unwrap(), &case["grad_b"], tolerance);
    }
}

#[test]
fn contrast_of_two_views() {
    check_contrast(&fixture("losses")["info_nce"], info_nce);
    check_contrast(&fixture("generative")["nt_xent"], nt_xent);
}

/// Of a bound on the likelihood of `x` under a linear decoder: its value and all gradients, for each of the three estimators.
#[test]
fn bounds_by_importance() {
    let case = &fixture("generative")["importance"];
    for (dtype, tolerance) in TYPES {
        let (x, noise) = (tensor(&case["x"], dtype), tensor(&case["noise"], dtype));
        for estimator in ["iwae", "dreg", "dreg_as_coded"] {
            let names = ["location", "scale", "prior", "weight"];
            let leaves = names.map(|name| variable(&case[name], dtype));
            let [location, scale, prior, weight] = leaves.each_ref().map(Var::as_tensor);
            let z = noise.broadcast_mul(scale).unwrap().broadcast_add(location).unwrap(); // [4, 3, 2]
            let doubly = DoublyReparameterized::new(&z).unwrap();
            let z = if estimator == "dreg" { doubly.samples() } else { &z };
            let [location, scale] = [location, scale].map(|leaf| match estimator {
                "iwae" => leaf.clone(),
                _ => leaf.detach(),
            });
            let decoded = matmul(&z.flatten(0, 1).unwrap(), weight)
                .unwrap()
                .reshape((4, 3, 3))
                .unwrap();
            let one = Tensor::ones(1, dtype, &DEVICE).unwrap();
            let posterior = laplace_log_density(z, &location, &scale).unwrap();
            let log_weights = (laplace_log_density(z, &prior.zeros_like().unwrap(), prior).unwrap()
                + laplace_log_density(&x, &decoded, &one).unwrap())
            .and_then(|joint| joint - posterior)
            .unwrap();
            let bound = match estimator {
                "dreg" => doubly.bound(&log_weights).unwrap(),
                _ => log_mean_exp(&log_weights).unwrap(),
            };
            let known = &case[estimator];
            assert_close(estimator, &bound, &known["bound"], tolerance);
            let grads = bound.sum_all().unwrap().backward().unwrap();
            for (name, leaf) in names.iter().zip(&leaves) {
                let what = format!("{estimator} {dtype:?} grad {name}");
                assert_close(&what, grads.get(leaf).unwrap(), &known["grads"][name], tolerance);
            }
        }
    }
}

#[test]
fn log_weights_of_other_samples_are_refused() {
    let samples = Tensor::ones((4, 3, 2), DType::F32, &DEVICE).unwrap();
    let doubly = DoublyReparameterized::new(&samples).unwrap();
    let error = doubly.bound(&samples.sum(0).unwrap()).unwrap_err().to_string();
    assert!(error.contains("[3, 2] log-weights of samples [4, 3, 2]"), "{error}");
}

#[test]
fn distilled_predictions() {
    let case = &fixture("losses")["distillation"];
    for (dtype, tolerance) in TYPES {
        let (student, teacher) = (variable(&case["student"], dtype), variable(&case["teacher"], dtype));
        let loss = distillation(&student, &teacher, case["temperature"].as_f64().unwrap()).unwrap();
        assert_scalar("loss", &loss, &case["loss"], tolerance);
        let grads = loss.backward().unwrap();
        assert_close("grad", grads.get(&student).unwrap(), &case["grad"], tolerance);
        assert!(grads.get(&teacher).is_none());
    }
}

#[test]
fn contrastive_distillation() {
    let case = fixture("crd");
    follows_pytorch(&case, |crd, student, teacher, index, step| {
        let contrast: Vec<u32> = serde_json::from_value(step["contrast"].clone()).unwrap();
        crd.loss_against(student, teacher, index, &contrast, true)
    });
}

/// As in CRD's public code. Those are all there are, so that nothing depends on how they are drawn.
#[test]
fn contrastive_distillation_with_negatives_of_other_classes() {
    let case = fixture("crd_other_classes");
    follows_pytorch(&case, |crd, student, teacher, index, _| {
        crd.loss(student, teacher, index, Mode::Train { seed: 1, step: 0 })
    });
}

/// Takes the fixture's steps and compares losses, gradients and banks.
fn follows_pytorch(case: &Value, loss: impl Fn(&Crd, &Var, &Tensor, &[usize], &Value) -> Result<Tensor>) {
    // The scores are divided by .07 before they are exponentiated, which magnifies the rounding of f32.
    for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 1e-4)] {
        let params = Params::with_dtype(0, &DEVICE, dtype);
        let config = CrdConfig {
            width: case["width"].as_u64().unwrap() as usize,
            negatives: case["negatives"].as_u64().unwrap() as usize,
            temperature: case["temperature"].as_f64().unwrap(),
            momentum: case["momentum"].as_f64().unwrap(),
        };
        let n = case["n"].as_u64().unwrap() as usize;
        let mut crd = Crd::new(&params.root(), 5, 4, n, config).unwrap();
        if let Ok(labels) = serde_json::from_value::<Vec<u32>>(case["labels"].clone()) {
            crd = crd.among_other_classes(&labels).unwrap();
        }
        let mut state = params.state().unwrap();
        for (name, value) in &mut state {
            if !name.ends_with("normalizer") {
                *value = tensor(&case[name], dtype);
            }
        }
        params.load(&state).unwrap();
        for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            let student = variable(&step["student"], dtype);
            let teacher = tensor(&step["teacher"], dtype);
            let index: Vec<usize> = serde_json::from_value(step["index"].clone()).unwrap();
            let loss = loss(&crd, &student, &teacher, &index, step).unwrap();
            assert_scalar(&format!("loss {number}"), &loss, &step["loss"], tolerance);
            let grads = loss.backward().unwrap();
            let what = format!("step {number} {dtype:?} student");
            assert_close(&what, grads.get(&student).unwrap(), &step["grad.student"], tolerance);
            for (name, var) in params.vars() {
                let expected = &step[format!("grad.{name}")];
                assert_close(
                    &format!("step {number} {name}"),
                    grads.get(&var).unwrap(),
                    expected,
                    tolerance,
                );
            }
            let state = params.state().unwrap();
            for side in ["student", "teacher"] {
                let name = format!("{side}.bank");
                assert_close(&name, &state[&name], &step[&name], tolerance);
                let name = format!("{side}.normalizer");
                assert_scalar(&name, &state[&name], &step[&name], tolerance);
            }
        }
    }
}

/// No negative is of the anchor's class, none is there twice, and of classes of different sizes each anchor has as many.
#[test]
fn negatives_are_of_other_classes() {
    let params = Params::new(0, &DEVICE);
    let crd = |name: &str, negatives| {
        let config = CrdConfig {
            negatives,
            ..CrdConfig::default()
        };
        Crd::new(&params.root().pp(name), 4, 4, 10, config).unwrap()
    };
    let labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2];
    assert_eq!(crd("all", 100).negatives(), 9);
    let all = crd("a", 100).among_other_classes(&labels).unwrap();
    assert_eq!(all.negatives(), 4);
    assert_eq!(crd("b", 3).among_other_classes(&labels).unwrap().negatives(), 3);
    let index = [0, 6, 9];
    let mut drawn = Vec::new();
    for step in 0..20 {
        let contrast = all.contrast(&index, Mode::Train { seed: 1, step }).unwrap();
        for (&own, numbers) in index.iter().zip(contrast.chunks(5)) {
            assert_eq!(numbers[0] as usize, own);
            let of_others = |&number: &u32| labels[number as usize] != labels[own];
            assert!(numbers[1..].iter().all(of_others), "{own}: {numbers:?}");
            let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
            assert_eq!(distinct.len(), 5);
        }
        drawn.push(contrast[6..10].to_vec());
    }
    assert!(drawn.iter().any(|other| *other != drawn[0]), "they are drawn anew");
    let error = crd("c", 3).among_other_classes(&[1; 10]).unwrap_err().to_string();
    assert!(error.contains("at least 2 classes"), "{error}");
    assert!(crd("d", 3).among_other_classes(&labels[1..]).is_err());
}

#[test]
fn distillation_goes_on_from_a_checkpoint_bit_for_bit() {
    let config = CrdConfig {
        width: 8,
        negatives: 5,
        ..CrdConfig::default()
    };
    let build = |seed| {
        let params = Params::new(seed, &DEVICE);
        let crd = Crd::new(&params.root().pp("crd"), 4, 4, 12, config.clone()).unwrap();
        (params, crd)
    };
    let step = |crd: &Crd, step: u64| {
        let mut stream = mmcollapse_nn::random::Stream::at(0, "features", step);
        let mut features = || Tensor::from_vec(stream.normal_vec(12), (3, 4), &DEVICE).unwrap();
        let (student, teacher) = (features(), features());
        let index = [step as usize, step as usize + 4, 11];
        let loss = crd
            .loss(&student, &teacher, &index, Mode::Train { seed: 7, step })
            .unwrap();
        loss.to_scalar::<f32>().unwrap().to_bits()
    };
    let (params, whole) = build(1);
    let (_, saved) = (
        (0..2).map(|i| step(&whole, i)).collect::<Vec<_>>(),
        params.state().unwrap(),
    );
    let expected: Vec<u32> = (2..4).map(|i| step(&whole, i)).collect();
    let (params, resumed) = build(2);
    let bytes = safetensors::to_bytes(&saved, &BTreeMap::new()).unwrap();
    params
        .load(&safetensors::from_bytes(&bytes, &DEVICE).unwrap().0)
        .unwrap();
    assert_eq!((2..4).map(|i| step(&resumed, i)).collect::<Vec<_>>(), expected);
}

#[test]
fn distillation_refuses_what_does_not_fit() {
    let params = Params::new(0, &DEVICE);
    let crd = Crd::new(&params.root().pp("a"), 4, 5, 6, CrdConfig::default()).unwrap();
    let (student, teacher) = (
        Tensor::zeros((2, 4), DType::F32, &DEVICE).unwrap(),
        Tensor::zeros((2, 5), DType::F32, &DEVICE).unwrap(),
    );
    for (index, part) in [
        (&[0, 6][..], "sample 6"),
        (&[3, 3], "twice"),
        (&[0], "1 indices"),
        (&[], "empty"),
    ] {
        let error = crd.loss(&student, &teacher, index, Mode::Eval).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(Crd::new(&params.root().pp("b"), 4, 5, 1, CrdConfig::default()).is_err());
    let config = CrdConfig {
        temperature: 0.0,
        ..CrdConfig::default()
    };
    assert!(Crd::new(&params.root().pp("c"), 4, 5, 6, config).is_err());
}

/// The regression of the optimizer fixtures.
struct Regression {
    x: Tensor,
    y: Tensor,
    vars: Vec<(String, Var)>,
}

impl Regression {
    fn new(case: &Value, dtype: DType) -> Self {
        let start = case["start"].as_object().unwrap().iter();
        Self {
            x: tensor(&case["x"], dtype),
            y: tensor(&case["y"], dtype),
            vars: start
                .map(|(name, value)| (name.clone(), variable(value, dtype)))
                .collect(),
        }
    }

    fn var(&self, name: &str) -> &Var {
        &self.vars.iter().find(|(other, _)| other == name).unwrap().1
    }

    /// The parameter `late` takes part in every third step.
    fn gradients(&self, step: usize) -> GradStore {
        let prediction = self.x.matmul(self.var("w")).unwrap();
        let mut prediction = prediction.broadcast_add(self.var("b")).unwrap();
        if step % 3 == 2 {
            let late = (self.var("late").as_tensor() * 2.0).unwrap();
            prediction = prediction.broadcast_add(&late).unwrap();
        }
        let loss = (prediction - &self.y).unwrap().sqr().unwrap().mean_all().unwrap();
        loss.backward().unwrap()
    }

    fn step(&self, optimizer: &mut Optimizer, schedule: Schedule, clip: Option<f64>, step: usize) -> f64 {
        let grads = self.gradients(step);
        let none = Clip { norm: 0.0, factor: 1.0 };
        let clip = clip.map_or(none, |clip| clip_factor(&grads, &self.vars, clip).unwrap());
        let rate = schedule.factor(step / 2, 6);
        optimizer.step_scaled(&grads, clip.factor, rate).unwrap();
        clip.norm
    }
}

fn settings(run: &Value) -> (OptimizerConfig, Schedule, Option<f64>) {
    let config = serde_json::from_value(run["config"].clone()).unwrap();
    let schedule: Option<Schedule> = serde_json::from_value(run["schedule"].clone()).unwrap();
    (config, schedule.unwrap_or_default(), run["clip"].as_f64())
}

#[test]
fn optimizers_follow_pytorch() {
    let case = fixture("optimizers");
    for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 3e-6)] {
        for run in case["runs"].as_array().unwrap() {
            let (config, schedule, clip) = settings(run);
            let model = Regression::new(&case, dtype);
            let mut optimizer = Optimizer::new(config, model.vars.clone()).unwrap();
            for (step, expected) in run["trajectory"].as_array().unwrap().iter().enumerate() {
                let norm = model.step(&mut optimizer, schedule, clip, step);
                if clip.is_some() {
                    let expected = run["norms"][step].as_f64().unwrap();
                    assert!((norm - expected).abs() < tolerance * expected.max(1.0));
                }
                for (name, var) in &model.vars {
                    let what = format!("{} {dtype:?} step {step} {name}", run["config"]);
                    assert_close(&what, var, &expected[name], tolerance);
                }
            }
        }
    }
}

#[test]
fn optimizers_go_on_from_a_checkpoint_bit_for_bit() {
    let case = fixture("optimizers");
    for dtype in [DType::F32, DType::F64] {
        for run in case["runs"].as_array().unwrap() {
            let (config, schedule, clip) = settings(run);
            let whole = Regression::new(&case, dtype);
            let mut optimizer = Optimizer::new(config.clone(), whole.vars.clone()).unwrap();
            let mut saved = None;
            for step in 0..12 {
                // Before the fourth step `late` has moved once; before the second, never.
                if [1, 4].contains(&step) {
                    let weights: BTreeMap<String, Tensor> = whole
                        .vars
                        .iter()
                        .map(|(name, var)| (name.clone(), var.copy().unwrap()))
                        .collect();
                    let bytes = |tensors| safetensors::to_bytes(tensors, &BTreeMap::new()).unwrap();
                    saved = Some((step, bytes(&weights), bytes(&optimizer.state().unwrap())));
                }
                whole.step(&mut optimizer, schedule, clip, step);
                if step != 1 && step != 11 {
                    continue;
                }
                let (from, weights, state) = saved.clone().unwrap();
                let resumed = Regression::new(&case, dtype);
                let (weights, _) = safetensors::from_bytes(&weights, &DEVICE).unwrap();
                for (name, var) in &resumed.vars {
                    var.set(&weights[name]).unwrap();
                }
                let mut again = Optimizer::new(config.clone(), resumed.vars.clone()).unwrap();
                again
                    .load_state(&safetensors::from_bytes(&state, &DEVICE).unwrap().0)
                    .unwrap();
                for later in from..=step {
                    resumed.step(&mut again, schedule, clip, later);
                }
                for ((name, a), (_, b)) in whole.vars.iter().zip(&resumed.vars) {
                    let bits = |var: &Var| doubles(var).into_iter().map(f64::to_bits).collect::<Vec<_>>();
                    assert_eq!(bits(a), bits(b), "{} {name} after step {step}", run["config"]);
                }
                let bytes = |optimizer: &Optimizer| {
                    safetensors::to_bytes(&optimizer.state().unwrap(), &BTreeMap::new()).unwrap()
                };
                assert_eq!(bytes(&optimizer), bytes(&again));
            }
        }
    }
}

#[test]
fn a_gradient_of_another_model_moves_nothing() {
    let case = fixture("optimizers");
    let model = Regression::new(&case, DType::F32);
    let other = Regression::new(&case, DType::F32);
    let before: Vec<Vec<f64>> = model.vars.iter().map(|(_, var)| doubles(var)).collect();
    let config: OptimizerConfig = serde_json::from_str(r#"{"kind":"adamw","lr":0.1,"weight_decay":0.5}"#).unwrap();
    let mut optimizer = Optimizer::new(config, model.vars.clone()).unwrap();
    optimizer.step(&other.gradients(0), 1.0).unwrap();
    let after: Vec<Vec<f64>> = model.vars.iter().map(|(_, var)| doubles(var)).collect();
    assert_eq!(before, after);
    assert!(optimizer.state().unwrap().is_empty());
}

#[test]
fn settings_without_a_meaning_are_refused() {
    for (text, key) in [
        (r#"{"kind":"sgd","lr":-1}"#, "lr"),
        (r#"{"kind":"sgd","lr":1,"momentum":1}"#, "momentum"),
        (r#"{"kind":"adam","lr":1,"momentum":0.9}"#, "momentum"),
        (r#"{"kind":"adam","lr":1,"betas":[0.9,1.0]}"#, "betas"),
        (r#"{"kind":"sgd","lr":1,"amsgrad":true}"#, "amsgrad"),
        (r#"{"kind":"adam","lr":1,"eps":0}"#, "eps"),
        (r#"{"kind":"adamw","lr":1,"weight_decay":-1}"#, "weight_decay"),
    ] {
        let config: OptimizerConfig = serde_json::from_str(text).unwrap();
        let error = Optimizer::new(config, Vec::new()).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
    assert!(serde_json::from_str::<OptimizerConfig>(r#"{"kind":"sgd","lr":1,"nesterov":true}"#).is_err());
    let var = Var::zeros(2, DType::F32, &DEVICE).unwrap();
    let config: OptimizerConfig = serde_json::from_str(r#"{"kind":"sgd","lr":1}"#).unwrap();
    let twice = vec![("w".to_owned(), var.clone()), ("w".to_owned(), var)];
    assert!(Optimizer::new(config, twice).unwrap_err().to_string().contains("twice"));
}

#[test]
fn a_state_of_another_optimizer_is_refused() {
    let case = fixture("optimizers");
    let model = Regression::new(&case, DType::F32);
    let make = |text: &str| Optimizer::new(serde_json::from_str(text).unwrap(), model.vars.clone()).unwrap();
    let mut adam = make(r#"{"kind":"adam","lr":0.1}"#);
    adam.step(&model.gradients(2), 1.0).unwrap();
    let state = adam.state().unwrap();
    let mut sgd = make(r#"{"kind":"sgd","lr":0.1}"#);
    let error = sgd.load_state(&state).unwrap_err().to_string();
    assert!(error.contains("b.exp_avg"), "{error}");
    let mut incomplete = state.clone();
    incomplete.remove("b.exp_avg_sq");
    let error = adam.load_state(&incomplete).unwrap_err().to_string();
    assert!(error.contains("`b`"), "{error}");
    let mut wrong = state.clone();
    wrong.insert("b.exp_avg".into(), Tensor::zeros(9, DType::F32, &DEVICE).unwrap());
    let error = adam.load_state(&wrong).unwrap_err().to_string();
    assert!(error.contains("b.exp_avg") && error.contains("[9]"), "{error}");
    // A step count saved by PyTorch is a float.
    let mut float = state;
    for (name, value) in &mut float {
        if name.rsplit('.').next() == Some("step") {
            *value = value.to_dtype(DType::F32).unwrap();
        }
    }
    adam.load_state(&float).unwrap();
}

#[test]
fn clipping_leaves_small_gradients_as_they_are() {
    let case = fixture("optimizers");
    let model = Regression::new(&case, DType::F32);
    let grads = model.gradients(2);
    let clip = clip_factor(&grads, &model.vars, 1e6).unwrap();
    let all = model.vars.iter().flat_map(|(_, var)| doubles(grads.get(var).unwrap()));
    let squares: f64 = all.map(|g| g * g).sum();
    // A card adds up in f32.
    let tolerance = if DEVICE.is_cpu() { 1e-9 } else { 1e-6 };
    assert!((clip.norm - squares.sqrt()).abs() < tolerance * clip.norm.max(1.0));
    assert_eq!(clip.factor, 1.0);
}

/// What this library saves, PyTorch loads: under its own names, and with the same outputs.
#[test]
fn pytorch_loads_what_is_saved() {
    let python = std::env::var("MMCOLLAPSE_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python)
        .args(["-c", "import torch, safetensors.torch"])
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: {python} has no torch with safetensors; set MMCOLLAPSE_PYTHON to one that has");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let params = Params::new(3, &DEVICE);
    let block = AttentionBlock::new(&params.root().pp("block"), 8, 2, 4, 0.0).unwrap();
    let gru = Gru::new(&params.root().pp("gru"), 8, 5).unwrap();
    let mut stream = mmcollapse_nn::random::Stream::new(0, "x");
    let x = Tensor::from_vec(stream.normal_vec(3 * 4 * 8), (3, 4, 8), &DEVICE).unwrap();
    let y = gru.forward(&block.forward(&x, None, Mode::Eval).unwrap()).unwrap();
    let mut tensors = params.state().unwrap();
    tensors.insert("x".into(), x);
    tensors.insert("y".into(), y);
    tensors.insert("step".into(), Tensor::new(12_i64, &DEVICE).unwrap());
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::save(&path, &tensors, &metadata).unwrap();
    let script = r#"
import sys, torch
from torch import nn
from safetensors.torch import load_file
from safetensors import safe_open
t = load_file(sys.argv[1])
assert safe_open(sys.argv[1], "pt").metadata()["format"] == "pt"
part = lambda p: {k[len(p):]: v for k, v in t.items() if k.startswith(p)}
block = nn.TransformerEncoderLayer(8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True)
gru = nn.GRU(8, 5, batch_first=True)
block.load_state_dict(part("block."), strict=True)
gru.load_state_dict(part("gru."), strict=True)
assert t["step"].item() == 12
torch.testing.assert_close(gru(block(t["x"]))[0], t["y"], atol=1e-5, rtol=1e-5)
"#;
    let output = Command::new(&python).args(["-c", script]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
