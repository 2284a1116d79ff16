//! Gradients of the operations, by finite differences.
//!
//! Each operation has up to three checks. Its composed path is differentiated in f64, where central
//! differences leave six good digits or more. On the CPU in f32 the fused path has to agree with the composed one
//! in value and in every gradient. And the fused path gives the same bits on one thread and on several.

use std::fmt::Debug;
use std::sync::LazyLock;

use mmcollapse_nn::device::test_device;
use mmcollapse_nn::random::Stream;
use mmcollapse_nn::{DType, Device, Result, Tensor, Var, ops};
use rayon::ThreadPoolBuilder;

/// `MMCOLLAPSE_TEST_DEVICE=cuda:0` runs these tests there, where both paths are the composed one.
static DEVICE: LazyLock<Device> = LazyLock::new(|| test_device().unwrap());

/// Step of the central difference; its error is about `STEP^2`, that of the rounding about `1e-16 / STEP`.
const STEP: f64 = 1e-5;

/// Inputs whose values keep away from 0 and from each other, so that no kink lies within [`STEP`].
fn inputs(name: &str, shapes: &[&[usize]]) -> Vec<Vec<f64>> {
    let mut stream = Stream::new(7, name);
    shapes
        .iter()
        .map(|shape| {
            let n: usize = shape.iter().product();
            let mut values: Vec<f64> = (0..n).map(|i| (i as f64 + 0.5) / n as f64 * 2.0 - 1.0).collect();
            stream.shuffle(&mut values);
            values.iter().map(|v| v + v.signum() * 1e-3).collect()
        })
        .collect()
}

fn vars(shapes: &[&[usize]], values: &[Vec<f64>], dtype: DType) -> Vec<Var> {
    let variable = |(shape, values): (&&[usize], &Vec<f64>)| {
        let tensor = Tensor::from_vec(values.clone(), *shape, &DEVICE)?.to_dtype(dtype)?;
        Var::from_tensor(&tensor)
    };
    shapes.iter().zip(values).map(variable).collect::<Result<_>>().unwrap()
}

fn tensors(vars: &[Var]) -> Vec<Tensor> {
    vars.iter().map(|var| var.as_tensor().clone()).collect()
}

/// A scalar that depends on each output in its own way.
fn scalar(output: &Tensor) -> Tensor {
    let n = output.elem_count();
    let weights: Vec<f64> = (0..n).map(|i| ((i * 37 + 11) % 101) as f64 / 50.0 - 1.0).collect();
    let weights = Tensor::from_vec(weights, output.shape(), &DEVICE)
        .and_then(|weights| weights.to_dtype(output.dtype()))
        .unwrap();
    (output * weights).unwrap().sum_all().unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor
        .to_dtype(DType::F64)
        .and_then(|t| t.contiguous()?.flatten_all()?.to_vec1())
        .unwrap()
}

/// Value and gradients of `f` at `vars`; every variable has to get a gradient.
fn differentiate(vars: &[Var], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let output = f(&tensors(vars)).unwrap();
    let gradients = scalar(&output).backward().unwrap();
    let gradients = vars
        .iter()
        .map(|var| numbers(gradients.get(var).expect("a variable got no gradient")))
        .collect();
    (numbers(&output), gradients)
}

fn assert_close(what: impl Debug, a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what:?}");
    let scale = b.iter().fold(1.0f64, |scale, v| scale.max(v.abs()));
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what:?}, value {i}: {a} and {b}");
    }
}

/// `f` in f64 has the gradients that finite differences find.
fn check_f64(name: &str, shapes: &[&[usize]], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let values = inputs(name, shapes);
    let (_, gradients) = differentiate(&vars(shapes, &values, DType::F64), &f);
    for (input, shape) in shapes.iter().enumerate() {
        let n: usize = shape.iter().product();
        for i in (0..n).step_by((n / 60).max(1)) {
            let at = |shift: f64| {
                let mut values = values.clone();
                values[input][i] += shift;
                let output = f(&tensors(&vars(shapes, &values, DType::F64))).unwrap();
                scalar(&output).to_scalar::<f64>().unwrap()
            };
            let numeric = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            let analytic = gradients[input][i];
            assert!(
                (numeric - analytic).abs() <= 1e-6 * numeric.abs().max(1.0),
                "{name}: input {input}, value {i}: {analytic} by the graph, {numeric} by differences"
            );
        }
    }
}

