//! Limits on what is read: a path may lead to a pipe, a device or a file without end.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Opens a file; pipes and devices, whose end may never come, are refused before they are opened.
///
/// # Errors
/// When it is no regular file or cannot be opened; a loop of links is one of the system's errors.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "expected a regular file, got a folder, pipe or device",
        ))
    }
}

/// All of a file of at most `most` bytes.
///
/// # Errors
/// What [`open`] fails with, and when the file is longer, whatever length it says it has.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(too_large(format!("expected at most {most} bytes, got more")));
    }
    Ok(bytes)
}

/// The error of what is larger than a limit.
pub(crate) fn too_large(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Whether a file is a by-product of another system that holds no data: `._name` and `.DS_Store` of macOS, and whatever else
/// is hidden. `path` is relative to the folder or archive; `__MACOSX` is where ZIP files of macOS keep the former.
pub(crate) fn is_by_product(path: &Path) -> bool {
    path.components().any(|step| {
        let step = step.as_os_str().as_encoded_bytes();
        step == b"__MACOSX" || (step.starts_with(b".") && step != b"." && step != b"..")
    })
}

/// Longest row of a table, in bytes; a hospital course of a hundred pages has 300,000.
const LONGEST_ROW: u64 = 64 << 20;

/// A table that stops at a row without end: what is no table, or a quote that is never closed, would be held in memory.
pub(crate) struct Rows<R> {
    table: R,
    row: u64,
    in_quotes: bool,
    before: u8,
    longest: u64,
}

impl<R: Read> Rows<R> {
    /// The bytes of `table`, unchanged.
    pub(crate) fn new(table: R) -> Self {
        Self {
            table,
            row: 0,
            in_quotes: false,
            before: b'\n',
            longest: LONGEST_ROW,
        }
    }

    fn see(&mut self, bytes: &[u8]) {
        if !self.in_quotes && !bytes.contains(&b'"') {
            match bytes.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => self.row = (bytes.len() - 1 - end) as u64,
                None => self.row += bytes.len() as u64,
            }
            self.before = bytes.last().copied().unwrap_or(self.before);
            return;
        }
        for &byte in bytes {
            self.row += 1;
            match byte {
                b'"' if self.in_quotes => self.in_quotes = false,
                // Where a cell begins, or behind a quote that closed one: two quotes are one of the text.
                b'"' => self.in_quotes = matches!(self.before, b',' | b'\n' | b'\r' | b'"'),
                b'\n' if !self.in_quotes => self.row = 0,
                _ => {}
            }
            self.before = byte;
        }
    }
}

impl<R: Read> Read for Rows<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.table.read(buffer)?;
        self.see(&buffer[..n]);
        if self.row > self.longest {
            let longest = self.longest;
            return Err(too_large(format!(
                "expected rows of at most {longest} bytes, got a longer one (a quote that is not closed, or no table)"
            )));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_files::write_atomic;

    use super::*;

    #[test]
    fn what_has_no_end_or_is_too_long_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomic(&path, &[7; 100]).unwrap();
        assert_eq!(read(&path, 100).unwrap(), [7; 100]);
        assert!(read(&path, 99).unwrap_err().to_string().contains("at most 99 bytes"));
        assert!(
            read(folder.path(), 99)
                .unwrap_err()
                .to_string()
                .contains("regular file")
        );
    }

    #[test]
    #[cfg(unix)]
    fn pipes_devices_and_loops_of_links_do_not_hang() {
        use std::os::unix::fs::symlink;
        use std::process::Command;
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            assert!(read(path, 9).unwrap_err().to_string().contains("pipe or device"));
        }
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        symlink(&one, &other).unwrap();
        symlink(&other, &one).unwrap();
        assert!(read(&one, 9).is_err());
    }

    #[test]
    fn a_row_without_end_stops_a_table_and_long_tables_do_not() {
        let passes = |table: &[u8], piece: usize| {
            let mut rows = Rows {
                longest: 10,
                ..Rows::new(table)
            };
            let mut buffer = vec![0; piece];
            loop {
                match rows.read(&mut buffer) {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(_) => return false,
                }
            }
        };
        for piece in [1, 3, 1000] {
            assert!(passes(&b"1,2,3\n".repeat(100), piece));
            assert!(passes(&b"1,\"a\n\"\"\"\n".repeat(100), piece));
            assert!(passes(&b"1,5\" 6\n".repeat(100), piece));
            assert!(!passes(&[0; 100], piece));
            assert!(!passes(b"1,\"a\nb\nc\nd\ne\nf\ng\nh\n", piece));
        }
    }

    #[test]
    fn by_products_are_told_from_data() {
        for path in ["._a.csv", ".DS_Store", "__MACOSX/a/._b.csv", "set-a/._1.txt"] {
            assert!(is_by_product(Path::new(path)), "{path}");
        }
        for path in ["a.csv", "./set-a/1.txt", "a._b", "MACOSX/a"] {
            assert!(!is_by_product(Path::new(path)), "{path}");
        }
    }
}
