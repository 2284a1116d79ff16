//! SMIL (Ma et al., AAAI 2021): a missing modality as a mix of prototypes, with features made robust to what is missing.
//!
//! What it does, on the encodings as every fusion:
//! - A missing modality's encoding is a weighted mean of its K prototypes c_k: z_m = sum_k w_k c_k / sum_k w_k with weights
//!   w = softplus(W z_j + b) from a present modality j, the mean over the present ones. The paper has the sum alone; its code
//!   divides by that of the weights (`SoundLenet5New` in `src/models/soundlenet5.py`), as here.
//! - The fused representation h of a sample that lacks something gets additive noise whose mean and width are inferred from
//!   it, h + mu(h) + softplus(s(h)) * e with e ~ N(0, I); a prediction is the mean of `draws` draws.
//! - Meta-learning: incomplete samples (each complete one with every modality left out in turn, and those that lack one)
//!   take one step of gradient descent in the fused network; the stepped network is judged on the complete samples.
//! - An imputed sample is drawn to the complete one in the joined encodings and in h (mean squared errors).
//!
//! Where this departs from SMIL: its encoders are pretrained on their modalities, and its prototypes are k-means centres of
//! their features; here encoders are trained with the rest, so that all methods train alike, the prototypes follow
//! them, and the loss of the incomplete samples is descended too, as nothing else would teach the encoders about samples
//! without a partner; the loss of complete samples weighs as their share of the batch, as SMIL's batches of them are its
//! own. The step is taken in the fused network alone, with first-order gradients; the weights of the
//! prototypes are the inferred means, without SMIL's noise on them.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor,
    layers::{Dropout, Linear},
    ops::{ln, matmul, softmax_cross_entropy, softplus},
    random::Stream,
};
use serde::{Deserialize, Serialize};

use super::{
    Builder, Fusion, FusionContext, FusionOutput, Views,
    head::Head,
    imputation::{LeftOut, fill_in},
    prototypes::Prototypes,
};
use crate::{
    encodings::Encodings,
    error::{ModelError, Result},
    predictions::probabilities,
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::{complete_rows, gather_rows, scatter_rows, select_rows},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "smil",
    summary: "a missing modality is a mix of prototypes; features regularised by noise; one meta-learning step",
    reference: "Ma et al., SMIL, AAAI 2021",
    // The first did not divide by the sum of the prototypes' weights. In the second the prototypes followed encodings with
    // dropout.
    revision: 3,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("prototypes", Sampler::Whole(&[5, 10, 20])),
        ("inner_rate", Sampler::LogUniform(0.0001, 0.1)),
        ("joined_weight", Sampler::LogUniform(0.001, 1.0)),
        ("fused_weight", Sampler::LogUniform(0.001, 1.0)),
        ("hidden", Sampler::Whole(&[32, 64, 128])),
        ("dropout", Sampler::Uniform(0.0, 0.8)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "smil", options)?;
        Ok(Box::new(Smil::new(&config, context)?))
    }),
};

/// Options of [`Smil`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Prototypes of each modality (SMIL: 10).
    prototypes: usize,
    /// Step size of the inner step (SMIL: 1e-3).
    inner_rate: f64,
    /// Weight of the distance of joined encodings, imputed from complete (SMIL: .01).
    joined_weight: f64,
    /// Weight of the distance of fused representations (SMIL: .01).
    fused_weight: f64,
    /// Draws of the noise that a prediction is the mean of (SMIL: 30).
    draws: usize,
    /// Width of the fused network's hidden layer (SMIL: 64).
    hidden: usize,
    /// Dropout before the classifier (SMIL: .6).
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prototypes: 10,
            inner_rate: 1e-3,
            joined_weight: 0.01,
            fused_weight: 0.01,
            draws: 30,
            hidden: 64,
            dropout: 0.6,
        }
    }
}

/// Additive noise on fused representations, inferred from them.
struct Noise {
    mean: Linear,
    width: Linear,
    purpose: String,
}

