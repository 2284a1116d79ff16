//! A cell: one fully resolved training run, the key it is stored under, and what came out of it.
//!
//! A cell's configuration is plain JSON here. Only the plan, which resolves it, and the worker, which trains
//! it, know the types of `mmcollapse-models`; store, runner and report do not.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::{fmt, str};

use mmcollapse_files::sha256;
use mmcollapse_record::{Definition, Outcome, Protocol};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Hex digits of the key that name a cell's folder.
const FOLDER_DIGITS: usize = 16;

/// One training run: all that decides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Resolved configuration: every option is spelt out, no default is left to be filled in.
    pub config: Value,
    /// Digest of the data it is trained and scored on.
    pub data_digest: String,
    /// Revisions of the methods it uses and of the training loop.
    pub revision: String,
}

impl Cell {
    /// The key: SHA-256 of the canonical JSON of configuration, data digest and revision.
    ///
    /// The same cell of two experiments has the same key and is trained once.
    pub fn key(&self) -> CellKey {
        let inputs = serde_json::json!({
            "config": self.config,
            "data": self.data_digest,
            "revision": self.revision,
        });
        CellKey(sha256(canonical(&inputs).as_bytes()))
    }

    /// The measures that an outcome of this cell lacks of those of its protocol and of those asked for by key.
    pub fn lacking(&self, outcome: &Outcome, asked: &[String]) -> Vec<&'static Definition> {
        // A configuration that is no cell's has no protocol, and is told by who reads it.
        let Ok(protocol) = Protocol::deserialize(&self.config["protocol"]) else {
            return Vec::new();
        };
        let kind = protocol.kind();
        let reallocation = self.config["reallocation"]["method"].as_str().unwrap_or_default();
        Definition::measured_in(kind, reallocation, asked)
            .filter(|definition| outcome.lacks(kind, definition))
            .collect()
    }

    /// Its seed.
    pub fn seed(&self) -> Option<u64> {
        self.config["seed"].as_u64()
    }

    /// What runs of nearly equal cost have in common: the configuration without its seed, as canonical JSON.
    pub fn kind(&self) -> String {
        let mut config = self.config.clone();
        if let Value::Object(fields) = &mut config {
            fields.remove("seed");
        }
        canonical(&config)
    }
}

/// SHA-256 of what decides a cell's numbers, as 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CellKey(String);

impl CellKey {
    /// All 64 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 16 hex digits: the name of the cell's folder in the store.
    pub fn folder(&self) -> &str {
        self.0.get(..FOLDER_DIGITS).unwrap_or(&self.0)
    }
}

/// Keys are looked up by their digits.
impl Borrow<str> for CellKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CellKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.folder())
    }
}

/// JSON with sorted keys and no spaces: equal values give equal text, whatever the map type of the parser.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            text.push('{');
            for (position, (name, value)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                let _ = write!(text, "{}:", Value::from(name.as_str()));
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for (position, value) in values.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_canonical(value, text);
            }
            text.push(']');
        }
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> Cell {
        Cell {
            config: serde_json::from_str(text).unwrap(),
            data_digest: "d1".into(),
            revision: "training 1, concat 1".into(),
        }
    }

    /// A change of this value means that every store in the world is forgotten: raise a revision instead.
    /// The text hashed is
    /// `{"config":{"fusion":{"method":"concat"},"rates":[0.95,0.9],"seed":3},"data":"d1","revision":"training 1, concat 1"}`;
    /// `printf '%s' TEXT | sha256sum` gives the key.
    #[test]
    fn keys_are_stable() {
        let cell = cell(r#"{"seed": 3, "fusion": {"method": "concat"}, "rates": [0.95, 0.90]}"#);
        assert_eq!(cell.key().as_str(), KEY);
        assert_eq!(cell.key().folder(), &KEY[..16]);
    }
    const KEY: &str = "6ce6c45f5c8ba7f92a39c930fbc2d8a66f2814fd3cf4a19c240de053ef0486e4";

    #[test]
    fn keys_ignore_the_order_of_fields_and_nothing_else() {
        let one = cell(r#"{"a": 1, "b": {"c": [1, 2], "d": "x"}}"#);
        let same = cell(r#"{"b": {"d": "x", "c": [1, 2]}, "a": 1}"#);
        assert_eq!(one.key(), same.key());
        let order = cell(r#"{"a": 1, "b": {"c": [2, 1], "d": "x"}}"#);
        assert_ne!(one.key(), order.key());
        let mut data = one.clone();
        data.data_digest = "d2".into();
        assert_ne!(one.key(), data.key());
        let mut revision = one.clone();
        revision.revision = "training 2, concat 1".into();
        assert_ne!(one.key(), revision.key());
    }

    #[test]
    fn seeds_are_no_part_of_the_kind() {
        assert_eq!(
            cell(r#"{"a": 1, "seed": 1}"#).kind(),
            cell(r#"{"a": 1, "seed": 2}"#).kind()
        );
        assert_ne!(
            cell(r#"{"a": 1, "seed": 1}"#).kind(),
            cell(r#"{"a": 2, "seed": 1}"#).kind()
        );
    }
}
