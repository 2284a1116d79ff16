//! A few steps of each family of models have the same bits with each vector unit of this processor.

use std::process::Command;

use mmcollapse_files::hex;
use mmcollapse_nn::{
    Device,
    ops::{VECTOR_VARIABLE, vector_level},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::records::records;
use crate::{CellConfig, Conditions, Silent, run_cell, tests::tiny};

/// Trains convolutions with and without norms, linear layers, recurrences, attention and every kind of loss, and prints a
/// digest of all losses and scores. The test below runs it in processes of their own, as a process has one vector unit.
#[test]
fn prints_a_digest_of_what_is_trained() {
    let Ok(level) = vector_level() else {
        println!("digest: refused");
        return;
    };
    let mut digest = Sha256::new();
    let cell = |dataset: &str, protocol: serde_json::Value, encoder: Option<&str>, fusion: &str, reallocation: &str| {
        let encoders = encoder.map_or(json!({}), |encoder| json!({"diagnoses": {"method": encoder}}));
        let config: CellConfig = serde_json::from_value(json!({
            "dataset": dataset,
            "protocol": protocol,
            "encoders": encoders,
            "fusion": {"method": fusion},
            "reallocation": {"method": reallocation},
            "training": {"epochs": 2, "batch_size": 12},
            "seed": 5,
        }))
        .unwrap();
        config.resolve().unwrap()
    };
    let scarce = || json!({"kind": "train_availability", "modality": "sound", "rate": 0.5});
    let (images, patients) = (tiny(), records());
    let mut cells = Vec::new();
    for (fusion, reallocation) in [
        ("concat", "kd"),
        ("mt", "ebr"),
        ("muse", "none"),
        ("smil", "none"),
        ("m3care", "none"),
    ] {
        cells.push((&images, cell("planted", scarce(), None, fusion, reallocation)));
    }
    for (encoder, fusion) in [
        ("code_bag", "full2miss"),
        ("code_transformer", "gated"),
        ("code_bag", "mult"),
    ] {
        let protocol = json!({"kind": "missing", "rate": 0.3});
        cells.push((&patients, cell("records", protocol, Some(encoder), fusion, "none")));
    }
    for (dataset, config) in cells {
        let outcome = run_cell(&config, dataset, &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
        for record in &outcome.history {
            for (name, value) in &record.losses {
                digest.update(name);
                digest.update(value.to_bits().to_le_bytes());
            }
        }
        for score in &outcome.scores {
            digest.update(score.metric.as_str());
            digest.update(score.value.to_bits().to_le_bytes());
        }
    }
    let digits = hex(&digest.finalize());
    println!("\ndigest: {digits} {level}");
}

#[test]
fn each_vector_unit_trains_to_the_same_bits() {
    let digest = |level: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "cell::levels::prints_a_digest_of_what_is_trained",
                "--exact",
                "--nocapture",
            ])
            .env(VECTOR_VARIABLE, level)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text
            .lines()
            .find_map(|line| line.split_once("digest: ").map(|(_, digest)| digest.to_owned()));
        line.unwrap_or_else(|| panic!("{level}: {text}"))
    };
    let portable = digest("portable");
    let (expected, level) = portable.split_once(' ').unwrap();
    assert_eq!(level, "portable");
    for level in ["avx2", "avx512"] {
        let got = digest(level);
        // Refused where the processor lacks it.
        assert!(
            got == "refused" || got == format!("{expected} {level}"),
            "{level}: {got}, not {expected}"
        );
    }
}
