//! Tuning: the same budget for every row of a table, on validation only.
//!
//! ```text
//! tune.yaml --Spaces--> what may be drawn
//! spec, Spaces, Budget --Trials--> cells of every trial of every row; trained like any others
//! store --Tuned--> results/tuned/<experiment>/[<data set>-]<preset>.yaml: every trial, the best of each row
//! Tuned --plan--> the experiment's own cells, each row with its best setting
//! ```
//!
//! Trial 0 of a row is what the spec says; the others are drawn at random (Bergstra and Bengio 2012). Every row has the
//! same number of trials on the same seeds, which no table uses.

mod file;
#[cfg(test)]
pub(crate) mod fixture;
mod setting;
mod space;
#[cfg(test)]
mod tests;
mod trials;

pub use file::{Tried, Tuned, TunedRow};
pub use setting::Setting;
pub use space::{Judged, Methods, Space, Spaces};
pub use trials::{Budget, FIRST_SEED, Stage, Trials};
