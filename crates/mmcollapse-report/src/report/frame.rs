//! A table of results, read back from its parquet file.
//!
//! Polars, which writes it, ends the process over some damaged pages (it asks for more memory than there is). The parquet crate
//! answers with errors, and with panics that are caught here.

use mmcollapse_record::UnknownName;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::str::FromStr;

use bytes::Bytes;
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::results::broken;

/// Columns by name, and their file for messages.
pub(crate) struct Frame {
    path: PathBuf,
    rows: usize,
    columns: BTreeMap<String, Vec<Field>>,
}

impl Frame {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read or is no parquet file.
    pub(crate) fn read(path: PathBuf) -> Result<Self> {
        let content = fs::read(&path).into_diagnostic().wrap_err_with(|| broken(&path))?;
        let read = panic::catch_unwind(AssertUnwindSafe(|| columns(content)));
        let read = read.unwrap_or_else(|_| Err(ParquetError::General("its reader panicked".to_owned())));
        let (rows, columns) = read.into_diagnostic().wrap_err_with(|| broken(&path))?;
        Ok(Self { path, rows, columns })
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The column `name` of text; nothing where there is none.
    pub(crate) fn text(&self, name: &str) -> Result<Vec<String>> {
        let all = self.values(name, "text", |field| match field {
            Field::Str(text) => Some(text.clone()),
            _ => None,
        })?;
        Ok(all.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// The column `name` of what is known by name.
    pub(crate) fn names<T: FromStr<Err = UnknownName>>(&self, name: &str) -> Result<Vec<T>> {
        let parsed = self.text(name)?.into_iter().map(|text| text.parse());
        let parsed: Result<Vec<T>, UnknownName> = parsed.collect();
        parsed.into_diagnostic().wrap_err_with(|| broken(&self.path))
    }

    /// The column `name` of numbers.
    pub(crate) fn numbers(&self, name: &str) -> Result<Vec<Option<f64>>> {
        self.values(name, "numbers", |field| match field {
            Field::Double(number) => Some(*number),
            _ => None,
        })
    }

    /// The column `name` of counts; 0 where there is none.
    pub(crate) fn counts(&self, name: &str) -> Result<Vec<u64>> {
        let all = self.values(name, "counts", |field| match field {
            Field::ULong(count) => Some(*count),
            _ => None,
        })?;
        Ok(all.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn values<T>(&self, name: &str, expected: &str, of: impl Fn(&Field) -> Option<T>) -> Result<Vec<Option<T>>> {
        let wrong = |got: &str| {
            let what = broken(&self.path);
            miette!("column `{name}`: expected {expected}, got {got}").wrap_err(what)
        };
        let column = self.columns.get(name).ok_or_else(|| wrong("no such column"))?;
        let value = |field: &Field| match field {
            Field::Null => Ok(None),
            other => of(other).map(Some).ok_or_else(|| wrong("another type")),
        };
        column.iter().map(value).collect()
    }
}

fn columns(content: Vec<u8>) -> Result<(usize, BTreeMap<String, Vec<Field>>), ParquetError> {
    let reader = SerializedFileReader::new(Bytes::from(content))?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let names = schema
        .columns()
        .iter()
        .map(|column| (column.name().to_owned(), Vec::new()));
    let mut columns: BTreeMap<String, Vec<Field>> = names.collect();
    let mut rows = 0;
    for row in reader.get_row_iter(None)? {
        for (name, field) in row?.into_columns() {
            // A name that the schema lacks is of a damaged file; what asks for a column then finds too few values.
            columns.entry(name).or_default().push(field);
        }
        rows += 1;
    }
    if columns.values().any(|column| column.len() != rows) {
        return Err(ParquetError::General(
            "expected columns of equally many values".to_owned(),
        ));
    }
    Ok((rows, columns))
}
