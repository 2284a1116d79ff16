//! The words that training and reporting share: what a run is, what was measured, and how it is written.
//!
//! A protocol, metric or row is one typed value from the spec to the figure. It becomes text in files only, and is parsed once,
//! when a file is read.

mod curve;
mod error;
mod experiment;
mod findings;
mod level;
pub mod manipulation;
mod metric;
mod outcome;
mod preset;
mod protocol;
mod provenance;
mod record;
mod row;

pub use curve::{Encoder, SEMANTIC, neurons, neurons_of};
pub use error::UnknownName;
pub use experiment::{At, ExperimentInfo, Reference, Shows};
pub use findings::{Diagnosis, Findings, ModalityDiagnosis};
pub use level::{Levels, same_level};
pub use metric::{Better, Definition, METRICS, Measured, Metric, Unit, words};
pub use outcome::{NEURONS_MEASURE, Outcome, Score, Split, Status};
pub use preset::Preset;
pub use protocol::{Amplitude, Planting, Protocol, ProtocolKind, Setting, UpweightMode};
pub use provenance::{Commit, External, Machine, Origin, OriginCount, Provenance, Rule, TunedBy, count_origins};
pub use record::Record;
pub use row::{Dose, MethodName, RowId, RowName, label};
