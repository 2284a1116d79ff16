//! Data as health records are: four modalities of three kinds, each sample with some of them, two classes of unequal size.

use std::collections::{BTreeMap, BTreeSet};

use mmcollapse_data::{Dataset, Ids, Kind, ModalitySpec, Presence, Rows, Samples};
use mmcollapse_nn::{Device, random::Stream};
use serde_json::json;

use mmcollapse_record::{Metric, Score, Split, Status};

use super::CellOutcome;
use crate::{CellConfig, Conditions, FUSIONS, ModelError, Observer, Silent, run_cell, tests::StopAfter};

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
        ids: Ids::Numbered(n),
        inputs: inputs.into_iter().map(|numbers| Rows::dense(n, numbers)).collect(),
        labels,
        present,
    }
}

pub(super) fn records() -> Dataset {
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

/// The fusions that take these kinds of input; one that generates its inputs takes dense ones alone.
pub(super) fn fusions() -> impl Iterator<Item = &'static str> {
    FUSIONS.iter().map(|entry| entry.name).filter(|name| *name != "mmvae")
}

fn config(fusion: &str, reallocation: &str, rate: f64, encoder: &str) -> CellConfig {
    serde_json::from_value(json!({
        "dataset": "records",
        "protocol": {"kind": "missing", "rate": rate},
        "encoders": {"diagnoses": {"method": encoder}},
        "fusion": {"method": fusion},
        "reallocation": {"method": reallocation},
        "training": {"epochs": 4, "batch_size": 16},
        "seed": 2,
    }))
    .unwrap()
}

fn run(fusion: &str, reallocation: &str, rate: f64, encoder: &str) -> CellOutcome {
    let config = config(fusion, reallocation, rate, encoder);
    run_cell(&config, &records(), &Device::Cpu, &mut Silent, Conditions::default()).unwrap()
}

#[test]
fn a_fusion_that_generates_dense_inputs_says_so() {
    let config = config("mmvae", "none", 0.3, "code_bag");
    let error = run_cell(&config, &records(), &Device::Cpu, &mut Silent, Conditions::default()).unwrap_err();
    assert!(
        error.to_string().contains("modality `diagnoses` is of kind `codes`"),
        "{error}"
    );
}