/// In f32 on the CPU, `fused` has the values and gradients of `composed` in f64, and the same bits on any number
/// of threads.
fn check_fused(
    name: &str,
    shapes: &[&[usize]],
    fused: impl Fn(&[Tensor]) -> Result<Tensor> + Sync,
    composed: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let values = inputs(name, shapes);
    let run = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| differentiate(&vars(shapes, &values, DType::F32), &fused))
    };
    let (output, gradients) = run(1);
    if DEVICE.is_cpu() {
        let again = run(3);
        assert_eq!(
            (&output, &gradients),
            (&again.0, &again.1),
            "{name}: threads change the result"
        );
    }
    let (expected, expected_gradients) = differentiate(&vars(shapes, &values, DType::F64), composed);
    let tolerance = if DEVICE.is_cpu() { 2e-6 } else { 1e-5 };
    assert_close((name, "value"), &output, &expected, tolerance);
    for (input, (ours, theirs)) in gradients.iter().zip(&expected_gradients).enumerate() {
        assert_close((name, "gradient", input), ours, theirs, 1e-4);
    }
}

/// All checks of an operation that has a fused and a composed path.
fn check(
    name: &str,
    shapes: &[&[usize]],
    fused: impl Fn(&[Tensor]) -> Result<Tensor> + Sync,
    composed: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    check_f64(name, shapes, &composed);
    check_fused(name, shapes, fused, composed);
}

#[test]
fn relu() {
    check("relu", &[&[4, 9]], |t| ops::relu(&t[0]), |t| ops::relu_composed(&t[0]));
}

