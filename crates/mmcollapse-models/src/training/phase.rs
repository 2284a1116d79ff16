//! Which losses are followed when, and where a training stands.

/// Which losses an epoch follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Name in the history.
    pub name: &'static str,
    /// Epochs before the next phase of the cycle.
    pub epochs: usize,
    /// Whether L_sem and the fusion's own losses are descended.
    pub semantic: bool,
    /// Whether the reallocation's losses are followed.
    pub reallocation: bool,
}

/// The usual phase: everything at once.
pub const JOINT: Phase = Phase {
    name: "joint",
    epochs: 1,
    semantic: true,
    reallocation: true,
};

/// Where training stands, for losses whose weight moves.
pub struct Progress<'a> {
    /// Epoch of this stage, from 0.
    pub epoch: usize,
    /// Epochs of this stage.
    pub epochs: usize,
    /// Mean L_sem of each epoch so far.
    pub semantic: &'a [f64],
}
