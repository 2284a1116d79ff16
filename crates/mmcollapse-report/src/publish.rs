//! Where a result is written: a less complete one never takes the place of a more complete one.
//!
//! Results of one experiment, preset, data set and choice of settings share a folder. A result is at least as complete as
//! the one in it if it has every row, protocol and seed of that one, and as many cells. Otherwise it goes into a folder
//! beside it, `FOLDER-partial`; where a more complete partial result lies there already, into `FOLDER-partial-2`, and so on.

use mmcollapse_record::{Provenance, Record, Setting};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::render::is_ours;
use crate::report::frame::Frame;

/// Names that a refusal lists before it counts the rest.
const NAMED: usize = 3;

/// What a result holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    cells: usize,
    /// Row, protocol and seed of each run.
    runs: BTreeSet<(String, Setting, u64)>,
}

impl Extent {
    /// What these records hold.
    pub fn of(records: &[Record]) -> Self {
        let run = |record: &Record| (record.row.to_string(), record.setting.clone(), record.seed);
        Self {
            cells: records.len(),
            runs: records.iter().map(run).collect(),
        }
    }

    /// What the result in a folder holds; `None` if there is none.
    ///
    /// # Errors
    /// A result that is there and cannot be read, with the reason.
    fn read(folder: &Path) -> Result<Option<Self>, String> {
        let path = folder.join("runs.provenance.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Without it, what other files of a result rest on cannot be known.
                return match files(folder).first() {
                    None => Ok(None),
                    Some(file) => Err(format!("{} is there without {}", file.display(), path.display())),
                };
            }
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let provenance: Provenance =
            serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        let read = || {
            let runs = Frame::read(folder.join("runs.parquet"))?;
            let (row, protocol) = (runs.text("row")?, runs.names::<Setting>("protocol")?);
            let named = row.into_iter().zip(protocol).zip(runs.counts("seed")?);
            miette::Result::Ok(named.map(|((row, protocol), seed)| (row, protocol, seed)).collect())
        };
        Ok(Some(Self {
            cells: provenance.cells,
            runs: read().map_err(|error: miette::Report| error.to_string())?,
        }))
    }

    /// What of `other` it lacks, in words; `None` if it is at least as complete.
    pub fn lacks(&self, other: &Self) -> Option<String> {
        let rows = |extent: &Self| -> BTreeSet<String> { extent.runs.iter().map(|run| run.0.clone()).collect() };
        let seeds = |extent: &Self| -> BTreeSet<u64> { extent.runs.iter().map(|run| run.2).collect() };
        let mut lacking = Vec::new();
        let missing: Vec<String> = rows(other).difference(&rows(self)).cloned().collect();
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The folder.
    pub folder: PathBuf,
    /// What keeps its own folder, if that is another one.
    pub kept: Option<Kept>,
}

/// A result that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its folder.
    pub folder: PathBuf,
    /// What the new result lacks beside it, or why it cannot be judged.
    pub reason: String,
}

/// The folder for a result that holds `extent`: `own`, unless what lies there is more complete or cannot be judged.
pub fn place(own: &Path, extent: &Extent) -> Place {
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
///
/// # Errors
/// A file that cannot be removed.
pub fn sweep(own: &Path, folder: &Path, extent: &Extent) -> io::Result<()> {
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
