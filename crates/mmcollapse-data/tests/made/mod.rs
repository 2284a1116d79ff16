//! Parquet files of the hub's layout, made by a test, and a cache that holds them.

use std::sync::Arc;

use mmcollapse_data::hub::Hub;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

/// Commit of every repository in the cache.
pub const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// A parquet file of `layout` (media, then label) whose every row is there.
pub fn typed(layout: &str, rows: &[(Vec<u8>, i64)]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(layout).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let n = rows.len();
    while let Some(mut column) = group.next_column().unwrap() {
        let labels = rows.iter().map(|row| row.1);
        match column.untyped() {
            ColumnWriter::ByteArrayColumnWriter(writer) => {
                let levels = vec![writer.get_descriptor().max_def_level(); n];
                let repeated = vec![0; n];
                let values: Vec<ByteArray> = rows.iter().map(|row| ByteArray::from(row.0.clone())).collect();
                writer.write_batch(&values, Some(&levels), Some(&repeated)).unwrap();
            }
            ColumnWriter::Int32ColumnWriter(writer) => {
                let values: Vec<i32> = labels.map(|label| label as i32).collect();
                writer.write_batch(&values, Some(&vec![1; n]), None).unwrap();
            }
            ColumnWriter::Int64ColumnWriter(writer) => {
                let values: Vec<i64> = labels.collect();
                writer.write_batch(&values, Some(&vec![1; n]), None).unwrap();
            }
            ColumnWriter::DoubleColumnWriter(writer) => {
                let values: Vec<f64> = labels.map(|label| label as f64).collect();
                writer.write_batch(&values, Some(&vec![1; n]), None).unwrap();
            }
            _ => unreachable!("no layout has another column"),
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// A cache that nobody looks beyond, with these files of datasets: repository, path, content.
pub fn cache(files: &[(&str, &str, &[u8])]) -> (Hub, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = Hub::from_variables(|_| None::<String>);
    (hub.cache, hub.offline) = (folder.path().to_owned(), true);
    for (repo, path, bytes) in files {
        let repo = format!("datasets--{}/snapshots/{REVISION}", repo.replace('/', "--"));
        mmcollapse_files::write_atomic(&folder.path().join(repo).join(path), bytes).unwrap();
    }
    (hub, folder)
}
