//! Shape of the representations: ranks, similarity, collinearity, and what the fusion's neurons are made of.

use mmcollapse_probes::{
    Matrix, by_group, linear_cka, mean_cosine_similarity, mixing_share, monosemantic_share, ranks, shares,
    variance_inflation, weight_activation,
};
use serde::Serialize;

use crate::error::Result;
use crate::{Features, Input};

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
    /// That of `features` on the first of these samples.
    pub(crate) fn of(features: &Features, rows: &[usize]) -> Result<Self> {
        let matrix = features.select(first(rows))?;
        let ranks = ranks(&matrix)?;
        // With as many columns as samples every column is a combination of the others.
        let inflation = (matrix.columns() < matrix.rows())
            .then(|| variance_inflation(&matrix))
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

fn first(rows: &[usize]) -> &[usize] {
    &rows[..rows.len().min(MOST)]
}

/// Linear CKA of two representations; none where one of them does not vary.
pub(crate) fn cka(a: &Features, b: &Features, rows: &[usize]) -> Result<Option<f64>> {
    let rows = &rows[..rows.len().min(MOST_ALIKE)];
    Ok(linear_cka(&a.select(rows)?, &b.select(rows)?).ok())
}

/// Mean cosine of two representations of one width; none where widths differ.
pub(crate) fn cosine(a: &Features, b: &Features, rows: &[usize]) -> Result<Option<f64>> {
    let rows = first(rows);
    let cosine = mean_cosine_similarity(&a.select(rows)?, &b.select(rows)?);
    Ok(cosine.ok().map(|(cosine, _)| cosine))
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
pub(crate) fn neurons(input: &Input, weight: &Matrix, rows: &[usize]) -> Result<Option<Neurons>> {
    let parts: Vec<&Features> = input.modalities.iter().map(|modality| &modality.embedding).collect();
    let activations = Features::beside(&parts, first(rows))?;
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
