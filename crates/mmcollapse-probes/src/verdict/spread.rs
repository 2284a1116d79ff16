//! How sure the mean of a few differences is, where their samples overlap.

use crate::error::{at_least, confidence};
use crate::estimate::{Interval, mean, normal_quantile, standard_deviation, t_quantile};
use crate::{MeasureError, Result};

/// The normal quantile of a two-sided 95 % interval: what no number of seeds takes away from the half-width when q > 0.
pub(super) const FLOOR: f64 = 1.96;

/// Mean and spread of differences by seed, with the overlap of the seeds' samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Number of seeds.
    pub n: usize,
    /// Mean difference.
    pub mean: f64,
    /// Standard deviation of the differences, n - 1 in the denominator.
    pub sd: f64,
    /// Test samples by training samples where every seed cuts the same records anew; 0 where it draws its own.
    pub q: f64,
}

impl Spread {
    /// Takes mean and spread of the differences.
    ///
    /// # Errors
    /// Fewer than two differences, one that is not finite, a q that is negative or not finite.
    pub fn of(differences: &[f64], q: f64) -> Result<Self> {
        const MEASURE: &str = "resampled interval";
        at_least(MEASURE, 2, differences.len())?;
        if !(q >= 0.0 && q.is_finite()) {
            return Err(MeasureError::Parameter {
                measure: MEASURE,
                parameter: "q",
                expected: "0 or more",
                got: q,
            });
        }
        Ok(Self {
            n: differences.len(),
            mean: mean(differences)?,
            sd: standard_deviation(differences)?,
            q,
        })
    }

    /// The standard error of the mean, s sqrt(1/n + q).
    ///
    /// Source: Nadeau and Bengio 2003, Machine Learning 52, section 3: results on overlapping splits are correlated, and 1/n
    /// alone understates the variance of their mean.
    pub fn error(&self) -> f64 {
        self.sd * (1.0 / self.n as f64 + self.q).sqrt()
    }

    /// The half-width that an interval at `level`, in (0, 1), cannot go below with any number of seeds: z s sqrt(q) with the level's
    /// normal quantile z, 1.96 at least.
    pub fn floor(&self, level: f64) -> f64 {
        normal_quantile(level).max(FLOOR) * self.sd * self.q.sqrt()
    }

    /// The two-sided interval at a level, never narrower than the floor.
    ///
    /// # Errors
    /// A level outside of (0, 1).
    pub fn interval(&self, level: f64) -> Result<Interval> {
        confidence("resampled interval", level)?;
        let half = t_quantile(0.5 + level / 2.0, (self.n - 1) as f64)? * self.error();
        let half = half.max(self.floor(level));
        Ok(Interval {
            low: self.mean - half,
            high: self.mean + half,
        })
    }
}

/// The interval of a mean difference over seeds: mean ± t(n - 1, level) s sqrt(1/n + q), never narrower than 1.96 s sqrt(q).
///
/// With q = 0 it is Student's ([`crate::t_interval`]).
///
/// # Errors
/// Fewer than two differences, one that is not finite, a negative q, a level outside of (0, 1).
pub fn resampled_interval(differences: &[f64], level: f64, q: f64) -> Result<Interval> {
    Spread::of(differences, q)?.interval(level)
}
