//! Measures of binary outcomes against scikit-learn, DeLong's definition, and what must hold for any input.
#![expect(
    clippy::disallowed_methods,
    reason = "elementary functions make inputs and expectations here"
)]

mod expected_classification;

use expected_classification as e;
use mmcollapse_probes::{
    MeasureError, Measured, Outcomes, Resampling, Result, Tally, auprc_trapezoid, auroc, auroc_delong,
    average_precision, bootstrap_difference, bootstrap_measure, brier_score, calibration, calibration_error,
    delong_test, log_loss,
};
use proptest::prelude::*;

fn close(got: f64, expected: f64, what: &str) {
    assert!(
        (got - expected).abs() <= 1e-12 * expected.abs().max(1.0),
        "{what}: got {got}, expected {expected}"
    );
}

fn labels(signs: &[i8]) -> Vec<Option<bool>> {
    signs.iter().map(|&sign| (sign >= 0).then_some(sign == 1)).collect()
}

fn outcomes(scores: &[f64], signs: &[i8]) -> Outcomes {
    Outcomes::new(scores, &labels(signs)).unwrap()
}

fn known(scores: &[f64], labels: &[bool]) -> Outcomes {
    let labels: Vec<Option<bool>> = labels.iter().copied().map(Some).collect();
    Outcomes::new(scores, &labels).unwrap()
}

/// AUROC, and the means over columns and rows of DeLong's kernel, over all pairs.
fn all_pairs(scores: &[f64], labels: &[bool]) -> (f64, Vec<f64>, Vec<f64>) {
    let of = |class: bool| -> Vec<f64> {
        let pairs = scores.iter().zip(labels);
        pairs
            .filter(|(_, label)| **label == class)
            .map(|(score, _)| *score)
            .collect()
    };
    let (positives, negatives) = (of(true), of(false));
    let kernel = |x: f64, y: f64| f64::from(x > y) + 0.5 * f64::from(x == y);
    let v10: Vec<f64> = positives
        .iter()
        .map(|&x| negatives.iter().map(|&y| kernel(x, y)).sum::<f64>() / negatives.len() as f64)
        .collect();
    let v01: Vec<f64> = negatives
        .iter()
        .map(|&y| positives.iter().map(|&x| kernel(x, y)).sum::<f64>() / positives.len() as f64)
        .collect();
    (v10.iter().sum::<f64>() / v10.len() as f64, v10, v01)
}

fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let products: f64 = a.iter().zip(b).map(|(x, y)| (x - mean_a) * (y - mean_b)).sum();
    products / (n - 1.0) / n
}

fn measure(name: &str) -> fn(&Tally) -> Result<f64> {
    match name {
        "AUROC" => auroc,
        "AUPRC" => auprc_trapezoid,
        "average precision" => average_precision,
        "Brier" => brier_score,
        "log loss" => log_loss,
        "ECE 10" => |tally| calibration_error(tally, 10),
        other => panic!("no measure is called {other}"),
    }
}

const RANKINGS: [fn(&Tally) -> Result<f64>; 3] = [auroc, auprc_trapezoid, average_precision];

#[test]
fn measures_are_scikit_learns() {
    for case in e::CASES {
        let outcomes = outcomes(case.scores, case.labels);
        let tally = outcomes.tally();
        close(auroc(tally).unwrap(), case.auroc, case.name);
        close(auprc_trapezoid(tally).unwrap(), case.auprc, case.name);
        close(average_precision(tally).unwrap(), case.average_precision, case.name);
        let unknown = case.labels.iter().filter(|label| **label < 0).count();
        assert_eq!(
            (outcomes.n() + unknown, outcomes.unknown()),
            (case.scores.len(), unknown)
        );

        let Some(probability) = &case.probability else {
            assert!(matches!(brier_score(tally), Err(MeasureError::Parameter { .. })));
            assert!(log_loss(tally).is_err() && calibration_error(tally, 10).is_err());
            continue;
        };
        close(brier_score(tally).unwrap(), probability.brier, case.name);
        close(log_loss(tally).unwrap(), probability.log_loss, case.name);
        for (bins, error, expected) in probability.calibration {
            close(calibration_error(tally, *bins).unwrap(), *error, case.name);
            let got = calibration(tally, *bins).unwrap();
            assert_eq!(got.len(), expected.len(), "{} in {bins} bins", case.name);
            for (got, (n, mean_score, positive_rate)) in got.iter().zip(*expected) {
                assert_eq!(got.n, *n, "{} in {bins} bins", case.name);
                close(got.mean_score, *mean_score, case.name);
                close(got.positive_rate, *positive_rate, case.name);
            }
        }
    }
}

