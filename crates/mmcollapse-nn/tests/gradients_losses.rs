//! Gradients of the losses and layers that are composed of operations, against central differences in f64; the
//! fused f32 paths against the f64 ones; and the places where candle's own are wrong and ours are not.

use std::sync::LazyLock;

use mmcollapse_nn::device::test_device;
use mmcollapse_nn::layers::{AttentionBlock, Dropout, Embedding, Gru, LayerNorm};
use mmcollapse_nn::losses::{
    Crd, CrdConfig, bce_with_logits, distillation, info_nce, laplace_log_density, log_mean_exp, nt_xent,
    supervised_contrastive,
};
use mmcollapse_nn::ops::softplus;
use mmcollapse_nn::random::Stream;
use mmcollapse_nn::{DType, Device, Mode, Params, Result, Tensor, Var};

/// `MMCOLLAPSE_TEST_DEVICE=cuda:0` runs these tests there.
static DEVICE: LazyLock<Device> = LazyLock::new(|| test_device().unwrap());

fn normal(name: &str, shape: &[usize]) -> Tensor {
    let mut stream = Stream::new(11, name);
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, shape, &DEVICE).unwrap()
}

fn variable(name: &str, shape: &[usize]) -> Var {
    Var::from_tensor(&normal(name, shape)).unwrap()
}

