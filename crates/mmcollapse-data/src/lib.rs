//! What is learnt from: data sets, modalities, masks, batches, downloads.
//!
//! Data come from the sources in [`catalog`]. Bytes come from the Hugging Face hub at pinned revisions ([`hub`], [`manifest`]) or from their authors' pages ([`open`]),
//! are decoded row by row with caps on size ([`decode`], [`parquet_rows`]) and identified by the digest of what they decode to ([`content`]).
//! A data set ([`sets`]) turns them into one [`Dataset`]: a row of numbers per modality and sample, cut into train,
//! validation and test. A user's own arrays become one by a YAML ([`own`]). Which modality a sample has is never written into the data but kept beside it, as a
//! [`Presence`] drawn by [`masks`], so that all methods of a comparison lose the same modalities.

pub mod archive;
mod arrow_schema;
pub mod batch;
pub mod cache;
mod caps;
pub mod catalog;
pub mod content;
pub mod decode;
pub mod digests;
pub mod ehr;
pub mod embedded;
mod environment;
mod error;
pub mod files;
pub mod folder;
mod gzip;
pub mod hub;
mod ids;
pub mod manifest;
mod mapped;
pub mod masks;
pub mod mfcc;
pub mod noise;
pub mod open;
pub mod own;
mod parquet_columns;
pub mod parquet_rows;
pub mod pca;
pub mod predictions;
mod prepared;
mod presence;
mod rows;
mod samples;
pub mod sets;
pub mod sources;
pub mod stand_in;
pub mod status;
pub mod stft;
mod subspace;

pub use batch::{Batch, ModalityInput, batches};
pub use error::DataError;
pub use ids::Ids;
pub use presence::Presence;
pub use rows::Rows;
pub use samples::{Dataset, Kind, ModalitySpec, Samples, TestSplit};
pub use sets::{DatasetSource, LoadOptions, SETS, find, release};
pub use status::{describe, fetch, list, verify};
