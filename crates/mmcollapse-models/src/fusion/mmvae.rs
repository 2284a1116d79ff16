//! MMVAE (Shi et al., Variational Mixture-of-Experts Autoencoders for Multi-Modal Deep Generative Models, NeurIPS 2019): one
//! latent from which every modality can be generated, and which each modality alone can tell.
//!
//! Each modality's encoding z_m gives an expert, all Laplace distributions; their mixture is the posterior:
//!
//! ```text
//! q_m(h) = Laplace(A_m z_m, L softmax(B_m z_m) + 1e-6),  q = mean over modalities of q_m,  L the width of h
//! p(h)   = Laplace(0, L softmax(s)),                     s learned
//! p_m(x) = Laplace(decoder_m(h), .75)
//! l_mk   = log p(h_mk) + sum over d of c_d log p_d(x_d | h_mk) - log q(h_mk),  h_mk the k-th of K samples of q_m
//! bound  = mean over modalities of log mean over k of exp(l_mk)
//! ```
//!
//! The mean over modalities is outside the logarithm, as in the paper (`--looser` in the public code, whose published models have
//! it): inside, the posterior may collapse onto one expert.
//!
//! c_d is the size of the largest input over that of d, as in the public code, times what `likelihood_weights` says. The
//! encoders ascend the bound by the gradient of DReG. In the public code (`src/objectives.py`) the hook that would weight it is
//! on a copy of the samples that the bound does not read, and is never called: `dreg_as_coded`.
//!
//! DReG's identity holds for samples of the posterior in whose density they are weighed. Here each expert's samples meet the mixture's, so
//! that what it leaves out is not 0 on average. On avMNIST it loses the sound in most runs from some epoch on; `iwae` does not.
//!
//! A modality that is missing has no expert and no likelihood: mixture, sum and mean go over the others.
//!
//! The task is ours; the original classifies latents by a linear layer afterwards (`src/report/analyse_ms.py`). That layer is
//! trained with the rest here. In training it reads a sample of the mixture, in evaluation the mean of the experts' means. The
//! bound is descended beside its cross-entropy, in nats per number of the largest input.
//!
//! Where this departs from the public code. Experts stand on the encodings, so that every fusion meets the same encoders.
//! Decoders have one hidden layer, as that of its MNIST, and no sigmoid, as inputs are not in 0..1 here.

use std::collections::BTreeMap;

use mmcollapse_data::{Kind, ModalitySpec};
use mmcollapse_nn::{
    Init, Mode, Result as TensorResult, Scope, Tensor,
    layers::Linear,
    losses::{DoublyReparameterized, laplace_log_density, log_mean_exp},
    ops::absolute_distance,
    random::Stream,
};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput};
use crate::{
    encodings::Encodings,
    error::{ModelError, Result},
    predictions::probabilities,
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::{mean_of, presence_weights, scatter_rows},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "mmvae",
    summary: "a mixture-of-experts autoencoder of the inputs; the classifier reads its latent (dense inputs only)",
    reference: "Shi et al., MMVAE, NeurIPS 2019, equation 3; its public code",
    revision: 3, // the second has beta as a factor of the likelihood, the third sums distances in another order
    resolve: resolve_as::<Config>,
    tuned: &[
        ("latent", Sampler::Whole(&[10, 20, 64])),
        ("weight", Sampler::LogUniform(0.01, 10.0)),
        ("objective", Sampler::Word(&["dreg", "iwae"])),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "mmvae", options)?;
        Ok(Box::new(Mmvae::new(&config, context)?))
    }),
};

/// Which gradient ascends the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Objective {
    /// Its own (Burda et al., ICLR 2016).
    Iwae,
    /// Doubly reparameterised (Tucker et al., ICLR 2019), as in the paper.
    Dreg,
    /// The posterior's density held fixed and nothing weighted once more, as the code turns out.
    DregAsCoded,
}

/// Options of [`Mmvae`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the latent (MMVAE: 20).
    latent: usize,
    /// Samples of each expert (MMVAE: 30).
    samples: usize,
    /// Width of the decoders' hidden layer (MMVAE's MNIST: 400).
    hidden: usize,
    /// Scale of the likelihoods (MMVAE's code: .75).
    scale: f64,
    /// Which gradient ascends the bound.
    objective: Objective,
    /// Weight of the bound beside the task (ours: the original has no task).
    weight: f64,
    /// Factors of modalities' log-likelihoods by name, 1 where not named. The protocol `upweighted_loss` multiplies its
    /// modality's by 1 + beta.
    likelihood_weights: BTreeMap<String, f64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            latent: 20,
            samples: 30,
            hidden: 400,
            scale: 0.75,
            objective: Objective::Dreg,
            weight: 1.0,
            likelihood_weights: BTreeMap::new(),
        }
    }
}

