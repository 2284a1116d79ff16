//! Columns of a `.parquet` file: a list column is an array `[rows, length]`, a column of numbers is `[rows]`.
//!
//! Lists are of one length; a missing number is an error, never 0.

use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::{ArrayError, ArrayInfo, Dtype, Entry, Place, Result, Values, npy};

/// Bytes of the widest decimal that is read, of 38 digits.
const WIDEST_DECIMAL: i32 = 16;

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

/// The columns; one of text and the like is an error once it is asked for.
pub(crate) fn entries(path: &Path) -> Result<Vec<Entry>> {
    guarded(path, || {
        let reader = opened(path)?;
        let columns = reader.metadata().file_metadata().schema_descr().columns();
        let entry = |(place, column): (usize, &Arc<ColumnDescriptor>)| entry(path, &reader, place, column);
        Ok(columns.iter().enumerate().map(entry).collect())
    })
}

fn entry(path: &Path, reader: &SerializedFileReader<File>, place: usize, column: &ColumnDescriptor) -> Entry {
    let parts = column.path().parts();
    let lists = usize::try_from(column.max_rep_level()).unwrap_or_default();
    // Below a list stand two groups: `list.element`, or `list.item` of older writers.
    let name = parts[..parts.len().saturating_sub(2 * lists).max(1)].join(".");
    let known = || -> Result<(Dtype, Vec<usize>)> {
        let dtype = dtype(path, column)?;
        let rows = reader.metadata().file_metadata().num_rows();
        let mut shape = vec![usize::try_from(rows).unwrap_or_default()];
        if lists > 0 {
            shape.push(first_length(reader, place).map_err(|reason| ArrayError::of(path, reason))?);
        }
        Ok((dtype, shape))
    };
    match known() {
        Ok((dtype, shape)) => Entry {
            info: ArrayInfo {
                name,
                shape,
                dtype,
                path: path.to_owned(),
            },
            place: Place::Parquet { column: place },
        },
        Err(error) => Entry::unread(name, path, error),
    }
}

/// What the schema says of a column; its physical type alone does not tell a decimal from a float of 16 bits.
fn dtype(path: &Path, column: &ColumnDescriptor) -> Result<Dtype> {
    let refused =
        |what: &str, help: &str| Err(ArrayError::of(path, format!("expected numbers, got {what}")).help(help));
    if column.max_rep_level() > 1 {
        return refused(
            "lists of lists",
            "write one list a row, or an .npz or .safetensors file, whose arrays have any axes",
        );
    }
    let is_decimal = scale(column).is_some();
    Ok(match column.physical_type() {
        Type::FLOAT => Dtype::F32,
        Type::DOUBLE => Dtype::F64,
        Type::BOOLEAN => Dtype::Bool,
        Type::INT32 | Type::INT64 | Type::BYTE_ARRAY if is_decimal => Dtype::F64,
        Type::FIXED_LEN_BYTE_ARRAY if is_decimal && column.type_length() <= WIDEST_DECIMAL => Dtype::F64,
        Type::FIXED_LEN_BYTE_ARRAY if is_decimal => {
            return refused("decimals of more than 38 digits", "write them as doubles");
        }
        Type::INT32 if is_unsigned(column) => Dtype::U32,
        Type::INT32 => Dtype::I32,
        Type::INT64 if is_unsigned(column) => Dtype::U64,
        Type::INT64 => Dtype::I64,
        Type::FIXED_LEN_BYTE_ARRAY if column.logical_type_ref() == Some(&LogicalType::Float16) => Dtype::F16,
        Type::INT96 => return refused("points in time of 96 bits", "write them as int64"),
        _ if is_text(column) => {
            return refused(
                "text",
                "write whole numbers instead, as `pandas.factorize(column)[0]` gives",
            );
        }
        _ => return refused("bytes", "write numbers, or lists of numbers"),
    })
}

/// Places after the point of a decimal; none of other numbers.
fn scale(column: &ColumnDescriptor) -> Option<i32> {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Decimal { scale, .. }), _) => Some(*scale),
        (None, ConvertedType::DECIMAL) => Some(column.type_scale()),
        _ => None,
    }
}

fn is_unsigned(column: &ColumnDescriptor) -> bool {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Integer { is_signed, .. }), _) => !is_signed,
        (_, kind) => matches!(
            kind,
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        ),
    }
}

fn is_text(column: &ColumnDescriptor) -> bool {
    let kinds = [ConvertedType::UTF8, ConvertedType::ENUM, ConvertedType::JSON];
    matches!(
        column.logical_type_ref(),
        Some(LogicalType::String | LogicalType::Enum | LogicalType::Json)
    ) || kinds.contains(&column.converted_type())
}

/// The decimal `unscaled / 10^scale`, rounded once.
fn decimal(unscaled: i128, scale: i32) -> Reasoned<f64> {
    let read = format!("{unscaled}e{}", -i64::from(scale)).parse();
    read.map_err(|_| "expected decimals, got others".to_owned())
}

