//! MulT (Tsai et al., Multimodal Transformer for Unaligned Multimodal Language Sequences, ACL 2019): each modality's tokens
//! attend to those of every other one, without an alignment of the sequences.
//!
//! The tokens of a modality, projected, times the root of their width plus the sinusoid of their place, are Z_m. Then
//!
//! ```text
//! Z_jm  = crossmodal(queries Z_m, keys and values Z_j)   for each other modality j: `layers` blocks, a norm
//! H_m   = transformer(all Z_jm side by side)
//! h     = all last tokens of H_m, one behind the other
//! fused = h + W2 relu(W1 h),  logits = W3 fused
//! ```
//!
//! A block is `x + attention(norm x, norm z)`, then `x + W relu(W' norm x)`; z is x itself in the second transformer. All
//! blocks of a crossmodal transformer read the same Z_j.
//!
//! The original knows no missing modality. Here what is no token is never attended to. A modality to which no token of j is
//! there takes nothing from j: that attention adds zero, and the tokens go through the rest of their blocks. A modality
//! that is missing itself gives zeros to h. With one modality in the data there is no crossmodal transformer, and the
//! second reads Z_m.
//!
//! Where this departs from the public code. It has five layers. It hides what comes after a token's own place, which means
//! nothing where tokens are codes of a set or places of a picture; the paper does not. It drops keys and values apart, and
//! the inputs of language once more. It leaves out the projection where the width fits already.

use mmcollapse_nn::{
    Device, Init, Mode, Result as TensorResult, Scope, Tensor,
    layers::{Dropout, LayerNorm, Linear, attention},
    ops::linear,
};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput};
use crate::{
    encodings::{Encodings, Sequence},
    error::{ModelError, Result},
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::gather_rows,
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "mult",
    summary: "each modality's tokens attend to those of every other, then to each other; the last tokens are joined",
    reference: "Tsai et al., Multimodal Transformer for Unaligned Multimodal Language Sequences, ACL 2019; its public code",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("width", Sampler::Whole(&[20, 30, 40])),
        ("layers", Sampler::Whole(&[1, 2, 4])),
        ("attention_dropout", Sampler::Uniform(0.0, 0.4)),
        ("residual_dropout", Sampler::Uniform(0.0, 0.4)),
        ("embedding_dropout", Sampler::Uniform(0.0, 0.4)),
        ("dropout", Sampler::Uniform(0.0, 0.4)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "mult", options)?;
        Ok(Box::new(Mult::new(&config, context)?))
    }),
};

/// Hidden layer of a block over the width of a token.
const FEED_FORWARD: usize = 4;

/// Options of [`Mult`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of a token (MulT: 30).
    width: usize,
    /// Heads a block (MulT: 5).
    heads: usize,
    /// Blocks of each transformer (ours, as the blocks of `mt`; MulT: 5).
    layers: usize,
    /// Dropout of the attention's weights (MulT: .1 where language is read, else 0).
    attention_dropout: f64,
    /// Dropout of a block's hidden layer (MulT: .1).
    relu_dropout: f64,
    /// Dropout of a block's two branches (MulT: .1).
    residual_dropout: f64,
    /// Dropout of each transformer's inputs (MulT: .2).
    embedding_dropout: f64,
    /// Dropout in the head's residual branch (MulT: 0).
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 30,
            heads: 5,
            layers: 2,
            attention_dropout: 0.1,
            relu_dropout: 0.1,
            residual_dropout: 0.1,
            embedding_dropout: 0.2,
            dropout: 0.0,
        }
    }
}

struct Mult {
    projections: Vec<Linear>,
    targets: Vec<Target>,
    first: Linear,
    dropout: Dropout,
    second: Linear,
    classifier: Linear,
}

/// What reads the others for one modality.
struct Target {
    /// The other modalities, each with the transformer that attends to it.
    crossmodal: Vec<(usize, Transformer)>,
    joint: Transformer,
}

