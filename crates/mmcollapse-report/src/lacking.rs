//! Names the runs that lack a measure which others of their protocol have.
//!
//! A measure that was added or changed later reaches a finished run from its weights. A run whose weights are gone keeps
//! what it has.

use std::collections::{BTreeMap, BTreeSet};

use mmcollapse_record::{Definition, Record};

/// Rows by the seeds that lack something.
type Lacking = BTreeMap<BTreeSet<u64>, Vec<String>>;

/// One sentence for all measures that the same runs lack: which runs, and why.
pub(crate) fn lacking(records: &[&Record]) -> Vec<String> {
    let mut all: Vec<(Lacking, Vec<String>)> = Vec::new();
    for measure in Definition::of_representation() {
        let runs = of_measure(records, measure);
        let name = measure.key.replace("{}", "*");
        match all.iter_mut().find(|(known, _)| *known == runs) {
            Some((_, names)) => names.push(name),
            None if runs.is_empty() => {}
            None => all.push((runs, vec![name])),
        }
    }
    let sentences = all.iter().map(|(runs, names)| {
        let runs = runs
            .iter()
            .map(|(seeds, rows)| format!("{} (seeds {})", rows.join(", "), in_words(seeds)));
        format!(
            "Without {}: {}. They were scored before this was measured or measured so, and their weights are not kept.",
            names.join(", "),
            runs.collect::<Vec<_>>().join("; ")
        )
    });
    sentences.collect()
}

fn of_measure(records: &[&Record], measure: &Definition) -> Lacking {
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
    let mut rows = Lacking::new();
    for (row, seeds) in seeds {
        rows.entry(seeds).or_default().push(row);
    }
    rows
}

/// `0, 2, 100 to 119`.
fn in_words(seeds: &BTreeSet<u64>) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for seed in seeds {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *seed => *last = *seed,
            _ => runs.push((*seed, *seed)),
        }
    }
    let word = |(first, last): &(u64, u64)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first} to {last}"),
    };
    runs.iter().map(word).collect::<Vec<_>>().join(", ")
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
        // What the same runs lack is said once, of many seeds their ends.
        records.extend((4..9).map(|seed| of("test_missing", seed)));
        records[1].outcome.measured.insert("rank_numerical".to_owned(), 0);
        let [sentence] = &lacking(&records.iter().collect::<Vec<_>>())[..] else {
            panic!("more than one sentence")
        };
        assert!(
            sentence.starts_with("Without rank_numerical, rank_stable: concat (seeds 0, 2, 4 to 8)."),
            "{sentence}"
        );
    }
}
