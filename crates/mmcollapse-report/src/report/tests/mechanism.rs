//! The verdicts on lemmas, theorems, planted models, Tables 9 to 11 and Figure 10 flip with the sign of what is found.

use mmcollapse_record::{Metric, RowName, Setting};

use super::*;
use crate::report::claims::{Claim, Comparison, Over, Seeds, Test};

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
    experiment!("rank-bottleneck", Shows::Measures(&["accuracy_only_sound"])),
    experiment!("table10", Shows::Measures(&["lowest_loss_prefix"])),
    experiment!("table11", Shows::Measures(&["rank_effective"])),
    experiment!("fig10", Shows::Measures(&["rank_effective"])),
    // Its cells are those of Figure 1, which claims count as its own.
    ExperimentInfo::new(
        "table9",
        "made up",
        include_str!("../../../../../experiments/fig1/spec.yaml"),
        Shows::Measures(&["polysemanticity"]),
    ),
];

/// Levels of a row: those that a test names, with more on each side of a bend.
fn levels(over: Over) -> Vec<f64> {
    match over {
        Over::Level(level) => vec![level],
        Over::Change(from, to) => vec![from, to],
        Over::Kink(at) => [-4.0, -2.0, 0.0, 2.0, 4.0].map(|by| at + by).to_vec(),
        Over::Mean => vec![2.0],
        // They may count modalities.
        Over::Trend | Over::Line(_) => vec![2.0, 3.0, 4.0, 5.0],
    }
}

/// The tests of `experiments/claims.yaml` that are of these experiments.
fn claims() -> Claims {
    let text = include_str!("../../../../../experiments/claims.yaml");
    let mut all: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    all.as_mapping_mut().unwrap().remove("cells_of");
    let listed = all["claims"].as_sequence_mut().unwrap();
    for claim in listed.iter_mut() {
        let is_here = |test: &serde_yaml::Value| EXPERIMENTS.iter().any(|e| test["experiment"] == *e.name);
        claim["primary"].as_sequence_mut().unwrap().retain(is_here);
        claim.as_mapping_mut().unwrap().remove("exploratory");
    }
    listed.retain(|claim| !claim["primary"].as_sequence().unwrap().is_empty());
    Claims::parse(&serde_yaml::to_string(&all).unwrap(), EXPERIMENTS).unwrap()
}

/// What a row's metric is at a level on a seed.
type Value<'a> = &'a dyn Fn(f64, u64) -> f64;

/// Adds a metric of a row on the seeds of a test, where it is not there yet: parts of a conjunction share rows.
fn add(
    records: &mut Vec<Record>,
    (comparison, seeds): (&Comparison, Seeds),
    (protocol, row, metric): (&Setting, &RowName, &Metric),
    twin: Option<&RowName>,
    of: Value,
) {
    let name = row.to_string();
    let (fusion, reallocation) = name.split_once('+').unwrap_or((&name, "none"));
    for seed in seeds.from..seeds.from + seeds.n {
        for level in levels(comparison.over) {
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
            let scores = &mut records[place].outcome.scores;
            let mut score = |metric: &str, value: f64| {
                if scores.iter().all(|score| score.metric != *metric) {
                    scores.push(Score {
                        protocol: protocol.protocol,
                        rate: level,
                        split: Split::Test,
                        metric: metric.parse().unwrap(),
                        value,
                        n: 450,
                    });
                }
            };
            score(metric.as_str(), of(level, seed));
            // Tests of what reallocation does need its check.
            if row.is_reallocated() {
                score("confusion", if twin.is_some() { 1.0 } else { 0.1 });
                score("confusion_shuffled", 1.0);
            }
        }
    }
}

