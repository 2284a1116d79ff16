//! Tokens of one width and the transformer that reads them: what MT, of each modality's tokens, and M3Care, of one a
//! modality, share.
//!
//! The blocks are those of the encoder of codes (see [`AttentionBlock`]), followed by a layer norm.

use mmcollapse_nn::{
    Init, Mode, Result as TensorResult, Tensor,
    layers::{AttentionBlock, LayerNorm, Linear},
    random::derive_seed,
};

use super::FusionContext;
use crate::encodings::Sequence;

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

    /// Of one modality `values [batch, n, width of its encoder]` in the width of a token and with the modality's embedding,
    /// `[batch, n, width]`.
    pub fn of_modality(&self, modality: usize, values: &Tensor) -> TensorResult<Tensor> {
        let tokens = self.projections[modality].forward(values)?;
        tokens.broadcast_add(&self.types.narrow(0, modality, 1)?.unsqueeze(0)?)
    }

    /// `tokens [batch, n, width]` after all blocks and the norm; each attends to all.
    pub fn transform(&self, tokens: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        self.after(0, tokens, None, mode)
    }

    /// The tokens of all `parts` after all blocks and the norm, each row's one behind the other, `[batch, n, width]`. In the
    /// first `apart` blocks a token attends to its own part alone, in the others to all.
    pub fn transform_parts(&self, mut parts: Vec<Sequence>, apart: usize, mode: Mode) -> TensorResult<Tensor> {
        for block in &self.blocks[..apart] {
            for (i, part) in parts.iter_mut().enumerate() {
                let mode = once_more(mode, &format!("part/{i}"));
                part.values = block.forward(&part.values, Some(&part.present()?), mode)?;
            }
        }
        let all = Sequence::joined(&parts)?.packed()?;
        self.after(apart, &all.values, Some(&all.present()?), mode)
    }

    /// The blocks from `first` on, and the norm.
    fn after(&self, first: usize, tokens: &Tensor, present: Option<&Tensor>, mode: Mode) -> TensorResult<Tensor> {
        let mut tokens = tokens.clone();
        for block in &self.blocks[first..] {
            tokens = block.forward(&tokens, present, mode)?;
        }
        self.norm.forward(&tokens)
    }

    /// The blocks, for tests that go through them by hand.
    #[cfg(test)]
    pub fn parts(&self) -> (&[Linear], &Tensor, &[AttentionBlock], &LayerNorm) {
        (&self.projections, &self.types, &self.blocks, &self.norm)
    }
}

/// The mode of a layer that runs more than once in a step: with the same seed it would drop the same places.
pub(super) fn once_more(mode: Mode, what: &str) -> Mode {
    match mode {
        Mode::Train { seed, step } => Mode::Train {
            seed: derive_seed(seed, what),
            step,
        },
        Mode::Eval => Mode::Eval,
    }
}
