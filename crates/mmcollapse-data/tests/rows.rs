//! Rows of parquet files made here: broken ones are named, order does not matter, damage never panics.

mod made;

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use made::{REVISION, typed};
use mmcollapse_data::content::{Identity, collection_digest};
use mmcollapse_data::hub::Hub;
use mmcollapse_data::manifest::BuiltIn;
use mmcollapse_data::manifest::Manifest;
use mmcollapse_data::{DataError, parquet_rows, sources};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use tempfile::TempDir;

const LAYOUT: &str = "message schema {
    optional group image { optional binary bytes; optional binary path (UTF8); }
    optional int64 label;
}";

/// Media and label of a row, either of which may be missing.
type Row = (Option<Vec<u8>>, Option<i64>);

fn png(shade: u8) -> Vec<u8> {
    let image = image::GrayImage::from_pixel(3, 2, image::Luma([shade]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn good(shade: u8) -> Row {
    (Some(png(shade)), Some(i64::from(shade % 2)))
}

/// A parquet file of the hub's layout with `per_group` rows a row group.
fn file(rows: &[Row], per_group: usize) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(LAYOUT).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    for rows in rows.chunks(per_group) {
        let mut group = writer.next_row_group().unwrap();
        let mut column = 0;
        while let Some(mut writer) = group.next_column().unwrap() {
            match writer.untyped() {
                ColumnWriter::ByteArrayColumnWriter(writer) => {
                    // Column 0 is the media, 1 the path, which nobody reads.
                    let of = |row: &Row| row.0.clone().filter(|_| column == 0);
                    let values: Vec<ByteArray> = rows.iter().filter_map(of).map(ByteArray::from).collect();
                    let levels: Vec<i16> = rows.iter().map(|row| if of(row).is_some() { 2 } else { 1 }).collect();
                    writer.write_batch(&values, Some(&levels), None).unwrap();
                }
                ColumnWriter::Int64ColumnWriter(writer) => {
                    let values: Vec<i64> = rows.iter().filter_map(|row| row.1).collect();
                    let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.1.is_some())).collect();
                    writer.write_batch(&values, Some(&levels), None).unwrap();
                }
                _ => unreachable!("the layout has no other column"),
            }
            writer.close().unwrap();
            column += 1;
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn widths_and_layouts_come_from_the_schema() {
    let rows = [(png(1), 1), (png(2), 0), (png(3), 200)];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("typed.parquet");
    let read = |layout: &str| {
        mmcollapse_files::write_atomic(&path, &typed(&format!("message schema {{ {layout} }}"), &rows)).unwrap();
        parquet_rows::read(&path, "image").map_err(|error| error.to_string())
    };
    for layout in [
        "optional group image { optional binary bytes; optional binary path (UTF8); } optional int64 label;",
        "optional group image { optional binary bytes; } optional int32 label;",
        "required group image { required binary bytes; } required int32 label;",
        "optional binary image; optional int32 label (INTEGER(8,false));",
        "required binary image; required int64 label (INTEGER(64,false));",
        "required int32 label (INTEGER(16,true)); optional group image { required binary path (UTF8); required binary bytes; }",
    ] {
        let found = read(layout).unwrap_or_else(|error| panic!("{layout}: {error}"));
        let found: Vec<(Vec<u8>, i64)> = found
            .into_iter()
            .map(|row| (row.bytes.data().to_vec(), i64::from(row.label)))
            .collect();
        assert_eq!(found, rows, "{layout}");
    }
    for (layout, expected) in [
        (
            "required binary image; required binary label (UTF8);",
            "column `label`: expected integers, got text",
        ),
        (
            "required binary image; required double label;",
            "column `label`: expected integers, got floats",
        ),
        (
            "required binary image; required int32 label (DATE);",
            "column `label`: expected integers, got dates",
        ),
        (
            "required int64 image; required int64 label;",
            "column `image`: expected text or bytes, got integers",
        ),
        (
            "repeated group image { required binary bytes; } required int64 label;",
            "column `image.bytes`: expected text or bytes, got lists",
        ),
        (
            "required binary picture; required int64 label;",
            "expected a column `image.bytes`, got 2 columns",
        ),
    ] {
        let error = read(layout).unwrap_err();
        assert!(error.contains(expected), "{layout}: {error}");
    }
}

/// A cache that holds a source of these files, and the source's manifest with `rows` and `digest`.
fn source(files: &[Vec<u8>], rows: usize, digest: &str) -> (Manifest, Hub, TempDir) {
    let names: Vec<String> = (0..files.len()).map(|i| format!("data/{i}.parquet")).collect();
    let cached: Vec<_> = names
        .iter()
        .zip(files)
        .map(|(name, bytes)| ("a/b", &name[..], &bytes[..]))
        .collect();
    let (hub, folder) = made::cache(&cached);
    let entries: Vec<String> = names
        .iter()
        .map(|name| format!("  - {{ path: {name}, part: all }}"))
        .collect();
    let entries = entries.join("\n");
    let manifest = format!(
        "name: made\ntitle: t\nlicence: l\ncitation: c\nhub: {{ repo: a/b, revision: {REVISION} }}\n\
         media: image\nfiles:\n{entries}\ncontent:\n  all: {{ rows: {rows}, digest: {digest} }}\n"
    );
    (Manifest::parse("made", &manifest).unwrap(), hub, folder)
}

fn digest(shades: &[u8]) -> String {
    let identity = |&shade: &u8| Identity::new(u32::from(shade % 2), &[shade; 6]);
    collection_digest(&shades.iter().map(identity).collect::<Vec<_>>())
}

/// Byte 1612 of this file is the kind of a page; changed, it makes the parquet crate panic.
#[test]
fn a_panicking_reader_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.parquet");
    let whole = file(&(0..4).map(good).collect::<Vec<_>>(), 2);
    for at in 1605..1620 {
        let mut bytes = whole.clone();
        bytes[at] = 212;
        mmcollapse_files::write_atomic(&path, &bytes).unwrap();
        if let Err(error) = parquet_rows::read(&path, "image") {
            assert!(error.to_string().contains("damaged.parquet"), "{error}");
        }
    }
}

#[test]
fn neither_order_nor_files_nor_groups_matter() {
    let shades = [9, 4, 7, 200, 31, 4];
    let rows: Vec<Row> = shades.iter().map(|&s| good(s)).collect();
    let mut turned = rows.clone();
    turned.reverse();
    let digest = digest(&shades);
    let (manifest, hub, _one) = source(&[file(&rows, 6)], 6, &digest);
    let once = sources::records(&manifest, "all", &hub).unwrap();
    let (manifest, hub, _two) = source(&[file(&turned[..1], 1), file(&turned[1..], 2)], 6, &digest);
    assert_eq!(once, sources::records(&manifest, "all", &hub).unwrap());
    assert_eq!(once[0].form, [2, 3]);
    assert!(once.windows(2).all(|pair| pair[0].identity <= pair[1].identity));
}

#[test]
fn a_broken_row_names_file_and_row() {
    let broken = |at: usize, row: Row| {
        let mut rows: Vec<Row> = (0..7).map(good).collect();
        rows[at] = row;
        let (manifest, hub, _folder) = source(&[file(&rows, 3)], 7, &digest(&[]));
        let error = sources::records(&manifest, "all", &hub).unwrap_err();
        assert!(matches!(error, DataError::Row { row, .. } if row == at), "{error}");
        error.to_string()
    };
    let text = broken(4, (Some(b"no image".to_vec()), Some(0)));
    assert!(text.contains("data/0.parquet, row 4: not a readable PNG"), "{text}");
    let mut cut = png(3);
    cut.truncate(cut.len() / 2);
    assert!(broken(6, (Some(cut), Some(0))).contains("row 6"));
    assert!(broken(0, (None, Some(0))).contains("row 0: no `image.bytes`"));
    assert!(broken(5, (Some(png(1)), None)).contains("row 5: no label"));
    assert!(
        broken(2, (Some(png(1)), Some(-1))).contains("row 2: expected as label a class from 0 on, got another number")
    );
    assert!(broken(3, (Some(vec![0; parquet_rows::LARGEST_MEDIA + 1]), Some(0))).contains("at most"));
}

#[test]
fn other_content_than_the_manifest_says_is_refused() {
    let rows: Vec<Row> = (0..4).map(good).collect();
    let (manifest, hub, _folder) = source(&[file(&rows, 4)], 5, &digest(&[0, 1, 2, 3]));
    let error = sources::records(&manifest, "all", &hub).unwrap_err().to_string();
    assert_eq!(error, "made, part `all`: decoded content has rows 4, expected 5");
    let (manifest, hub, _folder) = source(&[file(&rows, 4)], 4, &digest(&[0, 1, 2, 5]));
    let error = sources::records(&manifest, "all", &hub).unwrap_err();
    assert!(
        matches!(error, DataError::Content { quantity: "digest", .. }),
        "{error}"
    );
    let missing = parquet_rows::read(&hub.fetch(&manifest.remote(&manifest.files[0])).unwrap(), "audio");
    let missing = missing.unwrap_err().to_string();
    assert!(
        missing.contains("expected a column `audio.bytes`, got 3 columns without it"),
        "{missing}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]
    #[test]
    fn damaged_files_never_panic(at in 0usize..10_000, byte: u8, cut: bool) {
        let mut bytes = file(&(0..4).map(good).collect::<Vec<_>>(), 2);
        let at = at % bytes.len();
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("damaged.parquet");
        mmcollapse_files::write_atomic(&path, &bytes).unwrap();
        let _ = parquet_rows::read(&path, "image");
    }
}
