//! Contrast between two views of the same samples among all rows of both: NT-Xent (Chen et al., SimCLR, ICML 2020, equation 1).

use candle_core::bail;

use super::supervised_contrastive;
use crate::{Result, Tensor};

/// Mean over the rows of both views of the cross-entropy, in nats, of finding a row's partner among the `2 n - 1` other rows.
///
/// `a`, `b`: `[n, width]`, row i of one belongs to row i of the other; similarity is the cosine over `temperature` (> 0). It is
/// the supervised contrast in which each sample is a class of its own.
///
/// # Errors
/// If the shapes differ, or the temperature is not positive.
pub fn nt_xent(a: &Tensor, b: &Tensor, temperature: f64) -> Result<Tensor> {
    if a.dims() != b.dims() {
        bail!(
            "nt_xent: the two views are {:?} and {:?}, expected the same shape",
            a.dims(),
            b.dims()
        );
    }
    let samples: Vec<u32> = (0..a.dim(0)? as u32).collect();
    supervised_contrastive(&Tensor::cat(&[a, b], 0)?, &samples.repeat(2), temperature)
}
