//! Health records: one [`Cohort`] for every source, so that models and tables need not know which one they work on.
//!
//! A source is a folder of tables that the user names ([`manifest`]), or one of synthetic tables ([`plant`]). Its reader ([`EhrSource`]) applies the cohort and
//! label rules and keeps raw values; what depends on the training admissions ([`LabStatistics`]) comes after the cut
//! ([`Split`], [`dataset`], [`TextEmbedding`]). Notes may be read by a pretrained encoder instead ([`TextEncoder`],
//! [`NoteEmbeddings`]), which is fitted to nothing. Reading takes minutes where the tables are large, so the finished cohort is kept
//! ([`cache`]), and beside it each finished data set, which all processes then map.

mod bert;
pub mod cache;
mod cohort;
mod coverage;
mod dataset;
mod eicu;
mod error;
mod fingerprint;
mod lab_ranges;
mod labs;
pub mod manifest;
mod mimic_iv;
mod note_embeddings;
mod places;
pub mod plant;
mod pretrained;
mod quotes;
mod results;
mod source;
mod split;
mod table;
mod text;
mod text_encoder;
mod time;
mod vocabulary;

pub(crate) use cache::kept;
pub use cohort::{
    Admission, Code, CodeEvent, CodeKind, Cohort, Demographics, LabEvent, LabItem, LabelCounts, Modality, Outcome, Task,
};
pub use coverage::{Count, Coverage, TableCoverage};
pub use dataset::{CODES, LAB_ROWS, dataset};
pub use eicu::Eicu;
pub use error::EhrError;
pub use fingerprint::fingerprint;
pub use labs::LabStatistics;
pub use mimic_iv::{LAB_TERMS, MimicIv};
pub use note_embeddings::NoteEmbeddings;
pub use pretrained::{PretrainedText, digests};
pub use source::{EhrSource, Notes, find, is_synthetic, load, sources, state, tables};
pub use split::{SPLIT_SEED, Split, SplitBy};
pub use text::TextEmbedding;
pub use text_encoder::{EncoderFiles, Pooling, TextEncoder, Tokens};