/// Keeps an expert's scale from 0 (MMVAE's code).
const NARROWEST: f64 = 1e-6;

/// Keeps a mixture from an expert that is not there.
const NEVER: f32 = -1e9;

struct Mmvae {
    config: Config,
    /// Per modality A_m.
    location: Vec<Linear>,
    /// Per modality B_m.
    scale: Vec<Linear>,
    decoders: Vec<Decoder>,
    /// s, `[1, latent]`.
    prior: Tensor,
    classifier: Linear,
    /// Numbers of the largest input.
    largest: f64,
    purpose: String,
}

struct Decoder {
    hidden: Linear,
    output: Linear,
    /// Numbers of an input.
    numbers: f64,
    /// c_d.
    factor: f64,
}

/// All experts of a batch.
struct Experts {
    /// `[modalities, b, latent]`.
    location: Tensor,
    /// `[modalities, b, latent]`.
    scale: Tensor,
}

impl Experts {
    fn detach(&self) -> Self {
        Self {
            location: self.location.detach(),
            scale: self.scale.detach(),
        }
    }
}

fn refused(reason: String) -> ModelError {
    ModelError::Options {
        axis: "fusion",
        method: "mmvae".to_owned(),
        reason,
    }
}

impl Mmvae {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        if config.samples == 0 || config.latent == 0 {
            return Err(refused("`samples` and `latent` must be at least 1, got 0".to_owned()));
        }
        if !(config.scale.is_finite() && config.scale > 0.0) {
            return Err(refused(format!("`scale` must be positive, got {}", config.scale)));
        }
        for (name, weight) in &config.likelihood_weights {
            if !context.modalities.contains(name) {
                let known = context.modalities.join(", ");
                return Err(refused(format!(
                    "`likelihood_weights` names modality `{name}`; there are {known}"
                )));
            }
            if !(weight.is_finite() && *weight >= 0.0) {
                return Err(refused(format!(
                    "a factor of `likelihood_weights` must not be negative, got {weight} for `{name}`"
                )));
            }
        }
        if let Some(other) = context.inputs.iter().find(|input| input.kind != Kind::Dense) {
            return Err(refused(format!(
                "it generates inputs of kind `dense` alone; modality `{}` is of kind `{}`",
                other.name,
                other.kind.name()
            )));
        }
        let (scope, latent) = (&context.scope, config.latent);
        let heads = |part: &str| {
            let named = context.modalities.iter().zip(context.widths);
            let heads = named.map(|(name, &width)| Linear::new(&scope.pp(part).pp(name), width, latent));
            heads.collect::<TensorResult<Vec<_>>>()
        };
        let largest = context.inputs.iter().map(ModalitySpec::width).max();
        let largest = largest.unwrap_or(1) as f64;
        let decoders = context.inputs.iter().map(|input| {
            let numbers = input.width() as f64;
            let weight = config.likelihood_weights.get(&input.name).copied();
            let factor = weight.unwrap_or(1.0) * largest / numbers;
            Decoder::new(&scope.pp("decoder").pp(&input.name), config, input.width(), factor)
        });
        Ok(Self {
            config: config.clone(),
            location: heads("location")?,
            scale: heads("scale")?,
            decoders: decoders.collect::<TensorResult<_>>()?,
            prior: scope.var("prior", (1, latent), Init::Zeros)?,
            classifier: Linear::new(&scope.pp("classifier"), latent, context.classes)?,
            largest,
            purpose: scope.path().to_owned(),
        })
    }

    fn experts(&self, encodings: &Encodings) -> TensorResult<Experts> {
        let each = |heads: &[Linear]| {
            let pairs = heads.iter().zip(&encodings.z);
            pairs.map(|(head, z)| head.forward(z)).collect::<TensorResult<Vec<_>>>()
        };
        let scales = each(&self.scale)?;
        let scales = scales.iter().map(|raw| self.spread(raw)? + NARROWEST);
        Ok(Experts {
            location: Tensor::stack(&each(&self.location)?, 0)?,
            scale: Tensor::stack(&scales.collect::<TensorResult<Vec<_>>>()?, 0)?,
        })
    }

    /// Scales with mean 1, `[rows, latent]`.
    fn spread(&self, raw: &Tensor) -> TensorResult<Tensor> {
        probabilities(raw)? * self.config.latent as f64
    }

    /// Draws of Laplace(0, 1), `[samples, modalities, b, latent]`.
    fn noise(&self, experts: &Experts, seed: u64, step: u64) -> TensorResult<Tensor> {
        let mut stream = Stream::at(seed, &format!("noise/{}", self.purpose), step);
        let shape = [&[self.config.samples][..], experts.location.dims()].concat();
        let draw = |_| {
            let size = -libm::log(1.0 - stream.uniform(0.0, 1.0)) as f32;
            if stream.bernoulli(0.5) { size } else { -size }
        };
        let count: usize = shape.iter().product();
        let draws: Vec<f32> = (0..count).map(draw).collect();
        Tensor::from_vec(draws, shape, experts.location.device())
    }

    /// Of each sample one of its experts, `[modalities, b, 1]`: 1 for that one, else 0.
    fn choice(&self, encodings: &Encodings, seed: u64, step: u64) -> TensorResult<Tensor> {
        let (m, n) = (encodings.z.len(), encodings.present.len());
        let mut stream = Stream::at(seed, &format!("expert/{}", self.purpose), step);
        let mut chosen = vec![0_f32; m * n];
        for i in 0..n {
            let there: Vec<usize> = (0..m).filter(|&m| encodings.present.get(i, m)).collect();
            if let Some(expert) = there.get(stream.below(there.len())) {
                chosen[expert * n + i] = 1.0;
            }
        }
        Tensor::from_vec(chosen, (m, n, 1), encodings.z[0].device())
    }

    /// What is descended of the bound; nothing for a batch in which no sample has any modality. `samples` are
    /// `[samples, modalities, b, latent]`.
    fn loss(&self, encodings: &Encodings, experts: &Experts, samples: &Tensor) -> TensorResult<Option<Tensor>> {
        let (m, n, present) = (encodings.z.len(), encodings.present.len(), &encodings.present);
        let counts: Vec<usize> = (0..n).map(|i| (0..m).filter(|&m| present.get(i, m)).count()).collect();
        let rows = counts.iter().filter(|&&count| count > 0).count();
        if rows == 0 {
            return Ok(None);
        }
        let device = samples.device();
        let of_each = |value: &dyn Fn(usize, usize) -> f32| {
            let values = (0..m).flat_map(|m| (0..n).map(move |i| (i, m)));
            Tensor::from_vec(values.map(|(i, m)| value(i, m)).collect::<Vec<_>>(), (m, n), device)
        };
        let doubly = match self.config.objective {
            Objective::Dreg => Some(DoublyReparameterized::new(samples)?),
            Objective::Iwae | Objective::DregAsCoded => None,
        };
        let samples = doubly.as_ref().map_or(samples, DoublyReparameterized::samples);
        let fixed = experts.detach();
        let experts = match self.config.objective {
            Objective::Iwae => experts,
            Objective::Dreg | Objective::DregAsCoded => &fixed,
        };
        let prior = self.spread(&self.prior)?;
        let mut log_weights = laplace_log_density(samples, &prior.zeros_like()?, &prior)?; // [samples, modalities, b]
        for (decoder, input) in self.decoders.iter().zip(encodings.inputs()?) {
            let Some(x) = &input.x else { continue };
            let x = scatter_rows(&x.flatten_from(1)?, &input.rows, n)?; // [b, numbers]
            let there: Vec<f32> = (0..n).map(|i| f32::from(u8::from(input.rows.contains(&i)))).collect();
            let likelihood = decoder.log_likelihood(samples, &x, self.config.scale)?;
            let there = (Tensor::from_vec(there, n, device)? * decoder.factor)?;
            log_weights = (log_weights + likelihood.broadcast_mul(&there)?)?;
        }
        let absent = of_each(&|i, m| if present.get(i, m) { 0.0 } else { NEVER })?;
        let densities = (0..m).map(|m| {
            let density = laplace_log_density(samples, &experts.location.get(m)?, &experts.scale.get(m)?)?;
            density.broadcast_add(&absent.get(m)?)
        });
        let mixture = log_mean_exp(&Tensor::stack(&densities.collect::<TensorResult<Vec<_>>>()?, 0)?)?;
        // The mean is over the experts that are there.
        let fewer = |&count: &usize| libm::log(m as f64 / count.max(1) as f64) as f32;
        let fewer = Tensor::from_vec(counts.iter().map(fewer).collect::<Vec<_>>(), n, device)?;
        let log_weights = (log_weights - mixture.broadcast_add(&fewer)?)?;
        let bounds = match &doubly {
            Some(doubly) => doubly.bound(&log_weights)?,
            None => log_mean_exp(&log_weights)?,
        }; // [modalities, b]
        let shares = of_each(&|i, m| {
            if present.get(i, m) {
                1.0 / (counts[i] * rows) as f32
            } else {
                0.0
            }
        })?;
        let bound = (bounds * shares)?.sum_all()?;
        (bound * (-self.config.weight / self.largest)).map(Some)
    }
}

