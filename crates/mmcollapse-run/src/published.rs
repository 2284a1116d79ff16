//! The cells of a published result, in one file beside it: what an empty store is filled from.
//!
//! ```text
//! RESULTS/cells/<experiment>/<folder of the result>.jsonl.zst
//!     a line with format, number of cells and the SHA-256 of the lines that follow
//!     a line a cell, sorted by key: key, cell (configuration, data digest, revision), outcome, origin, times
//! ```
//!
//! Equal cells give equal bytes. Weights are not in it: an outcome names its weights' file, which only the store has that trained
//! them.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use miette::Diagnostic;
use mmcollapse_files::{sha256, write_atomic};
use mmcollapse_record::Outcome;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cell::{Cell, CellKey, canonical};
use crate::plan::Plan;
use crate::store::{Found, Store, StoreError, Stored};

/// Raised when the form of the file changes.
const FORMAT: u32 = 1;

/// Their folder below that of the results.
const CELLS: &str = "cells";

/// Level of compression: a higher one takes a quick preset's cells seconds and saves a few percent.
const LEVEL: i32 = 12;

/// The cells of a published result could not be read or written.
#[derive(Debug, Error, Diagnostic)]
#[error("the published cells {}: {what}", .path.display())]
#[diagnostic(help(
    "`git checkout` restores the committed file; without the file, the cells that the store lacks are trained again"
))]
pub struct PublishedCellsError {
    path: PathBuf,
    what: String,
}

/// The cells of a published result.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedCells {
    path: PathBuf,
    cells: BTreeMap<CellKey, Kept>,
}

/// The cells of all published results, which are read when the first of them is asked for.
#[derive(Debug)]
pub struct AllPublished {
    results: PathBuf,
    /// A cell may be there more than once, with other measures.
    cells: OnceCell<BTreeMap<CellKey, Vec<Kept>>>,
}

impl AllPublished {
    /// Of the results in this folder.
    pub fn of(results: &Path) -> Self {
        Self {
            results: results.to_owned(),
            cells: OnceCell::new(),
        }
    }

    fn cells(&self) -> Result<&BTreeMap<CellKey, Vec<Kept>>, PublishedCellsError> {
        if let Some(cells) = self.cells.get() {
            return Ok(cells);
        }
        let mut all: BTreeMap<CellKey, Vec<Kept>> = BTreeMap::new();
        for folder in entries(&self.results.join(CELLS))? {
            for file in entries(&folder)? {
                if file.extension().is_some_and(|extension| extension == "zst") {
                    for (key, kept) in PublishedCells::at(file)?.cells {
                        all.entry(key).or_default().push(kept);
                    }
                }
            }
        }
        Ok(self.cells.get_or_init(|| all))
    }
}

/// What lies in a folder, in the order of names; nothing if there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, PublishedCellsError> {
    let listed = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let mut paths = listed.map_err(|error| PublishedCellsError {
        path: folder.to_owned(),
        what: error.to_string(),
    })?;
    paths.sort();
    Ok(paths)
}

/// A cell and what came of it.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    cell: Cell,
    stored: Stored,
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    cells: usize,
    /// SHA-256 of all lines but this one.
    checksum: String,
}

/// Any other line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: CellKey,
    cell: Cell,
    stored: Stored,
}

impl PublishedCells {
    /// Reads the cells of a result that lies in `RESULTS/<experiment>/<folder>/`; none if they were never published.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged.
    pub fn read(results: &Path, experiment: &str, folder: &str) -> Result<Self, PublishedCellsError> {
        let path = results.join(CELLS).join(experiment).join(format!("{folder}.jsonl.zst"));
        Self::at(path)
    }

    fn at(path: PathBuf) -> Result<Self, PublishedCellsError> {
        let cells = match fs::read(&path) {
            Ok(bytes) => checked(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error.to_string()),
        };
        match cells {
            Ok(cells) => Ok(Self { path, cells }),
            Err(what) => Err(PublishedCellsError { path, what }),
        }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the cells of all results.
    pub fn folder(&self) -> &Path {
        self.path.ancestors().nth(2).unwrap_or(&self.path)
    }

    /// Whether there is no cell.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Whether the cell of this key is there.
    pub fn has(&self, key: &str) -> bool {
        self.cells.contains_key(key)
    }

    /// The cell of this key.
    pub fn cell(&self, key: &str) -> Option<&Cell> {
        self.cells.get(key).map(|kept| &kept.cell)
    }

    /// What came of the cell of this key.
    pub fn stored(&self, key: &str) -> Option<&Stored> {
        self.cells.get(key).map(|kept| &kept.stored)
    }

    /// All cells.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.values().map(|kept| &kept.cell)
    }

    /// Adds the cells of a plan that neither this result nor a store has and that others have published, with all that the plan
    /// measures: experiments share cells.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged.
    pub fn add_others(&mut self, plan: &Plan, all: &AllPublished, store: &Store) -> Result<(), PublishedCellsError> {
        for planned in &plan.cells {
            let is_whole = |outcome: &Outcome| planned.cell.lacking(outcome, &planned.measures).is_empty();
            // What cannot be read is reported by who fills the store.
            let is_stored =
                || matches!(store.find(&planned.key), Ok(Found::Whole(stored)) if is_whole(&stored.outcome));
            if self.cells.contains_key(&planned.key) || is_stored() {
                continue;
            }
            let mut others = all.cells()?.get(&planned.key).into_iter().flatten();
            if let Some(kept) = others.find(|kept| is_whole(&kept.stored.outcome)) {
                self.cells.insert(planned.key.clone(), kept.clone());
            }
        }
        Ok(())
    }