impl Noise {
    /// `h: [rows, hidden]` with one draw for each value.
    fn forward(&self, h: &Tensor, draw: Vec<f32>, rows: usize) -> TensorResult<Tensor> {
        let e = Tensor::from_vec(draw, (rows, h.dim(1)?), h.device())?;
        let width = softplus(&self.width.forward(h)?)?;
        (h + self.mean.forward(h)?)? + width.broadcast_mul(&e)?
    }

    fn in_training(&self, h: &Tensor, seed: u64, step: u64) -> TensorResult<Tensor> {
        let draw = Stream::at(seed, &self.purpose, step).normal_vec(h.elem_count());
        self.forward(h, draw, h.dim(0)?)
    }

    /// The same draw for every sample, so that a prediction does not depend on the batch that it is made in.
    fn in_evaluation(&self, h: &Tensor, draw: usize) -> TensorResult<Tensor> {
        let e = Stream::at(0, &self.purpose, draw as u64).normal_vec(h.dim(1)?);
        self.forward(h, e, 1)
    }
}

struct Smil {
    config: Config,
    prototypes: Vec<Prototypes>,
    /// `weights[from][to]`, the inferred weights of the prototypes of `to`; nothing where they are the same modality.
    weights: Vec<Vec<Option<Linear>>>,
    noise: Noise,
    head: Head,
    /// Of the complete samples; the head's own is used by the incomplete ones in the same step.
    outer_dropout: Dropout,
}

impl Smil {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let positive = |name: &str, value: usize| match value {
            0 => Err(ModelError::Options {
                axis: "fusion",
                method: "smil".to_owned(),
                reason: format!("`{name}` must be at least 1, got 0"),
            }),
            _ => Ok(()),
        };
        positive("prototypes", config.prototypes)?;
        positive("draws", config.draws)?;
        let (scope, k, hidden) = (&context.scope, config.prototypes, config.hidden);
        let named = || context.modalities.iter().zip(context.widths);
        let prototypes = named().map(|(name, &width)| Prototypes::new(&scope.pp("prototypes").pp(name), k, width));
        let weights = named().map(|(from, &width)| {
            let scope = scope.pp("weights").pp(from);
            let to = context.modalities.iter();
            to.map(|to| (to != from).then(|| Linear::new(&scope.pp(to), width, k)).transpose())
                .collect()
        });
        let noise = scope.pp("noise");
        Ok(Self {
            config: config.clone(),
            prototypes: prototypes.collect::<TensorResult<_>>()?,
            weights: weights.collect::<TensorResult<_>>()?,
            noise: Noise {
                mean: Linear::new(&noise.pp("mean"), hidden, hidden)?,
                width: Linear::new(&noise.pp("width"), hidden, hidden)?,
                purpose: format!("noise/{}", noise.path()),
            },
            head: Head::new(
                scope,
                context.widths.iter().sum(),
                hidden,
                config.dropout,
                context.classes,
            )?,
            outer_dropout: Dropout::new(&scope.pp("outer_dropout"), config.dropout)?,
        })
    }

    /// The joined encodings `[batch, sum of widths]`, prototypes mixed where a modality is missing.
    fn joined(&self, encodings: &Encodings) -> TensorResult<Tensor> {
        let filled = fill_in(encodings, |from, to| match &self.weights[from][to] {
            Some(weights) => {
                let weights = softplus(&weights.forward(&encodings.z[from])?)?; // [b, prototypes]
                let sum = (weights.sum_keepdim(1)? + 1e-12)?; // so small a number that it only keeps 0/0 away
                matmul(&weights.broadcast_mul(&sum.recip()?)?, &self.prototypes[to].centres())
            }
            None => encodings.z[to].zeros_like(),
        })?;
        Tensor::cat(&filled, 1)
    }

    /// Log of the mean probability over the draws, `[rows, classes]`, of fused representations `[rows, hidden]`.
    fn predict(&self, h: &Tensor) -> TensorResult<Tensor> {
        let mut sum: Option<Tensor> = None;
        for draw in 0..self.config.draws {
            let logits = self.head.classify(&self.noise.in_evaluation(h, draw)?, Mode::Eval)?;
            let p = probabilities(&logits)?;
            sum = Some(match sum {
                Some(sum) => (sum + p)?,
                None => p,
            });
        }
        let sum = sum.map_or_else(|| h.zeros_like(), Ok)?; // there is at least one draw
        ln(&((sum / self.config.draws as f64)? + 1e-12)?)
    }

    fn evaluate(&self, encodings: &Encodings) -> TensorResult<FusionOutput> {
        let h = self.head.fuse(&self.joined(encodings)?)?; // [b, hidden]
        let clean = self.head.classify(&h, Mode::Eval)?;
        let incomplete = incomplete(encodings);
        if incomplete.is_empty() {
            return Ok(FusionOutput::new(h, clean));
        }
        let n = h.dim(0)?;
        let noisy = scatter_rows(&self.predict(&select_rows(&h, &incomplete)?)?, &incomplete, n)?;
        let complete = complete_rows(&encodings.present);
        let logits = if complete.is_empty() {
            noisy
        } else {
            (noisy + scatter_rows(&select_rows(&clean, &complete)?, &complete, n)?)?
        };
        Ok(FusionOutput::new(h, logits))
    }

    /// The samples that the inner step is taken on: their positions in the batch and joined encodings, those that lack a
    /// modality before the views of complete ones.
    fn support(
        &self,
        encodings: &Encodings,
        joined: &Tensor,
        left_out: Option<&LeftOut>,
    ) -> TensorResult<(Vec<usize>, Tensor)> {
        let mut rows = incomplete(encodings);
        let mut parts = Vec::new();
        if !rows.is_empty() {
            parts.push(select_rows(joined, &rows)?);
        }
        if let Some(left_out) = left_out {
            parts.push(self.joined(&left_out.encodings)?);
            rows.extend(&left_out.rows);
        }
        Ok((rows, Tensor::cat(&parts, 0)?))
    }
}

