//! Levels of a protocol: missing or noise rates, weights, numbers of modalities.

/// Levels closer than this are the same one.
const SAME: f64 = 1e-9;

/// Whether two levels are the same, whatever their decimals were rounded to.
pub fn same_level(a: f64, b: f64) -> bool {
    (a - b).abs() < SAME
}

/// What the levels of a protocol are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Levels {
    /// Shares of samples, in [0, 1].
    Shares,
    /// Values of beta, at least 0.
    Weights,
    /// Numbers of modalities, at least 1.
    Counts,
}

impl Levels {
    /// What they are called in captions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shares => "rates",
            Self::Weights => "values of β",
            Self::Counts => "numbers of modalities",
        }
    }

    /// What a level is multiplied with before it is shown: shares are shown in percent.
    pub fn scale(self) -> f64 {
        match self {
            Self::Shares => 100.0,
            Self::Weights | Self::Counts => 1.0,
        }
    }
}
