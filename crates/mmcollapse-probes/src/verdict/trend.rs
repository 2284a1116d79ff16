//! Growth along levels, as one number a seed.

use crate::error::{at_least, finite, same_length};
use crate::{MeasureError, Result, mean};

/// The slope of the least-squares line through a seed's values, per unit of the level.
///
/// Equals numpy's `polyfit(levels, values, 1)[0]`. The interval of a trend is that of the mean slope over seeds.
///
/// # Errors
/// Fewer than two levels, unequal lengths, a number that is not finite, levels that are all the same.
pub fn slope(levels: &[f64], values: &[f64]) -> Result<f64> {
    const MEASURE: &str = "slope";
    check(MEASURE, levels, values)?;
    let center = levels.iter().sum::<f64>() / levels.len() as f64;
    let squares: f64 = levels.iter().map(|level| (level - center).powi(2)).sum();
    if squares == 0.0 {
        return Err(MeasureError::Degenerate {
            measure: MEASURE,
            reason: "all levels are the same",
        });
    }
    let products = levels.iter().zip(values).map(|(level, value)| (level - center) * value);
    Ok(products.sum::<f64>() / squares)
}

/// How much the slope changes at the level `at`: that of the least-squares line which may bend there.
///
/// Equals the last coefficient of numpy's `lstsq` on the columns 1, level and max(0, level - at).
///
/// # Errors
/// Those of [`slope`], and fewer than two levels on a side of `at` (itself counted on both): the bend has nothing to rest on.
pub fn kink(levels: &[f64], values: &[f64], at: f64) -> Result<f64> {
    const MEASURE: &str = "kink";
    check(MEASURE, levels, values)?;
    let side = |beyond: &dyn Fn(f64) -> bool| levels.iter().filter(|level| beyond(**level)).count();
    if side(&|level| level <= at) < 2 || side(&|level| level >= at) < 2 || levels.len() < 3 {
        return Err(MeasureError::Degenerate {
            measure: MEASURE,
            reason: "each side of the bend needs two levels",
        });
    }
    // What the bend is beyond a straight line; its part of the values is the coefficient (Frisch and Waugh 1933).
    let bend: Vec<f64> = levels.iter().map(|level| (level - at).max(0.0)).collect();
    let steepness = slope(levels, &bend)?;
    let (center, middle) = (mean(levels)?, mean(&bend)?);
    let rest = levels
        .iter()
        .zip(&bend)
        .map(|(level, bend)| bend - middle - steepness * (level - center));
    let rest: Vec<f64> = rest.collect();
    let products: f64 = rest.iter().zip(values).map(|(rest, value)| rest * value).sum();
    Ok(products / rest.iter().map(|rest| rest * rest).sum::<f64>())
}

fn check(measure: &'static str, levels: &[f64], values: &[f64]) -> Result<()> {
    at_least(measure, 2, levels.len())?;
    same_length(measure, levels.len(), values.len())?;
    finite(measure, levels)?;
    finite(measure, values).map(|_| ())
}
