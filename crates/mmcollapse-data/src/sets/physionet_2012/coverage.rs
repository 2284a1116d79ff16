//! How many stays of the challenge of 2012 have which modality.

use std::collections::BTreeMap;

use super::record::Event;
use super::{ONCE, Recipe, Stay};
use crate::ehr::TableCoverage;

impl Recipe {
    /// Counts the stays that have each modality, one line a modality, and then the rows.
    pub(super) fn coverage(&self, stays: &[Stay], table: &TableCoverage) -> Vec<String> {
        let variables = self.variables();
        let having = |modality: &BTreeMap<String, (f64, f64)>| {
            let is_of = |event: &Event| modality.contains_key(variables[event.variable]);
            stays.iter().filter(|stay| stay.record.events.iter().any(is_of)).count()
        };
        let line = |name: &str, n: usize| {
            let share = 100. * n as f64 / stays.len().max(1) as f64;
            format!("{name}: {n} of {} stays ({share:.1} %)", stays.len())
        };
        let once = self.once.keys().map(|name| {
            let only = BTreeMap::from([(name.clone(), (0., 0.))]);
            line(&format!("{ONCE}, {name}"), having(&only))
        });
        let series = self.series.iter().map(|(name, modality)| line(name, having(modality)));
        once.chain(series).chain([table.to_string()]).collect()
    }
}
