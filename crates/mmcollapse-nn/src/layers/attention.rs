//! The transformer block (Vaswani et al. 2017) with normalisation first (Xiong et al. 2020).
//!
//! Names, shapes and start are those of PyTorch's `nn.TransformerEncoderLayer(norm_first=True,
//! activation="gelu")`, so that its checkpoints fit.

use candle_core::bail;

use super::{Dropout, LayerNorm, Linear};
use crate::{D, Init, Mode, Result, Scope, Tensor, ops};

/// Makes a score vanish in the softmax. Finite, so that a sample without any token gets finite numbers
/// instead of NaN.
const EXCLUDED: f64 = -1e30;

/// `x + attention(norm(x))`, then `x + feed_forward(norm(x))`.
#[derive(Clone, Debug)]
pub struct AttentionBlock {
    norm1: LayerNorm,
    in_proj_weight: Tensor,
    in_proj_bias: Tensor,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor,
    norm2: LayerNorm,
    linear1: Linear,
    linear2: Linear,
    attention_dropout: Dropout,
    dropout: Dropout,
    dropout1: Dropout,
    dropout2: Dropout,
    width: usize,
    heads: usize,
}

impl AttentionBlock {
    /// A block of `heads` heads on tokens of `width`, with a hidden layer of `ffn_factor * width`, and dropout
    /// with probability `dropout` at PyTorch's four places (attention weights, hidden layer, both branches).
    ///
    /// # Errors
    /// If `heads` does not divide `width`, a size is 0, `dropout` does not lie in 0..1, or names are taken.
    pub fn new(scope: &Scope, width: usize, heads: usize, ffn_factor: usize, dropout: f64) -> Result<Self> {
        if heads == 0 || width == 0 || ffn_factor == 0 || !width.is_multiple_of(heads) {
            bail!(
                "attention `{}`: width {width} is not a multiple of {heads} heads (and none of them, \
                 nor the feed-forward factor {ffn_factor}, may be 0)",
                scope.path()
            );
        }
        let attention = scope.pp("self_attn");
        let out_proj = attention.pp("out_proj");
        let glorot = Init::Glorot {
            fan_in: width,
            fan_out: 3 * width,
        };
        Ok(Self {
            norm1: LayerNorm::new(&scope.pp("norm1"), width)?,
            in_proj_weight: attention.var("in_proj_weight", (3 * width, width), glorot)?,
            in_proj_bias: attention.var("in_proj_bias", 3 * width, Init::Zeros)?,
            out_proj_weight: out_proj.var("weight", (width, width), Init::FanIn(width))?,
            out_proj_bias: out_proj.var("bias", width, Init::Zeros)?,
            norm2: LayerNorm::new(&scope.pp("norm2"), width)?,
            linear1: Linear::new(&scope.pp("linear1"), width, ffn_factor * width)?,
            linear2: Linear::new(&scope.pp("linear2"), ffn_factor * width, width)?,
            attention_dropout: Dropout::new(&attention, dropout)?,
            dropout: Dropout::new(&scope.pp("dropout"), dropout)?,
            dropout1: Dropout::new(&scope.pp("dropout1"), dropout)?,
            dropout2: Dropout::new(&scope.pp("dropout2"), dropout)?,
            width,
            heads,
        })
    }

    /// `x [batch, tokens, width]` to the same shape.
    ///
    /// `present [batch, tokens]`, 1 where a token is there and 0 where not, of any type: absent tokens are not
    /// attended to (their own outputs mean nothing). A sample without any token attends to all alike.
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub fn forward(&self, x: &Tensor, present: Option<&Tensor>, mode: Mode) -> Result<Tensor> {
        let (batch, tokens, width) = x.dims3()?;
        if width != self.width {
            bail!(
                "attention: x {:?}, expected a last dimension of {}",
                x.dims(),
                self.width
            );
        }
        if let Some(present) = present
            && present.dims() != [batch, tokens]
        {
            bail!(
                "attention: present tokens {:?}, expected [{batch}, {tokens}]",
                present.dims()
            );
        }
        let attended = self.attend(&self.norm1.forward(x)?, present, mode)?;
        let x = (x + self.dropout1.forward(&attended, mode)?)?;
        let hidden = ops::gelu(&self.linear1.forward(&self.norm2.forward(&x)?)?)?;
        let hidden = self.dropout.forward(&hidden, mode)?;
        let branch = self.linear2.forward(&hidden)?;
        x + self.dropout2.forward(&branch, mode)?
    }

    fn attend(&self, x: &Tensor, present: Option<&Tensor>, mode: Mode) -> Result<Tensor> {
        let (batch, tokens, width) = x.dims3()?;
        let head = width / self.heads;
        // [batch, tokens, 3 width] -> [3, batch, heads, tokens, head]
        let projected = ops::linear(x, &self.in_proj_weight, Some(&self.in_proj_bias), false)?
            .reshape((batch, tokens, 3, self.heads, head))?
            .permute((2, 0, 3, 1, 4))?
            .contiguous()?;
        let part = |i: usize| projected.narrow(0, i, 1)?.squeeze(0);
        let (query, key, value) = (part(0)?, part(1)?, part(2)?);
        let mixed = attention((&query, &key, &value), present, &self.attention_dropout, mode)?;
        ops::linear(&mixed, &self.out_proj_weight, Some(&self.out_proj_bias), false)
    }
}

/// Scaled dot-product attention of several heads (Vaswani et al. 2017): `query [batch, heads, tokens, head]`, `key` and
/// `value [batch, heads, sources, head]` to `[batch, tokens, heads * head]`.
///
/// `present [batch, sources]`, 1 where a source is there and 0 where not, of any type; a sample without any source attends to
/// all alike. `dropout` drops weights `[batch, heads, tokens, sources]`.
///
/// # Errors
/// If the shapes do not fit each other.
pub fn attention(
    (query, key, value): (&Tensor, &Tensor, &Tensor),
    present: Option<&Tensor>,
    dropout: &Dropout,
    mode: Mode,
) -> Result<Tensor> {
    let (batch, heads, tokens, head) = query.dims4()?;
    let query = (query / (head as f64).sqrt())?;
    let mut scores = ops::matmul(&query, &key.transpose(2, 3)?)?; // [batch, heads, tokens, sources]
    if let Some(present) = present {
        let absent = present.to_dtype(query.dtype())?.eq(0.0)?;
        let bias = (absent.to_dtype(query.dtype())? * EXCLUDED)?.reshape((batch, 1, 1, key.dim(2)?))?;
        scores = scores.broadcast_add(&bias)?;
    }
    let weights = dropout.forward(&softmax(&scores)?, mode)?;
    ops::matmul(&weights, value)? // [batch, heads, tokens, head]
        .transpose(1, 2)?
        .contiguous()?
        .reshape((batch, tokens, heads * head))
}

/// Over the last dimension. The maximum is a constant to the gradient, which does not depend on it.
///
/// # Errors
/// If `x` has no dimension or the last one is 0.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let top = x.detach().max_keepdim(D::Minus1)?;
    let odds = ops::exp(&x.broadcast_sub(&top)?)?;
    odds.broadcast_div(&odds.sum_keepdim(D::Minus1)?)
}
