//! MT (Ma et al., Are Multimodal Transformers Robust to Missing Modality?, CVPR 2022): a transformer over the modalities'
//! tokens that learns to do with each modality alone.
//!
//! A sample is a class token and the tokens of each modality: projected, plus the embedding of the modality. Where neither
//! the encoder's layers nor the input carry the places of the tokens (see `Encoder::places`), the embedding of its place is
//! added, learnt as ViLT's; a recurrence and a transformer carry them, and in a set of codes they mean nothing. What is
//! missing is not attended to. Training has one task for all modalities and one for each alone, whose attention is masked
//! to that modality's tokens; every task has a head on the class token:
//!
//! ```text
//! L = CE(full head, what is there) + weight * mean over samples and their modalities m of CE(head m, m alone)
//! ```
//!
//! A sample of which a single modality is there is the task of that modality, at test too, and is read by its head. In
//! the original tokens of different modalities meet from a layer on that a search finds for each data set; here that
//! layer is the option `meet`, which a tuning may draw. Its tokens are patches and words, here those of the encoders, which
//! every fusion shares. An imputed modality is one token, in the first place.

use mmcollapse_nn::{
    Init, Mode, Result as TensorResult, Tensor,
    layers::{Dropout, Linear},
};
use serde::{Deserialize, Serialize};

use super::{
    Builder, Fusion, FusionContext, FusionOutput, Views,
    tokens::{Tokens, once_more},
};
use crate::{
    encodings::{Encodings, Sequence},
    error::{ModelError, Result},
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::choose,
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "mt",
    summary: "a transformer over the modalities' tokens, trained on all of them and on each alone, with a head for each",
    reference: "Ma et al., Are Multimodal Transformers Robust to Missing Modality?, CVPR 2022",
    revision: 2, // the second reads the tokens of the encoders, the first one a modality
    resolve: resolve_as::<Config>,
    tuned: &[
        ("width", Sampler::Whole(&[32, 64, 128])),
        ("meet", Sampler::Whole(&[0, 1])), // the layer of fusion, which the paper searches for each data set
        ("single_weight", Sampler::LogUniform(0.1, 10.0)),
        ("block_dropout", Sampler::Uniform(0.0, 0.6)),
        ("dropout", Sampler::Uniform(0.0, 0.8)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "mt", options)?;
        Ok(Box::new(Mt::new(&config, context)?))
    }),
};

/// Options of [`Mt`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of a token (ours: the original's network is ViLT, of width 768).
    width: usize,
    /// Blocks (ours: that of the encoder of codes; ViLT: 12).
    blocks: usize,
    /// Heads a block.
    heads: usize,
    /// The first block in which tokens attend to other modalities, from 0; before it they attend to their own. The original
    /// searches it for each data set; 0 is ViLT's.
    meet: usize,
    /// Weight of the tasks of one modality, all of them together, beside the task of all.
    single_weight: f64,
    /// Dropout within the blocks, as in the encoder of codes.
    block_dropout: f64,
    /// Dropout before the heads, as in SMIL's fused network.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 64,
            blocks: 2,
            heads: 2,
            meet: 0,
            single_weight: 1.0,
            block_dropout: 0.25,
            dropout: 0.6,
        }
    }
}

struct Mt {
    config: Config,
    tokens: Tokens,
    /// Per modality what tells its places apart, `[places, width]`, where it has to.
    positions: Vec<Option<Tensor>>,
    /// The class token, `[1, width]`.
    class: Tensor,
    dropout: Dropout,
    full: Linear,
    /// Per modality the head of its own task.
    single: Vec<Linear>,
}

