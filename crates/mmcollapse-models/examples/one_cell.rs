//! Trains one cell and prints its scores: the smallest use of the library.
//!
//! ```text
//! cargo run --release -p mmcollapse-models --example one_cell -- \
//!     '{"dataset": "avmnist", "protocol": {"kind": "test_missing", "modality": "sound", "rates": [0.95]},
//!       "fusion": {"method": "concat"}, "seed": 0}'
//! ```

use mmcollapse_data::LoadOptions;
use mmcollapse_models::{CellConfig, Conditions, Observer, run_cell};
use mmcollapse_nn::Device;

struct Print;

impl Observer for Print {
    fn epoch(&mut self, fit: &str, epoch: usize, epochs: usize, losses: &[(&str, f64)]) {
        mmcollapse_files::tell!("{fit} {}/{epochs} {losses:.4?}", epoch + 1);
    }
}

fn main() -> miette::Result<()> {
    let text = std::env::args().nth(1).unwrap_or_default();
    let config: CellConfig = serde_json::from_str(&text).map_err(|e| miette::miette!("the argument: {e}"))?;
    let dataset = mmcollapse_data::find(&config.dataset)?.load(&LoadOptions {
        seed: config.seed,
        ..LoadOptions::default()
    })?;
    let outcome = run_cell(&config, &dataset, &Device::Cpu, &mut Print, Conditions::default())?;
    mmcollapse_files::say!("{:?} in {:.1} s", outcome.status, outcome.seconds);
    mmcollapse_files::say!("{:?}", outcome.diagnosis);
    for s in &outcome.scores {
        mmcollapse_files::say!("{} {:.2} {} {:.4} (n = {})", s.split, s.rate, s.metric, s.value, s.n);
    }
    Ok(())
}
