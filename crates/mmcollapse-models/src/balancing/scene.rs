//! What a balancing may look at between two epochs: the model, and the samples of training and validation.

use mmcollapse_data::{ModalitySpec, Presence, Samples};
use mmcollapse_nn::{Device, Mode, Result as TensorResult, Tensor};

use crate::{evaluate::each_batch, model::Model, rows::select_rows};

/// Samples, and who has what.
#[derive(Clone, Copy)]
pub struct Held<'a> {
    /// The samples.
    pub samples: &'a Samples,
    /// Which of them has which modality.
    pub presence: &'a Presence,
}

/// A training between two epochs. The test is not there.
pub struct Scene<'a> {
    /// The model in training.
    pub model: &'a Model,
    /// What one input of each modality is.
    pub modalities: &'a [ModalitySpec],
    /// What it trains on.
    pub train: Held<'a>,
    /// What it may be chosen by.
    pub validation: Held<'a>,
    /// The cell's seed.
    pub seed: u64,
    /// Where the model is.
    pub device: &'a Device,
}

impl Scene<'_> {
    /// Of each modality the encodings `[rows, width]`, without dropout and gradient, and the labels of the samples that have it.
    ///
    /// # Errors
    /// A shape that does not fit.
    pub fn encodings(&self, of: Held) -> TensorResult<Vec<(Option<Tensor>, Vec<u32>)>> {
        let mut parts: Vec<(Vec<Tensor>, Vec<u32>)> = vec![Default::default(); self.modalities.len()];
        each_batch(of.samples, self.modalities, of.presence, self.device, |batch| {
            let encodings = self.model.encode(batch, Mode::Eval)?;
            for (m, (parts, labels)) in parts.iter_mut().enumerate() {
                let rows = batch.present.rows(m);
                if !rows.is_empty() {
                    parts.push(select_rows(&encodings.z[m], &rows)?.detach());
                    labels.extend(rows.iter().map(|&row| batch.labels[row]));
                }
            }
            Ok(())
        })?;
        let whole = parts.into_iter().map(|(parts, labels)| {
            let z = (!parts.is_empty()).then(|| Tensor::cat(&parts, 0)).transpose()?;
            Ok((z, labels))
        });
        whole.collect()
    }
}
