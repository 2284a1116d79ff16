//! What may be tuned: what each method's file says, and `experiments/tune.yaml`.
//!
//! ```yaml
//! judged:                                    # settings are chosen for the first of these that an experiment has,
//!   - {protocol: test_missing, rate: 0.9}    # at this level, or at the only one that it has
//! training:                                  # of every row
//!   optimizer.lr: {kind: log_uniform, low: 0.0001, high: 0.01}
//! fusions:                                   # instead of what the method's own file says
//!   concat:
//!     hidden: {kind: choice, of: [32, 64, 128]}
//!     dropout: {kind: uniform, low: 0, high: 0.8}
//! ```
//!
//! A dot leads into a map: `optimizer.lr` is the `lr` of the `optimizer`.

use mmcollapse_files::sha256;
use mmcollapse_record::ProtocolKind;
use std::collections::BTreeMap;

use mmcollapse_models::registry::{Entry, Options, Sampler};
use mmcollapse_models::{BALANCINGS, FUSIONS, REALLOCATIONS, Training};
use mmcollapse_nn::random::Stream;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::setting::{Setting, insert};
use crate::cell::canonical;
use crate::spec::{SpecError, lay_over, read_yaml};

/// Where it lies in the repository, for messages.
pub(super) const PATH: &str = "experiments/tune.yaml";
const HELP: &str = "the head of crates/mmcollapse-run/src/tuning/space.rs describes the form; \
    `mmcollapse list methods` prints every method with its options";
/// Keys of all draws, together with the row, the option and the trial.
const SEED: u64 = 0;

/// What `tune.yaml` says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Spaces {
    /// What settings are chosen for, unless the command says something else.
    judged: Vec<Judged>,
    /// Training options, tuned in every row.
    training: Space,
    /// Options of fusions; of all of them once it is read.
    #[serde(default)]
    fusions: BTreeMap<String, Space>,
    /// Options of reallocations; of all of them once it is read.
    #[serde(default)]
    reallocations: BTreeMap<String, Space>,
    /// Options of balancings; of all of them once it is read.
    #[serde(default)]
    balancings: BTreeMap<String, Space>,
    #[serde(skip)]
    digest: String,
}

/// A protocol and its level.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// The protocol.
    pub protocol: ProtocolKind,
    /// Its level.
    pub rate: f64,
}

/// The methods that a row is made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Methods<'a> {
    /// How encodings meet.
    pub fusion: &'a str,
    /// What is done to the encoders.
    pub reallocation: &'a str,
    /// How training weighs the modalities, where a row says.
    pub balancing: Option<&'a str>,
}

/// Options of one method, and what may be drawn for each.
pub type Space = BTreeMap<String, Range>;

/// What may be drawn for an option.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Range {
    /// A number whose logarithm is uniform.
    LogUniform {
        /// The least.
        low: f64,
        /// The largest.
        high: f64,
    },
    /// A number.
    Uniform {
        /// The least.
        low: f64,
        /// The largest.
        high: f64,
    },
    /// One of these, all equally likely.
    Choice {
        /// The values.
        of: Vec<Value>,
    },
}

