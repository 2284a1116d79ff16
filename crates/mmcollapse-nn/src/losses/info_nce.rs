//! Contrast between two views of the same samples: InfoNCE (van den Oord et al. 2018) in its symmetric form.

use candle_core::bail;

use crate::ops::{exp, ln, matmul};
use crate::{D, Result, Tensor};

/// Keeps a row of zeros from being divided by 0 (PyTorch's `F.normalize` has the same bound).
const SHORTEST: f64 = 1e-12;

/// Rows of `x [.., width]` at length 1.
///
/// # Errors
/// Whatever the device says.
pub fn l2_normalize(x: &Tensor) -> Result<Tensor> {
    let length = (x.sqr()?.sum_keepdim(D::Minus1)? + SHORTEST * SHORTEST)?.sqrt()?;
    // No quotient: candle would square the length and divide by it for each number of `x`.
    x.broadcast_mul(&length.recip()?)
}

/// Mean cross-entropy, in nats, of finding for each row of `a` its partner in `b` among all rows of the batch,
/// and the other way round: the mean of both directions.
///
/// `a`, `b`: `[n, width]`, row i of one belongs to row i of the other; similarity is the cosine over
/// `temperature` (> 0).
///
/// # Errors
/// If the shapes differ, or the temperature is not positive.
pub fn info_nce(a: &Tensor, b: &Tensor, temperature: f64) -> Result<Tensor> {
    if !(temperature.is_finite() && temperature > 0.0) {
        bail!("info_nce: the temperature must be positive, got {temperature}");
    }
    paired(a, b, |a| a / temperature)
}

/// [`info_nce`] with similarities multiplied by `scale`, a scalar that may be learnt: one over the temperature.
///
/// # Errors
/// If the shapes differ.
pub fn info_nce_scaled(a: &Tensor, b: &Tensor, scale: &Tensor) -> Result<Tensor> {
    paired(a, b, |a| a.broadcast_mul(scale))
}

/// The loss of two views whose first is scaled once its rows have length 1.
fn paired(a: &Tensor, b: &Tensor, scaled: impl Fn(Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (n, _) = a.dims2()?;
    if a.dims() != b.dims() {
        bail!(
            "info_nce: the two views are {:?} and {:?}, expected the same shape",
            a.dims(),
            b.dims()
        );
    }
    let a = scaled(l2_normalize(a)?)?;
    let b = l2_normalize(b)?;
    let partners = (&a * &b)?.sum_all()?;
    let scores = matmul(&a, &b.t()?)?; // [n, n]
    let rows = log_sum_exp(&scores, 1)?.sum_all()?;
    let columns = log_sum_exp(&scores, 0)?.sum_all()?;
    (((rows + columns)? * 0.5)? - partners)? / n.max(1) as f64
}

/// `log(sum(exp(x)))` over one dimension. The maximum is a constant to the gradient: candle would spread the
/// gradient of a maximum over all that share it.
pub(super) fn log_sum_exp(x: &Tensor, dim: usize) -> Result<Tensor> {
    let top = x.detach().max_keepdim(dim)?;
    let sum = exp(&x.broadcast_sub(&top)?)?.sum(dim)?;
    ln(&sum)? + top.squeeze(dim)?
}
