//! Which protocols the records have, at which rates, and which seeds were started there.

use mmcollapse_record::{Levels, ProtocolKind, Record, RowId, Setting, Status, same_level};
use std::collections::BTreeMap;

use super::Column;

/// A protocol as the records have it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProtocolRun {
    /// The protocol, and the label where the experiment has several.
    pub setting: Setting,
    /// The modality that goes missing.
    pub modality: String,
    /// Its levels: missing rates, largest first as in the paper; noise rates or values of beta, smallest first.
    pub rates: Vec<f64>,
}

impl ProtocolRun {
    /// Which protocol it is.
    pub fn kind(&self) -> ProtocolKind {
        self.setting.protocol
    }

    /// What its levels are.
    pub fn levels(&self) -> Levels {
        self.kind().levels()
    }

    /// What it does, for captions.
    pub fn in_words(&self) -> String {
        self.setting.in_words(&self.modality, &self.rates)
    }
}

/// Protocols in the order of the records, each with the rates its cells were to be scored at.
pub(super) fn protocols(records: &[Record]) -> Vec<ProtocolRun> {
    let mut protocols: Vec<ProtocolRun> = Vec::new();
    for record in records {
        let place = protocols.iter().position(|p| p.setting == record.setting);
        let place = place.unwrap_or_else(|| {
            protocols.push(ProtocolRun {
                setting: record.setting.clone(),
                modality: record.protocol.modality().unwrap_or("modality").to_owned(),
                rates: Vec::new(),
            });
            protocols.len() - 1
        });
        for rate in record.levels() {
            add_rate(&mut protocols[place].rates, rate);
        }
    }
    for protocol in &mut protocols {
        protocol.setting.protocol.sort(&mut protocol.rates);
    }
    protocols
}

pub(super) fn add_rate(rates: &mut Vec<f64>, rate: f64) {
    if !rates.iter().any(|known| same_level(*known, rate)) {
        rates.push(rate);
    }
}

/// Seeds of which a row has a run at a column, each with whether it diverged (at any rate, for their mean).
pub(super) fn started(records: &[Record], protocol: &ProtocolRun, row: &RowId, column: Column) -> BTreeMap<u64, bool> {
    let mut seeds = BTreeMap::new();
    for record in records {
        let here = record.row == *row && record.setting == protocol.setting;
        let at = match (column, record.trained_level()) {
            (Column::Rate(rate), Some(trained)) => same_level(rate, trained),
            _ => true,
        };
        if here && at {
            let diverged = matches!(record.outcome.status, Status::Diverged { .. });
            *seeds.entry(record.seed).or_insert(false) |= diverged;
        }
    }
    seeds
}
