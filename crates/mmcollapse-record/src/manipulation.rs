//! When a run counts as reallocated: the numbers that decide it.

use crate::{Score, Split};

/// Held-out cross-entropy of a fresh discriminator, as a share of a guess's, from which the modalities count as confused.
pub const CONFUSED: f64 = 0.9;

/// How far the label probe of a modality's latents may lie below that of the same runs without the adversary, as a share, on the
/// mean of a row: constant latents confuse every discriminator.
pub const LABELS_LOST: f64 = 0.02;

/// Level of the intervals by which a row is told from its control: that it has lost labels, or that its student is nearer.
pub const CERTAIN: f64 = 0.95;

/// Share of a row's runs that must pass for it to say something of the mechanism.
pub const PASSING: f64 = 0.8;

/// Share of the runs in which the check's own controls must come out as they should: what has no adversary is told apart, what
/// is shuffled is not.
pub const SOUND: f64 = 0.95;

/// Key of the metric of a run that is 1 where its check passes beside its control, and 0 where it does not.
pub const REALLOCATED: &str = "reallocated";

/// Key of the metric of a run, always 1, beside which such a run stands as its control.
pub const CONTROL: &str = "reallocation_control";

/// Whether a fresh discriminator is confused by a run's latents; none where none was asked.
pub fn is_confused(scores: &[Score]) -> Option<bool> {
    let mut of_test = scores.iter().filter(|score| score.split == Split::Test);
    let confusion = of_test.find(|score| score.metric == "confusion")?;
    Some(confusion.value >= CONFUSED)
}
