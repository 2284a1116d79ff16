//! Predictions, features and latents of a trained model.

use mmcollapse_data::{Batch, Dataset, ModalitySpec, Presence, Samples, batches};
use mmcollapse_nn::{Device, Mode, Result as TensorResult, Tensor};
use mmcollapse_probes::Matrix;

use crate::{model::Model, rows::complete_rows};

/// Samples in an evaluation batch: it decides speed and memory, not numbers.
const BATCH: usize = 128;

/// Goes through samples in evaluation batches.
pub(crate) fn each_batch(
    samples: &Samples,
    modalities: &[ModalitySpec],
    presence: &Presence,
    device: &Device,
    mut visit: impl FnMut(&Batch) -> TensorResult<()>,
) -> TensorResult<()> {
    let order: Vec<usize> = (0..samples.len()).collect();
    for batch in batches(samples, modalities, presence, &order, BATCH, device) {
        visit(&batch?)?;
    }
    Ok(())
}

/// Share of the samples whose class has the highest logit.
pub(crate) fn accuracy(
    model: &Model,
    dataset: &Dataset,
    samples: &Samples,
    presence: &Presence,
    device: &Device,
) -> TensorResult<f64> {
    let mut right = 0;
    each_batch(samples, &dataset.modalities, presence, device, |batch| {
        let (_, output) = model.forward(batch, Mode::Eval)?;
        right += correct(&output.logits, &batch.labels)?;
        Ok(())
    })?;
    Ok(right as f64 / samples.len().max(1) as f64)
}

/// Number of rows whose first highest logit is the label's. Logits that are not a number count as wrong, except
/// that a row of nothing else is read as class 0: a dead network scores chance, as it would anywhere.
pub(crate) fn correct(logits: &Tensor, labels: &[u32]) -> TensorResult<usize> {
    let rows: Vec<Vec<f32>> = logits.to_vec2()?;
    Ok(rows
        .iter()
        .zip(labels)
        .filter(|(row, label)| argmax(row) == **label as usize)
        .count())
}

fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in row.iter().enumerate() {
        if *v > row[best] || (row[best].is_nan() && !v.is_nan()) {
            best = i;
        }
    }
    best
}

/// Per modality the latents g of the samples that have all modalities, or `None` for a model without latents.
pub(crate) fn latents(
    model: &Model,
    dataset: &Dataset,
    samples: &Samples,
    presence: &Presence,
    device: &Device,
) -> TensorResult<Option<Vec<Matrix>>> {
    let m = dataset.modalities.len();
    let complete = complete_rows(presence);
    if complete.len() < 2 {
        return Ok(None);
    }
    let samples = samples.select(&complete);
    let everything = Presence::all(samples.len(), m);
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); m];
    let mut some = true;
    each_batch(&samples, &dataset.modalities, &everything, device, |batch| {
        let encodings = model.encode(batch, Mode::Eval)?;
        for (values, latent) in values.iter_mut().zip(&encodings.latents) {
            match latent {
                Some(l) => values.extend(l.g.flatten_all()?.to_vec1::<f32>()?),
                None => some = false,
            }
        }
        Ok(())
    })?;
    if !some {
        return Ok(None);
    }
    // A latent that is not finite cannot be compared: the ranking keeps its order.
    Ok(values
        .iter()
        .map(|v| Matrix::new(v, samples.len(), v.len() / samples.len()).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_network_scores_chance() {
        let nan = Tensor::full(f32::NAN, (10, 10), &Device::Cpu).unwrap();
        let labels: Vec<u32> = (0..10).collect();
        assert_eq!(correct(&nan, &labels).unwrap(), 1);
        assert_eq!(argmax(&[f32::NAN, 0.5, 0.7]), 2);
    }
}
