//! From intervals to a verdict.

use super::power::{Sides, pairs_needed};
use super::spread::Spread;
use crate::Result;
use crate::error::at_least_one;
use crate::estimate::Interval;

/// The chance that any test of a family errs.
const ALPHA: f64 = 0.05;

/// What a claim says of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It lies above 0.
    Higher,
    /// It lies below 0.
    Lower,
    /// It lies below the margin: equivalence in one direction.
    AtMost,
    /// Its size lies below the margin: equivalence.
    Within,
}

/// Why a test has no verdict on its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Fewer than two seeds have the difference.
    NotMeasured,
    /// A row that it is about has not been run at all.
    NotRun,
    /// Today's code, settings or data would give other runs.
    Stale,
    /// Too many runs diverged.
    Diverged,
    /// The manipulation check was not made.
    CheckNotMade,
    /// Too few runs pass the manipulation check.
    CheckFailed,
    /// The check passes where it must fail, or fails where it must pass: it says nothing.
    CheckUnsound,
}

/// What the interval of a test says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It lies wholly on the claimed side of 0 (for equivalence: of the margin).
    Supported {
        /// Whether it excludes an effect as large as the margin.
        smaller: bool,
    },
    /// It lies wholly on the other side.
    Contradicted,
    /// It reaches 0 and excludes an effect as large as the margin.
    Excluded,
    /// It holds both 0 and the margin.
    Inconclusive {
        /// The seeds that would detect the margin with 80 % power, if any number would.
        n_needed: Option<usize>,
    },
    /// The same, and the margin lies below what any number of seeds could resolve.
    CannotDecide,
    /// There is no interval to judge by.
    NotTested(Reason),
}

/// One comparison over seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The difference of each seed, averaged over rates; logarithms where ratios are compared.
    pub differences: Vec<f64>,
    /// Overlap of the seeds' samples, as in [`Spread::q`].
    pub q: f64,
    /// What is claimed.
    pub claimed: Claimed,
    /// The effect to detect or to exclude, in the unit of the differences; above 0.
    pub margin: f64,
}

/// A comparison with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Mean and spread of the differences.
    pub spread: Spread,
    /// The interval at the level of its family; for equivalence its ends are one-sided limits.
    pub interval: Interval,
    /// What it says by itself.
    pub verdict: Verdict,
}

/// The verdict of a test, and what each of its comparisons says.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// In the order given.
    pub parts: Vec<std::result::Result<Judged, Reason>>,
    /// Of the test as a whole.
    pub verdict: Verdict,
}

/// Judges one test of a family of `family` tests: a comparison, or several as one intersection-union test.
///
/// All comparisons have to hold for the test to be supported. Each then has the interval at level 1 - .05/family and needs
/// no further correction (Berger 1982, Technometrics 24). Any of the k comparisons may contradict the test or exclude its
/// effect, so these are read off intervals at level 1 - .05/(family k).
///
/// # Errors
/// No comparison, an empty family, a difference that is not finite, a margin that is not above 0.
pub fn judge(parts: &[std::result::Result<Comparison, Reason>], family: usize) -> Result<Judgement> {
    at_least_one("verdict", "comparisons", parts.len())?;
    at_least_one("verdict", "tests of the family", family)?;
    let alpha = ALPHA / family as f64;
    let judged = parts.iter().map(|part| match part {
        Ok(comparison) if comparison.differences.len() > 1 => comparison.judged(alpha, parts.len()).map(Ok),
        Ok(_) => Ok(Err(Reason::NotMeasured)),
        Err(reason) => Ok(Err(*reason)),
    });
    let parts: Vec<_> = judged.collect::<Result<_>>()?;
    let verdict = whole(&parts);
    Ok(Judgement { parts, verdict })
}

impl Claimed {
    /// The level of an interval whose ends each err with the chance that a test of a family of `family` may: equivalence asks for
    /// one-sided limits, so that its interval is narrower.
    pub fn level(self, family: usize) -> f64 {
        1.0 - self.sides() * ALPHA / family as f64
    }

