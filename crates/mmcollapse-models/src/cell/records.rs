//! Data as health records are: four modalities of three kinds, each sample with some of them, two classes of unequal size.

use std::collections::BTreeSet;

use mmcollapse_data::{Dataset, Kind, ModalitySpec, Presence, Samples};
use mmcollapse_nn::{Device, random::Stream};
use serde_json::json;

use super::{CellOutcome, Status};
use crate::{CellConfig, FUSIONS, Folders, Silent, run_cell};

/// Class 1 has codes 1 to 4 and class 0 codes 5 to 8; series and numbers lean the same way. Few have `notes`.
fn samples(n: usize, part: &str) -> Samples {
    let mut stream = Stream::new(3, part);
    let labels: Vec<u32> = (0..n).map(|i| u32::from(i % 4 == 0)).collect();
    let present = Presence::from_fn(n, 4, |i, m| match m {
        0 => true,
        3 => i % 5 == 0,
        m => (i + m) % 4 != 0,
    });
    let mut inputs = vec![Vec::new(); 4];
    for (i, &label) in labels.iter().enumerate() {
        let sign = if label == 1 { 1.0 } else { -1.0 };
        let mut number = || sign + stream.normal() as f32;
        inputs[0].extend([number(), number()]);
        let offset = if label == 1 { 0.0 } else { 4.0 };
        let codes = [1.0 + offset + (i % 2) as f32, 3.0 + offset + (i % 2) as f32, 0.0];
        inputs[1].extend(codes.map(|code| if present.get(i, 1) { code } else { 0.0 }));
        let steps = i % 3;
        for step in 0..3 {
            let there = present.get(i, 2) && step <= steps;
            inputs[2].extend(if there { [1.0, number()] } else { [0.0, 0.0] });
        }
        inputs[3].extend(if present.get(i, 3) { [number()] } else { [0.0] });
    }
    Samples {
        ids: (0..n).map(|i| i.to_string()).collect(),
        inputs,
        labels,
        present,
    }
}

fn records() -> Dataset {
    let modalities = vec![
        ModalitySpec::new("demographics", &[2]),
        ModalitySpec::new("diagnoses", &[3]).of(Kind::Codes { vocabulary: 8 }),
        ModalitySpec::new("labs", &[3, 2]).of(Kind::Series),
        ModalitySpec::new("notes", &[1]),
    ];
    let names = vec!["no".to_owned(), "yes".to_owned()];
    let parts = [("train", 64), ("validation", 32), ("test", 40)].map(|(part, n)| samples(n, part));
    let [train, validation, test] = parts;
    Dataset::new("records", modalities, names, train, validation, test)
}

fn run(fusion: &str, reallocation: &str, rate: f64, encoder: &str) -> CellOutcome {
    let config: CellConfig = serde_json::from_value(json!({
        "dataset": "records",
        "protocol": {"kind": "missing", "rate": rate},
        "encoders": {"diagnoses": {"method": encoder}},
        "fusion": {"method": fusion},
        "reallocation": {"method": reallocation},
        "training": {"epochs": 4, "batch_size": 16},
        "seed": 2,
    }))
    .unwrap();
    run_cell(&config, &records(), &Device::Cpu, &mut Silent, Folders::default()).unwrap()
}

#[test]
fn every_fusion_learns_from_incomplete_records() {
    for fusion in FUSIONS {
        for reallocation in ["none", "kd", "ebr"] {
            let outcome = run(fusion.name, reallocation, 0.3, "code_bag");
            let name = format!("{}+{reallocation}", fusion.name);
            let test = outcome.scores.iter().filter(|s| s.split == "test");
            for score in test {
                assert!(
                    (0.0..=1.0).contains(&score.value),
                    "{name}: {} {}",
                    score.metric,
                    score.value
                );
            }
            if reallocation == "none" {
                let auroc = outcome.scores.iter().find(|s| s.metric == "auroc" && s.split == "test");
                assert!(auroc.unwrap().value > 0.7, "{name}: {}", auroc.unwrap().value);
            }
        }
    }
}

#[test]
fn two_classes_have_their_own_scores() {
    let outcome = run("concat", "none", 0.0, "code_transformer");
    assert_eq!(outcome.status, Status::Ok);
    let metrics: BTreeSet<&str> = outcome
        .scores
        .iter()
        .filter(|s| s.split == "test")
        .map(|s| s.metric.as_str())
        .collect();
    // Eight test samples have notes: too few to be told of.
    assert_eq!(
        metrics,
        BTreeSet::from([
            "accuracy",
            "auprc",
            "auroc",
            "auroc_complete",
            "auroc_only_demographics",
            "auroc_only_diagnoses",
            "auroc_only_labs",
            "average_precision",
            "brier",
            "calibration_error",
        ])
    );
    let find = |metric: &str| {
        outcome
            .scores
            .iter()
            .find(|s| s.metric == metric && s.split == "test")
            .unwrap()
    };
    // At rate 0 nothing is taken away.
    assert_eq!(find("auroc").value, find("auroc_complete").value);
    // Alone, a modality is asked of the samples that have it.
    assert_eq!((find("auroc_only_labs").n, find("auroc_only_demographics").n), (30, 40));
    assert_eq!(outcome.diagnosis.alone.len(), 4);
}

#[test]
fn a_protocol_about_one_modality_keeps_what_the_source_lacks() {
    let config: CellConfig = serde_json::from_value(json!({
        "dataset": "records",
        "protocol": {"kind": "test_missing", "modality": "labs", "rates": [0.0, 1.0]},
        "fusion": {"method": "late_fusion"},
        "training": {"epochs": 2, "batch_size": 16},
        "seed": 2,
    }))
    .unwrap();
    let outcome = run_cell(&config, &records(), &Device::Cpu, &mut Silent, Folders::default()).unwrap();
    let of = |metric: &str, rate: f64| {
        let here = |s: &&super::Score| s.metric == metric && s.split == "test" && s.rate == rate;
        outcome.scores.iter().find(here).unwrap().value
    };
    assert_eq!(of("auroc", 0.0), of("auroc_complete", 0.0));
    // The ranks may stay as they are without labs; the probabilities do not.
    assert_ne!(of("brier", 1.0), of("brier", 0.0));
}
