//! Eigenvalues of a symmetric matrix.
//!
//! Householder's reduction to tridiagonal form, then QL with implicit shifts; only values, no vectors. Source:
//! Bowdler, Martin, Reinsch, Wilkinson 1968 (`tred1`, `imtql1` of EISPACK). About 4/3 n^3 operations.

use crate::matrix::{Matrix, dot};
use crate::{MeasureError, Result};

/// QL needs under two sweeps an eigenvalue; EISPACK gives up at this number too.
const SWEEPS: usize = 30;

/// Eigenvalues of a symmetric matrix, largest first. Only the lower triangle is read.
///
/// Absolute error: a small multiple of n * 2e-16 * the largest eigenvalue. Small eigenvalues of a Gram matrix
/// are therefore known to about 1e-8 of the largest singular value, which is below the threshold that counts
/// for a rank in f32.
///
/// # Errors
/// A matrix that is not square; no convergence (never seen on finite input).
pub fn symmetric_eigenvalues(matrix: &Matrix) -> Result<Vec<f64>> {
    let n = matrix.square("symmetric eigenvalues")?;
    let (mut diagonal, mut off) = tridiagonal(matrix.values().to_vec(), n);
    implicit_ql(&mut diagonal, &mut off)?;
    diagonal.sort_by(|a, b| b.total_cmp(a));
    Ok(diagonal)
}

/// Householder reduction: the diagonal, and the off-diagonal with entry i between i and i + 1 (the last is 0).
fn tridiagonal(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut off = vec![0.0; n];
    // Row i's entries left of its sub-diagonal are reflected away, from the last row upwards.
    for i in (2..n).rev() {
        let scale: f64 = a[i * n..i * n + i].iter().map(|x| x.abs()).sum();
        let beside = a[i * n + i - 1];
        if scale == 0.0 || a[i * n..i * n + i - 1].iter().all(|&x| x == 0.0) {
            off[i - 1] = beside;
            continue;
        }
        // v = row / scale, its last entry moved away from zero by the norm; the reflection is 1 - v v^T / h.
        let mut v: Vec<f64> = a[i * n..i * n + i].iter().map(|x| x / scale).collect();
        let norm = dot(&v, &v).sqrt();
        let g = if v[i - 1] >= 0.0 { -norm } else { norm };
        let h = norm * norm - v[i - 1] * g;
        off[i - 1] = scale * g;
        v[i - 1] -= g;
        // p = A v / h, from the lower triangle of the leading i x i block.
        let mut p = vec![0.0; i];
        for j in 0..i {
            let row = &a[j * n..j * n + j];
            p[j] += dot(row, &v[..j]) + a[j * n + j] * v[j];
            for (p, x) in p[..j].iter_mut().zip(row) {
                *p += x * v[j];
            }
        }
        for p in &mut p {
            *p /= h;
        }
        // A <- A - v q^T - q v^T with q = p - (p.v / 2h) v.
        let k = dot(&p, &v) / (2.0 * h);
        let q: Vec<f64> = p.iter().zip(&v).map(|(p, v)| p - k * v).collect();
        for j in 0..i {
            for (l, x) in a[j * n..=j * n + j].iter_mut().enumerate() {
                *x -= v[j] * q[l] + q[j] * v[l];
            }
        }
    }
    if n > 1 {
        off[0] = a[n];
    }
    let diagonal = (0..n).map(|i| a[i * n + i]).collect();
    (diagonal, off)
}

/// QL with implicit shifts on a tridiagonal matrix; `diagonal` ends as the eigenvalues, in no order.
fn implicit_ql(diagonal: &mut [f64], off: &mut [f64]) -> Result<()> {
    let n = diagonal.len();
    for l in 0..n {
        let mut sweeps = 0;
        loop {
            let split = (l..n - 1)
                .find(|&m| {
                    let near = diagonal[m].abs() + diagonal[m + 1].abs();
                    off[m].abs() <= f64::EPSILON * near
                })
                .unwrap_or(n - 1);
            if split == l {
                break;
            }
            sweeps += 1;
            if sweeps > SWEEPS {
                return Err(MeasureError::Degenerate {
                    measure: "symmetric eigenvalues",
                    reason: "the QL iteration did not converge",
                });
            }
            sweep(diagonal, off, l, split);
        }
    }
    Ok(())
}

/// One QL sweep over the block l ..= m, shifted by the eigenvalue of its upper 2 x 2 nearer to its corner.
fn sweep(diagonal: &mut [f64], off: &mut [f64], l: usize, m: usize) {
    let mut g = (diagonal[l + 1] - diagonal[l]) / (2.0 * off[l]);
    let r = libm::hypot(g, 1.0);
    g = diagonal[m] - diagonal[l] + off[l] / (g + r.copysign(g));
    let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
    for i in (l..m).rev() {
        let f = s * off[i];
        let b = c * off[i];
        let r = libm::hypot(f, g);
        off[i + 1] = r;
        if r == 0.0 {
            // The block has split here: take the shift back and start again on the smaller one.
            diagonal[i + 1] -= p;
            off[m] = 0.0;
            return;
        }
        s = f / r;
        c = g / r;
        let shifted = diagonal[i + 1] - p;
        let r = (diagonal[i] - shifted) * s + 2.0 * c * b;
        p = s * r;
        diagonal[i + 1] = shifted + p;
        g = c * r - b;
    }
    diagonal[l] -= p;
    off[l] = g;
    off[m] = 0.0;
}
