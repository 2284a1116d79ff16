//! beta: one modality made to weigh more in training, to see whether rank and similarity give way (the paper's
//! Figures 5 and 10).

use mmcollapse_nn::{Result as TensorResult, Scope, Tensor, layers::Linear, ops::softmax_cross_entropy};
use serde::Serialize;

use mmcollapse_record::UpweightMode;

use crate::{encodings::Encodings, error::Result, rows::select_rows};

/// Which modality weighs more, how much and in what way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UpweightConfig {
    /// Position in the data set's order.
    pub modality: usize,
    /// More than 0.
    pub beta: f64,
    /// In what way.
    pub mode: UpweightMode,
}

/// [`UpweightConfig`] with the head it needs.
pub(crate) struct Upweight {
    config: UpweightConfig,
    /// Linear head on the modality's encoding, where the loss is weighted.
    head: Option<Linear>,
}

impl Upweight {
    /// `width` is that of the modality's encoding.
    pub fn new(config: &UpweightConfig, width: usize, classes: usize, scope: &Scope) -> Result<Self> {
        Ok(Self {
            head: match config.mode {
                UpweightMode::Loss => Some(Linear::new(&scope.pp("head"), width, classes)?),
                UpweightMode::Feature => None,
            },
            config: config.clone(),
        })
    }

    /// Scales the modality's encoding `[batch, width]` by 1 + beta in mode `feature`; in mode `loss` it stays.
    pub fn scale(&self, modality: usize, z: Tensor) -> TensorResult<Tensor> {
        match self.config.mode {
            UpweightMode::Feature if modality == self.config.modality => z * (1.0 + self.config.beta),
            _ => Ok(z),
        }
    }

    /// beta times the head's cross-entropy on the samples that have the modality; none in mode `feature`.
    pub fn loss(&self, encodings: &Encodings, labels: &[u32]) -> TensorResult<Option<Tensor>> {
        let Some(head) = &self.head else { return Ok(None) };
        let rows = encodings.present.rows(self.config.modality);
        let known: Vec<u32> = rows.iter().filter_map(|&i| labels.get(i).copied()).collect();
        if known.is_empty() {
            return Ok(None);
        }
        let z = &encodings.z[self.config.modality];
        let z = select_rows(z, &rows)?; // [rows, width]
        let loss = softmax_cross_entropy(&head.forward(&z)?, &known)?;
        Ok(Some((loss * self.config.beta)?))
    }
}
