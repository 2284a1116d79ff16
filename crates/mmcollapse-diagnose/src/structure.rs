//! Shape of the representations: ranks, similarity, collinearity, and what the fusion's neurons are made of.

use mmcollapse_probes::{
    Matrix, by_group, linear_cka, mean_cosine_similarity, mixing_share, monosemantic_share, ranks, shares,
    variance_inflation, weight_activation,
};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::{DiagnoseError, Result};
use crate::features::View;
use crate::rows::{shuffle, stream};
use crate::{Features, Input, Modality};

/// Samples of which ranks, collinearity and cosines are taken.
const MOST: usize = 2_000;

/// Samples of which CKA is taken, in whose square its cost grows.
const MOST_ALIKE: usize = 1_000;

/// Least share of a neuron's attribution by which a modality counts in it.
const MIXES: f64 = 0.1;

/// Share of a neuron's attribution from which it is one modality's.
const PURE: f64 = 0.9;

/// Shape of one representation.
#[derive(Clone, Debug, Serialize)]
pub struct Structure {
    /// Samples measured.
    pub samples: usize,
    /// Width.
    pub width: usize,
    /// Columns that do not vary.
    pub constant: usize,
    /// Singular values that are not rounding.
    pub numerical_rank: usize,
    /// exp of the entropy of the singular values; none where nothing varies.
    pub effective_rank: Option<f64>,
    /// Sum of squared singular values over the largest one's square.
    pub stable_rank: Option<f64>,
    /// Mean variance inflation factor of the columns that vary and are no combination of others.
    pub vif: Option<f64>,
    /// Columns that are combinations of others.
    pub collinear: Option<usize>,
}

impl Structure {
    /// That of `features` on these samples.
    pub(crate) fn of(features: &Features, rows: &Drawn) -> Result<Self> {
        let matrix = features.select(&rows.most, View::Centred)?;
        let ranks = ranks(&matrix)?;
        // With as many columns as samples every column is a combination of the others.
        let inflation = (matrix.columns() < matrix.rows())
            .then(|| variance_inflation(&features.select(&rows.most, View::Columns)?).map_err(DiagnoseError::from))
            .transpose()?;
        let mean = inflation.as_ref().and_then(|inflation| {
            let finite = inflation.features.iter().flatten().filter(|factor| factor.is_finite());
            mmcollapse_probes::mean(&finite.copied().collect::<Vec<_>>()).ok()
        });
        Ok(Self {
            samples: ranks.n,
            width: ranks.d,
            constant: features.constant(),
            numerical_rank: ranks.numerical,
            effective_rank: ranks.effective,
            stable_rank: ranks.stable,
            vif: mean,
            collinear: inflation.map(|inflation| inflation.collinear),
        })
    }
}

/// Samples that shapes are taken of, drawn at random: a file may be in the order of its classes.
pub(crate) struct Drawn {
    /// For ranks, collinearity, cosines and neurons.
    most: Vec<usize>,
    /// For CKA, the first of them.
    alike: Vec<usize>,
}

impl Drawn {
    /// Of these samples, in their order.
    pub(crate) fn of(rows: &[usize], seed: u64) -> Self {
        let mut drawn = rows.to_vec();
        shuffle(&mut drawn, &mut stream(seed, "structure"));
        let first = |count: usize| {
            let mut first = drawn[..drawn.len().min(count)].to_vec();
            first.sort_unstable();
            first
        };
        Self {
            most: first(MOST),
            alike: first(MOST_ALIKE),
        }
    }
}

/// Linear CKA of two representations; none where one of them does not vary.
pub(crate) fn cka(a: &Features, b: &Features, rows: &Drawn) -> Result<Option<f64>> {
    let of = |features: &Features| features.select(&rows.alike, View::Centred);
    Ok(linear_cka(&of(a)?, &of(b)?).ok())
}

/// Mean cosine of two representations of one width; none where widths differ.
pub(crate) fn cosine(a: &Features, b: &Features, rows: &Drawn) -> Result<Option<f64>> {
    let of = |features: &Features| features.select(&rows.most, View::Scaled);
    let cosine = mean_cosine_similarity(&of(a)?, &of(b)?);
    Ok(cosine.ok().map(|(cosine, _)| cosine))
}

