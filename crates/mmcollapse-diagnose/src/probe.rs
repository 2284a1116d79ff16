//! Linear probes whose penalty is chosen, and what they say of samples that they were not fitted to.

use mmcollapse_probes::{LinearProbe, Matrix, Penalised};

use crate::error::Result;
use crate::features::power;
use crate::pool::Pool;
use crate::rows::Rows;
use crate::rule::{evidence, prior};

/// Penalties, from the strongest. All are tried: a difference of two columns that say much the same tells nothing until the penalty is weak.
const PENALTIES: [f64; 6] = [1e4, 1e3, 1e2, 10.0, 1.0, 0.1];

/// Largest entry of the gradient of the mean loss at a probe.
const TOLERANCE: f64 = 1e-5;

/// How far a weight of a probe may be from the optimum.
const WEIGHT_WITHIN: f64 = 1e-3;

/// Logits of a model are brought to a median distance to the largest of half as much at least.
const USUAL_GAP: f64 = 4.0;

/// Distance to the largest logit beyond which a class is impossible: squares of it are finite.
const LEAST: f64 = 1e100;

/// What a linear probe says.
#[derive(Clone, Debug)]
pub(crate) struct Probed {
    /// Logits of the samples that fit, each by the probe of the half without it, class by class.
    pub fit: Vec<f64>,
    /// Logits of the samples that evaluate, by the probe of all that fit.
    pub evaluate: Vec<f64>,
    /// Logits of the samples that evaluate, by the probe of each half; none where nothing was fitted.
    pub halves: Option<[Vec<f64>; 2]>,
    /// The probe of all that fit.
    pub probe: Option<LinearProbe>,
}

impl Probed {
    /// Fits probes to `fit` `[fit samples, width]`, asked about `evaluate` `[samples, width]`.
    ///
    /// The penalty is the one whose two probes of half the samples lose least on the other halves, in the scale that fits best. In their
    /// own scale probes of many columns are too sure of themselves, and a strong penalty that hides what they know would win.
    pub fn of(fit: &Matrix, evaluate: &Matrix, rows: &Rows) -> Result<Self> {
        let classes = rows.classes.len();
        let places = |half: bool| -> Vec<usize> { (0..fit.rows()).filter(|&at| rows.fit_half[at] == half).collect() };
        let sides = [places(false), places(true)];
        let parts = sides.each_ref().map(|side| -> Result<(Matrix, Vec<u32>)> {
            let labels = side.iter().map(|&at| rows.fit_labels[at]).collect();
            Ok((fit.select(side)?, labels))
        });
        let [first, second] = parts;
        let parts = [first?, second?];
        let penalised = [
            Penalised::new(&parts[0].0, &parts[0].1, classes)?,
            Penalised::new(&parts[1].0, &parts[1].1, classes)?,
        ];
        let prior = prior(rows);
        let mut best: Option<(f64, f64, [LinearProbe; 2], Vec<f64>)> = None;
        let mut last: Option<[LinearProbe; 2]> = None;
        for penalty in PENALTIES {
            let of = |side: usize| {
                let near = last.as_ref().map(|probes| &probes[side]);
                penalised[side].fit(penalty, tolerance(penalty, sides[side].len()), near)
            };
            let probes = [of(0)?, of(1)?];
            let mut logits = vec![0.0; fit.rows() * classes];
            for (side, probe) in probes.iter().enumerate() {
                let other = 1 - side;
                let said = probe.logits(&parts[other].0)?;
                for (&at, said) in sides[other].iter().zip(said.chunks_exact(classes)) {
                    logits[at * classes..(at + 1) * classes].copy_from_slice(said);
                }
            }
            let evidence = evidence(&logits, &prior);
            let scaled = Pool::scaled(&evidence, &rows.fit_labels, &prior).logits(&[&evidence]);
            let loss: f64 = losses(&scaled, &rows.fit_labels, classes).iter().sum();
            last = Some(probes.clone());
            if loss.is_finite() && best.as_ref().is_none_or(|(_, least, ..)| loss < *least) {
                best = Some((penalty, loss, probes, logits));
            }
        }
        let Some((penalty, _, probes, logits)) = best else {
            return Err(mmcollapse_probes::MeasureError::Degenerate {
                measure: "linear probe",
                reason: "its loss is not finite",
            }
            .into());
        };
        let halves = [probes[0].logits(evaluate)?, probes[1].logits(evaluate)?];
        // The loss is a sum over samples: of twice as many, twice the penalty weighs as much. Else the probe of all would be surer of itself than
        // those of the halves, by which its logits are scaled.
        let penalty = 2.0 * penalty;
        let whole = Penalised::new(fit, &rows.fit_labels, classes)?;
        let probe = whole.fit(penalty, tolerance(penalty, fit.rows()), Some(&probes[0]))?;
        Ok(Self {
            fit: logits,
            evaluate: probe.logits(evaluate)?,
            halves: Some(halves),
            probe: Some(probe),
        })
    }

