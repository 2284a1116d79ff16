//! The words that training and reporting share: what a run is, what was measured, and how it is written.
//!
//! A protocol, metric or row is one typed value from the spec to the figure. It becomes text in files only, and is parsed once,
//! when a file is read.

mod error;
mod level;
mod metric;
mod outcome;
mod protocol;
mod record;
mod row;

pub use error::UnknownName;
pub use level::{Levels, same_level};
pub use metric::{Better, Definition, METRICS, Metric, Unit, words};
pub use outcome::{Outcome, Score, Split, Status};
pub use protocol::{Amplitude, Protocol, ProtocolKind, Setting, UpweightMode};
pub use record::Record;
pub use row::{MethodName, RowId};