/// The number of these bytes: a float of 16 bits, or a decimal, whose highest byte is first, in two's complement.
fn number(bytes: &[u8], scale: Option<i32>) -> Reasoned<f64> {
    let Some(scale) = scale else {
        let bytes = <[u8; 2]>::try_from(bytes).map_err(|error| error.to_string())?;
        return Ok(half::f16::from_le_bytes(bytes).to_f64());
    };
    let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let mut wide = if is_negative { [0xff; 16] } else { [0; 16] };
    let start = wide.len().checked_sub(bytes.len());
    let start = start.ok_or("expected decimals of at most 38 digits, got a longer one")?;
    wide[start..].copy_from_slice(bytes);
    decimal(i128::from_be_bytes(wide), scale)
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
        let scale = scale(&descriptor);
        match group.get_column_reader(column).map_err(unreadable)? {
            ColumnReader::FloatColumnReader(from) => {
                let read = self.values(from, n, &descriptor, Some(f32::NAN))?;
                self.numbers.extend(read.into_iter().map(f64::from));
            }
            ColumnReader::DoubleColumnReader(from) => {
                let read = self.values(from, n, &descriptor, Some(f64::NAN))?;
                self.numbers.extend(read);
            }
            ColumnReader::Int32ColumnReader(from) => {
                let read = self.values(from, n, &descriptor, None)?;
                let read = read.into_iter().map(|value| {
                    if is_unsigned(&descriptor) {
                        i64::from(value.cast_unsigned())
                    } else {
                        i64::from(value)
                    }
                });
                self.put(read, scale)?;
            }
            ColumnReader::Int64ColumnReader(from) => {
                let read = self.values(from, n, &descriptor, None)?;
                if is_unsigned(&descriptor) && read.iter().any(|value| *value < 0) {
                    return Err(format!("{}; {}", npy::TOO_LARGE, npy::SMALLER));
                }
                self.put(read.into_iter(), scale)?;
            }
            ColumnReader::BoolColumnReader(from) => {
                let read = self.values(from, n, &descriptor, None)?;
                self.wholes.extend(read.into_iter().map(i64::from));
            }
            ColumnReader::FixedLenByteArrayColumnReader(from) => {
                for value in self.values(from, n, &descriptor, None)? {
                    self.numbers.push(number(value.data(), scale)?);
                }
            }
            ColumnReader::ByteArrayColumnReader(from) => {
                for value in self.values(from, n, &descriptor, None)? {
                    self.numbers.push(number(value.data(), scale)?);
                }
            }
            ColumnReader::Int96ColumnReader(_) => return Err("expected numbers, got points in time".into()),
        }
        Ok(())
    }

    /// Keeps whole numbers, or the decimals that they stand for.
    fn put(&mut self, read: impl Iterator<Item = i64>, scale: Option<i32>) -> Reasoned<()> {
        let Some(scale) = scale else {
            self.wholes.extend(read);
            return Ok(());
        };
        for value in read {
            self.numbers.push(decimal(value.into(), scale)?);
        }
        Ok(())
    }

    /// The values of `n` rows, whose lengths are kept; `missing` stands for one that is missing, which is an error without it.
    /// Pandas writes NaN so.
    fn values<T: DataType>(
        &mut self,
        mut from: ColumnReaderImpl<T>,
        n: usize,
        column: &ColumnDescriptor,
        missing: Option<T::T>,
    ) -> Reasoned<Vec<T::T>> {
        let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let before = self.lengths.len();
        let read = from.read_records(n, Some(&mut defined), Some(&mut repeated), &mut values);
        let (rows, ..) = read.map_err(|error| format!("not a readable parquet file: {error}"))?;
        if rows != n {
            return Err(format!("expected {n} rows in a row group, got {rows}"));
        }
        let deepest = column.max_def_level();
        let optional = column.self_type().get_basic_info().repetition() == Repetition::OPTIONAL;
        let missing = missing.filter(|_| optional);
        let is_missing = |level: i16| missing.is_some() && level == deepest - 1;
        if column.max_rep_level() == 0 {
            self.lengths.resize(before + n, 1);
        }
        for (place, level) in defined.iter().enumerate() {
            // 0 begins a row.
            let begins = repeated.get(place).is_none_or(|level| *level == 0);
            if column.max_rep_level() > 0 && begins {
                self.lengths.push(0);
            }
            if *level != deepest && !is_missing(*level) {
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
        match missing {
            Some(missing) if defined.contains(&(deepest - 1)) => {
                let mut given = values.into_iter();
                let levels = defined.into_iter().filter(|level| *level >= deepest - 1);
                Ok(levels
                    .filter_map(|level| {
                        if level == deepest {
                            given.next()
                        } else {
                            Some(missing.clone())
                        }
                    })
                    .collect())
            }
            _ => Ok(values),
        }
    }
}
