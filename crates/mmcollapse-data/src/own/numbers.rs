//! The numbers of one modality, as wide as they are stored.
//!
//! They become 32 bits only after the mean is taken off: of times since 1970 those hold no more than minutes.

use mmcollapse_arrays::Values;

use crate::{Kind, ModalitySpec};

/// The numbers of a modality, sample after sample, and how many steps each sample has.
pub(super) struct Numbers {
    values: Values,
    lengths: Option<Vec<usize>>,
    steps: usize,
    /// Numbers of a step as they are stored.
    stored: usize,
    /// Whether each step begins with a 1 that marks it as there.
    is_marked: bool,
}

impl Numbers {
    /// The `values` of all samples; all steps are there without `lengths`.
    pub fn new(values: Values, spec: &ModalitySpec, lengths: Option<Vec<usize>>) -> Self {
        let (steps, stored, is_marked) = match (spec.kind, &spec.shape[..]) {
            (Kind::Series, &[steps, width]) => (steps, width - 1, true),
            (Kind::Codes { .. }, &[length]) => (length, 1, false),
            _ => (1, spec.width(), false),
        };
        Self {
            values,
            lengths,
            steps,
            stored,
            is_marked,
        }
    }

    /// The numbers of sample `i` in the order that its encoder reads: of a series a 1 before each step, zeros after the last
    /// step. What is not finite in 32 bits is NaN.
    pub fn row(&self, i: usize) -> Vec<f64> {
        let mark = usize::from(self.is_marked);
        let width = mark + self.stored;
        let mut row = vec![0.0; self.steps * width];
        let there = self.lengths.as_ref().map_or(self.steps, |lengths| lengths[i]);
        for (step, to) in row.chunks_mut(width).take(there).enumerate() {
            to[..mark].fill(1.0);
            let start = (i * self.steps + step) * self.stored;
            for (place, to) in to[mark..].iter_mut().enumerate() {
                let value = self.values.get(start + place).unwrap_or(f64::NAN);
                *to = if (value as f32).is_finite() { value } else { f64::NAN };
            }
        }
        row
    }
}
