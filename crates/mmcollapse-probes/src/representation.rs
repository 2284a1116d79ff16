//! What a trained model makes of samples, and the measures of it.
//!
//! A measure is a function from a [`Representation`] to a [`Reading`], of the whole or of one modality. The list of metrics
//! names it; nothing else has to know it.

use crate::mechanism::{FusionLayer, PlantedFeatures};
use crate::{Matrix, linear_cka, mean, mean_cosine_similarity, ranks, variance_inflation};

/// What a trained model makes of n samples, each with all the modalities that it has.
#[derive(Clone, Debug, Default)]
pub struct Representation {
    /// Number of samples.
    pub n: usize,
    /// `[n, width]` the fused representation; none if a number of it is not finite.
    pub fused: Option<Matrix>,
    /// The modalities in order.
    pub modalities: Vec<OfModality>,
    /// Class of each sample.
    pub labels: Vec<u32>,
    /// The layer in which the modalities meet; none if the fusion has no such layer, or a number of it is not finite.
    pub layer: Option<FusionLayer>,
    /// The planted features and what became of them; none where nobody knows the features.
    pub planted: Option<PlantedFeatures>,
}

/// The part of one modality in a [`Representation`].
#[derive(Clone, Debug, Default)]
pub struct OfModality {
    /// `[n, width]` the encoding that the fusion is given, zero where a sample lacks the modality; none if not finite.
    pub encoding: Option<Matrix>,
    /// Samples that have the modality.
    pub having: Vec<usize>,
    /// `[having, width]` the fused representation of these samples with this modality alone and no stand-ins; none if not
    /// finite.
    pub alone: Option<Matrix>,
}

/// A measured number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// None where the measure is not defined.
    pub value: Option<f64>,
    /// Samples it was measured on.
    pub n: usize,
}

impl Representation {
    fn of_fused(&self, measure: impl Fn(&Matrix) -> Option<f64>) -> Reading {
        Reading {
            value: self.fused.as_ref().and_then(measure),
            n: self.n,
        }
    }
}

/// Numerical rank of the centred fused representation; see [`ranks`].
pub fn rank_numerical(representation: &Representation) -> Reading {
    representation.of_fused(|fused| Some(ranks(fused).ok()?.numerical as f64))
}

/// Effective rank of the centred fused representation; see [`ranks`].
pub fn rank_effective(representation: &Representation) -> Reading {
    representation.of_fused(|fused| ranks(fused).ok()?.effective)
}

/// Stable rank of the centred fused representation; see [`ranks`].
pub fn rank_stable(representation: &Representation) -> Reading {
    representation.of_fused(|fused| ranks(fused).ok()?.stable)
}

/// Mean variance inflation factor of the fused features. Features that do not vary and combinations of others are left out;
/// see [`variance_inflation`].
pub fn vif_mean(representation: &Representation) -> Reading {
    representation.of_fused(|fused| {
        let features = variance_inflation(fused).ok()?.features;
        let finite: Vec<f64> = features.into_iter().flatten().filter(|f| f.is_finite()).collect();
        mean(&finite).ok()
    })
}

/// Number of fused features that are combinations of others. Not defined where no feature varies.
pub fn vif_collinear(representation: &Representation) -> Reading {
    representation.of_fused(|fused| {
        let inflation = variance_inflation(fused).ok()?;
        inflation.mean.map(|_| inflation.collinear as f64)
    })
}

/// Linear CKA between the fused representation and the encoding of a modality; see [`linear_cka`].
pub fn cka(representation: &Representation, modality: usize) -> Reading {
    representation.of_fused(|fused| {
        let encoding = representation.modalities.get(modality)?.encoding.as_ref()?;
        linear_cka(fused, encoding).ok()
    })
}

/// Mean cosine between the fused representation of a sample and that of the same sample with one modality alone. A sample
/// where either is zero has no cosine; see [`mean_cosine_similarity`].
pub fn cosine(representation: &Representation, modality: usize) -> Reading {
    let measured = representation.fused.as_ref().and_then(|fused| {
        let of = representation.modalities.get(modality)?;
        mean_cosine_similarity(&fused.select(&of.having).ok()?, of.alone.as_ref()?).ok()
    });
    Reading {
        value: measured.map(|(cosine, _)| cosine),
        n: measured.map_or(0, |(_, n)| n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(values: &[f64], columns: usize) -> Option<Matrix> {
        Matrix::new(values, values.len() / columns, columns).ok()
    }

    /// Three samples, of which the last lacks the modality.
    fn three(fused: Option<Matrix>) -> Representation {
        Representation {
            n: 3,
            fused,
            modalities: vec![OfModality {
                encoding: matrix(&[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], 2),
                having: vec![0, 1],
                alone: matrix(&[1.0, 0.0, 0.0, -2.0], 2),
            }],
            labels: vec![0, 1, 0],
            ..Representation::default()
        }
    }

    #[test]
    fn a_measure_is_of_the_samples_that_can_have_it() {
        let representation = three(matrix(&[1.0, 0.0, 0.0, 1.0, 5.0, 5.0], 2));
        let reading = cosine(&representation, 0);
        // 1 and -1.
        assert_eq!((reading.value, reading.n), (Some(0.0), 2));
        assert_eq!(
            (rank_numerical(&representation).value, rank_numerical(&representation).n),
            (Some(2.0), 3)
        );
        assert!(
            cka(&representation, 0)
                .value
                .is_some_and(|cka| (0.0..=1.0).contains(&cka))
        );
        assert_eq!(cka(&representation, 1).value, None);
    }

    #[test]
    fn what_is_not_finite_or_does_not_vary_has_no_measure() {
        let broken = three(None);
        let constant = three(matrix(&[1.0; 6], 2));
        for measure in [rank_effective, rank_stable, vif_mean, vif_collinear] {
            assert_eq!(measure(&broken).value, None);
            assert_eq!(measure(&constant).value, None);
        }
        assert_eq!(rank_numerical(&constant).value, Some(0.0));
        assert_eq!((cka(&broken, 0).value, cosine(&broken, 0).n), (None, 0));
    }
}
