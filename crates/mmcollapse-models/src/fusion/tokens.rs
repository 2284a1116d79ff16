//! Encodings as tokens of one width, one a modality, and the transformer that reads them: what MT and M3Care share.
//!
//! The blocks are those of the encoder of codes (see [`AttentionBlock`]), followed by a layer norm.

use mmcollapse_nn::{
    Init, Mode, Result as TensorResult, Tensor,
    layers::{AttentionBlock, LayerNorm, Linear},
};

use super::FusionContext;

/// Hidden layer of a block over the width of a token (Vaswani et al. 2017).
const FEED_FORWARD: usize = 4;

/// Variables `projection`, `types`, `block` and `norm` below the fusion's scope.
pub(super) struct Tokens {
    projections: Vec<Linear>,
    /// What tells the modalities' tokens apart, `[modalities, width]`.
    types: Tensor,
    blocks: Vec<AttentionBlock>,
    norm: LayerNorm,
}

impl Tokens {
    /// Tokens of `width` and so many blocks of so many heads, with dropout within them.
    pub fn new(context: &FusionContext, width: usize, blocks: usize, heads: usize, dropout: f64) -> TensorResult<Self> {
        let scope = &context.scope;
        let named = context.modalities.iter().zip(context.widths);
        let block = |i| AttentionBlock::new(&scope.pp("block").pp(i), width, heads, FEED_FORWARD, dropout);
        Ok(Self {
            projections: named
                .map(|(name, &input)| Linear::new(&scope.pp("projection").pp(name), input, width))
                .collect::<TensorResult<_>>()?,
            types: scope.var("types", (context.modalities.len(), width), Init::Normal { std: 0.02 })?,
            blocks: (0..blocks).map(block).collect::<TensorResult<_>>()?,
            norm: LayerNorm::new(&scope.pp("norm"), width)?,
        })
    }

    /// Per modality its encodings `z` in the width of a token, `[batch, width]`; the row of one that is absent means nothing.
    pub fn project(&self, z: &[Tensor]) -> TensorResult<Vec<Tensor>> {
        let pairs = self.projections.iter().zip(z);
        pairs.map(|(projection, z)| projection.forward(z)).collect()
    }

    /// Per modality `[batch, width]`, side by side and with the embeddings of the modalities: `[batch, modalities, width]`.
    pub fn typed(&self, parts: &[Tensor]) -> TensorResult<Tensor> {
        Tensor::stack(parts, 1)?.broadcast_add(&self.types.unsqueeze(0)?)
    }

    /// `tokens [batch, n, width]` after all blocks and the norm; in the first `apart` blocks each attends to itself alone, in
    /// the others to those that are `present [batch, n]`, or to all.
    pub fn transform(
        &self,
        tokens: &Tensor,
        present: Option<&Tensor>,
        apart: usize,
        mode: Mode,
    ) -> TensorResult<Tensor> {
        let (batch, n, width) = tokens.dims3()?;
        let mut tokens = tokens.clone();
        for (i, block) in self.blocks.iter().enumerate() {
            tokens = if i < apart {
                let single = tokens.reshape((batch * n, 1, width))?;
                block.forward(&single, None, mode)?.reshape((batch, n, width))?
            } else {
                block.forward(&tokens, present, mode)?
            };
        }
        self.norm.forward(&tokens)
    }

    /// The blocks, for tests that go through them by hand.
    #[cfg(test)]
    pub fn parts(&self) -> (&[Linear], &Tensor, &[AttentionBlock], &LayerNorm) {
        (&self.projections, &self.types, &self.blocks, &self.norm)
    }
}
