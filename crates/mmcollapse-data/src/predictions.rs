//! Predictions that another program wrote, as a Parquet file: a row a prediction.
//!
//! | column | type | what |
//! |---|---|---|
//! | `seed` | integer | seed of the draw |
//! | `sample` | integer | place of the sample among the exported ones of its split, from 0 on |
//! | `condition` | text | what the model saw of it |
//! | `data` | text | digest of the condition, as the export has it |
//! | `p0`, `p1`, ... | float | probability of each class |
//!
//! What is read here is the form alone: columns, types, nothing missing. Whether it is complete and fits the data is checked by
//! who knows them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::Diagnostic;
use mmcollapse_files::write_atomic;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use thiserror::Error;

use crate::parquet_columns::{Column, Columns, Kind, guarded};

/// A file of predictions that cannot be read.
#[derive(Debug, Error, Diagnostic)]
#[error("{}: {reason}", .path.display())]
#[diagnostic(help(
    "predictions are a Parquet file with the columns seed, sample, condition, data and p0, p1, ... of every class; docs/compare.md \
     describes them"
))]
pub struct PredictionsError {
    path: PathBuf,
    reason: String,
}

/// What is predicted of one seed under one condition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// Digests of the data that the rows name.
    pub data: BTreeSet<String>,
    /// Each sample with the probabilities of its classes, in the order of the file.
    pub rows: Vec<(usize, Vec<f64>)>,
}

/// Predictions by seed and condition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predicted {
    /// Number of classes.
    pub classes: usize,
    /// What is predicted, by seed and name of the condition.
    pub blocks: BTreeMap<(u64, String), Block>,
}

impl Predicted {
    /// Reads a file.
    ///
    /// # Errors
    /// One that is no Parquet file, a column that is absent, unknown, of another type or with empty places.
    pub fn read(path: &Path) -> Result<Self, PredictionsError> {
        guarded(|| Self::of(path), |reason| reason).map_err(|reason| PredictionsError {
            path: path.to_owned(),
            reason,
        })
    }

    fn of(path: &Path) -> Result<Self, String> {
        let file = Columns::open(path)?;
        let find = |name: &str| {
            let names: Vec<&str> = file.columns.iter().map(|column| column.name.as_str()).collect();
            let found = file.find(name);
            found.ok_or_else(|| format!("column `{name}` is absent; there are {}", names.join(", ")))
        };
        let (seed, sample) = (whole(find("seed")?)?, whole(find("sample")?)?);
        let (condition, data) = (text(find("condition")?)?, text(find("data")?)?);
        let named = [seed, sample, condition, data].map(|column| column.place);
        let others = file.columns.iter().filter(|column| !named.contains(&column.place));
        let is_class = |name: &str| {
            name.strip_prefix('p')
                .is_some_and(|class| class.parse::<usize>().is_ok())
        };
        let classes = others.clone().filter(|column| is_class(&column.name)).count();
        let names: Vec<String> = (0..classes.max(1)).map(|class| format!("p{class}")).collect();
        if let Some(unknown) = others.into_iter().find(|column| !names.contains(&column.name)) {
            let index = if unknown.name.starts_with("__index_level") {
                ": it is the index of a pandas frame; write with `index=False`"
            } else {
                ""
            };
            return Err(format!(
                "column `{}` is not known{index}; the probabilities of {classes} classes are {} to {}",
                unknown.name,
                names[0],
                names[names.len() - 1]
            ));
        }
        let probabilities = names.iter().map(|name| find(name).and_then(number));
        let probabilities: Vec<&Column> = probabilities.collect::<Result<_, String>>()?;
        let mut predicted = Self {
            classes,
            blocks: BTreeMap::new(),
        };
        let mut before = 0;
        for (group, rows) in file.groups()?.into_iter().enumerate() {
            let full = |column: &Column, place: usize| {
                let row = before + place;
                format!("column `{}`, row {row}: expected a value, got none", column.name)
            };
            let wholes = |column: &Column| -> Result<Vec<u64>, String> {
                let values = file.wholes(group, column)?.into_iter().enumerate();
                let checked = values.map(|(place, value)| {
                    let value = value.ok_or_else(|| full(column, place))?;
                    u64::try_from(value).map_err(|_| {
                        let row = before + place;
                        format!("column `{}`, row {row}: expected 0 or more, got {value}", column.name)
                    })
                });
                checked.collect()
            };
            let texts = |column: &Column| -> Result<Vec<String>, String> {
                let values = file.bytes(group, column)?.into_iter().enumerate();
                let checked = values.map(|(place, value): (usize, Option<ByteArray>)| {
                    let value = value.ok_or_else(|| full(column, place))?;
                    let text = std::str::from_utf8(value.data()).map_err(|error| error.to_string())?;
                    Ok(text.to_owned())
                });
                checked.collect()
            };
            let numbers = |column: &&Column| -> Result<Vec<f64>, String> {
                let values = file.numbers(group, column)?.into_iter().enumerate();
                let checked = values.map(|(place, value)| value.ok_or_else(|| full(column, place)));
                checked.collect()
            };
            let (seeds, samples) = (wholes(seed)?, wholes(sample)?);
            let (conditions, digests) = (texts(condition)?, texts(data)?);
            let columns: Vec<Vec<f64>> = probabilities.iter().map(numbers).collect::<Result<_, String>>()?;
            let keys = seeds.into_iter().zip(conditions).zip(digests.into_iter().zip(samples));
            for (place, (key, (digest, sample))) in keys.enumerate() {
                let block = predicted.blocks.entry(key).or_default();
                if !block.data.contains(&digest) {
                    block.data.insert(digest);
                }
                let row = columns.iter().map(|column| column[place]).collect();
                block.rows.push((usize::try_from(sample).unwrap_or(usize::MAX), row));
            }
            before += rows;
        }
        if predicted.blocks.is_empty() {
            return Err("expected predictions, got no row".to_owned());
        }
        Ok(predicted)
    }