    fn is_equivalence(self) -> bool {
        matches!(self, Self::AtMost | Self::Within)
    }

    fn sides(self) -> f64 {
        if self.is_equivalence() { 2.0 } else { 1.0 }
    }
}

impl Comparison {
    /// Its interval at level 1 - `alpha`, and what it says as one of `of` comparisons.
    fn judged(&self, alpha: f64, of: usize) -> Result<Judged> {
        positive(self.margin)?;
        let spread = Spread::of(&self.differences, self.q)?;
        let (one_sided, sides) = (self.claimed.is_equivalence(), self.claimed.sides());
        let interval = spread.interval(1.0 - sides * alpha)?;
        let wider = spread.interval(1.0 - sides * alpha / of as f64)?;
        // Turned so that the claimed side lies above 0.
        let turned = |interval: Interval| match self.claimed {
            Claimed::Higher => (interval.low, interval.high),
            Claimed::Lower => (-interval.high, -interval.low),
            Claimed::AtMost => (self.margin - interval.high, self.margin - interval.low),
            Claimed::Within => {
                let sizes = [interval.low.abs(), interval.high.abs()];
                let [least, largest] = [sizes[0].min(sizes[1]), sizes[0].max(sizes[1])];
                let least = if interval.low * interval.high > 0.0 { least } else { 0.0 };
                (self.margin - largest, self.margin - least)
            }
        };
        let (low, _) = turned(interval);
        let (_, high) = turned(wider);
        let small = !one_sided && high < self.margin;
        let verdict = if low > 0.0 {
            Verdict::Supported { smaller: small }
        } else if high < 0.0 {
            Verdict::Contradicted
        } else if small {
            Verdict::Excluded
        } else if self.margin < spread.floor(1.0 - sides * alpha) {
            Verdict::CannotDecide
        } else {
            let sides = match self.claimed {
                Claimed::Higher | Claimed::Lower => Sides::Two,
                Claimed::AtMost => Sides::One,
                Claimed::Within => Sides::Within,
            };
            let n_needed = pairs_needed(self.margin, spread.sd, self.q, alpha, sides)?;
            Verdict::Inconclusive { n_needed }
        };
        Ok(Judged {
            spread,
            interval,
            verdict,
        })
    }
}

fn positive(margin: f64) -> Result<()> {
    if margin > 0.0 && margin.is_finite() {
        return Ok(());
    }
    Err(crate::MeasureError::Parameter {
        measure: "verdict",
        parameter: "margin",
        expected: "above 0",
        got: margin,
    })
}

/// The verdict of all comparisons together.
fn whole(parts: &[std::result::Result<Judged, Reason>]) -> Verdict {
    let verdict = |part: &std::result::Result<Judged, Reason>| match part {
        Ok(judged) => judged.verdict,
        Err(reason) => Verdict::NotTested(*reason),
    };
    let verdicts: Vec<Verdict> = parts.iter().map(verdict).collect();
    let first = |like: fn(&Verdict) -> bool| verdicts.iter().copied().find(like);
    let decided = first(|v| matches!(v, Verdict::Contradicted))
        .or_else(|| first(|v| matches!(v, Verdict::Excluded)))
        .or_else(|| first(|v| matches!(v, Verdict::NotTested(_))))
        .or_else(|| first(|v| matches!(v, Verdict::CannotDecide)));
    if let Some(decided) = decided {
        return decided;
    }
    let needed = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Inconclusive { n_needed } => Some(*n_needed),
        _ => None,
    });
    // Of several the one that needs most seeds; none where one needs more than there can be.
    let most = needed.reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b)));
    match most {
        Some(n_needed) => Verdict::Inconclusive { n_needed },
        None => Verdict::Supported {
            smaller: first(|v| matches!(v, Verdict::Supported { smaller: true })).is_some(),
        },
    }
}
