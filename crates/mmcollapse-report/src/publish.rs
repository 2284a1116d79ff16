//! Publishes a result: a less complete one never takes the place of a more complete one.
//!
//! Results of one experiment, preset, data set and choice of settings share a folder. A result is at least as complete as
//! the one in it if it has every row, protocol and seed of that one, and as many cells. Otherwise it goes into a folder
//! beside it, `FOLDER-partial`; where a more complete partial result lies there already, into `FOLDER-partial-2`, and so on.

use mmcollapse_record::{ExperimentInfo, Provenance, Record, RowName, Setting};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use miette::{IntoDiagnostic, Result, WrapErr};

use crate::compare;
use crate::render::{is_ours, render};
use crate::report::frame::Frame;

/// Names that a refusal lists before it counts the rest.
const NAMED: usize = 3;

/// The file that says what a result's runs rest on.
const RUNS: &str = "runs.provenance.json";

/// A result that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its folder.
    pub folder: PathBuf,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// What kept the folder that it would have had.
    pub kept: Option<Kept>,
    /// Whether it replaced a result of a data set that has the same name and other contents.
    pub replaced_other_data: bool,
}

/// Writes tables and figures of an experiment below `results`, into the folder of such a result or, if a more complete one is
/// there, beside it; with `replace` in any case into its folder. Partial results that it covers are removed.
///
/// # Errors
/// Those of [`render`], and a partial result that cannot be removed.
pub fn publish(
    experiment: &ExperimentInfo,
    records: &[Record],
    provenance: Provenance,
    results: &Path,
    replace: bool,
) -> Result<Shown> {
    let own = results.join(experiment.name).join(compare::folder(&provenance));
    let extent = Extent::of(records);
    let Place { folder, kept } = if replace {
        Place {
            folder: own.clone(),
            kept: None,
        }
    } else {
        place(&own, &extent)
    };
    let name = |kept: &Kept| kept.folder.file_name().unwrap_or_default().display().to_string();
    let provenance = Provenance {
        more_complete: kept.as_ref().map(name),
        ..provenance
    };
    let other = |(name, digest): (&String, &String)| provenance.data.get(name).is_some_and(|new| new != digest);
    let replaced_other_data = match provenance_of(&folder) {
        Ok(Some(there)) => there.data.iter().any(other),
        Ok(None) | Err(_) => false,
    };
    let failed = || format!("making tables and figures in {}", folder.display());
    let files = render(experiment, records, &provenance, &folder).wrap_err_with(failed)?;
    sweep(&own, &folder, &extent)
        .into_diagnostic()
        .wrap_err("cannot remove the partial results that this one covers")?;
    Ok(Shown {
        folder,
        files,
        kept,
        replaced_other_data,
    })
}

/// Provenance of the result in a folder; `None` if there is none, the reason if it cannot be read.
fn provenance_of(folder: &Path) -> Result<Option<Provenance>, String> {
    let path = folder.join(RUNS);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let provenance = serde_json::from_slice(&bytes);
    provenance
        .map(Some)
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// What a result holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Extent {
    cells: usize,
    /// Row, protocol and seed of each run.
    runs: BTreeSet<(RowName, Setting, u64)>,
}

impl Extent {
    /// What these records hold.
    fn of(records: &[Record]) -> Self {
        let run = |record: &Record| (RowName::from(&record.row), record.setting.clone(), record.seed);
        Self {
            cells: records.len(),
            runs: records.iter().map(run).collect(),
        }
    }

    /// What the result in a folder holds; `None` if there is none, the reason if it cannot be read.
    fn read(folder: &Path) -> Result<Option<Self>, String> {
        let Some(provenance) = provenance_of(folder)? else {
            // Without it, what other files of a result rest on cannot be known.
            return match files(folder).first() {
                None => Ok(None),
                Some(file) => Err(format!("{} is there without {RUNS}", file.display())),
            };
        };
        let read = || {
            let runs = Frame::read(folder.join("runs.parquet"))?;
            let (row, protocol) = (runs.names::<RowName>("row")?, runs.names::<Setting>("protocol")?);
            let named = row.into_iter().zip(protocol).zip(runs.counts("seed")?);
            Ok(named.map(|((row, protocol), seed)| (row, protocol, seed)).collect())
        };
        Ok(Some(Self {
            cells: provenance.cells,
            runs: read().map_err(|error: miette::Report| error.to_string())?,
        }))
    }