#[test]
fn relu_has_gradient_zero_at_zero_and_keeps_nan() {
    for dtype in [DType::F32, DType::F64] {
        let x = Tensor::new(&[0f32, -0.0, 1.0, -1.0, f32::NAN], &DEVICE).unwrap();
        let x = Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap();
        let y = ops::relu(&x).unwrap();
        let gradient = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(numbers(gradient.get(&x).unwrap())[..4], [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(numbers(&y)[..4], [0.0, 0.0, 1.0, 0.0]);
        assert!(numbers(&y)[4].is_nan());
    }
}

#[test]
fn gradient_reversal() {
    // The gradient is by design not that of the value, so finite differences do not apply.
    let x = Tensor::new(&[0.3f32, -2.0, 5.5], &DEVICE).unwrap();
    for dtype in [DType::F32, DType::F64] {
        let x = Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap();
        let y = ops::gradient_reversal(&x, 0.25).unwrap();
        assert_close(dtype, &numbers(&y), &numbers(&x), 1e-6);
        let loss = y.sqr().unwrap().sum_all().unwrap();
        let gradient = loss.backward().unwrap();
        let expected: Vec<f64> = numbers(&x).iter().map(|x| -0.25 * 2.0 * x).collect();
        assert_close(dtype, &numbers(gradient.get(&x).unwrap()), &expected, 1e-6);
    }
}

/// Constants for [`absolute_distance`], away from all inputs.
fn targets(like: &Tensor) -> Tensor {
    let dims = like.dims();
    let shape = &dims[dims.len() - 2..];
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|i| [-2.0, 0.0, 2.0][i % 3]).collect();
    let values = Tensor::from_vec(values, shape, &DEVICE).unwrap();
    values.to_dtype(like.dtype()).unwrap()
}

#[test]
fn absolute_distance() {
    let ours = |t: &[Tensor]| ops::absolute_distance(&t[0], &targets(&t[0]));
    let composed = |t: &[Tensor]| ops::absolute_distance_composed(&t[0], &targets(&t[0]));
    check("absolute distance", &[&[2, 3, 4, 37]], ours, composed);
    check("absolute distance of rows", &[&[5, 16]], ours, composed);
    check_fused(
        "absolute distance, large enough for threads",
        &[&[300, 70, 53]],
        ours,
        composed,
    );
}

#[test]
fn linear() {
    for relu in [false, true] {
        check(
            "linear",
            &[&[5, 7], &[4, 7], &[4]],
            |t| ops::linear(&t[0], &t[1], Some(&t[2]), relu),
            |t| ops::linear_composed(&t[0], &t[1], Some(&t[2]), relu),
        );
        check(
            "linear of a sequence, without bias",
            &[&[2, 3, 7], &[4, 7]],
            |t| ops::linear(&t[0], &t[1], None, relu),
            |t| ops::linear_composed(&t[0], &t[1], None, relu),
        );
    }
    check_fused(
        "linear large enough for threads",
        &[&[70, 90], &[110, 90], &[110]],
        |t| ops::linear(&t[0], &t[1], Some(&t[2]), true),
        |t| ops::linear_composed(&t[0], &t[1], Some(&t[2]), true),
    );
}

/// Wide weights take another path with 2 to 64 rows.
#[test]
fn linear_of_few_rows() {
    for (rows, inputs, outputs) in [
        (1, 257, 260),
        (2, 257, 260),
        (3, 500, 137),
        (32, 256, 256),
        (33, 1024, 67),
        (64, 192, 97),
        (64, 191, 97),
        (65, 192, 97),
        (128, 256, 256),
    ] {
        let name = format!("linear of {rows} rows, {inputs} to {outputs}");
        let shapes: [&[usize]; 3] = [&[rows, inputs], &[outputs, inputs], &[outputs]];
        for relu in [false, true] {
            check_fused(
                &name,
                &shapes,
                |t| ops::linear(&t[0], &t[1], Some(&t[2]), relu),
                |t| ops::linear_composed(&t[0], &t[1], Some(&t[2]), relu),
            );
            check_fused(
                &name,
                &shapes[..2],
                |t| ops::linear(&t[0], &t[1], None, relu),
                |t| ops::linear_composed(&t[0], &t[1], None, relu),
            );
        }
    }
}

#[test]
fn linear_of_a_view() {
    check(
        "linear of a view",
        &[&[7, 5], &[4, 7], &[4]],
        |t| ops::linear(&t[0].t()?, &t[1], Some(&t[2]), false),
        |t| ops::linear_composed(&t[0].t()?, &t[1], Some(&t[2]), false),
    );
}

#[test]
fn conv2d() {
    // (input, weight, stride, padding): odd sizes, one and many channels, kernels as large as the image.
    let cases: [(&[usize], &[usize], usize, usize); 9] = [
        (&[2, 3, 6, 7], &[4, 3, 3, 3], 1, 0),
        (&[2, 3, 6, 5], &[4, 3, 3, 3], 1, 1),
        (&[3, 1, 8, 8], &[5, 1, 5, 5], 1, 2),
        (&[2, 2, 5, 5], &[13, 2, 2, 2], 1, 0),
        (&[1, 2, 3, 4], &[3, 2, 1, 1], 1, 0),
        (&[2, 2, 3, 3], &[1, 2, 3, 3], 1, 0),
        (&[2, 2, 1, 9], &[3, 2, 1, 4], 1, 0),
        (&[2, 2, 7, 7], &[3, 2, 3, 3], 2, 1),
        (&[2, 2, 8, 6], &[3, 2, 2, 2], 3, 0),
    ];
    for (x, w, stride, padding) in cases {
        let name = format!("conv2d {x:?} {w:?} stride {stride} padding {padding}");
        check(
            &name,
            &[x, w, &[w[0]]],
            |t| ops::conv2d(&t[0], &t[1], Some(&t[2]), stride, padding),
            |t| ops::conv2d_composed(&t[0], &t[1], Some(&t[2]), stride, padding),
        );
        check(
            &name,
            &[x, w],
            |t| ops::conv2d(&t[0], &t[1], None, stride, padding),
            |t| ops::conv2d_composed(&t[0], &t[1], None, stride, padding),
        );
    }
}

/// candle's CUDA backward takes the transposed gradient for a contiguous one; see `ops/conv_grafted.rs`.
#[test]
fn conv2d_of_candle_errs_on_a_card() {
    let shapes: [&[usize]; 2] = [&[2, 3, 6, 7], &[4, 3, 3, 3]];
    let values = inputs("conv2d of candle", &shapes);
    let weights = |f: &dyn Fn(&[Tensor]) -> Result<Tensor>| {
        let (_, gradients) = differentiate(&vars(&shapes, &values, DType::F64), f);
        gradients[1].clone()
    };
    let candle = weights(&|t| t[0].conv2d(&t[1], 0, 1, 1, 1));
    let ours = weights(&|t| ops::conv2d_composed(&t[0], &t[1], None, 1, 0));
    let agree = candle.iter().zip(&ours).all(|(a, b)| (a - b).abs() < 1e-9);
    assert_eq!(
        agree,
        DEVICE.is_cpu(),
        "where candle is right on a card too, `conv_grafted.rs` can go"
    );
}

#[test]
fn conv2d_of_a_whole_batch() {
    // Several groups in several parts, the last of them not full; and images larger than a run.
    let cases: [(&[usize], &[usize], usize); 3] = [
        (&[39, 2, 12, 12], &[10, 2, 5, 5], 0),
        (&[21, 4, 20, 20], &[9, 4, 2, 2], 0),
        (&[9, 3, 50, 37], &[7, 3, 3, 3], 1),
    ];
    for (x, w, padding) in cases {
        check_fused(
            &format!("conv2d {x:?} {w:?} padding {padding}"),
            &[x, w, &[w[0]]],
            |t| ops::conv2d(&t[0], &t[1], Some(&t[2]), 1, padding),
            |t| ops::conv2d_composed(&t[0], &t[1], Some(&t[2]), 1, padding),
        );
        check_fused(
            &format!("conv2d_relu_pool2 {x:?} {w:?} padding {padding}"),
            &[x, w, &[w[0]]],
            |t| ops::conv2d_relu_pool2(&t[0], &t[1], Some(&t[2]), padding),
            |t| ops::conv2d_relu_pool2_composed(&t[0], &t[1], Some(&t[2]), padding),
        );
    }
}

#[test]
fn conv2d_relu_pool2() {
    // Even and odd maps: the last row and column of an odd one are left out.
    let cases: [(&[usize], &[usize], usize); 4] = [
        (&[2, 3, 6, 6], &[4, 3, 3, 3], 1),
        (&[2, 3, 7, 6], &[4, 3, 3, 3], 1),
        (&[3, 2, 8, 9], &[7, 2, 5, 5], 0),
        (&[2, 2, 3, 3], &[3, 2, 2, 2], 0),
    ];
    for (x, w, padding) in cases {
        check(
            &format!("conv2d_relu_pool2 {x:?} {w:?} padding {padding}"),
            &[x, w, &[w[0]]],
            |t| ops::conv2d_relu_pool2(&t[0], &t[1], Some(&t[2]), padding),
            |t| ops::conv2d_relu_pool2_composed(&t[0], &t[1], Some(&t[2]), padding),
        );
    }
}

#[test]
fn pooling() {
    // Windows that tile, overlap and leave gaps, on even and odd sizes.
    for (k, stride) in [(2, 2), (3, 3), (3, 2), (2, 1), (2, 4), (1, 1)] {
        for (h, w) in [(6, 6), (7, 8), (9, 7)] {
            let x: &[usize] = &[2, 3, h, w];
            check(
                &format!("max_pool2d {h} x {w}, window {k} stride {stride}"),
                &[x],
                |t| ops::max_pool2d(&t[0], k, stride),
                |t| ops::max_pool2d_composed(&t[0], k, stride),
            );
            check(
                &format!("avg_pool2d {h} x {w}, window {k} stride {stride}"),
                &[x],
                |t| ops::avg_pool2d(&t[0], k, stride),
                |t| ops::avg_pool2d_composed(&t[0], k, stride),
            );
        }
    }
}

#[test]
fn the_first_of_equal_maxima_gets_the_gradient() {
    let zeros = vec![0.0; 32];
    let max_pool2d: fn(&Tensor, usize, usize) -> Result<Tensor> = |x, k, stride| ops::max_pool2d(x, k, stride);
    for (dtype, max_pool2d) in [
        (DType::F32, max_pool2d),
        (DType::F32, ops::max_pool2d_composed),
        (DType::F64, max_pool2d),
    ] {
        let shapes: &[&[usize]] = &[&[1, 2, 4, 4]];
        let x = vars(shapes, std::slice::from_ref(&zeros), dtype);
        let y = max_pool2d(&x[0], 2, 2).unwrap();
        let gradient = y.sum_all().unwrap().backward().unwrap();
        let row = [[1.0, 0.0, 1.0, 0.0], [0.0; 4]].concat();
        let expected = [&row[..], &row, &row, &row].concat();
        assert_eq!(numbers(gradient.get(&x[0]).unwrap()), expected, "{dtype:?}");
    }
}

#[test]
fn batch_norm() {
    for relu in [false, true] {
        check(
            "batch_norm_train",
            &[&[3, 4, 3, 5], &[4], &[4]],
            |t| Ok(ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-5, relu)?.0),
            |t| Ok(ops::batch_norm_train_composed(&t[0], &t[1], &t[2], 1e-5, relu)?.0),
        );
        let statistics = |dtype: DType| {
            let tensor = |values: [f64; 4]| Tensor::new(&values, &DEVICE)?.to_dtype(dtype);
            Ok::<_, mmcollapse_nn::Error>((tensor([0.1, -0.2, 0.0, 0.4])?, tensor([0.5, 1.0, 2.0, 0.3])?))
        };
        check(
            "batch_norm_eval",
            &[&[3, 4, 3, 5], &[4], &[4]],
            |t| {
                let (mean, variance) = statistics(DType::F32)?;
                ops::batch_norm_eval(&t[0], &t[1], &t[2], &mean, &variance, 1e-5, relu)
            },
            |t| {
                let (mean, variance) = statistics(DType::F64)?;
                ops::batch_norm_eval_composed(&t[0], &t[1], &t[2], &mean, &variance, 1e-5, relu)
            },
        );
    }
    check_fused(
        "batch_norm_train of a whole batch",
        &[&[17, 5, 11, 13], &[5], &[5]],
        |t| Ok(ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-5, true)?.0),
        |t| Ok(ops::batch_norm_train_composed(&t[0], &t[1], &t[2], 1e-5, true)?.0),
    );
}

