//! The verdicts on lemmas, theorems and planted models flip with the sign of what is found.

use mmcollapse_record::{Metric, RowName, Setting};

use super::*;
use crate::report::claims::{Claim, Comparison, Over};

macro_rules! experiment {
    ($name:literal, $shows:expr) => {
        ExperimentInfo::new(
            $name,
            "made up",
            include_str!(concat!("../../../../../experiments/", $name, "/spec.yaml")),
            $shows,
        )
    };
}

const EXPERIMENTS: &[ExperimentInfo] = &[
    experiment!("lemma1", Shows::Measures(&["crossing_excess"])),
    experiment!("lemma2", Shows::Measures(&["gradient_rank"])),
    experiment!("lemma3", Shows::Measures(&["role_places_excess"])),
    experiment!("theorem1", Shows::Measures(&["contribution_conjugate"])),
    experiment!("theorem2", Shows::Measures(&["agop_distance"])),
    experiment!("theorem3", Shows::Measures(&["monosemantic_neurons"])),
    experiment!("ebr-dose", Shows::Measures(&["rank_effective"])),
    experiment!("planted-collapse", Shows::Measures(&["auroc_only_m2"])),
    experiment!("planted-rank", Shows::Measures(&["accuracy_only_m2"])),
];

const LEVELS: [f64; 4] = [2.0, 4.0, 8.0, 16.0];

/// The claims of `experiments/claims.yaml` that these experiments test.
fn claims() -> Claims {
    let text = include_str!("../../../../../experiments/claims.yaml");
    let mut all: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    let listed = all["claims"].as_sequence_mut().unwrap();
    listed.retain(|claim| ["L1", "T1", "L2", "T2", "L3", "T3", "C15", "C16"].contains(&claim["id"].as_str().unwrap()));
    Claims::parse(&serde_yaml::to_string(&all).unwrap(), EXPERIMENTS).unwrap()
}

/// What a row's metric is at a level on a seed.
type Value<'a> = &'a dyn Fn(f64, u64) -> f64;

fn add(
    records: &mut Vec<Record>,
    (protocol, row, metric): (&Setting, &RowName, &Metric),
    twin: Option<&RowName>,
    of: Value,
) {
    let name = row.to_string();
    let (fusion, reallocation) = name.split_once('+').unwrap_or((&name, "none"));
    // Those of the lemmas and theorems, and those of the planted models.
    for seed in (200..220).chain(300..320).chain(600..620) {
        for level in LEVELS {
            let own = |record: &Record| {
                record.row == *name.as_str()
                    && record.seed == seed
                    && record.setting == *protocol
                    && record.levels() == [level]
            };
            let place = records.iter().position(own);
            let place = place.unwrap_or_else(|| {
                let right = [(level, 400)];
                let mut record = record(
                    &name,
                    (fusion, reallocation),
                    &protocol.to_string(),
                    seed,
                    &right,
                    Status::Ok,
                );
                record.row.reallocation.twin =
                    twin.and_then(|twin| Some(twin.to_string().split_once('+')?.1.to_owned()));
                records.push(record);
                records.len() - 1
            });
            let mut score = |metric: &str, value: f64| {
                records[place].outcome.scores.push(Score {
                    protocol: protocol.protocol,
                    rate: level,
                    split: Split::Test,
                    metric: metric.parse().unwrap(),
                    value,
                    n: 450,
                });
            };
            score(metric.as_str(), of(level, seed));
            // Tests of what reallocation does need its check.
            if row.is_reallocated()
                && [
                    "monosemantic_neurons_50",
                    "monosemantic_meanings_50",
                    "auroc_only_m2",
                    "accuracy_only_m2",
                ]
                .contains(&metric.as_str())
            {
                score("confusion", if twin.is_some() { 1.0 } else { 0.1 });
                score("confusion_shuffled", 1.0);
            }
        }
    }
}