impl Mult {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        // The sinusoid's frequencies are spread over a half of the width.
        if config.width < 4 || config.layers == 0 || config.heads == 0 || !config.width.is_multiple_of(config.heads) {
            return Err(ModelError::Options {
                axis: "fusion",
                method: "mult".to_owned(),
                reason: format!(
                    "`width` ({}) must be a multiple of `heads` ({}) and at least 4, `layers` ({}) at least 1",
                    config.width, config.heads, config.layers
                ),
            });
        }
        let (scope, names) = (&context.scope, context.modalities);
        let others = (names.len() - 1).max(1);
        let target = |(to, name): (usize, &String)| -> TensorResult<Target> {
            let crossmodal = names.iter().enumerate().filter(|(from, _)| *from != to);
            let crossmodal = crossmodal.map(|(from, source)| {
                let scope = scope.pp("crossmodal").pp(name).pp(source);
                Ok((from, Transformer::new(&scope, config, config.width)?))
            });
            Ok(Target {
                crossmodal: crossmodal.collect::<TensorResult<_>>()?,
                joint: Transformer::new(&scope.pp("joint").pp(name), config, others * config.width)?,
            })
        };
        let projections = names
            .iter()
            .zip(context.widths)
            .map(|(name, &width)| Linear::without_bias(&scope.pp("projection").pp(name), width, config.width));
        let joined = names.len() * others * config.width;
        Ok(Self {
            projections: projections.collect::<TensorResult<_>>()?,
            targets: names.iter().enumerate().map(target).collect::<TensorResult<_>>()?,
            first: Linear::new(&scope.pp("first"), joined, joined)?,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
            second: Linear::new(&scope.pp("second"), joined, joined)?,
            classifier: Linear::new(&scope.pp("classifier"), joined, context.classes)?,
        })
    }

    /// Per modality its tokens `[batch, places, width]`, as narrow as the transformers have them, and which are there.
    fn project(&self, encodings: &Encodings) -> TensorResult<Vec<Tokens>> {
        let sequences = self.projections.iter().zip(encodings.tokens()?);
        let project = |(projection, sequence): (&Linear, &Sequence)| {
            Ok(Tokens {
                values: placed(&projection.forward(&sequence.values)?)?,
                present: sequence.present()?,
            })
        };
        sequences.map(project).collect()
    }

    /// `[batch, modalities * others * width]`: the last token of each modality after it has read the others.
    fn join(&self, encodings: &Encodings, mode: Mode) -> TensorResult<Tensor> {
        let tokens = self.project(encodings)?;
        let targets = self.targets.iter().zip(&tokens).zip(encodings.tokens()?);
        let ends = targets.map(|((target, own), sequence)| {
            let read = target.forward(own, &tokens, mode)?; // [batch, places, others * width]
            let places = read.dim(1)?;
            let last = sequence.last()?.into_iter().enumerate();
            let last: Vec<usize> = last.map(|(row, place)| row * places + place).collect();
            gather_rows(&read.flatten(0, 1)?, &last)?.broadcast_mul(&own.any()?)
        });
        Tensor::cat(&ends.collect::<TensorResult<Vec<_>>>()?, 1)
    }
}

impl Fusion for Mult {
    fn reads_tokens(&self) -> bool {
        true
    }

    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let joined = self.join(encodings, mode)?;
        let hidden = self.dropout.forward(&self.first.forward_relu(&joined)?, mode)?;
        let fused = (joined + self.second.forward(&hidden)?)?;
        let logits = self.classifier.forward(&fused)?;
        Ok(FusionOutput::new(fused, logits))
    }
}

/// Tokens of a batch.
struct Tokens {
    /// `[batch, places, width]`.
    values: Tensor,
    /// Which are there, `[batch, places]`.
    present: Tensor,
}

impl Tokens {
    /// Which samples have one, `[batch, 1]`.
    fn any(&self) -> TensorResult<Tensor> {
        self.present.max_keepdim(1)
    }
}

/// `tokens [batch, places, width]` times the root of their width, each plus the sinusoid of its place.
fn placed(tokens: &Tensor) -> TensorResult<Tensor> {
    let (_, places, width) = tokens.dims3()?;
    let sinusoids = sinusoids(places, width, tokens.device())?;
    (tokens * (width as f64).sqrt())?.broadcast_add(&sinusoids.unsqueeze(0)?)
}

