//! What each fusion neuron is made of, neuron by neuron: what the paper's Figures 1 to 3 sketch.

use super::{FeatureRole, PlantedFeature, by_group, entanglement::live, measured::by_modality, shares};
use crate::{Matrix, Reading, Representation, mean};

/// Features of a modality: all of them, or those of a role where roles are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeuronGroup {
    /// Place of the modality.
    pub modality: usize,
    /// What the features are to the label; none where nobody knows.
    pub role: Option<FeatureRole>,
}

/// Of each group of features the share of every live neuron's attribution, neurons in one order. By modality and role where features
/// are planted, else by modality ([`super::weight_activation`]); nothing where the fusion has no such layer.
pub fn neuron_shares(representation: &Representation) -> Vec<(NeuronGroup, Vec<f64>)> {
    found(representation).unwrap_or_default()
}

fn found(representation: &Representation) -> Option<Vec<(NeuronGroup, Vec<f64>)>> {
    let (roles, of_neurons): (Vec<Option<FeatureRole>>, Matrix) = if let Some(planted) = &representation.planted {
        let roles = FeatureRole::ALL.map(Some);
        let group = |feature: &PlantedFeature| roles.len() * feature.modality + feature.role as usize;
        let groups: Vec<usize> = planted.features.iter().map(group).collect();
        let of_neurons = by_group(&shares(planted.response.as_ref()?).ok()?, &groups).ok()?;
        (roles.to_vec(), of_neurons)
    } else {
        (vec![None], by_modality(representation)?)
    };
    let of_group = |group: usize| {
        let of = NeuronGroup {
            modality: group / roles.len(),
            role: roles[group % roles.len()],
        };
        (of, live(&of_neurons).map(|row| row[group]).collect())
    };
    Some((0..of_neurons.columns()).map(of_group).collect())
}

/// Mean over the live fusion neurons of the share that the modality with the largest one holds: 1 where every neuron is one
/// modality's, at least 1 / m.
pub fn leading_modality(representation: &Representation) -> Reading {
    let leading = by_modality(representation).and_then(|shares| {
        let largest = |row: &[f64]| row.iter().copied().fold(0.0, f64::max);
        let of_live: Vec<f64> = live(&shares).map(largest).collect();
        mean(&of_live).ok()
    });
    Reading {
        value: leading,
        n: representation.n,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PlantedFeatures;

    #[test]
    fn neurons_are_told_by_modality_and_role() {
        let feature = |modality, role| PlantedFeature {
            modality,
            role,
            partner: None,
            contribution: 0.0,
        };
        // Two predictive features and noise of the first modality, conjugate ones of the second; the last neuron is dead.
        let representation = Representation {
            n: 5,
            planted: Some(PlantedFeatures {
                features: vec![
                    feature(0, FeatureRole::Predictive),
                    feature(0, FeatureRole::Predictive),
                    feature(0, FeatureRole::Noise),
                    feature(1, FeatureRole::Conjugate),
                ],
                response: Matrix::new(&[1.0, 1.0, 0.0, 2.0, 0.0, 0.0, 3.0, 1.0, 0.0, 0.0, 0.0, 0.0], 3, 4).ok(),
                joined: None,
                noise_cost: None,
            }),
            ..Representation::default()
        };
        let found = neuron_shares(&representation);
        let of = |modality: usize, role: FeatureRole| {
            let group = NeuronGroup {
                modality,
                role: Some(role),
            };
            let mut of_group = found.iter().filter(|(known, _)| *known == group);
            of_group.next().map(|(_, shares)| shares.clone()).unwrap()
        };
        assert_eq!(of(0, FeatureRole::Predictive), [0.5, 0.0]);
        assert_eq!(of(0, FeatureRole::Noise), [0.0, 0.75]);
        assert_eq!(of(0, FeatureRole::Conjugate), [0.0, 0.0]);
        assert_eq!(of(1, FeatureRole::Conjugate), [0.5, 0.25]);
        assert_eq!(leading_modality(&representation).value, Some(0.625));
        assert!(neuron_shares(&Representation::default()).is_empty());
        assert_eq!(leading_modality(&Representation::default()).value, None);
    }
}
