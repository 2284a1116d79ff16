//! Sequences out of batches: codes as numbers of a vocabulary, lengths of series.

use mmcollapse_nn::{Result as TensorResult, Tensor, candle::bail};

/// The codes of a batch, cut to its longest sequence.
pub(super) struct Codes {
    /// `rows * length` codes, 0 where there is none.
    pub ids: Vec<u32>,
    /// Codes of the longest sequence, at least 1.
    pub length: usize,
}

impl Codes {
    /// Of each place whether a code is there.
    pub fn there(&self) -> Vec<bool> {
        self.ids.iter().map(|id| *id > 0).collect()
    }
}

/// The codes in `x [rows, length]`.
pub(super) fn codes(x: &Tensor, vocabulary: usize) -> TensorResult<Codes> {
    let rows: Vec<Vec<f32>> = x.to_vec2()?;
    let used = |row: &Vec<f32>| row.iter().rposition(|code| *code != 0.0).map_or(0, |last| last + 1);
    let length = rows.iter().map(used).max().unwrap_or(0).max(1);
    let mut ids = Vec::with_capacity(rows.len() * length);
    for (i, row) in rows.iter().enumerate() {
        for &code in &row[..length.min(row.len())] {
            if !(code >= 0.0 && code <= vocabulary as f32 && code.fract() == 0.0) {
                bail!("codes: {code} in row {i}, expected a whole number from 0 (none) to {vocabulary}");
            }
            ids.push(code as u32);
        }
    }
    Ok(Codes { ids, length })
}

/// Of each series in `x [rows, steps, 1 + features]` the number of steps that are there: those come first, with a 1.
pub(super) fn lengths(x: &Tensor) -> TensorResult<Vec<usize>> {
    let marks: Vec<Vec<f32>> = x.narrow(2, 0, 1)?.squeeze(2)?.to_vec2()?;
    let mut lengths = Vec::with_capacity(marks.len());
    for (i, row) in marks.iter().enumerate() {
        let length = row.iter().take_while(|mark| **mark == 1.0).count();
        if row[length..].iter().any(|mark| *mark != 0.0) {
            bail!("series: row {i} has marks other than ones followed by zeros");
        }
        lengths.push(length);
    }
    Ok(lengths)
}
