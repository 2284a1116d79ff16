//! Columns of a `.parquet` file: a list column is an array `[rows, length]`, a column of numbers is `[rows]`.
//!
//! Lists are of one length; a missing number is an error, never 0.

use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::{ArrayError, ArrayInfo, Dtype, Entry, Place, Result, Values};

/// Reasons without the file's name.
type Reasoned<T> = std::result::Result<T, String>;

/// Runs `read`, whose panics become errors: the parquet crate panics over some damaged pages.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    let read = panic::catch_unwind(AssertUnwindSafe(read));
    read.unwrap_or_else(|_| Err(ArrayError::of(path, "not a readable parquet file: its reader panicked")))
}

fn opened(path: &Path) -> Result<SerializedFileReader<File>> {
    let file = File::open(path).map_err(|error| ArrayError::of(path, error.to_string()))?;
    SerializedFileReader::new(file)
        .map_err(|error| ArrayError::of(path, format!("not a readable parquet file: {error}")))
}

/// The columns that hold numbers; columns of text and the like are left out.
pub(crate) fn entries(path: &Path) -> Result<Vec<Entry>> {
    guarded(path, || {
        let reader = opened(path)?;
        let metadata = reader.metadata();
        let rows = usize::try_from(metadata.file_metadata().num_rows()).unwrap_or_default();
        let columns = metadata.file_metadata().schema_descr().columns();
        let mut entries = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            let Some(dtype) = dtype(column) else { continue };
            let parts = column.path().parts();
            let is_list = column.max_rep_level() > 0;
            // Below a list stand two groups: `list.element`, or `list.item` of older writers.
            let name = parts[..parts.len().saturating_sub(if is_list { 2 } else { 0 }).max(1)].join(".");
            let mut shape = vec![rows];
            if is_list {
                let first = first_length(&reader, place).map_err(|reason| ArrayError::of(path, reason).array(&name))?;
                shape.push(first);
            }
            entries.push(Entry {
                info: ArrayInfo {
                    name,
                    shape,
                    dtype,
                    path: path.to_owned(),
                },
                place: Place::Parquet { column: place },
            });
        }
        Ok(entries)
    })
}

fn dtype(column: &ColumnDescriptor) -> Option<Dtype> {
    if column.max_rep_level() > 1 {
        return None;
    }
    Some(match column.physical_type() {
        Type::FLOAT => Dtype::F32,
        Type::DOUBLE => Dtype::F64,
        Type::INT32 => Dtype::I32,
        Type::INT64 => Dtype::I64,
        Type::BOOLEAN => Dtype::Bool,
        // Floats of 16 bits.
        Type::FIXED_LEN_BYTE_ARRAY if column.type_length() == 2 => Dtype::F16,
        _ => return None,
    })
}

/// Length of the list in the first row.
fn first_length(reader: &SerializedFileReader<File>, column: usize) -> Reasoned<usize> {
    if reader.num_row_groups() == 0 {
        return Ok(0);
    }
    let mut found = Lists::default();
    found.take(reader, 0, column, Some(1))?;
    Ok(found.lengths.first().copied().unwrap_or_default())
}

/// The numbers of a column.
pub(crate) fn read(info: &ArrayInfo, column: usize) -> Result<Values> {
    let path = &info.path;
    guarded(path, || {
        let reader = opened(path)?;
        let mut found = Lists::default();
        for group in 0..reader.num_row_groups() {
            found
                .take(&reader, group, column, None)
                .map_err(|reason| ArrayError::of(path, reason))?;
        }
        let length = info.shape.get(1).copied().unwrap_or(1);
        if let Some(row) = found.lengths.iter().position(|&found| found != length) {
            let got = found.lengths[row];
            return Err(ArrayError::of(
                path,
                format!("row {row}: expected a list of {length}, got one of {got}"),
            ));
        }
        if found.lengths.len() != info.rows() {
            let reason = format!("expected {} rows, got {}", info.rows(), found.lengths.len());
            return Err(ArrayError::of(path, reason));
        }
        Ok(match info.dtype {
            Dtype::F64 => Values::Double(found.numbers),
            Dtype::F32 | Dtype::F16 => Values::Single(found.numbers.iter().map(|&value| value as f32).collect()),
            _ => Values::Whole(found.wholes),
        })
    })
}

