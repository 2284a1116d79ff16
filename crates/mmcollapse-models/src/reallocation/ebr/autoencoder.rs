//! Heads and decoders trained, before the model, to give back their encoder's output.

use mmcollapse_data::Batch;
use mmcollapse_nn::{Mode, Result as TensorResult, Tensor};
use serde_json::json;

use super::{Config, TwoLayers};
use crate::{
    balancing::Weighed,
    error::Result,
    reallocation::{Placed, Preparation, Workbench, digest},
    rows::gather_rows,
    training::{BatchLosses, Objective, Progress, Training, root_mean_square},
};

/// The mean squared error of a modality's encoding after head and decoder.
struct Autoencoder {
    modality: usize,
    head: TwoLayers,
    decoder: TwoLayers,
    /// `[n, width]`, frozen encodings of the training samples that have the modality.
    encodings: Tensor,
    /// Row of each training sample.
    place: Vec<usize>,
}

impl Objective for Autoencoder {
    fn losses(&self, batch: &Batch, _mode: Mode, _progress: &Progress) -> TensorResult<BatchLosses> {
        let rows = &batch.inputs[self.modality].rows;
        let places: Vec<usize> = rows.iter().map(|&row| self.place[batch.index[row]]).collect();
        let z = gather_rows(&self.encodings, &places)?;
        let again = self.decoder.forward(&self.head.forward(&z)?)?;
        Ok(BatchLosses {
            semantic: (again - z)?.sqr()?.mean_all()?,
            aux: Vec::new(),
            reallocation: Vec::new(),
            weighed: Weighed::default(),
            size: root_mean_square(&self.encodings)?,
        })
    }
}

/// Trains head and decoder of one modality; the weights to put into the model. None where no training sample has it.
pub(super) fn train(config: &Config, bench: &mut dyn Workbench, modality: usize) -> Result<Vec<Placed>> {
    let name = bench.modalities()[modality].clone();
    let samples = bench.available().rows(modality);
    if samples.is_empty() {
        return Ok(Vec::new());
    }
    let branch = if config.trained_encoders {
        bench.trained_alone(modality)?
    } else {
        bench.branch(modality)?
    };
    let params = bench.params();
    let scope = params.root().pp("reallocation");
    let (width, hidden, latent) = (branch.encoder.width(), config.hidden, config.latent);
    let mut place = vec![0; bench.available().len()];
    for (row, &sample) in samples.iter().enumerate() {
        place[sample] = row;
    }
    let objective = Autoencoder {
        modality,
        head: TwoLayers::new(&scope.pp("head").pp(&name), (width, hidden, latent), config.start)?,
        decoder: TwoLayers::new(&scope.pp("decoder").pp(&name), (latent, hidden, width), config.start)?,
        encodings: bench.encodings(branch.encoder.as_ref(), modality, &samples)?,
        place,
    };
    let kept = format!("autoencoder/{name}");
    if !bench.has(&kept) {
        bench.train(&Preparation {
            name: kept.clone(),
            params: &params,
            objective: &objective,
            training: Training {
                epochs: config.autoencoder_epochs.max(1),
                ..bench.training().clone()
            },
            modalities: &[modality],
            samples: &samples,
            decided_by: json!({"encoder": digest(&branch.params.state()?)?}),
            discarded: None,
            keep: &kept,
        })?;
    }
    let placed = |part: &str| Placed {
        path: format!("reallocation.{part}.{name}"),
        kept: kept.clone(),
        freeze: false,
    };
    Ok(vec![placed("head"), placed("decoder")])
}
