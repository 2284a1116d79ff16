//! Columns of a parquet file, read as what their schema says they are.
//!
//! The same table comes typed in many ways: integers of 32 or 64 bits, floats of either width, durations in any unit. A type is
//! read from the schema or refused; nothing is skipped because it has another width than was expected. Reasons name columns
//! and types, never what a cell holds.

use std::collections::HashMap;
use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;

use candle_datasets::hub::FileReader;
use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::arrow_schema::{self, Unit};

/// Most bytes that a row group may unpack to.
const LARGEST_GROUP: i64 = 1 << 30;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Integers of any width, signed or not.
    Whole,
    /// Floats of 32 or 64 bits.
    Float,
    /// Integers that count a unit of time.
    Duration(Unit),
    /// Strings of bytes: text or media.
    Bytes,
    /// Nothing but missing values, of no type.
    Nothing,
    /// What is not read.
    Other(&'static str),
}

impl Kind {
    /// What it is, for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Whole => "integers",
            Self::Float => "floats",
            Self::Duration(_) => "durations",
            Self::Bytes => "text or bytes",
            Self::Nothing => "no type",
            Self::Other(name) => name,
        }
    }
}

/// A column of a file.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Its path, such as `label` or `image.bytes`.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    unsigned: bool,
    /// Definition level of a value that is there.
    deepest: i16,
    /// Its place among the columns of the file.
    pub(crate) place: usize,
}

/// A parquet file whose columns are known.
pub(crate) struct Columns {
    reader: Box<dyn FileReader>,
    pub(crate) columns: Vec<Column>,
}

/// Runs `read`, whose panics become reasons: the parquet crate panics over some damaged pages (a dictionary page turned into
/// another, for one).
pub(crate) fn guarded<T, E>(read: impl FnOnce() -> Result<T, E>, error: impl FnOnce(String) -> E) -> Result<T, E> {
    let read = panic::catch_unwind(AssertUnwindSafe(read));
    read.unwrap_or_else(|_| Err(error("not a readable parquet file: its reader panicked".into())))
}

fn unreadable(error: ParquetError) -> String {
    format!("not a readable parquet file: {error}")
}

impl Columns {
    /// Opens `path` and reads its schema.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        Self::of(File::open(path).map_err(|error| error.to_string())?)
    }

    /// Reads the schema of a file that is open, or in memory.
    pub(crate) fn of(file: impl ChunkReader + 'static) -> Result<Self, String> {
        let reader = Box::new(SerializedFileReader::new(file).map_err(unreadable)?);
        let metadata = reader.metadata().file_metadata();
        let described = metadata.key_value_metadata().into_iter().flatten();
        let described = described.filter(|pair| pair.key == arrow_schema::KEY);
        let mut units = HashMap::new();
        for text in described.filter_map(|pair| pair.value.as_deref()) {
            let found = arrow_schema::durations(text);
            units.extend(found.ok_or("expected Arrow's description of the columns, got one that cannot be read")?);
        }
        let column = |(place, column): (usize, &Arc<ColumnDescriptor>)| {
            let name = column.path().string();
            let kind = match kind(column) {
                Kind::Whole => units.get(&name).map_or(Kind::Whole, |&unit| Kind::Duration(unit)),
                kind => kind,
            };
            Column {
                unsigned: is_unsigned(column),
                deepest: column.max_def_level(),
                name,
                kind,
                place,
            }
        };
        let columns = metadata.schema_descr().columns().iter().enumerate().map(column);
        let columns = columns.collect();
        Ok(Self { reader, columns })
    }

    /// The column called `name`.
    pub(crate) fn find(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Rows of each row group.
    pub(crate) fn groups(&self) -> Result<Vec<usize>, String> {
        let groups = self.reader.metadata().row_groups().iter().map(|group| {
            let size = group.total_byte_size();
            if size > LARGEST_GROUP {
                return Err(format!("a row group of {size} bytes, at most {LARGEST_GROUP} are read"));
            }
            usize::try_from(group.num_rows()).map_err(|_| "a row group with a negative number of rows".to_owned())
        });
        groups.collect()
    }

    /// The integers of `column` in the row group `group`.
    pub(crate) fn wholes(&self, group: usize, column: &Column) -> Result<Vec<Option<i64>>, String> {
        let narrow = |value: i32| {
            if column.unsigned {
                i64::from(value.cast_unsigned())
            } else {
                i64::from(value)
            }
        };
        match self.reader(group, column)? {
            (ColumnReader::Int32ColumnReader(reader), n) => Ok(values(reader, n, column.deepest)?
                .into_iter()
                .map(|value| value.map(narrow))
                .collect()),
            (ColumnReader::Int64ColumnReader(reader), n) => {
                let values = values(reader, n, column.deepest)?;
                if column.unsigned && values.iter().flatten().any(|value| *value < 0) {
                    return Err(format!(
                        "column `{}`: expected numbers below 2^63, got a larger one",
                        column.name
                    ));
                }
                Ok(values)
            }
            _ => Err(format!(
                "column `{}`: expected integers, got {}",
                column.name,
                column.kind.name()
            )),
        }
    }

    /// The numbers of `column` in the row group `group`, of whatever width.
    pub(crate) fn numbers(&self, group: usize, column: &Column) -> Result<Vec<Option<f64>>, String> {
        match self.reader(group, column)? {
            (ColumnReader::FloatColumnReader(reader), n) => Ok(values(reader, n, column.deepest)?
                .into_iter()
                .map(|value| value.map(f64::from))
                .collect()),
            (ColumnReader::DoubleColumnReader(reader), n) => values(reader, n, column.deepest),
            _ => {
                let wholes = self.wholes(group, column)?;
                Ok(wholes
                    .into_iter()
                    .map(|value| value.map(|value| value as f64))
                    .collect())
            }
        }
    }

    /// The byte strings of `column` in the row group `group`.
    pub(crate) fn bytes(&self, group: usize, column: &Column) -> Result<Vec<Option<ByteArray>>, String> {
        match self.reader(group, column)? {
            (ColumnReader::ByteArrayColumnReader(reader), n) => values(reader, n, column.deepest),
            _ => Err(format!("column `{}` holds no byte strings", column.name)),
        }
    }

    fn reader(&self, group: usize, column: &Column) -> Result<(ColumnReader, usize), String> {
        let group = self.reader.get_row_group(group).map_err(unreadable)?;
        let n = usize::try_from(group.metadata().num_rows()).map_err(|error| error.to_string())?;
        Ok((group.get_column_reader(column.place).map_err(unreadable)?, n))
    }
}