/// What was read of a column so far.
#[derive(Default)]
struct Lists {
    /// Length of each row's list; 1 where the column holds numbers.
    lengths: Vec<usize>,
    numbers: Vec<f64>,
    wholes: Vec<i64>,
}

impl Lists {
    /// Reads a row group, or the first `rows` of it.
    fn take(
        &mut self,
        reader: &SerializedFileReader<File>,
        group: usize,
        column: usize,
        rows: Option<usize>,
    ) -> Reasoned<()> {
        let unreadable = |error: parquet::errors::ParquetError| format!("not a readable parquet file: {error}");
        let group = reader.get_row_group(group).map_err(unreadable)?;
        let n = usize::try_from(group.metadata().num_rows()).map_err(|error| error.to_string())?;
        let n = rows.unwrap_or(n).min(n);
        let descriptor = group.metadata().column(column).column_descr_ptr();
        match group.get_column_reader(column).map_err(unreadable)? {
            ColumnReader::FloatColumnReader(from) => {
                let read = self.values(from, n, &descriptor)?;
                self.numbers.extend(read.into_iter().map(f64::from));
            }
            ColumnReader::DoubleColumnReader(from) => {
                let read = self.values(from, n, &descriptor)?;
                self.numbers.extend(read);
            }
            ColumnReader::Int32ColumnReader(from) => {
                let read = self.values(from, n, &descriptor)?;
                self.wholes.extend(read.into_iter().map(i64::from));
            }
            ColumnReader::Int64ColumnReader(from) => {
                let read = self.values(from, n, &descriptor)?;
                self.wholes.extend(read);
            }
            ColumnReader::BoolColumnReader(from) => {
                let read = self.values(from, n, &descriptor)?;
                self.wholes.extend(read.into_iter().map(i64::from));
            }
            ColumnReader::FixedLenByteArrayColumnReader(from) => {
                for value in self.values(from, n, &descriptor)? {
                    let bytes = <[u8; 2]>::try_from(value.data()).map_err(|error| error.to_string())?;
                    self.numbers.push(half::f16::from_le_bytes(bytes).to_f64());
                }
            }
            _ => return Err("expected numbers, got bytes".into()),
        }
        Ok(())
    }

    /// The values of `n` rows, whose lengths are kept.
    fn values<T: DataType>(
        &mut self,
        mut from: ColumnReaderImpl<T>,
        n: usize,
        column: &ColumnDescriptor,
    ) -> Reasoned<Vec<T::T>> {
        let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let before = self.lengths.len();
        let read = from.read_records(n, Some(&mut defined), Some(&mut repeated), &mut values);
        let (rows, ..) = read.map_err(|error| format!("not a readable parquet file: {error}"))?;
        if rows != n {
            return Err(format!("expected {n} rows in a row group, got {rows}"));
        }
        let deepest = column.max_def_level();
        if column.max_rep_level() == 0 {
            self.lengths.resize(before + n, 1);
        }
        for (place, level) in defined.iter().enumerate() {
            // 0 begins a row.
            let begins = repeated.get(place).is_none_or(|level| *level == 0);
            if column.max_rep_level() > 0 && begins {
                self.lengths.push(0);
            }
            if *level != deepest {
                let row = if column.max_rep_level() > 0 {
                    self.lengths.len() - 1
                } else {
                    before + place
                };
                return Err(format!("row {row}: expected a number, got a missing value"));
            }
            if column.max_rep_level() > 0
                && let Some(length) = self.lengths.last_mut()
            {
                *length += 1;
            }
        }
        // A list that cannot be missing and holds numbers that cannot be missing has levels all the same.
        Ok(values)
    }
}
