//! Bounds on a log-likelihood by importance sampling: samples z_k of a posterior q, log-weights l_k = log p(x, z_k) - log q(z_k).

use candle_core::bail;

use super::info_nce::log_sum_exp;
use crate::ops::{exp, ln};
use crate::{D, Result, Tensor, Var};

/// Log of the mean of `exp(x)` over the first dimension, `[k, ..]` to `[..]`: of log-weights the bound of IWAE (Burda et al.,
/// ICLR 2016).
///
/// # Errors
/// Whatever the device says.
pub fn log_mean_exp(x: &Tensor) -> Result<Tensor> {
    log_sum_exp(x, 0)? - libm::log(x.dim(0)? as f64)
}

/// Log-density at `x` of independent Laplace distributions, summed over the last dimension; shapes are broadcast.
///
/// # Errors
/// If the shapes do not fit.
pub fn laplace_log_density(x: &Tensor, location: &Tensor, scale: &Tensor) -> Result<Tensor> {
    let distance = x.broadcast_sub(location)?.abs()?.broadcast_mul(&scale.recip()?)?;
    let size = ln(&(scale * 2.0)?)?;
    distance.broadcast_add(&size)?.sum(D::Minus1)?.neg()
}

/// Samples `[k, .., width]` through which the bound's gradient is that of DReG (Tucker et al., ICLR 2019, equation 8).
///
/// With w_k the share of exp(l_k) in their sum, the parameters of q have the gradient `sum of w_k^2 dl_k/dz_k dz_k/dphi`: in l_k
/// the density of q is held fixed (by the caller), and what flows back through a sample is weighted by w_k once more. All other
/// parameters have the gradient of IWAE.
pub struct DoublyReparameterized {
    samples: Tensor,
    /// `[k, .., 1]`, the w_k as soon as they are known.
    weights: Var,
}

impl DoublyReparameterized {
    /// The samples as drawn.
    ///
    /// # Errors
    /// Whatever the device says.
    pub fn new(samples: &Tensor) -> Result<Self> {
        let mut shape = samples.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = 1;
        }
        let weights = Var::ones(shape, samples.dtype(), samples.device())?;
        let fixed = samples.detach();
        // A product's gradient reads its factor in the backward pass, when it holds the weights.
        let moving = (samples - &fixed)?.broadcast_mul(&weights.as_detached_tensor())?;
        Ok(Self {
            samples: (fixed + moving)?,
            weights,
        })
    }

    /// What log-weights are to be computed from; the same numbers.
    pub fn samples(&self) -> &Tensor {
        &self.samples
    }

    /// [`log_mean_exp`] of log-weights `[k, ..]`. To be called once, before the backward pass.
    ///
    /// # Errors
    /// If there is not one log-weight a sample.
    pub fn bound(&self, log_weights: &Tensor) -> Result<Tensor> {
        let fixed = log_weights.detach().unsqueeze(D::Minus1)?;
        if fixed.dims() != self.weights.dims() {
            bail!(
                "importance: {:?} log-weights of samples {:?}",
                log_weights.dims(),
                self.samples.dims()
            );
        }
        let total = log_sum_exp(&fixed, 0)?.unsqueeze(0)?;
        self.weights.set(&exp(&fixed.broadcast_sub(&total)?)?)?;
        log_mean_exp(log_weights)
    }
}
