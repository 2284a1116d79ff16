//! One rule for every comparison: differences by seed in, a verdict out.
//!
//! The unit is the difference of two rows on one seed, already averaged over rates. Its interval is
//! mean ± t(n - 1) s sqrt(1/n + q), where q says how much the seeds' samples overlap (`spread.rs`). The verdict follows from
//! the interval alone ([`judge`]). docs/methodology/results.md explains the rule for readers.

mod decide;
mod power;
mod spread;
mod trend;

pub use decide::{Claimed, Comparison, Judged, Judgement, Reason, Verdict, judge};
pub use power::{Sides, noncentral_t_cdf, paired_power, pairs_needed};
pub use spread::{Spread, resampled_interval};
pub use trend::{kink, slope};
