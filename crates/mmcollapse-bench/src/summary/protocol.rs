//! Which protocols the records have, at which rates, and which seeds were started there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Column;
use crate::cell::{CellRecord, Status};
use crate::paper::same_rate;

/// A protocol as the records have it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProtocolRun {
    /// As in results, with the task in front where the experiment has several: `test_missing`, `mortality_missing`.
    pub name: String,
    /// What is done: the name without the task, `missing`; empty if the records do not say.
    pub kind: String,
    /// The modality that goes missing.
    pub modality: String,
    /// Its levels: missing rates, largest first as in the paper; noise rates or values of beta, smallest first.
    pub rates: Vec<f64>,
}

impl ProtocolRun {
    /// Whether its levels are values of beta, not shares of samples.
    pub fn weighs(&self) -> bool {
        self.name.starts_with("upweighted")
    }

    /// Puts levels in the order of [`ProtocolRun::rates`].
    pub(super) fn sort(&self, rates: &mut [f64]) {
        rates.sort_by(f64::total_cmp);
        if ["test_missing", "train_availability"].contains(&self.name.as_str()) {
            rates.reverse();
        }
    }
}

/// Protocols in the order of the records, each with the rates its cells were to be scored at.
pub(super) fn protocols(records: &[CellRecord]) -> Vec<ProtocolRun> {
    let mut protocols: Vec<ProtocolRun> = Vec::new();
    for record in records {
        let place = protocols.iter().position(|p| p.name == record.protocol);
        let place = place.unwrap_or_else(|| {
            let modality = record.config.pointer("/protocol/modality");
            protocols.push(ProtocolRun {
                name: record.protocol.clone(),
                kind: kind_of(record),
                modality: modality.and_then(Value::as_str).unwrap_or("modality").to_owned(),
                rates: Vec::new(),
            });
            protocols.len() - 1
        });
        for rate in rates_of(record) {
            add_rate(&mut protocols[place].rates, rate);
        }
    }
    for protocol in &mut protocols {
        let mut rates = std::mem::take(&mut protocol.rates);
        protocol.sort(&mut rates);
        protocol.rates = rates;
    }
    protocols
}

/// The protocol of a record without its task.
fn kind_of(record: &CellRecord) -> String {
    let kind = record.config.pointer("/protocol/kind").and_then(Value::as_str);
    match kind {
        Some("missing") => "missing".to_owned(),
        _ => record.protocol.clone(),
    }
}

pub(super) fn add_rate(rates: &mut Vec<f64>, rate: f64) {
    if !rates.iter().any(|known| same_rate(*known, rate)) {
        rates.push(rate);
    }
}

/// Missing rates of a cell's protocol: several, scored after one training, or the one that it was trained at.
fn rates_of(record: &CellRecord) -> Vec<f64> {
    let several = record.config.pointer("/protocol/rates");
    let several = several.and_then(Value::as_array);
    let rates = several.into_iter().flatten().filter_map(Value::as_f64);
    rates.chain(trained_rate(record)).collect()
}

/// The level that a cell was trained at, if its protocol has one.
fn trained_rate(record: &CellRecord) -> Option<f64> {
    let level = |key: &str| record.config.pointer(key).and_then(Value::as_f64);
    level("/protocol/rate").or_else(|| level("/protocol/beta"))
}

/// Seeds of which a row has a run at a column, each with whether it diverged (at any rate, for their mean).
pub(super) fn started(
    records: &[CellRecord],
    protocol: &ProtocolRun,
    row: &str,
    column: Column,
) -> BTreeMap<u64, bool> {
    let mut seeds = BTreeMap::new();
    for record in records {
        let here = record.row == row && record.protocol == protocol.name;
        let at = match (column, trained_rate(record)) {
            (Column::Rate(rate), Some(trained)) => same_rate(rate, trained),
            _ => true,
        };
        if here && at {
            let diverged = matches!(record.outcome.status, Status::Diverged { .. });
            *seeds.entry(record.seed).or_insert(false) |= diverged;
        }
    }
    seeds
}
