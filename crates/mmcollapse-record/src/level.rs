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
    /// Numbers of something that planted data have.
    Amounts,
}

impl Levels {
    /// What they are called in captions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shares => "rates",
            Self::Weights => "values of β",
            Self::Counts => "numbers of modalities",
            Self::Amounts => "amounts",
        }
    }

    /// What a level is multiplied with before it is shown: shares are shown in percent.
    pub fn scale(self) -> f64 {
        match self {
            Self::Shares => 100.0,
            Self::Weights | Self::Counts | Self::Amounts => 1.0,
        }
    }

    /// How one is written: `95 %`, `β = 4`, `3 modalities`.
    pub fn written(self, level: f64) -> String {
        match self {
            Self::Shares => {
                let percent = format!("{:.2}", 100.0 * level);
                format!("{} %", percent.trim_end_matches('0').trim_end_matches('.'))
            }
            Self::Weights => format!("β = {level}"),
            Self::Counts => format!("{level} modalit{}", if level > 1.0 { "ies" } else { "y" }),
            Self::Amounts => level.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_written_in_their_unit() {
        for (levels, level, written) in [
            (Levels::Shares, 0.95, "95 %"),
            (Levels::Shares, 0.975, "97.5 %"),
            (Levels::Weights, 4.0, "β = 4"),
            (Levels::Counts, 1.0, "1 modality"),
            (Levels::Counts, 3.0, "3 modalities"),
            (Levels::Amounts, 8.0, "8"),
        ] {
            assert_eq!(levels.written(level), written);
        }
    }
}