impl Spaces {
    /// Reads the text of `tune.yaml` and checks every option against the method it belongs to.
    ///
    /// # Errors
    /// What is not YAML, a key, method or option that is not known, a value that the option does not take, bounds
    /// that hold nothing: each with its line.
    pub fn parse(text: &str) -> Result<Self, Box<SpecError>> {
        let mut spaces: Self = read_yaml(PATH, text, HELP)?;
        let refused = |keys: &[&str], what: &str| Err(Box::new(SpecError::below(PATH, text, keys, what, HELP)));
        for (option, range) in &spaces.training {
            if let Err(what) = range.check().and_then(|()| accepted(range, option, training)) {
                return refused(&["training", option], &format!("training option `{option}`: {what}"));
            }
        }
        for (axis, place, what) in [
            ("fusion", "fusions", methods(&spaces.fusions, FUSIONS)),
            (
                "reallocation",
                "reallocations",
                methods(&spaces.reallocations, REALLOCATIONS),
            ),
            ("balancing", "balancings", methods(&spaces.balancings, BALANCINGS)),
        ] {
            if let Err((method, option, what)) = what {
                let keys: Vec<&str> = [place, &method].into_iter().chain(option.as_deref()).collect();
                let option = option
                    .as_ref()
                    .map_or(String::new(), |option| format!(", option `{option}`"));
                return refused(&keys, &format!("{axis} `{method}`{option}: {what}"));
            }
        }
        add_own(&mut spaces.fusions, FUSIONS);
        add_own(&mut spaces.reallocations, REALLOCATIONS);
        add_own(&mut spaces.balancings, BALANCINGS);
        let value = serde_json::to_value(&spaces).unwrap_or_default();
        spaces.digest = sha256(canonical(&value).as_bytes());
        Ok(spaces)
    }

    /// What settings of an experiment are chosen for, given its protocols and levels: `protocol` and `rate` where they are
    /// given, else the first of its protocols that is declared, at its only level or at the declared one.
    ///
    /// # Errors
    /// Where none of its protocols is declared, or the level of the one given is not.
    pub fn judged(
        &self,
        (protocols, levels): (&[ProtocolKind], &[f64]),
        protocol: Option<ProtocolKind>,
        rate: Option<f64>,
    ) -> Result<Judged, String> {
        let declared = |protocol: ProtocolKind| self.judged.iter().find(|judged| judged.protocol == protocol);
        let protocol = protocol
            .or_else(|| protocols.iter().copied().find(|own| declared(*own).is_some()))
            .ok_or_else(|| format!("{PATH} declares none of its protocols under `judged`; say one with --protocol"))?;
        let only = if let [level] = levels { Some(*level) } else { None };
        let rate = rate
            .or(only)
            .or_else(|| declared(protocol).map(|judged| judged.rate))
            .ok_or_else(|| {
                let name = protocol.to_string();
                format!("{PATH} declares no level of {name} under `judged`; say one with --rate")
            })?;
        Ok(Judged { protocol, rate })
    }

    /// Digest of all that may be drawn.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Draws trial `trial` of a row made of these methods; trial 0 changes nothing.
    ///
    /// Each option has a stream of its own, so that another row, method or option moves no draw.
    ///
    /// # Errors
    /// A method that there is not.
    pub fn draw(&self, row: &str, methods: &Methods, trial: u64) -> Result<Setting, String> {
        let space = |axis: &str, spaces: &BTreeMap<String, Space>, method: &str| {
            let known = spaces.get(method).cloned();
            known.ok_or_else(|| format!("there is no {axis} `{method}`"))
        };
        let fusions = space("fusion", &self.fusions, methods.fusion)?;
        let reallocations = space("reallocation", &self.reallocations, methods.reallocation)?;
        let balancings = match methods.balancing {
            Some(balancing) => space("balancing", &self.balancings, balancing)?,
            None => Space::default(),
        };
        let mut setting = Setting::default();
        if trial == 0 {
            return Ok(setting);
        }
        for (axis, space, options) in [
            ("fusion", &fusions, &mut setting.fusion),
            ("reallocation", &reallocations, &mut setting.reallocation),
            ("balancing", &balancings, &mut setting.balancing),
            ("training", &self.training, &mut setting.training),
        ] {
            for (option, range) in space {
                let mut stream = Stream::at(SEED, &format!("tune/{row}/{axis}.{option}"), trial);
                insert(options, option, range.draw(&mut stream));
            }
        }
        Ok(setting)
    }
}

/// Adds what each method's file says of those that `tune.yaml` does not name.
fn add_own<C>(spaces: &mut BTreeMap<String, Space>, entries: &[Entry<C>]) {
    for entry in entries {
        spaces.entry(entry.name.to_owned()).or_insert_with(|| {
            let ranges = entry.tuned.iter();
            ranges
                .map(|(option, sampler)| ((*option).to_owned(), Range::from(*sampler)))
                .collect()
        });
    }
}

