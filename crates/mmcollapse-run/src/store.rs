//! The store: one folder a cell, safe against a kill at any time and shared by any number of runners.
//!
//! ```text
//! STORE/cells/<16 digits of the key>/
//!     lock          held by the worker that trains the cell; the system frees it when the worker ends. Where the file
//!                   system's locks cannot be trusted, `lock.lease-N` instead (`mmcollapse_files::FileLock`)
//!     cell.json     what the key is the hash of: configuration, data digest, revision
//!     metrics.jsonl one line an epoch; after an interruption the later line of an epoch counts
//!     checkpoint/   while the cell is being trained: what training continues from
//!     outcome.json  the outcome with its checksum, written whole: a cell is finished when this checks out
//! STORE/fits/       final weights, and what several cells would train alike, trained by the first of them; may be deleted
//! ```
//!
//! `cells` and `fits` are for their owner alone (0700): what they hold derives from data that may be credentialed. A store
//! is therefore one user's.

use mmcollapse_record::{Origin, Outcome, Status};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use miette::Diagnostic;
use mmcollapse_files::{
    AtomicFile, FileLock, LineFile, private_folder, set_aside, sha256, sweep_temporaries, write_atomic,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::cell::{Cell, CellKey, canonical};

/// Raised when the form of `outcome.json` changes; files of another form are redone.
const FORMAT: u32 = 1;

/// Folder of the fits.
const FITS: &str = "fits";

/// A cell is finished when this file checks out.
const OUTCOME: &str = "outcome.json";

/// What the key is the hash of.
const CELL: &str = "cell.json";

/// The log of a cell's epochs.
const LOG: &str = "metrics.jsonl";

/// The store could not be read or written.
#[derive(Debug, Error, Diagnostic)]
#[error("the store {}: {what}", .path.display())]
#[diagnostic(help("check that the folder can be written and the disk has room, or name another with --store"))]
pub struct StoreError {
    /// Where.
    path: PathBuf,
    /// What the file system said.
    what: String,
}

impl StoreError {
    fn new(path: &Path, what: impl ToString) -> Self {
        Self {
            path: path.to_path_buf(),
            what: what.to_string(),
        }
    }
}

/// A folder of finished and unfinished cells.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// What the store knows of a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nothing: it was never finished.
    Missing,
    /// An outcome file that cannot be believed, with the reason; the cell is to be done again.
    Damaged(String),
    /// The outcome, whole.
    Whole(Box<Stored>),
}

/// A finished cell as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// What came out.
    pub outcome: Outcome,
    /// On what it was trained.
    pub origin: Origin,
    /// When it was trained, if interrupted its last part: from and to, in seconds since 1970.
    pub trained: (f64, f64),
}

/// `outcome.json`: the payload and what proves it whole.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    format: u32,
    key: CellKey,
    /// SHA-256 of the payload's canonical JSON.
    checksum: String,
    payload: Value,
}

impl Store {
    /// The store in `root`; nothing is created before something is written.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of a cell.
    pub fn folder(&self, key: &CellKey) -> PathBuf {
        self.root.join("cells").join(key.folder())
    }

    /// Reads a cell's outcome and checks it.
    ///
    /// # Errors
    /// Only if the store as a whole cannot be read. One outcome that cannot be is damaged, as one that is not whole.
    pub fn find(&self, key: &CellKey) -> Result<Found, StoreError> {
        let path = self.folder(key).join(OUTCOME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
            Err(error) => {
                let cells = self.root.join("cells");
                fs::read_dir(&cells).map_err(|error| StoreError::new(&cells, error))?;
                return Ok(Found::Damaged(format!("{}: cannot be read: {error}", path.display())));
            }
        };
        Ok(match check(&bytes, key) {
            Ok(stored) => Found::Whole(Box::new(stored)),
            Err(reason) => Found::Damaged(format!("{}: {reason}", path.display())),
        })
    }

    /// Whether the final weights of a finished cell are kept.
    pub fn has_weights(&self, outcome: &Outcome) -> bool {
        outcome
            .weights
            .as_ref()
            .is_some_and(|file| self.root.join(FITS).join(file).is_file())
    }

