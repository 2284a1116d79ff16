//! Variance inflation against numpy's least squares, and exact collinearity.
#![expect(
    clippy::disallowed_methods,
    reason = "elementary functions make inputs and expectations here"
)]

mod expected_classification;

use expected_classification as e;
use mmcollapse_probes::{Matrix, MeasureError, variance_inflation};
use proptest::prelude::*;

/// [rows, columns] of waves that no linear combination of few others makes.
fn waves(rows: usize, columns: usize) -> Vec<f64> {
    (0..rows * columns)
        .map(|at| ((at / columns) as f64 * (1.0 + (at % columns) as f64 * 0.37) + 0.5).sin())
        .collect()
}

#[test]
fn factors_are_those_of_least_squares() {
    for (name, rows, columns, values, expected) in e::INFLATION {
        let got = variance_inflation(&Matrix::new(values, *rows, *columns).unwrap()).unwrap();
        assert_eq!((got.collinear, got.constant), (0, 0), "{name}");
        for (got, expected) in got.features.iter().zip(*expected) {
            let got = got.unwrap();
            // Both round by about 1e-16 times the square root of the factor (1e4 here).
            assert!(
                (got / expected - 1.0).abs() < 1e-12,
                "{name}: {got}, expected {expected}"
            );
        }
        let mean = expected.iter().sum::<f64>() / expected.len() as f64;
        assert!((got.mean.unwrap() / mean - 1.0).abs() < 1e-12, "{name}");
    }
}

/// Only those that take part are infinite: column 4 is 2 x column 0 - column 2, columns 1 and 3 stand alone.
#[test]
fn collinear_features_are_infinite_and_no_others() {
    let (rows, columns) = (60, 6);
    let mut values = waves(rows, columns);
    for row in values.chunks_exact_mut(columns) {
        row[4] = 2.0 * row[0] - row[2] + 3.0;
        row[5] = 0.7;
    }
    let got = variance_inflation(&Matrix::new(&values, rows, columns).unwrap()).unwrap();
    for (feature, infinite) in [(0, true), (1, false), (2, true), (3, false), (4, true)] {
        assert_eq!(
            got.features[feature].unwrap().is_infinite(),
            infinite,
            "feature {feature}"
        );
    }
    assert_eq!((got.features[5], got.collinear, got.constant), (None, 3, 1));
    assert_eq!(got.mean, Some(f64::INFINITY));
    // Column 1 has the factor that it has without the redundant column.
    let without: Vec<f64> = values.chunks_exact(columns).flat_map(|row| row[..4].to_vec()).collect();
    let without = variance_inflation(&Matrix::new(&without, rows, 4).unwrap()).unwrap();
    assert!((got.features[1].unwrap() / without.features[1].unwrap() - 1.0).abs() < 1e-12);
    // In f32 the combination is rounded, and still one.
    let single: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    let single = variance_inflation(&Matrix::new(&single, rows, columns).unwrap()).unwrap();
    assert_eq!((single.collinear, single.constant), (3, 1));
}

/// Each column repeats the one before but for a part of 1e-3: factors about 1e6, known by hand.
#[test]
fn strong_collinearity_keeps_its_digits() {
    let (rows, part) = (64, 1e-3);
    let wave = |row: usize, k: usize| (std::f64::consts::TAU * (row * k) as f64 / rows as f64).cos();
    let values: Vec<f64> = (0..rows)
        .flat_map(|row| {
            let first = wave(row, 1);
            let second = first + part * wave(row, 2);
            [first, second, second + part * wave(row, 3)]
        })
        .collect();
    let got = variance_inflation(&Matrix::new(&values, rows, 3).unwrap()).unwrap();
    let square = part * part;
    // Column k's squared length over that of its residual, by hand: a, a + pb, a + pb + pc with a, b, c orthonormal.
    let expected = [
        1.0 / square + 1.0,
        (1.0 + square) * 2.0 / square,
        (1.0 + 2.0 * square) / square,
    ];
    for (got, expected) in got.features.iter().zip(expected) {
        let got = got.unwrap();
        assert!((got / expected - 1.0).abs() < 1e-9, "got {got}, expected {expected}");
    }
}

#[test]
fn few_samples_or_no_spread() {
    assert!(matches!(
        variance_inflation(&Matrix::new(&[1.0, 2.0], 1, 2).unwrap()),
        Err(MeasureError::TooFew { needed: 2, got: 1, .. })
    ));
    let more_features = variance_inflation(&Matrix::new(&waves(5, 8), 5, 8).unwrap()).unwrap();
    assert_eq!(more_features.collinear, 8);
    let flat = variance_inflation(&Matrix::new(&[0.1; 6], 3, 2).unwrap()).unwrap();
    assert_eq!((flat.features, flat.mean, flat.constant), (vec![None, None], None, 2));
}

proptest! {
    #[test]
    fn factors_ignore_scale_shift_and_order(values in prop::collection::vec(-1.0..1.0_f64, 48), scale in 0.01..100.0_f64) {
        let plain = variance_inflation(&Matrix::new(&values, 12, 4).unwrap()).unwrap();
        let changed: Vec<f64> = values
            .chunks_exact(4)
            .flat_map(|row| [row[3], row[1] * scale, row[2] - scale, -row[0]])
            .collect();
        let changed = variance_inflation(&Matrix::new(&changed, 12, 4).unwrap()).unwrap();
        for (feature, from) in [(0, 3), (1, 1), (2, 2), (3, 0)] {
            let (got, expected) = (changed.features[feature].unwrap(), plain.features[from].unwrap());
            prop_assert!(expected >= 1.0);
            prop_assert!(got == expected || (got / expected - 1.0).abs() < 1e-8, "{} {}", got, expected);
        }
    }

    /// Of two features each explains r^2 of the other.
    #[test]
    fn two_features_have_the_factor_of_their_correlation(values in prop::collection::vec(-1.0..1.0_f64, 20)) {
        let samples = Matrix::new(&values, 10, 2).unwrap();
        let centred = samples.centred().transposed();
        let product = |a: usize, b: usize| -> f64 {
            centred.row(a).iter().zip(centred.row(b)).map(|(x, y)| x * y).sum()
        };
        let expected = 1.0 / (1.0 - product(0, 1).powi(2) / (product(0, 0) * product(1, 1)));
        for factor in variance_inflation(&samples).unwrap().features {
            prop_assert!((factor.unwrap() / expected - 1.0).abs() < 1e-9);
        }
    }
}
