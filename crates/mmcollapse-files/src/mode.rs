//! Who may read what is written: what is made in a private folder is private.
//!
//! Checkpoints, banks of encodings and caches derive from data that may be credentialed. Their folders are for their owner
//! alone (0700), and everything made below them is, whatever the umask.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::path::Path;

use super::named;

/// Makes `folder` and its missing parents; inside of a private folder they are private.
pub(super) fn create_folders(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    if in_private(folder) {
        private(&mut builder);
    }
    builder.create(folder).map_err(|error| named(folder, &error))
}

/// How to open a file in `folder`: one that it makes is for its owner alone if the folder is.
pub(super) fn options_in(folder: &Path) -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    if in_private(folder) {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Makes `folder` a private one (0700): creates it, or closes one of ours that is open to others. Returns whether that is
/// what it now is: some file systems (FAT, CIFS) keep no modes.
///
/// # Errors
/// Whatever the file system says, with `folder` in the message, as where it belongs to somebody else.
pub fn private_folder(folder: &Path) -> io::Result<bool> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    private(&mut builder);
    builder.create(folder).map_err(|error| named(folder, &error))?;
    close(folder)
}

#[cfg(unix)]
fn close(folder: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    if is_private(folder)? {
        return Ok(true);
    }
    let refused = |error: io::Error| {
        let what = format!("it is open to others and cannot be closed to them ({error}); choose a folder of your own");
        named(folder, &io::Error::new(error.kind(), what))
    };
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(refused)?;
    is_private(folder)
}

#[cfg(not(unix))]
fn close(_folder: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(unix)]
#[expect(clippy::verbose_bit_mask, reason = "modes are written in octal, three bits for whom")]
fn is_private(folder: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(folder).map_err(|error| named(folder, &error))?;
    Ok(metadata.permissions().mode() & 0o077 == 0)
}

/// Whether the nearest folder that is there is private.
#[cfg(unix)]
fn in_private(folder: &Path) -> bool {
    let here = |folder: &Path| {
        if folder == Path::new("") {
            Path::new(".")
        } else {
            folder
        }
        .to_owned()
    };
    let nearest = folder.ancestors().map(here).find(|folder| folder.is_dir());
    nearest.is_some_and(|folder| is_private(&folder).unwrap_or(false))
}

#[cfg(not(unix))]
fn in_private(_folder: &Path) -> bool {
    false
}

#[cfg(unix)]
fn private(builder: &mut DirBuilder) {
    use std::os::unix::fs::DirBuilderExt;
    builder.mode(0o700);
}

#[cfg(not(unix))]
fn private(_builder: &mut DirBuilder) {}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{AtomicFolder, FileLock, LineFile, write_atomic};
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_in_a_private_folder_is_private() {
        let outer = tempfile::tempdir().unwrap();
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let folder = outer.path().join("a/store");
        assert!(private_folder(&folder).unwrap());
        assert_eq!(mode(&folder), 0o700);
        write_atomic(&folder.join("cells/x/outcome.json"), b"{}").unwrap();
        LineFile::append(&folder.join("cells/x/metrics.jsonl")).unwrap();
        let _lock = FileLock::acquire(&folder.join("cells/y/lock")).unwrap();
        let plant = AtomicFolder::create(&folder.join("plant")).unwrap();
        plant.commit().unwrap();
        for inner in ["cells", "cells/x", "cells/y", "plant"] {
            assert_eq!(mode(&folder.join(inner)), 0o700, "{inner}");
        }
        for file in ["cells/x/outcome.json", "cells/x/metrics.jsonl", "cells/y/lock"] {
            assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
        }
        // Beside it everything is as the umask says.
        write_atomic(&outer.path().join("results/table.md"), b"").unwrap();
        let plain = tempfile::tempfile_in(outer.path());
        drop(plain);
        assert_ne!(mode(&outer.path().join("results")), 0o700);
    }

    #[test]
    fn an_open_folder_is_closed() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("cells");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o775)).unwrap();
        assert!(private_folder(&folder).unwrap());
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn a_folder_that_cannot_be_closed_is_refused() {
        // Nobody's to change: a folder of the system.
        let error = private_folder(Path::new("/proc/self/task")).unwrap_err();
        assert!(error.to_string().contains("/proc/self/task"), "{error}");
    }
}