impl Decoder {
    fn new(scope: &Scope, config: &Config, numbers: usize, factor: f64) -> TensorResult<Self> {
        Ok(Self {
            hidden: Linear::new(&scope.pp("hidden"), config.latent, config.hidden)?,
            output: Linear::new(&scope.pp("output"), config.hidden, numbers)?,
            numbers: numbers as f64,
            factor,
        })
    }

    /// Of inputs `x [b, numbers]`, given samples `[.., b, latent]`: `[.., b]`.
    fn log_likelihood(&self, samples: &Tensor, x: &Tensor, scale: f64) -> TensorResult<Tensor> {
        let decoded = self.output.forward(&self.hidden.forward_relu(samples)?)?;
        let distance = absolute_distance(&decoded, x)?;
        distance.affine(-1.0 / scale, -self.numbers * libm::log(2.0 * scale))
    }
}

impl Fusion for Mmvae {
    fn reads_inputs(&self) -> bool {
        true
    }

    fn weigh_likelihood(&mut self, modality: usize, factor: f64) -> bool {
        self.decoders[modality].factor *= factor;
        true
    }

    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let experts = self.experts(encodings)?;
        let (fused, loss) = match mode {
            Mode::Eval => {
                let present = Tensor::stack(&presence_weights(encodings)?, 0)?; // [modalities, b, 1]
                let sum = experts.location.broadcast_mul(&present)?.sum(0)?;
                (mean_of(&sum, &present.sum(0)?)?, None)
            }
            Mode::Train { seed, step } => {
                let noise = self.noise(&experts, seed, step)?;
                let samples = noise.broadcast_mul(&experts.scale)?.broadcast_add(&experts.location)?;
                let choice = self.choice(encodings, seed, step)?;
                let fused = samples.get(0)?.broadcast_mul(&choice)?.sum(0)?;
                (fused, self.loss(encodings, &experts, &samples)?)
            }
        };
        let logits = self.classifier.forward(&fused)?; // [b, classes]
        let mut output = FusionOutput::new(fused, logits);
        output.aux.extend(loss.map(|loss| ("generative", loss)));
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::{ModalityInput, Presence};
    use mmcollapse_nn::{Device, Params};

