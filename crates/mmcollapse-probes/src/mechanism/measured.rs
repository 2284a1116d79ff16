//! The measures of the mechanism, as functions from what a trained model makes of samples.

use super::{
    FusionLayer, by_group, closeness, crossing, crossing_permuted, integrated_gradients, mixing_share, mmd,
    monosemantic_share, places, role_odds, shares, weight_activation,
};
use crate::{Matrix, OfModality, Reading, Representation, Result, mean};

/// What a planted feature is to the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureRole {
    /// It predicts by itself.
    Predictive,
    /// It predicts only together with a feature of another modality.
    Conjugate,
    /// It does not predict.
    Noise,
}

impl FeatureRole {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Predictive, Self::Conjugate, Self::Noise];

    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Predictive => "predictive",
            Self::Conjugate => "conjugate",
            Self::Noise => "noise",
        }
    }
}

/// A planted feature, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlantedFeature {
    /// Place of its modality.
    pub modality: usize,
    /// What it is to the label.
    pub role: FeatureRole,
    /// Place of the feature that the label ties it to, if it does.
    pub partner: Option<usize>,
    /// Rise of the cross-entropy in nats when it alone is permuted over the samples.
    pub contribution: f64,
}

/// The features that were planted in samples, and what a trained model makes of them.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedFeatures {
    /// The features, in the order of the columns.
    pub features: Vec<PlantedFeature>,
    /// `[neurons, features]`, see [`super::planted_response`]; none if a number of it is not finite.
    pub response: Option<Matrix>,
    /// The same where a feature moves together with its copies: one column for all of them.
    pub joined: Option<Matrix>,
    /// Fall of the cross-entropy in nats when all noise features are set to 0; none if it is not finite.
    pub noise_cost: Option<f64>,
}

/// The share of a neuron's attribution from which on a modality holds a part of it.
const PART: f64 = 0.1;

/// The share of a neuron's attribution from which on it is a feature's own.
const SINGLE: f64 = 0.9;

/// Permutations of roles or modalities, as the nulls of [`role_odds_excess`] and [`crossing_excess`].
const PERMUTATIONS: usize = 200;

/// Seed of permutations and rotations.
const SEED: u64 = 19;

/// Samples of a modality at most whose distances are taken: they are of every two.
const DISTANT: usize = 256;

impl PlantedFeatures {
    fn shares(&self) -> Option<Matrix> {
        shares(self.response.as_ref()?).ok()
    }

    fn modality(&self) -> Vec<usize> {
        self.features.iter().map(|feature| feature.modality).collect()
    }
}

/// A reading of all samples.
fn of(representation: &Representation, value: Option<f64>) -> Reading {
    Reading {
        value,
        n: representation.n,
    }
}

/// Shares of each neuron's attribution by modality, `[neurons, modalities]`: by its response to planted features where they are
/// known, else by weight times activation.
pub(super) fn by_modality(representation: &Representation) -> Option<Matrix> {
    if let Some(planted) = &representation.planted {
        return by_group(&planted.shares()?, &planted.modality()).ok();
    }
    let layer = representation.layer.as_ref()?;
    of_layer(layer, weight_activation(&layer.weights, &layer.inputs))
}

fn of_layer(layer: &FusionLayer, attribution: Result<Matrix>) -> Option<Matrix> {
    shares(&by_group(&attribution.ok()?, &layer.modality).ok()?).ok()
}

/// Share of the live fusion neurons in which at least two modalities hold a tenth of the attribution each.
pub fn mixing_neurons(representation: &Representation) -> Reading {
    mixing(representation, PART)
}

/// [`mixing_neurons`] from a twentieth on.
pub fn mixing_neurons_5(representation: &Representation) -> Reading {
    mixing(representation, PART / 2.0)
}

/// [`mixing_neurons`] from a fifth on.
pub fn mixing_neurons_20(representation: &Representation) -> Reading {
    mixing(representation, 2.0 * PART)
}

