//! What keeps a number from being measured.

/// Input that a measure is not defined on. Each message names the measure, what it needs and what it got.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MeasureError {
    /// Fewer values than the formula needs.
    #[error("{measure} needs at least {needed} values, got {got}")]
    TooFew {
        /// The measure.
        measure: &'static str,
        /// Least number of values.
        needed: usize,
        /// Number of values given.
        got: usize,
    },
    /// More values than the exact method can take in reasonable time.
    #[error("{measure} takes at most {limit} values, got {got}")]
    TooMany {
        /// The measure.
        measure: &'static str,
        /// Largest number of values.
        limit: usize,
        /// Number of values given.
        got: usize,
    },
    /// Two inputs that belong together differ in length.
    #[error("{measure} compares inputs of equal length, got {left} and {right}")]
    Lengths {
        /// The measure.
        measure: &'static str,
        /// Length of the first input.
        left: usize,
        /// Length of the second input.
        right: usize,
    },
    /// NaN or an infinity among the values.
    #[error("{measure} needs finite values, got {value} at position {position}")]
    NotFinite {
        /// The measure.
        measure: &'static str,
        /// The first value that is not finite.
        value: f64,
        /// Its position, from 0.
        position: usize,
    },
    /// A zero vector, or features that do not vary: the measure divides by their size.
    #[error("{measure} is not defined: {reason}")]
    Degenerate {
        /// The measure.
        measure: &'static str,
        /// Which input, and why.
        reason: &'static str,
    },
    /// A parameter outside its range.
    #[error("{measure}: {parameter} must be {expected}, got {got}")]
    Parameter {
        /// The measure.
        measure: &'static str,
        /// Name of the parameter.
        parameter: &'static str,
        /// Its range, in words.
        expected: &'static str,
        /// What was given.
        got: f64,
    },
}

/// `values`, if all of them are finite.
pub(crate) fn finite<'a>(measure: &'static str, values: &'a [f64]) -> Result<&'a [f64], MeasureError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(position) => Err(MeasureError::NotFinite {
            measure,
            value: values[position],
            position,
        }),
        None => Ok(values),
    }
}

/// An error unless both lengths agree.
pub(crate) fn same_length(measure: &'static str, left: usize, right: usize) -> Result<(), MeasureError> {
    if left == right {
        Ok(())
    } else {
        Err(MeasureError::Lengths { measure, left, right })
    }
}

/// An error unless there are at least `needed` values.
pub(crate) fn at_least(measure: &'static str, needed: usize, got: usize) -> Result<(), MeasureError> {
    if got >= needed {
        Ok(())
    } else {
        Err(MeasureError::TooFew { measure, needed, got })
    }
}

/// An error unless `level` is a confidence level.
pub(crate) fn confidence(measure: &'static str, level: f64) -> Result<(), MeasureError> {
    if level > 0.0 && level < 1.0 {
        Ok(())
    } else {
        Err(MeasureError::Parameter {
            measure,
            parameter: "level",
            expected: "between 0 and 1, both excluded",
            got: level,
        })
    }
}

/// An error if the count called `parameter` is 0.
pub(crate) fn at_least_one(measure: &'static str, parameter: &'static str, got: usize) -> Result<(), MeasureError> {
    if got > 0 {
        Ok(())
    } else {
        Err(MeasureError::Parameter {
            measure,
            parameter,
            expected: "at least 1",
            got: 0.0,
        })
    }
}
