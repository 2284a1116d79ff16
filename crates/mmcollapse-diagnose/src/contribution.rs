//! What each modality contributes to accuracy: Shapley value, utilisation, perceptual score, equity.

use mmcollapse_probes::{SplitMix64, shapley};

use crate::error::Result;
use crate::features::View;
use crate::probe::{Probed, right};
use crate::resample::{Column, Means};
use crate::rows::{Rows, shuffle};
use crate::{Features, Input};

/// Permutations whose accuracy is averaged.
const PERMUTATIONS: usize = 10;

/// Shapley value of a modality from the accuracy of every subset; NaN where it is not defined.
pub(crate) fn shapley_of(means: &Means, subsets: &[Column], modality: usize) -> f64 {
    let scores: Vec<f64> = subsets.iter().map(|column| means.of(*column)).collect();
    shapley(&scores)
        .ok()
        .and_then(|values| values.get(modality).copied())
        .unwrap_or(f64::NAN)
}

/// How evenly modalities contribute: Pielou's evenness of their Shapley values, negative ones taken as 0.
///
/// `-sum s_m ln s_m / ln M` of the shares `s_m`: 1 where all M contribute the same, 0 where one contributes all; NaN where none
/// contributes. Source: Pielou, Journal of Theoretical Biology 13, 1966.
pub(crate) fn evenness(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().map(|value| value.max(0.0)).sum();
    let shares = values
        .iter()
        .map(|value| value.max(0.0) / sum)
        .filter(|share| *share != 0.0);
    shares.map(|share| -share * libm::log(share)).sum::<f64>() / libm::log(values.len() as f64)
}

/// Whether each sample is right when one modality is permuted over the samples, mean over permutations, modality by modality.
///
/// Of the probe of all encoders: it is linear, so the part of a modality in its logits is moved from sample to sample.
pub(crate) fn permuted_right(
    input: &Input,
    rows: &Rows,
    all: &Probed,
    draws: &mut SplitMix64,
) -> Result<Vec<Vec<f64>>> {
    let classes = rows.classes.len();
    let parts: Vec<&Features> = input.modalities.iter().map(|modality| &modality.embedding).collect();
    let Some(probe) = &all.probe else { return Ok(Vec::new()) };
    let whole = Features::beside(&parts, &rows.evaluate, View::Columns)?;
    let mut of_modalities = Vec::new();
    let mut start = 0;
    for part in &parts {
        let mut values = whole.values().to_vec();
        for row in values.chunks_exact_mut(whole.columns()) {
            row[start..start + part.columns()].fill(0.0);
        }
        start += part.columns();
        let without = probe.logits(&mmcollapse_probes::Matrix::new(&values, whole.rows(), whole.columns())?)?;
        let own: Vec<f64> = all
            .evaluate
            .iter()
            .zip(&without)
            .map(|(all, without)| all - without)
            .collect();
        let mut sum = vec![0.0; whole.rows()];
        for _ in 0..PERMUTATIONS {
            let mut from: Vec<usize> = (0..whole.rows()).collect();
            shuffle(&mut from, draws);
            let logits: Vec<f64> = (0..without.len())
                .map(|at| without[at] + own[from[at / classes] * classes + at % classes])
                .collect();
            for (sum, right) in sum.iter_mut().zip(right(&logits, &rows.labels, classes)) {
                *sum += right / PERMUTATIONS as f64;
            }
        }
        of_modalities.push(sum);
    }
    Ok(of_modalities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenness_by_hand() {
        assert!((evenness(&[0.2, 0.2]) - 1.0).abs() < 1e-12);
        assert_eq!(evenness(&[0.3, 0.0, -0.1]), 0.0);
        // Shares 3/4 and 1/4: 0.811 bits.
        assert!((evenness(&[0.3, 0.1]) - 0.811_278_124).abs() < 1e-8);
        assert!(evenness(&[0.0, -0.2]).is_nan());
    }
}
