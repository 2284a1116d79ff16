//! Contrastive representation distillation (Tian, Krishnan, Isola, ICLR 2020).
//!
//! A student learns to be told apart by its teacher: embeddings of the same sample should look alike, those of
//! different samples should not. Negatives come from a memory bank that holds a running embedding of every
//! training sample. The semantics are those of the authors' RepDistiller (`crd/memory.py`, `crd/criterion.py`):
//! noise-contrastive estimation with the noise distribution 1/n, a normalisation constant taken from the first
//! batch, one term anchored at the student and one at the teacher. Their data set (`CIFAR100InstanceSample` in
//! `dataset/cifar100.py`) draws an anchor's negatives from the samples of other classes, and the positive is the anchor
//! itself (mode `exact`): see [`Crd::among_other_classes`]. Without it all other samples are negatives.
//!
//! Two things differ. Negatives are drawn without replacement, and so are at most as many as there are; theirs are drawn
//! with replacement where more are asked for. And duplicates in a batch are refused, because a bank row would then be
//! written twice in no order.

mod log_total;
mod scores;

use std::collections::{BTreeMap, BTreeSet};

use candle_core::bail;
use serde::{Deserialize, Serialize};

use log_total::sum_log_total;
use scores::{Group, groups, scores};

use super::l2_normalize;
use crate::layers::Linear;
use crate::random::Stream;
use crate::{DType, Device, Mode, Result, Scope, Tensor, Var, ops};

/// Keeps the ratio of the estimator from 0/0 (RepDistiller's value).
const EPSILON: f64 = 1e-7;

/// Settings of [`Crd`]. The defaults are those of Tian et al.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrdConfig {
    /// Width of the shared embedding.
    pub width: usize,
    /// Negatives per anchor, or as many as there are for every anchor.
    pub negatives: usize,
    /// Divides the similarities, positive.
    pub temperature: f64,
    /// Share of the old value in an update of the bank, in 0..=1.
    pub momentum: f64,
}

impl Default for CrdConfig {
    fn default() -> Self {
        Self {
            width: 128,
            negatives: 16_384,
            temperature: 0.07,
            momentum: 0.5,
        }
    }
}

impl CrdConfig {
    fn check(&self) -> Result<()> {
        if self.width == 0 || self.negatives == 0 {
            bail!(
                "crd: `width` and `negatives` must be at least 1, got {} and {}",
                self.width,
                self.negatives
            );
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            bail!("crd: `temperature` must be positive, got {}", self.temperature);
        }
        if !(0.0..=1.0).contains(&self.momentum) {
            bail!("crd: `momentum` must lie in 0..=1, got {}", self.momentum);
        }
        Ok(())
    }
}

/// One side of the contrast.
#[derive(Debug)]
struct Side {
    embed: Linear,
    /// `[samples, width]`, rows of length 1 once they were met.
    bank: Var,
    /// Normalisation constant of the scores against the other side's bank; negative until the first batch.
    normalizer: Var,
}

impl Side {
    fn new(scope: &Scope, name: &str, width: usize, samples: usize, config: &CrdConfig) -> Result<Self> {
        let scope = scope.pp(name);
        // Rows of about unit length, as in the authors' code.
        let bound = (3.0 / config.width as f64).sqrt();
        let mut stream = Stream::new(scope.params().seed(), &format!("init/{}.bank", scope.path()));
        let values = stream.uniform_vec(samples * config.width, -bound, bound);
        let bank = Tensor::from_vec(values, (samples, config.width), &Device::Cpu)?.to_dtype(scope.dtype())?;
        let unset = Tensor::new(-1_f64, &Device::Cpu)?.to_dtype(scope.dtype())?;
        Ok(Self {
            embed: Linear::new(&scope.pp("embed"), width, config.width)?,
            bank: scope.buffer("bank", bank)?,
            normalizer: scope.buffer("normalizer", unset)?,
        })
    }