impl Mt {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        if config.meet >= config.blocks {
            return Err(ModelError::Options {
                axis: "fusion",
                method: "mt".to_owned(),
                reason: format!(
                    "`meet` must be less than `blocks` ({}), or no modality sees another; got {}",
                    config.blocks, config.meet
                ),
            });
        }
        let (scope, width) = (&context.scope, config.width);
        let head = |name: &String| Linear::new(&scope.pp("single").pp(name), width, context.classes);
        let positions = context.modalities.iter().zip(context.places).map(|(name, &places)| {
            let init = Init::Normal { std: 0.02 };
            let embeddings = || scope.pp("position").var(name, (places, width), init);
            (places > 0).then(embeddings).transpose()
        });
        Ok(Self {
            config: config.clone(),
            tokens: Tokens::new(context, width, config.blocks, config.heads, config.block_dropout)?,
            positions: positions.collect::<TensorResult<_>>()?,
            class: scope.var("class", (1, width), Init::Normal { std: 0.02 })?,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
            full: Linear::new(&scope.pp("full"), width, context.classes)?,
            single: context.modalities.iter().map(head).collect::<TensorResult<_>>()?,
        })
    }

    /// Per modality its tokens `[batch, n, width]` as the blocks read them.
    fn embed(&self, encodings: &Encodings) -> TensorResult<Vec<Sequence>> {
        let sequences = encodings.tokens()?.iter().enumerate();
        sequences
            .map(|(m, sequence)| {
                let mut tokens = self.tokens.of_modality(m, &sequence.values)?;
                if let Some(positions) = &self.positions[m] {
                    let positions = positions.narrow(0, 0, tokens.dim(1)?)?;
                    tokens = tokens.broadcast_add(&positions.unsqueeze(0)?)?;
                }
                Ok(Sequence {
                    values: tokens,
                    mask: sequence.mask.clone(),
                })
            })
            .collect()
    }

    /// The class token `[rows, width]` after it has read `parts`, each of tokens `[rows, n, width]`.
    fn read(&self, mut parts: Vec<Sequence>, mode: Mode) -> TensorResult<Tensor> {
        let (rows, _, width) = parts[0].values.dims3()?;
        let class = self.class.broadcast_as((rows, width))?.contiguous()?;
        parts.insert(0, Sequence::single(&class)?);
        let read = self.tokens.transform_parts(parts, self.config.meet, mode)?;
        read.narrow(1, 0, 1)?.squeeze(1)?.contiguous()
    }

    /// Logits `[batch, classes]`, each of the head whose task the sample is.
    fn predict(&self, fused: &Tensor, encodings: &Encodings, mode: Mode) -> TensorResult<Tensor> {
        let fused = &self.dropout.forward(fused, mode)?;
        let (n, present) = (encodings.present.len(), &encodings.present);
        let alone: Vec<Option<usize>> = (0..n)
            .map(|i| {
                let mut there = (0..self.single.len()).filter(|&m| present.get(i, m));
                there.next().filter(|_| there.next().is_none())
            })
            .collect();
        let mut logits = self.full.forward(fused)?;
        for (m, head) in self.single.iter().enumerate() {
            if !alone.contains(&Some(m)) {
                continue;
            }
            let weights: Vec<f32> = alone.iter().map(|a| f32::from(u8::from(*a == Some(m)))).collect();
            let weights = Tensor::from_vec(weights, (n, 1), fused.device())?;
            logits = choose(&weights, &head.forward(fused)?, &logits)?;
        }
        Ok(logits)
    }

    /// Each sample once for each modality that it has, seen through that modality alone. Attention masked to a modality's
    /// tokens beside the class token is attention over a sequence of these.
    fn each_alone(&self, parts: &[Sequence], encodings: &Encodings, mode: Mode) -> TensorResult<Option<Views>> {
        let (mut all_rows, mut logits) = (Vec::new(), Vec::new());
        for (m, (part, head)) in parts.iter().zip(&self.single).enumerate() {
            let rows = encodings.present.rows(m);
            if rows.is_empty() {
                continue;
            }
            let mode = once_more(mode, &format!("mt/single/{m}"));
            let read = self.read(vec![part.select(&rows)?], mode)?; // [rows, width]
            logits.push(head.forward(&self.dropout.forward(&read, mode)?)?);
            all_rows.extend(rows);
        }
        if logits.is_empty() {
            return Ok(None);
        }
        Ok(Some(Views {
            rows: all_rows,
            logits: Tensor::cat(&logits, 0)?,
            weight: self.config.single_weight,
        }))
    }
}

