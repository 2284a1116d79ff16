//! How it is shown: from records to tables, figures, verdicts and a page.
//!
//! ```text
//! records --summary--> means, intervals, differences --table, figure, render, publish--> results/EXPERIMENT/PRESET
//! results/ --report--> REPRODUCTION.md, report/index.html
//! ```
//!
//! Nothing here trains or knows a model: it builds and works where nothing can be trained.

pub mod compare;
pub mod curves;
pub mod figure;
mod lacking;
#[cfg(test)]
#[expect(dead_code, reason = "only the run crate mutates texts")]
#[path = "../../mmcollapse-run/src/mutation.rs"]
mod mutation;
pub mod paper;
pub mod publish;
pub mod render;
pub mod report;
pub mod summary;
pub mod table;