/// `[places, width]`: sines, then cosines of the place, counted from 1, times frequencies from 1 down to 1/10000; a last 0 if the
/// width is odd.
fn sinusoids(places: usize, width: usize, device: &Device) -> TensorResult<Tensor> {
    let half = width / 2;
    let step = libm::log(10000.0) / (half - 1) as f64;
    let mut values = vec![0.0; places * width];
    for (row, place) in values.chunks_mut(width).zip(1..) {
        for k in 0..half {
            let angle = f64::from(place) * libm::exp(-step * k as f64);
            row[k] = libm::sin(angle) as f32;
            row[half + k] = libm::cos(angle) as f32;
        }
    }
    Tensor::from_vec(values, (places, width), device)
}

impl Target {
    /// `own` after reading all others: `[batch, places, others * width]`.
    fn forward(&self, own: &Tokens, all: &[Tokens], mode: Mode) -> TensorResult<Tensor> {
        let read = self.crossmodal.iter();
        let read = read.map(|(from, transformer)| transformer.forward(own, Some(&all[*from]), mode));
        let read = read.collect::<TensorResult<Vec<_>>>()?;
        if read.is_empty() {
            return self.joint.forward(own, None, mode);
        }
        let read = Tokens {
            values: placed(&Tensor::cat(&read, 2)?)?,
            present: own.present.clone(),
        };
        self.joint.forward(&read, None, mode)
    }
}

/// Blocks one after the other, and a norm.
struct Transformer {
    own_dropout: Dropout,
    source_dropout: Dropout,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Transformer {
    fn new(scope: &Scope, config: &Config, width: usize) -> TensorResult<Self> {
        let blocks = (0..config.layers).map(|i| Block::new(&scope.pp("layers").pp(i), config, width));
        Ok(Self {
            own_dropout: Dropout::new(&scope.pp("own"), config.embedding_dropout)?,
            source_dropout: Dropout::new(&scope.pp("source"), config.embedding_dropout)?,
            blocks: blocks.collect::<TensorResult<_>>()?,
            norm: LayerNorm::new(&scope.pp("layer_norm"), width)?,
        })
    }

    /// `own` after attending to `source` in each block, or to itself: `[batch, places, width]`.
    fn forward(&self, own: &Tokens, source: Option<&Tokens>, mode: Mode) -> TensorResult<Tensor> {
        let mut x = self.own_dropout.forward(&own.values, mode)?;
        let read = source.map(|source| self.source_dropout.forward(&source.values, mode));
        let (read, attended) = (read.transpose()?, source.unwrap_or(own));
        for block in &self.blocks {
            x = block.forward(&x, read.as_ref(), attended, mode)?;
        }
        self.norm.forward(&x)
    }
}

/// A block of the public code, with its names.
struct Block {
    heads: usize,
    norm1: LayerNorm,
    /// Of queries, keys and values, `[3 width, width]`.
    in_proj_weight: Tensor,
    in_proj_bias: Tensor,
    out_proj: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    attention_dropout: Dropout,
    attended_dropout: Dropout,
    relu_dropout: Dropout,
    hidden_dropout: Dropout,
}

impl Block {
    fn new(scope: &Scope, config: &Config, width: usize) -> TensorResult<Self> {
        let (attention, norms) = (scope.pp("self_attn"), scope.pp("layer_norms"));
        let glorot = Init::Glorot {
            fan_in: width,
            fan_out: 3 * width,
        };
        Ok(Self {
            heads: config.heads,
            norm1: LayerNorm::new(&norms.pp(0), width)?,
            in_proj_weight: attention.var("in_proj_weight", (3 * width, width), glorot)?,
            in_proj_bias: attention.var("in_proj_bias", 3 * width, Init::Zeros)?,
            out_proj: Linear::glorot(&attention.pp("out_proj"), width, width)?,
            norm2: LayerNorm::new(&norms.pp(1), width)?,
            fc1: Linear::glorot(&scope.pp("fc1"), width, FEED_FORWARD * width)?,
            fc2: Linear::glorot(&scope.pp("fc2"), FEED_FORWARD * width, width)?,
            attention_dropout: Dropout::new(&attention, config.attention_dropout)?,
            attended_dropout: Dropout::new(&scope.pp("attended"), config.residual_dropout)?,
            relu_dropout: Dropout::new(&scope.pp("relu"), config.relu_dropout)?,
            hidden_dropout: Dropout::new(&scope.pp("hidden"), config.residual_dropout)?,
        })
    }

