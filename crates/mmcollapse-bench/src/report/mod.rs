//! What held and what did not: REPRODUCTION.md and one HTML page, from the committed results alone.
//!
//! ```text
//! experiments/claims.yaml --claims--> tests
//! results/EXPERIMENT/PRESET/{runs,table}.parquet --results--> values by seed
//! both --verdict--> REPRODUCTION.md --page--> results/report/index.html, with every table and figure
//! ```

pub mod claims;
mod page;
mod reproduction;
mod results;
mod verdict;

use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic, Result, WrapErr};
use mmcollapse_nn::files::write_atomic;

use crate::experiment::ExperimentInfo;

/// Writes REPRODUCTION.md beside the folder `results` and `report/index.html` in it; returns their paths.
///
/// Of each experiment the largest preset that has results is taken; smoke never.
///
/// # Errors
/// Claims that cannot be read, a results file that is broken, a file that cannot be written.
pub fn write(experiments: &[ExperimentInfo], claims: &str, results: &Path) -> Result<Vec<PathBuf>> {
    let claims = claims::Claims::parse(claims, experiments)?;
    let found = results::Results::read(experiments, results)?;
    let reproduction = reproduction::markdown(&claims, &found)?;
    let page = page::html(&reproduction, &found);
    let beside = results.parent().filter(|parent| !parent.as_os_str().is_empty());
    let files = [
        (beside.unwrap_or(Path::new(".")).join("REPRODUCTION.md"), reproduction),
        (results.join("report").join("index.html"), page),
    ];
    files
        .into_iter()
        .map(|(path, text)| {
            write_atomic(&path, text.as_bytes())
                .into_diagnostic()
                .wrap_err("cannot write the report")?;
            Ok(path)
        })
        .collect()
}

/// The text of REPRODUCTION.md.
///
/// # Errors
/// As [`write`].
pub fn reproduction(experiments: &[ExperimentInfo], claims: &str, results: &Path) -> Result<String> {
    let claims = claims::Claims::parse(claims, experiments)?;
    reproduction::markdown(&claims, &results::Results::read(experiments, results)?)
}

#[cfg(test)]
mod tests;