    /// Puts into the store the cells of a plan that it lacks and that are here, each with its origin; returns how many. To a
    /// cell that it has, it adds the measures of the plan that only this one has.
    ///
    /// # Errors
    /// A store that cannot be read or written.
    pub fn fill(&self, plan: &Plan, store: &Store) -> Result<usize, StoreError> {
        let mut filled = 0;
        for planned in &plan.cells {
            let Some(kept) = self.cells.get(&planned.key) else {
                continue;
            };
            let Found::Whole(mut stored) = store.find(&planned.key)? else {
                filled += usize::from(store.put(&kept.cell, &kept.stored)?);
                continue;
            };
            let lacking = |outcome: &Outcome| planned.cell.lacking(outcome, &planned.measures);
            let not_here = lacking(&kept.stored.outcome);
            let mut added = lacking(&stored.outcome);
            added.retain(|measure| not_here.iter().all(|lacking| lacking.key != measure.key));
            if !added.is_empty() {
                stored.outcome.add(&kept.stored.outcome, &added);
                store.put(&kept.cell, &stored)?;
            }
        }
        Ok(filled)
    }

    /// Takes over what a store has of a plan, and drops what today's plan would not train; returns whether anything changed.
    ///
    /// A cell of a seed that the plan leaves out stays if the plan has it with another seed.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn update(&mut self, plan: &Plan, store: &Store) -> Result<bool, StoreError> {
        let seeds: BTreeSet<u64> = plan.cells.iter().map(|planned| planned.seed).collect();
        let kinds: BTreeSet<_> = plan
            .cells
            .iter()
            .map(|planned| (planned.cell.kind(), planned.cell.revision.as_str()))
            .collect();
        self.merge(plan, store, |cell| {
            cell.seed().is_some_and(|seed| !seeds.contains(&seed))
                && kinds.contains(&(cell.kind(), cell.revision.as_str()))
        })
    }

    /// Takes over what a store has of a plan beside what other plans of the same code have left, as trials of other settings
    /// are; returns whether anything changed.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn extend(&mut self, plan: &Plan, store: &Store) -> Result<bool, StoreError> {
        let revisions: BTreeSet<&str> = plan
            .cells
            .iter()
            .map(|planned| planned.cell.revision.as_str())
            .collect();
        self.merge(plan, store, |cell| revisions.contains(cell.revision.as_str()))
    }

    /// What a store has of a plan, and of the other cells those that stay.
    fn merge(&mut self, plan: &Plan, store: &Store, stays: impl Fn(&Cell) -> bool) -> Result<bool, StoreError> {
        let mut cells = BTreeMap::new();
        let mut keys = BTreeSet::new();
        for planned in &plan.cells {
            if let (true, Found::Whole(mut stored)) = (keys.insert(&planned.key), store.find(&planned.key)?) {
                let cell = planned.cell.clone();
                stored.outcome.keep_asked(&planned.measures);
                cells.insert(planned.key.clone(), Kept { cell, stored: *stored });
            }
        }
        for (key, kept) in &self.cells {
            if keys.contains(key) || stays(&kept.cell) {
                cells.entry(key.clone()).or_insert_with(|| kept.clone());
            }
        }
        let changed = cells != self.cells;
        self.cells = cells;
        Ok(changed)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self) -> Result<(), PublishedCellsError> {
        let written = self.bytes().and_then(|bytes| write_atomic(&self.path, &bytes));
        written.map_err(|error| PublishedCellsError {
            path: self.path.clone(),
            what: error.to_string(),
        })
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut lines = String::new();
        for (key, Kept { cell, stored }) in &self.cells {
            let line = Line {
                key: key.clone(),
                cell: cell.clone(),
                stored: stored.clone(),
            };
            lines.push_str(&canonical(&serde_json::to_value(line)?));
            lines.push('\n');
        }
        let head = Head {
            format: FORMAT,
            cells: self.cells.len(),
            checksum: sha256(lines.as_bytes()),
        };
        let text = format!("{}\n{lines}", canonical(&serde_json::to_value(head)?));
        zstd::encode_all(text.as_bytes(), LEVEL)
    }
}

/// Why the bytes are no published cells, or these.
fn checked(bytes: &[u8]) -> Result<BTreeMap<CellKey, Kept>, String> {
    let text = zstd::decode_all(bytes).map_err(|error| error.to_string())?;
    let text = String::from_utf8(text).map_err(|error| error.to_string())?;
    let (head, lines) = text.split_once('\n').ok_or("it has no line")?;
    let head: Head = serde_json::from_str(head).map_err(|error| format!("line 1: {error}"))?;
    if head.format != FORMAT {
        return Err(format!("has format {}, this program reads {FORMAT}", head.format));
    }
    let checksum = sha256(lines.as_bytes());
    if checksum != head.checksum {
        return Err(format!("checksum is {checksum}, expected {}", head.checksum));
    }
    let mut cells = BTreeMap::new();
    for (place, line) in lines.lines().enumerate() {
        let Line { key, cell, stored } =
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", place + 2))?;
        let own = cell.key();
        if own != key {
            return Err(format!(
                "line {}: its key is {}, that of its configuration, data and revision {}",
                place + 2,
                key.as_str(),
                own.as_str()
            ));
        }
        cells.insert(key, Kept { cell, stored });
    }
    if cells.len() != head.cells {
        return Err(format!("has {} cells, expected {}", cells.len(), head.cells));
    }
    Ok(cells)
}

#[cfg(test)]
mod tests;