    /// `[batch, features]` to rows of length 1, `[batch, width]`.
    fn embed(&self, features: &Tensor) -> Result<Tensor> {
        l2_normalize(&self.embed.forward(features)?)
    }

    /// Moves rows of the bank towards `embeddings`; `rows [batch, width]` holds each row's number, repeated.
    fn remember(&self, rows: &Tensor, embeddings: &Tensor, momentum: f64) -> Result<()> {
        let old = self.bank.as_detached_tensor().gather(rows, 0)?;
        let mixed = ((old * momentum)? + (embeddings.detach() * (1.0 - momentum))?)?;
        self.bank.scatter_set(rows, &l2_normalize(&mixed)?.contiguous()?, 0)
    }
}

/// The loss with its two embeddings and banks.
///
/// Parameters `student.embed`, `teacher.embed` (both are trained; the teacher's features are not), buffers
/// `student.bank`, `teacher.bank`, `student.normalizer`, `teacher.normalizer`.
#[derive(Debug)]
pub struct Crd {
    student: Side,
    teacher: Side,
    samples: usize,
    /// Where negatives are of other classes only.
    classes: Option<Classes>,
    config: CrdConfig,
    purpose: String,
}

/// What the anchors of a batch are contrasted with.
struct Contrast {
    /// `[batch, 1 + negatives]` numbers of samples, each anchor's own first.
    numbers: Tensor,
    /// Where scoring the anchors in groups takes less time.
    groups: Option<Vec<Group>>,
}

/// The samples by class.
#[derive(Debug)]
struct Classes {
    labels: Vec<u32>,
    /// By label, the numbers of the samples of all other labels.
    others: BTreeMap<u32, Vec<u32>>,
}

impl Crd {
    /// A loss between features of the two widths over `n_samples` training samples.
    ///
    /// # Errors
    /// A setting that has no meaning, fewer than two samples, or a scope whose names are taken.
    pub fn new(
        scope: &Scope,
        student_width: usize,
        teacher_width: usize,
        n_samples: usize,
        config: CrdConfig,
    ) -> Result<Self> {
        config.check()?;
        if n_samples < 2 {
            bail!("crd: a contrast needs at least 2 training samples, got {n_samples}");
        }
        Ok(Self {
            student: Side::new(scope, "student", student_width, n_samples, &config)?,
            teacher: Side::new(scope, "teacher", teacher_width, n_samples, &config)?,
            samples: n_samples,
            classes: None,
            config,
            purpose: format!("crd/negatives/{}", scope.path()),
        })
    }

    /// Takes only samples of other classes for negatives; `labels` are those of the samples, in the order of their numbers.
    ///
    /// # Errors
    /// If there is not a label for every sample, or only one class.
    pub fn among_other_classes(mut self, labels: &[u32]) -> Result<Self> {
        if labels.len() != self.samples {
            bail!("crd: {} labels of {} training samples", labels.len(), self.samples);
        }
        let known: BTreeSet<u32> = labels.iter().copied().collect();
        let others: BTreeMap<u32, Vec<u32>> = known
            .into_iter()
            .map(|own| {
                let numbers = labels.iter().zip(0..).filter(|(label, _)| **label != own);
                (own, numbers.map(|(_, number)| number).collect())
            })
            .collect();
        if others.len() < 2 {
            bail!("crd: negatives of other classes need samples of at least 2 classes");
        }
        self.classes = Some(Classes {
            labels: labels.to_vec(),
            others,
        });
        Ok(self)
    }

    /// Negatives per anchor that are really used: as many for each, so of classes of different sizes as many as are outside
    /// the largest.
    pub fn negatives(&self) -> usize {
        let fewest = match &self.classes {
            None => self.samples - 1,
            Some(classes) => classes.others.values().map(Vec::len).min().unwrap_or_default(),
        };
        self.config.negatives.min(fewest)
    }

