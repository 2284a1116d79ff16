//! What held and what did not: REPRODUCTION.md and one HTML page, from the committed results alone.
//!
//! ```text
//! experiments/claims.yaml --claims--> tests
//! results/EXPERIMENT/PRESET/{runs,table}.parquet --results--> values by seed
//! both --verdict--> results/REPRODUCTION.md, results/report/index.html with every table and figure, the verdicts in README.md
//! ```

pub mod claims;
mod forest;
pub(crate) mod frame;
mod html;
mod listed;
mod page;
mod readme;
mod reproduction;
mod results;
pub(crate) mod shown;
mod stated;
pub(crate) mod verdict;
mod words;

use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr};
use mmcollapse_files::write_atomic;

use mmcollapse_record::ExperimentInfo;

pub use results::by_result;

/// The name of the text.
const REPRODUCTION: &str = "REPRODUCTION.md";

/// Which results are stale, as the program that trains finds out: `table3/quick: stale`, a line each.
pub const STATES: &str = "states.yaml";

/// Results that may be stale, or of changed sources, each with the reason.
pub const EXCEPTIONS: &str = "exceptions.yaml";

/// Results that a refusal names before it counts the rest.
const LOST_NAMED: usize = 4;

/// What became of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The paths of its files.
    Pages(Vec<PathBuf>),
    /// The report that is there has more than the new one would, in words, and stays.
    Kept(String),
}

/// Writes REPRODUCTION.md and `report/index.html` into the folder `results`, and the verdicts into the README beside it; if the
/// first are there and would lose results, only with `force`.
///
/// Of each experiment the largest preset that has complete results is taken, else the largest that has any; smoke never.
///
/// # Errors
/// Claims that cannot be read, a results file that is broken, a file that cannot be written.
pub fn write(experiments: &[ExperimentInfo], claims: &str, results: &Path, force: bool) -> Result<Written> {
    let claims = claims::Claims::parse(claims, experiments)?;
    let found = results::Results::read(experiments, results)?;
    let path = results.join(REPRODUCTION);
    let lost = if force {
        Vec::new()
    } else {
        listed::lost(&path, &found)?
    };
    if !lost.is_empty() {
        let named = lost.iter().take(LOST_NAMED).cloned().collect::<Vec<_>>().join("; ");
        let more = match lost.len().saturating_sub(LOST_NAMED) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        return Ok(Written::Kept(format!(
            "{}: left unchanged: the new report would lose {named}{more} (--force replaces it)",
            path.display(),
        )));
    }
    let written = made(&claims, &found, results)?.into_iter().map(|(path, text)| {
        write_atomic(&path, text.as_bytes())
            .into_diagnostic()
            .wrap_err("cannot write the report")?;
        Ok(path)
    });
    written.collect::<Result<_>>().map(Written::Pages)
}

/// The pages and where they go, without writing them.
///
/// # Errors
/// As [`write`].
pub fn pages(experiments: &[ExperimentInfo], claims: &str, results: &Path) -> Result<Vec<(PathBuf, String)>> {
    let claims = claims::Claims::parse(claims, experiments)?;
    made(&claims, &results::Results::read(experiments, results)?, results)
}

fn made(claims: &claims::Claims, results: &results::Results, root: &Path) -> Result<Vec<(PathBuf, String)>> {
    let stated = stated::Stated::beside(root);
    let found = reproduction::found(claims, results, &stated)?;
    let reproduction = reproduction::markdown(claims, &found, results);
    let page = page::html(claims, &found, results);
    let mut all = vec![
        (root.join(REPRODUCTION), reproduction),
        (root.join("report").join("index.html"), page),
    ];
    all.extend(readme::page(root, found)?);
    Ok(all)
}

#[cfg(test)]
mod tests;
