//! How it is trained: from an experiment's spec to the outcomes of its cells.
//!
//! ```text
//! spec.yaml --spec, on--> Spec --plan--> Plan: cells, fully resolved, each with a key
//! cells --pending--> in the store already, or --rounds, runner, worker--> trained and stored
//! store --gather--> records and their provenance, for the report
//! plan --exchange--> what a model of another program is given; its predictions --exchange--> records
//! store --published--> the cells beside a result; they fill another store. --freshness--> whether they are today's
//! ```
//!
//! The unit of work, of caching and of parallelism is the [`cell`]. A runner hands cells to worker processes;
//! each worker takes the cell's lock, trains it and stores its outcome, so that any number of runners can work
//! on one store and a process killed at any time loses at most the cells it was training.

#[cfg(test)]
extern crate self as mmcollapse_run;

pub mod cell;
pub mod exchange;
pub mod freshness;
pub mod gate;
pub mod gather;
pub mod models;
#[cfg(test)]
mod mutation;
pub mod on;
pub mod pending;
pub mod plan;
pub mod progress;
pub mod provenance;
pub mod published;
pub mod rounds;
pub mod runner;
pub mod signals;
pub mod slurm;
pub mod spec;
pub mod store;
pub mod tuning;
pub mod worker;
