//! How well a real-valued score tells two classes apart, and how far it can be trusted as a probability.
//!
//! [`Outcomes`] holds the scores and labels of samples, [`Tally`] what is left of them when only the number of each
//! class at each score counts. Every measure is a function of a tally: ranking (`auroc`, `average_precision`, ...) and
//! probability (`brier_score`, `calibration_error`, ...) alike. Hence any of them can be resampled, at O(n) a resample:
//! the samples are sorted once. Samples without a label are counted and left out.

mod delong;
mod outcomes;
mod probability;
mod ranking;
mod resampling;

pub use delong::{Auroc, AurocTest, auroc_delong, delong_test};
pub use outcomes::{Level, Outcomes, Tally};
pub use probability::{CalibrationBin, brier_score, calibration, calibration_error, log_loss};
pub use ranking::{auprc_trapezoid, auroc, average_precision};
pub use resampling::{Measured, Resampling, bootstrap_difference, bootstrap_measure};