    use super::*;
    use crate::fusion::known::{compare_gradients, near, placed, set_known};

    const WIDTHS: [usize; 3] = [3, 2, 2];
    const NUMBERS: [&[usize]; 3] = [&[2, 2], &[6], &[2]];
    const TRAIN: Mode = Mode::Train { seed: 1, step: 0 };

    /// As `MISSING` in `scripts/fixtures_generative.py`.
    const MISSING: [&[usize]; 5] = [&[], &[1], &[0, 2], &[], &[0, 1, 2]];

    fn small() -> Config {
        Config {
            latent: 3,
            samples: 4,
            hidden: 4,
            ..Config::default()
        }
    }

    fn mmvae(params: &Params, config: &Config, kind: Kind) -> Result<Mmvae> {
        let names = ["a", "b", "c"].map(str::to_owned);
        let inputs =
            [0, 1, 2].map(|m| ModalitySpec::new(&names[m], NUMBERS[m]).of(if m == 1 { kind } else { Kind::Dense }));
        let context = FusionContext {
            modalities: &names,
            inputs: &inputs,
            widths: &WIDTHS,
            places: &[0; 3],
            classes: 2,
            scope: params.root(),
        };
        Mmvae::new(config, &context)
    }

    fn dense(params: &Params, config: &Config) -> Mmvae {
        mmvae(params, config, Kind::Dense).unwrap()
    }