#[test]
fn delong_is_numpys_over_all_pairs() {
    for case in e::CASES {
        let outcomes = outcomes(case.scores, case.labels);
        let Some(variance) = case.variance else {
            assert!(matches!(
                auroc_delong(&outcomes, 0.95),
                Err(MeasureError::TooFew { needed: 2, got: 1, .. })
            ));
            continue;
        };
        let got = auroc_delong(&outcomes, 0.95).unwrap();
        close(got.value, case.auroc, case.name);
        close(got.standard_error, variance.sqrt(), case.name);
        assert!(0.0 <= got.interval.low && got.interval.low <= got.value);
        assert!(got.value <= got.interval.high && got.interval.high <= 1.0);
        assert_eq!(got.n + got.unknown, case.scores.len());
    }
    let (ours, reference) = (outcomes(e::OURS, e::LABELS), outcomes(e::REFERENCE, e::LABELS));
    let got = delong_test(&ours, &reference, 0.95).unwrap();
    let [difference, error, low, high, z, p] = e::DELONG;
    for (found, expected) in [
        (got.difference, difference),
        (got.standard_error, error),
        (got.interval.low, low),
        (got.interval.high, high),
        (got.z, z),
    ] {
        close(found, expected, "DeLong's test");
    }
    // statrs gives erfc to ten digits.
    assert!((got.p / p - 1.0).abs() < 1e-10, "got {}, expected {p}", got.p);
}

#[test]
fn intervals_are_numpys_on_the_same_draws() {
    let (seed, resamples) = e::RESAMPLING;
    let check = |got: Measured, interval: (f64, f64), undefined: usize, what: &str| {
        close(got.interval.low, interval.0, what);
        close(got.interval.high, interval.1, what);
        assert_eq!(got.undefined, undefined, "{what}");
    };
    for (single, paired) in e::BOOTSTRAP.iter().zip(e::BOOTSTRAP_DIFFERENCE) {
        let (name, few, stratified, interval, undefined) = *single;
        let signs = if few { e::FEW } else { e::LABELS };
        let (ours, reference) = (outcomes(e::OURS, signs), outcomes(e::REFERENCE, signs));
        let resampling = Resampling {
            resamples,
            seed,
            level: 0.95,
            stratified,
        };
        check(
            bootstrap_measure(&ours, measure(name), &resampling).unwrap(),
            interval,
            undefined,
            name,
        );
        assert_eq!((name, few, stratified), (paired.0, paired.1, paired.2));
        let difference = bootstrap_difference(&ours, &reference, measure(name), &resampling).unwrap();
        check(difference, paired.3, paired.4, name);
    }
    // The case of few positives does lack them in some resamples, and not when it is stratified.
    assert!(e::BOOTSTRAP.iter().any(|row| row.4 > 0));
    assert!(e::BOOTSTRAP.iter().all(|row| !row.2 || row.4 == 0));
}

#[test]
fn what_has_no_answer_is_an_error() {
    let two = [Some(true), Some(false)];
    assert!(matches!(
        Outcomes::new(&[0.5, f64::NAN], &two),
        Err(MeasureError::NotFinite { position: 1, .. })
    ));
    // A model that gives NaN is broken, whether or not the label is known.
    assert!(Outcomes::new(&[0.5, f64::NAN], &[Some(true), None]).is_err());
    assert!(Outcomes::new(&[0.5, f64::INFINITY], &two).is_err());
    assert!(matches!(Outcomes::new(&[0.5], &two), Err(MeasureError::Lengths { .. })));
    assert!(matches!(
        Outcomes::new::<f64>(&[], &[]),
        Err(MeasureError::TooFew { .. })
    ));
    assert!(matches!(
        Outcomes::new(&[0.5, 0.6], &[None, None]),
        Err(MeasureError::TooFew { .. })
    ));
    let resampling = Resampling {
        resamples: 10,
        seed: 0,
        level: 0.95,
        stratified: false,
    };
    for class in [false, true] {
        let one = known(&[0.1, 0.9, 0.5], &[class; 3]);
        for ranking in RANKINGS {
            assert!(matches!(ranking(one.tally()), Err(MeasureError::Degenerate { .. })));
            assert!(bootstrap_measure(&one, ranking, &resampling).is_err());
        }
        assert!(matches!(auroc_delong(&one, 0.95), Err(MeasureError::Degenerate { .. })));
        // One class is enough for probabilities.
        assert!(brier_score(one.tally()).is_ok() && bootstrap_measure(&one, log_loss, &resampling).is_ok());
    }
    let pair = known(&[0.1, 0.9, 0.8, 0.2], &[false, true, true, false]);
    assert!(calibration_error(pair.tally(), 0).is_err());
    assert!(auroc_delong(&pair, 1.0).is_err());
    for bad in [
        Resampling {
            resamples: 0,
            ..resampling
        },
        Resampling {
            level: 0.0,
            ..resampling
        },
        Resampling {
            level: f64::NAN,
            ..resampling
        },
    ] {
        assert!(bootstrap_measure(&pair, auroc, &bad).is_err());
    }
    assert!(bootstrap_measure(&known(&[0.5], &[true]), brier_score, &resampling).is_err());
}

