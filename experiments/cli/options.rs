//! Flags that several verbs share.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use mmcollapse_nn::device::DeviceChoice;
use mmcollapse_record::Preset;
use mmcollapse_report::report::claims::Claims;

use super::{engine, run, store};

/// Reads a preset.
pub(super) fn presets() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(Preset::ALL.map(Preset::as_str)).try_map(|name| name.parse())
}

/// Seconds of the longest limit that can be set.
const YEAR: u64 = 366 * 24 * 3600;

/// What is run.
#[derive(Args, Clone)]
pub(super) struct What {
    /// Size of the run: smoke (seconds), quick (an hour or more on two cores), full (the paper's protocol, many seeds).
    #[arg(long, value_parser = presets(), default_value_t = Preset::Quick)]
    pub(super) preset: Preset,
    /// Number of seeds instead of the preset's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) seeds: Option<u64>,
    /// Use another data set than the spec's, with the same modality. Results go to
    /// RESULTS/<experiment>/<data set>-<preset>/, without the paper's numbers. A path that ends in .yaml is your own data
    /// set (docs/own-data.md).
    #[arg(long, value_name = "NAME", value_parser = dataset)]
    pub(super) dataset: Option<String>,
}

/// Where cells are kept and found.
#[derive(Args, Clone)]
pub(super) struct Place {
    /// Folder of the trained cells.
    #[arg(long, default_value = "runs")]
    pub(super) store: PathBuf,
    /// Never use the network. Data must be in the hub's cache (HF_HOME); if avmnist is not, avmnist-embedded replaces
    /// it.
    #[arg(long)]
    pub(super) offline: bool,
}

/// Where published results are.
#[derive(Args, Clone)]
pub(super) struct From {
    /// Folder of tables and figures, RESULTS/<experiment>/<preset>/, and of their cells, RESULTS/cells/.
    #[arg(long, default_value = "results")]
    pub(super) results: PathBuf,
    /// Take no cell from RESULTS/cells/: train all that the store lacks.
    #[arg(long)]
    pub(super) no_published: bool,
}

/// Where results go.
#[derive(Args, Clone)]
pub(super) struct To {
    #[command(flatten)]
    pub(super) from: From,
    /// Let a less complete result (fewer rows, seeds or cells) replace a more complete one, instead of writing it to
    /// RESULTS/<experiment>/<preset>-partial/.
    #[arg(long)]
    pub(super) force: bool,
}

impl To {
    pub(super) fn published(&self) -> run::Published<'_> {
        run::Published {
            results: &self.from.results,
            force: self.force,
            anew: self.from.no_published,
        }
    }
}

/// How it is run.
#[derive(Args, Clone)]
pub(super) struct How {
    #[command(flatten)]
    pub(super) place: Place,
    /// Device to train on: cpu, cuda:N or auto.
    #[arg(long, default_value = "cpu")]
    pub(super) device: DeviceChoice,
    /// Processes that train at the same time [default: the number of cores; of a Slurm task, its CPUs].
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<usize>,
    #[command(flatten)]
    pub(super) place_of_work: engine::Where,
    /// Most that the weights of trained cells may take in the store. The oldest are removed after a run; scores stay.
    #[arg(long, value_name = "SIZE", default_value = "20GiB")]
    pub(super) weights: store::Bytes,
    /// Print the cells of each row, how many are in the store, and how long the rest will take. Train nothing; refuse
    /// what a run would refuse.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print every cell too (with --dry-run).
    #[arg(short, long, requires = "dry_run")]
    pub(super) verbose: bool,
}

/// Reads a time: `150m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600)];
    let unit = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
    let seconds = unit.and_then(|(number, seconds)| number.parse::<u64>().ok()?.checked_mul(seconds));
    let seconds = seconds.filter(|seconds| (1..=YEAR).contains(seconds));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("expected a whole number with s, m or h, such as 150m; got `{text}`"))
}

/// `--dataset` as a command has it, nothing where there is none: a user's own by the file name of its YAML, since folders are of one
/// machine.
pub(super) fn dataset_flag(name: Option<&str>) -> String {
    let Some(name) = name else { return String::new() };
    let file = mmcollapse_data::own::path_of(name).and_then(|path| Some(path.file_name()?.display().to_string()));
    format!(" --dataset {}", file.as_deref().unwrap_or(name))
}

/// Test samples to each training sample where the seeds of a data set cut the same records anew, 0 where each draws its own: of a user's
/// data by its YAML, else as the claims document it.
pub(super) fn documented_overlap(claims: &Claims, dataset: Option<&str>, names: &[&str]) -> Option<f64> {
    let own = dataset.and_then(mmcollapse_data::own::overlap);
    own.or_else(|| claims.overlap_of(names))
}

/// Reads the name of a data set, or the YAML of a user's own.
pub(super) fn dataset(text: &str) -> Result<String, String> {
    let ends = Path::new(text).extension().and_then(OsStr::to_str);
    if !ends.is_some_and(|end| ["yaml", "yml"].contains(&end)) {
        return Ok(text.to_owned());
    }
    mmcollapse_data::own::add(Path::new(text))
        .map(str::to_owned)
        .map_err(|error| {
            let help = miette::Diagnostic::help(&error).map(|help| format!("; {help}"));
            format!("{error}{}", help.unwrap_or_default())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, seconds) in [("90s", 90), ("150m", 9000), ("2h", 7200)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "m", "150", "0m", "1.5h", "-1h", "2d", "99999999999999999999h"] {
            let error = duration(wrong).unwrap_err();
            assert!(error.contains(&format!("got `{wrong}`")), "{error}");
        }
    }
}
