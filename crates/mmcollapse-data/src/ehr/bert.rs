//! BERT's encoder (Devlin, Chang, Lee, Toutanova 2019), forward only: a frozen network has no gradient.
//!
//! Sizes and names of weights are those of `transformers`' `BertModel`. candle-transformers has it too, among a hundred other
//! models that every build would compile.

use std::collections::BTreeMap;

use mmcollapse_nn::candle::bail;
use mmcollapse_nn::layers::{layer_norm, softmax};
use mmcollapse_nn::{DType, Result, Tensor, ops};
use serde::Deserialize;

/// The sizes of a BERT, as its `config.json` says them. What only training needs is not read.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct BertConfig {
    /// Word pieces.
    pub vocab_size: usize,
    /// Width of a state.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads of each.
    pub num_attention_heads: usize,
    /// Width of the hidden layer in each.
    pub intermediate_size: usize,
    /// Tokens at most.
    pub max_position_embeddings: usize,
    /// What the hidden layers apply.
    pub hidden_act: Activation,
    /// How a token's place enters.
    #[serde(default)]
    pub position_embedding_type: Positions,
    /// Added to the variance in every normalisation; files of before 2020 leave it out.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f64,
}

/// What the hidden layers apply.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The exact one.
    Gelu,
}

/// How a token's place enters.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// Each place has a vector of its own.
    #[default]
    Absolute,
}

/// The default of `transformers`.
fn epsilon() -> f64 {
    1e-12
}

/// A frozen BERT.
#[derive(Clone, Debug)]
pub struct Bert {
    /// `[vocabulary, width]`
    words: Tensor,
    /// `[places, width]`
    places: Tensor,
    /// Of the first and, here, only segment: `[1, width]`
    segment: Tensor,
    norm: Norm,
    blocks: Vec<Block>,
    heads: usize,
}

#[derive(Clone, Debug)]
struct Block {
    query: Dense,
    key: Dense,
    value: Dense,
    attended: Dense,
    attended_norm: Norm,
    hidden: Dense,
    output: Dense,
    output_norm: Norm,
}

#[derive(Clone, Debug)]
struct Dense {
    weight: Tensor,
    bias: Tensor,
}

impl Dense {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, Some(&self.bias), false)
    }
}

#[derive(Clone, Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl Norm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.epsilon)
    }
}

impl Bert {
    /// The network of `config` with `weights`, of which those of heads for other tasks are left aside.
    ///
    /// # Errors
    /// When a weight is missing or of another shape than `config` says, or the heads do not divide the width.
    pub fn new(config: &BertConfig, weights: BTreeMap<String, Tensor>) -> Result<Self> {
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        if heads == 0 || !width.is_multiple_of(heads) {
            bail!("width {width} is not a multiple of {heads} heads");
        }
        let weights = Weights::new(config, weights);
        let segments = weights.get("embeddings.token_type_embeddings.weight", None)?;
        Ok(Self {
            words: weights.get("embeddings.word_embeddings.weight", Some(&[config.vocab_size, width]))?,
            places: weights.get(
                "embeddings.position_embeddings.weight",
                Some(&[config.max_position_embeddings, width]),
            )?,
            segment: segments.narrow(0, 0, 1)?,
            norm: weights.norm("embeddings")?,
            blocks: (0..config.num_hidden_layers)
                .map(|i| Block::new(config, &weights, &format!("encoder.layer.{i}")))
                .collect::<Result<_>>()?,
            heads,
        })
    }

    /// The last hidden states `[tokens, width]` of one text. Nothing is padded, so no token has to be masked.
    ///
    /// # Errors
    /// When there is no token, one is not of the vocabulary, or there are more than
    /// [`BertConfig::max_position_embeddings`].
    pub fn forward(&self, tokens: &[u32]) -> Result<Tensor> {
        let index = Tensor::new(tokens, self.words.device())?;
        let places = self.places.narrow(0, 0, tokens.len())?;
        let x = (self.words.index_select(&index, 0)? + places)?.broadcast_add(&self.segment)?;
        let start = self.norm.forward(&x)?;
        self.blocks
            .iter()
            .try_fold(start, |x, block| block.forward(&x, self.heads))
    }
}

