//! A trained model asked: its predictions and latents.

use mmcollapse_data::{Batch, Dataset, ModalitySpec, Presence, Samples, batches};
use mmcollapse_nn::{Device, Mode, Result as TensorResult};
use mmcollapse_probes::Matrix;

use crate::{model::Model, predictions::Predictions, rows::complete_rows};

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

/// What `model` says of `samples` when it sees what is `present`.
pub(crate) fn predictions(
    model: &Model,
    dataset: &Dataset,
    samples: &Samples,
    presence: &Presence,
    device: &Device,
) -> TensorResult<Predictions> {
    let mut predictions = Predictions::default();
    each_batch(samples, &dataset.modalities, presence, device, |batch| {
        let (_, output) = model.forward(batch, Mode::Eval)?;
        predictions.push(&output.logits, &batch.labels)
    })?;
    Ok(predictions)
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