#[test]
fn pairs_are_of_the_same_samples() {
    let resampling = Resampling {
        resamples: 10,
        seed: 0,
        level: 0.95,
        stratified: true,
    };
    let scores = [0.1, 0.9, 0.8, 0.2, 0.3];
    let ours = outcomes(&scores, &[0, 1, 1, 0, -1]);
    for other in [&[0, 1, 1, 0, 1][..], &[0, 1, 0, 1, -1]] {
        let other = outcomes(&scores, other);
        assert!(matches!(
            delong_test(&ours, &other, 0.95),
            Err(MeasureError::Degenerate { .. })
        ));
        assert!(bootstrap_difference(&ours, &other, auroc, &resampling).is_err());
    }
    assert!(delong_test(&ours, &outcomes(&scores[..4], &[0, 1, 1, 0]), 0.95).is_err());
    // Alike: no difference. The reverse of a perfect order: a difference without variance.
    let alike = delong_test(&ours, &ours, 0.95).unwrap();
    assert_eq!((alike.difference, alike.z, alike.p, alike.unknown), (0.0, 0.0, 1.0, 1));
    let reversed = outcomes(&scores.map(|score| -score), &[0, 1, 1, 0, -1]);
    assert!(matches!(
        delong_test(&ours, &reversed, 0.95),
        Err(MeasureError::Degenerate { .. })
    ));
}

#[test]
fn zero_and_minus_zero_are_a_tie() {
    let zeros = known(&[0.0, -0.0, 0.5], &[true, false, true]);
    assert_eq!(auroc(zeros.tally()).unwrap(), 0.75);
    assert_eq!(zeros.tally().levels().count(), 2);
}

/// Counting pairs would take 10^10 steps here. Every second rank is positive, which has a closed form.
#[test]
fn many_samples_are_sorted_not_paired() {
    let n = 200_000_u32;
    let half = f64::from(n) / 2.0;
    // A permutation, since 99 991 is coprime to n.
    let ranks: Vec<u32> = (0..n).map(|i| (u64::from(i) * 99_991 % u64::from(n)) as u32).collect();
    let scores: Vec<f64> = ranks.iter().map(|&rank| f64::from(rank) / f64::from(n)).collect();
    let labels: Vec<bool> = ranks.iter().map(|rank| rank % 2 == 1).collect();
    let all = known(&scores, &labels);
    close(
        auroc(all.tally()).unwrap(),
        (half + 1.0) / (2.0 * half),
        "200 000 samples",
    );
    let coarse: Vec<f64> = ranks.iter().map(|&rank| f64::from(rank / 4000)).collect();
    let coarse = known(&coarse, &labels);
    close(auroc(coarse.tally()).unwrap(), 0.5, "in 50 steps");
    assert!(delong_test(&all, &coarse, 0.95).unwrap().p < 1.0);
    let resampling = Resampling {
        resamples: 10,
        seed: 3,
        level: 0.9,
        stratified: false,
    };
    let got = bootstrap_difference(&all, &coarse, average_precision, &resampling).unwrap();
    assert!(got.interval.low <= got.interval.high && got.undefined == 0);
}

/// Scores with ties, each with its label; both classes occur at least twice.
fn samples() -> impl Strategy<Value = (Vec<f64>, Vec<bool>)> {
    prop::collection::vec((0..=20_u32, any::<bool>()), 0..40).prop_map(|mut pairs| {
        pairs.extend([(3, true), (11, true), (7, false), (11, false)]);
        pairs
            .into_iter()
            .map(|(score, label)| (f64::from(score) / 20.0, label))
            .unzip()
    })
}

