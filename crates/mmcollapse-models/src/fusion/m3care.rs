//! M3Care (Zhang et al., KDD 2022): what a sample lacks is filled in from samples that are similar to it.
//!
//! A graph joins similar samples (see [`super::similarity`]). Of each modality two graph convolutions gather the features
//! x_m of the neighbours; a missing modality is what was gathered, one that is there is mixed with it by a gate, and a
//! transformer reads the result, one token a modality:
//!
//! ```text
//! x_m = relu(P_m z_m)
//! g_m = relu(W_m2 mean over neighbours j by A(i, j) of relu(W_m1 mean over neighbours k by A(j, k) that have m of x_k))
//! t_m = g_m if m is missing, else w x_m + (1 - w) g_m with w = u / (u + v), u = sigmoid(a_m x_m), v = sigmoid(b_m g_m)
//! ```
//!
//! In training the graph is that of the batch, as in the paper. In evaluation that would make a prediction depend on
//! which other test samples stand beside it. There a sample looks up its neighbours in a bank of the last training samples'
//! encodings instead (see [`super::bank`]), whose own neighbours are of the bank: the same function, of the sample and of
//! what was learnt. Encodings in the bank are as old as the steps since, and without dropout, as those they are compared
//! with; its projections and similarities are computed anew, with the weights as they are.
//!
//! Where this departs from the public code. It sums over neighbours; a mean is the same for a batch and for a bank, which is
//! larger. It lets a sample be its own neighbour in both rounds. Here it is in the first (k may be j), and not in the
//! second, as no sample is in the bank: its own features come through the gate. It zeroes whole rows of the graph where a modality is missing, so that a sample gathers nothing of what it lacks;
//! here only neighbours that lack it are passed over. What passes the threshold has the threshold added again there, as a
//! constant, and a term L_stab keeps the lengths of phi's features at those of the encodings; neither is in the
//! formula used here. Its blocks have four heads, then one, and normalise last; here all blocks are alike and those of the
//! encoder of codes.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor,
    layers::Linear,
    ops::{matmul, relu, sigmoid},
};
use serde::{Deserialize, Serialize};

use super::{
    Builder, Fusion, FusionContext, FusionOutput,
    bank::{Bank, Known},
    head::Head,
    similarity::{Mix, Settings, Similarity, to_others},
    tokens::Tokens,
};
use crate::{
    encodings::Encodings,
    error::{ModelError, Result},
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::choose,
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "m3care",
    summary: "a missing modality is gathered from similar samples by graph convolution; a transformer reads the tokens",
    reference: "Zhang et al., M3Care, KDD 2022; its public code",
    // The first kept encodings with dropout in the bank. The second summed kernels, and let no sample count among its own
    // neighbours.
    revision: 3,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("width", Sampler::Whole(&[32, 64, 128])),
        ("bank", Sampler::Whole(&[128, 256, 512])),
        ("hidden", Sampler::Whole(&[64, 128, 256])),
        ("block_dropout", Sampler::Uniform(0.0, 0.6)),
        ("dropout", Sampler::Uniform(0.0, 0.8)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "m3care", options)?;
        Ok(Box::new(M3Care::new(&config, context)?))
    }),
};

/// Added to the sum of a sample's links: without neighbours it gathers zero, and a neighbour comes in smoothly.
const FEW: f64 = 1e-6;

/// Options of [`M3Care`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of a token, of the graph convolutions and of the similarity's networks (ours; M3Care's differ by data set).
    width: usize,
    /// Kernels of the similarity (M3Care: 3).
    kernels: usize,
    /// Width of a kernel over that of the one before it (M3Care: 2).
    kernel_ratio: f64,
    /// How kernels of learned features and of encodings are mixed (M3Care: by sum for health records, by product in its
    /// paper and for images).
    mix: Mix,
    /// Where the share of the encodings' kernel starts, before a sigmoid (M3Care: -.3 for health records, 2 for images).
    eps: f64,
    /// Where the least similarity of neighbours starts, before a sigmoid (M3Care: 0 for health records, 2 for images).
    threshold: f64,
    /// Training samples that evaluation looks up neighbours among (ours: four batches of 64).
    bank: usize,
    /// Blocks of the transformer (M3Care: 2).
    blocks: usize,
    /// Heads a block (M3Care: 4, then 1).
    heads: usize,
    /// Width of the head's hidden layer (M3Care: twice the width).
    hidden: usize,
    /// Dropout within the blocks, as in the encoder of codes.
    block_dropout: f64,
    /// Dropout before the classifier, as in SMIL's fused network.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 64,
            kernels: 3,
            kernel_ratio: 2.0,
            mix: Mix::Sum,
            eps: -0.3,
            threshold: 0.0,
            bank: 256,
            blocks: 2,
            heads: 4,
            hidden: 128,
            block_dropout: 0.25,
            dropout: 0.6,
        }
    }
}

