//! The mean of code embeddings: order does not count, and it takes a hundredth of the transformer's time.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Scope, Tensor,
    layers::{Dropout, Embedding, Linear},
    ops::matmul,
};
use serde::{Deserialize, Serialize};

use super::{Builder, Encoder, Inputs, ids::codes};
use crate::{
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
            vocabulary,
            width: config.width,
        })
    }
}

impl Encoder for CodeBag {
    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        let rows = x.dim(0)?;
        let codes = codes(x, self.vocabulary)?;
        let weights: Vec<f32> = codes
            .ids
            .chunks(codes.length)
            .flat_map(|ids| {
                let n = ids.iter().filter(|id| **id > 0).count().max(1) as f32;
                ids.iter().map(move |id| if *id > 0 { 1.0 / n } else { 0.0 })
            })
            .collect();
        let weights = Tensor::from_vec(weights, (rows, 1, codes.length), x.device())?;
        let embedded = self
            .embedding
            .forward(&codes.ids)?
            .reshape((rows, codes.length, self.width))?;
        let mean = matmul(&weights, &embedded)?.squeeze(1)?; // [rows, width]
        self.dropout.forward(&self.mapper.forward_relu(&mean)?, mode)
    }
}
