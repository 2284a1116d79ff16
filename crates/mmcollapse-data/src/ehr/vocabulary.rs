//! Every code of a source once.

use std::collections::HashMap;

use super::cohort::Code;

/// Gives every code its place, in the order of first use.
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
}
