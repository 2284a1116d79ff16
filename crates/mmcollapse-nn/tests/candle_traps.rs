//! Where candle 0.11 errs, and that what stands in its place here does not.
//!
//! Each case differentiates candle's operation and ours in f64 and judges both by finite differences. If a case
//! fails because candle's operation became right, the replacement has lost one of its reasons.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_nn::RNN;
use mmcollapse_nn::layers::{Gru, LayerNorm};
use mmcollapse_nn::random::Stream;
use mmcollapse_nn::{D, DType, Device, Params, Result, Tensor, Var, losses, ops};

/// What finite differences say about the gradients of a function.
#[derive(Debug, PartialEq)]
enum Verdict {
    Right,
    Wrong,
    /// Backward succeeds and some input gets nothing.
    Missing,
    /// Backward, or the function itself, returns an error.
    Fails,
}

type Function<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

fn judge(shapes: &[&[usize]], f: Function<'_>) -> Verdict {
    gradients(shapes, f).unwrap_or(Verdict::Fails)
}

fn gradients(shapes: &[&[usize]], f: Function<'_>) -> Result<Verdict> {
    const STEP: f64 = 1e-5;
    // Distinct values, so that maxima are unique.
    let values: Vec<Vec<f64>> = shapes
        .iter()
        .map(|shape| {
            let n: usize = shape.iter().product();
            (0..n).map(|i| ((i * 7 + 3) % n) as f64 / n as f64 - 0.45).collect()
        })
        .collect();
    let variables = |values: &[Vec<f64>]| -> Result<Vec<Var>> {
        let variable = |(shape, values): (&&[usize], &Vec<f64>)| {
            Var::from_tensor(&Tensor::from_vec(values.clone(), *shape, &Device::Cpu)?)
        };
        shapes.iter().zip(values).map(variable).collect()
    };
    let loss = |vars: &[Var]| -> Result<Tensor> {
        let inputs: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let output = f(&inputs)?.flatten_all()?;
        let weights: Vec<f64> = (0..output.elem_count()).map(|i| 1.0 + (i % 5) as f64).collect();
        (output * Tensor::new(weights, &Device::Cpu)?)?.sum_all()
    };
    let vars = variables(&values)?;
    let store = loss(&vars)?.backward()?;
    let mut verdict = Verdict::Right;
    for (input, var) in vars.iter().enumerate() {
        let Some(gradient) = store.get(var) else {
            return Ok(Verdict::Missing);
        };
        let gradient = gradient.flatten_all()?.to_vec1::<f64>()?;
        for (i, analytic) in gradient.iter().enumerate() {
            let at = |shift: f64| -> Result<f64> {
                let mut values = values.clone();
                values[input][i] += shift;
                loss(&variables(&values)?)?.to_scalar()
            };
            let numeric = (at(STEP)? - at(-STEP)?) / (2.0 * STEP);
            if (numeric - analytic).abs() > 1e-5 * numeric.abs().max(1.0) {
                verdict = Verdict::Wrong;
            }
        }
    }
    Ok(verdict)
}

/// candle's operation gets `verdict`, ours is right.
fn trap(shapes: &[&[usize]], verdict: Verdict, candle: Function<'_>, ours: Function<'_>) {
    assert_eq!(judge(shapes, candle), verdict, "candle's operation");
    assert_eq!(judge(shapes, ours), Verdict::Right, "our operation");
}

#[test]
fn max_pool2d_is_wrong_on_odd_sizes_and_fails_for_other_strides() {
    trap(&[&[1, 2, 3, 3]], Verdict::Wrong, &|t| t[0].max_pool2d(2), &|t| {
        ops::max_pool2d(&t[0], 2, 2)
    });
    trap(
        &[&[1, 2, 5, 5]],
        Verdict::Fails,
        &|t| t[0].max_pool2d_with_stride(2, 4),
        &|t| ops::max_pool2d(&t[0], 2, 4),
    );
}

