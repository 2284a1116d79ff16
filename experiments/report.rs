//! `report`: REPRODUCTION.md and the HTML report from the files in `results/`, on a machine that trains nothing.
//!
//! Without the feature `train` it builds without candle, data sets and models: `just pages`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mmcollapse_experiments::{CLAIMS, EXPERIMENTS, pages};
use mmcollapse_files::tell;

/// Makes REPRODUCTION.md and the HTML report from the files in RESULTS. It needs no store and trains nothing.
///
/// Of each experiment it takes the largest complete preset, smoke excepted. If the pages would lose an experiment, they are left
/// unchanged and the command fails.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Folder of tables and figures: RESULTS/<experiment>/<preset>/.
    #[arg(long, default_value = "results")]
    results: PathBuf,
    /// Replace pages that rest on more results.
    #[arg(long)]
    force: bool,
}

fn main() -> ExitCode {
    let Cli { results, force } = Cli::parse();
    match pages::write(EXPERIMENTS, CLAIMS, &results, force) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tell!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
