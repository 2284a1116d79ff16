//! What the fits of a cell descend: the multimodal model, one modality alone, a student under its teachers.

use mmcollapse_data::Batch;
use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor, candle::bail, layers::Linear, losses::Crd, ops::softmax_cross_entropy,
};

use super::{BatchLosses, Objective};
use crate::{encoders::Encoder, model::Model, reallocation::Progress};

/// L_sem of the multimodal prediction, the fusion's own terms, and the reallocation's.
pub(crate) struct Multimodal<'a>(pub &'a Model);

impl Objective for Multimodal<'_> {
    fn losses(&self, batch: &Batch, mode: Mode, progress: &Progress) -> TensorResult<BatchLosses> {
        let (encodings, output) = self.0.forward(batch, mode)?;
        let semantic = self.0.fusion.semantic_loss(&output, &encodings, &batch.labels, mode)?;
        let mut labelled = self.0.fusion.labelled_losses(&output, &batch.labels)?;
        if let Some(upweight) = &self.0.upweight {
            labelled.extend(
                upweight
                    .loss(&encodings, &batch.labels)?
                    .map(|loss| ("upweighted", loss)),
            );
        }
        // Latents are what an unbounded adversary inflates; where there are none, the encodings themselves.
        let mut sizes: Vec<Tensor> = Vec::new();
        for (z, latent) in encodings.z.iter().zip(&encodings.latents) {
            let watched = latent.as_ref().map_or(z, |l| &l.g);
            sizes.push(root_mean_square(watched)?);
        }
        Ok(BatchLosses {
            semantic,
            aux: [output.aux, labelled].concat(),
            reallocation: self.0.reallocation.losses(&encodings, progress)?,
            size: Tensor::stack(&sizes, 0)?.max(0)?,
        })
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
            size: root_mean_square(&z)?,
        })
    }
}

/// A student that learns its task and, by contrast, a teacher's encoding of the same samples.
pub(crate) struct Student<'a> {
    pub branch: Unimodal<'a>,
    pub teacher: &'a dyn Encoder,
    pub teacher_modality: usize,
    pub crd: &'a Crd,
    pub crd_weight: f64,
    pub task_weight: f64,
    /// Place of each sample of the training set in the memory bank.
    pub place: &'a [usize],
}

impl Objective for Student<'_> {
    fn losses(&self, batch: &Batch, mode: Mode, _progress: &Progress) -> TensorResult<BatchLosses> {
        let (z, logits) = self.branch.forward(batch, mode)?;
        let Some(x) = &batch.inputs[self.teacher_modality].x else {
            bail!("a batch without the teacher's modality in distillation")
        };
        let taught = self.teacher.forward(x, Mode::Eval)?.detach();
        let index: Vec<usize> = batch.index.iter().map(|&i| self.place[i]).collect();
        let crd = self.crd.loss(&z, &taught, &index, mode)?;
        Ok(BatchLosses {
            semantic: (softmax_cross_entropy(&logits, &batch.labels)? * self.task_weight)?,
            aux: vec![("distillation", (crd * self.crd_weight)?)],
            reallocation: Vec::new(),
            size: root_mean_square(&z)?,
        })
    }
}

fn root_mean_square(x: &Tensor) -> TensorResult<Tensor> {
    x.detach().sqr()?.mean_all()?.sqrt()
}