    /// `x [batch, places, width]` after attending to `source [batch, sources, width]`, or to itself; `attended` says what is
    /// there of that.
    fn forward(&self, x: &Tensor, source: Option<&Tensor>, attended: &Tokens, mode: Mode) -> TensorResult<Tensor> {
        let own = self.norm1.forward(x)?;
        let source = match source {
            Some(source) => self.norm1.forward(source)?,
            None => own.clone(),
        };
        let parts = (&self.part(0, &own)?, &self.part(1, &source)?, &self.part(2, &source)?);
        let mixed = attention(parts, Some(&attended.present), &self.attention_dropout, mode)?;
        let taken = self
            .out_proj
            .forward(&mixed)?
            .broadcast_mul(&attended.any()?.unsqueeze(2)?)?;
        let x = (x + self.attended_dropout.forward(&taken, mode)?)?;
        let hidden = self.fc1.forward_relu(&self.norm2.forward(&x)?)?;
        let hidden = self.relu_dropout.forward(&hidden, mode)?;
        &x + self.hidden_dropout.forward(&self.fc2.forward(&hidden)?, mode)?
    }

    /// Queries, keys or values of `x`: `[batch, heads, places, width / heads]`.
    fn part(&self, which: usize, x: &Tensor) -> TensorResult<Tensor> {
        let (batch, places, width) = x.dims3()?;
        let rows = |parameter: &Tensor| parameter.narrow(0, which * width, width);
        linear(x, &rows(&self.in_proj_weight)?, Some(&rows(&self.in_proj_bias)?), false)?
            .reshape((batch, places, self.heads, width / self.heads))?
            .transpose(1, 2)?
            .contiguous()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mmcollapse_data::Presence;
    use mmcollapse_nn::{DType, Params};

    use super::*;
    use crate::fusion::known::{near, set_known};

    const WIDTHS: [usize; 3] = [3, 2, 2];
    const PLACES: usize = 3;

    /// Per sample and modality the places that hold a token.
    const TAKEN: [[&[usize]; 3]; 4] = [
        [&[0, 1, 2], &[0], &[0, 2]],
        [&[0, 1], &[], &[1]],
        [&[], &[], &[0, 1, 2]],
        [&[], &[], &[]],
    ];

    fn mult(params: &Params, options: &Config) -> Result<Mult> {
        let names = ["a", "b", "c"].map(str::to_owned);
        let context = FusionContext::made(&names, &WIDTHS, 2, params);
        Mult::new(options, &context)
    }

    fn small() -> Config {
        Config {
            width: 4,
            heads: 2,
            layers: 2,
            ..Config::default()
        }
    }

    /// Samples with tokens in the places `taken`, of which there are `places`; elsewhere 9s.
    fn samples(taken: &[[&[usize]; 3]], places: usize) -> Encodings {
        let n = taken.len();
        let sequences = WIDTHS.iter().enumerate().map(|(m, &width)| {
            let mut values = vec![9.0; n * places * width];
            let mut mask = vec![false; n * places];
            for (i, taken) in taken.iter().enumerate() {
                for &place in taken[m] {
                    mask[i * places + place] = true;
                    for d in 0..width {
                        let value = libm::sin((i + m) as f64 + 1.3 * (place * width + d) as f64);
                        values[(i * places + place) * width + d] = value as f32;
                    }
                }
            }
            Sequence {
                values: Tensor::from_vec(values, (n, places, width), &Device::Cpu).unwrap(),
                mask,
            }
        });
        Encodings {
            tokens: Some(sequences.collect()),
            inputs: None,
            z: WIDTHS
                .map(|w| Tensor::zeros((n, w), DType::F32, &Device::Cpu).unwrap())
                .to_vec(),
            latents: vec![None, None, None],
            present: Presence::from_fn(n, 3, |i, m| !taken[i][m].is_empty()),
        }
    }

    fn rows(t: &Tensor) -> Vec<Vec<f32>> {
        t.to_vec2().unwrap()
    }

    /// The public code's formula in PyTorch on each sample alone: `scripts/fixtures_mult.py`.
    #[test]
    fn outputs_and_gradients_are_those_of_pytorch() {
        #[derive(Deserialize)]
        struct Known {
            fused: Vec<Vec<f32>>,
            logits: Vec<Vec<f32>>,
            gradients: BTreeMap<String, [f32; 2]>,
        }
        let known: Known = serde_json::from_str(include_str!("../../tests/fixtures/mult.json")).unwrap();
        let params = Params::new(1, &Device::Cpu);
        let model = mult(&params, &small()).unwrap();
        set_known(&params);
        let vars: BTreeMap<_, _> = params.vars().into_iter().collect();
        let output = model.forward(&samples(&TAKEN, PLACES), Mode::Eval).unwrap();
        for (got, expected) in [(&output.fused, &known.fused), (&output.logits, &known.logits)] {
            for (got, expected) in rows(got).iter().zip(expected) {
                assert!(near(got, expected), "{got:?} {expected:?}");
            }
        }
        let gradients = output.logits.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        assert!(vars.keys().eq(known.gradients.keys()));
        for (name, var) in &vars {
            let gradient = gradients.get(var.as_tensor()).expect(name);
            let of = |t: Tensor| t.sum_all().unwrap().to_scalar::<f32>().unwrap();
            let got = [of(gradient.clone()), of(gradient.sqr().unwrap())];
            let [sum, squares] = known.gradients[name];
            let scale = 1e-3 * (1.0 + squares.sqrt());
            assert!(
                (got[0] - sum).abs() < scale && (got[1] - squares).abs() < scale * (1.0 + squares.sqrt()),
                "{name}: {got:?} {sum} {squares}"
            );
        }
    }

    /// The first block of a crossmodal transformer, number by number.
    #[test]
    fn a_block_is_what_its_weights_make_of_it() {
        let params = Params::new(1, &Device::Cpu);
        let model = mult(&params, &small()).unwrap();
        let block = &model.targets[0].crossmodal[1].1.blocks[0]; // a reads c
        for (name, var) in params.vars() {
            if name.ends_with("bias") {
                var.set(&(var.as_tensor() + 0.1).unwrap()).unwrap(); // biases start at 0
            }
        }
        let tokens = model.project(&samples(&TAKEN[..1], PLACES)).unwrap();
        let got = block
            .forward(&tokens[0].values, Some(&tokens[2].values), &tokens[2], Mode::Eval)
            .unwrap();
        let got = rows(&got.squeeze(0).unwrap());

        let matrix = |t: &Tensor| rows(t);
        let vector = |t: &Tensor| -> Vec<f32> { t.to_vec1().unwrap() };
        let apply = |w: &[Vec<f32>], b: &[f32], x: &[f32]| -> Vec<f32> {
            let row = |(w, b): (&Vec<f32>, &f32)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + b;
            w.iter().zip(b).map(row).collect()
        };
        let layer = |l: &Linear, x: &[f32]| apply(&matrix(l.weight()), &vector(l.bias().unwrap()), x);
        // Weight 1 and, as all biases here, bias .1.
        let norm = |x: &[f32]| -> Vec<f32> {
            let mean = x.iter().sum::<f32>() / 4.0;
            let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / 4.0;
            x.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt() + 0.1).collect()
        };
        let (w, b) = (matrix(&block.in_proj_weight), vector(&block.in_proj_bias));
        let part = |which: usize, x: &[f32]| apply(&w[4 * which..][..4], &b[4 * which..][..4], &norm(x));
        let own = rows(&tokens[0].values.squeeze(0).unwrap());
        let all = rows(&tokens[2].values.squeeze(0).unwrap());
        let source = [&all[0], &all[2]]; // the second place holds none
        for (x, got) in own.iter().zip(&got) {
            let query = part(0, x);
            let mut mixed = Vec::new();
            for head in [0..2, 2..4] {
                let score = |z: &Vec<f32>| {
                    let key = part(1, z);
                    head.clone().map(|d| query[d] * key[d]).sum::<f32>() / 2.0_f32.sqrt()
                };
                let odds = source.map(|z| libm::expf(score(z)));
                let values = source.map(|z| part(2, z));
                let total = odds[0] + odds[1];
                mixed.extend(head.map(|d| (odds[0] * values[0][d] + odds[1] * values[1][d]) / total));
            }
            let x: Vec<f32> = x
                .iter()
                .zip(layer(&block.out_proj, &mixed))
                .map(|(x, y)| x + y)
                .collect();
            let hidden: Vec<f32> = layer(&block.fc1, &norm(&x)).into_iter().map(|v| v.max(0.0)).collect();
            let expected: Vec<f32> = x.iter().zip(layer(&block.fc2, &hidden)).map(|(x, y)| x + y).collect();
            assert!(near(got, &expected), "{got:?} {expected:?}");
        }
    }

