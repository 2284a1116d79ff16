//! MUSE's encoder of codes: a small transformer whose first token stands for the sequence.
//!
//! Tokens are the first one, which the vector is made of, and one a code, all mapped alike. Their places are in the values,
//! as the transformer's positions are learnt.

use mmcollapse_nn::{
    Init, Mode, Result as TensorResult, Scope, Tensor,
    layers::{AttentionBlock, Dropout, Embedding, Linear},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Encoded, Encoder, Inputs, ids::codes};
use crate::{
    encodings::Sequence,
    error::Result,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "code_transformer",
    summary: "a transformer over the codes' embeddings, of which the first token is taken",
    reference: "Wu et al., MUSE, ICLR 2024 (code): two pre-norm blocks of two heads; its embeddings are pretrained, ours \
                are learnt, and the six modalities of the paper keep one sequence each",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        reads: Inputs::Codes,
        make: |options, input, scope| {
            let config: Config = parse_for("encoder", "code_transformer", options)?;
            Ok(Box::new(CodeTransformer::new(
                &config,
                input.vocabulary(),
                input.width(),
                scope,
            )?))
        },
    },
};

/// Options of [`CodeTransformer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of an embedding and of the encoding.
    width: usize,
    /// Blocks.
    blocks: usize,
    /// Heads a block.
    heads: usize,
    /// Dropout within the blocks and of the encoding.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 128,
            blocks: 2,
            heads: 2,
            dropout: 0.25,
        }
    }
}

struct CodeTransformer {
    embedding: Embedding,
    positions: Embedding,
    /// The first token, `[1, width]`.
    first: Tensor,
    blocks: Vec<AttentionBlock>,
    mapper: Linear,
    dropout: Dropout,
    token_dropout: Dropout,
    vocabulary: usize,
    width: usize,
}

impl CodeTransformer {
    fn new(config: &Config, vocabulary: usize, length: usize, scope: &Scope) -> Result<Self> {
        let width = config.width;
        let block = |i: usize| AttentionBlock::new(&scope.pp("block").pp(i), width, config.heads, 4, config.dropout);
        Ok(Self {
            embedding: Embedding::new(&scope.pp("embedding"), vocabulary + 1, width)?,
            positions: Embedding::with_init(&scope.pp("position"), length, width, Init::Normal { std: 0.02 })?,
            first: scope.var("first", (1, width), Init::Normal { std: 0.02 })?,
            blocks: (0..config.blocks).map(block).collect::<TensorResult<_>>()?,
            mapper: Linear::new(&scope.pp("mapper"), width, width)?,
            dropout: Dropout::new(scope, config.dropout)?,
            token_dropout: Dropout::new(&scope.pp("tokens"), config.dropout)?,
            vocabulary,
            width,
        })
    }

    /// All tokens after the blocks, `[rows, 1 + length, width]`, the first among them, and where there are any.
    fn read(&self, x: &Tensor, mode: Mode) -> TensorResult<Sequence> {
        let (rows, width) = (x.dim(0)?, self.width);
        let codes = codes(x, self.vocabulary)?;
        let positions: Vec<u32> = (0..codes.length as u32).collect();
        let embedded = self
            .embedding
            .forward(&codes.ids)?
            .reshape((rows, codes.length, width))?;
        let embedded = embedded.broadcast_add(&self.positions.forward(&positions)?.unsqueeze(0)?)?;
        let first = self.first.unsqueeze(0)?.broadcast_as((rows, 1, width))?;
        let there = codes.there();
        let rows_of = there.chunks(codes.length);
        let mut sequence = Sequence {
            values: Tensor::cat(&[first.contiguous()?, embedded], 1)?,
            mask: rows_of.flat_map(|row| [&[true], row].concat()).collect(),
        };
        let present = sequence.present()?;
        for block in &self.blocks {
            sequence.values = block.forward(&sequence.values, Some(&present), mode)?;
        }
        Ok(sequence)
    }