    /// Writes them as a file that [`Self::read`] reads.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let rows = || self.blocks.values().flat_map(|block| &block.rows);
        let keyed = || {
            let blocks = self.blocks.iter();
            blocks.flat_map(|(key, block)| block.rows.iter().map(move |_| (key, block)))
        };
        let bytes = |text: &str| ByteArray::from(text);
        let seeds: Vec<i64> = keyed().map(|((seed, _), _)| seed.cast_signed()).collect();
        let samples: Vec<i64> = rows().map(|(sample, _)| *sample as i64).collect();
        let conditions: Vec<ByteArray> = keyed().map(|((_, condition), _)| bytes(condition)).collect();
        let data = |block: &Block| bytes(block.data.first().map_or("", String::as_str));
        let digests: Vec<ByteArray> = keyed().map(|(_, block)| data(block)).collect();
        let classes: Vec<String> = (0..self.classes)
            .map(|class| format!("required double p{class};"))
            .collect();
        let classes = classes.concat();
        let layout = format!(
            "message predictions {{ required int64 seed; required int64 sample; required binary condition (UTF8); \
             required binary data (UTF8); {classes} }}"
        );
        let file = || -> Result<Vec<u8>, ParquetError> {
            let schema = Arc::new(parse_message_type(&layout)?);
            let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default())?;
            let mut group = writer.next_row_group()?;
            let mut place = 0;
            while let Some(mut column) = group.next_column()? {
                match column.untyped() {
                    ColumnWriter::Int64ColumnWriter(column) => {
                        column.write_batch(if place == 0 { &seeds } else { &samples }, None, None)?;
                    }
                    ColumnWriter::ByteArrayColumnWriter(column) => {
                        column.write_batch(if place == 2 { &conditions } else { &digests }, None, None)?;
                    }
                    ColumnWriter::DoubleColumnWriter(column) => {
                        let of_class: Vec<f64> = rows().map(|(_, row)| row[place - 4]).collect();
                        column.write_batch(&of_class, None, None)?;
                    }
                    _ => {}
                }
                column.close()?;
                place += 1;
            }
            group.close()?;
            writer.into_inner()
        };
        write_atomic(path, &file().map_err(io::Error::other)?)
    }

    /// The seeds of which something is predicted.
    pub fn seeds(&self) -> BTreeSet<u64> {
        self.blocks.keys().map(|(seed, _)| *seed).collect()
    }
}

fn wrong(column: &Column, expected: &str) -> String {
    let (name, got) = (&column.name, column.kind.name());
    format!("column `{name}`: expected {expected}, got {got}")
}

fn whole(column: &Column) -> Result<&Column, String> {
    let fits = column.kind == Kind::Whole;
    fits.then_some(column).ok_or_else(|| wrong(column, "integers"))
}

fn text(column: &Column) -> Result<&Column, String> {
    let fits = column.kind == Kind::Bytes;
    fits.then_some(column).ok_or_else(|| wrong(column, "text"))
}

