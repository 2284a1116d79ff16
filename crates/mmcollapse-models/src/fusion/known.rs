//! What fusions are compared with PyTorch by: weights and inputs of a formula, so that neither needs a file
//! (`scripts/fixtures_mult.py`, `scripts/fixtures_generative.py`).

use std::collections::BTreeMap;

use mmcollapse_nn::{Device, Params, Tensor};

/// Sets each variable, by name in the order of the alphabet, to sin(variable + .7 number) / 2.
pub(super) fn set_known(params: &Params) {
    let vars: BTreeMap<_, _> = params.vars().into_iter().collect();
    for (k, var) in vars.values().enumerate() {
        let value = |j: usize| (libm::sin(k as f64 + 0.7 * j as f64) / 2.0) as f32;
        let values = (0..var.elem_count()).map(value).collect();
        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap())
            .unwrap();
    }
}

/// Encodings of `n` samples, sin(sample + modality + 1.3 number), zero where `there(sample, modality)` is not.
pub(super) fn placed(widths: &[usize], n: usize, there: impl Fn(usize, usize) -> bool) -> Vec<Tensor> {
    let encodings = widths.iter().enumerate().map(|(m, &width)| {
        let value = |i: usize, d: usize| {
            if there(i, m) {
                libm::sin((i + m) as f64 + 1.3 * d as f64) as f32
            } else {
                0.0
            }
        };
        let values: Vec<f32> = (0..n).flat_map(|i| (0..width).map(move |d| value(i, d))).collect();
        Tensor::from_vec(values, (n, width), &Device::Cpu).unwrap()
    });
    encodings.collect()
}

/// Whether the numbers are equal up to 1e-4, of 1 or of the number where that is larger.
pub(super) fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + b.abs()))
}

/// Compares the gradients of `loss` with PyTorch's, each within 1e-4 of the largest of its variable.
pub(super) fn compare_gradients(params: &Params, loss: &Tensor, known: &BTreeMap<String, Vec<f32>>) {
    let gradients = loss.backward().unwrap();
    let vars: BTreeMap<_, _> = params.vars().into_iter().collect();
    assert!(vars.keys().eq(known.keys()));
    for (name, var) in vars {
        let gradient = gradients.get(&var).expect(&name).flatten_all().unwrap();
        let (got, expected) = (gradient.to_vec1::<f32>().unwrap(), &known[&name]);
        assert_eq!(got.len(), expected.len(), "{name}");
        let scale = expected.iter().fold(1e-3_f32, |top, v| top.max(v.abs()));
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-4 * scale, "{name}: {got} {expected}");
        }
    }
}