fn doubles(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Sums with random weights, so that no gradient cancels.
fn weigh(y: &Tensor) -> Result<Tensor> {
    (y * normal("weights", y.dims()))?.sum_all()
}

/// Compares the gradient of every element of `vars` with the central difference of `loss`.
fn check(vars: &[(String, Var)], loss: impl Fn() -> Result<Tensor>) {
    let grads = loss().unwrap().backward().unwrap();
    for (name, var) in vars {
        let grad = grads.get(var).unwrap_or_else(|| panic!("`{name}` has no gradient"));
        assert_eq!(grad.dims(), var.dims(), "{name}");
        let start = doubles(var);
        let at = |position: usize, value: f64| -> f64 {
            let mut values = start.clone();
            values[position] = value;
            var.set(&Tensor::from_vec(values, var.dims(), &DEVICE).unwrap())
                .unwrap();
            loss().unwrap().to_scalar::<f64>().unwrap()
        };
        for (i, &grad) in doubles(grad).iter().enumerate() {
            let width = 1e-5;
            let slope = (at(i, start[i] + width) - at(i, start[i] - width)) / (2.0 * width);
            assert!(
                (slope - grad).abs() <= 1e-7 + 1e-6 * slope.abs(),
                "`{name}` at {i}: gradient {grad}, difference {slope}"
            );
        }
        at(0, start[0]);
    }
}

fn with(params: &Params, x: &Var) -> Vec<(String, Var)> {
    let mut vars = params.vars();
    vars.push(("x".into(), x.clone()));
    vars
}

/// Parameters that do not sit at zeros and ones.
fn shake(params: &Params) {
    for (name, var) in params.vars() {
        let noise = (normal(&name, var.dims()) * 0.5).unwrap();
        var.set(&(var.as_detached_tensor() + noise).unwrap()).unwrap();
    }
}

#[test]
fn bce() {
    let x = variable("logits", &[4, 3]);
    // Beyond the place where the usual form overflows, but where the difference still sees a slope.
    let x = Var::from_tensor(&(x.as_tensor() * 6.0).unwrap()).unwrap();
    let targets = normal("targets", &[4, 3])
        .ge(0.0)
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap();
    let weights = normal("mask", &[4, 3]).abs().unwrap();
    let vars = [("x".to_owned(), x.clone())];
    check(&vars, || bce_with_logits(&x, &targets, None));
    check(&vars, || bce_with_logits(&x, &targets, Some(&weights)));
}

#[test]
fn bce_without_any_label_is_zero_and_moves_nothing() {
    for dtype in [DType::F32, DType::F64] {
        let x = Var::from_tensor(&normal("logits", &[5]).to_dtype(dtype).unwrap()).unwrap();
        let zeros = x.zeros_like().unwrap();
        let loss = bce_with_logits(&x, &zeros, Some(&zeros)).unwrap();
        assert_eq!(doubles(&loss), [0.0]);
        let grads = loss.backward().unwrap();
        assert_eq!(doubles(grads.get(&x).unwrap()), [0.0; 5]);
    }
}

#[test]
fn bce_is_finite_where_candle_is_not() {
    let logits = [17.5_f32, -17.5, 90.0, -90.0, 1e30, -1e30];
    let x = Var::new(&logits, &DEVICE).unwrap();
    let targets = Tensor::new(&[0_f32, 1.0, 0.0, 1.0, 0.0, 1.0], &DEVICE).unwrap();
    let theirs = candle_nn::loss::binary_cross_entropy_with_logit(&x, &targets).unwrap();
    assert!(!theirs.to_scalar::<f32>().unwrap().is_finite());
    let x = Var::from_tensor(&x.narrow(0, 0, 4).unwrap()).unwrap();
    let loss = bce_with_logits(&x, &targets.narrow(0, 0, 4).unwrap(), None).unwrap();
    assert!((loss.to_scalar::<f32>().unwrap() - 53.75).abs() < 1e-4);
    let grads = loss.backward().unwrap();
    let grads = doubles(grads.get(&x).unwrap());
    for (grad, expected) in grads.iter().zip([0.25, -0.25, 0.25, -0.25]) {
        assert!((grad - expected).abs() < 1e-6, "{grads:?}");
    }
    let huge = Var::new(&logits[4..], &DEVICE).unwrap();
    let loss = bce_with_logits(&huge, &targets.narrow(0, 4, 2).unwrap(), None).unwrap();
    assert!(loss.to_scalar::<f32>().unwrap().is_finite());
    let grads = loss.backward().unwrap();
    assert_eq!(doubles(grads.get(&huge).unwrap()), [0.5, -0.5]);
}

#[test]
fn softplus_is_smooth_everywhere() {
    let x = variable("logits", &[3, 2]);
    check(&[("x".to_owned(), x.clone())], || weigh(&softplus(&x)?));
    let x = Var::new(&[-1e30_f32, 0.0, 90.0, 1e30], &DEVICE).unwrap();
    let y = softplus(&x).unwrap();
    let expected = [0.0, std::f64::consts::LN_2, 90.0, f64::from(1e30_f32)];
    for (y, expected) in doubles(&y).iter().zip(expected) {
        assert!((y - expected).abs() <= 1e-6 * expected, "{y} {expected}");
    }
    let grads = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(doubles(grads.get(&x).unwrap()), [0.0, 0.5, 1.0, 1.0]);
}

#[test]
fn distilled_predictions() {
    let (student, teacher) = (variable("student", &[4, 3]), normal("teacher", &[4, 3]));
    let vars = [("student".to_owned(), student.clone())];
    check(&vars, || distillation(&student, &teacher, 2.5));
    let same = distillation(&student, &student, 2.5).unwrap();
    assert!(same.to_scalar::<f64>().unwrap().abs() < 1e-12);
    assert!(distillation(&student, &teacher, 0.0).is_err());
    assert!(distillation(&student, &normal("other", &[4, 2]), 1.0).is_err());
}

#[test]
fn contrast_of_two_views() {
    let (a, b) = (variable("a", &[5, 4]), variable("b", &[5, 4]));
    let vars = [("a".to_owned(), a.clone()), ("b".to_owned(), b.clone())];
    let one = variable("one", &[1, 4]);
    for contrast in [info_nce, nt_xent] {
        check(&vars, || contrast(&a, &b, 0.3));
        assert!(contrast(&one, &one, 0.1).unwrap().to_scalar::<f64>().unwrap().abs() < 1e-12);
        assert!(contrast(&a, &b, 0.0).is_err() && contrast(&a, &one, 1.0).is_err());
    }
}

#[test]
fn contrast_of_labels() {
    let x = variable("x", &[6, 4]);
    let vars = [("x".to_owned(), x.clone())];
    check(&vars, || supervised_contrastive(&x, &[0, 1, 0, 1, 1, 2], 0.3));
}

/// Of DReG the value is that of IWAE, whose gradient it has in expectation alone: see `pytorch_losses.rs`.
#[test]
fn bounds_by_importance() {
    let (z, location) = (variable("z", &[4, 3, 2]), variable("location", &[3, 2]));
    let scale = Var::from_tensor(&(normal("scale", &[3, 2]).abs().unwrap() + 0.3).unwrap()).unwrap();
    let vars =
        [("z", &z), ("location", &location), ("scale", &scale)].map(|(name, var)| (name.to_owned(), var.clone()));
    check(&vars, || {
        weigh(&log_mean_exp(&laplace_log_density(&z, &location, &scale)?)?)
    });
}

#[test]
fn contrastive_distillation() {
    // Drawn ones, and all that there are.
    for negatives in [3, 100] {
        let params = Params::with_dtype(2, &DEVICE, DType::F64);
        let config = CrdConfig {
            width: 6,
            negatives,
            ..CrdConfig::default()
        };
        let crd = Crd::new(&params.root(), 4, 5, 8, config).unwrap();
        assert_eq!(crd.negatives(), negatives.min(7));
        let (student, teacher) = (variable("student", &[3, 4]), variable("teacher", &[3, 5]));
        let index = [6, 0, 3];
        let train = Mode::Train { seed: 1, step: 0 };
        // The first batch sets the constants, which are no function of the parameters from then on.
        crd.loss(&student, &teacher, &index, train).unwrap();
        check(&with(&params, &student), || {
            crd.loss(&student, &teacher, &index, Mode::Eval)
        });
        let grads = crd
            .loss(&student, &teacher, &index, Mode::Eval)
            .unwrap()
            .backward()
            .unwrap();
        assert!(grads.get(&teacher).is_none());
        for (name, buffer) in params.buffers() {
            assert!(grads.get(&buffer).is_none(), "{name}");
        }
    }
}

#[test]
fn all_others_are_negatives_in_any_order() {
    let params = Params::with_dtype(2, &DEVICE, DType::F64);
    let config = CrdConfig {
        width: 6,
        ..CrdConfig::default()
    };
    let crd = Crd::new(&params.root(), 4, 5, 4, config).unwrap();
    let (student, teacher) = (variable("student", &[2, 4]), variable("teacher", &[2, 5]));
    let all = crd.loss(&student, &teacher, &[2, 0], Mode::Eval).unwrap();
    let contrast = [2, 1, 3, 0, 0, 3, 1, 2];
    let listed = crd.loss_against(&student, &teacher, &[2, 0], &contrast, false).unwrap();
    assert!((doubles(&all)[0] - doubles(&listed)[0]).abs() < 1e-12);
    for contrast in [&[2, 1, 3][..], &[2, 0], &[2, 4, 0, 1]] {
        assert!(crd.loss_against(&student, &teacher, &[2, 0], contrast, false).is_err());
    }
}

#[test]
fn the_gradient_of_a_training_batch_does_not_see_the_bank_change() {
    let params = Params::with_dtype(2, &DEVICE, DType::F64);
    let config = CrdConfig {
        width: 6,
        momentum: 0.0,
        ..CrdConfig::default()
    };
    let crd = Crd::new(&params.root(), 4, 5, 8, config).unwrap();
    let (student, teacher) = (variable("student", &[3, 4]), variable("teacher", &[3, 5]));
    let contrast = [6, 1, 2, 0, 3, 6, 3, 5, 1];
    crd.loss(&student, &teacher, &[6, 0, 3], Mode::Train { seed: 1, step: 0 })
        .unwrap();
    let state = params.state().unwrap();
    let gradient = |is_train: bool| {
        params.load(&state).unwrap();
        let loss = crd
            .loss_against(&student, &teacher, &[6, 0, 3], &contrast, is_train)
            .unwrap();
        let grads = loss.backward().unwrap();
        doubles(grads.get(&student).unwrap())
    };
    assert_eq!(gradient(true), gradient(false));
}

#[test]
fn layer_norm() {
    let params = Params::with_dtype(2, &DEVICE, DType::F64);
    let layer = LayerNorm::new(&params.root(), 6).unwrap();
    shake(&params);
    let x = variable("x", &[2, 3, 6]);
    check(&with(&params, &x), || weigh(&layer.forward(&x)?));
}

#[test]
fn recurrent() {
    let params = Params::with_dtype(2, &DEVICE, DType::F64);
    let layer = Gru::new(&params.root(), 3, 4).unwrap();
    let x = variable("x", &[2, 5, 3]);
    check(&with(&params, &x), || weigh(&layer.forward(&x)?));
    check(&with(&params, &x), || weigh(&Gru::last(&layer.forward(&x)?, &[5, 2])?));
    let states = layer.forward(&x).unwrap();
    for lengths in [&[5][..], &[0, 1], &[6, 1]] {
        assert!(Gru::last(&states, lengths).is_err(), "{lengths:?}");
    }
}

#[test]
fn attention() {
    let params = Params::with_dtype(2, &DEVICE, DType::F64);
    let block = AttentionBlock::new(&params.root(), 4, 2, 2, 0.0).unwrap();
    shake(&params);
    let x = variable("x", &[2, 3, 4]);
    check(&with(&params, &x), || weigh(&block.forward(&x, None, Mode::Eval)?));
    let present = Tensor::new(&[[1_u8, 0, 1], [0, 0, 1]], &DEVICE).unwrap();
    check(&with(&params, &x), || {
        weigh(&block.forward(&x, Some(&present), Mode::Eval)?)
    });
}

#[test]
fn attention_with_dropout() {
    let params = Params::with_dtype(2, &DEVICE, DType::F64);
    let block = AttentionBlock::new(&params.root(), 4, 2, 2, 0.4).unwrap();
    shake(&params);
    let x = variable("x", &[2, 3, 4]);
    let mode = Mode::Train { seed: 3, step: 4 };
    check(&with(&params, &x), || weigh(&block.forward(&x, None, mode)?));
}

#[test]
fn a_sample_without_tokens_stays_finite() {
    for dtype in [DType::F32, DType::F64] {
        let params = Params::with_dtype(2, &DEVICE, dtype);
        let block = AttentionBlock::new(&params.root(), 4, 2, 2, 0.0).unwrap();
        let x = Var::from_tensor(&normal("x", &[1, 3, 4]).to_dtype(dtype).unwrap()).unwrap();
        let present = Tensor::zeros((1, 3), DType::U8, &DEVICE).unwrap();
        let y = block.forward(&x, Some(&present), Mode::Eval).unwrap();
        let grads = y.sum_all().unwrap().backward().unwrap();
        assert!(
            doubles(&y)
                .iter()
                .chain(&doubles(grads.get(&x).unwrap()))
                .all(|v| v.is_finite())
        );
    }
}

#[test]
fn absent_tokens_are_not_seen() {
    let params = Params::new(2, &DEVICE);
    let block = AttentionBlock::new(&params.root(), 4, 2, 2, 0.0).unwrap();
    let x = normal("x", &[1, 3, 4]).to_dtype(DType::F32).unwrap();
    let noise = normal("noise", &[1, 1, 4]).to_dtype(DType::F32).unwrap();
    let other = Tensor::cat(&[&x.narrow(1, 0, 2).unwrap(), &noise], 1).unwrap();
    let present = Tensor::new(&[[1_f32, 1.0, 0.0]], &DEVICE).unwrap();
    let seen = |x: &Tensor| {
        let y = block.forward(x, Some(&present), Mode::Eval).unwrap();
        doubles(&y.narrow(1, 0, 2).unwrap())
    };
    assert_eq!(seen(&x), seen(&other));
}

#[test]
fn embedding_with_repeated_ids() {
    let params = Params::with_dtype(2, &DEVICE, DType::F64);
    let layer = Embedding::new(&params.root(), 5, 3).unwrap();
    check(&params.vars(), || weigh(&layer.forward(&[4, 0, 4, 2])?));
    let error = layer.forward(&[1, 5]).unwrap_err().to_string();
    assert!(error.contains("id 5 at position 1"), "{error}");
}

#[test]
fn dropout() {
    let params = Params::with_dtype(2, &DEVICE, DType::F64);
    let layer = Dropout::new(&params.root().pp("layer"), 0.3).unwrap();
    let x = variable("x", &[4, 5, 2, 3]);
    let mode = |step| Mode::Train { seed: 9, step };
    check(&[("x".into(), x.clone())], || weigh(&layer.forward(&x, mode(1))?));
    let run = |mode| doubles(&layer.forward(&x, mode).unwrap());
    assert_eq!(run(Mode::Eval), doubles(&x));
    assert_eq!(run(mode(1)), run(mode(1)));
    assert_ne!(run(mode(1)), run(mode(2)));
    // The mean stays.
    let ones = Tensor::ones(100_000, DType::F32, &DEVICE).unwrap();
    let y = layer.forward(&ones, mode(1)).unwrap();
    assert!((y.mean_all().unwrap().to_scalar::<f32>().unwrap() - 1.0).abs() < 0.02);
    for p in [-0.1, 1.0, f64::NAN] {
        assert!(Dropout::new(&params.root(), p).is_err());
    }
}

/// Values and gradients of f32 on the &DEVICE, which may be fused, against those of f64, which are composed.
#[test]
fn fused_and_composed_agree() {
    type Layer = Box<dyn Fn(&Tensor) -> Result<Tensor>>;
    let build = |which: &str, dtype: DType| -> (Params, Layer) {
        let params = Params::with_dtype(5, &DEVICE, dtype);
        let root = params.root();
        let layer: Layer = match which {
            "layer_norm" => {
                let layer = LayerNorm::new(&root, 37).unwrap();
                Box::new(move |x| layer.forward(x))
            }
            "gru" => {
                let layer = Gru::new(&root, 37, 21).unwrap();
                Box::new(move |x| layer.forward(x))
            }
            _ => {
                let layer = AttentionBlock::new(&root, 37, 1, 2, 0.0).unwrap();
                Box::new(move |x| layer.forward(x, None, Mode::Eval))
            }
        };
        (params, layer)
    };
    for which in ["layer_norm", "gru", "attention"] {
        let (narrow, fused) = build(which, DType::F32);
        let (wide, composed) = build(which, DType::F64);
        for ((name, a), (_, b)) in narrow.vars().iter().zip(wide.vars()) {
            let value = (normal(name, a.dims()) * 0.3).unwrap();
            a.set(&value.to_dtype(DType::F32).unwrap()).unwrap();
            b.set(&a.to_dtype(DType::F64).unwrap()).unwrap();
        }
        let run = |params: &Params, layer: &Layer, dtype| {
            let x = normal("x", &[6, 9, 37]).to_dtype(DType::F32).unwrap();
            // A view, because layers are given views.
            let x = Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap();
            let y = layer(&x.narrow(1, 1, 7).unwrap()).unwrap();
            let weights = normal("weights", y.dims()).to_dtype(dtype).unwrap();
            let grads = (&y * weights).unwrap().sum_all().unwrap().backward().unwrap();
            let mut all = vec![("y".to_owned(), doubles(&y))];
            for (name, var) in with(params, &x) {
                all.push((name, doubles(grads.get(&var).unwrap())));
            }
            all
        };
        let pairs = run(&narrow, &fused, DType::F32).into_iter();
        for ((name, a), (_, b)) in pairs.zip(run(&wide, &composed, DType::F64)) {
            let scale = b.iter().fold(0.0_f64, |top, v| top.max(v.abs()));
            for (a, b) in a.iter().zip(&b) {
                assert!((a - b).abs() <= 2e-5 * scale.max(1.0), "{which} {name}: {a} {b}");
            }
        }
    }
}

#[test]
fn candle_has_no_gradient_where_ours_has() {
    let x = variable("x", &[3, 6]);
    let x32 = Var::from_tensor(&x.to_dtype(DType::F32).unwrap()).unwrap();
    let ones = Tensor::ones(6, DType::F32, &DEVICE).unwrap();
    let theirs = candle_nn::ops::layer_norm(&x32, &ones, &ones, 1e-5).unwrap();
    let grads = theirs.sqr().unwrap().sum_all().unwrap().backward();
    assert!(!grads.is_ok_and(|grads| grads.get(&x32).is_some()));
    let theirs = candle_nn::ops::softmax_last_dim(&x32).unwrap();
    let grads = theirs.sqr().unwrap().sum_all().unwrap().backward();
    assert!(!grads.is_ok_and(|grads| grads.get(&x32).is_some()));
    let params = Params::new(0, &DEVICE);
    let layer = LayerNorm::new(&params.root(), 6).unwrap();
    let grads = layer
        .forward(&x32)
        .unwrap()
        .sqr()
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    assert!(grads.get(&x32).is_some());
}