    /// The loss of a batch, summed over negatives and averaged over the batch, in nats: a scalar.
    ///
    /// `student` `[batch, student width]`, `teacher` `[batch, teacher width]` (a constant), `index`: the numbers
    /// of the samples in the training set. In training the bank takes in the batch and, the first time, the
    /// normalisation constants are set; negatives are those of the stream at the mode's step. In evaluation
    /// nothing is kept and the negatives are always the same.
    ///
    /// # Errors
    /// If the shapes do not fit each other, or an index is out of range or there twice.
    pub fn loss(&self, student: &Tensor, teacher: &Tensor, index: &[usize], mode: Mode) -> Result<Tensor> {
        if self.negatives() + 1 == self.samples {
            // All others are negatives, and their order does not matter: nothing to draw, nothing to pick.
            return self.run(student, teacher, index, None, mode.is_train());
        }
        let contrast = self.contrast(index, mode)?;
        self.loss_against(student, teacher, index, &contrast, mode.is_train())
    }

    /// For each anchor its own number, then those of its negatives as [`Crd::loss`] draws them: `[batch, 1 + negatives]`,
    /// row-major.
    ///
    /// # Errors
    /// If an index is out of range or there twice.
    pub fn contrast(&self, index: &[usize], mode: Mode) -> Result<Vec<u32>> {
        self.check_index(index)?;
        let (seed, step) = match mode {
            Mode::Train { seed, step } => (seed, step),
            Mode::Eval => (0, 0),
        };
        let mut stream = Stream::at(seed, &self.purpose, step);
        let k = self.negatives();
        let mut contrast = Vec::with_capacity(index.len() * (k + 1));
        for &own in index {
            contrast.push(own as u32);
            if let Some(classes) = &self.classes {
                let others = &classes.others[&classes.labels[own]];
                contrast.extend(stream.choose_distinct(others.len(), k).into_iter().map(|j| others[j]));
            } else {
                // Numbers of the others: those from the anchor's own on are moved up by one.
                let others = stream.choose_distinct(self.samples - 1, k);
                contrast.extend(others.into_iter().map(|j| (j + usize::from(j >= own)) as u32));
            }
        }
        Ok(contrast)
    }

    /// [`Crd::loss`] with the contrast given: `[batch, 1 + negatives]` numbers of samples, the positive first.
    ///
    /// # Errors
    /// As [`Crd::loss`]; also if the contrast has another length, or a number in it is out of range.
    pub fn loss_against(
        &self,
        student: &Tensor,
        teacher: &Tensor,
        index: &[usize],
        contrast: &[u32],
        is_train: bool,
    ) -> Result<Tensor> {
        let batch = index.len().max(1);
        if !contrast.len().is_multiple_of(batch) || contrast.len() < 2 * batch {
            bail!(
                "crd: a contrast of {} numbers for a batch of {batch}; expected 1 + negatives for each",
                contrast.len()
            );
        }
        if let Some(number) = contrast.iter().find(|&&number| number as usize >= self.samples) {
            bail!("crd: sample {number} in the contrast of a bank for {}", self.samples);
        }
        self.run(student, teacher, index, Some(contrast), is_train)
    }