/// Records on which a comparison comes out as claimed, or the other way round.
fn records_of(comparison: &Comparison, seeds: Seeds, right: bool, records: &mut Vec<Record>) {
    let of = (comparison, seeds);
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
    let (protocol, row, metric) = (&comparison.protocol, &comparison.row, &comparison.metric);
    let is_change = matches!(comparison.over, Over::Trend | Over::Kink(_) | Over::Change(..));
    let base = if comparison.against.is_some() || is_change {
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
    let levels = levels(comparison.over);
    let (low, high) = (levels[0], levels[levels.len() - 1]);
    let changing = |level: f64| match comparison.over {
        Over::Trend => effect * (level - low) / (high - low),
        Over::Change(_, to) => effect * f64::from(u8::from(level == to)),
        Over::Kink(at) => effect * (level - at).max(0.0) / (high - at),
        _ => effect,
    };
    if let (Some(along), Over::Line(_)) = (&comparison.along, comparison.over) {
        // Proportional up to little, or not at all.
        add(records, of, (protocol, row, along), None, &|level, _| level);
        add(records, of, (protocol, row, metric), None, &|level, seed| {
            let little = 0.001 * (seed * 7 % 5) as f64 * (level - 3.0);
            if right {
                2.0 * level + little
            } else {
                9.0 + little + f64::from(u8::from(level == 3.0))
            }
        });
        return;
    }
    if let Some(along) = &comparison.along {
        let z = |seed: u64| (seed * 7 % 5) as f64 - 2.0;
        let sign = if effect > 0.0 { 1.0 } else { -1.0 };
        add(records, of, (protocol, row, metric), None, &|_, seed| 5.0 + z(seed));
        add(records, of, (protocol, row, along), None, &|_, seed| {
            5.0 + sign * z(seed) + 0.1 * (seed % 3) as f64
        });
        return;
    }
    // The wobble of one row alone, or nothing would vary.
    let plain = |_: f64, _: u64| if comparison.is_of_ratios() { 5.0 } else { base };
    let name = row.to_string();
    let fusion = name.split('+').next().unwrap();
    let control: RowName = format!("{fusion}+control").parse().unwrap();
    let twin = comparison.against.as_ref().filter(|against| against.is_reallocated());
    let twin = twin.unwrap_or(&control);
    if row.is_reallocated() && *twin == control {
        add(records, of, (protocol, twin, metric), None, &plain);
    }
    let ours = |level: f64, seed: u64| value(changing(level), seed);
    add(records, of, (protocol, row, metric), Some(twin), &ours);
    if let Some(against) = &comparison.against {
        let protocol = comparison.against_protocol.as_ref().unwrap_or(protocol);
        add(records, of, (protocol, against, metric), None, &plain);
    }
}

fn verdict_of(claim: &Claim, test: &Test, right: bool, claims: &Claims) -> Verdict {
    let mut records = Vec::new();
    for part in &test.parts {
        records_of(part, test.seeds, right, &mut records);
    }
    let part = &test.parts[0];
    let dataset = part.dataset.as_deref();
    let experiment = EXPERIMENTS.iter().find(|e| e.name == part.experiment).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("results");
    let provenance = Provenance {
        experiment: part.experiment.clone(),
        preset: Preset::Quick,
        command: format!("mmcollapse reproduce {}", part.experiment),
        cells: records.len(),
        seeds: test.seeds.n as usize,
        dataset: dataset.map(str::to_owned),
        data: on_data(dataset.unwrap_or("planted-features:modalities=2")),
        ..Provenance::default()
    };
    let own = Preset::Quick.folder(dataset, false);
    render(
        experiment,
        &records,
        &provenance,
        &root.join(&part.experiment).join(own),
    )
    .unwrap();
    let results = Results::read(EXPERIMENTS, &root).unwrap();
    let families = families(claim, claims, &results, &Stated::beside(&root)).unwrap();
    let mut tested = families.iter().flat_map(|family| &family.primary);
    let tested = tested.find(|tested| std::ptr::eq(tested.test, test));
    tested.unwrap().verdict
}

#[test]
fn a_wrong_sign_flips_the_verdict() {
    let claims = claims();
    let mut tests = 0;
    for claim in &claims.claims {
        for test in &claim.primary {
            let right = verdict_of(claim, test, true, &claims);
            let wrong = verdict_of(claim, test, false, &claims);
            let name = format!("{}, {}", claim.id, test.says);
            assert!(matches!(right, Verdict::Supported { .. }), "{name}: {right:?}");
            assert_eq!(wrong, Verdict::Contradicted, "{name}");
            tests += 1;
        }
    }
    assert!(tests >= 40, "{tests}");
}