    fn samples(missing: &[&[usize]]) -> Encodings {
        let n = missing.len();
        let there = |i: usize, m: usize| !missing[i].contains(&m);
        let inputs = NUMBERS.iter().enumerate().map(|(m, shape)| {
            let rows: Vec<usize> = (0..n).filter(|&i| there(i, m)).collect();
            let numbers: usize = shape.iter().product();
            let value = |i: usize, d: usize| libm::cos((i + 2 * m) as f64 + 0.9 * d as f64) as f32;
            let x: Vec<f32> = rows
                .iter()
                .flat_map(|&i| (0..numbers).map(move |d| value(i, d)))
                .collect();
            let shape = [&[rows.len()][..], shape].concat();
            ModalityInput {
                x: (!rows.is_empty()).then(|| Tensor::from_vec(x, shape, &Device::Cpu).unwrap()),
                rows,
            }
        });
        Encodings {
            z: placed(&WIDTHS, n, there),
            tokens: None,
            inputs: Some(inputs.collect()),
            latents: vec![None, None, None],
            present: Presence::from_fn(n, 3, there),
        }
    }

    fn loss(output: &FusionOutput) -> Option<f32> {
        output.aux.first().map(|(_, loss)| loss.to_scalar().unwrap())
    }

    /// Sample by sample in PyTorch: `scripts/fixtures_generative.py`.
    #[test]
    fn outputs_and_gradients_are_those_of_pytorch() {
        #[derive(Deserialize)]
        struct Known {
            logits: Vec<Vec<f32>>,
            loss: f32,
            gradients: BTreeMap<String, BTreeMap<String, Vec<f32>>>,
        }
        let known: Known = serde_json::from_str(include_str!("../../tests/fixtures/mmvae.json")).unwrap();
        let encodings = samples(&MISSING);
        for (name, objective) in [
            ("iwae", Objective::Iwae),
            ("dreg", Objective::Dreg),
            ("dreg_as_coded", Objective::DregAsCoded),
        ] {
            let params = Params::new(1, &Device::Cpu);
            let config = Config {
                objective,
                weight: 0.7,
                likelihood_weights: BTreeMap::from([("b".to_owned(), 2.5)]),
                ..small()
            };
            let model = dense(&params, &config);
            set_known(&params);
            let experts = model.experts(&encodings).unwrap();
            let noise = |k: usize, m: usize, i: usize, d: usize| {
                (2.0 * libm::sin(1.0 + 3.1 * k as f64 + 1.7 * m as f64 + 0.9 * i as f64 + 2.3 * d as f64)) as f32
            };
            let mut draws = Vec::new();
            for k in 0..4 {
                for m in 0..3 {
                    draws.extend((0..5).flat_map(|i| (0..3).map(move |d| noise(k, m, i, d))));
                }
            }
            let noise = Tensor::from_vec(draws, (4, 3, 5, 3), &Device::Cpu).unwrap();
            let drawn = noise.broadcast_mul(&experts.scale).unwrap();
            let drawn = drawn.broadcast_add(&experts.location).unwrap();
            let loss = model.loss(&encodings, &experts, &drawn).unwrap().unwrap();
            let value: f32 = loss.to_scalar().unwrap();
            assert!(near(&[value], &[known.loss]), "{value} {}", known.loss);
            let logits = model.forward(&encodings, Mode::Eval).unwrap().logits;
            for (got, expected) in logits.to_vec2::<f32>().unwrap().iter().zip(&known.logits) {
                assert!(near(got, expected), "{got:?} {expected:?}");
            }
            let whole = (loss + logits.sqr().unwrap().sum_all().unwrap()).unwrap();
            compare_gradients(&params, &whole, &known.gradients[name]);
        }
    }