fn mixing(representation: &Representation, least: f64) -> Reading {
    let shares = by_modality(representation);
    of(
        representation,
        shares.and_then(|shares| mixing_share(&shares, least).ok()),
    )
}

/// [`mixing_neurons`] by integrated gradients from a baseline of zeros instead of weight times activation.
pub fn mixing_neurons_integrated(representation: &Representation) -> Reading {
    let share = representation.layer.as_ref().and_then(|layer| {
        let zeros = vec![0.0; layer.weights.columns()];
        let attribution = integrated_gradients(&layer.weights, &layer.bias, &layer.inputs, &zeros);
        mixing_share(&of_layer(layer, attribution)?, PART).ok()
    });
    of(representation, share)
}

/// Share of the live fusion neurons of whose attribution one planted feature holds nine tenths.
pub fn monosemantic_neurons(representation: &Representation) -> Reading {
    monosemantic(representation, PlantedFeatures::shares, SINGLE)
}

/// [`monosemantic_neurons`] from eight tenths on.
pub fn monosemantic_neurons_80(representation: &Representation) -> Reading {
    monosemantic(representation, PlantedFeatures::shares, SINGLE - 0.1)
}

/// [`monosemantic_neurons`] from half on.
pub fn monosemantic_neurons_50(representation: &Representation) -> Reading {
    monosemantic(representation, PlantedFeatures::shares, 0.5)
}

/// [`monosemantic_neurons_50`] where a feature and its copy in another modality, which have one meaning, count as one.
pub fn monosemantic_meanings_50(representation: &Representation) -> Reading {
    let of_meanings = |planted: &PlantedFeatures| shares(planted.joined.as_ref()?).ok();
    monosemantic(representation, of_meanings, 0.5)
}

fn monosemantic(
    representation: &Representation,
    shares: impl Fn(&PlantedFeatures) -> Option<Matrix>,
    least: f64,
) -> Reading {
    let shares = representation.planted.as_ref().and_then(shares);
    of(
        representation,
        shares.and_then(|shares| monosemantic_share(&shares, least).ok()),
    )
}

/// Probability that two features of a polysemantic neuron, drawn by their attribution, differ in modality (Lemma 1).
pub fn crossing_observed(representation: &Representation) -> Reading {
    let found = crossed(representation, |shares, planted| {
        Ok(crossing(shares, &planted.modality(), SINGLE)?.observed)
    });
    of(representation, found)
}

/// The same of two features drawn evenly: what the paper's bound is of.
pub fn crossing_random(representation: &Representation) -> Reading {
    let found = crossed(representation, |shares, planted| {
        Ok(crossing(shares, &planted.modality(), SINGLE)?.random)
    });
    of(representation, found)
}

/// [`crossing_observed`] less the same with features of one role exchanged between modalities: see [`crossing_permuted`].
pub fn crossing_excess(representation: &Representation) -> Reading {
    let found = crossed(representation, |shares, planted| {
        let modality = planted.modality();
        let role: Vec<usize> = planted.features.iter().map(|feature| feature.role as usize).collect();
        let null = crossing_permuted(shares, &modality, &role, SINGLE, PERMUTATIONS, SEED)?;
        Ok(crossing(shares, &modality, SINGLE)?.observed - null)
    });
    of(representation, found)
}

fn crossed(representation: &Representation, value: impl Fn(&Matrix, &PlantedFeatures) -> Result<f64>) -> Option<f64> {
    let planted = representation.planted.as_ref()?;
    value(&planted.shares()?, planted).ok()
}

/// Log-odds that a neuron holds a noisy and a predictive feature of two modalities rather than two predictive ones, less the
/// same with roles permuted within each modality (Lemma 3).
pub fn role_odds_excess(representation: &Representation) -> Reading {
    odds_excess(representation, PlantedFeatures::shares, |_, _, _| false)
}

