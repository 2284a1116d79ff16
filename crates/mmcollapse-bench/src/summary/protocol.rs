//! Which protocols the records have, at which rates, and which seeds were started there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Column;
use crate::cell::{CellRecord, Status};
use crate::paper::same_rate;
use crate::spec::{Levels, ProtocolName};

/// A protocol as the records have it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProtocolRun {
    /// As in results, with the task in front where the experiment has several: `test_missing`, `mortality_missing`.
    pub name: String,
    /// What is done; none if the name says nothing that is known.
    pub kind: Option<ProtocolName>,
    /// What is predicted, where the name says it.
    pub task: Option<String>,
    /// The modality that goes missing.
    pub modality: String,
    /// Its levels: missing rates, largest first as in the paper; noise rates or values of beta, smallest first.
    pub rates: Vec<f64>,
}

impl ProtocolRun {
    /// What its levels are.
    pub fn levels(&self) -> Levels {
        self.kind.map_or(Levels::Shares, ProtocolName::levels)
    }

    /// Puts levels in the order of [`ProtocolRun::rates`].
    pub(super) fn sort(&self, rates: &mut [f64]) {
        rates.sort_by(f64::total_cmp);
        if matches!(
            self.kind,
            Some(ProtocolName::TestMissing | ProtocolName::TrainAvailability)
        ) {
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
            let setting = ProtocolName::of_setting(&record.protocol);
            protocols.push(ProtocolRun {
                name: record.protocol.clone(),
                kind: setting.map(|(kind, _)| kind),
                task: setting.and_then(|(_, task)| Some(task?.to_owned())),
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
    let counted = || match ProtocolName::of_setting(&record.protocol)?.0.levels() {
        Levels::Counts => Some(record.config.pointer("/modalities")?.as_array()?.len() as f64),
        _ => None,
    };
    let whole = || ProtocolName::of_setting(&record.protocol).is_some_and(|(kind, _)| kind == ProtocolName::Patterns);
    level("/protocol/rate")
        .or_else(|| level("/protocol/beta"))
        .or_else(counted)
        .or_else(|| whole().then_some(0.0))
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