    /// What of `other` it lacks, in words; `None` if it is at least as complete.
    fn lacks(&self, other: &Self) -> Option<String> {
        let rows = |extent: &Self| -> BTreeSet<RowName> { extent.runs.iter().map(|run| run.0.clone()).collect() };
        let seeds = |extent: &Self| -> BTreeSet<u64> { extent.runs.iter().map(|run| run.2).collect() };
        let mut lacking = Vec::new();
        let missing: Vec<String> = rows(other).difference(&rows(self)).map(ToString::to_string).collect();
        if !missing.is_empty() {
            let named = missing.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            lacking.push(match missing.len() - missing.len().min(NAMED) {
                0 => format!("no {named}"),
                rest => format!("no {named} and {rest} more rows"),
            });
        }
        let (of_self, of_other) = (seeds(self), seeds(other));
        if !of_other.is_subset(&of_self) {
            lacking.push(format!("{} instead of {} seeds", of_self.len(), of_other.len()));
        }
        if self.cells < other.cells {
            lacking.push(format!("{} instead of {} cells", self.cells, other.cells));
        }
        if lacking.is_empty() && !other.runs.is_subset(&self.runs) {
            lacking.push(format!(
                "without {} of its runs",
                other.runs.difference(&self.runs).count()
            ));
        }
        (!lacking.is_empty()).then(|| lacking.join(", "))
    }
}

/// Where a result is to be written.
struct Place {
    /// The folder.
    folder: PathBuf,
    /// What keeps its own folder, if that is another one.
    kept: Option<Kept>,
}

/// A result that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its folder.
    pub folder: PathBuf,
    /// What the new result lacks beside it, or why it cannot be judged.
    pub reason: String,
}

/// `FOLDER is kept: the new result has REASON`.
impl fmt::Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, reason) = (self.folder.display(), &self.reason);
        write!(formatter, "{folder} is kept: the new result has {reason}")
    }
}

/// The folder for a result that holds `extent`: `own`, unless what lies there is more complete or cannot be judged.
fn place(own: &Path, extent: &Extent) -> Place {
    let mut kept = None;
    let mut places = std::iter::once(own.to_path_buf()).chain((1..).map(|number| partial(own, number)));
    loop {
        // An endless list.
        let folder = places.next().unwrap_or_else(|| own.to_path_buf());
        let reason = match Extent::read(&folder) {
            Ok(None) => None,
            Ok(Some(there)) => extent.lacks(&there),
            Err(reason) => Some(format!("what is there cannot be judged ({reason})")),
        };
        let Some(reason) = reason else {
            return Place { folder, kept };
        };
        kept.get_or_insert(Kept { folder, reason });
    }
}

/// Removes partial results of `own` that the result in `folder` covers, so that nobody takes them for the newest.
fn sweep(own: &Path, folder: &Path, extent: &Extent) -> io::Result<()> {
    for number in 1.. {
        let partial = partial(own, number);
        if !partial.is_dir() {
            break;
        }
        let covered = matches!(Extent::read(&partial), Ok(Some(there)) if extent.lacks(&there).is_none());
        if covered && partial != folder {
            for file in files(&partial) {
                fs::remove_file(file)?;
            }
            // Something of the user's may lie there.
            let _ = fs::remove_dir(&partial);
        }
    }
    Ok(())
}

/// The `number`th folder of partial results, from 1 on.
fn partial(own: &Path, number: usize) -> PathBuf {
    let mut name = own.file_name().unwrap_or_default().to_owned();
    name.push("-partial");
    if number > 1 {
        name.push(format!("-{number}"));
    }
    own.with_file_name(name)
}

/// The files of a result in a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_ours))
        .collect()
}

#[cfg(test)]
mod tests;
