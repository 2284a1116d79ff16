//! The hub's layout of media in parquet: a struct `{bytes, path}` and an integer `label` a row.

use std::fs::File;
use std::panic;
use std::path::Path;

use bytes::Bytes;
use candle_datasets::hub::FileReader;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, SerializedFileReader};

use crate::DataError;

/// Most bytes that one row's media may have.
pub const LARGEST_MEDIA: usize = 16 << 20;
/// Most bytes that a row group may unpack to.
const LARGEST_GROUP: i64 = 1 << 30;

/// One row: encoded media and its class.
#[derive(Clone, Debug)]
pub struct MediaRow {
    /// The encoded image or recording.
    pub bytes: ByteArray,
    /// Class.
    pub label: u32,
    /// What the file calls it, where it was asked for and is there.
    pub path: Option<ByteArray>,
}

/// Reads every row of `path`, whose media stand in the struct `media` (`image` or `audio`).
///
/// # Errors
/// [`DataError::File`] when it is no parquet file of that layout, [`DataError::Row`] for a row without media or label.
pub fn read(path: &Path, media: &str) -> Result<Vec<MediaRow>, DataError> {
    let file = File::open(path).map_err(|error| DataError::File {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    whole(|| read_groups(file, path, media, false), path)
}

/// Reads every row of a file that is built into the program, with the path that each row has; `path` is for errors.
///
/// # Errors
/// See [`read`].
pub fn read_embedded(content: &'static [u8], path: &Path, media: &str) -> Result<Vec<MediaRow>, DataError> {
    whole(|| read_groups(Bytes::from_static(content), path, media, true), path)
}

/// The parquet crate panics over some damaged pages (a dictionary page turned into another, for one).
fn whole(read: impl FnOnce() -> Result<Vec<MediaRow>, DataError>, path: &Path) -> Result<Vec<MediaRow>, DataError> {
    panic::catch_unwind(panic::AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(DataError::File {
            path: path.to_owned(),
            reason: "not a readable parquet file: its reader panicked".into(),
        })
    })
}

fn read_groups(
    file: impl ChunkReader + 'static,
    path: &Path,
    media: &str,
    paths: bool,
) -> Result<Vec<MediaRow>, DataError> {
    let broken = |reason: String| DataError::File {
        path: path.to_owned(),
        reason,
    };
    let parquet = |error: ParquetError| broken(format!("not a readable parquet file: {error}"));
    let reader = SerializedFileReader::new(file).map_err(parquet)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let names: Vec<String> = schema.columns().iter().map(|c| c.path().string()).collect();
    let column = |name: &str| {
        let found = names.iter().position(|n| n == name);
        found.ok_or_else(|| broken(format!("no column `{name}`; there are {}", names.join(", "))))
    };
    let (bytes_column, label_column) = (column(&format!("{media}.bytes"))?, column("label")?);
    let path_column = if paths {
        Some(column(&format!("{media}.path"))?)
    } else {
        None
    };

    let mut rows = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(parquet)?;
        let size = group.metadata().total_byte_size();
        if size > LARGEST_GROUP {
            return Err(broken(format!(
                "a row group of {size} bytes, at most {LARGEST_GROUP} are read"
            )));
        }
        let n = usize::try_from(group.metadata().num_rows())
            .map_err(|_| broken("a row group with a negative number of rows".into()))?;
        let row_error = |row: usize, reason: String| DataError::Row {
            path: path.to_owned(),
            row: rows.len() + row,
            reason,
        };

        let strings = |place: usize| match group.get_column_reader(place).map_err(parquet)? {
            ColumnReader::ByteArrayColumnReader(mut column) => {
                let (mut levels, mut values) = (Vec::new(), Vec::new());
                column
                    .read_records(n, Some(&mut levels), None, &mut values)
                    .map_err(parquet)?;
                Ok(spread(n, &levels, schema.column(place).max_def_level(), values))
            }
            _ => Err(broken(format!("column `{}` holds no byte strings", names[place]))),
        };
        let bytes = strings(bytes_column)?;
        let paths = match path_column {
            Some(place) => strings(place)?,
            None => vec![None; n],
        };
        let labels = match group.get_column_reader(label_column).map_err(parquet)? {
            ColumnReader::Int64ColumnReader(mut column) => {
                let (mut levels, mut values) = (Vec::new(), Vec::new());
                column
                    .read_records(n, Some(&mut levels), None, &mut values)
                    .map_err(parquet)?;
                let deepest = schema.column(label_column).max_def_level();
                spread(n, &levels, deepest, values)
            }
            _ => return Err(broken("column `label` holds no 64-bit integers".into())),
        };

        let mut decoded = Vec::with_capacity(n);
        for (row, ((bytes, label), path)) in bytes.into_iter().zip(labels).zip(paths).enumerate() {
            let bytes = bytes.ok_or_else(|| row_error(row, format!("no `{media}.bytes`")))?;
            let label = label.ok_or_else(|| row_error(row, "no label".into()))?;
            if bytes.len() > LARGEST_MEDIA {
                let reason = format!("{} bytes of media, at most {LARGEST_MEDIA} are read", bytes.len());
                return Err(row_error(row, reason));
            }
            let label = u32::try_from(label)
                .map_err(|_| row_error(row, format!("label {label}, expected a class from 0 on")))?;
            decoded.push(MediaRow { bytes, label, path });
        }
        rows.append(&mut decoded);
    }
    Ok(rows)
}

/// Puts the values that are there at their rows: parquet stores no value where the definition level is not full.
fn spread<T>(n: usize, levels: &[i16], deepest: i16, values: Vec<T>) -> Vec<Option<T>> {
    let mut values = values.into_iter();
    if deepest == 0 {
        return (0..n).map(|_| values.next()).collect();
    }
    let there = |row: usize| levels.get(row).is_some_and(|&level| level == deepest);
    (0..n)
        .map(|row| if there(row) { values.next() } else { None })
        .collect()
}