/// Who gathers from whom.
struct Links<'a> {
    /// A from each sample to each known one, `[batch, known]`.
    to_known: &'a Tensor,
    /// A among the known ones, `[known, known]`, that of each to itself included.
    among_known: &'a Tensor,
}

/// Of one modality: W_m1, W_m2, a_m and b_m.
struct Imputation {
    first: Linear,
    second: Linear,
    own: Linear,
    gathered: Linear,
}

impl Imputation {
    fn new(context: &FusionContext, name: &str, width: usize) -> TensorResult<Self> {
        let scope = |part: &str| context.scope.pp(part).pp(name);
        Ok(Self {
            first: Linear::new(&scope("first"), width, width)?,
            second: Linear::new(&scope("second"), width, width)?,
            own: Linear::new(&scope("own"), width, 1)?,
            gathered: Linear::new(&scope("gathered"), width, 1)?,
        })
    }

    /// t_m `[batch, width]` of samples with features `x [batch, width]` and `present [batch, 1]`, given features and
    /// presence of the known samples.
    fn forward(
        &self,
        (x, present): (&Tensor, &Tensor),
        (known_x, known_present): (&Tensor, &Tensor),
        links: &Links<'_>,
    ) -> TensorResult<Tensor> {
        let having = links.among_known.broadcast_mul(&known_present.t()?)?;
        let near = self.first.forward_relu(&mean(&having, known_x)?)?; // [known, width]
        let g = self.second.forward_relu(&mean(links.to_known, &near)?)?; // [batch, width]
        let (u, v) = (sigmoid(&self.own.forward(x)?)?, sigmoid(&self.gathered.forward(&g)?)?);
        let w = (&u / (&u + v)?)?; // [batch, 1]
        let mixed = (x.broadcast_mul(&w)? + g.broadcast_mul(&w.affine(-1.0, 1.0)?)?)?;
        choose(present, &mixed, &g)
    }
}

/// Per row of `a [n, known]` the mean of the rows of `x [known, width]` by these weights; zero where all are.
fn mean(a: &Tensor, x: &Tensor) -> TensorResult<Tensor> {
    matmul(a, x)?.broadcast_div(&(a.sum_keepdim(1)? + FEW)?)
}

struct M3Care {
    tokens: Tokens,
    similarity: Similarity,
    imputations: Vec<Imputation>,
    bank: Bank,
    head: Head,
}

