//! Bytes of this process, or of a file that all processes map and the system therefore holds once.
//!
//! A mapping shows what others write into the file later, and a process that touches what was cut off is killed by the
//! system (SIGBUS). So a file is mapped only above [`SMALL`] bytes, only where it is written whole or not at all, and
//! [`Bytes::unchanged`] says afterwards whether somebody changed it in its place all the same.
#![expect(
    unsafe_code,
    reason = "a mapped file may be changed by others: its checksum is taken at the start and its stamp compared at the end"
)]

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;
use std::time::SystemTime;

use memmap2::Mmap;

/// Files of at most so many bytes are read: a copy in each process costs nothing then, and no change can reach it.
const SMALL: u64 = 1 << 18;

/// The bytes.
pub(crate) enum Bytes {
    /// In this process's own memory.
    Owned(Vec<u8>),
    /// In a file.
    Mapped(Mapped),
}

/// A file in memory, and what it was when it was opened.
pub(crate) struct Mapped {
    map: Mmap,
    file: File,
    stamp: Stamp,
}

/// Length and time of change.
type Stamp = (u64, Option<SystemTime>);

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.len(), metadata.modified().ok())
}

impl Bytes {
    /// The content of the file at `path`, mapped if it is large and the file system can.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::open_above(path, SMALL)
    }

    fn open_above(path: &Path, small: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let stamp = stamp(&file.metadata()?);
        if stamp.0 > small {
            // SAFETY: the bytes are read only, and only as bytes, of which every pattern is valid. That nobody changes them
            // is what atomic writing provides; who does so by hand is found by checksum and stamp.
            if let Ok(map) = unsafe { Mmap::map(&file) } {
                return Ok(Self::Mapped(Mapped { map, file, stamp }));
            }
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self::Owned(bytes))
    }

    /// Whether they are still those that were opened.
    pub(crate) fn unchanged(&self) -> bool {
        match self {
            Self::Owned(_) => true,
            Self::Mapped(mapped) => mapped.file.metadata().is_ok_and(|now| stamp(&now) == mapped.stamp),
        }
    }

    /// Whether every process that opens the file shares them.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Mapped(_))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(mapped) => &mapped.map,
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.is_shared() { "mapped" } else { "owned" };
        write!(f, "{} bytes, {how}", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_in_its_place_is_noticed_and_a_replacement_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        let write = |bytes: &[u8]| mmcollapse_files::write_atomic(&path, bytes).unwrap();
        write(b"first");
        let (owned, mapped) = (Bytes::open(&path).unwrap(), Bytes::open_above(&path, 0).unwrap());
        assert!(!owned.is_shared() && mapped.is_shared());
        write(b"another");
        for bytes in [&owned, &mapped] {
            assert_eq!(&bytes[..], b"first");
            assert!(bytes.unchanged());
        }
        let mapped = Bytes::open_above(&path, 0).unwrap();
        // As an editor or `cp` over it would.
        mmcollapse_files::LineFile::append(&path)
            .and_then(|mut file| file.write_line("more"))
            .unwrap();
        assert!(!mapped.unchanged() && Bytes::open(&path).unwrap().unchanged());
    }
}
