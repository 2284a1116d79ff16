//! A table of a release, read row by row: `.csv.gz` or `.csv`, columns found by name.
//!
//! Only one row is in memory at a time, as the largest table is larger than the memory of the machines it is read on. What
//! becomes of the rows is counted ([`TableCoverage`]).

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};

use super::coverage::{Count, TableCoverage};
use super::error::EhrError;
use super::quotes::{QuoteFault, QuoteGuard};
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
    coverage: TableCoverage,
}

/// What a table is called, and which of its columns may hold line breaks, as free text does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Path below the folder, without ending.
    pub(super) name: &'static str,
    pub(super) free_text: &'static [&'static str],
}

impl Form {
    /// A table without free text.
    pub(super) const fn plain(name: &'static str) -> Self {
        Self { name, free_text: &[] }
    }
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
    /// Opens the table `form` below `folder`, which has to be there, and finds `columns` in its heading.
    pub(super) fn require<const N: usize>(
        folder: &Path,
        form: Form,
        columns: [&'static str; N],
    ) -> Result<(Self, [Column; N]), EhrError> {
        Self::open(&require(folder, form.name)?, form, columns)
    }

    /// Opens `path` and finds `columns` in its heading, in any capitals where they are not there as written.
    pub(super) fn open<const N: usize>(
        path: &Path,
        form: Form,
        columns: [&'static str; N],
    ) -> Result<(Self, [Column; N]), EhrError> {
        let file = File::open(path).map_err(|error| EhrError::Broken {
            path: path.to_owned(),
            line: 0,
            reason: error.to_string(),
        })?;
        let file = BufReader::with_capacity(BUFFER, file);
        let source: Box<dyn Read> = if path.extension().is_some_and(|ending| ending == "gz") {
            let length = file.get_ref().metadata().map_or(0, |metadata| metadata.len());
            Box::new(Rows::new(Gunzip::new(file, length)))
        } else {
            Box::new(Rows::new(file))
        };
        let source: Box<dyn Read> = Box::new(QuoteGuard::new(source, form.free_text));
        let mut table = Self {
            path: path.to_owned(),
            reader: ReaderBuilder::new().buffer_capacity(BUFFER).from_reader(source),
            record: ByteRecord::new(),
            line: 0,
            coverage: TableCoverage::new(form.name),
        };
        let heading = match table.reader.byte_headers() {
            Ok(heading) => heading.clone(),
            Err(error) => {
                return Err(broken(path, 0, &error));
            }
        };
        table.line = 1;
        // Every column is found or an error, so the first place that stands for a missing one is never used.
        let mut found = columns.map(|name| Column { name, index: 0 });
        for column in &mut found {
            column.index = place(&heading, column.name).map_err(|times| match times {
                0 => EhrError::NoColumn {
                    path: path.to_owned(),
                    column: column.name,
                    expected: columns.join(", "),
                    found: heading.len(),
                },
                _ => table.contradiction("every column once in the heading", "one that is needed twice"),
            })?;
        }
        Ok((table, found))
    }

    /// Goes to the next row; `false` at the end of the table.
    pub(super) fn next(&mut self) -> Result<bool, EhrError> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(more) => {
                self.line = self.record.position().map_or(self.line, csv::Position::line);
                self.coverage.rows += u64::from(more);
                Ok(more)
            }
            Err(error) => Err(broken(&self.path, self.line, &error)),
        }
    }

    /// Counts this row as not used.
    pub(super) fn drop(&mut self, why: Count) {
        self.coverage.drop(why, 1);
    }

    /// What became of the rows, once the table was read to its end.
    ///
    /// # Errors
    /// When it has no row, which a download that was cut off behind the heading leaves, unless it `may_be_empty`; or when
    /// the stay of every row that names one, of an item that is read, is unknown.
    pub(super) fn finish(self, may_be_empty: bool) -> Result<TableCoverage, EhrError> {
        let Self { path, coverage, .. } = self;
        if coverage.rows == 0 && !may_be_empty {
            return Err(EhrError::NoRows { path });
        }
        let of = |why: Count| coverage.dropped.get(&why).copied().unwrap_or_default();
        let unknown = of(Count::UnknownStay);
        if unknown > 0 && unknown + of(Count::NoStay) + of(Count::OtherItem) == coverage.rows {
            return Err(EhrError::NothingMatched {
                path,
                counts: coverage.to_string(),
            });
        }
        Ok(coverage)
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

/// The place of the column `name`, else how often it is there.
fn place(heading: &ByteRecord, name: &str) -> Result<usize, usize> {
    let of = |same: &dyn Fn(&[u8]) -> bool| {
        let found: Vec<usize> = (0..heading.len()).filter(|&i| same(heading[i].trim_ascii())).collect();
        match found[..] {
            [place] => Ok(place),
            _ => Err(found.len()),
        }
    };
    match of(&|cell| cell == name.as_bytes()) {
        Err(0) => of(&|cell| cell.eq_ignore_ascii_case(name.as_bytes())),
        found => found,
    }
}

/// What the reader of `path` says after `line`, without the row that it stumbled on.
fn broken(path: &Path, line: u64, error: &csv::Error) -> EhrError {
    let path = path.to_owned();
    match error.kind() {
        ErrorKind::UnequalLengths { pos, expected_len, len } => EhrError::Row {
            path,
            line: pos.as_ref().map_or(line, csv::Position::line),
            expected: *expected_len,
            got: *len,
        },
        ErrorKind::Io(io) => match QuoteFault::of(io) {
            Some(QuoteFault { line, got }) => EhrError::Quote { path, line, got },
            None => EhrError::Broken {
                path,
                line,
                reason: reason(error),
            },
        },
        _ => EhrError::Broken {
            path,
            line,
            reason: reason(error),
        },
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