    /// `contrast [batch, 1 + negatives]`, or all samples where there is none.
    fn run(
        &self,
        student: &Tensor,
        teacher: &Tensor,
        index: &[usize],
        contrast: Option<&[u32]>,
        is_train: bool,
    ) -> Result<Tensor> {
        self.check_index(index)?;
        let batch = index.len();
        for (who, features) in [("student", student), ("teacher", teacher)] {
            if features.rank() != 2 || features.dim(0)? != batch {
                bail!(
                    "crd: the {who}'s features are {:?}, expected [{batch}, width] for {batch} indices",
                    features.dims()
                );
            }
        }
        let rows: Vec<u32> = index.iter().map(|&i| i as u32).collect();
        let rows = Tensor::from_vec(rows, (batch, 1), student.device())?
            .broadcast_as((batch, self.config.width))?
            .contiguous()?;

        let contrast = contrast.map(|contrast| -> Result<Contrast> {
            let labels = |classes: &Classes| index.iter().map(|&own| classes.labels[own]).collect::<Vec<u32>>();
            Ok(Contrast {
                numbers: Tensor::from_slice(contrast, (batch, contrast.len() / batch), student.device())?,
                groups: (self.classes.as_ref()).and_then(|classes| groups(&labels(classes), contrast, self.samples)),
            })
        });
        let contrast = contrast.transpose()?;

        let own = self.student.embed(student)?; // [batch, width]
        let guide = self.teacher.embed(&teacher.detach())?; // [batch, width]
        let at_student = self.anchored(&own, &self.student, &self.teacher, &rows, contrast.as_ref(), is_train)?;
        let at_teacher = self.anchored(&guide, &self.teacher, &self.student, &rows, contrast.as_ref(), is_train)?;
        if is_train {
            self.student.remember(&rows, &own, self.config.momentum)?;
            self.teacher.remember(&rows, &guide, self.config.momentum)?;
        }
        at_student + at_teacher
    }

    /// Noise-contrastive loss of the anchors of one side against the bank of the other. `rows [batch, width]`
    /// holds the number of each anchor's own sample, repeated.
    fn anchored(
        &self,
        anchors: &Tensor,
        side: &Side,
        other: &Side,
        rows: &Tensor,
        contrast: Option<&Contrast>,
        is_train: bool,
    ) -> Result<Tensor> {
        let batch = anchors.dim(0)?;
        // A copy: the bank is changed in place below, and the backward pass still needs it as it was.
        let bank = other.bank.copy()?.detach();
        let anchors = (anchors / self.config.temperature)?;
        let scores = match contrast {
            Some(contrast) => scores(&anchors, &bank, &contrast.numbers, contrast.groups.as_deref())?,
            None => ops::linear(&anchors, &bank, None, false)?, // [batch, samples]
        };
        let negatives = scores.dim(1)? - 1;

        let kept = side.normalizer.copy()?.detach();
        let normalizer = if kept.device().is_cpu() && kept.to_dtype(DType::F64)?.to_scalar::<f64>()? >= 0.0 {
            kept
        } else {
            let estimate = (ops::exp(&scores.detach())?.mean_all()? * self.samples as f64)?;
            // Chosen on the device, so that an accelerator is not waited for.
            kept.lt(0.0)?.where_cond(&estimate, &kept)?
        };
        if is_train {
            side.normalizer.set(&normalizer)?;
        }
        // log D1 = log(odds / total) of the positive and log D0 = log(noise / total) of each negative, with
        // odds = exp(score) / normalizer and noise = negatives x the noise density 1/n.
        let noise = negatives as f64 / self.samples as f64;
        let log_total = sum_log_total(&scores, &normalizer, noise + EPSILON)?;
        let positive = (anchors * bank.gather(rows, 0)?)?.sum_all()?;
        let positive = (positive - (ops::ln(&normalizer)? * batch as f64)?)?;
        let log_noise = (batch * negatives) as f64 * libm::log(noise);
        ((log_total - positive)? - log_noise)? / batch as f64
    }

    fn check_index(&self, index: &[usize]) -> Result<()> {
        let mut seen: Vec<usize> = index.to_vec();
        seen.sort_unstable();
        if seen.is_empty() {
            bail!("crd: an empty batch");
        }
        if let Some(&last) = seen.last()
            && last >= self.samples
        {
            bail!(
                "crd: sample {last} of a bank for {}; give the position in the training set",
                self.samples
            );
        }
        let twice = seen.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(a),
            _ => None,
        });
        if let Some(sample) = twice {
            bail!("crd: sample {sample} is in the batch twice");
        }
        Ok(())
    }
}
