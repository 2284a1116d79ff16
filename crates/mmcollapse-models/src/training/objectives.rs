//! What the fits of a cell descend: the multimodal model, one modality alone, a student under its teachers.

use mmcollapse_data::Batch;
use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor, candle::bail, layers::Linear, losses::Crd, ops::softmax_cross_entropy,
};

use super::{BatchLosses, Objective};
use crate::{
    encoders::Encoder,
    model::Model,
    reallocation::Progress,
    rows::{gather_rows, select_rows},
};

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

    fn encoders(&self) -> Vec<(usize, &dyn Encoder)> {
        let encoders = self.0.encoders.iter().map(AsRef::as_ref);
        encoders.enumerate().collect()
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

    fn encoders(&self) -> Vec<(usize, &dyn Encoder)> {
        vec![(self.modality, self.encoder)]
    }
}

/// A student that learns its task and, by contrast, its teachers' encodings of the same samples.
pub(crate) struct Student<'a> {
    pub branch: Unimodal<'a>,
    /// At once; the distillation loss is the mean of theirs.
    pub teachers: Vec<Teacher>,
    pub crd_weight: f64,
    pub task_weight: f64,
}

/// A modality that teaches another. Its encoder stays as it is, so that it need not run again and again.
pub(crate) struct Teacher {
    pub modality: usize,
    /// `[n, width]`, the encodings of the samples in the memory bank.
    pub encodings: Tensor,
    pub crd: Crd,
    /// Place of each sample of the training set in the memory bank.
    pub place: Vec<usize>,
}

impl Teacher {
    /// The contrast with a student's encodings `z` of the whole batch, on the samples that have the teacher's modality;
    /// none where no sample has it.
    fn loss(&self, batch: &Batch, z: &Tensor, mode: Mode) -> TensorResult<Option<Tensor>> {
        let rows = &batch.inputs[self.modality].rows;
        if rows.is_empty() {
            return Ok(None);
        }
        let index: Vec<usize> = rows.iter().map(|&row| self.place[batch.index[row]]).collect();
        let taught = gather_rows(&self.encodings, &index)?;
        self.crd.loss(&select_rows(z, rows)?, &taught, &index, mode).map(Some)
    }
}

impl Objective for Student<'_> {
    fn losses(&self, batch: &Batch, mode: Mode, _progress: &Progress) -> TensorResult<BatchLosses> {
        let (z, logits) = self.branch.forward(batch, mode)?;
        let contrasts = self.teachers.iter().map(|teacher| teacher.loss(batch, &z, mode));
        let contrasts: Vec<Tensor> = contrasts
            .filter_map(TensorResult::transpose)
            .collect::<TensorResult<_>>()?;
        let aux = match &contrasts[..] {
            [] => bail!("a batch without any teacher's modality in distillation"),
            [one] => one.clone(),
            several => Tensor::stack(several, 0)?.mean(0)?,
        };
        Ok(BatchLosses {
            semantic: (softmax_cross_entropy(&logits, &batch.labels)? * self.task_weight)?,
            aux: vec![("distillation", (aux * self.crd_weight)?)],
            reallocation: Vec::new(),
            size: root_mean_square(&z)?,
        })
    }
}

fn root_mean_square(x: &Tensor) -> TensorResult<Tensor> {
    x.detach().sqr()?.mean_all()?.sqrt()
}