impl From<Sampler> for Range {
    fn from(sampler: Sampler) -> Self {
        let choice = |of: Vec<Value>| Self::Choice { of };
        match sampler {
            Sampler::LogUniform(low, high) => Self::LogUniform { low, high },
            Sampler::Uniform(low, high) => Self::Uniform { low, high },
            Sampler::Whole(of) => choice(of.iter().map(|value| (*value).into()).collect()),
            Sampler::Word(of) => choice(of.iter().map(|value| (*value).into()).collect()),
            Sampler::Switch(of) => choice(of.iter().map(|value| (*value).into()).collect()),
        }
    }
}

impl Range {
    fn draw(&self, stream: &mut Stream) -> Value {
        match self {
            Self::LogUniform { low, high } => rounded(
                libm::exp(stream.uniform(libm::log(*low), libm::log(*high))),
                *low,
                *high,
            ),
            Self::Uniform { low, high } => rounded(stream.uniform(*low, *high), *low, *high),
            Self::Choice { of } => of.get(stream.below(of.len())).cloned().unwrap_or_default(),
        }
    }

    /// Whether there is something to draw.
    fn check(&self) -> Result<(), String> {
        match self {
            Self::LogUniform { low, high } if !(*low > 0.0 && low < high && high.is_finite()) => Err(format!(
                "log_uniform needs 0 < low < high, got low {low} and high {high}"
            )),
            Self::Uniform { low, high } if !(low.is_finite() && low < high && high.is_finite()) => {
                Err(format!("uniform needs low < high, got low {low} and high {high}"))
            }
            Self::Choice { of } if of.is_empty() => Err("choice needs at least one value, got none".to_owned()),
            _ => Ok(()),
        }
    }

    /// Values that stand for all it can give.
    fn examples(&self) -> Vec<Value> {
        match self {
            Self::LogUniform { low, high } | Self::Uniform { low, high } => vec![(*low).into(), (*high).into()],
            Self::Choice { of } => of.clone(),
        }
    }
}

/// Three digits are read easily, and more would not be a different setting.
fn rounded(value: f64, low: f64, high: f64) -> Value {
    let short: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    Value::from(short.clamp(low, high))
}

/// Whether whoever has the option takes every value of the range.
fn accepted(range: &Range, option: &str, takes: impl Fn(&Options) -> Result<(), String>) -> Result<(), String> {
    range.examples().into_iter().try_for_each(|value| {
        let mut options = Options::new();
        insert(&mut options, option, value.clone());
        takes(&options).map_err(|reason| format!("{reason} (for the value {value})"))
    })
}

/// Whether training takes these options beside the defaults.
fn training(options: &Options) -> Result<(), String> {
    let mut all = match serde_json::to_value(Training::default()) {
        Ok(Value::Object(all)) => all,
        _ => Map::new(),
    };
    lay_over(&mut all, options);
    let training: Training = serde_json::from_value(Value::Object(all)).map_err(|error| error.to_string())?;
    training.optimizer.check().map_err(|error| error.to_string())
}

/// A method, one of its options if it is about one, and what is wrong.
type Refusal = (String, Option<String>, String);

fn methods<C>(spaces: &BTreeMap<String, Space>, entries: &[Entry<C>]) -> Result<(), Refusal> {
    for (method, space) in spaces {
        let Some(entry) = entries.iter().find(|entry| entry.name == method) else {
            let known: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
            let what = format!("there is no such method, expected one of {}", known.join(", "));
            return Err((method.clone(), None, what));
        };
        for (option, range) in space {
            range
                .check()
                .and_then(|()| accepted(range, option, |options| (entry.resolve)(options).map(|_| ())))
                .map_err(|what| (method.clone(), Some(option.clone()), what))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