    /// `[rows, width]` of the first token.
    fn vector(&self, read: &Sequence, mode: Mode) -> TensorResult<Tensor> {
        let first = read.values.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?; // [rows, width]
        self.dropout.forward(&self.mapper.forward_relu(&first)?, mode)
    }
}

impl Encoder for CodeTransformer {
    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        self.vector(&self.read(x, mode)?, mode)
    }

    fn encode(&self, x: &Tensor, mode: Mode) -> TensorResult<Encoded> {
        let read = self.read(x, mode)?;
        let tokens = self.mapper.forward_relu(&read.values)?;
        Ok(Encoded {
            vector: self.vector(&read, mode)?,
            tokens: Some(Sequence {
                values: self.token_dropout.forward(&tokens, mode)?,
                mask: read.mask,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::{Kind, ModalitySpec};
    use mmcollapse_nn::{Device, Params};

    use super::*;
    use crate::{
        encoders::{build, default_for},
        registry::Options,
    };

    fn codes_of(rows: &[&[f32]]) -> Tensor {
        let values: Vec<f32> = rows
            .iter()
            .flat_map(|row| row.iter().copied().chain(std::iter::repeat(0.0)).take(6))
            .collect();
        Tensor::from_vec(values, (rows.len(), 6), &Device::Cpu).unwrap()
    }

    /// What stands beside a sequence in a batch, and the zeros behind it, do not matter; its codes do.
    #[test]
    fn a_sequence_is_encoded_by_itself() {
        let modality = ModalitySpec::new("codes", &[6]).of(Kind::Codes { vocabulary: 9 });
        assert_eq!(default_for("set", &modality).unwrap(), "code_bag");
        for name in ["code_bag", "code_transformer"] {
            let params = Params::new(1, &Device::Cpu);
            let encoder = build(name, &Options::new(), &modality, &params.root()).unwrap();
            let encode = |rows: &[&[f32]]| -> Vec<Vec<f32>> {
                encoder.forward(&codes_of(rows), Mode::Eval).unwrap().to_vec2().unwrap()
            };
            let alone = &encode(&[&[3., 1.]])[0];
            let beside = encode(&[&[3., 1.], &[1., 2., 3., 4., 5., 9.], &[]]);
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(near(alone, &beside[0]), "{name}");
            assert!(
                !near(alone, &beside[1]) && beside[2].iter().all(|x| x.is_finite()),
                "{name}"
            );
            // The order matters to one of them.
            assert_eq!(near(alone, &encode(&[&[1., 3.]])[0]), name == "code_bag");
            for wrong in [10.0, 1.5, -1.0, f32::NAN] {
                let error = encoder
                    .forward(&codes_of(&[&[wrong]]), Mode::Eval)
                    .unwrap_err()
                    .to_string();
                assert!(error.contains("from 0 (none) to 9"), "{error}");
            }
        }
    }

    #[test]
    fn every_parameter_has_a_gradient() {
        let modality = ModalitySpec::new("codes", &[6]).of(Kind::Codes { vocabulary: 9 });
        for name in ["code_bag", "code_transformer"] {
            let params = Params::new(1, &Device::Cpu);
            let encoder = build(name, &Options::new(), &modality, &params.root()).unwrap();
            let x = codes_of(&[&[1., 2., 3., 4., 5., 6.], &[7., 8., 9.]]);
            let loss = encoder
                .forward(&x, Mode::Eval)
                .unwrap()
                .sqr()
                .unwrap()
                .sum_all()
                .unwrap();
            let gradients = loss.backward().unwrap();
            for (path, var) in params.vars() {
                let gradient = gradients.get(var.as_tensor()).expect(&path);
                let size: f32 = gradient.abs().unwrap().sum_all().unwrap().to_scalar().unwrap();
                assert!(size > 0.0, "{name}: {path}");
            }
        }
    }
}
