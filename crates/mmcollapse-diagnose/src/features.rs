//! Numbers of all samples, in the width of their file.
//!
//! Squares of 1e200 overflow, and an offset of 1e12 hides what varies by 1. So numbers are read times a power of two, which is exact,
//! and less the column's first, which is exact where the offset is large.

use mmcollapse_arrays::{Array, Values};
use mmcollapse_probes::Matrix;

use crate::error::{DiagnoseError, Result, input};

/// Fewest steps of its precision by which a column must vary: fewer are mostly rounding.
const STEPS: f64 = 256.0;

/// Largest power of two by which numbers are read: its inverse is a normal number too.
const LARGEST_POWER: i32 = 1_000;

/// An array of numbers, `[rows, columns]`, all of them finite.
#[derive(Clone, Debug)]
pub struct Features {
    rows: usize,
    columns: usize,
    values: Values,
    /// Columns that do not vary.
    constant: usize,
    /// Columns that vary by less than [`STEPS`] steps of their precision.
    rounded: usize,
    /// Where they come from, for notes.
    from: String,
    /// The row that reaches furthest from 0, and how many times as far as the middle row; none where that is all 0.
    peak: Option<(usize, f64)>,
    /// Power of two that brings the largest number below 1.
    power: f64,
    /// The same of each column.
    powers: Vec<f64>,
}

/// How numbers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// As they are.
    Raw,
    /// Times the array's power of two: directions stay.
    Scaled,
    /// The same less each column's first: differences stay.
    Centred,
    /// Times each column's power of two, less its first: what standardises them sees no difference.
    Columns,
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
        // Smallest and largest of each column, and how far each row reaches from 0.
        let mut ends = vec![(f64::INFINITY, f64::NEG_INFINITY); columns];
        let mut reach = vec![0.0_f64; n];
        for (row, reach) in reach.iter_mut().enumerate() {
            for (column, (low, high)) in ends.iter_mut().enumerate() {
                let value = number(&values, row * columns + column);
                (*low, *high) = (low.min(value), high.max(value));
                *reach = reach.max(value.abs());
            }
        }
        let largest = |(low, high): &(f64, f64)| low.abs().max(high.abs());
        let precision = match &values {
            Values::Single(_) => f64::from(f32::EPSILON),
            _ => f64::EPSILON,
        };
        let is_rounded = |ends: &&(f64, f64)| {
            let of = largest(ends);
            ends.0 < ends.1 && ends.1 / of - ends.0 / of < STEPS * precision
        };
        Ok(Self {
            rows: n,
            columns,
            values,
            constant: ends.iter().filter(|(low, high)| low == high).count(),
            rounded: ends.iter().filter(is_rounded).count(),
            from: place(&array),
            peak: peak(reach),
            power: power(ends.iter().map(largest).fold(0.0, f64::max)),
            powers: ends.iter().map(|ends| power(largest(ends))).collect(),
        })
    }

    /// What a reader should know of its columns.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        let note = |count: usize, what: &str| {
            (count > 0).then(|| format!("{}: {count} of {} columns {what}", self.from, self.columns))
        };
        let rounded = "vary by little more than the rounding of their numbers; take off what all samples share before you write them";
        [note(self.constant, "are constant"), note(self.rounded, rounded)]
            .into_iter()
            .flatten()
    }

    /// Number of samples.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Width of each sample's vector.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// A number as it is.
    pub(crate) fn at(&self, row: usize, column: usize) -> f64 {
        number(&self.values, row * self.columns + column)
    }

    /// A row that reaches more than `times` as far from 0 as the middle one: file and name of the array, the row, how many times.
    pub(crate) fn row_above(&self, times: f64) -> Option<(&str, usize, f64)> {
        let (row, ratio) = self.peak.filter(|(_, ratio)| *ratio > times)?;
        Some((&self.from, row, ratio))
    }

    /// Columns that do not vary.
    pub fn constant(&self) -> usize {
        self.constant
    }

    /// These samples, `[rows, columns]`.
    ///
    /// # Errors
    /// No sample.
    pub(crate) fn select(&self, rows: &[usize], view: View) -> Result<Matrix> {
        Self::beside(&[self], rows, view)
    }

    /// These samples of several arrays side by side.
    ///
    /// # Errors
    /// No sample.
    pub(crate) fn beside(parts: &[&Self], rows: &[usize], view: View) -> Result<Matrix> {
        let columns = parts.iter().map(|part| part.columns).sum();
        let mut values = Vec::with_capacity(rows.len() * columns);
        let read: Vec<Vec<(f64, f64)>> = parts.iter().map(|part| part.read_as(view)).collect();
        for &row in rows {
            for (part, read) in parts.iter().zip(&read) {
                let start = row * part.columns;
                let of = |(column, (power, first)): (usize, &(f64, f64))| {
                    number(&part.values, start + column) * power - first
                };
                values.extend(read.iter().enumerate().map(of));
            }
        }
        Ok(Matrix::new(&values, rows.len(), columns)?)
    }

    /// What each column is multiplied with, and what is taken off then.
    fn read_as(&self, view: View) -> Vec<(f64, f64)> {
        let first = |column: usize, power: f64| number(&self.values, column) * power;
        let of = |column: usize| match view {
            View::Raw => (1.0, 0.0),
            View::Scaled => (self.power, 0.0),
            View::Centred => (self.power, first(column, self.power)),
            View::Columns => (self.powers[column], first(column, self.powers[column])),
        };
        (0..self.columns).map(of).collect()
    }
}