    #[test]
    fn a_token_knows_its_place() {
        let got = rows(&sinusoids(2, 5, &Device::Cpu).unwrap());
        // Frequencies 1 and 1/10000.
        assert!(near(&got[0], &[0.841_471, 1e-4, 0.540_302, 1.0, 0.0]), "{got:?}");
        assert!(near(&got[1], &[0.909_297, 2e-4, -0.416_147, 1.0, 0.0]), "{got:?}");
    }

    #[test]
    fn padding_and_the_rest_of_the_batch_do_not_matter() {
        let model = mult(&Params::new(1, &Device::Cpu), &small()).unwrap();
        let predict = |taken: &[[&[usize]; 3]], places: usize| {
            rows(&model.forward(&samples(taken, places), Mode::Eval).unwrap().logits)
        };
        let together = predict(&TAKEN, PLACES);
        let padded = predict(&TAKEN, PLACES + 4);
        assert!(together.iter().zip(&padded).all(|(a, b)| near(a, b)));
        assert!(near(&predict(&TAKEN[..1], PLACES)[0], &together[0]));
    }

    /// What a missing modality gave is gone, and the rest is as if it were there.
    #[test]
    fn a_missing_source_changes_its_own_contribution_alone() {
        let model = mult(&Params::new(1, &Device::Cpu), &small()).unwrap();
        let (whole, lacking) = (TAKEN[0], [TAKEN[0][0], &[], TAKEN[0][2]]);
        let read = |taken: [&[usize]; 3], target: usize, source: usize| {
            let tokens = model.project(&samples(&[taken], PLACES)).unwrap();
            let transformers = &model.targets[target].crossmodal;
            let (from, transformer) = transformers.iter().find(|(from, _)| *from == source).unwrap();
            let read = transformer.forward(&tokens[target], Some(&tokens[*from]), Mode::Eval);
            rows(&read.unwrap().squeeze(0).unwrap()).concat()
        };
        for (target, other) in [(0, 2), (2, 0)] {
            assert_eq!(read(whole, target, other), read(lacking, target, other));
            assert!(!near(&read(whole, target, 1), &read(lacking, target, 1)));
        }
        // The second of three stretches of the joined ends is that of b.
        let ends = |taken| rows(&model.join(&samples(&[taken], PLACES), Mode::Eval).unwrap()).concat();
        let (with, without) = (ends(whole), ends(lacking));
        assert!(with[8..16].iter().all(|x| *x != 0.0) && without[8..16].iter().all(|x| *x == 0.0));
        assert!(without[..8].iter().chain(&without[16..]).all(|x| *x != 0.0));
    }

