//! Standardising: by the training samples that have a modality, column by column, of images channel by channel.

use super::described::Form;
use super::numbers::Numbers;
use crate::{Kind, ModalitySpec, Presence, Rows, Samples};

/// Mean and standard deviation of each group of places; none where numbers stay as they are.
pub(super) struct Scales {
    of: Vec<(f64, f64)>,
    is_on: bool,
}

/// The group of places that are standardised together: a column, a channel, a feature of a series; none of the mark of a step.
fn group(place: usize, spec: &ModalitySpec) -> Option<usize> {
    match (spec.kind, &spec.shape[..]) {
        (Kind::Codes { .. }, _) => None,
        (Kind::Series, &[_, width]) => (place % width).checked_sub(1),
        (Kind::Dense, &[_, height, width]) => Some(place / (height * width)),
        _ => Some(place),
    }
}

fn groups(spec: &ModalitySpec) -> usize {
    match (spec.kind, &spec.shape[..]) {
        (Kind::Codes { .. }, _) => 0,
        (Kind::Series, &[_, width]) => width - 1,
        (Kind::Dense, &[channels, _, _]) => channels,
        _ => spec.width(),
    }
}

/// Mean and deviation over what the training samples have. What is constant there, or nobody has, has an infinite deviation: it is 0
/// everywhere, as nothing can be learnt from it.
pub(super) fn fitted(
    numbers: &Numbers,
    spec: &ModalitySpec,
    train: &[usize],
    present: &Presence,
    m: usize,
    form: &Form,
) -> Scales {
    // Shifted by the first value, so that the squares of large numbers do not swallow their spread.
    let mut sums = vec![(0.0_f64, 0.0_f64, 0.0_f64, None::<f64>); groups(spec)]; // count, sum, squares, shift
    for &i in train.iter().filter(|&&i| present.get(i, m)) {
        let row = numbers.row(i);
        for (place, &value) in row.iter().enumerate() {
            let Some(group) = group(place, spec).filter(|_| value.is_finite() && is_there(&row, place, spec)) else {
                continue;
            };
            let (count, sum, squares, shift) = &mut sums[group];
            let moved = value - *shift.get_or_insert(value);
            *count += 1.0;
            *sum += moved;
            *squares += moved * moved;
        }
    }
    let of = |(count, sum, squares, shift): &(f64, f64, f64, Option<f64>)| {
        let Some(shift) = shift else {
            return (0.0, f64::INFINITY);
        };
        let mean = sum / count;
        let variance = squares / count - mean * mean;
        // Of what is constant every shifted number is 0, whatever its unit; the rest is rounding of these sums, or of the numbers
        // themselves where they were computed in 64 bits.
        let rounding = 1e-13 * shift.abs();
        let deviation = if variance > (1e-12 * (squares / count)).max(rounding * rounding) {
            variance.sqrt()
        } else {
            f64::INFINITY
        };
        (shift + mean, deviation)
    };
    Scales {
        of: sums.iter().map(of).collect(),
        is_on: form.standardize.unwrap_or(true),
    }
}

/// Whether a place of a row belongs to a step that is there.
fn is_there<T: Copy + Into<f64>>(row: &[T], place: usize, spec: &ModalitySpec) -> bool {
    match (spec.kind, &spec.shape[..]) {
        (Kind::Series, &[_, width]) => row[place / width * width].into() == 1.0,
        _ => true,
    }
}

/// The rows of a split, standardised; what is not finite is the mean.
pub(super) fn packed(
    numbers: &Numbers,
    spec: &ModalitySpec,
    scales: &Scales,
    rows: &[usize],
    present: &Presence,
    m: usize,
) -> Rows {
    let width = spec.width();
    let of = |&i: &usize| {
        if !present.get(i, m) {
            return vec![0.0; width];
        }
        let row = numbers.row(i);
        let standardised = |(place, &value): (usize, &f64)| {
            let Some(group) = group(place, spec).filter(|_| is_there(&row, place, spec)) else {
                return value as f32;
            };
            let (mean, deviation) = scales.of[group];
            let value = if value.is_finite() { value } else { mean };
            if scales.is_on {
                ((value - mean) / deviation) as f32
            } else {
                value as f32
            }
        };
        row.iter().enumerate().map(standardised).collect()
    };
    Rows::packed(width, rows.iter().map(of))
}

/// Columns, channels or features that are the same in all training samples that have the modality.
pub(super) fn constant(train: &Samples, m: usize, spec: &ModalitySpec) -> usize {
    let mut ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); groups(spec)];
    for i in train.present.rows(m) {
        let row = train.row(m, i);
        for (place, &value) in row.iter().enumerate() {
            if let Some(group) = group(place, spec).filter(|_| is_there(&row, place, spec)) {
                let (low, high) = &mut ranges[group];
                (*low, *high) = (low.min(value), high.max(value));
            }
        }
    }
    ranges.iter().filter(|(low, high)| low >= high).count()
}