impl M3Care {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let refused = |reason: String| ModelError::Options {
            axis: "fusion",
            method: "m3care".to_owned(),
            reason,
        };
        if config.kernels == 0 || config.bank == 0 {
            let (kernels, bank) = (config.kernels, config.bank);
            return Err(refused(format!(
                "`kernels` ({kernels}) and `bank` ({bank}) must be at least 1"
            )));
        }
        if !(config.kernel_ratio.is_finite() && config.kernel_ratio > 0.0) {
            return Err(refused(format!(
                "`kernel_ratio` must be positive, got {}",
                config.kernel_ratio
            )));
        }
        for (name, value) in [("eps", config.eps), ("threshold", config.threshold)] {
            if !value.is_finite() {
                return Err(refused(format!("`{name}` must be a finite number, got {value}")));
            }
        }
        let names = context.modalities.iter();
        let compared = Settings {
            width: config.width,
            kernels: config.kernels,
            ratio: config.kernel_ratio,
            mix: config.mix,
            eps: config.eps,
            threshold: config.threshold,
        };
        Ok(Self {
            tokens: Tokens::new(context, config.width, config.blocks, config.heads, config.block_dropout)?,
            similarity: Similarity::new(context, compared)?,
            imputations: names
                .map(|name| Imputation::new(context, name, config.width))
                .collect::<TensorResult<_>>()?,
            bank: Bank::new(context, config.bank)?,
            head: Head::new(
                &context.scope,
                context.modalities.len() * config.width,
                config.hidden,
                config.dropout,
                context.classes,
            )?,
        })
    }

    /// Per modality x_m, `[samples, width]`.
    fn features(&self, known: &Known) -> TensorResult<Vec<Tensor>> {
        self.tokens.project(&known.z)?.iter().map(relu).collect()
    }

    /// Per modality t_m, `[batch, width]`.
    fn impute(&self, batch: &Known, mode: Mode) -> TensorResult<Vec<Tensor>> {
        let batch = self.similarity.compared(batch.clone())?;
        let bank = match mode {
            Mode::Train { .. } => None,
            Mode::Eval => Some(self.similarity.compared(self.bank.known()?)?),
        };
        let known = bank.as_ref().unwrap_or(&batch);
        let scales = known.scales()?;
        let among_known = self.similarity.between(known, known, &scales)?;
        let x = self.features(&batch.known)?;
        let (known_x, to_known) = match &bank {
            None => (x.clone(), to_others(&among_known)?),
            Some(bank) => (
                self.features(&bank.known)?,
                self.similarity.between(&batch, bank, &scales)?,
            ),
        };
        let links = Links {
            to_known: &to_known,
            among_known: &among_known,
        };
        let each = self.imputations.iter().enumerate();
        each.map(|(m, imputation)| {
            let known = (&known_x[m], &known.known.present[m]);
            imputation.forward((&x[m], &batch.known.present[m]), known, &links)
        })
        .collect()
    }
}

