//! Names the runs that lack a measure which others of their protocol have.
//!
//! A measure that was added or changed later reaches a finished run from its weights. A run whose weights are gone keeps
//! what it has.

use std::collections::{BTreeMap, BTreeSet};

use mmcollapse_record::{Definition, Record};

/// One sentence a measure that some runs lack: which runs, and why.
pub(crate) fn lacking(records: &[&Record]) -> Vec<String> {
    Definition::of_representation()
        .filter_map(|measure| of_measure(records, measure))
        .collect()
}

fn of_measure(records: &[&Record], measure: &Definition) -> Option<String> {
    let lacks = |record: &&&Record| {
        let is_asked = measure.is_of(&record.row.reallocation.method);
        is_asked && record.outcome.lacks(record.setting.protocol, measure)
    };
    let having: BTreeSet<_> = records
        .iter()
        .filter(|record| !lacks(record))
        .map(|record| &record.setting)
        .collect();
    let mut seeds: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for record in records
        .iter()
        .filter(lacks)
        .filter(|record| having.contains(&record.setting))
    {
        seeds.entry(record.row.to_string()).or_default().insert(record.seed);
    }
    let rows: Vec<String> = seeds
        .iter()
        .map(|(row, seeds)| {
            let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
            format!("{row} (seeds {})", seeds.join(", "))
        })
        .collect();
    (!rows.is_empty()).then(|| {
        format!(
            "Without {}: {}. They were scored before this measure was added or changed, and their weights are not kept.",
            measure.key.replace("{}", "*"),
            rows.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use mmcollapse_record::Status;

    use super::*;
    use crate::summary::synthetic::record;

    #[test]
    fn runs_without_a_measure_that_others_have_are_named() {
        let of = |protocol: &str, seed: u64| {
            let right = [(0.95, 400)];
            record("concat", ("concat", "none"), protocol, seed, &right, Status::Ok)
        };
        let mut records: Vec<Record> = (0..3).map(|seed| of("test_missing", seed)).collect();
        assert!(
            lacking(&records.iter().collect::<Vec<_>>()).is_empty(),
            "nobody was asked for a measure"
        );
        records[1].outcome.measured.insert("rank_stable".to_owned(), 0);
        let all: Vec<&Record> = records.iter().collect();
        let [sentence] = &lacking(&all)[..] else {
            panic!("{:?}", lacking(&all))
        };
        assert!(
            sentence.starts_with("Without rank_stable: concat (seeds 0, 2)."),
            "{sentence}"
        );
        // Another protocol, which nobody asks, lacks nothing.
        records.push(of("missing", 7));
        assert_eq!(lacking(&records.iter().collect::<Vec<_>>()).len(), 1);
    }
}
