//! How many seeds would detect an effect.

use statrs::function::beta::beta_reg;

use crate::Result;
use crate::estimate::t_quantile;

use super::spread::FLOOR;

/// The power that [`pairs_needed`] asks for.
const POWER: f64 = 0.8;

/// More seeds than this nobody trains: there is then no n to name.
const MOST: usize = 100_000;

/// From this size of the noncentrality on the series would start below the least f64; a normal approximation is then exact
/// enough.
const SERIES: f64 = 37.0;

/// Whether an effect in either direction counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// One direction.
    One,
    /// Both.
    Two,
    /// Both have to be ruled out, each in a test of its own, where there is no difference: equivalence.
    Within,
}

/// The probability that noncentral t with `freedom` degrees of freedom and noncentrality `shift` is at most `t`.
///
/// Source: Lenth 1989, Applied Statistics 38, algorithm AS 243; equals `scipy.stats.nct.cdf`. For |shift| above 37 it is the
/// approximation 26.7.10 of Abramowitz and Stegun.
pub fn noncentral_t_cdf(t: f64, freedom: f64, shift: f64) -> f64 {
    if t < 0.0 {
        return 1.0 - noncentral_t_cdf(-t, freedom, -shift);
    }
    if shift.abs() > SERIES {
        let scale = (1.0 + t * t / (2.0 * freedom)).sqrt();
        return normal_cdf((t * (1.0 - 1.0 / (4.0 * freedom)) - shift) / scale);
    }
    let half = shift * shift / 2.0;
    let x = t * t / (freedom + t * t);
    let mut even = libm::exp(-half);
    let mut odd = shift * even * std::f64::consts::FRAC_2_SQRT_PI / std::f64::consts::SQRT_2;
    let (mut sum, mut i) = (0.0, 0.0);
    // Poisson weights: negligible once past their peak and small.
    while i <= half || even + odd.abs() > 1e-17 {
        sum += even * beta_reg(i + 0.5, freedom / 2.0, x) + odd * beta_reg(i + 1.0, freedom / 2.0, x);
        even *= half / (i + 1.0);
        odd *= half / (i + 1.5);
        i += 1.0;
    }
    (normal_cdf(-shift) + sum / 2.0).clamp(0.0, 1.0)
}

fn normal_cdf(x: f64) -> f64 {
    libm::erfc(-x / std::f64::consts::SQRT_2) / 2.0
}

/// The power of the paired t test on `n` seeds at level `alpha` against a mean difference of `effect`.
///
/// `q` enters as in the interval: the noncentrality is effect / (sd sqrt(1/n + q)), and no difference below 1.96 sd sqrt(q) counts.
/// With q = 0 it equals statsmodels' `TTestPower().power(effect / sd, n, alpha)`. For equivalence `effect` is the margin, and both
/// one-sided tests have to reject (Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15).
///
/// # Errors
/// A single seed.
pub fn paired_power(effect: f64, sd: f64, q: f64, n: usize, alpha: f64, sides: Sides) -> Result<f64> {
    let freedom = n as f64 - 1.0;
    let error = (1.0 / n as f64 + q).sqrt();
    let shift = effect / (sd * error);
    let critical = |level: f64| -> Result<f64> { Ok(t_quantile(level, freedom)?.max(FLOOR * q.sqrt() / error)) };
    let one_sided = || -> Result<f64> { Ok(1.0 - noncentral_t_cdf(critical(1.0 - alpha)?, freedom, shift)) };
    Ok(match sides {
        Sides::One => one_sided()?,
        Sides::Within => (2.0 * one_sided()? - 1.0).max(0.0),
        Sides::Two => {
            let t = critical(1.0 - alpha / 2.0)?;
            1.0 - noncentral_t_cdf(t, freedom, shift) + noncentral_t_cdf(-t, freedom, shift)
        }
    })
}

/// The least number of seeds with 80 % power against a mean difference of `effect`; none where no number has it.
///
/// Overlapping samples (q > 0) bound the power from above, whatever the number of seeds.
///
/// # Errors
/// Those of [`paired_power`].
pub fn pairs_needed(effect: f64, sd: f64, q: f64, alpha: f64, sides: Sides) -> Result<Option<usize>> {
    let enough = |n: usize| Ok(paired_power(effect, sd, q, n, alpha, sides)? >= POWER);
    if !enough(MOST)? {
        return Ok(None);
    }
    let (mut too_few, mut enough_seeds) = (1, MOST);
    while enough_seeds - too_few > 1 {
        let middle = usize::midpoint(too_few, enough_seeds);
        if enough(middle)? {
            enough_seeds = middle;
        } else {
            too_few = middle;
        }
    }
    Ok(Some(enough_seeds))
}
