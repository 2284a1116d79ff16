//! Growth along levels, as one number a seed.

use crate::error::{at_least, finite, same_length};
use crate::{MeasureError, Result};

/// The slope of the least-squares line through a seed's values, per unit of the level.
///
/// Equals numpy's `polyfit(levels, values, 1)[0]`. The interval of a trend is that of the mean slope over seeds.
///
/// # Errors
/// Fewer than two levels, unequal lengths, a number that is not finite, levels that are all the same.
pub fn slope(levels: &[f64], values: &[f64]) -> Result<f64> {
    const MEASURE: &str = "slope";
    at_least(MEASURE, 2, levels.len())?;
    same_length(MEASURE, levels.len(), values.len())?;
    finite(MEASURE, levels)?;
    finite(MEASURE, values)?;
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