/// Shapes of all representations.
pub(crate) struct Shapes {
    pub fused: Option<Structure>,
    /// Of each encoder, with CKA and cosine to the fused representation.
    pub modalities: Vec<(Structure, Option<f64>, Option<f64>)>,
}

impl Shapes {
    /// On these samples.
    pub(crate) fn of(model: &Input, rows: &Drawn) -> Result<Self> {
        let of_modality = |modality: &Modality| {
            let encoder = Structure::of(&modality.embedding, rows)?;
            let Some(fused) = &model.fused else {
                return Ok((encoder, None, None));
            };
            let like = [modality.alone.as_ref(), Some(&modality.embedding)];
            let like = like
                .into_iter()
                .flatten()
                .find(|other| other.columns() == fused.columns());
            let cosine = like.map(|other| cosine(fused, other, rows)).transpose()?.flatten();
            Ok((encoder, cka(fused, &modality.embedding, rows)?, cosine))
        };
        let (fused, modalities) = rayon::join(
            || model.fused.as_ref().map(|fused| Structure::of(fused, rows)).transpose(),
            || model.modalities.par_iter().map(of_modality).collect::<Result<Vec<_>>>(),
        );
        Ok(Self {
            fused: fused?,
            modalities: modalities?,
        })
    }
}

/// What the neurons of the fusion layer are made of, by mean |weight x activation|.
#[derive(Clone, Debug, Serialize)]
pub struct Neurons {
    /// Neurons.
    pub neurons: usize,
    /// Mean share of each modality, in their order.
    pub shares: Vec<f64>,
    /// Mean share of the modality that leads in a neuron.
    pub leading: f64,
    /// Share of the neurons in which two modalities hold a tenth each.
    pub mixing: f64,
    /// Share of the neurons of which one modality holds nine tenths.
    pub pure: f64,
}

/// Attribution of neurons to modalities; none where no neuron responds to anything.
pub(crate) fn neurons(input: &Input, weight: &Matrix, rows: &Drawn) -> Result<Option<Neurons>> {
    let parts: Vec<&Features> = input.modalities.iter().map(|modality| &modality.embedding).collect();
    let activations = Features::beside(&parts, &rows.most, View::Raw)?;
    let group: Vec<usize> = parts
        .iter()
        .enumerate()
        .flat_map(|(at, part)| std::iter::repeat_n(at, part.columns()))
        .collect();
    let by_modality = shares(&by_group(&weight_activation(weight, &activations)?, &group)?)?;
    let live: Vec<&[f64]> = (0..by_modality.rows())
        .map(|row| by_modality.row(row))
        .filter(|row| row.iter().any(|share| *share > 0.0))
        .collect();
    if live.is_empty() {
        return Ok(None);
    }
    let mean = |of: &dyn Fn(&[f64]) -> f64| live.iter().map(|row| of(row)).sum::<f64>() / live.len() as f64;
    Ok(Some(Neurons {
        neurons: by_modality.rows(),
        shares: (0..parts.len()).map(|at| mean(&|row| row[at])).collect(),
        leading: mean(&|row| row.iter().copied().fold(0.0, f64::max)),
        mixing: mixing_share(&by_modality, MIXES)?,
        pure: monosemantic_share(&by_modality, PURE)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a file in the order of its classes the first samples would be those of a few.
    #[test]
    fn every_part_of_a_file_is_drawn_from() {
        let rows: Vec<usize> = (0..10_000).collect();
        let drawn = Drawn::of(&rows, 0);
        assert_eq!((drawn.most.len(), drawn.alike.len()), (MOST, MOST_ALIKE));
        for (drawn, expected) in [(&drawn.most, MOST / 10), (&drawn.alike, MOST_ALIKE / 10)] {
            assert!(drawn.is_sorted());
            for class in 0..10 {
                let of_class = drawn.iter().filter(|row| *row / 1_000 == class).count();
                assert!(
                    of_class.abs_diff(expected) < expected / 2,
                    "{of_class} of class {class}"
                );
            }
        }
        assert_eq!(Drawn::of(&rows[..5], 0).most, rows[..5]);
    }
}