#[test]
fn every_fusion_learns_from_incomplete_records() {
    for fusion in fusions() {
        for reallocation in ["none", "kd", "ebr"] {
            let outcome = run(fusion, reallocation, 0.3, "code_bag");
            let name = format!("{fusion}+{reallocation}");
            let shares = outcome.scores.iter().filter(|s| s.metric.is_share());
            let test = shares.filter(|s| s.split == Split::Test);
            for score in test {
                assert!(
                    (0.0..=1.0).contains(&score.value),
                    "{name}: {} {}",
                    score.metric,
                    score.value
                );
            }
            if reallocation == "none" {
                let auroc = outcome
                    .scores
                    .iter()
                    .find(|s| s.metric == "auroc" && s.split == Split::Test);
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
        .filter(|s| s.split == Split::Test)
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
            .find(|s| s.metric == metric && s.split == Split::Test)
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
    let outcome = run_cell(&config, &records(), &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
    let of = |metric: &str, rate: f64| {
        let here = |s: &&Score| s.metric == *metric && s.split == Split::Test && s.rate == rate;
        outcome.scores.iter().find(here).unwrap().value
    };
    assert_eq!(of("auroc", 0.0), of("auroc_complete", 0.0));
    // The ranks may stay as they are without labs; the probabilities do not.
    assert_ne!(of("brier", 1.0), of("brier", 0.0));
}

/// A cell on [`records`] with these modalities, its protocol and its stand-in.
fn of_some(modalities: &[&str], protocol: &str, reallocation: &str, substitution: &str) -> CellConfig {
    serde_json::from_value(json!({
        "dataset": "records",
        "modalities": modalities,
        "protocol": {"kind": protocol},
        "encoders": {"codes": {"method": "code_bag"}},
        "fusion": {"method": "concat", "hidden": 8},
        "reallocation": {"method": reallocation},
        "substitution": {"method": substitution},
        "training": {"epochs": 3, "batch_size": 16},
        "seed": 2,
    }))
    .unwrap()
}

#[test]
fn every_pattern_of_modalities_is_asked() {
    let of = |substitution: &str| {
        let config = of_some(&[], "patterns", "none", substitution);
        let outcome = run_cell(&config, &records(), &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
        let scores = outcome.scores.into_iter().filter(|s| s.split == Split::Test);
        scores.map(|s| (s.metric, s.value)).collect::<BTreeMap<Metric, f64>>()
    };
    let plain = of("none");
    // Eight test samples have notes, so of 15 patterns the 7 without them are asked.
    let patterns: Vec<f64> = plain
        .iter()
        .filter(|(name, _)| name.as_str().contains("_with_"))
        .map(|(_, v)| *v)
        .collect();
    assert_eq!(patterns.len(), 7);
    let mean = patterns.iter().sum::<f64>() / 7.0;
    assert!((plain["auroc"] - mean).abs() < 1e-12);
    let pairs = ["diagnoses+labs", "demographics+labs", "demographics+diagnoses"];
    let of_two = pairs
        .iter()
        .map(|name| plain[format!("auroc_with_{name}").as_str()])
        .sum::<f64>()
        / 3.0;
    assert!((plain["auroc_of_2"] - of_two).abs() < 1e-12);
    // Concat takes what is missing for zeros, and a mean is the same for all, which moves no rank here; other stand-ins tell
    // it something of the sample.
    assert_eq!(of("zeros"), plain);
    assert_eq!(of("mean").len(), plain.len());
    for substitution in ["random", "nearest", "target"] {
        let other = of(substitution);
        assert_eq!(other.len(), plain.len(), "{substitution}");
        assert_ne!(other["auroc_of_1"], plain["auroc_of_1"], "{substitution}");
    }
}

/// The whole run, and the same in pieces of two epochs with the number of stops.
fn whole_and_in_pieces(config: &CellConfig) -> (CellOutcome, CellOutcome, usize) {
    let whole = run_cell(config, &records(), &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folders = Conditions {
        checkpoint: Some(folder.path()),
        ..Conditions::default()
    };
    let mut stops = 0;
    loop {
        match run_cell(config, &records(), &Device::Cpu, &mut StopAfter(2), folders) {
            Ok(pieces) => return (whole, pieces, stops),
            Err(ModelError::Interrupted) => stops += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn probes_along_training_are_the_same_when_interrupted() {
    let config = of_some(&["labs", "diagnoses"], "modalities", "kd", "auto");
    let (whole, pieces, stops) = whole_and_in_pieces(&config);
    assert!(stops >= 4, "{stops}");
    assert!(whole.history.iter().any(|record| !record.probes.is_empty()));
    assert_eq!((pieces.scores, pieces.history), (whole.scores, whole.history));
    assert_eq!(pieces.diagnosis, whole.diagnosis);
}

#[test]
fn models_for_each_pattern_are_the_same_when_interrupted() {
    let config = of_some(&["labs", "diagnoses"], "patterns", "none", "target");
    let (whole, pieces, stops) = whole_and_in_pieces(&config);
    let fits: BTreeSet<&str> = whole.history.iter().map(|record| record.fit.as_str()).collect();
    assert_eq!(
        fits,
        BTreeSet::from(["multimodal", "target/diagnoses", "target/labs", "target/labs+diagnoses"])
    );
    assert!(stops >= 4, "{stops}");
    assert_eq!((pieces.scores, pieces.history), (whole.scores, whole.history));
}

#[test]
fn encoders_are_measured_against_their_baselines_whatever_the_number_of_modalities() {
    #[derive(Default)]
    struct Count(BTreeMap<String, usize>);
    impl Observer for Count {
        fn epoch(&mut self, fit: &str, _: usize, _: usize, _: &[(&str, f64)]) {
            *self.0.entry(fit.to_owned()).or_default() += 1;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let folders = Conditions {
        shared: Some(folder.path()),
        ..Conditions::default()
    };
    let run = |modalities: &[&str], reallocation: &str| {
        let mut count = Count::default();
        let config = of_some(modalities, "modalities", reallocation, "auto");
        let outcome = run_cell(&config, &records(), &Device::Cpu, &mut count, folders).unwrap();
        (outcome, count.0)
    };
    let (two, trained) = run(&["labs", "diagnoses"], "none");
    assert_eq!(
        trained.keys().collect::<Vec<_>>(),
        ["multimodal", "unimodal/diagnoses", "unimodal/labs"]
    );
    let find = |metric: &str| two.scores.iter().find(|s| s.metric == metric).unwrap();
    assert_eq!((find("auroc").rate, find("vif_mean").rate), (2.0, 2.0));
    assert!(find("vif_mean").value >= 1.0);
    assert_eq!(find("gap_first").value, find("gap_labs").value);
    let eliminated = find("gap_eliminated").value;
    assert!([find("gap_labs").value, find("gap_diagnoses").value].contains(&eliminated));
    let (baseline, prefix) = (find("probe_baseline_first").value, find("probe_prefix_first").value);
    assert!(baseline > 0.0 && prefix > 0.0);
    let gap = |name: &str| find(&format!("gap_{name}")).value;
    assert_eq!(gap("eliminated"), gap(two.diagnosis.eliminated.as_deref().unwrap()));
    // Along the training too, each encoder of the fit.
    let probed = |outcome: &CellOutcome, fit: &str| -> Vec<Vec<String>> {
        let records = outcome.history.iter().filter(|record| record.fit == fit);
        records
            .map(|record| {
                assert!(record.probes.values().all(|entropy| *entropy > 0.0), "{record:?}");
                record.probes.keys().cloned().collect()
            })
            .collect()
    };
    let epochs = two.history.iter().filter(|record| record.fit == "multimodal").count();
    assert_eq!(probed(&two, "multimodal"), vec![vec!["diagnoses", "labs"]; epochs]);
    assert_eq!(probed(&two, "unimodal/labs"), vec![vec!["labs"]; epochs]);
    // With one modality more the baselines of the first two are there already.
    let (three, trained) = run(&["labs", "diagnoses", "demographics"], "kd");
    assert_eq!(probed(&three, "unimodal/labs"), probed(&two, "unimodal/labs"));
    assert_eq!(probed(&three, "multimodal")[0].len(), 3);
    let curve = |outcome: &CellOutcome| -> Vec<f64> {
        let baseline = outcome.history.iter().filter(|record| record.fit == "unimodal/labs");
        baseline.map(|record| record.probes["labs"]).collect()
    };
    assert_eq!(curve(&three), curve(&two));
    assert!(
        !trained.contains_key("unimodal/labs") && trained.contains_key("unimodal/demographics"),
        "{trained:?}"
    );
    let unknown = of_some(&["labs", "smell"], "modalities", "none", "auto");
    let error = run_cell(&unknown, &records(), &Device::Cpu, &mut Silent, Conditions::default()).unwrap_err();
    assert!(error.to_string().contains("`smell`"), "{error}");
}

#[test]
fn teachers_may_teach_together() {
    let of = |order: &str| {
        let mut config = of_some(&[], "patterns", "kd", "none");
        config.reallocation.options.insert("order".to_owned(), json!(order));
        config.reallocation.options.insert("student".to_owned(), json!("labs"));
        let outcome = run_cell(&config, &records(), &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
        let fits = outcome.history.iter().filter(|r| r.fit.starts_with("distillation"));
        fits.map(|r| (r.fit.clone(), r.losses["distillation"].is_finite()))
            .collect::<Vec<_>>()
    };
    let together = of("simultaneous");
    // As many epochs as three teachers have one after the other, though few samples have notes.
    assert_eq!(
        (
            together.len(),
            of("weakest_to_strongest").len(),
            of("strongest_only").len()
        ),
        (9, 9, 3)
    );
    assert!(
        together
            .iter()
            .all(|(fit, finite)| *finite && fit.matches(", ").count() == 2),
        "{together:?}"
    );
}