impl Block {
    fn new(config: &BertConfig, weights: &Weights, name: &str) -> Result<Self> {
        let (width, hidden) = (config.hidden_size, config.intermediate_size);
        let own = |part: &str, out, inputs| weights.dense(&format!("{name}.{part}"), out, inputs);
        Ok(Self {
            query: own("attention.self.query", width, width)?,
            key: own("attention.self.key", width, width)?,
            value: own("attention.self.value", width, width)?,
            attended: own("attention.output.dense", width, width)?,
            attended_norm: weights.norm(&format!("{name}.attention.output"))?,
            hidden: own("intermediate.dense", hidden, width)?,
            output: own("output.dense", width, hidden)?,
            output_norm: weights.norm(&format!("{name}.output"))?,
        })
    }

    /// `x [tokens, width]` to the same shape, normalised after each of the two branches.
    fn forward(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let attended = self.attended.forward(&self.attend(x, heads)?)?;
        let x = self.attended_norm.forward(&(x + attended)?)?;
        let output = self.output.forward(&ops::gelu(&self.hidden.forward(&x)?)?)?;
        self.output_norm.forward(&(x + output)?)
    }

    fn attend(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let (tokens, width) = x.dims2()?;
        let split = |dense: &Dense| {
            let projected = dense.forward(x)?.reshape((tokens, heads, width / heads))?;
            projected.transpose(0, 1)?.contiguous() // [heads, tokens, width / heads]
        };
        let (query, key, value) = (split(&self.query)?, split(&self.key)?, split(&self.value)?);
        let scale = ((width / heads) as f64).sqrt();
        let scores = (ops::matmul(&query, &key.transpose(1, 2)?)? / scale)?; // [heads, tokens, tokens]
        let mixed = ops::matmul(&softmax(&scores)?, &value)?;
        mixed.transpose(0, 1)?.reshape((tokens, width))
    }
}

/// Weights by the names of `BertModel`.
struct Weights {
    tensors: BTreeMap<String, Tensor>,
    width: usize,
    epsilon: f64,
}

impl Weights {
    /// Models saved with a head have `bert.` in front of every name, and the oldest call a norm's weights as TensorFlow does.
    fn new(config: &BertConfig, tensors: BTreeMap<String, Tensor>) -> Self {
        let named = |(name, tensor): (String, Tensor)| {
            let name = name.strip_prefix("bert.").unwrap_or(&name);
            let name = name.replace("LayerNorm.gamma", "LayerNorm.weight");
            (name.replace("LayerNorm.beta", "LayerNorm.bias"), tensor)
        };
        Self {
            tensors: tensors.into_iter().map(named).collect(),
            width: config.hidden_size,
            epsilon: config.layer_norm_eps,
        }
    }

    fn get(&self, name: &str, shape: Option<&[usize]>) -> Result<Tensor> {
        let Some(tensor) = self.tensors.get(name) else {
            bail!("there is no weight `{name}`");
        };
        if let Some(expected) = shape.filter(|shape| *shape != tensor.dims()) {
            let got = tensor.dims();
            bail!("weight `{name}` has shape {got:?}, but config.json says {expected:?}");
        }
        tensor.to_dtype(DType::F32)
    }

    fn dense(&self, name: &str, out: usize, inputs: usize) -> Result<Dense> {
        Ok(Dense {
            weight: self.get(&format!("{name}.weight"), Some(&[out, inputs]))?,
            bias: self.get(&format!("{name}.bias"), Some(&[out]))?,
        })
    }

    fn norm(&self, name: &str) -> Result<Norm> {
        Ok(Norm {
            weight: self.get(&format!("{name}.LayerNorm.weight"), Some(&[self.width]))?,
            bias: self.get(&format!("{name}.LayerNorm.bias"), Some(&[self.width]))?,
            epsilon: self.epsilon,
        })
    }
}
