//! Every measure against scipy, numpy, scikit-learn and statsmodels, and against what must hold for any input.
#![expect(
    clippy::disallowed_methods,
    reason = "elementary functions make inputs and expectations here"
)]

mod expected;

use expected as e;
use mmcollapse_probes::{
    Interval, Matrix, MeasureError, accuracy, bootstrap_interval, cosine_similarity, estimate, holm, linear_cka, mean,
    mean_cosine_similarity, paired_difference, ranks, singular_values, smallest_attainable_p, standard_deviation,
    symmetric_eigenvalues, t_interval, wilcoxon_signed_rank,
};
use proptest::prelude::*;

fn close(got: f64, expected: f64, tolerance: f64) {
    assert!(
        (got - expected).abs() <= tolerance * expected.abs().max(1.0),
        "got {got}, expected {expected}"
    );
}

fn interval_close(got: Interval, expected: (f64, f64), tolerance: f64) {
    close(got.low, expected.0, tolerance);
    close(got.high, expected.1, tolerance);
}

fn matrix(values: &[f32], rows: usize, columns: usize) -> Matrix {
    Matrix::new(values, rows, columns).unwrap()
}

fn differences() -> Vec<f64> {
    e::OURS.iter().zip(e::VANILLA).map(|(a, b)| a - b).collect()
}

#[test]
fn accuracy_is_scikit_learns() {
    assert_eq!(accuracy(e::PREDICTIONS, e::LABELS).unwrap(), e::ACCURACY);
}

#[test]
fn means_and_intervals_are_scipys() {
    close(mean(e::OURS).unwrap(), e::MEAN, 1e-15);
    close(standard_deviation(e::OURS).unwrap(), e::SD, 1e-15);
    interval_close(t_interval(e::OURS, 0.95).unwrap(), e::T95_10, 1e-9);
    interval_close(t_interval(&e::OURS[..5], 0.99).unwrap(), e::T99_5, 1e-9);
    interval_close(t_interval(&e::OURS[..2], 0.95).unwrap(), e::T95_2, 1e-9);
    let whole = estimate(e::OURS).unwrap();
    assert_eq!((whole.n, whole.sd.is_some()), (10, true));
    interval_close(whole.interval.unwrap(), e::T95_10, 1e-9);
}

#[test]
fn one_run_has_no_interval() {
    let one = estimate(&[0.9]).unwrap();
    assert_eq!((one.n, one.mean, one.sd, one.interval), (1, 0.9, None, None));
    assert!(matches!(
        t_interval(&[0.9], 0.95),
        Err(MeasureError::TooFew { needed: 2, got: 1, .. })
    ));
}

#[test]
fn the_bootstrap_is_numpys_on_the_same_draws() {
    let got = bootstrap_interval(e::OURS, 0.95, 2000, 11).unwrap();
    interval_close(got, e::BOOTSTRAP, 1e-14);
    // Many draws of another generator give the same interval up to the grain of the means.
    let many = bootstrap_interval(e::OURS, 0.95, 50_000, 3).unwrap();
    interval_close(many, e::BOOTSTRAP_SCIPY, 3e-4);
}

#[test]
fn wilcoxon_is_scipys_with_ties_and_zeros() {
    for (values, plus, minus, p) in e::WILCOXON {
        let got = wilcoxon_signed_rank(values).unwrap();
        assert_eq!((got.w_plus, got.w_minus), (*plus, *minus), "{values:?}");
        close(got.p, *p, 1e-12);
        assert_eq!(got.n + got.zeros, values.len());
    }
}

/// Ties among accuracies are ties of counts; the rounding of k/450 - l/450 must not break them.
#[test]
fn rounding_does_not_break_ties() {
    let counts: Vec<f64> = differences().iter().map(|d| (d * 450.0).round()).collect();
    assert_eq!(
        wilcoxon_signed_rank(&differences()).unwrap(),
        wilcoxon_signed_rank(&counts).unwrap()
    );
}

