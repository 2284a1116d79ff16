//! The pages of all results: made from the files below `results/` alone, without store and without training.

use std::path::Path;

use miette::Result;
use mmcollapse_files::{say, tell};
use mmcollapse_record::ExperimentInfo;
use mmcollapse_report::report::{self, Written};

/// Writes REPRODUCTION.md and report/index.html into the folder `results`, and says where they are. Returns false where those
/// that are there rest on more results and stay; with `force` they never do.
///
/// # Errors
/// Claims or results that cannot be read, a page that cannot be written.
pub fn write(experiments: &[ExperimentInfo], claims: &str, results: &Path, force: bool) -> Result<bool> {
    match report::write(experiments, claims, results, force)? {
        Written::Pages(paths) => {
            for path in paths {
                say!("{}", path.display());
            }
            Ok(true)
        }
        Written::Kept(reason) => {
            tell!("{reason}");
            Ok(false)
        }
    }
}
