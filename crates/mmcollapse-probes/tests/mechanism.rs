//! The measures of the mechanism against numpy, scikit-learn and PyTorch, and against what must hold for any input.

mod expected_mechanism;

use expected_mechanism as e;
use mmcollapse_probes::{
    Matrix, agop, by_group, capacity, closeness, crossing, crossing_permuted, integrated_gradients, mixing_share, mmd,
    monosemantic_share, places, planted_response, role_odds, shapley, weight_activation,
};
use proptest::prelude::*;

fn close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= tolerance, "got {got}, expected {expected}");
    }
}

fn matrix(values: &[f64], columns: usize) -> Matrix {
    Matrix::new(values, values.len() / columns, columns).unwrap()
}

#[test]
fn attribution_is_numpys_and_pytorchs() {
    let (weights, activations) = (matrix(e::WEIGHTS, 5), matrix(e::ACTIVATIONS, 5));
    let found = weight_activation(&weights, &activations).unwrap();
    close(found.values(), e::WEIGHT_ACTIVATION, 1e-12);
    let found = integrated_gradients(&weights, e::BIAS, &activations, e::BASELINE).unwrap();
    // Where a neuron goes on or off, autograd's steps are as fine as this.
    close(found.values(), e::INTEGRATED, 1e-4);
}

#[test]
fn capacity_is_numpys() {
    close(&capacity(&matrix(e::FEATURES, 3)).unwrap(), e::CAPACITY, 1e-12);
}

#[test]
fn the_gradient_outer_product_is_numpys() {
    let found = agop(&matrix(e::GRADIENTS, 5));
    close(found.values(), e::AGOP, 1e-12);
    let near = closeness(&matrix(e::WEIGHTS, 5), &found).unwrap();
    close(&[near.cosine, near.distance], &[e::CLOSENESS.0, e::CLOSENESS.1], 1e-12);
}

#[test]
fn the_discrepancy_is_scikit_learns() {
    let (x, y) = (matrix(e::SET_X, 3), matrix(e::SET_Y, 3));
    close(&[mmd(&x, &y).unwrap(), mmd(&y, &x).unwrap()], &[e::MMD, e::MMD], 1e-12);
}

#[test]
fn shapley_values_are_means_over_orders() {
    close(&shapley(e::SCORES).unwrap(), e::SHAPLEY, 1e-12);
    close(&shapley(e::SCORES_OF_EIGHT).unwrap(), e::SHAPLEY_OF_EIGHT, 1e-12);
}

#[test]
fn entanglement_is_that_of_all_pairs() {
    let (shares, modality) = (matrix(e::SHARES, 6), [0, 0, 1, 1, 2, 2]);
    let found = crossing(&shares, &modality, 0.9).unwrap();
    close(&[found.observed], &[e::CROSSING.0], 1e-12);
    assert_eq!(found.neurons, e::CROSSING.1);
    // Of fifteen pairs of six features twelve cross.
    close(&[found.random], &[0.8], 1e-12);
    let noisy = [true, false, true, false, true, false];
    let found = role_odds(&shares, &modality, &noisy, &|_, _| false, 10, 1).unwrap();
    close(&[found.log_odds], &[e::ROLE_ODDS], 1e-12);
}

#[test]
fn shares_over_thresholds_are_numpys() {
    let shares = matrix(e::SHARES, 6);
    let of_modalities = by_group(&shares, &[0, 0, 1, 1, 2, 2]).unwrap();
    let mixing = [0.05, 0.1, 0.2].map(|least| mixing_share(&of_modalities, least).unwrap());
    close(&mixing, e::MIXING, 1e-12);
    let single = [0.9, 0.8, 0.5].map(|least| monosemantic_share(&shares, least).unwrap());
    close(&single, e::MONOSEMANTIC, 1e-12);
    close(places(&shares).unwrap().values(), e::PLACES, 1e-12);
}

/// Nulls by drawn exchanges come near to those over all of them.
#[test]
fn nulls_are_means_over_all_exchanges() {
    let (shares, modality) = (matrix(e::SHARES, 6), [0, 0, 1, 1, 2, 2]);
    let found = crossing_permuted(&shares, &modality, &[0, 1, 0, 1, 0, 1], 0.9, 20_000, 1).unwrap();
    close(&[found], &[e::CROSSING_PERMUTED], 2e-3);
    let noisy = [true, false, true, false, true, false];
    let tied = |i: usize, j: usize| (i.min(j), i.max(j)) == (1, 3);
    let found = role_odds(&shares, &modality, &noisy, &tied, 20_000, 1).unwrap();
    close(&[found.log_odds], &[e::ROLE_ODDS_TIED.0], 1e-12);
    close(&[found.log_odds - found.excess()], &[e::ROLE_ODDS_TIED.1], 1e-2);
}

#[test]
fn responses_to_planted_features_are_numpys() {
    let derivatives: Vec<Matrix> = e::SLOPES.chunks(20).map(|slopes| matrix(slopes, 4)).collect();
    let found = planted_response(&derivatives, e::VARIANCES).unwrap();
    close(found.values(), e::RESPONSE, 1e-12);
}

proptest! {
    #[test]
    fn shapley_values_add_up(scores in prop::collection::vec(-1.0..1.0, 32)) {
        let sum: f64 = shapley(&scores).unwrap().iter().sum();
        prop_assert!((sum - (scores[31] - scores[0])).abs() < 1e-9);
    }

    #[test]
    fn capacities_are_shares(values in prop::collection::vec(-3.0..3.0, 15)) {
        let found = capacity(&matrix(&values, 3)).unwrap();
        prop_assert!(found.iter().all(|c| (0.0..=1.0 + 1e-12).contains(c)));
        // Never more in all than there are neurons.
        prop_assert!(found.iter().sum::<f64>() <= 3.0 + 1e-9);
    }

    #[test]
    fn closeness_knows_no_scale(values in prop::collection::vec(0.1..3.0, 12), factor in 0.1..10.0) {
        let weights = matrix(&values, 3);
        let larger: Vec<f64> = values.iter().map(|value| value * factor).collect();
        let found = closeness(&matrix(&larger, 3), &agop(&weights)).unwrap();
        prop_assert!((found.cosine - 1.0).abs() < 1e-9 && found.distance < 1e-6);
    }
}