/// Table 8 of the paper: five paired rates cannot give p < .0625, and Holm over seven tests needs eleven pairs.
#[test]
fn few_pairs_bound_p_from_below() {
    let five = wilcoxon_signed_rank(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    assert_eq!((five.p, five.smallest_p), (0.0625, 0.0625));
    assert!(7.0 * smallest_attainable_p(10) > 0.01);
    assert!(7.0 * smallest_attainable_p(11) < 0.01);
    assert_eq!(smallest_attainable_p(0), 1.0);
    let none = wilcoxon_signed_rank(&[0.0, 0.0]).unwrap();
    assert_eq!((none.n, none.zeros, none.p), (0, 2, 1.0));
}

#[test]
fn a_thousand_pairs_are_exact_and_more_are_refused() {
    let values: Vec<f64> = (1..=1000)
        .map(|i| f64::from(i) * if i % 2 == 0 { 1.0 } else { -1.0 })
        .collect();
    let got = wilcoxon_signed_rank(&values).unwrap();
    assert!(got.p > 0.9 && got.p <= 1.0);
    assert!(matches!(
        wilcoxon_signed_rank(&vec![1.0; 1001]),
        Err(MeasureError::TooMany {
            limit: 1000,
            got: 1001,
            ..
        })
    ));
}

#[test]
fn paired_difference_pairs() {
    let got = paired_difference(e::OURS, e::VANILLA, 10_000, 1).unwrap();
    interval_close(got.estimate.interval.unwrap(), e::T95_DIFFERENCE, 1e-9);
    close(got.wilcoxon.p, e::WILCOXON.last().unwrap().3, 1e-12);
    let bootstrap = got.bootstrap.unwrap();
    assert!(bootstrap.low < got.estimate.mean && got.estimate.mean < bootstrap.high);
    assert!(matches!(
        paired_difference(&[1.0], &[1.0, 2.0], 10, 0),
        Err(MeasureError::Lengths { .. })
    ));
}

#[test]
fn holm_is_statsmodels() {
    for (got, expected) in holm(e::P).unwrap().iter().zip(e::HOLM) {
        close(*got, *expected, 1e-14);
    }
    assert!(holm(&[]).unwrap().is_empty());
    assert!(holm(&[1.5]).is_err());
    assert!(holm(&[f64::NAN]).is_err());
}

#[test]
fn eigenvalues_are_numpys() {
    let got = symmetric_eigenvalues(&Matrix::new(e::SYMMETRIC, 7, 7).unwrap()).unwrap();
    assert_eq!(got.len(), 7);
    for (got, expected) in got.iter().zip(e::EIGENVALUES) {
        close(*got, *expected, 1e-13);
    }
    assert!(symmetric_eigenvalues(&Matrix::new(&[1.0, 2.0], 1, 2).unwrap()).is_err());
}

/// Eigenvalues that are known in closed form: 2 - 2 cos(k pi / (n + 1)).
#[test]
fn eigenvalues_of_a_large_matrix() {
    let n = 200;
    let mut values = vec![0.0; n * n];
    for i in 0..n {
        values[i * n + i] = 2.0;
        if i + 1 < n {
            values[i * n + i + 1] = -1.0;
            values[(i + 1) * n + i] = -1.0;
        }
    }
    let got = symmetric_eigenvalues(&Matrix::new(&values, n, n).unwrap()).unwrap();
    for (k, value) in got.iter().rev().enumerate() {
        let angle = (k + 1) as f64 * std::f64::consts::PI / (n + 1) as f64;
        close(*value, 2.0 - 2.0 * angle.cos(), 1e-13);
    }
}

#[test]
fn ranks_are_numpys() {
    for (values, rows, columns, singular, (numerical, effective, stable)) in [
        (e::X, 12, 5, e::X_SINGULAR, e::X_RANKS),
        (e::WIDE, 6, 20, e::WIDE_SINGULAR, e::WIDE_RANKS),
    ] {
        let x = matrix(values, rows, columns);
        for (got, expected) in singular_values(&x).unwrap().iter().zip(singular) {
            close(*got, *expected, 1e-7);
        }
        let got = ranks(&x).unwrap();
        assert_eq!((got.n, got.d, got.numerical), (rows, columns, numerical));
        close(got.effective.unwrap(), effective, 1e-6);
        close(got.stable.unwrap(), stable, 1e-10);
    }
}

/// As a layer after a ReLU looks: many dead features, few directions, more features than samples.
#[test]
fn a_collapsed_representation_has_the_rank_it_was_given() {
    let (n, d) = (150, 320);
    let values: Vec<f32> = (0..n * d)
        .map(|at| {
            let (row, column) = ((at / d) as f32, (at % d) as f32);
            if at % d >= 200 {
                return 0.0;
            }
            (row * 0.7).sin() * (column * 0.3).cos() + (row * 1.3).cos() * (column * 0.9).sin() + 5.0
        })
        .collect();
    let got = ranks(&matrix(&values, n, d)).unwrap();
    assert_eq!((got.n, got.d, got.numerical), (n, d, 2));
    let (effective, stable) = (got.effective.unwrap(), got.stable.unwrap());
    assert!(stable > 1.0 && stable <= effective && effective < 2.01, "{got:?}");
}

#[test]
fn equal_samples_have_rank_zero_and_no_other() {
    let got = ranks(&Matrix::new(&[0.1, 0.7, 0.1, 0.7, 0.1, 0.7], 3, 2).unwrap()).unwrap();
    assert_eq!((got.numerical, got.effective, got.stable), (0, None, None));
}

#[test]
fn similarities_are_scikit_learns() {
    let (x, y) = (matrix(e::X, 12, 5), matrix(e::Y, 12, 4));
    close(linear_cka(&x, &y).unwrap(), e::CKA, 1e-12);
    let first_four: Vec<f64> = (0..12).flat_map(|row| x.row(row)[..4].to_vec()).collect();
    let first_four = Matrix::new(&first_four, 12, 4).unwrap();
    for (row, expected) in e::COSINES.iter().enumerate() {
        close(
            cosine_similarity(first_four.row(row), y.row(row)).unwrap(),
            *expected,
            1e-13,
        );
    }
    let (cosine, n) = mean_cosine_similarity(&first_four, &y).unwrap();
    close(cosine, mean(e::COSINES).unwrap(), 1e-13);
    assert_eq!(n, e::COSINES.len());
}

#[test]
fn what_has_no_direction_is_an_error() {
    assert!(matches!(
        cosine_similarity(&[0.0, 0.0], &[1.0, 0.0]),
        Err(MeasureError::Degenerate { .. })
    ));
    let half_dead = Matrix::new(&[0.0, 0.0, 1.0, 1.0], 2, 2).unwrap();
    let alive = Matrix::new(&[1.0, 0.0, 3.0, 3.0], 2, 2).unwrap();
    let (cosine, n) = mean_cosine_similarity(&half_dead, &alive).unwrap();
    close(cosine, 1.0, 1e-15);
    assert_eq!(n, 1, "a dead sample is not in the mean");
    let dead = Matrix::new(&[0.0; 4], 2, 2).unwrap();
    assert!(mean_cosine_similarity(&dead, &alive).is_err());
    let flat = Matrix::new(&[1.0, 1.0, 1.0], 3, 1).unwrap();
    let steep = Matrix::new(&[1.0, 2.0, 3.0], 3, 1).unwrap();
    assert!(linear_cka(&flat, &steep).is_err());
    // Taking off its mean leaves rounding of a constant, which is no direction either.
    let constant = Matrix::new(&vec![0.1; 2000], 1000, 2).unwrap();
    let varied: Vec<f64> = (0..2000).map(|i| f64::from(i % 7)).collect();
    let varied = Matrix::new(&varied, 1000, 2).unwrap();
    assert!(linear_cka(&constant, &varied).is_err() && linear_cka(&varied, &constant).is_err());
    let constant = ranks(&constant).unwrap();
    assert_eq!(
        (constant.numerical, constant.effective, constant.stable),
        (0, None, None)
    );
    assert!(Matrix::new(&[1.0, f64::NAN], 1, 2).is_err());
    assert!(Matrix::new(&[1.0_f64], 1, 2).is_err());
}

proptest! {
    #[test]
    fn intervals_hold_their_mean(values in prop::collection::vec(-1e3..1e3_f64, 2..30), seed: u64) {
        let m = mean(&values).unwrap();
        let t = t_interval(&values, 0.95).unwrap();
        prop_assert!(t.low <= m && m <= t.high);
        let wider = t_interval(&values, 0.99).unwrap();
        prop_assert!(wider.low <= t.low && t.high <= wider.high);
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let b = bootstrap_interval(&values, 0.95, 200, seed).unwrap();
        prop_assert!(lowest - 1e-9 <= b.low && b.low <= b.high && b.high <= highest + 1e-9);
    }

    #[test]
    fn wilcoxon_is_two_sided(values in prop::collection::vec(-8..8_i32, 0..14)) {
        let d: Vec<f64> = values.iter().copied().map(f64::from).collect();
        let negated: Vec<f64> = d.iter().map(|d| -d).collect();
        let (a, b) = (wilcoxon_signed_rank(&d).unwrap(), wilcoxon_signed_rank(&negated).unwrap());
        prop_assert!((a.p - b.p).abs() < 1e-14);
        prop_assert!(a.p >= a.smallest_p - 1e-15 && a.p <= 1.0);
        let n = a.n as f64;
        prop_assert_eq!(a.w_plus + a.w_minus, n * (n + 1.0) / 2.0);
    }

    #[test]
    fn holm_lies_between_raw_and_bonferroni(p in prop::collection::vec(0.0..=1.0_f64, 1..12)) {
        for (raw, adjusted) in p.iter().zip(holm(&p).unwrap()) {
            prop_assert!(*raw <= adjusted && adjusted <= (raw * p.len() as f64).min(1.0) + 1e-15);
        }
    }

    #[test]
    fn ranks_are_ordered_and_bounded(values in prop::collection::vec(-1.0..1.0_f64, 24)) {
        let r = ranks(&Matrix::new(&values, 4, 6).unwrap()).unwrap();
        prop_assert!(r.numerical <= 3);
        let (effective, stable) = (r.effective.unwrap(), r.stable.unwrap());
        prop_assert!(stable >= 1.0 - 1e-12 && stable <= effective + 1e-6);
        prop_assert!(effective <= 3.0 + 1e-5);
    }

    #[test]
    fn cka_ignores_scale_and_is_one_with_itself(values in prop::collection::vec(-1.0..1.0_f64, 15), scale in 0.1..9.0_f64) {
        let x = Matrix::new(&values, 5, 3).unwrap();
        let scaled: Vec<f64> = values.iter().map(|v| v * scale + 1.0).collect();
        let y = Matrix::new(&scaled, 5, 3).unwrap();
        prop_assert!((linear_cka(&x, &y).unwrap() - 1.0).abs() < 1e-9);
    }
}