#[test]
fn conv2d_batch_norm_relu() {
    let run = |t: &[Tensor], padding: usize, fused: bool| {
        let conv = ops::Convolution {
            weight: &t[1],
            bias: &t[2],
            padding,
        };
        if fused {
            ops::conv2d_batch_norm_relu(&t[0], conv, &t[3], &t[4], 1e-5)?
                .0
                .into_tensor()
        } else {
            Ok(ops::conv2d_batch_norm_relu_composed(&t[0], conv, &t[3], &t[4], 1e-5)?.0)
        }
    };
    check(
        "conv2d_batch_norm_relu",
        &[&[3, 2, 5, 6], &[4, 2, 3, 3], &[4], &[4], &[4]],
        |t| run(t, 1, true),
        |t| run(t, 1, false),
    );
    check_fused(
        "conv2d_batch_norm_relu of a whole batch",
        &[&[21, 4, 20, 20], &[9, 4, 2, 2], &[9], &[9], &[9]],
        |t| run(t, 0, true),
        |t| run(t, 0, false),
    );
    let shapes: &[&[usize]] = &[&[3, 2, 5, 6], &[4, 2, 3, 3], &[4], &[4], &[4]];
    let values = inputs("statistics", shapes);
    let statistics = |dtype: DType| {
        let t = tensors(&vars(shapes, &values, dtype));
        let conv = ops::Convolution {
            weight: &t[1],
            bias: &t[2],
            padding: 0,
        };
        let (_, mean, variance) = ops::conv2d_batch_norm_relu(&t[0], conv, &t[3], &t[4], 1e-5).unwrap();
        [numbers(&mean), numbers(&variance)].concat()
    };
    assert_close("statistics", &statistics(DType::F32), &statistics(DType::F64), 1e-6);
}

