//! Numbers of all samples, in the width of their file.

use mmcollapse_arrays::{Array, Values};
use mmcollapse_probes::Matrix;

use crate::error::{DiagnoseError, Result, input};

/// An array of numbers, `[rows, columns]`, all of them finite.
#[derive(Clone, Debug)]
pub struct Features {
    rows: usize,
    columns: usize,
    values: Values,
    /// Columns that do not vary.
    constant: usize,
}

impl Features {
    /// Takes an array of two axes, `[rows, columns]`. `rows` is the number of samples, where it is known.
    ///
    /// # Errors
    /// Another number of axes or rows, no column, a number that is not finite: how many, and the first row.
    pub fn new(array: Array, rows: Option<usize>) -> Result<Self> {
        let shape = &array.info.shape;
        let of = |reason: String, help: &str| refused(&array, reason, help);
        let &[n, columns] = shape.as_slice() else {
            let reason = format!("expected shape [samples, features], got {shape:?}");
            return Err(of(reason, "pool or flatten further axes: one vector a sample"));
        };
        if let Some(rows) = rows.filter(|&rows| rows != n) {
            let reason = format!("expected shape [{rows}, features], got {shape:?}");
            return Err(of(reason, "every array has the rows of `labels`, in the same order"));
        }
        if columns == 0 || n == 0 {
            return Err(of(
                format!("expected numbers, got shape {shape:?}"),
                "write the array again",
            ));
        }
        let values = array.values.clone();
        let broken = |row: usize| (0..columns).any(|at| !number(&values, row * columns + at).is_finite());
        let mut rows_broken = (0..n).filter(|&row| broken(row));
        if let Some(first) = rows_broken.next() {
            let count = 1 + rows_broken.count();
            let reason = format!("{count} of {n} rows hold NaN or an infinity, the first is row {first}");
            return Err(of(
                reason,
                "leave these samples out of every array, or find where the model overflows",
            ));
        }
        let varies =
            |column: &usize| (1..n).any(|row| number(&values, row * columns + column) != number(&values, *column));
        let constant = columns - (0..columns).filter(varies).count();
        Ok(Self {
            rows: n,
            columns,
            values,
            constant,
        })
    }

    /// Number of samples.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Width of each sample's vector.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Columns that do not vary.
    pub fn constant(&self) -> usize {
        self.constant
    }

    /// These samples, `[rows, columns]`.
    ///
    /// # Errors
    /// No sample.
    pub(crate) fn select(&self, rows: &[usize]) -> Result<Matrix> {
        Self::beside(&[self], rows)
    }

    /// These samples of several arrays side by side.
    ///
    /// # Errors
    /// No sample.
    pub(crate) fn beside(parts: &[&Self], rows: &[usize]) -> Result<Matrix> {
        let columns = parts.iter().map(|part| part.columns).sum();
        let mut values = Vec::with_capacity(rows.len() * columns);
        for &row in rows {
            for part in parts {
                let start = row * part.columns;
                values.extend((start..start + part.columns).map(|at| number(&part.values, at)));
            }
        }
        Ok(Matrix::new(&values, rows.len(), columns)?)
    }

    /// Only these columns.
    pub(crate) fn keep(&self, columns: &[usize]) -> Self {
        let places = (0..self.rows).flat_map(|row| columns.iter().map(move |column| row * self.columns + column));
        Self {
            rows: self.rows,
            columns: columns.len(),
            values: Values::Double(places.map(|at| number(&self.values, at)).collect()),
            constant: 0,
        }
    }
}

fn number(values: &Values, at: usize) -> f64 {
    values.get(at).unwrap_or(f64::NAN)
}

/// An error of `array`.
pub(crate) fn refused(array: &Array, reason: String, help: &str) -> DiagnoseError {
    let (path, name) = (array.info.path.display(), &array.info.name);
    input(format!("{path}: array `{name}`: {reason}"), help)
}
