//! Whether a forward pass trains or evaluates.

/// What a layer that behaves differently in training needs to know.
///
/// Training carries the cell's seed and the optimizer step instead of a stateful generator: a layer draws from
/// the stream keyed by (seed, its own path, step), so a run continued from a checkpoint draws the same numbers
/// as one that was never interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout is active and batch norm uses the statistics of the batch.
    Train {
        /// Seed of the cell.
        seed: u64,
        /// Optimizer steps taken so far.
        step: u64,
    },
    /// Deterministic: dropout is the identity, batch norm uses its running statistics.
    Eval,
}

impl Mode {
    /// Whether this is [`Mode::Train`].
    pub fn is_train(self) -> bool {
        matches!(self, Self::Train { .. })
    }
}
