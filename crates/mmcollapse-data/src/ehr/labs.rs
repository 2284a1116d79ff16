//! From raw measurements to MUSE's rows: a row a timestamp, two numbers an item.

use super::cohort::{Admission, LabEvent};

/// Mean and standard deviation of each item over the training admissions.
///
/// MUSE's code takes them over all admissions, those of the test included; here the test has no part in them.
#[derive(Clone, Debug, PartialEq)]
pub struct LabStatistics {
    /// By place in [`super::Cohort::lab_items`]: mean and standard deviation (over n - 1), `None` for an item that has
    /// fewer than two different values in training, as a z-score does not exist then.
    items: Vec<Option<(f64, f64)>>,
}

impl LabStatistics {
    /// Statistics of `items` items over `training`; every measurement counts once.
    ///
    /// # Panics
    /// When an event points beyond `items`, as slices do.
    pub fn new<'a>(items: usize, training: impl IntoIterator<Item = &'a Admission>) -> Self {
        let mut values = vec![Vec::new(); items];
        for event in training.into_iter().flat_map(|admission| &admission.labs) {
            values[usize::from(event.item)].push(f64::from(event.value));
        }
        let of_item = |values: Vec<f64>| {
            if values.iter().all(|value| Some(value) == values.first()) {
                return None;
            }
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.);
            Some((mean, variance.sqrt())).filter(|(_, sd)| *sd > 0. && sd.is_finite())
        };
        Self {
            items: values.into_iter().map(of_item).collect(),
        }
    }

    /// Places of the items that have a z-score, ascending: the `i`-th has columns `2 i` and `2 i + 1` of a row.
    pub fn columns(&self) -> Vec<usize> {
        (0..self.items.len())
            .filter(|&item| self.items[item].is_some())
            .collect()
    }

    /// Numbers in a row: two an item that has a z-score. 114 for MUSE's 57 items.
    pub fn width(&self) -> usize {
        2 * self.items.iter().flatten().count()
    }

    /// MUSE's rows of one admission, row-major `[rows, width]`: for every minute at which a result was known the z-score
    /// and the abnormal flag of every item, each as last known, 0 before the first; of these the last `rows`.
    ///
    /// `events` are sorted by minute. An admission none of whose items has a z-score has no row.
    ///
    /// # Panics
    /// When an event points beyond the items, as slices do.
    pub fn rows(&self, events: &[LabEvent], rows: usize) -> Vec<f32> {
        let mut column = vec![None; self.items.len()];
        for (place, item) in self.columns().into_iter().enumerate() {
            column[item] = Some(2 * place);
        }
        let width = self.width();
        let mut known = vec![0.; width];
        let mut table = Vec::new();
        for at_once in events.chunk_by(|a, b| a.minute == b.minute) {
            let mut changed = false;
            for event in at_once {
                let item = usize::from(event.item);
                if let (Some(column), Some((mean, sd))) = (column[item], self.items[item]) {
                    known[column] = ((f64::from(event.value) - mean) / sd) as f32;
                    known[column + 1] = f32::from(u8::from(event.abnormal));
                    changed = true;
                }
            }
            if changed {
                table.extend_from_slice(&known);
            }
        }
        let surplus = table.len().saturating_sub(rows * width);
        table.split_off(surplus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ehr::Outcome;

    fn event(minute: i32, item: u16, value: f32, abnormal: bool) -> LabEvent {
        LabEvent {
            minute,
            item,
            value,
            abnormal,
        }
    }

    fn admission(labs: Vec<LabEvent>) -> Admission {
        Admission {
            subject: 1,
            id: 1,
            minutes: 60,
            outcome: Outcome::default(),
            demographics: None,
            diagnoses: Vec::new(),
            procedures: Vec::new(),
            medications: Vec::new(),
            labs,
            notes: None,
        }
    }

    #[test]
    fn rows_are_standardised_and_carried_forward() {
        // Item 0: 1, 2, 3 (mean 2, sd 1); item 1: constant; item 2: once; item 3: 10, 30 (mean 20, sd sqrt 200).
        let training = admission(vec![
            event(0, 0, 1., false),
            event(0, 1, 5., false),
            event(0, 3, 10., false),
            event(1, 0, 2., false),
            event(1, 1, 5., false),
            event(1, 2, 9., true),
            event(2, 0, 3., false),
            event(2, 3, 30., false),
        ]);
        let statistics = LabStatistics::new(4, [&training]);
        assert_eq!(statistics.columns(), [0, 3]);
        assert_eq!(statistics.width(), 4);

        let events = [
            event(-5, 0, 4., true),
            event(-5, 1, 7., true),
            event(10, 1, 7., true),
            event(20, 3, 20., true),
            event(30, 0, 9., true),
            event(30, 0, 2., false),
        ];
        let expected = [2., 1., 0., 0., 2., 1., 0., 1., 0., 0., 0., 1.];
        assert_eq!(statistics.rows(&events, 50), expected);
        assert_eq!(statistics.rows(&events, 2), expected[4..]);
        assert!(statistics.rows(&events, 0).is_empty());
        assert!(statistics.rows(&[event(0, 2, 1., false)], 50).is_empty());
        assert!(LabStatistics::new(0, []).rows(&[], 50).is_empty());
    }
}
