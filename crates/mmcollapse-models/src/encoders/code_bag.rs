//! The mean of code embeddings: order does not count, and it takes a hundredth of the transformer's time.
//!
//! Tokens are the embeddings of the codes, mapped as their mean is; a set without a code has one token of zeros, mapped.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Scope, Tensor,
    layers::{Dropout, Embedding, Linear},
    ops::matmul,
};
use serde::{Deserialize, Serialize};

use super::{
    Builder, Encoded, Encoder, Inputs,
    ids::{Codes, codes},
};
use crate::{
    encodings::Sequence,
    error::Result,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "code_bag",
    summary: "the mean of the codes' embeddings, then one layer with ReLU",
    reference: "ours: the plainest encoder of a set of codes; embeddings are learnt, none are downloaded",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        reads: Inputs::Codes,
        make: |options, input, scope| {
            let config: Config = parse_for("encoder", "code_bag", options)?;
            Ok(Box::new(CodeBag::new(&config, input.vocabulary(), scope)?))
        },
    },
};

/// Options of [`CodeBag`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of an embedding and of the encoding.
    width: usize,
    /// Dropout of the encoding.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 128,
            dropout: 0.25,
        }
    }
}

struct CodeBag {
    embedding: Embedding,
    mapper: Linear,
    dropout: Dropout,
    token_dropout: Dropout,
    vocabulary: usize,
    width: usize,
}

impl CodeBag {
    fn new(config: &Config, vocabulary: usize, scope: &Scope) -> Result<Self> {
        Ok(Self {
            // Entry 0 stands for no code and is multiplied by 0.
            embedding: Embedding::new(&scope.pp("embedding"), vocabulary + 1, config.width)?,
            mapper: Linear::new(&scope.pp("mapper"), config.width, config.width)?,
            dropout: Dropout::new(scope, config.dropout)?,
            token_dropout: Dropout::new(&scope.pp("tokens"), config.dropout)?,
            vocabulary,
            width: config.width,
        })
    }

    /// The embeddings `[rows, length, width]` of the codes in `x`.
    fn embed(&self, codes: &Codes, rows: usize) -> TensorResult<Tensor> {
        let embedded = self.embedding.forward(&codes.ids)?;
        embedded.reshape((rows, codes.length, self.width))
    }

    /// `[rows, width]` of the embeddings of these codes.
    fn vector(&self, codes: &Codes, embedded: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        let weights: Vec<f32> = codes
            .ids
            .chunks(codes.length)
            .flat_map(|ids| {
                let n = ids.iter().filter(|id| **id > 0).count().max(1) as f32;
                ids.iter().map(move |id| if *id > 0 { 1.0 / n } else { 0.0 })
            })
            .collect();
        let weights = Tensor::from_vec(weights, (embedded.dim(0)?, 1, codes.length), embedded.device())?;
        let mean = matmul(&weights, embedded)?.squeeze(1)?; // [rows, width]
        self.dropout.forward(&self.mapper.forward_relu(&mean)?, mode)
    }
}

impl Encoder for CodeBag {
    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        let codes = codes(x, self.vocabulary)?;
        self.vector(&codes, &self.embed(&codes, x.dim(0)?)?, mode)
    }

    fn encode(&self, x: &Tensor, mode: Mode) -> TensorResult<Encoded> {
        let codes = codes(x, self.vocabulary)?;
        let embedded = self.embed(&codes, x.dim(0)?)?;
        let there = codes.there();
        let mut mask = there.clone();
        for row in mask.chunks_mut(codes.length) {
            row[0] |= !row.contains(&true); // a row without a code
        }
        let there: Vec<f32> = there.into_iter().map(|there| f32::from(u8::from(there))).collect();
        let there = Tensor::from_vec(there, (x.dim(0)?, codes.length, 1), x.device())?;
        let tokens = self.mapper.forward_relu(&embedded.broadcast_mul(&there)?)?;
        Ok(Encoded {
            vector: self.vector(&codes, &embedded, mode)?,
            tokens: Some(Sequence {
                values: self.token_dropout.forward(&tokens, mode)?,
                mask,
            }),
        })
    }
}
