//! Each fusion, reallocation, balancing, substitution and encoder trains on the test device as on the processor.
//!
//! `MMCOLLAPSE_TEST_DEVICE=cuda:0` names the device. On the processor the two runs are of the same bits.

use mmcollapse_data::{
    Dataset, Ids, Kind, ModalitySpec, Presence, Rows, Samples,
    sets::{PlantedConfig, planted},
};
use mmcollapse_models::{
    BALANCINGS, CellConfig, CellOutcome, Conditions, ENCODERS, FUSIONS, REALLOCATIONS, SUBSTITUTIONS, Silent, run_cell,
};
use mmcollapse_nn::{Device, device::test_device, random::Stream};
use serde_json::{Value, json};

/// How far a loss of one epoch may be off, as a share of it: devices add in another order, and some steps carry that on.
const TOLERANCE: f64 = 0.02;

/// Modalities of the other kinds: a vector, codes, a series and a large spectrogram.
fn records() -> Dataset {
    let samples = |n: usize, part: &str| {
        let mut stream = Stream::new(3, part);
        let labels: Vec<u32> = (0..n).map(|i| u32::from(i % 4 == 0)).collect();
        let mut inputs = vec![Vec::new(); 4];
        for &label in &labels {
            let sign = if label == 1 { 1.0 } else { -1.0 };
            let mut number = || sign + stream.normal() as f32;
            inputs[0].extend([number(), number()]);
            inputs[1].extend([2.0 + sign, 4.0 + sign, 0.0]);
            inputs[2].extend([1.0, number(), 1.0, number(), 0.0, 0.0]);
            inputs[3].extend((0..112 * 112).map(|_| number()));
        }
        Samples {
            ids: Ids::Numbered(n),
            inputs: inputs.into_iter().map(|numbers| Rows::dense(n, numbers)).collect(),
            labels,
            present: Presence::all(n, 4),
        }
    };
    let modalities = vec![
        ModalitySpec::new("vector", &[2]),
        ModalitySpec::new("codes", &[3]).of(Kind::Codes { vocabulary: 8 }),
        ModalitySpec::new("series", &[3, 2]).of(Kind::Series),
        ModalitySpec::new("sound", &[1, 112, 112]),
    ];
    let names = vec!["no".to_owned(), "yes".to_owned()];
    let [train, validation, test] = [("train", 32), ("validation", 16), ("test", 16)].map(|(part, n)| samples(n, part));
    Dataset::new("records", modalities, names, train, validation, test)
}

/// Of each encoder, a data set and a modality of it that the encoder reads.
const READS: &[(&str, &str, &str)] = &[
    ("lenet5", "planted", "image"),
    ("snetpluse", "planted", "sound"),
    ("spectrogram_cnn", "records", "sound"),
    ("cnn", "planted", "image"),
    ("mlp", "records", "vector"),
    ("linear", "records", "vector"),
    ("code_bag", "records", "codes"),
    ("code_transformer", "records", "codes"),
    ("gru", "records", "series"),
];

fn cell(dataset: &str, part: &str, value: Value) -> CellConfig {
    let mut config = json!({
        "dataset": dataset,
        "protocol": {"kind": "train_availability", "modality": "sound", "rate": 0.5},
        "fusion": {"method": "concat"},
        "training": {"epochs": 2, "batch_size": 8},
        "seed": 5,
    });
    // A substitution needs test samples that lack something; what trains a model a pattern is scored by pattern only.
    match part {
        "substitution" if value["method"] == "target" => config["protocol"] = json!({"kind": "patterns"}),
        "substitution" => {
            config["protocol"] = json!({"kind": "test_missing", "modality": "sound", "rates": [0.5]});
        }
        _ => {}
    }
    config[part] = value;
    serde_json::from_value(config).unwrap()
}

/// What differs between the same cell on two devices; nothing where they agree.
fn difference(config: &CellConfig, dataset: &Dataset, device: &Device) -> Option<String> {
    let train = |device: &Device| -> Result<CellOutcome, String> {
        let config = config.clone().resolve().map_err(|error| error.to_string())?;
        run_cell(&config, dataset, device, &mut Silent, Conditions::default()).map_err(|error| error.to_string())
    };
    let (home, away) = match (train(&Device::Cpu), train(device)) {
        (Ok(home), Ok(away)) => (home, away),
        (home, away) => return Some(format!("{:?}, {:?}", home.err(), away.err())),
    };
    if home.status != away.status || home.history.len() != away.history.len() {
        return Some(format!("{:?} and {:?}", home.status, away.status));
    }
    home.history.iter().zip(&away.history).find_map(|(home, away)| {
        home.losses.iter().find_map(|(term, expected)| {
            let got = away.losses.get(term).copied().unwrap_or(f64::NAN);
            let allowed = TOLERANCE * expected.abs().max(0.1);
            let off = (got - expected).abs();
            (off.is_nan() || off > allowed)
                .then(|| format!("{term} of {} in epoch {}: {expected} and {got}", home.fit, home.epoch))
        })
    })
}

#[test]
fn every_method_trains_there_as_on_the_processor() {
    let device = test_device().unwrap();
    let mut cells = Vec::new();
    for (part, names) in [
        ("fusion", FUSIONS.iter().map(|entry| entry.name).collect::<Vec<_>>()),
        ("reallocation", REALLOCATIONS.iter().map(|entry| entry.name).collect()),
        ("balancing", BALANCINGS.iter().map(|entry| entry.name).collect()),
        ("substitution", SUBSTITUTIONS.iter().map(|entry| entry.name).collect()),
    ] {
        for name in names {
            cells.push((format!("{part} {name}"), cell("planted", part, json!({"method": name}))));
        }
    }
    assert_eq!(
        READS.iter().map(|(name, ..)| *name).collect::<Vec<_>>(),
        ENCODERS.iter().map(|entry| entry.name).collect::<Vec<_>>(),
        "each encoder has a line in READS of this file"
    );
    for (name, dataset, modality) in READS {
        let encoders = json!({ *modality: {"method": name} });
        cells.push((format!("encoder {name}"), cell(dataset, "encoders", encoders)));
    }
    let datasets = [planted(&PlantedConfig::tiny()), records()];
    let mut off = Vec::new();
    for (label, config) in &cells {
        let dataset = &datasets[usize::from(config.dataset == "records")];
        off.extend(difference(config, dataset, &device).map(|what| format!("{label}: {what}")));
    }
    assert!(
        off.is_empty(),
        "{} of {} differ:\n{}",
        off.len(),
        cells.len(),
        off.join("\n")
    );
}
