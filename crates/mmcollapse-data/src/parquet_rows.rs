//! The hub's layout of media in parquet: a struct `{bytes, path}`, or the bytes alone, and an integer `label` a row.

use std::path::Path;

use bytes::Bytes;
use parquet::data_type::ByteArray;

use crate::DataError;
use crate::parquet_columns::{Column, Columns, Kind, guarded};

/// Most bytes that one row's media may have.
pub const LARGEST_MEDIA: usize = 16 << 20;

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

/// Reads every row of `path`, whose media stand in the column `media` (`image` or `audio`): a struct whose member `bytes` holds
/// them, or the bytes themselves. Labels are integers of any width.
///
/// # Errors
/// [`DataError::File`] when it is no parquet file of that layout, [`DataError::Row`] for a row without media or label.
pub fn read(path: &Path, media: &str) -> Result<Vec<MediaRow>, DataError> {
    let broken = broken_at(path);
    guarded(
        || read_groups(&Columns::open(path).map_err(&broken)?, path, media, false),
        &broken,
    )
}

/// Reads every row of a file that is built into the program, with the path that each row has; `path` is for errors.
///
/// # Errors
/// See [`read`].
pub fn read_embedded(content: &'static [u8], path: &Path, media: &str) -> Result<Vec<MediaRow>, DataError> {
    let broken = broken_at(path);
    let open = || Columns::of(Bytes::from_static(content)).map_err(&broken);
    guarded(|| read_groups(&open()?, path, media, true), &broken)
}

fn broken_at(path: &Path) -> impl Fn(String) -> DataError {
    |reason| DataError::File {
        path: path.to_owned(),
        reason,
    }
}

fn read_groups(file: &Columns, path: &Path, media: &str, paths: bool) -> Result<Vec<MediaRow>, DataError> {
    let broken = broken_at(path);
    let member = format!("{media}.bytes");
    let bytes_column = file.find(&member).or_else(|| file.find(media));
    let bytes_column = typed(bytes_column, &member, Kind::Bytes, file).map_err(&broken)?;
    let label_column = typed(file.find("label"), "label", Kind::Whole, file).map_err(&broken)?;
    let member = format!("{media}.path");
    let path_column = paths.then(|| typed(file.find(&member), &member, Kind::Bytes, file));
    let path_column = path_column.transpose().map_err(&broken)?;

    let mut rows = Vec::new();
    for (group, n) in file.groups().map_err(&broken)?.into_iter().enumerate() {
        let row_error = |row: usize, reason: String| DataError::Row {
            path: path.to_owned(),
            row: rows.len() + row,
            reason,
        };
        let bytes = file.bytes(group, bytes_column).map_err(&broken)?;
        let labels = file.wholes(group, label_column).map_err(&broken)?;
        let paths = match path_column {
            Some(column) => file.bytes(group, column).map_err(&broken)?,
            None => vec![None; n],
        };
        let mut decoded = Vec::with_capacity(n);
        for (row, ((bytes, label), path)) in bytes.into_iter().zip(labels).zip(paths).enumerate() {
            let bytes = bytes.ok_or_else(|| row_error(row, format!("no `{}`", bytes_column.name)))?;
            let label = label.ok_or_else(|| row_error(row, "no label".into()))?;
            if bytes.len() > LARGEST_MEDIA {
                let reason = format!("{} bytes of media, at most {LARGEST_MEDIA} are read", bytes.len());
                return Err(row_error(row, reason));
            }
            let label = u32::try_from(label)
                .map_err(|_| row_error(row, "expected as label a class from 0 on, got another number".into()))?;
            decoded.push(MediaRow { bytes, label, path });
        }
        rows.append(&mut decoded);
    }
    Ok(rows)
}

/// `column` if it is there and holds `expected`; `name` is what is looked for.
fn typed<'a>(column: Option<&'a Column>, name: &str, expected: Kind, file: &Columns) -> Result<&'a Column, String> {
    let n = file.columns.len();
    let column = column.ok_or_else(|| format!("expected a column `{name}`, got {n} columns without it"))?;
    if column.kind != expected {
        let (expected, got) = (expected.name(), column.kind.name());
        return Err(format!("column `{}`: expected {expected}, got {got}", column.name));
    }
    Ok(column)
}