/// The power of two that brings `largest` below 1, and to a half at least.
pub(crate) fn power(largest: f64) -> f64 {
    let (_, exponent) = libm::frexp(largest);
    libm::ldexp(1.0, -exponent.clamp(-LARGEST_POWER, LARGEST_POWER))
}

/// The first of the furthest, and how many times as far as the middle one.
fn peak(mut reach: Vec<f64>) -> Option<(usize, f64)> {
    let largest = reach.iter().copied().fold(0.0, f64::max);
    let row = reach.iter().position(|far| *far == largest)?;
    let middle = reach.len() / 2;
    let (_, middle, _) = reach.select_nth_unstable_by(middle, f64::total_cmp);
    (*middle > 0.0).then(|| (row, largest / *middle))
}

fn number(values: &Values, at: usize) -> f64 {
    values.get(at).unwrap_or(f64::NAN)
}

/// An error of `array`.
pub(crate) fn refused(array: &Array, reason: String, help: &str) -> DiagnoseError {
    input(format!("{}: {reason}", place(array)), help)
}

/// File and name of an array.
pub(crate) fn place(array: &Array) -> String {
    format!("{}: array `{}`", array.info.path.display(), array.info.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmcollapse_arrays::{ArrayInfo, Dtype};

    fn features(values: Vec<f64>, columns: usize) -> Features {
        let info = ArrayInfo {
            name: "fused".into(),
            shape: vec![values.len() / columns, columns],
            dtype: Dtype::F64,
            path: "arrays.npz".into(),
        };
        let values = Values::Double(values);
        Features::new(Array { info, values }, None).unwrap()
    }

    #[test]
    fn powers_of_two_and_a_first_row_are_taken_off_exactly() {
        let plain = [0.5, -3.0, 0.25, 1.0, -0.75, 2.0];
        let of = |values: &[f64], view: View| features(values.to_vec(), 2).select(&[0, 1, 2], view).unwrap();
        let columns = of(&plain, View::Columns);
        for power in [libm::ldexp(1.0, 700), libm::ldexp(1.0, -700)] {
            let scaled: Vec<f64> = plain.iter().map(|x| x * power).collect();
            assert_eq!(of(&scaled, View::Columns), columns);
            assert_eq!(of(&scaled, View::Centred), of(&plain, View::Centred));
            assert_eq!(of(&scaled, View::Raw).values(), scaled);
        }
        // 1e12 has steps of 2^-13: what varies by more is exact.
        let shifted: Vec<f64> = plain.iter().map(|x| 1e12 + x).collect();
        let differences = |matrix: &Matrix| matrix.row(1)[0] / matrix.row(2)[0];
        assert_eq!(differences(&of(&shifted, View::Columns)), differences(&columns));
        // Two columns far from each other: neither is lost.
        let apart: Vec<f64> = plain.chunks(2).flat_map(|x| [x[0] * 1e200, x[1] * 1e-200]).collect();
        assert!(of(&apart, View::Columns).values().iter().skip(2).all(|x| x.abs() > 0.1));
    }

    #[test]
    fn columns_that_only_round_are_noted() {
        let notes = |values: Vec<f64>| features(values, 1).notes().collect::<Vec<_>>();
        assert!(notes(vec![1e12, 1e12 + 0.5, 1e12 + 1.0]).is_empty());
        assert!(notes(vec![0.0, 1.0, 0.0]).is_empty());
        let rounded = notes(vec![1e16, 1e16 + 2.0, 1e16 + 6.0]);
        assert!(
            rounded.len() == 1 && rounded[0].starts_with("arrays.npz: array `fused`: 1 of 1 columns vary"),
            "{rounded:?}"
        );
        assert_eq!(
            notes(vec![3.0; 3]),
            ["arrays.npz: array `fused`: 1 of 1 columns are constant"]
        );
    }
}