/// The values of `n` rows, `None` where there is none: parquet stores no value where the definition level is not `deepest`.
fn values<T: DataType>(mut reader: ColumnReaderImpl<T>, n: usize, deepest: i16) -> Result<Vec<Option<T::T>>, String> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let read = reader.read_records(n, Some(&mut levels), None, &mut values);
    let (rows, _, _) = read.map_err(unreadable)?;
    if rows != n {
        return Err(format!(
            "not a readable parquet file: expected {n} rows in a row group, got {rows}"
        ));
    }
    let mut values = values.into_iter();
    if deepest == 0 {
        return Ok(values.map(Some).collect());
    }
    let value = |level: &i16| if *level == deepest { values.next() } else { None };
    Ok(levels.iter().map(value).collect())
}

/// What the schema says of `column`, without Arrow's description.
fn kind(column: &ColumnDescriptor) -> Kind {
    if column.max_rep_level() > 0 {
        return Kind::Other("lists");
    }
    match (
        column.physical_type(),
        column.logical_type_ref(),
        column.converted_type(),
    ) {
        (_, Some(LogicalType::Unknown), _) => Kind::Nothing,
        (Type::INT32 | Type::INT64, Some(LogicalType::Time { unit, .. }), _) => Kind::Duration(match unit {
            TimeUnit::MILLIS => Unit::Millisecond,
            TimeUnit::MICROS => Unit::Microsecond,
            TimeUnit::NANOS => Unit::Nanosecond,
        }),
        (Type::INT32, None, ConvertedType::TIME_MILLIS) => Kind::Duration(Unit::Millisecond),
        (Type::INT64, None, ConvertedType::TIME_MICROS) => Kind::Duration(Unit::Microsecond),
        (Type::INT32 | Type::INT64, Some(LogicalType::Integer { .. }), _)
        | (
            Type::INT32 | Type::INT64,
            None,
            ConvertedType::NONE
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64
            | ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64,
        ) => Kind::Whole,
        (_, Some(LogicalType::Decimal { .. }), _) | (_, _, ConvertedType::DECIMAL) => Kind::Other("decimals"),
        (_, Some(LogicalType::Date), _) | (_, _, ConvertedType::DATE) => Kind::Other("dates"),
        (_, Some(LogicalType::Timestamp { .. }), _)
        | (_, _, ConvertedType::TIMESTAMP_MILLIS | ConvertedType::TIMESTAMP_MICROS)
        | (Type::INT96, ..) => Kind::Other("points in time"),
        (_, Some(LogicalType::Float16), _) => Kind::Other("floats of 16 bits"),
        (_, _, ConvertedType::INTERVAL) => Kind::Other("intervals"),
        (Type::FLOAT | Type::DOUBLE, ..) => Kind::Float,
        (Type::BYTE_ARRAY, ..) => Kind::Bytes,
        (Type::BOOLEAN, ..) => Kind::Other("booleans"),
        _ => Kind::Other("another type"),
    }
}

fn is_unsigned(column: &ColumnDescriptor) -> bool {
    match column.logical_type_ref() {
        Some(LogicalType::Integer { is_signed, .. }) => !is_signed,
        _ => matches!(
            column.converted_type(),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        ),
    }
}
