//! Binary cross-entropy of logits, stable at every magnitude.

use candle_core::bail;

use crate::ops::{exp, ln};
use crate::{Result, Tensor};

/// Mean over the elements of `-y log p - (1-y) log(1-p)` with `p = sigmoid(logit)`, in nats.
///
/// `logits` and `targets` (in 0..=1) have the same shape. With `weights` of that shape the mean is weighted,
/// `sum(w l) / sum(w)`: a weight of 0 takes an element out (a label that is not known), and where all are 0 the
/// loss is 0 and has no gradient. No gradient flows to targets and weights.
///
/// The form `max(x, 0) - x y + log(1 + exp(-|x|))` neither overflows nor loses its gradient at any logit.
/// `max(x, 0)` is written `(x + |x|) / 2`: at 0 the two kinks then cancel, and the gradient is `1/2 - y` as it
/// should be.
///
/// # Errors
/// If the shapes or types differ.
pub fn bce_with_logits(logits: &Tensor, targets: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
    for (what, other) in [("targets", Some(targets)), ("weights", weights)] {
        if let Some(other) = other
            && (other.dims() != logits.dims() || other.dtype() != logits.dtype())
        {
            bail!(
                "bce_with_logits: {what} are {:?} {:?}, expected {:?} {:?} as the logits",
                other.dtype(),
                other.dims(),
                logits.dtype(),
                logits.dims()
            );
        }
    }
    let targets = targets.detach();
    let magnitude = logits.abs()?;
    let positive = ((logits + &magnitude)? * 0.5)?;
    let tail = ln(&(exp(&magnitude.neg()?)? + 1.0)?)?;
    let losses = ((positive - logits.mul(&targets)?)? + tail)?;
    match weights {
        None => losses.mean_all(),
        Some(weights) => {
            let weights = weights.detach();
            // The bound only matters where no element counts: 0 over it is 0.
            let total = weights.sum_all()?.maximum(f64::from(f32::MIN_POSITIVE))?;
            (losses * weights)?.sum_all()?.div(&total)
        }
    }
}