#[test]
fn linked_operations() {
    let shapes: &[&[usize]] = &[&[3, 2, 7, 6], &[4, 2, 2, 2], &[4], &[4], &[4], &[4, 4, 2, 2], &[4]];
    // Two convolutions in a row, the first's maps read by a pool and by the graph as well.
    let run = |t: &[Tensor], fused: bool| {
        let conv = |weight, bias| ops::Convolution {
            weight,
            bias,
            padding: 0,
        };
        let (first, second) = (conv(&t[1], &t[2]), conv(&t[5], &t[6]));
        let [y, pooled, last] = if fused {
            let (y, ..) = ops::conv2d_batch_norm_relu(&t[0], first, &t[3], &t[4], 1e-5)?;
            let (last, ..) = ops::conv2d_batch_norm_relu(y.clone(), second, &t[3], &t[4], 1e-5)?;
            [
                y.clone().into_tensor()?,
                ops::max_pool2d(y, 2, 2)?,
                ops::avg_pool2d(last, 2, 1)?,
            ]
        } else {
            let (y, ..) = ops::conv2d_batch_norm_relu_composed(&t[0], first, &t[3], &t[4], 1e-5)?;
            let (last, ..) = ops::conv2d_batch_norm_relu_composed(&y, second, &t[3], &t[4], 1e-5)?;
            let pooled = ops::max_pool2d_composed(&y, 2, 2)?;
            [y, pooled, ops::avg_pool2d_composed(&last, 2, 1)?]
        };
        Tensor::cat(&[y, pooled, last].map(|t| t.flatten_all().unwrap()), 0)
    };
    check("links", shapes, |t| run(t, true), |t| run(t, false));
}

