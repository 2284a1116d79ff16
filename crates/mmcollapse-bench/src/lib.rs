//! How it is run: from an experiment's spec to its table.
//!
//! ```text
//! spec.yaml --spec--> Spec --plan--> Plan: cells, fully resolved, each with a key
//! cells --store--> there already, or --runner, worker--> trained and stored
//! store --render--> tables, figures, summary, with provenance
//! ```
//!
//! The unit of work, of caching and of parallelism is the [`cell`]. A runner hands cells to worker processes;
//! each worker takes the cell's lock, trains it and stores its outcome, so that any number of runners can work
//! on one store and a process killed at any time loses at most the cells it was training.

pub mod cell;
pub mod cli;
pub mod curves;
pub mod experiment;
pub mod figure;
pub mod gate;
pub mod models;
#[cfg(test)]
mod mutation;
pub mod paper;
pub mod plan;
pub mod progress;
pub mod provenance;
pub mod publish;
pub mod render;
pub mod report;
pub mod runner;
pub mod signals;
pub mod spec;
pub mod store;
pub mod summary;
pub mod table;
pub mod tuning;
pub mod worker;