/// The same of where features sit, however much is responded to each, without the pairs that the label ties together: whether noise
/// is found in the neurons of prediction, not how much of it is.
pub fn role_places_excess(representation: &Representation) -> Reading {
    let places = |planted: &PlantedFeatures| places(planted.response.as_ref()?).ok();
    odds_excess(representation, places, |planted, i, j| {
        planted.features[i].partner == Some(j)
    })
}

/// [`role_places_excess`] with the pairs that the label ties together.
pub fn role_places_tied_excess(representation: &Representation) -> Reading {
    let places = |planted: &PlantedFeatures| places(planted.response.as_ref()?).ok();
    odds_excess(representation, places, |_, _, _| false)
}

/// Excess of the log-odds of roles in a table `[neurons, features]`, without the pairs of features that are kept `apart`.
fn odds_excess(
    representation: &Representation,
    table: impl Fn(&PlantedFeatures) -> Option<Matrix>,
    apart: impl Fn(&PlantedFeatures, usize, usize) -> bool,
) -> Reading {
    let found = representation.planted.as_ref().and_then(|planted| {
        let noisy: Vec<bool> = planted.features.iter().map(|f| f.role == FeatureRole::Noise).collect();
        let apart = |i, j| apart(planted, i, j);
        let odds = role_odds(
            &table(planted)?,
            &planted.modality(),
            &noisy,
            &apart,
            PERMUTATIONS,
            SEED,
        )
        .ok()?;
        Some(odds.excess())
    });
    of(representation, found)
}

/// Mean contribution of the features that predict by themselves, in nats.
pub fn contribution_predictive(representation: &Representation) -> Reading {
    contribution(representation, FeatureRole::Predictive)
}

/// Mean contribution of the features that predict only together with one of another modality, in nats.
pub fn contribution_conjugate(representation: &Representation) -> Reading {
    contribution(representation, FeatureRole::Conjugate)
}

/// What noise costs: the fall of the cross-entropy in nats when all noise features are set to 0. Above 0 it reaches the output; permuted
/// noise is noise, so no contribution would show it.
pub fn noise_cost(representation: &Representation) -> Reading {
    of(
        representation,
        representation.planted.as_ref().and_then(|planted| planted.noise_cost),
    )
}

/// Mean contribution of the noise features, in nats.
pub fn contribution_noise(representation: &Representation) -> Reading {
    contribution(representation, FeatureRole::Noise)
}

fn contribution(representation: &Representation, role: FeatureRole) -> Reading {
    let found = representation.planted.as_ref().and_then(|planted| {
        let of_role = planted.features.iter().filter(|feature| feature.role == role);
        let values: Vec<f64> = of_role.map(|feature| feature.contribution).collect();
        mean(&values).ok()
    });
    of(representation, found)
}

/// Mean capacity of the features that predict, alone or together: how much of the fused representation each has for itself; see
/// [`super::capacity`]. Features are rows of the response's roots: sizes without signs.
pub fn capacity_predictive(representation: &Representation) -> Reading {
    capacity_of(representation, |role| role != FeatureRole::Noise)
}

/// Mean capacity of the noise features.
pub fn capacity_noise(representation: &Representation) -> Reading {
    capacity_of(representation, |role| role == FeatureRole::Noise)
}

fn capacity_of(representation: &Representation, counts: impl Fn(FeatureRole) -> bool) -> Reading {
    let found = representation.planted.as_ref().and_then(|planted| {
        let response = planted.response.as_ref()?.transposed();
        let roots: Vec<f64> = response.values().iter().map(|value| value.max(0.0).sqrt()).collect();
        let all = super::capacity(&Matrix::new(&roots, response.rows(), response.columns()).ok()?).ok()?;
        let of_role = planted
            .features
            .iter()
            .zip(all)
            .filter(|(feature, _)| counts(feature.role));
        let values: Vec<f64> = of_role.map(|(_, capacity)| capacity).collect();
        mean(&values).ok()
    });
    of(representation, found)
}

