//! The shape of a loss curve: how often it stands still before it falls on, and how soon it has fallen.

/// What counts as standing still, in parts of the curve's whole fall (first value to lowest).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlateauRule {
    /// A step is flat if it falls by less than this part of the mean fall a step.
    pub flat: f64,
    /// Flat steps in a row that make a plateau.
    pub least: usize,
    /// What must still be to fall after it, as a part of the whole fall; the end of training is no plateau.
    pub further: f64,
}

impl Default for PlateauRule {
    fn default() -> Self {
        Self {
            flat: 0.1,
            least: 3,
            further: 0.05,
        }
    }
}

/// Number of plateaus of a curve: maximal runs of flat steps, long enough, after which it falls on.
///
/// The curve is smoothed by running medians of three first, so that a single noisy epoch neither makes nor breaks a
/// plateau. A curve that never falls, or holds fewer than three values, has none.
///
/// ```
/// use mmcollapse_probes::{PlateauRule, plateaus};
/// let stairs = [3.0, 2.5, 2.0, 2.0, 2.0, 2.0, 2.0, 1.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0];
/// assert_eq!(plateaus(&stairs, PlateauRule::default()), 2);
/// ```
pub fn plateaus(curve: &[f64], rule: PlateauRule) -> usize {
    let smooth = medians_of_three(curve);
    let Some(whole) = fall(&smooth) else { return 0 };
    let step = whole / (smooth.len() - 1) as f64;
    let (mut count, mut run) = (0, 0);
    for (place, pair) in smooth.windows(2).enumerate() {
        if pair[0] - pair[1] < rule.flat * step {
            run += 1;
            continue;
        }
        let lowest = smooth[place..].iter().copied().fold(f64::INFINITY, f64::min);
        if run >= rule.least && smooth[place] - lowest >= rule.further * whole {
            count += 1;
        }
        run = 0;
    }
    count
}

/// First place at which the curve has fallen by `share` of its whole fall; none for a curve that never falls.
pub fn steps_to_fall(curve: &[f64], share: f64) -> Option<usize> {
    let first = *curve.first()?;
    let whole = fall(curve)?;
    curve.iter().position(|value| first - value >= share * whole)
}

/// First value minus the lowest; none if that is not more than 0, or there are fewer than three values.
fn fall(curve: &[f64]) -> Option<f64> {
    let lowest = curve.iter().copied().fold(f64::INFINITY, f64::min);
    let whole = *curve.first()? - lowest;
    (curve.len() > 2 && whole > 0.0 && whole.is_finite()).then_some(whole)
}

/// Each value but the first and last replaced by the median of itself and its neighbours.
fn medians_of_three(curve: &[f64]) -> Vec<f64> {
    let mut smooth = curve.to_vec();
    for (place, window) in curve.windows(3).enumerate() {
        let mut three = [window[0], window[1], window[2]];
        three.sort_by(f64::total_cmp);
        smooth[place + 1] = three[1];
    }
    smooth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smooth_fall_has_no_plateau() {
        let smooth: Vec<f64> = (0..40).map(|e| 2.3 * libm::exp(-0.1 * f64::from(e))).collect();
        assert_eq!(plateaus(&smooth, PlateauRule::default()), 0);
        assert_eq!(steps_to_fall(&smooth, 0.9), Some(22));
        // The flat end of a curve is no plateau: nothing falls after it.
        let ended: Vec<f64> = smooth.iter().copied().chain([smooth[39]; 20]).collect();
        assert_eq!(plateaus(&ended, PlateauRule::default()), 0);
    }

    #[test]
    fn stairs_have_as_many_plateaus_as_steps_between_falls() {
        let stairs = |steps: usize| -> Vec<f64> {
            let mut curve = vec![1.0 + steps as f64];
            for step in (1..=steps).rev() {
                curve.extend([step as f64 + 0.5, step as f64]);
                curve.extend([step as f64; 5]);
            }
            curve.extend([0.5, 0.0]);
            curve
        };
        for steps in 1..5 {
            assert_eq!(plateaus(&stairs(steps), PlateauRule::default()), steps, "{steps}");
        }
        // One spike does not break a plateau in two.
        let mut spiked = stairs(1);
        spiked[5] += 0.7;
        assert_eq!(plateaus(&spiked, PlateauRule::default()), 1);
    }

    #[test]
    fn what_does_not_fall_has_no_shape() {
        for curve in [&[][..], &[1.0], &[1.0, 0.0], &[1.0, 1.0, 1.0, 1.0], &[0.0, 1.0, 2.0]] {
            assert_eq!(plateaus(curve, PlateauRule::default()), 0);
        }
        assert_eq!(steps_to_fall(&[0.0, 1.0, 2.0], 0.5), None);
    }
}
