//! Every code of a source once.

use std::collections::HashMap;

use super::cohort::{Admission, Code, CodeEvent, CodeKind};

/// A coded event of a stay, after its rank.
pub(super) type Ranked = (u32, CodeEvent);

/// Gives every code its place: while tables are read in the order of first use, at the end in that of the codes, so that no
/// number depends on the order of rows.
#[derive(Default)]
pub(super) struct Vocabulary {
    pub(super) codes: Vec<Code>,
    places: HashMap<Code, u32>,
}

impl Vocabulary {
    pub(super) fn place(&mut self, code: Code) -> u32 {
        let next = self.codes.len() as u32;
        *self.places.entry(code).or_insert_with_key(|code| {
            self.codes.push(code.clone());
            next
        })
    }

    /// The place of a drug, known by its name alone.
    pub(super) fn drug(&mut self, name: &str) -> u32 {
        self.place(Code {
            kind: CodeKind::Medication,
            code: name.to_owned(),
            title: name.to_lowercase(),
        })
    }

    /// Puts the `events` of each stay into the `field` of its admission, sorted by `key` and code, each once. Returns how many
    /// were there more than once.
    pub(super) fn put(
        &self,
        admissions: &mut [Admission],
        events: Vec<Vec<Ranked>>,
        key: impl Fn(&Ranked) -> (i64, i64),
        field: impl Fn(&mut Admission) -> &mut Vec<CodeEvent>,
    ) -> u64 {
        let mut repeated = 0;
        for (admission, mut events) in admissions.iter_mut().zip(events) {
            repeated += events.len();
            events.sort_by_key(|event| (key(event), &self.codes[event.1.code as usize]));
            events.dedup();
            repeated -= events.len();
            *field(admission) = events.into_iter().map(|(_, event)| event).collect();
        }
        repeated as u64
    }

    /// The codes in their order; those of `admissions` are renumbered.
    pub(super) fn settle(self, admissions: &mut [Admission]) -> Vec<Code> {
        let mut order: Vec<usize> = (0..self.codes.len()).collect();
        order.sort_by_key(|&old| &self.codes[old]);
        let mut renumbered = vec![0; order.len()];
        for (new, &old) in (0_u32..).zip(&order) {
            renumbered[old] = new;
        }
        for admission in admissions {
            let events = [
                &mut admission.diagnoses,
                &mut admission.procedures,
                &mut admission.medications,
            ];
            for event in events.into_iter().flatten() {
                event.code = renumbered[event.code as usize];
            }
        }
        order.into_iter().map(|old| self.codes[old].clone()).collect()
    }
}
