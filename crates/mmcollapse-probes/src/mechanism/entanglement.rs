//! Which features share neurons, from shares of attribution `[neurons, features]` whose rows sum to 1 or are zero.
//!
//! Thresholds are arguments: what counts as holding a part of a neuron is a choice, over which results should be shown.

use crate::draws::SplitMix64;
use crate::error::{at_least, same_length};
use crate::matrix::dot;
use crate::{Matrix, MeasureError, Result, mean};

/// Neurons that respond to anything.
pub(super) fn live(shares: &Matrix) -> impl Iterator<Item = &[f64]> {
    let rows = (0..shares.rows()).map(|neuron| shares.row(neuron));
    rows.filter(|row| row.iter().any(|share| *share > 0.0))
}

fn share_of_live(measure: &'static str, shares: &Matrix, counts: impl Fn(&[f64]) -> bool) -> Result<f64> {
    let live: Vec<&[f64]> = live(shares).collect();
    at_least(measure, 1, live.len())?;
    Ok(live.iter().filter(|row| counts(row)).count() as f64 / live.len() as f64)
}

/// Share of the live neurons in which at least two modalities hold `least` of the attribution each. `shares` is by modality.
///
/// # Errors
/// No neuron responds to anything.
pub fn mixing_share(shares: &Matrix, least: f64) -> Result<f64> {
    share_of_live("share of mixing neurons", shares, |row| {
        row.iter().filter(|share| **share >= least).count() >= 2
    })
}

/// Share of the live neurons in which one feature holds `least` of the attribution.
///
/// # Errors
/// No neuron responds to anything.
pub fn monosemantic_share(shares: &Matrix, least: f64) -> Result<f64> {
    share_of_live("share of monosemantic neurons", shares, |row| {
        row.iter().any(|share| *share >= least)
    })
}

/// How often two features of one neuron are of two modalities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crossing {
    /// Mean over polysemantic neurons of the probability that two different features, drawn by their shares, differ in modality.
    pub observed: f64,
    /// The probability that two different features drawn evenly do.
    pub random: f64,
    /// Polysemantic neurons in the mean.
    pub neurons: usize,
}

/// What the paper's Lemma 1 bounds, measured: `modality` says of each feature whose it is. A neuron is polysemantic if no
/// feature holds `single` of its attribution.
///
/// # Errors
/// A modality for more or fewer features than there are, fewer than two features, no polysemantic neuron.
pub fn crossing(shares: &Matrix, modality: &[usize], single: f64) -> Result<Crossing> {
    const MEASURE: &str = "pairs that cross modalities";
    same_length(MEASURE, shares.columns(), modality.len())?;
    at_least(MEASURE, 2, modality.len())?;
    let modalities = modality.iter().max().map_or(0, |last| last + 1);
    // Of two different features drawn by weight, the share of pairs that differ in modality.
    let crossing = |weights: &[f64]| {
        let mut of_modality = vec![0.0; modalities];
        for (weight, modality) in weights.iter().zip(modality) {
            of_modality[*modality] += weight;
        }
        let all: f64 = weights.iter().sum();
        let different = all * all - dot(weights, weights);
        (different > 0.0).then(|| (all * all - dot(&of_modality, &of_modality)) / different)
    };
    let polysemantic = live(shares).filter(|row| row.iter().all(|share| *share < single));
    let found: Vec<f64> = polysemantic.filter_map(crossing).collect();
    at_least(MEASURE, 1, found.len())?;
    Ok(Crossing {
        observed: mean(&found)?,
        random: crossing(&vec![1.0; modality.len()]).unwrap_or_default(),
        neurons: found.len(),
    })
}

/// What [`Crossing::observed`] would be if features of one role were exchanged between modalities: the mean over permutations of
/// the features' modalities within each role. A network that responds to few features crosses more often than evenly drawn pairs
/// do, whosesoever they are; this null has the same responses.
///
/// `role` says of each feature which role it has.
///
/// # Errors
/// As [`crossing`]; no permutation.
pub fn crossing_permuted(
    shares: &Matrix,
    modality: &[usize],
    role: &[usize],
    single: f64,
    permutations: usize,
    seed: u64,
) -> Result<f64> {
    const MEASURE: &str = "pairs that cross permuted modalities";
    same_length(MEASURE, modality.len(), role.len())?;
    at_least(MEASURE, 1, permutations)?;
    let mut draws = SplitMix64(seed);
    let crossings = (0..permutations).map(|_| {
        let permuted = permuted_within(modality, role, &mut draws);
        Ok(crossing(shares, &permuted, single)?.observed)
    });
    mean(&crossings.collect::<Result<Vec<f64>>>()?)
}

