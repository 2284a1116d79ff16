//! The affine map of a fully connected layer, with its rectifier in the same pass.

use std::ops::RangeInclusive;

use super::activation::{pass, rectify};
use super::fused;
use super::gemm::{Begin, Matrix, product, product_from};
use super::matmul::matmul;
use crate::candle::{CpuStorage, CustomOp3, Layout, Shape, bail};
use crate::{Result, Tensor, gradients};

/// `x w^T + b`, then `max(., 0)` where `relu`; `x [.., i]`, `w [o, i]`, `b [o]`, result `[.., o]`.
///
/// # Errors
/// If the shapes do not fit each other.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    let tensors: Vec<&Tensor> = [x, w].into_iter().chain(b).collect();
    if !fused::applies(&tensors) {
        return linear_composed(x, w, b, relu);
    }
    on_rows(x, w, b, |rows| {
        let op = Linear {
            relu,
            bias: b.is_some(),
            // Asked before `contiguous`, which records an operation of its own.
            tracked: Tracked {
                input: rows.track_op(),
                weight: w.track_op(),
            },
        };
        let rows = rows.contiguous()?;
        match b {
            Some(b) => rows.apply_op3(&w.contiguous()?, &b.contiguous()?, op),
            None => rows.apply_op3(&w.contiguous()?, &Tensor::zeros(0, w.dtype(), w.device())?, op),
        }
    })
}

/// [`linear`] composed of candle operations.
///
/// # Errors
/// As [`linear`].
pub fn linear_composed(x: &Tensor, w: &Tensor, b: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    on_rows(x, w, b, |rows| {
        let y = matmul(rows, &w.t()?)?;
        let y = match b {
            Some(b) => y.broadcast_add(b)?,
            None => y,
        };
        if relu { super::relu_composed(&y) } else { Ok(y) }
    })
}

/// Checks the shapes, shows `x` to `f` as a matrix and gives its result the leading dimensions of `x` back.
fn on_rows(x: &Tensor, w: &Tensor, b: Option<&Tensor>, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (outputs, inputs) = w.dims2()?;
    let bias_fits = outputs > 0 && b.is_none_or(|b| b.dims() == [outputs]);
    let (Some((&last, leading)), true) = (x.dims().split_last(), bias_fits) else {
        bail!(
            "linear: x {:?}, weight {:?}, bias {:?}; the bias has to be [{outputs}], at least [1]",
            x.shape(),
            w.shape(),
            b.map(Tensor::shape)
        );
    };
    if last != inputs {
        bail!("linear: the last dimension of x {:?} has to be {inputs}", x.shape());
    }
    if leading.len() == 1 {
        return f(x);
    }
    let rows: usize = leading.iter().product();
    let shape: Vec<usize> = leading.iter().copied().chain([outputs]).collect();
    f(&x.reshape((rows, inputs))?)?.reshape(shape)
}

/// Rows for which [`few_rows`] is faster where those of the weight are [`LONG`]: 1.4 to 5 times for 16 of them, 1.1 to 2.5
/// times for 32, about as fast as the plain product for 64 and a little slower beyond. A single row needs no packing.
const FEW_ROWS: RangeInclusive<usize> = 2..=64;

/// Numbers in a row of the weight from which on [`few_rows`] pays: what the library copies it reads across the rows, and
/// slowest where their length is a power of two.
const LONG: usize = 192;

/// `x w^T + b`, computed as the transpose of `w x^T`. The library's vectors run along the rows of the result, and it first
/// copies the operand whose numbers do not lie in that direction: of `x w^T` the wide weight, which with few rows takes
/// longer than the product, and here `x`.
fn few_rows(x: Matrix<'_>, w: Matrix<'_>, b: Option<&[f32]>, n: usize) -> Vec<f32> {
    let begin = b.map_or(Begin::Zero, Begin::Rows);
    transposed(&product_from(begin, w, x.transposed()), n) // from [outputs, n]
}

/// A matrix of `columns` columns with rows and columns exchanged.
pub(crate) fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    /// Numbers in a line of the cache: so many are written in a row, of as many lines that are read.
    const LINE: usize = 16;
    let rows = values.len() / columns;
    let mut out = vec![0.0; values.len()];
    for first in (0..rows).step_by(LINE) {
        let values = &values[first * columns..];
        for (column, out) in out.chunks_exact_mut(rows).enumerate() {
            let column = values[column..].iter().step_by(columns);
            for (out, &value) in out[first..].iter_mut().take(LINE).zip(column) {
                *out = value;
            }
        }
    }
    out
}

struct Linear {
    relu: bool,
    bias: bool,
    tracked: Tracked,
}

/// What takes a gradient; a constant takes none, and then none is computed.
struct Tracked {
    input: bool,
    weight: bool,
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, inputs) = x_layout.shape().dims2()?;
        let (outputs, _) = w_layout.shape().dims2()?;
        let x = Matrix::new(fused::slice(x, x_layout)?, n, inputs);
        let w = Matrix::new(fused::slice(w, w_layout)?, outputs, inputs);
        let b = if self.bias {
            Some(fused::slice(b, b_layout)?)
        } else {
            None
        };
        let mut y = if FEW_ROWS.contains(&n) && inputs >= LONG {
            few_rows(x, w, b, n)
        } else {
            product_from(b.map_or(Begin::Zero, Begin::Columns), x, w.transposed())
        };
        if self.relu {
            for value in &mut y {
                *value = rectify(*value);
            }
        }
        Ok((CpuStorage::F32(y), Shape::from((n, outputs))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (n, inputs) = x.dims2()?;
        let outputs = w.dim(0)?;
        let gradient = gradient.contiguous()?;
        let mut dy = Vec::new();
        if self.relu {
            dy = fused::with(y, |y| {
                fused::with(&gradient, |g| Ok(g.iter().zip(y).map(|(&g, &y)| pass(g, y)).collect()))
            })?;
        }
        let (mut dx, mut dw, mut db) = (None, None, None);
        fused::with(x, |x| {
            fused::with(w, |w| {
                fused::with(&gradient, |g| {
                    let dy = if self.relu { &dy } else { g };
                    db = self.bias.then(|| fused::column_sums(dy, outputs));
                    let dy = Matrix::new(dy, n, outputs);
                    let weight = || product(dy.transposed(), Matrix::new(x, n, inputs));
                    dw = self.tracked.weight.then(weight);
                    dx = self.tracked.input.then(|| product(dy, Matrix::new(w, outputs, inputs)));
                    Ok(())
                })
            })
        })?;
        let dx = dx.map(|dx| fused::tensor(dx, x)).transpose()?;
        let db = db.map(|db| fused::tensor(db, b)).transpose()?;
        let dw = match dw {
            Some(dw) => gradients::deposit(w, fused::tensor(dw, w)?)?,
            None => None,
        };
        Ok((dx, dw, db))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposed_at_the_edges() {
        for (rows, columns) in [(1, 1), (1, 5), (16, 16), (33, 2), (17, 50)] {
            let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let out = transposed(&values, columns);
            assert_eq!(out.len(), values.len());
            for (i, value) in out.into_iter().enumerate() {
                assert_eq!(value, values[i % rows * columns + i / rows], "{rows} x {columns}");
            }
        }
    }
}
