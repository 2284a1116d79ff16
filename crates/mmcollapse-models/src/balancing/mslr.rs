//! MSLR (Yao and Mihalcea, ACL 2022): each encoder has a learning rate of its own.
//!
//! The paper searches the rates. Here they may be named; without names the modality that predicts best alone learns slower, by one
//! factor that tuning may draw.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Balancing, Builder, Encoders, strength};
use crate::{
    error::{ModelError, Result},
    reallocation::Workbench,
    registry::{Entry, Sampler, parse_for, resolve_as},
};

const NAME: &str = "mslr";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "each encoder has a learning rate of its own",
    reference: "Yao and Mihalcea, Modality-specific learning rates, Findings of ACL 2022",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[("factor", Sampler::LogUniform(0.03, 3.0))],
    build: |options, context| {
        let config: Config = parse_for("balancing", NAME, options)?;
        strength(NAME, "factor", config.factor)?;
        for (name, &rate) in &config.rates {
            strength(NAME, &format!("rates.{name}"), rate)?;
            // What is asked of a method's name alone has no modalities.
            if !context.modalities.is_empty() && !context.modalities.contains(name) {
                return Err(ModelError::Options {
                    axis: "balancing",
                    method: NAME.to_owned(),
                    reason: format!(
                        "`rates` names modality `{name}`; there are {}",
                        context.modalities.join(", ")
                    ),
                });
            }
        }
        let encoders = Encoders::new(context.modalities);
        let given = context
            .modalities
            .iter()
            .map(|name| config.rates.get(name).copied().unwrap_or(1.0));
        Ok(Box::new(Mslr {
            rates: given.collect(),
            config,
            encoders,
        }))
    },
};

/// Options of [`Mslr`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// What the learning rate of the strongest modality's encoder is multiplied by, where `rates` names none (ours).
    factor: f64,
    /// Of each modality what its encoder's learning rate is multiplied by; 1 of one that is not named.
    rates: BTreeMap<String, f64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            factor: 0.3,
            rates: BTreeMap::new(),
        }
    }
}

struct Mslr {
    config: Config,
    encoders: Encoders,
    rates: Vec<f64>,
}

impl Balancing for Mslr {
    fn rates(&self) -> Vec<(String, f64)> {
        self.encoders
            .prefixes()
            .iter()
            .cloned()
            .zip(self.rates.iter().copied())
            .collect()
    }

    fn prepare(&mut self, bench: &mut dyn Workbench) -> Result<()> {
        if !self.config.rates.is_empty() {
            return Ok(());
        }
        // What validation does not define is not known to be strong.
        let alone: Vec<f64> = bench
            .alone()?
            .iter()
            .map(|quality| quality.unwrap_or(f64::NEG_INFINITY))
            .collect();
        let strongest = (0..alone.len()).max_by(|&a, &b| alone[a].total_cmp(&alone[b]).then(b.cmp(&a)));
        for (m, rate) in self.rates.iter_mut().enumerate() {
            *rate = if Some(m) == strongest { self.config.factor } else { 1.0 };
        }
        Ok(())
    }

    fn decided_by(&self) -> Option<Value> {
        Some(json!({ "rates": self.rates }))
    }
}