    #[test]
    fn draws_are_of_the_step_and_of_the_laplace_distribution() {
        let params = Params::new(1, &Device::Cpu);
        let config = Config {
            samples: 2000,
            ..small()
        };
        let (model, encodings) = (dense(&params, &config), samples(&MISSING[..1]));
        let experts = model.experts(&encodings).unwrap();
        let draws = |seed, step| -> Vec<f32> {
            let noise = model.noise(&experts, seed, step).unwrap();
            noise.flatten_all().unwrap().to_vec1().unwrap()
        };
        let first = draws(1, 0);
        assert!(first == draws(1, 0) && first != draws(1, 1) && first != draws(2, 0));
        let mean = |f: fn(f32) -> f32| first.iter().map(|&x| f(x)).sum::<f32>() / first.len() as f32;
        // Of 18000 draws; standard errors are .011, .0075 and .033.
        assert!(mean(|x| x).abs() < 0.05);
        assert!((mean(f32::abs) - 1.0).abs() < 0.04);
        assert!((mean(|x| x * x) - 2.0).abs() < 0.16);
    }

    /// In training the classifier reads one sample of one of the experts that are there, each as often.
    #[test]
    fn one_expert_that_is_there_is_chosen() {
        let model = dense(&Params::new(1, &Device::Cpu), &small());
        let encodings = samples(&MISSING);
        let mut counts = [[0; 3]; 5];
        for step in 0..300 {
            let choice: Vec<Vec<f32>> = model
                .choice(&encodings, 1, step)
                .unwrap()
                .squeeze(2)
                .unwrap()
                .to_vec2()
                .unwrap();
            for (m, chosen) in choice.iter().enumerate() {
                for (i, &chosen) in chosen.iter().enumerate() {
                    counts[i][m] += chosen as usize;
                }
            }
        }
        assert_eq!((counts[2], counts[4]), ([0, 300, 0], [0, 0, 0]));
        assert_eq!(counts[1][1], 0);
        let even = |count: usize, expected: usize| count.abs_diff(expected) < 40;
        assert!(
            counts[0].iter().all(|&count| even(count, 100)) && even(counts[1][0], 150),
            "{counts:?}"
        );
    }

    #[test]
    fn the_bound_can_be_switched_off_and_so_can_each_likelihood() {
        let trained = |config: &Config, missing: &[&[usize]]| {
            let model = dense(&Params::new(1, &Device::Cpu), config);
            let encodings = samples(missing);
            assert!(model.forward(&encodings, Mode::Eval).unwrap().aux.is_empty());
            loss(&model.forward(&encodings, TRAIN).unwrap())
        };
        let weighted = |weights: &[(&str, f64)]| Config {
            likelihood_weights: weights
                .iter()
                .map(|(name, weight)| ((*name).to_owned(), *weight))
                .collect(),
            ..small()
        };
        let off = Config { weight: 0.0, ..small() };
        assert_eq!(trained(&off, &MISSING), Some(0.0));
        assert_eq!(trained(&small(), &MISSING[4..]), None);
        let plain = trained(&small(), &MISSING).unwrap();
        let double = trained(&weighted(&[("b", 2.0)]), &MISSING).unwrap();
        assert_ne!(double, plain);
        let mut model = dense(&Params::new(1, &Device::Cpu), &small());
        assert!(model.weigh_likelihood(1, 2.0));
        assert_eq!(loss(&model.forward(&samples(&MISSING), TRAIN).unwrap()), Some(double));
        // Without likelihoods what is left is the distance of the posterior from the prior.
        let none = weighted(&[("a", 0.0), ("b", 0.0), ("c", 0.0)]);
        let blind = trained(&none, &MISSING).unwrap();
        assert!(blind < plain && blind.is_finite(), "{blind} {plain}");
    }

    #[test]
    fn what_it_cannot_generate_is_refused_and_so_are_options_without_a_meaning() {
        let refused = |config: Config, kind: Kind, expected: &str| {
            let error = mmvae(&Params::new(1, &Device::Cpu), &config, kind)
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains(expected), "{error}");
        };
        let weights = |name: &str, weight: f64| Config {
            likelihood_weights: BTreeMap::from([(name.to_owned(), weight)]),
            ..small()
        };
        refused(
            small(),
            Kind::Codes { vocabulary: 5 },
            "modality `b` is of kind `codes`",
        );
        refused(small(), Kind::Series, "modality `b` is of kind `series`");
        refused(weights("d", 1.0), Kind::Dense, "there are a, b, c");
        refused(weights("a", -1.0), Kind::Dense, "must not be negative");
        refused(Config { samples: 0, ..small() }, Kind::Dense, "at least 1");
        refused(Config { scale: 0.0, ..small() }, Kind::Dense, "must be positive");
    }
}
