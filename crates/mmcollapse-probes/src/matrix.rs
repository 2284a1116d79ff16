//! Samples in rows, features in columns.

use crate::error::same_length;
use crate::{MeasureError, Result};

/// Spread below this part of the size of what spreads is what taking off a mean rounds to, up to a million samples; features
/// in f32 that differ at all differ by more.
pub(crate) const CONSTANT: f64 = 1e-10;

/// A dense matrix in f64, row by row: `rows` samples of `columns` features.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    values: Vec<f64>,
    rows: usize,
    columns: usize,
}

impl Matrix {
    /// Takes `values` row by row; f32 is widened, so that sums over many samples keep their digits.
    ///
    /// # Errors
    /// Not `rows * columns` values, none at all, or one that is not finite.
    pub fn new<T: Copy + Into<f64>>(values: &[T], rows: usize, columns: usize) -> Result<Self> {
        const MEASURE: &str = "matrix";
        same_length(MEASURE, values.len(), rows * columns)?;
        crate::error::at_least(MEASURE, 1, values.len())?;
        let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
        crate::error::finite(MEASURE, &values)?;
        Ok(Self { values, rows, columns })
    }

    /// Number of samples.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of features.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Features of one sample; an empty slice beyond the last.
    pub fn row(&self, row: usize) -> &[f64] {
        let start = (row * self.columns).min(self.values.len());
        let end = (start + self.columns).min(self.values.len());
        &self.values[start..end]
    }

    /// These samples of it, in this order.
    ///
    /// # Errors
    /// No row, or one that it does not have.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let values: Vec<f64> = rows.iter().flat_map(|&row| self.row(row)).copied().collect();
        Self::new(&values, rows.len(), self.columns)
    }

    /// Whether its samples differ by more than rounding.
    pub(crate) fn varies(&self) -> bool {
        let size = |matrix: &Self| dot(&matrix.values, &matrix.values).sqrt();
        size(&self.centred()) > CONSTANT * size(self)
    }

    /// The same matrix with the mean of each feature taken off.
    #[must_use]
    pub fn centred(&self) -> Self {
        let mut means = vec![0.0; self.columns];
        for row in self.values.chunks_exact(self.columns) {
            for (mean, value) in means.iter_mut().zip(row) {
                *mean += value;
            }
        }
        for mean in &mut means {
            *mean /= self.rows as f64;
        }
        let mut values = self.values.clone();
        for row in values.chunks_exact_mut(self.columns) {
            for (value, mean) in row.iter_mut().zip(&means) {
                *value -= mean;
            }
        }
        Self { values, ..*self }
    }

    /// Samples become features and the other way round.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut values = Vec::with_capacity(self.values.len());
        for column in 0..self.columns {
            values.extend((0..self.rows).map(|row| self.values[row * self.columns + column]));
        }
        Self {
            values,
            rows: self.columns,
            columns: self.rows,
        }
    }

    /// Inner products of all pairs of rows, `X X^T`, of shape [rows, rows].
    #[must_use]
    pub fn gram(&self) -> Self {
        let mut values = vec![0.0; self.rows * self.rows];
        for i in 0..self.rows {
            for j in 0..=i {
                let product: f64 = dot(self.row(i), self.row(j));
                values[i * self.rows + j] = product;
                values[j * self.rows + i] = product;
            }
        }
        Self {
            values,
            rows: self.rows,
            columns: self.rows,
        }
    }

    /// The product with `other` `[columns, ..]`.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub(crate) fn times(&self, other: &Self) -> Result<Self> {
        same_length("product of matrices", self.columns, other.rows)?;
        let columns = other.transposed();
        let row = |row: usize| (0..columns.rows).map(move |column| (row, column));
        let cells = (0..self.rows).flat_map(row);
        let values: Vec<f64> = cells
            .map(|(row, column)| dot(self.row(row), columns.row(column)))
            .collect();
        Self::new(&values, self.rows, other.columns)
    }

    /// The same matrix times a number.
    #[must_use]
    pub(crate) fn scaled(mut self, factor: f64) -> Self {
        for value in &mut self.values {
            *value *= factor;
        }
        self
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    pub(crate) fn square(&self, measure: &'static str) -> Result<usize> {
        if self.rows == self.columns {
            Ok(self.rows)
        } else {
            Err(MeasureError::Lengths {
                measure,
                left: self.rows,
                right: self.columns,
            })
        }
    }
}

/// Inner product of two rows of equal length.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