#[test]
fn batch_norm_statistics() {
    let shapes: &[&[usize]] = &[&[3, 2, 4, 5], &[2], &[2]];
    let values = inputs("batch norm statistics", shapes);
    let statistics = |dtype: DType| {
        let t = tensors(&vars(shapes, &values, dtype));
        // A mean that dwarfs the deviation: one-pass formulas lose it here.
        let x = (&t[0] + 300.0).unwrap();
        let (_, mean, variance) = ops::batch_norm_train(&x, &t[1], &t[2], 1e-5, false).unwrap();
        (numbers(&mean), numbers(&variance))
    };
    let (mean, variance) = statistics(DType::F32);
    let (expected_mean, expected_variance) = statistics(DType::F64);
    assert_close("mean", &mean, &expected_mean, 1e-6);
    assert_close("variance", &variance, &expected_variance, 1e-4);
}

#[test]
fn softmax_cross_entropy() {
    let targets = [2, 0, 3, 3, 1];
    check(
        "softmax_cross_entropy",
        &[&[5, 4]],
        |t| ops::softmax_cross_entropy(&t[0], &targets),
        |t| ops::softmax_cross_entropy_composed(&t[0], &targets),
    );
    // Far beyond what exp can take.
    let large = Tensor::new(&[[1000f32, 0.0], [-1000.0, 0.0]], &DEVICE).unwrap();
    let loss = ops::softmax_cross_entropy(&large, &[0, 0]).unwrap();
    assert_eq!(loss.to_scalar::<f32>().unwrap(), 500.0);
}

/// On the processor: a card is launched for no elements with an error.
#[test]
fn an_empty_batch_passes() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let (x, w, b) = (zeros(&[0, 2, 6, 6]), zeros(&[3, 2, 3, 3]), zeros(&[3]));
    assert_eq!(ops::conv2d(&x, &w, Some(&b), 1, 1).unwrap().dims(), [0, 3, 6, 6]);
    assert_eq!(
        ops::conv2d_relu_pool2(&x, &w, Some(&b), 1).unwrap().dims(),
        [0, 3, 3, 3]
    );
    assert_eq!(ops::max_pool2d(&x, 2, 4).unwrap().dims(), [0, 2, 2, 2]);
    assert_eq!(
        ops::linear(&zeros(&[0, 4]), &zeros(&[3, 4]), Some(&b), true)
            .unwrap()
            .dims(),
        [0, 3]
    );
}