impl Fusion for M3Care {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let batch = Known::batch(encodings)?;
        let imputed = self.tokens.typed(&self.impute(&batch, mode)?)?; // [b, modalities, width]
        let read = self.tokens.transform(&imputed, mode)?;
        let (fused, logits) = self.head.forward(&read.flatten_from(1)?, mode)?;
        Ok(FusionOutput::new(fused, logits))
    }

    fn remember(&self, clean: &dyn Fn() -> TensorResult<Encodings>) -> TensorResult<()> {
        self.bank.follow(&Known::batch(&clean()?)?)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::Presence;
    use mmcollapse_nn::{Device, Params, random::Stream};

    use super::*;

    fn m3care(params: &Params) -> M3Care {
        let names = ["a".to_owned(), "b".to_owned()];
        let context = FusionContext::made(&names, &[3, 2], 4, params);
        let config = Config {
            width: 8,
            bank: 6,
            ..Config::default()
        };
        M3Care::new(&config, &context).unwrap()
    }

    fn rows(t: &Tensor) -> Vec<Vec<f32>> {
        t.to_vec2().unwrap()
    }

    fn near(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
    }

    /// Samples of which every third lacks b.
    fn samples(n: usize, part: &str) -> Encodings {
        let present = Presence::from_fn(n, 2, |i, m| m == 0 || i % 3 != 1);
        let mut stream = Stream::new(3, part);
        let mut z = |m: usize, width: usize| {
            let values = stream.normal_vec(n * width).into_iter().enumerate();
            let values = values
                .map(|(k, v)| if present.get(k / width, m) { v } else { 0.0 })
                .collect();
            Tensor::from_vec(values, (n, width), &Device::Cpu).unwrap()
        };
        Encodings::made(vec![z(0, 3), z(1, 2)], present)
    }

    #[test]
    fn what_is_missing_is_gathered_and_what_is_there_mixed_with_it() {
        let params = Params::new(1, &Device::Cpu);
        let imputation = &m3care(&params).imputations[0];
        let mut stream = Stream::new(1, "features");
        let mut features = |n: usize| -> Vec<Vec<f32>> { (0..n).map(|_| stream.uniform_vec(8, 0.0, 1.0)).collect() };
        let (x, known_x) = (features(2), features(3));
        let (present, known_present) = ([1.0, 0.0], [1.0, 0.0, 1.0]);
        let to_known = [[0.5, 0.2, 0.0], [0.0, 0.0, 0.4]];
        let among_known = [[0.5, 0.3, 0.6], [0.3, 0.5, 0.1], [0.6, 0.1, 0.5]];
        let column = |v: &[f32]| Tensor::from_slice(v, (v.len(), 1), &Device::Cpu).unwrap();
        let tensor = |v: &[Vec<f32>]| Tensor::new(v.to_vec(), &Device::Cpu).unwrap();
        let links = Links {
            to_known: &Tensor::new(&to_known, &Device::Cpu).unwrap(),
            among_known: &Tensor::new(&among_known, &Device::Cpu).unwrap(),
        };
        let own = (&tensor(&x), &column(&present));
        let imputed = imputation.forward(own, (&tensor(&known_x), &column(&known_present)), &links);
        let imputed = rows(&imputed.unwrap());

        let layer = |linear: &Linear, x: &[f32]| -> Vec<f32> {
            let w: Vec<Vec<f32>> = linear.weight().to_vec2().unwrap();
            let b: Vec<f32> = linear.bias().unwrap().to_vec1().unwrap();
            let row = |(w, b): (&Vec<f32>, f32)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + b;
            w.iter().zip(b).map(row).collect()
        };
        let relu = |x: Vec<f32>| -> Vec<f32> { x.into_iter().map(|v| v.max(0.0)).collect() };
        let mean = |weights: &[f32], rows: &[Vec<f32>]| -> Vec<f32> {
            let total = weights.iter().sum::<f32>() + 1e-6;
            let at = |d: usize| weights.iter().zip(rows).map(|(w, r)| w * r[d]).sum::<f32>() / total;
            (0..8).map(at).collect()
        };
        let near_known: Vec<Vec<f32>> = among_known
            .iter()
            .map(|weights| {
                let having = [0, 1, 2].map(|j| weights[j] * known_present[j]);
                relu(layer(&imputation.first, &mean(&having, &known_x)))
            })
            .collect();
        for i in 0..2 {
            let g = relu(layer(&imputation.second, &mean(&to_known[i], &near_known)));
            let sigmoid = |x: f32| 1.0 / (1.0 + libm::expf(-x));
            let u = sigmoid(layer(&imputation.own, &x[i])[0]);
            let v = sigmoid(layer(&imputation.gathered, &g)[0]);
            let w = if present[i] == 1.0 { u / (u + v) } else { 0.0 };
            let expected: Vec<f32> = x[i].iter().zip(&g).map(|(x, g)| w * x + (1.0 - w) * g).collect();
            assert!(near(&imputed[i], &expected), "{:?} {expected:?}", imputed[i]);
        }
    }

    #[test]
    fn a_prediction_depends_on_the_bank_and_not_on_its_batch() {
        let model = m3care(&Params::new(1, &Device::Cpu));
        let predict = |encodings: &Encodings| rows(&model.forward(encodings, Mode::Eval).unwrap().logits);
        let test = samples(5, "test");
        let before = predict(&test);
        model.remember(&|| Ok(samples(9, "train"))).unwrap();
        let together = predict(&test);
        for i in 0..5 {
            let alone = Encodings::made(
                test.z.iter().map(|z| z.narrow(0, i, 1).unwrap()).collect(),
                Presence::from_fn(1, 2, |_, m| test.present.get(i, m)),
            );
            assert!(near(&predict(&alone)[0], &together[i]), "{i}");
            assert!(!near(&before[i], &together[i]), "{i}: what the bank holds must matter");
        }
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        let params = Params::new(1, &Device::Cpu);
        let names = ["a".to_owned()];
        for (config, says) in [
            (
                Config {
                    kernels: 0,
                    ..Config::default()
                },
                "`kernels` (0)",
            ),
            (
                Config {
                    bank: 0,
                    ..Config::default()
                },
                "`bank` (0)",
            ),
            (
                Config {
                    kernel_ratio: 0.0,
                    ..Config::default()
                },
                "`kernel_ratio` must be positive",
            ),
            (
                Config {
                    threshold: f64::NAN,
                    ..Config::default()
                },
                "`threshold` must be a finite number",
            ),
        ] {
            let context = FusionContext::made(&names, &[3], 2, &params);
            let error = M3Care::new(&config, &context).err().unwrap().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
