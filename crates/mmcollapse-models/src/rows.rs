//! Rows of a batch that have a modality: picking them out and putting them back, with gradient.

use mmcollapse_data::Presence;
use mmcollapse_nn::{Device, Result as TensorResult, Tensor};

use crate::encodings::Encodings;

/// Puts the rows of `x: [k, w]` at positions `rows` of an otherwise zero `[n, w]`, with gradient.
pub(crate) fn scatter_rows(x: &Tensor, rows: &[usize], n: usize) -> TensorResult<Tensor> {
    if rows.len() == n {
        return Ok(x.clone()); // every sample has it, in order
    }
    let zero = x.zeros_like()?.narrow(0, 0, 1)?;
    let padded = Tensor::cat(&[&zero, x], 0)?; // [1 + k, w]; row 0 is the zero row
    let mut from = vec![0u32; n];
    for (i, &row) in rows.iter().enumerate() {
        from[row] = i as u32 + 1;
    }
    padded.index_select(&Tensor::from_vec(from, n, x.device())?, 0)
}

/// Per modality `[batch, 1]`: 1 where the modality is there, 0 where it is not.
pub(crate) fn presence_weights(encodings: &Encodings) -> TensorResult<Vec<Tensor>> {
    let of = |(m, z): (usize, &Tensor)| presence_weight(&encodings.present, m, z.device());
    encodings.z.iter().enumerate().map(of).collect()
}

/// The same of one modality.
pub(crate) fn presence_weight(present: &Presence, modality: usize, device: &Device) -> TensorResult<Tensor> {
    let n = present.len();
    let weights: Vec<f32> = (0..n).map(|i| f32::from(u8::from(present.get(i, modality)))).collect();
    Tensor::from_vec(weights, (n, 1), device)
}

/// Of each of `n` samples its place in `rows`; 0 of one that is not there.
pub(crate) fn places(rows: &[usize], n: usize) -> Vec<usize> {
    let mut places = vec![0; n];
    for (place, &row) in rows.iter().enumerate() {
        places[row] = place;
    }
    places
}

/// `sum / count` row by row, `sum [n, width]` and `count [n, 1]`; zero where nothing was counted.
pub(crate) fn mean_of(sum: &Tensor, count: &Tensor) -> TensorResult<Tensor> {
    // No quotient of the two: candle would work out the gradient of the count, too, for each number of the sum.
    sum.broadcast_mul(&count.maximum(&count.ones_like()?)?.recip()?)
}

/// Positions of the samples that have all of these modalities.
pub(crate) fn rows_with(present: &Presence, modalities: &[usize]) -> Vec<usize> {
    (0..present.len())
        .filter(|&i| modalities.iter().all(|&m| present.get(i, m)))
        .collect()
}

/// Positions of the samples that have every modality.
pub(crate) fn complete_rows(present: &Presence) -> Vec<usize> {
    rows_with(present, &(0..present.modalities()).collect::<Vec<_>>())
}

/// Rows of `a` where `weight` `[n, 1]` is 1, of `b` where it is 0.
pub(crate) fn choose(weight: &Tensor, a: &Tensor, b: &Tensor) -> TensorResult<Tensor> {
    a.broadcast_mul(weight)? + b.broadcast_mul(&weight.affine(-1.0, 1.0)?)?
}

/// The rows at these positions, each at most once and in order, with gradient; the tensor itself when they are all of its
/// rows.
pub(crate) fn select_rows(x: &Tensor, rows: &[usize]) -> TensorResult<Tensor> {
    if rows.len() == x.dim(0)? {
        return Ok(x.clone());
    }
    gather_rows(x, rows)
}

/// The rows at these positions, in any order and as often as they are named, with gradient.
pub(crate) fn gather_rows(x: &Tensor, rows: &[usize]) -> TensorResult<Tensor> {
    let rows: Vec<u32> = rows.iter().map(|&r| r as u32).collect();
    let n = rows.len();
    x.index_select(&Tensor::from_vec(rows, n, x.device())?, 0)
}