#[test]
fn errors_name_what_does_not_fit() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &DEVICE).unwrap();
    let image = zeros(&[1, 2, 4, 4]);
    let errors = [
        ops::conv2d(&image, &zeros(&[3, 1, 2, 2]), None, 1, 0),
        ops::conv2d(&image, &zeros(&[0, 2, 2, 2]), None, 1, 0),
        ops::conv2d(&zeros(&[1, 2, 0, 4]), &zeros(&[3, 2, 2, 2]), None, 1, 1),
        ops::linear(&zeros(&[2, 3]), &zeros(&[0, 3]), None, false),
        ops::conv2d(&image, &zeros(&[3, 2, 5, 5]), None, 1, 0),
        ops::conv2d(&image, &zeros(&[3, 2, 2, 2]), Some(&zeros(&[2])), 1, 0),
        ops::conv2d(&image, &zeros(&[3, 2, 2, 2]), None, 0, 0),
        ops::conv2d_relu_pool2(&image, &zeros(&[3, 2, 4, 4]), None, 0),
        ops::max_pool2d(&image, 5, 1),
        ops::avg_pool2d(&image, 2, 0),
        ops::linear(&zeros(&[2, 3]), &zeros(&[4, 2]), None, false),
        ops::linear(&zeros(&[2, 3]), &zeros(&[4, 3]), Some(&zeros(&[3])), false),
        ops::softmax_cross_entropy(&zeros(&[2, 3]), &[0, 3]),
        ops::softmax_cross_entropy(&zeros(&[2, 3]), &[0]),
        ops::batch_norm_train(&image, &zeros(&[3]), &zeros(&[2]), 1e-5, false).map(|t| t.0),
        ops::batch_norm_train(&zeros(&[1, 2, 1, 1]), &zeros(&[2]), &zeros(&[2]), 1e-5, false).map(|t| t.0),
    ];
    for (i, error) in errors.into_iter().enumerate() {
        let message = error.expect_err(&format!("case {i} was taken")).to_string();
        assert!(message.contains(|c: char| c.is_ascii_digit()), "case {i}: {message}");
    }
}

/// An operation whose f64 form is candle's and whose f32 form is ours.
fn check_both(name: &str, shapes: &[&[usize]], f: impl Fn(&[Tensor]) -> Result<Tensor> + Sync) {
    check_f64(name, shapes, &f);
    check_fused(name, shapes, &f, &f);
}

#[test]
fn elementary_functions() {
    let shapes: &[&[usize]] = &[&[3, 37]];
    check_both("exp", shapes, |x| ops::exp(&x[0]));
    check_both("ln", shapes, |x| ops::ln(&(x[0].sqr()? + 0.1)?));
    check_both("tanh", shapes, |x| ops::tanh(&(&x[0] * 3.0)?));
    check_both("erf", shapes, |x| ops::erf(&(&x[0] * 2.0)?));
    check_both("sigmoid", shapes, |x| ops::sigmoid(&(&x[0] * 4.0)?));
    check_both("exp of a transpose", shapes, |x| ops::exp(&x[0].t()?));
}

#[test]
fn products_of_matrices_however_they_lie() {
    check_both("matmul", &[&[5, 7], &[7, 4]], |x| ops::matmul(&x[0], &x[1]));
    check_both("matmul, left transposed", &[&[7, 5], &[7, 4]], |x| {
        ops::matmul(&x[0].t()?, &x[1])
    });
    check_both("matmul, right transposed", &[&[5, 7], &[4, 7]], |x| {
        ops::matmul(&x[0], &x[1].t()?)
    });
    check_both("matmul, both transposed", &[&[7, 5], &[4, 7]], |x| {
        ops::matmul(&x[0].t()?, &x[1].t()?)
    });
    check_both("batches", &[&[2, 3, 5, 4], &[2, 3, 6, 4]], |x| {
        ops::matmul(&x[0], &x[1].transpose(2, 3)?)
    });
    check_both(
        "batches that do not lie together",
        &[&[3, 2, 5, 4], &[2, 3, 4, 6]],
        |x| ops::matmul(&x[0].transpose(0, 1)?, &x[1]),
    );
    let (a, b) = (
        Tensor::zeros((2, 3), DType::F32, &DEVICE).unwrap(),
        Tensor::zeros((2, 3), DType::F32, &DEVICE).unwrap(),
    );
    assert!(ops::matmul(&a, &b).unwrap_err().to_string().contains("do not fit"));
}
