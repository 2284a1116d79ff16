//! Which losses are followed when, and where a training stands.

/// Which losses an epoch follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Name in the history.
    pub name: &'static str,
    /// Whether L_sem and the fusion's own losses are descended.
    pub semantic: bool,
    /// Whether the reallocation's losses are followed.
    pub reallocation: bool,
    /// Prefix of the only variables that move, if not all do.
    pub only: Option<&'static str>,
    /// Prefix of variables that stay.
    pub except: Option<&'static str>,
}

/// The usual phase: everything at once.
pub const JOINT: Phase = Phase {
    name: "joint",
    semantic: true,
    reallocation: true,
    only: None,
    except: None,
};

/// Where training stands, for losses whose weight moves and for phases that depend on what came before.
pub struct Progress<'a> {
    /// Epoch of this stage, from 0.
    pub epoch: usize,
    /// Epochs of this stage.
    pub epochs: usize,
    /// Mean L_sem of each epoch so far.
    pub semantic: &'a [f64],
    /// Names of the phases of each epoch so far.
    pub phases: &'a [&'a str],
}

/// The phase of the epoch that is to come; none where training is over before its epochs are.
pub type Phases<'a> = dyn Fn(&Progress) -> Option<Phase> + 'a;