#[test]
fn max_pool2d_spreads_and_scales_the_gradient_on_ties() {
    let gradient = |f: Function<'_>| {
        let x = Var::zeros((1, 1, 2, 2), DType::F64, &Device::Cpu).unwrap();
        let store = f(&[x.as_tensor().clone()])
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        store.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    let candle = gradient(&|t| t[0].max_pool2d(2));
    assert_ne!(candle, [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(gradient(&|t| ops::max_pool2d(&t[0], 2, 2)), [1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn avg_pool2d_is_wrong_on_odd_sizes_and_fails_for_other_strides() {
    // On odd sizes it either returns a wrong gradient or none at all, depending on the size.
    let candle = judge(&[&[1, 2, 7, 7]], &|t| t[0].avg_pool2d(2));
    assert!(matches!(candle, Verdict::Wrong | Verdict::Fails), "{candle:?}");
    assert_eq!(
        judge(&[&[1, 2, 7, 7]], &|t| ops::avg_pool2d(&t[0], 2, 2)),
        Verdict::Right
    );
    trap(
        &[&[1, 2, 5, 5]],
        Verdict::Fails,
        &|t| t[0].avg_pool2d_with_stride(3, 2),
        &|t| ops::avg_pool2d(&t[0], 3, 2),
    );
}

#[test]
fn conv1d_is_wrong_for_its_weight() {
    trap(
        &[&[2, 4, 9], &[6, 4, 3]],
        Verdict::Wrong,
        &|t| t[0].conv1d(&t[1], 1, 1, 1, 1),
        &|t| {
            let x = t[0].pad_with_zeros(2, 1, 1)?.unsqueeze(2)?; // an image of height 1
            ops::conv2d(&x, &t[1].unsqueeze(2)?, None, 1, 0)?.squeeze(2)
        },
    );
}

#[test]
fn conv2d_fails_where_the_stride_leaves_a_column_over_but_no_row() {
    trap(
        &[&[1, 2, 8, 6], &[3, 2, 2, 2]],
        Verdict::Fails,
        &|t| t[0].conv2d(&t[1], 0, 3, 1, 1),
        &|t| ops::conv2d(&t[0], &t[1], None, 3, 0),
    );
}

#[test]
fn layer_norm_has_no_gradient() {
    let verdict = judge(&[&[3, 5], &[5], &[5]], &|t| {
        let [x, weight, bias] = [0, 1, 2].map(|i| t[i].to_dtype(DType::F32)); // there is no f64 version
        let layer = candle_nn::LayerNorm::new(weight?, bias?, 1e-5);
        candle_nn::Module::forward(&layer, &x?)?.to_dtype(DType::F64)
    });
    assert_eq!(verdict, Verdict::Missing);
    let params = Params::with_dtype(0, &Device::Cpu, DType::F64);
    let ours = LayerNorm::new(&params.root(), 5).unwrap();
    assert_eq!(judge(&[&[3, 5]], &|t| ours.forward(&t[0])), Verdict::Right);
}

#[test]
fn softmax_last_dim_and_rms_norm_have_no_gradient() {
    trap(
        &[&[3, 5]],
        Verdict::Missing,
        &|t| candle_nn::ops::softmax_last_dim(&t[0]),
        &|t| candle_nn::ops::softmax(&t[0], D::Minus1),
    );
    let verdict = judge(&[&[3, 5], &[5]], &|t| {
        let [x, weight] = [0, 1].map(|i| t[i].to_dtype(DType::F32));
        candle_nn::ops::rms_norm(&x?, &weight?, 1e-5)?.to_dtype(DType::F64)
    });
    assert_eq!(verdict, Verdict::Missing);
}

#[test]
fn unfold_scatter_add_and_conv_transpose1d_fail_in_backward() {
    let index = Tensor::new(&[[0u32, 2, 2]], &Device::Cpu).unwrap();
    let cases: [(&[&[usize]], Function<'_>); 3] = [
        (&[&[3, 6]], &|t| t[0].unfold(1, 3, 1)),
        (&[&[1, 4], &[1, 3]], &|t| t[0].scatter_add(&index, &t[1], 1)),
        (&[&[2, 3, 5], &[3, 4, 3]], &|t| {
            t[0].conv_transpose1d(&t[1], 1, 0, 2, 1, 1)
        }),
    ];
    for (shapes, candle) in cases {
        assert_eq!(judge(shapes, candle), Verdict::Fails, "{shapes:?}");
    }
}

#[test]
fn relu_has_gradient_one_at_zero() {
    let gradient = |f: Function<'_>| {
        let x = Var::zeros(1, DType::F64, &Device::Cpu).unwrap();
        let store = f(&[x.as_tensor().clone()])
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        store.get(&x).unwrap().to_vec1::<f64>().unwrap()
    };
    assert_eq!(gradient(&|t| t[0].relu()), [1.0]);
    assert_eq!(gradient(&|t| ops::relu(&t[0])), [0.0]);
}

#[test]
fn binary_cross_entropy_overflows() {
    let logits = Tensor::new(&[[100f32, -100.0]], &Device::Cpu).unwrap();
    let targets = logits.zeros_like().unwrap();
    let candle = candle_nn::loss::binary_cross_entropy_with_logit(&logits, &targets).unwrap();
    assert!(!candle.to_scalar::<f32>().unwrap().is_finite());
    let ours = losses::bce_with_logits(&logits, &targets, None).unwrap();
    assert!((ours.to_scalar::<f32>().unwrap() - 50.0).abs() < 1e-4);
}

#[test]
fn gru_stacks_its_states_wrongly() {
    let params = Params::new(0, &Device::Cpu);
    let ours = Gru::new(&params.root(), 3, 4).unwrap();
    let weights: HashMap<String, Tensor> = params
        .vars()
        .into_iter()
        .map(|(name, var)| (name, var.as_tensor().clone()))
        .collect();
    let builder = candle_nn::VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    let candle = candle_nn::gru(3, 4, candle_nn::GRUConfig::default(), builder).unwrap();
    let x = Tensor::ones((2, 5, 3), DType::F32, &Device::Cpu).unwrap();
    let states = candle.seq(&x).unwrap();
    let stacked = candle.states_to_tensor(&states).unwrap();
    assert_ne!(stacked.dims(), [2, 5, 4]);
    let states_of_ours = ours.forward(&x).unwrap();
    assert_eq!(states_of_ours.dims(), [2, 5, 4]);
    // Its single steps are right, and the same as ours.
    let last = states_of_ours.narrow(1, 4, 1).unwrap().squeeze(1).unwrap();
    let difference = (last - states[4].h()).unwrap().abs().unwrap().max_all().unwrap();
    assert!(difference.to_scalar::<f32>().unwrap() < 1e-6);
}

#[test]
fn the_generator_of_the_cpu_cannot_be_seeded() {
    assert!(Device::Cpu.set_seed(1).is_err());
    let draw = || Stream::new(1, "test").normal_vec(3);
    assert_eq!(draw(), draw());
}

/// Operations that no source file of the workspace may use, by what calls look like.
const FORBIDDEN: [&str; 23] = [
    ".conv2d(",
    ".max_pool2d(",
    ".max_pool2d_with_stride(",
    ".avg_pool2d(",
    ".avg_pool2d_with_stride(",
    ".conv1d(",
    ".conv_transpose1d(",
    ".unfold(",
    ".scatter_add(",
    ".relu()",
    "softmax_last_dim(",
    "::rms_norm(",
    "candle_nn::LayerNorm",
    "candle_nn::layer_norm(",
    "candle_nn::RmsNorm",
    "candle_nn::Dropout",
    "candle_nn::ops::dropout",
    "candle_nn::VarMap",
    "binary_cross_entropy_with_logit(",
    "states_to_tensor(",
    "Tensor::randn(",
    "Tensor::rand(",
    "Var::randn",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_source_uses_an_operation_that_errs() {
    let crates = Path::new("..");
    let mut files = Vec::new();
    for entry in fs::read_dir(crates).unwrap().flatten() {
        sources(&entry.path().join("src"), &mut files);
    }
    assert!(
        files.iter().any(|file| file.ends_with("ops/pool.rs")),
        "no sources were found"
    );
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (i, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            // It gives the convolution the gradients that candle's lacks on a card.
            let ours = file.ends_with("ops/conv_grafted.rs");
            if let Some(call) = FORBIDDEN.iter().find(|call| code.contains(**call) && !ours) {
                panic!(
                    "{}:{}: `{call}` errs in candle; use what mmcollapse_nn has in its place",
                    file.display(),
                    i + 1
                );
            }
        }
    }
}
