//! What the training of the whole model descends.

use mmcollapse_data::Batch;
use mmcollapse_nn::{Mode, Result as TensorResult, Tensor};

use crate::{
    balancing::{Seen, Weighed},
    encoders::Encoder,
    model::Model,
    training::{BatchLosses, Objective, Progress, root_mean_square},
};

/// L_sem of the multimodal prediction, the fusion's own terms, and the reallocation's.
pub(crate) struct Multimodal<'a>(pub &'a Model);

impl Objective for Multimodal<'_> {
    fn losses(&self, batch: &Batch, mode: Mode, progress: &Progress) -> TensorResult<BatchLosses> {
        let encodings = self.0.encodings(batch, mode)?;
        let seen = Seen {
            model: self.0,
            batch,
            encodings: &encodings,
            mode,
            progress,
        };
        let balancing = self.0.balancing.as_ref().filter(|_| mode.is_train());
        let balanced = balancing
            .map(|balancing| balancing.encodings(&seen))
            .transpose()?
            .flatten();
        let met = balanced.as_ref().unwrap_or(&encodings);
        let output = self.0.meet(batch, met, mode)?;
        let semantic = self.0.fusion.semantic_loss(&output, met, &batch.labels, mode)?;
        let mut labelled = self.0.fusion.labelled_losses(&output, &batch.labels)?;
        if let Some(upweight) = &self.0.upweight {
            labelled.extend(
                upweight
                    .loss(&encodings, &batch.labels)?
                    .map(|loss| ("upweighted", loss)),
            );
        }
        let weighed = match balancing {
            Some(balancing) => balancing.weigh(&seen)?,
            None => Weighed::default(),
        };
        // What the fusion sees and, where there are latents, these and what they were made of: an unbounded adversary may
        // inflate the encoders behind a latent that is normalised.
        let latents = encodings.latents.iter().flatten();
        let watched = encodings
            .z
            .iter()
            .chain(latents.flat_map(|latent| [&latent.g, &latent.encoded]));
        let sizes: Vec<Tensor> = watched.map(root_mean_square).collect::<TensorResult<_>>()?;
        Ok(BatchLosses {
            semantic,
            aux: [output.aux, labelled].concat(),
            reallocation: self.0.reallocation.losses(&encodings, progress)?,
            weighed,
            size: Tensor::stack(&sizes, 0)?.max(0)?,
        })
    }

    fn model(&self) -> Option<&Model> {
        Some(self.0)
    }

    fn encoders(&self) -> Vec<(usize, &dyn Encoder)> {
        let encoders = self.0.encoders.iter().map(AsRef::as_ref);
        encoders.enumerate().collect()
    }
}