/// Distance of the fusion layer's `W^T W` from the average gradient outer product, each at norm 1 (Theorem 2). The
/// cosine of both is 1 less half of its square.
pub fn agop_distance(representation: &Representation) -> Reading {
    of_agop(representation, own_distance)
}

/// The same of weights of the same spectrum, rotated at random.
pub fn agop_distance_rotated(representation: &Representation) -> Reading {
    of_agop(representation, rotated_distance)
}

/// [`agop_distance`] less [`agop_distance_rotated`].
pub fn agop_distance_excess(representation: &Representation) -> Reading {
    of_agop(representation, |layer, agop| {
        Ok(own_distance(layer, agop)? - rotated_distance(layer, agop)?)
    })
}

fn own_distance(layer: &FusionLayer, agop: &Matrix) -> Result<f64> {
    Ok(closeness(&layer.weights, agop)?.distance)
}

fn rotated_distance(layer: &FusionLayer, agop: &Matrix) -> Result<f64> {
    Ok(closeness(&layer.rotated_weights(SEED)?, agop)?.distance)
}

/// Mean over the pairs of modalities of the squared maximum mean discrepancy of their encodings; see [`mmd`]. At most
/// 256 samples of a modality count. None where encodings differ in width.
pub fn encodings_mmd(representation: &Representation) -> Reading {
    let few = |modality: &OfModality| -> Option<Matrix> {
        let having = &modality.having[..modality.having.len().min(DISTANT)];
        modality.encoding.as_ref()?.select(having).ok()
    };
    let encodings: Option<Vec<Matrix>> = representation.modalities.iter().map(few).collect();
    let pairs = encodings.map(|encodings| -> Option<f64> {
        let pairs = (0..encodings.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
        let distances: Option<Vec<f64>> = pairs.map(|(a, b)| mmd(&encodings[a], &encodings[b]).ok()).collect();
        mean(&distances?).ok()
    });
    of(representation, pairs.flatten())
}

fn of_agop(representation: &Representation, value: impl Fn(&FusionLayer, &Matrix) -> Result<f64>) -> Reading {
    let layer = representation.layer.as_ref();
    of(
        representation,
        layer.and_then(|layer| value(layer, &layer.agop().ok()?).ok()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two modalities with a predictive and a noisy feature each; of four neurons the last is dead.
    fn planted(response: &[f64]) -> Representation {
        let feature = |modality, role, contribution| PlantedFeature {
            modality,
            role,
            partner: None,
            contribution,
        };
        Representation {
            n: 5,
            planted: Some(PlantedFeatures {
                features: vec![
                    feature(0, FeatureRole::Predictive, 0.5),
                    feature(0, FeatureRole::Noise, 0.0),
                    feature(1, FeatureRole::Conjugate, 0.25),
                    feature(1, FeatureRole::Noise, 0.125),
                ],
                response: Matrix::new(response, response.len() / 4, 4).ok(),
                joined: Matrix::new(response, response.len() / 4, 4).ok(),
                noise_cost: Some(0.25),
            }),
            ..Representation::default()
        }
    }

    #[test]
    fn neurons_are_read_by_their_shares() {
        // The first is one feature's, the second of one modality, the third mixes both.
        let representation = planted(&[
            3.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 4.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        ]);
        let value = |measure: fn(&Representation) -> Reading| measure(&representation).value.unwrap();
        assert_eq!(value(mixing_neurons), 1.0 / 3.0);
        assert_eq!(value(mixing_neurons_20), 1.0 / 3.0);
        assert_eq!(value(monosemantic_neurons), 1.0 / 3.0);
        assert_eq!(value(monosemantic_neurons_80), 2.0 / 3.0);
        assert_eq!(value(monosemantic_meanings_50), 1.0);
        // Of the two polysemantic neurons one crosses in every pair, the other in none; of six pairs of four features four do.
        assert!((value(crossing_observed) - 0.5).abs() < 1e-12);
        assert!((value(crossing_random) - 4.0 / 6.0).abs() < 1e-12);
        // The noise features are exchanged in half of the permutations; then the second neuron crosses. The roles of the third
        // have one feature each.
        assert!(
            (value(crossing_excess) + 0.25).abs() < 0.05,
            "{}",
            value(crossing_excess)
        );
        assert_eq!(value(contribution_noise), 0.0625);
        assert_eq!(value(contribution_conjugate), 0.25);
        assert_eq!(mixing_neurons(&representation).n, 5);
    }

    #[test]
    fn without_a_truth_or_a_layer_nothing_is_measured() {
        let nothing = Representation::default();
        for measure in [
            mixing_neurons,
            crossing_excess,
            role_odds_excess,
            role_places_tied_excess,
            contribution_noise,
            agop_distance,
        ] {
            assert_eq!(measure(&nothing).value, None);
        }
        let broken = planted(&[f64::NAN; 4]);
        assert_eq!(monosemantic_neurons(&broken).value, None);
        assert_eq!(contribution_predictive(&broken).value, Some(0.5));
    }

    /// A sample that lacks a modality has no encoding of it.
    #[test]
    fn encodings_are_apart_where_samples_have_them() {
        let encoded = |values: &[f64], having: &[usize]| OfModality {
            encoding: Matrix::new(values, 4, 1).ok(),
            having: having.to_vec(),
            alone: None,
        };
        let modalities = vec![
            encoded(&[0.0, 1.0, 9.0, 9.0], &[0, 1]),
            encoded(&[9.0, 9.0, 3.0, 4.0], &[2, 3]),
        ];
        let both = |modalities: Vec<OfModality>| Representation {
            n: 4,
            modalities,
            ..Representation::default()
        };
        let set = |values: [f64; 2]| Matrix::new(&values, 2, 1).unwrap();
        let expected = mmd(&set([3.0, 4.0]), &set([0.0, 1.0])).unwrap();
        assert_eq!(encodings_mmd(&both(modalities.clone())).value, Some(expected));
        let wider = OfModality {
            encoding: Matrix::new(&[0.0; 8], 4, 2).ok(),
            ..modalities[0].clone()
        };
        assert_eq!(encodings_mmd(&both(vec![modalities[0].clone(), wider])).value, None);
    }

    /// Where features are not known, a layer's neurons are read by weight and activation.
    #[test]
    fn a_layer_is_read_by_modality() {
        let matrix = |values: &[f64], columns: usize| Matrix::new(values, values.len() / columns, columns).unwrap();
        let representation = Representation {
            n: 2,
            layer: Some(FusionLayer {
                // The first neuron reads one modality, the second both.
                weights: matrix(&[1.0, 0.0, 1.0, 1.0], 2),
                bias: vec![0.0; 2],
                readout: matrix(&[1.0, 1.0, -1.0, -1.0], 2),
                readout_bias: vec![0.0; 2],
                inputs: matrix(&[1.0, 1.0, 2.0, 1.0], 2),
                modality: vec![0, 1],
            }),
            ..Representation::default()
        };
        assert_eq!(mixing_neurons(&representation).value, Some(0.5));
        assert_eq!(mixing_neurons_integrated(&representation).value, Some(0.5));
        // W^T W is [[2, 1], [1, 1]], all neurons are on, and the gradients are ±(2, 1) in each sample: [[4, 2], [2, 1]], twice.
        let (ours, theirs) = ([2.0, 1.0, 1.0, 1.0], [4.0, 2.0, 2.0, 1.0]);
        let squares = ours
            .iter()
            .zip(theirs)
            .map(|(a, b)| (a / 7.0_f64.sqrt() - b / 5.0).powi(2));
        let expected = squares.sum::<f64>().sqrt();
        assert!((agop_distance(&representation).value.unwrap() - expected).abs() < 1e-12);
        assert!(agop_distance_excess(&representation).value.unwrap() < 0.0);
    }
}