/// Positions of the samples that lack a modality.
fn incomplete(encodings: &Encodings) -> Vec<usize> {
    let m = encodings.z.len();
    let lacks = |i: &usize| (0..m).any(|j| !encodings.present.get(*i, j));
    (0..encodings.present.len()).filter(lacks).collect()
}

impl Fusion for Smil {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let Mode::Train { seed, step } = mode else {
            return self.evaluate(encodings);
        };
        let joined = self.joined(encodings)?; // [b, sum of widths]
        let h = self.head.fuse(&joined)?; // [b, hidden]
        let left_out = LeftOut::of(encodings)?;
        let (rows, support) = self.support(encodings, &joined, left_out.as_ref())?;
        let imputed = self.head.fuse(&support)?; // [support rows, hidden]
        let noisy = self.noise.in_training(&imputed, seed, step)?;
        // One pass, so that each row has its own dropout.
        let logits = self.head.classify(&Tensor::cat(&[&h, &noisy], 0)?, mode)?;
        let b = h.dim(0)?;
        let mut output = FusionOutput::new(h.clone(), logits.narrow(0, 0, b)?);
        if let Some(left_out) = &left_out {
            let views = left_out.rows.len();
            let distance = |imputed: &Tensor, complete: &Tensor, weight: f64| {
                let imputed = imputed.narrow(0, rows.len() - views, views)?;
                let complete = gather_rows(&complete.detach(), &left_out.rows)?;
                (imputed - complete)?.sqr()?.mean_all()? * weight
            };
            output
                .aux
                .push(("joined", distance(&support, &joined, self.config.joined_weight)?));
            output
                .aux
                .push(("fused", distance(&imputed, &h, self.config.fused_weight)?));
        }
        let logits = logits.narrow(0, b, rows.len())?;
        output.views = Some(Views {
            rows,
            logits,
            weight: 1.0,
        });
        Ok(output)
    }

    fn remember(&self, clean: &dyn Fn() -> TensorResult<Encodings>) -> TensorResult<()> {
        let encodings = clean()?;
        for (m, (z, prototypes)) in encodings.z.iter().zip(&self.prototypes).enumerate() {
            let rows = encodings.present.rows(m);
            if !rows.is_empty() {
                prototypes.follow(&select_rows(z, &rows)?)?;
            }
        }
        Ok(())
    }

    /// Cross-entropy of the incomplete samples, and of the complete ones after the inner step.
    fn semantic_loss(
        &self,
        output: &FusionOutput,
        encodings: &Encodings,
        labels: &[u32],
        mode: Mode,
    ) -> TensorResult<Tensor> {
        let Some(views) = &output.views else {
            return softmax_cross_entropy(&output.logits, labels);
        };
        let incomplete = views.loss(labels)?;
        let Some(left_out) = LeftOut::of(encodings)? else {
            return Ok(incomplete);
        };
        let of = |rows: &[usize]| -> Vec<u32> { rows.iter().map(|&row| labels[row]).collect() };
        let joined = self.joined(encodings)?;
        let (rows, support) = self.support(encodings, &joined, Some(&left_out))?;
        // Neither dropout nor noise: their draws of this step are those of `output`.
        let (_, logits) = self.head.forward(&support.detach(), Mode::Eval)?;
        let inner = softmax_cross_entropy(&logits, &of(&rows))?.backward()?;
        let stepped = self
            .head
            .stepped(&inner, self.config.inner_rate, self.outer_dropout.clone())?;
        let complete = complete_rows(&encodings.present);
        let (_, logits) = stepped.forward(&select_rows(&joined, &complete)?, mode)?;
        incomplete + (softmax_cross_entropy(&logits, &of(&complete))? * left_out.share)?
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::Presence;
    use mmcollapse_nn::{Device, Params, ops::exp};

    use super::*;

    fn smil(params: &Params, config: Config) -> Smil {
        let names = ["a", "b"].map(str::to_owned);
        let context = FusionContext::made(&names, &[3, 2], 4, params);
        Smil::new(&config, &context).unwrap()
    }

    fn encodings(missing: bool) -> Encodings {
        let mut stream = Stream::new(2, "smil");
        let mut z = |width: usize| Tensor::from_vec(stream.normal_vec(6 * width), (6, width), &Device::Cpu).unwrap();
        let (a, b) = (z(3), z(2));
        Encodings::made(
            vec![a, if missing { b.zeros_like().unwrap() } else { b }],
            Presence::from_fn(6, 2, |_, m| m == 0 || !missing),
        )
    }

    fn values(t: &Tensor) -> Vec<f32> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn close(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn a_missing_encoding_is_the_mix_of_prototypes_that_the_formula_gives() {
        let params = Params::new(7, &Device::Cpu);
        let model = smil(
            &params,
            Config {
                prototypes: 2,
                ..Config::default()
            },
        );
        // What the prototypes follow is the clean encodings, not those that a step is taken on.
        model
            .forward(&encodings(false), Mode::Train { seed: 1, step: 0 })
            .unwrap();
        assert!(values(&model.prototypes[1].centres()).iter().all(|c| *c == 0.0));
        for _ in 0..3 {
            model.remember(&|| Ok(encodings(false))).unwrap();
        }
        let without = encodings(true);
        let joined: Vec<Vec<f32>> = model.joined(&without).unwrap().to_vec2().unwrap();
        let centres: Vec<Vec<f32>> = model.prototypes[1].centres().to_vec2().unwrap();
        assert!(centres.iter().flatten().all(|c| *c != 0.0), "they have been filled");
        let weights = model.weights[0][1].as_ref().unwrap();
        let (w, b): (Vec<Vec<f32>>, Vec<f32>) = (
            weights.weight().to_vec2().unwrap(),
            weights.bias().unwrap().to_vec1().unwrap(),
        );
        let z: Vec<Vec<f32>> = without.z[0].to_vec2().unwrap();
        for (z, joined) in z.iter().zip(&joined) {
            let omega: Vec<f32> = (0..2)
                .map(|k| w[k].iter().zip(z).map(|(w, z)| w * z).sum::<f32>() + b[k])
                .map(|x| libm::log1pf(libm::expf(x)))
                .collect();
            let mixed: Vec<f32> = (0..2)
                .map(|d| (omega[0] * centres[0][d] + omega[1] * centres[1][d]) / (omega[0] + omega[1]))
                .collect();
            close(joined, &[&z[..], &mixed].concat());
        }
    }

    #[test]
    fn a_prediction_of_an_incomplete_sample_is_the_mean_over_the_draws() {
        let params = Params::new(7, &Device::Cpu);
        let model = smil(
            &params,
            Config {
                draws: 2,
                ..Config::default()
            },
        );
        let without = encodings(true);
        let output = model.forward(&without, Mode::Eval).unwrap();
        let h = model.head.fuse(&model.joined(&without).unwrap()).unwrap();
        let probabilities = |draw| {
            let logits = model
                .head
                .classify(&model.noise.in_evaluation(&h, draw).unwrap(), Mode::Eval)
                .unwrap();
            let e = exp(&logits).unwrap();
            values(&e.broadcast_div(&e.sum_keepdim(1).unwrap()).unwrap())
        };
        let (first, second) = (probabilities(0), probabilities(1));
        assert_ne!(first, second);
        let mean: Vec<f32> = first.iter().zip(&second).map(|(a, b)| 0.5 * (a + b)).collect();
        close(&values(&exp(&output.logits).unwrap()), &mean);
        // A sample alone is predicted as in the batch.
        let alone = Encodings::made(
            without.z.iter().map(|z| z.narrow(0, 4, 1).unwrap()).collect(),
            Presence::from_fn(1, 2, |_, m| m == 0),
        );
        let alone = model.forward(&alone, Mode::Eval).unwrap();
        close(&values(&alone.logits), &values(&output.logits)[16..20]);
    }

    #[test]
    fn complete_samples_are_judged_by_the_network_after_the_inner_step() {
        let params = Params::new(7, &Device::Cpu);
        let config = |inner_rate| Config {
            inner_rate,
            dropout: 0.0,
            ..Config::default()
        };
        let (complete, labels) = (encodings(false), [0, 1, 2, 3, 0, 1]);
        let mode = Mode::Train { seed: 1, step: 0 };
        let loss = |model: &Smil| -> f32 {
            let output = model.forward(&complete, mode).unwrap();
            let all = model.semantic_loss(&output, &complete, &labels, mode).unwrap();
            let incomplete = output.views.unwrap().loss(&labels).unwrap();
            (all - incomplete).unwrap().to_scalar().unwrap()
        };
        let model = smil(&params, config(0.0));
        let plain = loss(&model);
        let (_, logits) = model
            .head
            .forward(&Tensor::cat(&complete.z, 1).unwrap(), Mode::Eval)
            .unwrap();
        close(
            &[plain],
            &[softmax_cross_entropy(&logits, &labels).unwrap().to_scalar().unwrap()],
        );
        // By finite differences: the loss of complete samples changes along the inner gradient.
        let stepped = loss(&smil(&Params::new(7, &Device::Cpu), config(0.05)));
        let (rows, support) = model
            .support(
                &complete,
                &model.joined(&complete).unwrap(),
                LeftOut::of(&complete).unwrap().as_ref(),
            )
            .unwrap();
        let targets: Vec<u32> = rows.iter().map(|&row| labels[row]).collect();
        let (_, inner) = model.head.forward(&support.detach(), Mode::Eval).unwrap();
        let gradients = softmax_cross_entropy(&inner, &targets).unwrap().backward().unwrap();
        for (name, var) in params.vars() {
            if let Some(gradient) = gradients.get(&var) {
                assert!(name.starts_with("hidden") || name.starts_with("classifier"), "{name}");
                var.set(&(var.as_tensor() - (gradient * 0.05).unwrap()).unwrap())
                    .unwrap();
            }
        }
        let (_, logits) = model
            .head
            .forward(&Tensor::cat(&complete.z, 1).unwrap(), Mode::Eval)
            .unwrap();
        close(
            &[stepped],
            &[softmax_cross_entropy(&logits, &labels).unwrap().to_scalar().unwrap()],
        );
        assert!((stepped - plain).abs() > 1e-4);
    }
}
