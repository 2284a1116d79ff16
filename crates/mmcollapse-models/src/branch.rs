//! One modality on its own: its encoder with a linear head.

use mmcollapse_data::Batch;
use mmcollapse_nn::{
    Mode, Params, Result as TensorResult, Tensor, candle::bail, layers::Linear, ops::softmax_cross_entropy,
};

use crate::{
    balancing::Weighed,
    encoders::Encoder,
    training::{BatchLosses, Objective, Progress, root_mean_square},
};

/// One modality on its own.
pub struct Branch {
    /// Every variable and buffer by name.
    pub params: Params,
    /// The modality's encoder.
    pub encoder: Box<dyn Encoder>,
    /// `[rows, width]` to logits `[rows, classes]`.
    pub head: Linear,
    /// Its place in the data set's order.
    pub modality: usize,
}

impl Branch {
    pub(crate) fn objective(&self) -> Unimodal<'_> {
        Unimodal {
            modality: self.modality,
            encoder: self.encoder.as_ref(),
            head: &self.head,
        }
    }
}

/// One modality's encoder with a linear head.
pub(crate) struct Unimodal<'a> {
    pub modality: usize,
    pub encoder: &'a dyn Encoder,
    pub head: &'a Linear,
}

impl Unimodal<'_> {
    /// Encoding `[rows, width]` and logits `[rows, classes]` of a batch in which every sample has the modality.
    pub fn forward(&self, batch: &Batch, mode: Mode) -> TensorResult<(Tensor, Tensor)> {
        let Some(x) = &batch.inputs[self.modality].x else {
            bail!("a batch without modality {} in its own training", self.modality)
        };
        let z = self.encoder.forward(x, mode)?;
        let logits = self.head.forward(&z)?;
        Ok((z, logits))
    }
}

impl Objective for Unimodal<'_> {
    fn losses(&self, batch: &Batch, mode: Mode, _progress: &Progress) -> TensorResult<BatchLosses> {
        let (z, logits) = self.forward(batch, mode)?;
        Ok(BatchLosses {
            semantic: softmax_cross_entropy(&logits, &batch.labels)?,
            aux: Vec::new(),
            reallocation: Vec::new(),
            weighed: Weighed::default(),
            size: root_mean_square(&z)?,
        })
    }

    fn encoders(&self) -> Vec<(usize, &dyn Encoder)> {
        vec![(self.modality, self.encoder)]
    }
}