/// Records on which a comparison comes out as claimed, or the other way round.
fn records_of(comparison: &Comparison, right: bool, records: &mut Vec<Record>) {
    let margin = comparison.margin.unwrap();
    let size = 2.0
        * if comparison.is_of_ratios() {
            libm::log(margin)
        } else {
            margin
        };
    let effect = match (comparison.claimed, right) {
        (Direction::Higher, true) | (Direction::Lower | Direction::AtMost | Direction::Within, false) => size,
        (Direction::Higher, false) | (Direction::Lower, true) => -size,
        (Direction::AtMost | Direction::Within, true) => 0.0,
    };
    let base = if comparison.against.is_some() || comparison.over == Over::Trend {
        5.0
    } else {
        0.0
    };
    let wobble = |seed: u64| 0.02 * size * ((seed * 7 % 5) as f64 - 2.0);
    let value = |effect: f64, seed: u64| {
        let sum = effect + wobble(seed);
        if comparison.is_of_ratios() {
            5.0 * libm::exp(sum)
        } else {
            base + sum
        }
    };
    let rising = |level: f64| match comparison.over {
        Over::Trend => effect * (level - LEVELS[0]) / (LEVELS[3] - LEVELS[0]),
        _ => effect,
    };
    let (protocol, against) = (&comparison.protocol, comparison.against.as_ref());
    if let Some(along) = &comparison.along {
        let z = |seed: u64| (seed * 7 % 5) as f64 - 2.0;
        let sign = if effect > 0.0 { 1.0 } else { -1.0 };
        add(
            records,
            (protocol, &comparison.row, &comparison.metric),
            None,
            &|_, seed| 5.0 + z(seed),
        );
        add(records, (protocol, &comparison.row, along), None, &|_, seed| {
            5.0 + sign * z(seed) + 0.1 * (seed % 3) as f64
        });
        return;
    }
    let ours = |level: f64, seed: u64| value(rising(level), seed);
    add(records, (protocol, &comparison.row, &comparison.metric), against, &ours);
    if let Some(against) = against {
        let protocol = comparison.against_protocol.as_ref().unwrap_or(protocol);
        // The wobble of one row alone, or nothing would vary.
        let plain = |_: f64, _: u64| if comparison.is_of_ratios() { 5.0 } else { base };
        add(records, (protocol, against, &comparison.metric), None, &plain);
    }
}

fn verdict_of(claim: &Claim, test: usize, right: bool, claims: &Claims) -> Verdict {
    let mut records = Vec::new();
    for part in &claim.primary[test].parts {
        records_of(part, right, &mut records);
    }
    let name = &claim.primary[test].parts[0].experiment;
    let experiment = EXPERIMENTS.iter().find(|experiment| experiment.name == name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("results");
    let provenance = Provenance {
        experiment: name.clone(),
        preset: Preset::Quick,
        command: format!("mmcollapse reproduce {name}"),
        cells: records.len(),
        seeds: 20,
        data: on_data("planted-features:modalities=2"),
        ..Provenance::default()
    };
    render(experiment, &records, &provenance, &root.join(name).join("quick")).unwrap();
    let results = Results::read(EXPERIMENTS, &root).unwrap();
    let families = families(claim, claims, &results, &Stated::beside(&root)).unwrap();
    families[0].primary[test].verdict
}

#[test]
fn a_wrong_sign_flips_the_verdict() {
    let claims = claims();
    let mut tests = 0;
    for claim in &claims.claims {
        assert!(!claim.primary.is_empty(), "{}", claim.id);
        for (place, test) in claim.primary.iter().enumerate() {
            let right = verdict_of(claim, place, true, &claims);
            let wrong = verdict_of(claim, place, false, &claims);
            let name = format!("{}, {}", claim.id, test.says);
            assert!(matches!(right, Verdict::Supported { .. }), "{name}: {right:?}");
            assert_eq!(wrong, Verdict::Contradicted, "{name}");
            tests += 1;
        }
    }
    assert_eq!(tests, 26);
}
