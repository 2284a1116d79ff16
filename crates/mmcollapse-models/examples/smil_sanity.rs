//! Checks encoders and fusion against what SMIL's public code prints on avMNIST: image-only 92.2 % with 105 training
//! samples a class, sound-only 80.4 % with 21, SMIL fused 90.0 % with 15 pairs a class.
//!
//! Trains on training and validation samples together, as SMIL does; nothing is selected, so nothing leaks. SMIL's fused
//! model starts from the two encoders trained alone; here all is trained together.
//!
//! ```text
//! cargo run --release -p mmcollapse-models --example smil_sanity -- 5    # five seeds
//! ```

use mmcollapse_data::{Dataset, LoadOptions, Samples, TestSplit};
use mmcollapse_models::{CellConfig, Conditions, Silent, run_cell};
use mmcollapse_nn::Device;
use serde_json::json;

/// Training samples joined with validation samples.
fn joined(a: &Samples, b: &Samples) -> Samples {
    let inputs = a
        .inputs
        .iter()
        .zip(&b.inputs)
        .map(|(a, b)| [a.numbers(), b.numbers()].concat());
    Samples::complete(
        [a.ids.names(), b.ids.names()].concat(),
        inputs.collect(),
        [&a.labels[..], &b.labels].concat(),
    )
}

fn main() -> miette::Result<()> {
    let seeds: u64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1);
    // Name, metric, fusion, share of samples without sound, training as SMIL's scripts have it, SMIL's printed accuracy.
    let checks = [
        (
            "image-only",
            "accuracy_only_image",
            "late_fusion",
            0.99,
            json!({"epochs": 50, "batch_size": 64, "schedule": {"kind": "step", "every": 20, "factor": 0.1}}),
            92.2,
        ),
        (
            "sound-only",
            "accuracy_only_sound",
            "late_fusion",
            0.8,
            json!({"epochs": 35, "batch_size": 4, "schedule": {"kind": "step", "every": 10, "factor": 0.5}}),
            80.4,
        ),
        (
            "fused",
            "accuracy_complete",
            "smil",
            1.0 - 15.0 / 105.0,
            json!({"epochs": 60, "batch_size": 32, "schedule": {"kind": "step", "every": 30, "factor": 0.1}}),
            90.0,
        ),
    ];
    for (name, metric, fusion, rate, training, printed) in checks {
        let mut sum = 0.0;
        for seed in 0..seeds {
            let options = LoadOptions {
                seed,
                ..LoadOptions::default()
            };
            let loaded = mmcollapse_data::find("avmnist")?.load(&options)?;
            let dataset = Dataset {
                train: joined(&loaded.train, &loaded.validation),
                test: TestSplit::new(loaded.test.for_final_evaluation().clone()),
                ..loaded
            };
            let config: CellConfig = serde_json::from_value(json!({
                "dataset": "avmnist",
                "protocol": {"kind": "train_availability", "modality": "sound", "rate": rate},
                "fusion": {"method": fusion},
                "training": training,
                "seed": seed,
            }))
            .map_err(|e| miette::miette!("{e}"))?;
            let outcome = run_cell(&config, &dataset, &Device::Cpu, &mut Silent, Conditions::default())?;
            let score = outcome
                .scores
                .iter()
                .find(|s| s.metric == metric)
                .ok_or_else(|| miette::miette!("no score {metric}"))?;
            mmcollapse_files::say!("{name}, seed {seed}: {:.1} %", 100.0 * score.value);
            sum += 100.0 * score.value;
        }
        mmcollapse_files::say!(
            "{name}, mean of {seeds}: {:.1} % (SMIL prints {printed})",
            sum / seeds as f64
        );
    }
    Ok(())
}
