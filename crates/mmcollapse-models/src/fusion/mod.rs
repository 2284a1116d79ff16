//! Fusion: how the encodings of the modalities meet, and the classifier on top.

mod autoencoder;
mod bank;
mod cm_ae;
mod concat;
mod critic;
mod full2miss;
mod gan;
mod gated;
mod gmc;
mod grape;
mod graph;
mod head;
mod imputation;
#[cfg(test)]
mod known;
mod late_fusion;
mod lmf;
mod m3care;
#[cfg(test)]
mod made;
mod masked;
mod mmvae;
mod mt;
mod mult;
mod muse;
mod prototypes;
mod shaspec;
mod similarity;
mod smil;
mod tokens;

use mmcollapse_data::ModalitySpec;
use mmcollapse_nn::{Mode, Result as TensorResult, Scope, Tensor, ops::softmax_cross_entropy};

use crate::{
    encodings::Encodings,
    error::Result,
    method::MethodConfig,
    registry::{Entry, Options, find},
};

/// What a fusion returns for a batch.
pub struct FusionOutput {
    /// The fused representation `[batch, fused width]` that the head reads.
    pub fused: Tensor,
    /// `[batch, classes]`.
    pub logits: Tensor,
    /// Per modality the logits `[batch, classes]` of its own head, for fusions that have such heads.
    pub unimodal: Vec<Tensor>,
    /// The fusion's own loss terms, already weighted, by name.
    pub aux: Vec<(&'static str, Tensor)>,
    /// Projections of two views of the batch, one after the other `[2 batch, width]`, for fusions that contrast them.
    pub contrast: Option<Tensor>,
    /// Samples of the batch seen once more with something taken away, for fusions that train on that.
    pub views: Option<Views>,
}

/// Predictions on samples of a batch seen once more.
pub struct Views {
    /// Position in the batch of each row.
    pub rows: Vec<usize>,
    /// `[rows.len(), classes]`.
    pub logits: Tensor,
    /// Weight of their loss.
    pub weight: f64,
}

impl Views {
    /// Mean cross-entropy of the predictions, weighted.
    ///
    /// # Errors
    /// A label outside the classes.
    pub fn loss(&self, labels: &[u32]) -> TensorResult<Tensor> {
        let targets: Vec<u32> = self.rows.iter().map(|&row| labels[row]).collect();
        softmax_cross_entropy(&self.logits, &targets)? * self.weight
    }
}

impl FusionOutput {
    /// An output with nothing beside the fused representation and the logits.
    pub fn new(fused: Tensor, logits: Tensor) -> Self {
        Self {
            fused,
            logits,
            unimodal: Vec::new(),
            aux: Vec::new(),
            contrast: None,
            views: None,
        }
    }
}

/// The layer in which modalities meet and its readout, in evaluation: `logits = C relu(W z + b) + c` of the joined encodings z.
pub struct Meeting {
    /// W, `[neurons, inputs]`.
    pub weights: Tensor,
    /// b, `[neurons]`.
    pub bias: Tensor,
    /// C, `[classes, neurons]`.
    pub readout: Tensor,
    /// c, `[classes]`.
    pub readout_bias: Tensor,
}

/// An operator phi with its head.
pub trait Fusion {
    /// Whether it reads the encodings' tokens, which are made for it alone; a modality without any of its own has one.
    fn reads_tokens(&self) -> bool {
        false
    }

    /// The layer in which the modalities meet, for fusions that are that layer and a readout.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn meeting(&self) -> TensorResult<Option<Meeting>> {
        Ok(None)
    }

    /// Whether it reads the batch's inputs, as what it is to reconstruct in training.
    fn reads_inputs(&self) -> bool {
        false
    }

    /// Makes the likelihood of a modality's inputs weigh `factor` times as much; false for fusions that have no likelihoods.
    fn weigh_likelihood(&mut self, _modality: usize, _factor: f64) -> bool {
        false
    }

    /// Encodings to logits. Rows of absent modalities are zero and marked in `encodings.present`.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput>;

    /// L_sem of a batch: cross-entropy of the multimodal prediction, unless the fusion is trained otherwise.
    ///
    /// # Errors
    /// A label outside the classes.
    fn semantic_loss(
        &self,
        output: &FusionOutput,
        _encodings: &Encodings,
        labels: &[u32],
        _mode: Mode,
    ) -> TensorResult<Tensor> {
        softmax_cross_entropy(&output.logits, labels)
    }

    /// Keeps what evaluation compares samples with, after a training step's forward pass; `clean` encodes the batch as
    /// evaluation does, without dropout.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn remember(&self, _clean: &dyn Fn() -> TensorResult<Encodings>) -> TensorResult<()> {
        Ok(())
    }

    /// Loss terms of its own that need the labels, already weighted, by name; descended together with L_sem.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn labelled_losses(&self, _output: &FusionOutput, _labels: &[u32]) -> TensorResult<Vec<(&'static str, Tensor)>> {
        Ok(Vec::new())
    }
}

/// What a fusion is made from.
pub struct FusionContext<'a> {
    /// Modality names in order.
    pub modalities: &'a [String],
    /// What one input of each is.
    pub inputs: &'a [ModalitySpec],
    /// Encoding width of each.
    pub widths: &'a [usize],
    /// Of each the places that a fusion of tokens has to tell apart (see [`crate::encoders::Encoder::places`]).
    pub places: &'a [usize],
    /// Number of classes.
    pub classes: usize,
    /// Where its variables go.
    pub scope: Scope,
}

type Make = fn(&Options, &FusionContext) -> Result<Box<dyn Fusion>>;

/// Constructor of a fusion, and how it is trained.
pub struct Builder {
    make: Make,
    /// The balancing of its paper or code for data that lack modalities at test alone, where a cell names none.
    pub(crate) balancing: Option<&'static str>,
}

impl Builder {
    const fn new(make: Make) -> Self {
        Self { make, balancing: None }
    }

    const fn balanced_by(self, balancing: &'static str) -> Self {
        Self {
            balancing: Some(balancing),
            ..self
        }
    }
}

/// Every fusion, in the order of `mmcollapse list methods`.
pub static FUSIONS: &[Entry<Builder>] = &[
    late_fusion::ENTRY,
    concat::ENTRY,
    gated::ENTRY,
    lmf::ENTRY,
    autoencoder::ENTRY,
    gan::ENTRY,
    full2miss::ENTRY,
    cm_ae::ENTRY,
    smil::ENTRY,
    mt::ENTRY,
    mult::ENTRY,
    shaspec::ENTRY,
    grape::ENTRY,
    m3care::ENTRY,
    muse::ENTRY,
    gmc::ENTRY,
    mmvae::ENTRY,
    masked::ENTRY,
];

/// Makes the fusion that `config` names.
///
/// # Errors
/// Unknown name, refused options.
pub fn build(config: &MethodConfig, context: &FusionContext) -> Result<Box<dyn Fusion>> {
    (find("fusion", FUSIONS, &config.method)?.build.make)(&config.options, context)
}
