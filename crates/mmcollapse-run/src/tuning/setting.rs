//! A setting: the options that a trial changes, and a spec in which a row has them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::spec::{Method, Row, RowGroup, Spec, lay_over};
use mmcollapse_record::Preset;

/// Options of a row that differ from its spec; none is the spec's own setting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setting {
    /// Options of the fusion.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub fusion: Map<String, Value>,
    /// Options of the reallocation.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub reallocation: Map<String, Value>,
    /// Options of the balancing.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub balancing: Map<String, Value>,
    /// Training options.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub training: Map<String, Value>,
}

impl Setting {
    /// Drops what the spec states for the row: a row that sets an option is there for the sake of it.
    pub(super) fn keep_stated(&mut self, spec: &Spec, preset: Preset, row: &Row) {
        let stated = |methods: &BTreeMap<String, Method>, name: &str, option: &String| {
            methods
                .get(name)
                .is_some_and(|method| method.config.contains_key(option))
        };
        let balanced = |methods: &BTreeMap<String, Method>, name: &str, option: &String| {
            methods
                .get(name)
                .is_some_and(|method| method.balancing.contains_key(option))
        };
        let preset = spec.presets.get(&preset);
        self.fusion.retain(|option, _| {
            !stated(&spec.fusions, &row.fusion, option)
                && !preset.is_some_and(|preset| stated(&preset.fusions, &row.fusion, option))
        });
        self.balancing.retain(|option, _| {
            let by = |fusions, reallocations| {
                balanced(fusions, &row.fusion, option) || balanced(reallocations, &row.reallocation, option)
            };
            !by(&spec.fusions, &spec.reallocations)
                && !preset.is_some_and(|preset| by(&preset.fusions, &preset.reallocations))
        });
        self.reallocation.retain(|option, _| {
            !stated(&spec.reallocations, &row.reallocation, option)
                && !preset.is_some_and(|preset| stated(&preset.reallocations, &row.reallocation, option))
        });
    }

    /// The spec with this row alone, set like this: stronger than everything the spec says.
    pub(super) fn applied(&self, spec: &Spec, preset: Preset, row: &Row) -> Spec {
        let mut spec = spec.clone();
        if let Some(preset) = spec.presets.get_mut(&preset) {
            preset.rows = Some(vec![RowGroup {
                fusion: vec![row.fusion.clone()],
                reallocation: vec![row.reallocation.clone()],
                seeds: row.seeds,
                protocols: row.protocols.clone(),
                rates: row.rates.clone(),
            }]);
            let fusion = preset.fusions.entry(row.fusion.clone()).or_default();
            lay_over(&mut fusion.config, &self.fusion);
            // The reallocation's entry of a preset is the last to be laid over a row's training and balancing.
            let reallocation = preset.reallocations.entry(row.reallocation.clone()).or_default();
            lay_over(&mut reallocation.config, &self.reallocation);
            lay_over(&mut reallocation.balancing, &self.balancing);
            lay_over(&mut reallocation.training, &self.training);
        }
        spec
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = Vec::new();
        for map in [&self.fusion, &self.reallocation, &self.balancing, &self.training] {
            list("", map, &mut options);
        }
        if options.is_empty() {
            formatter.write_str("as the spec says")
        } else {
            formatter.write_str(&options.join(", "))
        }
    }
}

fn list(before: &str, map: &Map<String, Value>, options: &mut Vec<String>) {
    for (name, value) in map {
        match value {
            Value::Object(map) => list(&format!("{before}{name}."), map, options),
            value => options.push(format!("{before}{name} {value}")),
        }
    }
}

/// Puts a value where a dotted name leads.
pub(super) fn insert(map: &mut Map<String, Value>, name: &str, value: Value) {
    let value = match name.split_once('.') {
        None => Map::from_iter([(name.to_owned(), value)]),
        Some((first, rest)) => {
            let mut inner = Map::new();
            insert(&mut inner, rest, value);
            Map::from_iter([(first.to_owned(), Value::Object(inner))])
        }
    };
    lay_over(map, &value);
}