impl Fusion for Mt {
    fn reads_tokens(&self) -> bool {
        true
    }

    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let parts = self.embed(encodings)?;
        let fused = self.read(parts.clone(), mode)?; // [b, width]
        let logits = self.predict(&fused, encodings, mode)?; // [b, classes]
        let mut output = FusionOutput::new(fused, logits);
        if mode.is_train() {
            output.views = self.each_alone(&parts, encodings, mode)?;
        }
        Ok(output)
    }

    fn labelled_losses(&self, output: &FusionOutput, labels: &[u32]) -> TensorResult<Vec<(&'static str, Tensor)>> {
        let views = output.views.iter();
        views.map(|views| Ok(("single", views.loss(labels)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::Presence;
    use mmcollapse_nn::{DType, Device, Params, ops::softmax_cross_entropy};

    use super::*;

    fn mt(params: &Params, config: Config) -> Result<Mt> {
        let names = ["a", "b", "c"].map(str::to_owned);
        let context = FusionContext {
            modalities: &names,
            inputs: &[],
            widths: &[2, 2, 2],
            places: &[0, 0, 2],
            classes: 4,
            scope: params.root(),
        };
        Mt::new(&config, &context)
    }

    fn small(meet: usize) -> Config {
        Config {
            width: 8,
            meet,
            block_dropout: 0.0,
            dropout: 0.0,
            single_weight: 0.5,
            ..Config::default()
        }
    }

    /// Three samples: the first has a and c, the second b alone, the third everything. They have one or two tokens of each,
    /// and 9s where there is none.
    fn three() -> Encodings {
        let sequence = |values: &[[f32; 2]; 6], mask: [u8; 6]| Sequence {
            values: Tensor::from_vec(values.concat(), (3, 2, 2), &Device::Cpu).unwrap(),
            mask: mask.map(|there| there == 1).to_vec(),
        };
        let none = [9.0; 2];
        let tokens = vec![
            sequence(
                &[[0.3, -1.2], [0.8, 0.1], none, none, [1.0, 0.5], none],
                [1, 1, 0, 0, 1, 0],
            ),
            sequence(
                &[none, none, none, [0.9, -0.2], [-1.1, 0.6], [0.2, 0.7]],
                [0, 0, 0, 1, 1, 1],
            ),
            sequence(
                &[[0.4, 1.3], [-0.6, 0.5], none, none, [0.2, 0.1], [1.4, -0.3]],
                [1, 1, 0, 0, 1, 1],
            ),
        ];
        Encodings {
            z: vec![Tensor::zeros((3, 2), DType::F32, &Device::Cpu).unwrap(); 3],
            tokens: Some(tokens),
            inputs: None,
            latents: vec![None, None, None],
            present: Presence::from_fn(3, 3, |i, m| i == 2 || (i == 1) == (m == 1)),
        }
    }

    /// The class token of sample `i` after reading the tokens of the modalities `seen`, step by step and without any mask.
    fn by_hand(model: &Mt, i: usize, seen: &[usize]) -> Tensor {
        let (projections, types, blocks, norm) = model.tokens.parts();
        let encodings = three();
        // The class token and the modalities, each with its tokens.
        let mut parts = vec![vec![model.class.clone()]];
        for &m in seen {
            let sequence = &encodings.tokens().unwrap()[m];
            let there = (0..2).filter(|place| sequence.mask[2 * i + place]);
            let embedded = there.map(|place| {
                let token = sequence.values.get(i).unwrap().narrow(0, place, 1).unwrap();
                let kind = types.narrow(0, m, 1).unwrap();
                let token = (projections[m].forward(&token).unwrap() + kind).unwrap();
                match &model.positions[m] {
                    Some(positions) => (token + positions.narrow(0, place, 1).unwrap()).unwrap(),
                    None => token,
                }
            });
            parts.push(embedded.collect());
        }
        for (layer, block) in blocks.iter().enumerate() {
            if layer == model.config.meet {
                parts = vec![parts.concat()];
            }
            for part in &mut parts {
                let x = Tensor::stack(part, 1).unwrap(); // [1, tokens, width]
                let y = block.forward(&x, None, Mode::Eval).unwrap();
                let tokens = (0..part.len()).map(|t| y.narrow(1, t, 1).unwrap().squeeze(1).unwrap());
                *part = tokens.collect();
            }
        }
        norm.forward(&parts[0][0]).unwrap()
    }

    fn near(a: &Tensor, b: &Tensor) -> bool {
        let gap = (a - b).unwrap().abs().unwrap().max_all().unwrap();
        gap.to_scalar::<f32>().unwrap() < 1e-5
    }

    #[test]
    fn each_sample_is_read_through_what_it_has_by_the_head_of_its_task() {
        for meet in [0, 1] {
            let model = mt(&Params::new(1, &Device::Cpu), small(meet)).unwrap();
            let output = model.forward(&three(), Mode::Eval).unwrap();
            for (i, seen, head) in [
                (0, &[0, 2][..], &model.full),
                (1, &[1], &model.single[1]),
                (2, &[0, 1, 2], &model.full),
            ] {
                let fused = by_hand(&model, i, seen);
                assert!(near(&output.fused.narrow(0, i, 1).unwrap(), &fused), "{meet} {i}");
                let logits = head.forward(&fused).unwrap();
                assert!(near(&output.logits.narrow(0, i, 1).unwrap(), &logits), "{meet} {i}");
            }
        }
        let together = mt(&Params::new(1, &Device::Cpu), small(0)).unwrap();
        let later = mt(&Params::new(1, &Device::Cpu), small(1)).unwrap();
        assert!(!near(
            &by_hand(&together, 2, &[0, 1, 2]),
            &by_hand(&later, 2, &[0, 1, 2])
        ));
    }

    #[test]
    fn the_tasks_of_one_modality_are_its_head_on_its_tokens_alone() {
        let model = mt(&Params::new(1, &Device::Cpu), small(0)).unwrap();
        let output = model.forward(&three(), Mode::Train { seed: 1, step: 0 }).unwrap();
        let labels = [3, 0, 1];
        let tasks = [(0, 0), (2, 0), (1, 1), (2, 1), (0, 2), (2, 2)]; // (sample, modality)
        let losses = tasks.map(|(i, m)| {
            let logits = model.single[m].forward(&by_hand(&model, i, &[m])).unwrap();
            softmax_cross_entropy(&logits, &[labels[i]])
                .unwrap()
                .to_scalar::<f32>()
                .unwrap()
        });
        let expected = 0.5 * losses.iter().sum::<f32>() / 6.0;
        let [("single", loss)] = &model.labelled_losses(&output, &labels).unwrap()[..] else {
            panic!("one loss of its own")
        };
        assert!((loss.to_scalar::<f32>().unwrap() - expected).abs() < 1e-5);
    }

    #[test]
    fn a_prediction_does_not_depend_on_its_batch() {
        let model = mt(&Params::new(1, &Device::Cpu), small(0)).unwrap();
        let whole = model.forward(&three(), Mode::Eval).unwrap().logits;
        for i in 0..3 {
            let encodings = three();
            let sequences = encodings.tokens().unwrap().iter().map(|sequence| Sequence {
                values: sequence.values.narrow(0, i, 1).unwrap(),
                mask: sequence.mask[2 * i..][..2].to_vec(),
            });
            let alone = Encodings {
                z: encodings.z.iter().map(|z| z.narrow(0, i, 1).unwrap()).collect(),
                tokens: Some(sequences.collect()),
                inputs: None,
                latents: vec![None, None, None],
                present: Presence::from_fn(1, 3, |_, m| encodings.present.get(i, m)),
            };
            let logits = model.forward(&alone, Mode::Eval).unwrap().logits;
            assert!(near(&logits, &whole.narrow(0, i, 1).unwrap()), "{i}");
        }
    }

    #[test]
    fn tokens_that_never_meet_are_refused() {
        let error = mt(&Params::new(1, &Device::Cpu), small(2)).err().unwrap().to_string();
        assert!(error.contains("`meet` must be less than `blocks` (2)"), "{error}");
    }
}
