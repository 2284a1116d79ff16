//! Made-up records for tests: accuracies as they could come out, without anything being trained.

use crate::paper::Paper;
use mmcollapse_record::{Levels, MethodName, Metric, Outcome, Record, RowId, Score, Setting, Split, Status};

/// The paper's Table 4.
pub const TABLE4: &str = include_str!("../../../../experiments/table4/paper.yaml");

/// The paper's Table 3.
pub const TABLE3: &str = include_str!("../../../../experiments/table3/paper.yaml");

/// Missing rates of both tables.
pub const RATES: [f64; 4] = [0.95, 0.9, 0.85, 0.8];

const TEST_SAMPLES: usize = 450;

pub fn table4() -> Paper {
    Paper::parse(TABLE4, "experiments/table4/paper.yaml").unwrap()
}

/// A record of one cell with the accuracies `right / 450` at `rates`.
pub fn record(
    row: &str,
    (fusion, reallocation): (&str, &str),
    protocol: &str,
    seed: u64,
    right: &[(f64, usize)],
    status: Status,
) -> Record {
    let rates: Vec<f64> = right.iter().map(|(rate, _)| *rate).collect();
    let setting: Setting = protocol.parse().unwrap();
    // Where the level counts modalities, so many there are.
    let modalities = match setting.protocol.levels() {
        Levels::Counts => rates[0] as usize,
        _ => 0,
    };
    Record {
        row: row_id(row, (fusion, reallocation)),
        protocol: setting.protocol.on("sound", &rates),
        setting,
        modalities: ["labs", "notes", "age", "sex", "codes"][..modalities]
            .iter()
            .map(ToString::to_string)
            .collect(),
        config: format!("{row} {protocol} {seed}"),
        key: mmcollapse_files::sha256(format!("{row} {protocol} {right:?} {seed}")),
        seed,
        outcome: Outcome {
            status,
            scores: scores(protocol, right),
            seconds: 1.0,
            parameters: 100,
            diagnosis: mmcollapse_record::Findings::default(),
            curves: std::collections::BTreeMap::new(),
            measured: std::collections::BTreeMap::new(),
            weights: None,
        },
    }
}

/// The row of this name, with these methods.
pub fn row_id(row: &str, (fusion, reallocation): (&str, &str)) -> RowId {
    let (fusion_name, reallocation_name) = row.split_once('+').unwrap_or((row, "none"));
    RowId {
        fusion: MethodName::named(fusion_name, fusion),
        reallocation: MethodName::named(reallocation_name, reallocation),
    }
}

/// A metric by its key.
pub fn metric(key: &str) -> Metric {
    key.parse().unwrap()
}

/// A protocol, with or without a label in front, by its name.
pub fn setting(name: &str) -> Setting {
    name.parse().unwrap()
}

/// Scores as a cell leaves them: other metrics and validation at rate 0 where all rates share one training.
fn scores(protocol: &str, right: &[(f64, usize)]) -> Vec<Score> {
    let score = |split: Split, key: &str, rate: f64, right: usize| Score {
        protocol: setting(protocol).protocol,
        rate,
        split,
        metric: metric(key),
        value: right as f64 / TEST_SAMPLES as f64,
        n: TEST_SAMPLES,
    };
    let mut scores: Vec<Score> = right
        .iter()
        .map(|&(rate, right)| score(Split::Test, "accuracy", rate, right))
        .collect();
    let (rate, right) = match protocol {
        "test_missing" => (0.0, right[0].1),
        _ => right[0],
    };
    scores.push(score(Split::Test, "accuracy_complete", rate, right + 5));
    scores.push(score(Split::Test, "accuracy_only_image", rate, right - 5));
    // Validation scores must never reach a table: they are absurd here.
    scores.push(score(Split::Validation, "accuracy", rate, 1));
    scores
}

/// An experiment like Table 4: three fusions, four reallocations, both protocols, `seeds` seeds.
///
/// The literal variant of EBR diverges in three seeds of ten.
pub fn experiment(seeds: u64) -> Vec<Record> {
    let rows: &[(&str, &str, &str, f64)] = &[
        ("late_fusion", "late_fusion", "none", 0.0),
        ("concat", "concat", "none", 3.0),
        ("concat+kd", "concat", "kd", 5.0),
        ("concat+ebr", "concat", "ebr", 6.5),
        ("concat+ebr_literal", "concat", "ebr", 1.0),
        ("shaspec", "shaspec", "none", 5.0),
        ("shaspec+kd", "shaspec", "kd", 7.0),
        ("shaspec+ebr", "shaspec", "ebr", 9.0),
    ];
    let mut records = Vec::new();
    for protocol in ["test_missing", "train_availability"] {
        for (place, &(row, fusion, reallocation, gain)) in rows.iter().enumerate() {
            for seed in 0..seeds {
                let diverges = row.ends_with("literal") && seed % 10 < 3;
                let right = |column: usize| {
                    if diverges {
                        return 45;
                    }
                    let common = noise(seed, 0) * 6.0;
                    let own = noise(seed, 1 + place as u64 * 4 + column as u64) * 4.0;
                    let base = if protocol == "test_missing" { 417.0 } else { 412.0 };
                    (base + gain + 1.6 * column as f64 + common + own).round() as usize
                };
                let status = if diverges {
                    Status::Diverged {
                        reason: "accuracy at chance".into(),
                        epoch: 12,
                    }
                } else {
                    Status::Ok
                };
                let all: Vec<(f64, usize)> = RATES.into_iter().zip((0..4).map(right)).collect();
                // One training serves all rates of a test protocol; of the other each has its own.
                let cells: Vec<&[(f64, usize)]> = match protocol {
                    "test_missing" => vec![&all],
                    _ => all.chunks(1).collect(),
                };
                for right in cells {
                    let methods = (fusion, reallocation);
                    records.push(record(row, methods, protocol, seed, right, status.clone()));
                }
            }
        }
    }
    records
}

/// Between -1 and 1, the same for the same numbers.
fn noise(seed: u64, index: u64) -> f64 {
    let mixed = (seed * 1009 + index * 9176 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}