    /// How much is kept.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn size(&self) -> Result<Size, StoreError> {
        let mut size = Size::default();
        for file in files(&self.root.join(FITS), 0)? {
            size.fits += 1;
            size.fit_bytes += file.bytes;
        }
        for file in files(&self.root.join("cells"), 2)? {
            size.cells += usize::from(file.path.ends_with(OUTCOME));
            size.cell_bytes += file.bytes;
        }
        Ok(size)
    }

    /// Removes the fits that were written first until the others take at most `limit` bytes; returns how many, and their
    /// bytes. Outcomes stay: what they lack afterwards is only what a later measure would need.
    ///
    /// # Errors
    /// If the folder cannot be read or a file not removed.
    pub fn prune(&self, limit: u64) -> Result<(usize, u64), StoreError> {
        let mut fits = files(&self.root.join(FITS), 0)?;
        fits.sort_by(|a, b| (a.written, &a.path).cmp(&(b.written, &b.path)));
        let mut kept: u64 = fits.iter().map(|file| file.bytes).sum();
        let (mut removed, mut bytes) = (0, 0);
        for file in fits {
            if kept <= limit {
                break;
            }
            remove_file(&file.path)?;
            kept -= file.bytes;
            removed += 1;
            bytes += file.bytes;
        }
        Ok((removed, bytes))
    }

    /// Takes the cell for this process; `None` if another one has it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn claim(&self, cell: &Cell) -> Result<Option<Claim>, StoreError> {
        let private = self.closed()?;
        let key = cell.key();
        let folder = self.folder(&key);
        let lock = folder.join("lock");
        let Some(lock) = FileLock::try_acquire(&lock).map_err(|error| StoreError::new(&lock, error))? else {
            return Ok(None);
        };
        for folder in [&folder, &folder.join("checkpoint")] {
            sweep_temporaries(folder).map_err(|error| StoreError::new(folder, error))?;
        }
        Ok(Some(Claim {
            cell: cell.clone(),
            key,
            folder,
            fits: self.root.join(FITS),
            private,
            lock,
        }))
    }

    /// Puts in what another store has of a cell; false, and nothing is stored, if another process has it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn put(&self, cell: &Cell, stored: &Stored) -> Result<bool, StoreError> {
        let Some(claim) = self.claim(cell)? else {
            return Ok(false);
        };
        write_json(&claim.folder.join(CELL), &claim.cell)?;
        claim.finish(stored)
    }

    /// Who has the cell, in words.
    pub fn holder(&self, cell: &Cell) -> String {
        FileLock::holder(&self.folder(&cell.key()).join("lock"))
    }

    /// Closes the store to others, whatever the umask and whoever opened it; false where the file system keeps no modes.
    fn closed(&self) -> Result<bool, StoreError> {
        let close = |folder: &Path| private_folder(folder).map_err(|error| StoreError::new(folder, error));
        if !self.root.exists() {
            close(&self.root)?;
        }
        Ok(close(&self.root.join("cells"))? & close(&self.root.join(FITS))?)
    }

    /// Seconds that finished cells took, by [`Cell::kind`]; diverged ones, which stopped early, are left out.
    /// Cells that cannot be read are passed over: this serves estimates only.
    pub fn durations(&self) -> BTreeMap<String, Vec<f64>> {
        let mut durations: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let Ok(folders) = fs::read_dir(self.root.join("cells")) else {
            return durations;
        };
        for folder in folders.flatten() {
            let Ok(bytes) = fs::read(folder.path().join(CELL)) else {
                continue;
            };
            let Ok(cell) = serde_json::from_slice::<Cell>(&bytes) else {
                continue;
            };
            if let Ok(Found::Whole(stored)) = self.find(&cell.key())
                && stored.outcome.status == Status::Ok
            {
                durations.entry(cell.kind()).or_default().push(stored.outcome.seconds);
            }
        }
        durations
    }
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Finished cells.
    pub cells: usize,
    /// Bytes of all cells, logs and checkpoints included.
    pub cell_bytes: u64,
    /// Fits with their weights.
    pub fits: usize,
    /// Their bytes.
    pub fit_bytes: u64,
}

/// A file of the store.
struct StoreFile {
    path: PathBuf,
    bytes: u64,
    written: SystemTime,
}

