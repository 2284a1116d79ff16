//! Results of laboratories while they are being gathered: of one item at one time the last revision counts.

use std::collections::BTreeMap;

use super::cohort::{Admission, LabEvent};

/// A result of an item.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measurement {
    /// When the specimen was taken, after admission, in a unit of the source.
    pub(super) drawn: i32,
    /// When the result was entered or last revised, likewise.
    pub(super) revised: i32,
    /// [`LabEvent::minute`].
    pub(super) minute: i32,
    pub(super) value: f32,
    pub(super) abnormal: bool,
}

/// Results by item, whatever a source knows an item by.
pub(super) struct Results<K>(BTreeMap<K, Vec<(u32, Measurement)>>);

impl<K> Default for Results<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Results<K> {
    /// Adds a result of `item` for the admission at `place`.
    pub(super) fn add(&mut self, place: usize, item: K, measurement: Measurement) {
        // A cohort of more than 2^32 admissions fits into no memory.
        self.0.entry(item).or_default().push((place as u32, measurement));
    }

    /// Puts what counts into `admissions`, sorted by minute and item; the items in their order, which is that of
    /// [`LabEvent::item`], and how many results others took the place of. `None` where items are more than numbers.
    ///
    /// Of the results of one item drawn at one time the last revised counts; of several revised at once their mean, which
    /// depends on no order.
    pub(super) fn put(self, admissions: &mut [Admission]) -> Option<(Vec<K>, u64)> {
        let (mut items, mut replaced) = (Vec::new(), 0);
        let mut drawn: Vec<Vec<(LabEvent, i32)>> = vec![Vec::new(); admissions.len()];
        for (number, (item, mut results)) in self.0.into_iter().enumerate() {
            let number = u16::try_from(number).ok()?;
            items.push(item);
            results.sort_by(|(a, left), (b, right)| {
                let key = |m: &Measurement| (m.drawn, m.revised, m.minute);
                let by_time = (a, key(left)).cmp(&(b, key(right)));
                by_time
                    .then(left.value.total_cmp(&right.value))
                    .then(left.abnormal.cmp(&right.abnormal))
            });
            for at_once in results.chunk_by(|(a, left), (b, right)| (a, left.drawn) == (b, right.drawn)) {
                let Some(&(place, last)) = at_once.last() else {
                    continue;
                };
                let same = |m: &Measurement| (m.revised, m.minute) == (last.revised, last.minute);
                let latest: Vec<&Measurement> = at_once.iter().map(|(_, m)| m).filter(|m| same(m)).collect();
                let sum: f64 = latest.iter().map(|m| f64::from(m.value)).sum();
                replaced += at_once.len() as u64 - 1;
                let event = LabEvent {
                    minute: last.minute,
                    item: number,
                    value: (sum / latest.len() as f64) as f32,
                    abnormal: latest.iter().any(|m| m.abnormal),
                };
                drawn[place as usize].push((event, last.drawn));
            }
        }
        for (admission, mut events) in admissions.iter_mut().zip(drawn) {
            events.sort_by_key(|(event, drawn)| (event.minute, event.item, *drawn));
            let n = events.len();
            admission.labs = events.into_iter().map(|(event, _)| event).collect();
            // Known at once and equal: only the times of drawing differ, which no model sees.
            admission.labs.dedup();
            replaced += (n - admission.labs.len()) as u64;
            admission.labs.shrink_to_fit();
        }
        Some((items, replaced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ehr::Outcome;

    fn result(drawn: i32, revised: i32, minute: i32, value: f32) -> Measurement {
        Measurement {
            drawn,
            revised,
            minute,
            value,
            abnormal: value > 9.,
        }
    }

    #[test]
    fn of_one_item_at_one_time_the_last_revision_counts_in_any_order() {
        let all = [
            ("b", result(5, 6, 6, 1.)),
            ("b", result(5, 9, 9, 2.)),
            ("b", result(7, 9, 9, 3.)),
            ("a", result(1, 1, 1, 4.)),
            ("a", result(1, 1, 1, 10.)),
        ];
        let of = |order: &[usize]| {
            let mut results = Results::default();
            for &i in order {
                results.add(0, all[i].0, all[i].1);
            }
            let mut admissions = [Admission {
                subject: 1,
                id: 1,
                minutes: 60,
                outcome: Outcome::default(),
                demographics: None,
                diagnoses: Vec::new(),
                procedures: Vec::new(),
                medications: Vec::new(),
                labs: Vec::new(),
                notes: None,
            }];
            let (items, replaced) = results.put(&mut admissions).unwrap();
            assert_eq!((items, replaced), (vec!["a", "b"], 2));
            let labs = admissions[0].labs.iter();
            labs.map(|e| (e.minute, e.item, e.value, e.abnormal))
                .collect::<Vec<_>>()
        };
        let expected = [(1, 0, 7., true), (9, 1, 2., false), (9, 1, 3., false)];
        assert_eq!(of(&[0, 1, 2, 3, 4]), expected);
        assert_eq!(of(&[4, 3, 2, 1, 0]), expected);
        assert_eq!(of(&[2, 0, 4, 1, 3]), expected);
    }
}
