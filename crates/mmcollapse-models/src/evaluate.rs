//! A trained model asked: its predictions and latents.

use mmcollapse_data::{Batch, Dataset, ModalitySpec, Presence, Samples, batches};
use mmcollapse_nn::{DType, Device, Mode, Result as TensorResult, Tensor};
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

/// Per modality the latents g `[rows, latent]` of the samples that have it, or `None` for a model without latents.
pub(crate) fn latents(
    model: &Model,
    dataset: &Dataset,
    samples: &Samples,
    presence: &Presence,
    device: &Device,
) -> TensorResult<Option<Vec<Tensor>>> {
    let order: Vec<usize> = (0..samples.len()).collect();
    let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); dataset.modalities.len()];
    for batch in batches(samples, &dataset.modalities, presence, &order, BATCH, device) {
        let batch = batch?;
        let latents = model.encode(&batch, Mode::Eval)?.latents;
        for ((parts, latent), input) in parts.iter_mut().zip(latents).zip(&batch.inputs) {
            match latent {
                Some(latent) => parts.push(latent.g.detach()),
                // Nobody of the batch has the modality.
                None if input.x.is_none() => {}
                None => return Ok(None),
            }
        }
    }
    let Some(width) = parts.iter().flatten().next().map(|g| g.dim(1)).transpose()? else {
        return Ok(None);
    };
    let whole = parts.into_iter().map(|mut parts| {
        parts.push(Tensor::zeros((0, width), DType::F32, device)?);
        Tensor::cat(&parts, 0)
    });
    whole.collect::<TensorResult<_>>().map(Some)
}

/// The same of the samples that have all modalities, row by row comparable; `None` too where there are fewer than two.
pub(crate) fn complete_latents(
    model: &Model,
    dataset: &Dataset,
    samples: &Samples,
    presence: &Presence,
    device: &Device,
) -> TensorResult<Option<Vec<Matrix>>> {
    let complete = complete_rows(presence);
    if complete.len() < 2 {
        return Ok(None);
    }
    let samples = samples.select(&complete);
    let everything = Presence::all(samples.len(), dataset.modalities.len());
    let Some(latents) = latents(model, dataset, &samples, &everything, device)? else {
        return Ok(None);
    };
    // A latent that is not finite cannot be compared: the ranking keeps its order.
    let matrices: Vec<Option<Matrix>> = latents.iter().map(matrix).collect::<TensorResult<_>>()?;
    Ok(matrices.into_iter().collect())
}

/// Rows of a tensor `[n, width]`; none if one is not finite.
pub(crate) fn matrix(x: &Tensor) -> TensorResult<Option<Matrix>> {
    let (n, width) = x.dims2()?;
    let values: Vec<f32> = x.flatten_all()?.to_vec1()?;
    Ok(Matrix::new(&values, n, width).ok())
}
