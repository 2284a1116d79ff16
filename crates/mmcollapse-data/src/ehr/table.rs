//! A table of a release, read row by row: `.csv.gz` or `.csv`, columns found by name.
//!
//! Only one row is in memory at a time, as the largest table is larger than the memory of the machines it is read on.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};

use super::error::EhrError;
use super::time;
use crate::caps::Rows;
use crate::gzip::Gunzip;

/// Bytes asked of the disk at a time.
const BUFFER: usize = 1 << 20;

/// A table that is being read.
pub(super) struct Table {
    path: PathBuf,
    reader: Reader<Box<dyn Read>>,
    record: ByteRecord,
    line: u64,
}

/// A column that was found in the heading.
#[derive(Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    index: usize,
}

/// The file of `table` (such as `hosp/patients`) below `folder`, if it is there.
///
/// Of the two forms the compressed one is taken: it carries its own length and checksum, so that a download that was
/// cut off is noticed, which a plain file cannot do.
pub(super) fn find(folder: &Path, table: &str) -> Option<PathBuf> {
    let forms = ["csv.gz", "csv"].map(|ending| folder.join(format!("{table}.{ending}")));
    forms.into_iter().find(|path| path.is_file())
}

/// [`find`] for a table that has to be there.
pub(super) fn require(folder: &Path, table: &str) -> Result<PathBuf, EhrError> {
    find(folder, table).ok_or_else(|| EhrError::NoTable {
        folder: folder.to_owned(),
        table: table.to_owned(),
    })
}

