//! Files and folders that are still being written, and what killed processes left of them.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::holder::{Holder, is_here, runs};
use super::{folder_of, named};

/// Ends the name of everything temporary, so that a folder can be swept of what killed processes left.
const TEMPORARY: &str = ".partial";

/// Of a writer that cannot be asked for (another machine, an older program) this much silence is its end.
const ABANDONED: Duration = Duration::from_hours(24);

/// Counts the temporary files of this process: two threads that write the same target must not share one.
static TEMPORARIES: AtomicU64 = AtomicU64::new(0);

/// Folders that this process has swept.
static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A path beside `path` that nothing else writes to; `what` it is to be, for the message.
pub(super) fn temporary_beside(path: &Path, what: &str) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{}: not the name of a {what}", path.display()),
        )
    })?;
    let count = TEMPORARIES.fetch_add(1, Ordering::Relaxed);
    let Holder { machine, pid, .. } = Holder::here();
    let name = name.to_string_lossy();
    Ok(folder_of(path).join(format!(".{name}.{machine}-{pid}-{count}{TEMPORARY}")))
}

/// Removes all temporary files and folders in `folder` (not in its sub-folders) and returns how many there were.
///
/// Call it only while nobody else writes there, that is, under the lock that guards the folder.
///
/// # Errors
/// Whatever the file system says; a missing folder is not an error.
pub fn sweep_temporaries(folder: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(named(folder, &error)),
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry.map_err(|error| named(folder, &error))?;
        if is_temporary(&entry) {
            remove(&entry).map_err(|error| named(&entry.path(), &error))?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Removes what ended processes left half written in `folder`, the first time that this process writes there. Others may
/// be writing; what cannot be removed stays.
pub(super) fn sweep_abandoned(folder: &Path) {
    let first = SWEPT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(folder.to_path_buf());
    let entries = first.then(|| fs::read_dir(folder).ok()).flatten();
    for entry in entries.into_iter().flatten().flatten() {
        if is_temporary(&entry) && is_abandoned(&entry) {
            let _ = remove(&entry);
        }
    }
}

fn is_temporary(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    name.starts_with('.') && name.ends_with(TEMPORARY)
}

/// Whether the writer is known to have ended, or has been silent for too long. What is not named by this module is
/// somebody else's.
fn is_abandoned(entry: &DirEntry) -> bool {
    match writer(&entry.file_name().to_string_lossy()) {
        None => false,
        Some((machine, pid)) if is_here(&machine) => !runs(pid),
        Some(_) => {
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|silence| silence > ABANDONED))
        }
    }
}

/// Machine and process by a temporary name, `.NAME.MACHINE-PID-COUNT.partial`; older programs wrote no machine.
fn writer(name: &str) -> Option<(String, u32)> {
    let (_, writer) = name.strip_suffix(TEMPORARY)?.rsplit_once('.')?;
    let parts: Vec<&str> = writer.split('-').collect();
    let (machine, pid, count) = match parts[..] {
        [machine, pid, count] => (machine, pid, count),
        [pid, count] => ("", pid, count),
        _ => return None,
    };
    count.parse::<u64>().ok()?;
    Some((machine.to_owned(), pid.parse().ok()?))
}

fn remove(entry: &DirEntry) -> io::Result<()> {
    if entry.file_type()?.is_dir() {
        fs::remove_dir_all(entry.path())
    } else {
        fs::remove_file(entry.path())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::Command;
    use std::time::SystemTime;

    use super::super::{AtomicFile, AtomicFolder, write_atomic};
    use super::*;

    fn put(path: &Path) {
        File::create(path).unwrap();
    }

    #[test]
    fn all_that_is_half_written_is_swept_under_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("kept"));
        put(&folder.path().join(".file.0-1-0.partial"));
        fs::create_dir(folder.path().join(".tables.0-1-1.partial")).unwrap();
        put(&folder.path().join(".tables.0-1-1.partial/inside"));
        assert_eq!(sweep_temporaries(folder.path()).unwrap(), 2);
        assert!(folder.path().join("kept").exists());
        assert_eq!(sweep_temporaries(folder.path()).unwrap(), 0);
        assert_eq!(sweep_temporaries(&folder.path().join("none")).unwrap(), 0);
    }

    /// What a process leaves when it ends while it writes.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_first_write_sweeps_what_ended_processes_left_and_nothing_else() {
        let mut child = Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let machine = &Holder::here().machine;
        let folder = tempfile::tempdir().unwrap();
        let here = |name: &str| folder.path().join(name);
        let abandoned = here(&format!(".fit.{machine}-{dead}-0.partial"));
        let tables = here(&format!(".tables.{machine}-{dead}-1.partial"));
        let elsewhere = here(".fit.00000000-1-0.partial");
        let old = here(".fit.77-0.partial");
        let not_ours = here(".somebody's.partial");
        let own = AtomicFile::create(&here("own")).unwrap();
        for file in [&abandoned, &elsewhere, &old, &not_ours] {
            put(file);
        }
        fs::create_dir(&tables).unwrap();
        put(&tables.join("patients.csv"));
        let day = SystemTime::now() - ABANDONED - Duration::from_mins(1);
        for file in [&old, &not_ours] {
            let file = File::options().write(true).open(file).unwrap();
            file.set_modified(day).unwrap();
        }
        // Not swept twice by one process; a test of a process's first write has to forget the one above.
        SWEPT.lock().unwrap().remove(folder.path());
        write_atomic(&here("result"), b"x").unwrap();
        assert!(!abandoned.exists() && !tables.exists() && !old.exists());
        assert!(elsewhere.exists(), "it may still be written");
        assert!(not_ours.exists());
        own.commit().unwrap();
        assert!(here("own").exists() && here("result").exists());

        // A folder that comes into being sweeps beside it.
        put(&abandoned);
        SWEPT.lock().unwrap().remove(folder.path());
        drop(AtomicFolder::create(&here("plant")).unwrap());
        assert!(!abandoned.exists());
    }
}
