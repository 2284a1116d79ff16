//! Every code of a source once.

use std::collections::HashMap;

use super::cohort::{Admission, Code};

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
