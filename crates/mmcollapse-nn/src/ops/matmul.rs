//! Products of matrices and of batches of them, with the same bits on every machine.

use super::fused;
use super::gemm::{Matrix, gemm};
use crate::candle::{CpuStorage, CustomOp2, Layout, Shape, bail};
use crate::{Result, Tensor};

/// `a b` for `a [.., m, k]` and `b [.., k, n]` with the same leading dimensions.
///
/// # Errors
/// If the shapes do not fit each other.
#[expect(clippy::disallowed_methods, reason = "candle's own on other devices and types")]
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (rank, fits) = (a.rank(), a.rank() >= 2 && a.rank() == b.rank());
    if !fits || a.dims()[..rank - 2] != b.dims()[..rank - 2] || a.dims()[rank - 1] != b.dims()[rank - 2] {
        bail!("matmul: {:?} times {:?}; the shapes do not fit", a.shape(), b.shape());
    }
    if !fused::applies(&[a, b]) {
        // candle takes a transpose as it lies, but no other view.
        let taken = |x: &Tensor| match laid_out(x)? {
            (x, true) => x.t(),
            (x, false) => Ok(x),
        };
        return taken(a)?.matmul(&taken(b)?);
    }
    let (a, a_across) = laid_out(a)?;
    let (b, b_across) = laid_out(b)?;
    a.apply_op2(&b, MatMul { a_across, b_across })
}

/// A contiguous tensor, and whether its matrices have rows and columns exchanged: a transpose is not copied.
fn laid_out(x: &Tensor) -> Result<(Tensor, bool)> {
    if x.is_contiguous() {
        return Ok((x.clone(), false));
    }
    let across = x.t()?;
    if across.is_contiguous() {
        return Ok((across, true));
    }
    Ok((x.contiguous()?, false))
}

/// A product of contiguous operands, of which either may hold its transposes.
struct MatMul {
    a_across: bool,
    b_across: bool,
}

/// Rows and columns of the last two dimensions, seen as they are used.
fn sizes(dims: &[usize], across: bool) -> (usize, usize) {
    match (dims, across) {
        ([.., columns, rows], true) | ([.., rows, columns], false) => (*rows, *columns),
        _ => (0, 0),
    }
}

/// The `index`-th matrix.
fn matrix(values: &[f32], index: usize, (rows, columns): (usize, usize), across: bool) -> Matrix<'_> {
    let values = &values[index * rows * columns..][..rows * columns];
    if across {
        Matrix::new(values, columns, rows).transposed()
    } else {
        Matrix::new(values, rows, columns)
    }
}

impl CustomOp2 for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (m, k) = sizes(a_layout.dims(), self.a_across);
        let (_, n) = sizes(b_layout.dims(), self.b_across);
        let leading = &a_layout.dims()[..a_layout.dims().len() - 2];
        let count: usize = leading.iter().product();
        let (a, b) = (fused::slice(a, a_layout)?, fused::slice(b, b_layout)?);
        let mut out = vec![0.0; count * m * n];
        if m * n > 0 {
            for (index, out) in out.chunks_exact_mut(m * n).enumerate() {
                let a = matrix(a, index, (m, k), self.a_across);
                gemm(out, a, matrix(b, index, (k, n), self.b_across), false);
            }
        }
        Ok((CpuStorage::F32(out), Shape::from([leading, &[m, n]].concat())))
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let tracked = (a.track_op(), b.track_op());
        let (a, b) = (a.detach(), b.detach());
        // Of the operands as they are stored: of `a^T` where its transpose is used.
        let of_a = || match (self.a_across, self.b_across) {
            (false, false) => matmul(gradient, &b.t()?),
            (false, true) => matmul(gradient, &b),
            (true, false) => matmul(&b, &gradient.t()?),
            (true, true) => matmul(&b.t()?, &gradient.t()?),
        };
        let of_b = || match (self.a_across, self.b_across) {
            (false, false) => matmul(&a.t()?, gradient),
            (true, false) => matmul(&a, gradient),
            (false, true) => matmul(&gradient.t()?, &a),
            (true, true) => matmul(&gradient.t()?, &a.t()?),
        };
        Ok((tracked.0.then(of_a).transpose()?, tracked.1.then(of_b).transpose()?))
    }
}
