//! Manipulation checks: whether a reallocation has done what it is for, read from what it has trained.
//!
//! EBR is to leave latents whose modality cannot be told: a [`discriminator`] is fitted to them afresh, since the one of the
//! training may have been outrun, or asleep. KD is to leave an encoder that resembles its teachers': a [`contrast`] is fitted
//! to both afresh, since the one of the training knows its own samples. Each is fitted to training samples, stopped and
//! regularised by validation, and scored on samples that neither has seen.

pub(crate) mod contrast;
pub(crate) mod discriminator;

use mmcollapse_nn::{
    Params, Result as TensorResult, Tensor, backward,
    optim::{Optimizer, OptimizerConfig, OptimizerKind},
};

use crate::rows::gather_rows;

/// Samples whose loss is descended in a step.
const BATCH: usize = 128;

/// Steps between two looks at validation, whatever the number of samples.
const STEPS: usize = 20;

/// Looks at most.
const LOOKS: usize = 40;

/// Looks after which it is stopped where validation has not got better.
const PATIENCE: usize = 6;

/// Nats on validation below which nothing is left to be fitted.
const ENOUGH: f64 = 0.02;

/// Learning rate of `AdamW`.
const RATE: f64 = 0.003;

/// Weight decays of `AdamW` that validation chooses from.
const WEIGHT_DECAYS: [f64; 2] = [0.01, 1.0];

/// Splits that something is read on: training, validation, and what is held out.
pub(crate) const SPLITS: usize = 3;

/// Frozen features of each split, by modality: `[rows, width]`.
pub(crate) struct Frozen {
    pub train: Vec<Tensor>,
    pub validation: Vec<Tensor>,
    /// What is scored at last.
    pub held_out: Vec<Tensor>,
}

impl From<[Vec<Tensor>; SPLITS]> for Frozen {
    fn from([train, validation, held_out]: [Vec<Tensor>; SPLITS]) -> Self {
        Self {
            train,
            validation,
            held_out,
        }
    }
}

impl Frozen {
    /// With every feature at mean 0 and variance 1 over the training rows, of all modalities together if `pooled`, else of each;
    /// what does not vary is 0. None where something is not finite or a split has no row of a modality.
    fn standardised(&self, pooled: bool) -> TensorResult<Option<Self>> {
        let splits = [&self.train, &self.validation, &self.held_out];
        for x in splits.into_iter().flatten() {
            let is_finite =
                |x: &Tensor| Ok::<_, mmcollapse_nn::Error>(x.sqr()?.sum_all()?.to_scalar::<f32>()?.is_finite());
            if x.dim(0)? == 0 || !is_finite(x)? {
                return Ok(None);
            }
        }
        let all = if pooled {
            Some(Tensor::cat(&self.train, 0)?)
        } else {
            None
        };
        let scales = self.train.iter().map(|own| scale(all.as_ref().unwrap_or(own)));
        let scales: Vec<(Tensor, Tensor)> = scales.collect::<TensorResult<_>>()?;
        let [train, validation, held_out] = splits.map(|split| {
            let scaled = split.iter().zip(&scales);
            scaled
                .map(|(x, (mean, factor))| x.broadcast_sub(mean)?.broadcast_mul(factor))
                .collect::<TensorResult<Vec<_>>>()
        });
        Ok(Some(Self::from([train?, validation?, held_out?])))
    }
}

/// Mean of each feature, and what makes its variance 1.
fn scale(x: &Tensor) -> TensorResult<(Tensor, Tensor)> {
    let mean = x.mean_keepdim(0)?; // [1, width]
    let variance = x.broadcast_sub(&mean)?.sqr()?.mean_keepdim(0)?;
    let varies = variance.gt(&(mean.sqr()? * 1e-10)?)?.to_dtype(x.dtype())?;
    let factor = (varies / (variance + 1e-20)?.sqrt()?)?;
    Ok((mean, factor))
}

/// A small model that reads frozen features.
trait Reader {
    /// The rows of each step of an epoch, by modality.
    fn steps(&self, epoch: u64) -> Vec<Vec<Vec<usize>>>;

    /// Its loss on rows of each modality.
    fn loss(&self, x: &[Tensor]) -> TensorResult<Tensor>;
}

/// Fits a reader with each weight decay, and returns the held-out loss of the one that validation prefers, as it was at its best.
/// The guess that knows nothing is among those that validation chooses from, with what it costs there and on what is held out.
fn held_out<R: Reader>(
    x: &Frozen,
    guess: (f64, f64),
    seed: u64,
    make: impl Fn(&Params) -> TensorResult<R>,
) -> TensorResult<f64> {
    let mut best = guess;
    for weight_decay in WEIGHT_DECAYS {
        let params = Params::new(seed, x.train[0].device());
        let reader = make(&params)?;
        let config = OptimizerConfig {
            weight_decay,
            ..OptimizerConfig::new(OptimizerKind::AdamW, RATE)
        };
        let mut optimizer = Optimizer::new(config, params.vars())?;
        let of = |x: &[Tensor]| Ok::<_, mmcollapse_nn::Error>(f64::from(reader.loss(x)?.to_scalar::<f32>()?));
        let mut least = of(&x.validation)?;
        if least < best.0 {
            best = (least, of(&x.held_out)?);
        }
        let mut since = 0;
        let mut steps = (0..).flat_map(|epoch| reader.steps(epoch));
        for _ in 0..LOOKS {
            for rows in steps.by_ref().take(STEPS) {
                let x = x.train.iter().zip(&rows).map(|(x, rows)| gather_rows(x, rows));
                let loss = reader.loss(&x.collect::<TensorResult<Vec<_>>>()?)?;
                optimizer.step(&backward(&loss, &params.vars())?, 1.0)?;
            }
            let validation = of(&x.validation)?;
            since += 1;
            if validation < least {
                (least, since) = (validation, 0);
                if least < best.0 {
                    best = (least, of(&x.held_out)?);
                }
            }
            if since == PATIENCE || least < ENOUGH {
                break;
            }
        }
        if least < ENOUGH {
            break;
        }
    }
    Ok(best.1)
}