/// The files in `folder` and so many levels below; none if it is not there.
fn files(folder: &Path, levels: usize) -> Result<Vec<StoreFile>, StoreError> {
    let error = |error: io::Error| StoreError::new(folder, error);
    let entries = match fs::read_dir(folder) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(error)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(error)?.path();
        // Whoever shares the store may remove one meanwhile.
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_file() {
            found.push(StoreFile {
                bytes: metadata.len(),
                written: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                path,
            });
        } else if metadata.is_dir() && levels > 0 {
            found.extend(files(&path, levels - 1)?);
        }
    }
    Ok(found)
}

/// Seconds in which at least one of these cells was being trained: the wall time of the runs that trained them,
/// however many workers, runs and experiments shared the work.
pub fn wall_seconds<'a>(cells: impl IntoIterator<Item = &'a Stored>) -> f64 {
    let mut spans: Vec<(f64, f64)> = cells.into_iter().map(|stored| stored.trained).collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut seconds = 0.0;
    let mut end = f64::NEG_INFINITY;
    for (from, to) in spans {
        if to > end {
            seconds += to - from.max(end);
            end = to;
        }
    }
    seconds
}

/// Why the bytes are no outcome of this cell, or the outcome.
fn check(bytes: &[u8], key: &CellKey) -> Result<Stored, String> {
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if envelope.format != FORMAT {
        return Err(format!("has format {}, this program writes {FORMAT}", envelope.format));
    }
    if envelope.key != *key {
        return Err(format!(
            "belongs to cell {}, not to {}",
            envelope.key.as_str(),
            key.as_str()
        ));
    }
    let checksum = sha256(canonical(&envelope.payload).as_bytes());
    if checksum != envelope.checksum {
        return Err(format!("checksum is {checksum}, expected {}", envelope.checksum));
    }
    serde_json::from_value(envelope.payload).map_err(|error| error.to_string())
}

/// A cell that this process holds; nobody else trains it until this is dropped.
#[derive(Debug)]
pub struct Claim {
    cell: Cell,
    key: CellKey,
    folder: PathBuf,
    fits: PathBuf,
    private: bool,
    lock: FileLock,
}

impl Claim {
    /// Whether the store is closed to others.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Whether the cell has gone to another process, as where this one's machine slept. Cheap to ask.
    pub fn is_lost(&self) -> bool {
        self.lock.is_lost()
    }

    /// Whether the cell is this process's now, by a look at the lock.
    pub fn holds(&self) -> bool {
        self.lock.still_held()
    }

    /// Folder of the checkpoint; it exists if training was interrupted.
    pub fn checkpoint(&self) -> PathBuf {
        self.folder.join("checkpoint")
    }

    /// Folder of the fits that cells of this store share.
    pub fn shared(&self) -> PathBuf {
        self.fits.clone()
    }

    /// Prepares the folder for training and opens the log of its epochs.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn begin(&self) -> Result<LineFile, StoreError> {
        write_json(&self.folder.join(CELL), &self.cell)?;
        if !self.checkpoint().exists() {
            remove_file(&self.folder.join(LOG))?;
        }
        self.log()
    }

    /// Opens the log of its epochs, which goes on.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn log(&self) -> Result<LineFile, StoreError> {
        let path = self.folder.join(LOG);
        LineFile::append(&path).map_err(|error| StoreError::new(&path, error))
    }

    /// Throws away a checkpoint that cannot be used.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn forget_checkpoint(&self) -> Result<(), StoreError> {
        let checkpoint = self.checkpoint();
        match fs::remove_dir_all(&checkpoint) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::new(&checkpoint, error)),
            _ => Ok(()),
        }
    }

    /// Stores the outcome; from here on the cell is finished. The checkpoint is no longer needed and removed.
    ///
    /// Returns false, and stores nothing, if another process has taken the cell over or has finished it.
    ///
    /// # Errors
    /// If a number is not finite (JSON has no word for it), or if the folder cannot be written.
    pub fn finish(&self, stored: &Stored) -> Result<bool, StoreError> {
        let path = self.folder.join(OUTCOME);
        if let Some(score) = stored.outcome.scores.iter().find(|score| !score.value.is_finite()) {
            return Err(StoreError::new(&path, format!("a score that is not finite: {score:?}")));
        }
        let payload = serde_json::to_value(stored).map_err(|error| StoreError::new(&path, error))?;
        let envelope = Envelope {
            format: FORMAT,
            key: self.key.clone(),
            checksum: sha256(canonical(&payload).as_bytes()),
            payload,
        };
        if !self.holds() {
            return Ok(false);
        }
        let error = |error: io::Error| StoreError::new(&path, error);
        let was_there = fs::symlink_metadata(&path);
        if was_there.as_ref().is_ok_and(fs::Metadata::is_dir) {
            // Whatever it is, it is not to be lost.
            set_aside(&path).map_err(error)?;
        }
        if was_there.is_ok() {
            write_json(&path, &envelope)?;
        } else {
            let mut file = AtomicFile::create(&path).map_err(error)?;
            file.write_all(json(&path, &envelope)?.as_bytes()).map_err(error)?;
            if !file.commit_new().map_err(error)? {
                return Ok(false);
            }
        }
        self.forget_checkpoint()?;
        Ok(true)
    }
}