/// The values with those of equal `group` exchanged at random.
fn permuted_within<T: Clone>(values: &[T], group: &[usize], draws: &mut SplitMix64) -> Vec<T> {
    let mut permuted = values.to_vec();
    let groups = group.iter().max().map_or(0, |last| last + 1);
    for own in 0..groups {
        let places: Vec<usize> = (0..group.len()).filter(|&i| group[i] == own).collect();
        for last in (1..places.len()).rev() {
            permuted.swap(places[last], places[draws.below(last + 1)]);
        }
    }
    permuted
}

/// With what predictive features share neurons, across modalities.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleOdds {
    /// ln of the mass of pairs of a noisy and a predictive feature over that of pairs of two predictive ones.
    pub log_odds: f64,
    /// The same with features exchanged within each modality, roles and ties together, one number a permutation.
    pub permuted: Vec<f64>,
}

impl RoleOdds {
    /// The log-odds less their mean under permuted roles: 0 where roles do not matter, however many features have which.
    pub fn excess(&self) -> f64 {
        self.log_odds - self.permuted.iter().sum::<f64>() / self.permuted.len().max(1) as f64
    }
}

/// What the paper's Lemma 3 claims, measured: over all neurons the mass (product of shares) of pairs of features of two
/// modalities, by role. `noisy` says of each feature whether it is noise; pairs for which `apart` says so do not count, such as
/// features that the label ties to each other. Under the null the ties move with the roles, so that as many pairs of each kind are
/// left out.
///
/// # Errors
/// Lengths that do not fit, no pair of one of the two kinds, no permutation.
pub fn role_odds(
    shares: &Matrix,
    modality: &[usize],
    noisy: &[bool],
    apart: &dyn Fn(usize, usize) -> bool,
    permutations: usize,
    seed: u64,
) -> Result<RoleOdds> {
    const MEASURE: &str = "log-odds of roles";
    same_length(MEASURE, shares.columns(), modality.len())?;
    same_length(MEASURE, modality.len(), noisy.len())?;
    at_least(MEASURE, 1, permutations)?;
    // Of each pair of features, the products of their shares over all neurons: whatever the roles.
    let masses = shares.transposed().gram();
    // `roles` says of each place whose roles and ties its feature has.
    let log_odds = |roles: &[usize]| {
        let (mut mixed, mut predictive) = (0.0, 0.0);
        for i in 0..modality.len() {
            for (j, mass) in masses.row(i)[..i].iter().enumerate() {
                let (as_i, as_j) = (roles[i], roles[j]);
                match (
                    modality[i] == modality[j] || apart(as_i, as_j),
                    noisy[as_i],
                    noisy[as_j],
                ) {
                    (true, _, _) | (_, true, true) => {}
                    (_, false, false) => predictive += mass,
                    _ => mixed += mass,
                }
            }
        }
        if mixed > 0.0 && predictive > 0.0 {
            Ok(libm::log(mixed / predictive))
        } else {
            Err(MeasureError::Degenerate {
                measure: MEASURE,
                reason: "no neuron holds features of two modalities in one of the two ways",
            })
        }
    };
    let mut draws = SplitMix64(seed);
    let own: Vec<usize> = (0..modality.len()).collect();
    let permuted = (0..permutations).map(|_| log_odds(&permuted_within(&own, modality, &mut draws)));
    Ok(RoleOdds {
        log_odds: log_odds(&own)?,
        permuted: permuted.collect::<Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(values: &[f64], columns: usize) -> Matrix {
        Matrix::new(values, values.len() / columns, columns).unwrap()
    }

    #[test]
    fn shares_are_of_live_neurons() {
        // Mixing from .1 on: the first two. Single from .9 on: the third. The last responds to nothing.
        let shares = matrix(&[0.5, 0.5, 0.9, 0.1, 0.95, 0.05, 0.0, 0.0], 2);
        assert_eq!(mixing_share(&shares, 0.1).unwrap(), 2.0 / 3.0);
        assert_eq!(monosemantic_share(&shares, 0.95).unwrap(), 1.0 / 3.0);
        assert!(mixing_share(&matrix(&[0.0, 0.0], 2), 0.1).is_err());
    }

    /// Two features of one modality and one of the other: of three pairs two cross.
    #[test]
    fn pairs_that_cross_by_hand() {
        let modality = [0, 0, 1];
        let even = crossing(&matrix(&[1.0 / 3.0; 3], 3), &modality, 0.9).unwrap();
        assert!((even.observed - 2.0 / 3.0).abs() < 1e-12 && (even.random - 2.0 / 3.0).abs() < 1e-12);
        // A half each of the first and the third: their pair crosses. Halves of the first two: it does not.
        let found = crossing(
            &matrix(&[0.5, 0.0, 0.5, 0.5, 0.5, 0.0, 0.95, 0.0, 0.05], 3),
            &modality,
            0.9,
        )
        .unwrap();
        assert_eq!((found.observed, found.neurons), (0.5, 2));
    }

    /// Two features of each modality, of one role in all; a neuron holds the first of each.
    #[test]
    fn permuted_modalities_are_the_null_of_crossing() {
        let (modality, role) = ([0, 0, 1, 1], [0; 4]);
        let neuron = matrix(&[0.5, 0.0, 0.5, 0.0], 4);
        assert_eq!(crossing(&neuron, &modality, 0.9).unwrap().observed, 1.0);
        // Of six ways to give the two features modalities, four cross.
        let null = crossing_permuted(&neuron, &modality, &role, 0.9, 4000, 1).unwrap();
        assert!((null - 2.0 / 3.0).abs() < 0.03, "{null}");
        // Roles of their own cannot be exchanged.
        assert_eq!(
            crossing_permuted(&neuron, &modality, &[0, 1, 2, 3], 0.9, 10, 1).unwrap(),
            1.0
        );
    }

    /// One noisy and one predictive feature in each of two modalities.
    #[test]
    fn roles_matter_only_where_they_decide() {
        let (modality, noisy) = ([0, 0, 1, 1], [true, false, true, false]);
        let none = |_, _| false;
        let even = role_odds(&matrix(&[0.25; 4], 4), &modality, &noisy, &none, 20, 1).unwrap();
        // Two pairs of noise and prediction, one of two predictive features, under any roles.
        assert!((even.log_odds - libm::log(2.0)).abs() < 1e-12);
        assert!(even.excess().abs() < 1e-12);
        // The first modality's noise with the second's prediction.
        let entangled = role_odds(&matrix(&[0.6, 0.1, 0.05, 0.25], 4), &modality, &noisy, &none, 200, 1).unwrap();
        assert!(entangled.excess() > 0.5, "{}", entangled.excess());
        let apart = role_odds(&matrix(&[0.1, 0.6, 0.05, 0.25], 4), &modality, &noisy, &none, 200, 1).unwrap();
        assert!(apart.excess() < -0.5, "{}", apart.excess());
        // Where features do not differ, a pair that is left out leaves no excess.
        let (modality, noisy) = ([0, 0, 0, 1, 1, 1], [true, false, false, true, false, false]);
        let tied = |i: usize, j: usize| i.min(j) == 1 && i.max(j) == 4;
        let even = role_odds(&matrix(&[1.0 / 6.0; 6], 6), &modality, &noisy, &tied, 20, 1).unwrap();
        // Four pairs of noise and prediction, three of two predictive features.
        assert!((even.log_odds - libm::log(4.0 / 3.0)).abs() < 1e-12);
        assert!(even.excess().abs() < 1e-12, "{}", even.excess());
        // Without the pair of the two predictive features there is nothing to compare with.
        let (modality, noisy) = ([0, 0, 1, 1], [true, false, true, false]);
        let tied = |i: usize, j: usize| i.min(j) == 1 && i.max(j) == 3;
        assert!(role_odds(&matrix(&[0.25; 4], 4), &modality, &noisy, &tied, 20, 1).is_err());
    }
}