    /// The model's own logits of both sides, in the size of usual ones.
    ///
    /// Their size says nothing: pools fit it, from 1 on. What all classes of a sample share says nothing either, and costs digits.
    pub fn model(mut fit: Vec<f64>, mut evaluate: Vec<f64>, classes: usize) -> Self {
        let largest = fit.iter().chain(&evaluate).fold(0.0, |most: f64, z| most.max(z.abs()));
        let first = power(largest);
        for row in fit.chunks_exact_mut(classes).chain(evaluate.chunks_exact_mut(classes)) {
            let best = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for z in row {
                *z = *z * first - best * first;
            }
        }
        let mut gaps: Vec<f64> = fit.iter().filter(|z| **z < 0.0).map(|z| -z).collect();
        if !gaps.is_empty() {
            // The median: a class that the model rules out may have any logit.
            let middle = gaps.len() / 2;
            let (_, gap, _) = gaps.select_nth_unstable_by(middle, f64::total_cmp);
            let usual = USUAL_GAP * power(*gap);
            for z in fit.iter_mut().chain(&mut evaluate) {
                *z = (*z * usual).max(-LEAST);
            }
        }
        Self {
            fit,
            evaluate,
            halves: None,
            probe: None,
        }
    }
}

/// Largest entry of the gradient for a penalty. The loss is as flat as `penalty / n`: with a weak penalty a small gradient is far from
/// the optimum.
fn tolerance(penalty: f64, n: usize) -> f64 {
    TOLERANCE.min(WEIGHT_WITHIN * penalty / n as f64)
}

/// Cross-entropy of each sample in nats.
pub(crate) fn losses(logits: &[f64], labels: &[u32], classes: usize) -> Vec<f64> {
    let of = |(z, label): (&[f64], &u32)| log_sum(z) - z[*label as usize];
    logits.chunks_exact(classes).zip(labels).map(of).collect()
}

/// ln of the sum of exp.
pub(crate) fn log_sum(z: &[f64]) -> f64 {
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + libm::log(z.iter().map(|z| libm::exp(z - largest)).sum())
}

/// 1 where the largest logit is the label's, else 0.
pub(crate) fn right(logits: &[f64], labels: &[u32], classes: usize) -> Vec<f64> {
    let of = |(z, label): (&[f64], &u32)| {
        let best = z
            .iter()
            .enumerate()
            .fold(0, |best, (at, value)| if *value > z[best] { at } else { best });
        f64::from(u8::from(best == *label as usize))
    };
    logits.chunks_exact(classes).zip(labels).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_of_any_size_and_offset_say_the_same() {
        let plain = [0.0, 3.0, -1.0, 2.0, 0.5, 2.5];
        let of = |change: &dyn Fn(f64) -> f64| {
            let changed: Vec<f64> = plain.iter().map(|z| change(*z)).collect();
            Probed::model(changed.clone(), changed, 3).fit
        };
        // The median distance, 3, is from 2 to 4 as it is.
        assert_eq!(of(&|z| z), [-3.0, 0.0, -4.0, -0.5, -2.0, 0.0]);
        let powers = [700, -700].map(|power| libm::ldexp(1.0, power));
        assert!(powers.iter().all(|power| of(&|z| z * power) == of(&|z| z)));
        assert_eq!(of(&|z| 1e12 + z), of(&|z| z));
        // A class that is ruled out moves no other.
        let ruled = Probed::model(vec![0.0, 3.0, -1e300, 2.0, 0.5, 2.5], Vec::new(), 3).fit;
        assert_eq!(ruled, [-3.0, 0.0, -LEAST, -0.5, -2.0, 0.0]);
        assert_eq!(of(&|_| 0.5), [0.0; 6]);
    }
}