proptest! {
    #[test]
    fn only_the_order_counts((scores, labels) in samples()) {
        let plain = known(&scores, &labels);
        let bent: Vec<f64> = scores.iter().map(|score| (3.0 * score).exp() - 7.0).collect();
        let bent = known(&bent, &labels);
        for ranking in RANKINGS {
            let value = ranking(plain.tally()).unwrap();
            prop_assert_eq!(value, ranking(bent.tally()).unwrap());
            prop_assert!((0.0..=1.0 + 1e-12).contains(&value));
        }
        prop_assert_eq!(auroc_delong(&plain, 0.9).unwrap(), auroc_delong(&bent, 0.9).unwrap());
    }

    #[test]
    fn reversing_turns_the_auroc_round((scores, labels) in samples()) {
        let reversed: Vec<f64> = scores.iter().map(|score| -score).collect();
        let flipped: Vec<bool> = labels.iter().map(|label| !label).collect();
        let value = auroc(known(&scores, &labels).tally()).unwrap();
        prop_assert!((value + auroc(known(&reversed, &labels).tally()).unwrap() - 1.0).abs() < 1e-15);
        prop_assert!((value + auroc(known(&scores, &flipped).tally()).unwrap() - 1.0).abs() < 1e-15);
        prop_assert_eq!(value, auroc(known(&reversed, &flipped).tally()).unwrap());
    }

    #[test]
    fn delong_is_its_definition((scores, labels) in samples(), noise in prop::collection::vec(0..6_i32, 44)) {
        let other: Vec<f64> = scores.iter().zip(&noise).map(|(score, noise)| score + f64::from(*noise) / 5.0).collect();
        let (a, a10, a01) = all_pairs(&scores, &labels);
        let (b, b10, b01) = all_pairs(&other, &labels);
        let ours = known(&scores, &labels);
        let got = auroc_delong(&ours, 0.95).unwrap();
        prop_assert!((got.value - a).abs() < 1e-12);
        let variance = covariance(&a10, &a10) + covariance(&a01, &a01);
        prop_assert!((got.standard_error.powi(2) - variance).abs() < 1e-12);
        let variance = variance + covariance(&b10, &b10) + covariance(&b01, &b01)
            - 2.0 * (covariance(&a10, &b10) + covariance(&a01, &b01));
        // An error is right where the difference is the same on every sample.
        if let Ok(test) = delong_test(&ours, &known(&other, &labels), 0.95) {
            prop_assert!((test.difference - (a - b)).abs() < 1e-12);
            prop_assert!((test.standard_error.powi(2) - variance).abs() < 1e-12);
            prop_assert!((0.0..=1.0).contains(&test.p));
        } else {
            prop_assert!(variance.abs() < 1e-12);
        }
    }

    #[test]
    fn unknown_labels_change_nothing((scores, labels) in samples(), extra in prop::collection::vec(0.0..1.0_f64, 0..9)) {
        let plain = known(&scores, &labels);
        let mut all: Vec<f64> = extra.clone();
        all.extend(&scores);
        let mut some: Vec<Option<bool>> = vec![None; extra.len()];
        some.extend(labels.iter().copied().map(Some));
        let with = Outcomes::new(&all, &some).unwrap();
        prop_assert_eq!(with.tally(), plain.tally());
        prop_assert_eq!((with.n(), with.unknown()), (plain.n(), extra.len()));
    }

    #[test]
    fn probabilities_are_bounded((scores, labels) in samples(), bins in 1..40_usize, seed: u64) {
        let outcomes = known(&scores, &labels);
        let tally = outcomes.tally();
        prop_assert!((0.0..=1.0).contains(&brier_score(tally).unwrap()));
        let error = calibration_error(tally, bins).unwrap();
        prop_assert!((0.0..=1.0).contains(&error));
        prop_assert!(calibration_error(tally, 1).unwrap() <= error + 1e-12); // one bin lets gaps cancel
        prop_assert!((0.0..=36.1).contains(&log_loss(tally).unwrap()));
        let bins = calibration(tally, bins).unwrap();
        prop_assert_eq!(bins.iter().map(|bin| bin.n).sum::<u64>(), tally.n());
        let resampling = Resampling { resamples: 20, seed, level: 0.9, stratified: true };
        let brier = bootstrap_measure(&outcomes, brier_score, &resampling).unwrap();
        prop_assert!(0.0 <= brier.interval.low && brier.interval.high <= 1.0);
        let none = bootstrap_difference(&outcomes, &outcomes, auroc, &resampling).unwrap();
        prop_assert_eq!((none.value, none.interval.low, none.interval.high), (0.0, 0.0, 0.0));
    }
}