fn number(column: &Column) -> Result<&Column, String> {
    let fits = matches!(column.kind, Kind::Whole | Kind::Float);
    fits.then_some(column).ok_or_else(|| wrong(column, "floats"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicted(classes: usize) -> Predicted {
        let row = |sample: usize| (sample, vec![1.0 / classes as f64; classes]);
        let block = |data: &str, samples: &[usize]| Block {
            data: BTreeSet::from([data.to_owned()]),
            rows: samples.iter().map(|sample| row(*sample)).collect(),
        };
        Predicted {
            classes,
            blocks: BTreeMap::from([
                ((3, "test_missing/complete".to_owned()), block("d3", &[2, 0, 1])),
                ((7, "test_missing/complete".to_owned()), block("d7", &[0])),
            ]),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.parquet");
        for classes in [1, 2, 12] {
            predicted(classes).write(&path).unwrap();
            assert_eq!(Predicted::read(&path).unwrap(), predicted(classes));
        }
    }

    /// A file with these columns of one row; `None` is a place without a value.
    fn file(columns: &[(&str, Option<f64>)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.parquet");
        let column = |(name, _): &(&str, Option<f64>)| match *name {
            "seed" | "sample" => format!("optional int64 {name};"),
            "condition" | "data" => format!("optional binary {name} (UTF8);"),
            "flag" => "optional boolean p0;".to_owned(),
            _ => format!("optional float {name};"),
        };
        let layout = columns.iter().map(column).collect::<Vec<_>>().concat();
        let layout = format!("message m {{ {layout} }}");
        let schema = Arc::new(parse_message_type(&layout).unwrap());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut values = columns.iter().map(|(_, value)| *value);
        while let Some(mut column) = group.next_column().unwrap() {
            let value = values.next().unwrap();
            let (level, n) = ([i16::from(value.is_some())], usize::from(value.is_some()));
            let value = value.unwrap_or_default();
            match column.untyped() {
                ColumnWriter::Int64ColumnWriter(c) => c.write_batch(&[value as i64][..n], Some(&level), None),
                ColumnWriter::FloatColumnWriter(c) => c.write_batch(&[value as f32][..n], Some(&level), None),
                ColumnWriter::BoolColumnWriter(c) => c.write_batch(&[true][..n], Some(&level), None),
                ColumnWriter::ByteArrayColumnWriter(c) => {
                    c.write_batch(&[ByteArray::from("x")][..n], Some(&level), None)
                }
                _ => panic!("another column"),
            }
            .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        write_atomic(&path, &writer.into_inner().unwrap()).unwrap();
        match Predicted::read(&path) {
            Ok(predicted) => format!("{predicted:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn files_of_another_form_are_refused() {
        let keys = [
            ("seed", Some(1.0)),
            ("sample", Some(0.0)),
            ("condition", Some(0.0)),
            ("data", Some(0.0)),
        ];
        let with = |more: &[(&'static str, Option<f64>)]| file(&[&keys[..], more].concat());
        // Floats of 32 bits are read as they are.
        assert!(with(&[("p0", Some(0.25)), ("p1", Some(0.75))]).contains("[(0, [0.25, 0.75])]"));
        for (got, expected) in [
            (file(&keys[1..]), "column `seed` is absent; there are sample"),
            (file(&keys), "column `p0` is absent"),
            (with(&[("p0", None)]), "column `p0`, row 0: expected a value, got none"),
            (
                with(&[("p0", Some(1.0)), ("p2", Some(0.0))]),
                "column `p2` is not known; the probabilities of 2 classes are p0 to p1",
            ),
            (with(&[("index", Some(1.0))]), "column `index` is not known"),
            (
                with(&[("flag", Some(1.0))]),
                "column `p0`: expected floats, got booleans",
            ),
            (
                file(&[("seed", Some(-1.0)), keys[1], keys[2], keys[3], ("p0", Some(1.0))]),
                "column `seed`, row 0: expected 0 or more, got -1",
            ),
        ] {
            assert!(got.contains(expected), "{expected}: {got}");
        }
    }

    #[test]
    fn damage_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.parquet");
        predicted(2).write(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 7, whole.len() / 2, whole.len() - 1] {
            write_atomic(&path, &whole[..cut]).unwrap();
            let error = Predicted::read(&path).unwrap_err().to_string();
            assert!(error.contains("p.parquet"), "{error}");
        }
    }
}