impl Table {
    /// Opens `path` and finds `columns` in its heading.
    pub(super) fn open<const N: usize>(
        path: &Path,
        columns: [&'static str; N],
    ) -> Result<(Self, [Column; N]), EhrError> {
        let broken = |reason: String| EhrError::Broken {
            path: path.to_owned(),
            line: 0,
            reason,
        };
        let file = File::open(path).map_err(|error| broken(error.to_string()))?;
        let file = BufReader::with_capacity(BUFFER, file);
        let source: Box<dyn Read> = if path.extension().is_some_and(|ending| ending == "gz") {
            let length = file.get_ref().metadata().map_or(0, |metadata| metadata.len());
            Box::new(Rows::new(Gunzip::new(file, length)))
        } else {
            Box::new(Rows::new(file))
        };
        let mut reader = ReaderBuilder::new().buffer_capacity(BUFFER).from_reader(source);
        let heading = match reader.byte_headers() {
            Ok(heading) => heading.clone(),
            Err(error) => return Err(broken(reason(&error))),
        };
        let found = columns.map(|name| {
            let index = heading.iter().position(|cell| cell == name.as_bytes());
            index.map(|index| Column { name, index }).ok_or(name)
        });
        if let Some(column) = found.iter().find_map(|column| column.err()) {
            let names: Vec<_> = heading.iter().map(String::from_utf8_lossy).collect();
            return Err(EhrError::NoColumn {
                path: path.to_owned(),
                column,
                found: if names.is_empty() {
                    "an empty file".into()
                } else {
                    names.join(", ")
                },
            });
        }
        let table = Self {
            path: path.to_owned(),
            reader,
            record: ByteRecord::new(),
            line: 1,
        };
        // Every column was found, so the name that stands for a missing one is never used.
        Ok((
            table,
            found.map(|column| column.unwrap_or_else(|name| Column { name, index: 0 })),
        ))
    }

    /// Goes to the next row; `false` at the end of the table.
    pub(super) fn next(&mut self) -> Result<bool, EhrError> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(more) => {
                self.line = self.record.position().map_or(self.line, csv::Position::line);
                Ok(more)
            }
            Err(error) => Err(self.wrong(&error)),
        }
    }

    fn wrong(&self, error: &csv::Error) -> EhrError {
        if let ErrorKind::UnequalLengths { pos, expected_len, len } = error.kind() {
            return EhrError::Row {
                path: self.path.clone(),
                line: pos.as_ref().map_or(self.line, csv::Position::line),
                expected: *expected_len,
                got: *len,
            };
        }
        EhrError::Broken {
            path: self.path.clone(),
            line: self.line,
            reason: reason(error),
        }
    }

    /// The cell as text, without white space around it; `None` where it is empty.
    pub(super) fn optional_text(&self, column: Column) -> Result<Option<&str>, EhrError> {
        let bytes = self.record.get(column.index).unwrap_or_default();
        match str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            Err(_) => Err(self.cell(column, "UTF-8 text")),
        }
    }

    /// The cell as text that has to be there.
    pub(super) fn text(&self, column: Column) -> Result<&str, EhrError> {
        self.optional_text(column)?.ok_or_else(|| self.cell(column, "text"))
    }

    /// The cell as `parse` understands it, if there is anything in it.
    pub(super) fn optional<T>(
        &self,
        column: Column,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, EhrError> {
        match self.optional_text(column)? {
            None => Ok(None),
            Some(text) => parse(text).map(Some).ok_or_else(|| self.cell(column, expected)),
        }
    }

    /// The cell as `parse` understands it.
    pub(super) fn required<T>(
        &self,
        column: Column,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, EhrError> {
        let found = self.optional(column, expected, parse)?;
        found.ok_or_else(|| self.cell(column, expected))
    }

    /// The cell as the number of a patient or a stay.
    pub(super) fn id(&self, column: Column) -> Result<u64, EhrError> {
        self.required(column, "a whole number", |text| text.parse().ok())
    }

    /// The cell as the number of a stay; many tests are taken outside of any.
    pub(super) fn optional_id(&self, column: Column) -> Result<Option<u64>, EhrError> {
        self.optional(column, "a whole number or nothing", |text| text.parse().ok())
    }

    /// The cell as a small whole number.
    pub(super) fn whole(&self, column: Column) -> Result<u32, EhrError> {
        self.required(column, "a whole number", |text| text.parse().ok())
    }

    /// The cell as a date or time, in seconds since 1970.
    pub(super) fn time(&self, column: Column) -> Result<i64, EhrError> {
        self.required(column, "a time such as 2180-05-06 22:23:00", time::parse)
    }

    /// The cell as a date or time, if there is one.
    pub(super) fn optional_time(&self, column: Column) -> Result<Option<i64>, EhrError> {
        self.optional(column, "a time such as 2180-05-06 22:23:00 or nothing", time::parse)
    }

    /// This row says what another row excludes.
    pub(super) fn contradiction(&self, expected: &'static str, got: &'static str) -> EhrError {
        EhrError::Contradiction {
            path: self.path.clone(),
            line: self.line,
            expected,
            got,
        }
    }

    fn cell(&self, column: Column, expected: &'static str) -> EhrError {
        EhrError::Cell {
            path: self.path.clone(),
            line: self.line,
            column: column.name,
            expected,
            got: kind_of(self.record.get(column.index).unwrap_or_default()),
        }
    }
}

/// What kind of thing a cell holds, without saying what.
fn kind_of(bytes: &[u8]) -> String {
    let Ok(text) = str::from_utf8(bytes) else {
        return "bytes that are no UTF-8".into();
    };
    let text = text.trim();
    if text.is_empty() {
        return "an empty cell".into();
    }
    let kind = if text.parse::<i128>().is_ok() {
        "a whole number"
    } else if text.parse::<f64>().is_ok() {
        "a decimal number"
    } else if time::parse(text).is_some() {
        "a time"
    } else {
        "text"
    };
    format!("{kind} of {} characters", text.chars().count())
}

/// What the reader says, without the row that it stumbled on.
fn reason(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the end of the file in the middle of its compressed data".into()
        }
        ErrorKind::Io(error) => error.to_string(),
        ErrorKind::Utf8 { .. } => "text that is no UTF-8".into(),
        _ => "something that is no CSV".into(),
    }
}