fn json(path: &Path, value: &impl Serialize) -> Result<String, StoreError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| StoreError::new(path, error))?;
    text.push('\n');
    Ok(text)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    write_atomic(path, json(path, value)?.as_bytes()).map_err(|error| StoreError::new(path, error))
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::new(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmcollapse_record::{Machine, ProtocolKind, Score, Split};
    use proptest::prelude::*;
    use serde_json::json;

    fn cell(seed: u64) -> Cell {
        Cell {
            config: json!({"fusion": {"method": "concat"}, "seed": seed}),
            data_digest: "d".into(),
            revision: "r".into(),
        }
    }

    fn outcome(value: f64) -> Outcome {
        Outcome {
            status: Status::Ok,
            scores: vec![Score {
                protocol: ProtocolKind::TestMissing,
                rate: 0.9,
                split: Split::Test,
                metric: "accuracy".parse().unwrap(),
                value,
                n: 450,
            }],
            seconds: 2.0,
            parameters: 3,
            diagnosis: mmcollapse_record::Findings::default(),
            curves: BTreeMap::new(),
            measured: BTreeMap::new(),
            weights: None,
        }
    }

    fn stored(value: f64) -> Stored {
        Stored {
            outcome: outcome(value),
            origin: Origin {
                version: "1".into(),
                commit: None,
                machine: Machine {
                    cpu: "c".into(),
                    cores: 1,
                    os: "o".into(),
                },
                device: "cpu".into(),
            },
            trained: (100.5, 102.25),
        }
    }

    fn finished(store: &Store, cell: &Cell, value: f64) -> PathBuf {
        let claim = store.claim(cell).unwrap().unwrap();
        claim.begin().unwrap();
        claim.finish(&stored(value)).unwrap();
        store.folder(&cell.key()).join("outcome.json")
    }

    #[test]
    fn what_is_stored_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert_eq!(store.find(&cell(1).key()).unwrap(), Found::Missing);
        finished(&store, &cell(1), 0.1 + 0.2);
        let found = store.find(&cell(1).key()).unwrap();
        assert_eq!(found, Found::Whole(Box::new(stored(0.1 + 0.2))));
        assert_eq!(store.find(&cell(2).key()).unwrap(), Found::Missing);
    }

    #[test]
    fn a_cell_has_one_owner() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let claim = store.claim(&cell(1)).unwrap();
        assert!(claim.is_some());
        assert!(store.claim(&cell(1)).unwrap().is_none());
        assert!(store.claim(&cell(2)).unwrap().is_some());
        drop(claim);
        assert!(store.claim(&cell(1)).unwrap().is_some());
    }

    #[test]
    fn another_cells_outcome_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let path = finished(&store, &cell(1), 0.5);
        let other = store.folder(&cell(2).key()).join("outcome.json");
        write_atomic(&other, &fs::read(path).unwrap()).unwrap();
        let Found::Damaged(reason) = store.find(&cell(2).key()).unwrap() else {
            panic!("taken");
        };
        assert!(reason.contains("belongs to cell"), "{reason}");
    }

    #[test]
    fn a_score_that_is_not_finite_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let claim = store.claim(&cell(1)).unwrap().unwrap();
        let error = claim.finish(&stored(f64::NAN)).unwrap_err();
        assert!(error.to_string().contains("not finite"), "{error}");
    }

    #[test]
    fn an_outcome_that_cannot_be_read_costs_its_cell_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        finished(&store, &cell(1), 0.25);
        // A folder in its place, and a link that leads nowhere but to itself.
        let in_place = store.folder(&cell(2).key()).join("outcome.json");
        write_atomic(&in_place.join("somebody's"), b"notes").unwrap();
        let endless = finished(&store, &cell(3), 0.5);
        fs::remove_file(&endless).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&endless, &endless).unwrap();
        for (seed, path) in [(2, &in_place), (3, &endless)] {
            if cfg!(not(unix)) && seed == 3 {
                continue;
            }
            let Found::Damaged(reason) = store.find(&cell(seed).key()).unwrap() else {
                panic!("{}", path.display());
            };
            assert!(reason.contains(&path.display().to_string()), "{reason}");
            finished(&store, &cell(seed), 0.75);
            assert_eq!(
                store.find(&cell(seed).key()).unwrap(),
                Found::Whole(Box::new(stored(0.75)))
            );
        }
        assert_eq!(
            store.find(&cell(1).key()).unwrap(),
            Found::Whole(Box::new(stored(0.25)))
        );
        // What was in the way is beside it.
        let cell_folder = in_place.parent().unwrap();
        let aside = format!("outcome.json.aside-{}", std::process::id());
        assert_eq!(fs::read(cell_folder.join(aside).join("somebody's")).unwrap(), b"notes");
    }

    #[test]
    fn the_first_of_two_outcomes_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let claim = store.claim(&cell(1)).unwrap().unwrap();
        claim.begin().unwrap();
        // Another process, as after this one was silent for too long, was faster.
        let other = tempfile::tempdir().unwrap();
        let theirs = fs::read(finished(&Store::new(other.path()), &cell(1), 0.25)).unwrap();
        write_atomic(&claim.folder.join("outcome.json"), &theirs).unwrap();
        let mut file = AtomicFile::create(&claim.folder.join("outcome.json")).unwrap();
        file.write_all(b"ours").unwrap();
        assert!(!file.commit_new().unwrap());
        assert_eq!(fs::read(claim.folder.join("outcome.json")).unwrap(), theirs);
    }

    #[cfg(unix)]
    #[test]
    fn a_store_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let outer = tempfile::tempdir().unwrap();
        open(outer.path(), 0o777);
        let root = outer.path().join("store");
        let store = Store::new(&root);
        let claim = store.claim(&cell(1)).unwrap().unwrap();
        assert!(claim.is_private());
        claim.begin().unwrap();
        write_atomic(&claim.checkpoint().join("checkpoint.safetensors"), b"weights").unwrap();
        write_atomic(&claim.shared().join("fit.safetensors"), b"weights").unwrap();
        claim.finish(&stored(0.5)).unwrap();
        write_atomic(&claim.checkpoint().join("checkpoint.safetensors"), b"weights").unwrap();
        let mut seen = 0;
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&folder), 0o700, "{}", folder.display());
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    assert_eq!(mode(&path), 0o600, "{}", path.display());
                    seen += 1;
                }
            }
        }
        assert!(seen >= 5, "{seen}");
        // One of an older program, or one that somebody opened, is closed.
        for inner in ["cells", "fits"] {
            open(&root.join(inner), 0o755);
        }
        store.claim(&cell(2)).unwrap().unwrap();
        for inner in ["cells", "fits"] {
            let mode = fs::metadata(root.join(inner)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{inner}");
        }
    }

    #[test]
    fn what_killed_workers_left_half_written_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let cell_folder = store.folder(&cell(1).key());
        for place in [cell_folder.clone(), cell_folder.join("checkpoint")] {
            write_atomic(&place.join(".file.00000000-1-0.partial"), b"half").unwrap();
        }
        drop(store.claim(&cell(1)).unwrap().unwrap());
        for place in [cell_folder.clone(), cell_folder.join("checkpoint")] {
            assert!(
                !place.join(".file.00000000-1-0.partial").exists(),
                "{}",
                place.display()
            );
        }
    }

    #[test]
    fn the_log_of_epochs_lives_as_long_as_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let claim = store.claim(&cell(1)).unwrap().unwrap();
        let metrics = store.folder(&cell(1).key()).join("metrics.jsonl");
        claim.begin().unwrap().write_line("{\"epoch\":0}").unwrap();
        write_atomic(&claim.checkpoint().join("epoch"), b"1").unwrap();
        claim.begin().unwrap().write_line("{\"epoch\":1}").unwrap();
        assert_eq!(fs::read_to_string(&metrics).unwrap().lines().count(), 2);
        claim.forget_checkpoint().unwrap();
        claim.begin().unwrap();
        assert_eq!(fs::read_to_string(&metrics).unwrap(), "");
    }

    #[test]
    fn durations_are_by_kind() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert!(store.durations().is_empty());
        finished(&store, &cell(1), 0.5);
        finished(&store, &cell(2), 0.5);
        let durations = store.durations();
        assert_eq!(durations.len(), 1);
        assert_eq!(durations[&cell(3).kind()], [2.0, 2.0]);
    }

    #[test]
    fn wall_time_counts_overlaps_once_and_gaps_not_at_all() {
        let trained = |from: f64, to: f64| Stored {
            trained: (from, to),
            ..stored(0.5)
        };
        assert_eq!(wall_seconds([]), 0.0);
        let cells = [
            trained(0.0, 4.0),
            trained(2.0, 5.0),
            trained(3.0, 4.0),
            trained(10.0, 11.0),
        ];
        assert_eq!(wall_seconds(&cells), 6.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Any cut and any changed byte is seen, or changes nothing of what is read (a space between fields).
        #[test]
        fn damage_is_seen(cut in 0.0..1.0_f64, flip in 0.0..1.0_f64, bit in 0..8_u8) {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::new(folder.path());
            let path = finished(&store, &cell(1), 0.875);
            let whole = fs::read(&path).unwrap();
            // The last byte is a line break: without it the file is still whole.
            let end = (cut * (whole.len() - 2) as f64) as usize;
            write_atomic(&path, &whole[..end]).unwrap();
            prop_assert!(matches!(store.find(&cell(1).key()).unwrap(), Found::Damaged(_)));

            let mut changed = whole.clone();
            let place = (flip * (whole.len() - 1) as f64) as usize;
            changed[place] ^= 1 << bit;
            write_atomic(&path, &changed).unwrap();
            match store.find(&cell(1).key()).unwrap() {
                Found::Damaged(_) => {}
                Found::Whole(found) => prop_assert_eq!(*found, stored(0.875)),
                Found::Missing => prop_assert!(false, "not seen at all"),
            }
        }

        /// As above, of any mutation: none makes it panic, and none is taken for another outcome.
        #[test]
        fn no_mutated_outcome_is_taken_for_another(edits in crate::mutation::edits()) {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::new(folder.path());
            let path = finished(&store, &cell(1), 0.875);
            let whole = fs::read(&path).unwrap();
            write_atomic(&path, &crate::mutation::mutated(&whole, &edits)).unwrap();
            let folder_of_it = path.parent().unwrap();
            let about = fs::read(folder_of_it.join("cell.json")).unwrap();
            write_atomic(&folder_of_it.join("cell.json"), &crate::mutation::mutated(&about, &edits)).unwrap();
            store.durations();
            match store.find(&cell(1).key()).unwrap() {
                Found::Damaged(reason) => prop_assert!(reason.contains("outcome.json"), "{}", reason),
                Found::Whole(found) => prop_assert_eq!(*found, stored(0.875)),
                Found::Missing => prop_assert!(false, "not seen at all"),
            }
        }
    }

    #[test]
    fn the_oldest_weights_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert_eq!(
            (store.size().unwrap(), store.prune(0).unwrap()),
            (Size::default(), (0, 0))
        );
        for (age, name) in ["c", "a", "b"].into_iter().enumerate() {
            let path = folder.path().join(FITS).join(name);
            write_atomic(&path, &[0; 100]).unwrap();
            let written = SystemTime::now() - std::time::Duration::from_secs(60 * (10 - age as u64));
            fs::File::open(&path).unwrap().set_modified(written).unwrap();
        }
        assert_eq!((store.size().unwrap().fits, store.size().unwrap().fit_bytes), (3, 300));
        assert_eq!(store.prune(300).unwrap(), (0, 0));
        assert_eq!(store.prune(150).unwrap(), (2, 200));
        assert!(folder.path().join(FITS).join("b").is_file());
        assert_eq!(store.prune(0).unwrap(), (1, 100));
    }
}