    #[test]
    fn one_modality_is_read_by_itself() {
        let params = Params::new(1, &Device::Cpu);
        let names = ["a".to_owned()];
        let context = FusionContext::made(&names, &WIDTHS[..1], 2, &params);
        let model = Mult::new(&small(), &context).unwrap();
        let mut encodings = samples(&TAKEN, PLACES);
        encodings.tokens.as_mut().unwrap().truncate(1);
        let own = &model.project(&encodings).unwrap()[0];
        let read = model.targets[0].joint.forward(own, None, Mode::Eval).unwrap();
        let joined = rows(&model.join(&encodings, Mode::Eval).unwrap());
        let token = |i: usize, place: usize| rows(&read.get(i).unwrap())[place].clone();
        // The third and fourth sample have no token.
        assert_eq!(joined, [token(0, 2), token(1, 1), vec![0.0; 4], vec![0.0; 4]]);
    }

    #[test]
    fn options_that_do_not_fit_are_refused() {
        let refused = |config: Config| {
            let error = mult(&Params::new(1, &Device::Cpu), &config).err().unwrap().to_string();
            assert!(error.contains("must be a multiple of `heads`"), "{error}");
        };
        refused(Config { heads: 3, ..small() });
        refused(Config { width: 2, ..small() });
        refused(Config { layers: 0, ..small() });
    }
}
