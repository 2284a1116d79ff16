//! From a spec to the cells of a preset, fully resolved and each with its key.

use mmcollapse_files::sha256;
use mmcollapse_record::{
    ExperimentInfo, Levels, MethodName, Outcome, Preset, Protocol, ProtocolKind, Record, RowId, Setting, same_level,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use miette::{Result, WrapErr};
use mmcollapse_data::Kind;
use serde_json::{Map, Value, json};

use crate::cell::{Cell, CellKey, canonical};
use crate::spec::{Method, PresetSpec, Row, Spec, SpecError, lay_over};

mod filter;

pub use filter::{Filter, FilterError};

/// What the plan has to ask: how a configuration resolves, and which data it will meet.
pub trait Resolver {
    /// The configuration with every default filled in, and the revision of what it uses.
    ///
    /// # Errors
    /// The reason it is refused, for example a key that is not known.
    fn resolve(&self, config: Value) -> Result<(Value, String), String>;

    /// Digest of the data that a cell of this seed is trained and scored on; asked for each cell, so the answer
    /// should be kept.
    ///
    /// # Errors
    /// If the data set is not known or not there.
    fn data_digest(&mut self, dataset: &str, seed: u64) -> Result<String>;

    /// Says that a plan is complete.
    fn planned(&mut self) {}
}

/// The cells of an experiment under a preset.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the experiment.
    pub experiment: String,
    /// The preset.
    pub preset: Preset,
    /// The cells: rows in the order of the spec, then protocols, rates, seeds.
    pub cells: Vec<Planned>,
    /// Digest of each data set.
    pub data: BTreeMap<String, String>,
    /// What the preset has in all, whichever of its cells were selected.
    pub whole: Whole,
}

/// The size of a preset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Its cells.
    pub cells: usize,
    /// Its seeds.
    pub seeds: usize,
}

/// A cell and its place in the experiment.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The cell.
    pub cell: Cell,
    /// Its key.
    pub key: CellKey,
    /// Row of the table.
    pub row: Row,
    /// The same row with the methods that it resolves to.
    pub id: RowId,
    /// Protocol and label under which its numbers stand in tables.
    pub setting: Setting,
    /// The protocol with its parameters.
    pub protocol: Protocol,
    /// The modalities that the model has, in order; empty for all of the data set.
    pub modalities: Vec<String>,
    /// Missing rates it is scored at.
    pub rates: Vec<f64>,
    /// Measures of its representation that the spec asks for beyond its protocol's own.
    pub measures: Vec<String>,
    /// Seed.
    pub seed: u64,
    /// Seconds after the spec's rough figures.
    pub rough_seconds: f64,
}

impl Planned {
    /// Its name in progress and errors, for example `shaspec+ebr, test_missing, seed 3`.
    pub fn label(&self) -> String {
        let protocol = self.setting.protocol;
        let level = match (protocol.levels(), &self.rates[..]) {
            (Levels::Counts, [count]) => format!(" of {count}"),
            (Levels::Weights, [beta]) => format!(" by {beta}"),
            (Levels::Amounts, [amount]) => format!(" at {amount}"),
            (Levels::Shares, [rate]) if !protocol.is_trained_once() && protocol.has_levels() => {
                format!(" at {}", percent(*rate))
            }
            _ => String::new(),
        };
        format!("{}, {}{level}, seed {}", self.row.name, self.setting, self.seed)
    }

    /// What it left, with its place in the experiment.
    pub fn record(&self, mut outcome: Outcome) -> Record {
        outcome.keep_asked(&self.measures);
        Record {
            row: self.id.clone(),
            setting: self.setting.clone(),
            protocol: self.protocol.clone(),
            modalities: self.modalities.clone(),
            config: sha256(canonical(&self.cell.config).as_bytes()),
            key: self.key.as_str().to_owned(),
            seed: self.seed,
            outcome,
        }
    }
}

/// A share as percent without needless digits.
fn percent(share: f64) -> String {
    format!("{}%", (share * 1e4).round() / 1e2)
}

/// Which cells of an experiment to take; all if nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Number of seeds instead of the preset's.
    pub seeds: Option<u64>,
    /// The first of them, if not the preset's.
    pub first_seed: Option<u64>,
    /// What cells must meet.
    pub only: Filter,
}

impl Selection {
    /// The seeds that it takes of a preset.
    pub fn range(&self, preset: &PresetSpec) -> Range<u64> {
        let first = self.first_seed.unwrap_or(preset.first_seed);
        first..first.saturating_add(self.seeds.unwrap_or(preset.seeds))
    }
}

impl Plan {
    /// Expands an experiment's spec.
    ///
    /// # Errors
    /// A spec that cannot be read or used (with its line), a filter that selects nothing, data that is not
    /// there.
    pub fn new(
        experiment: &ExperimentInfo,
        preset: Preset,
        selection: &Selection,
        resolver: &mut dyn Resolver,
    ) -> Result<Self> {
        let spec = Spec::of(experiment).map_err(|error| *error)?;
        Self::of(experiment, &spec, preset, selection, resolver)
    }

    /// Expands a spec that may differ from what its experiment's file says.
    ///
    /// # Errors
    /// See [`Plan::new`].
    pub fn of(
        experiment: &ExperimentInfo,
        spec: &Spec,
        preset: Preset,
        selection: &Selection,
        resolver: &mut dyn Resolver,
    ) -> Result<Self> {
        let Some(settings) = spec.presets.get(&preset) else {
            let known: Vec<String> = spec.presets.keys().map(ToString::to_string).collect();
            return Err(SpecError::near(
                &experiment.spec_path(),
                experiment.spec,
                "presets",
                &format!("there is no preset `{preset}`"),
                &format!("known: {}", known.join(", ")),
            )
            .into());
        };
        let Range { start: first, end } = selection.range(settings);
        let mut digests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut cells = Vec::new();
        let mut whole = Whole {
            cells: 0,
            seeds: settings.seeds as usize,
        };
        for row in spec.rows(settings) {
            let rough_seconds = settings.seconds * cost(spec, settings, &row);
            let end = row.seeds.map_or(end, |own| end.min(first.saturating_add(own)));
            let of_protocols = settings_of_protocols(spec, settings, &row);
            let seeds = row.seeds.map_or(settings.seeds, |own| own.min(settings.seeds)) as usize;
            whole.cells += seeds * of_protocols.len() * spec.datasets().len();
            for (dataset, task) in spec.datasets() {
                for ((protocol, rates), seed) in of_protocols
                    .iter()
                    .flat_map(|of| (first..end).map(move |seed| (of, seed)))
                {
                    let protocol = *protocol;
                    if !selection.only.admits(&row, protocol, rates, seed) {
                        continue;
                    }
                    let dataset = protocol.dataset(&dataset, rates);
                    let config = configuration(spec, settings, &dataset, &row, protocol, rates, seed);
                    let (config, revision) = resolver
                        .resolve(config)
                        .map_err(|reason| refused(experiment, &row, &reason))?;
                    let data_digest = resolver
                        .data_digest(&dataset, seed)
                        .wrap_err_with(|| format!("data set `{dataset}`"))?;
                    digests.entry(dataset.clone()).or_default().insert(data_digest.clone());
                    let cell = Cell {
                        config,
                        data_digest,
                        revision,
                    };
                    cells.push(Planned {
                        key: cell.key(),
                        id: row_id(spec, &row, &cell.config),
                        cell,
                        row: row.clone(),
                        setting: Setting {
                            task: task.clone(),
                            protocol,
                        },
                        protocol: protocol.on(spec.modality.as_deref().unwrap_or_default(), rates),
                        modalities: modalities(spec, protocol, rates).to_vec(),
                        rates: rates.clone(),
                        measures: spec.measures.clone(),
                        seed,
                        rough_seconds,
                    });
                }
            }
        }
        resolver.planned();
        if cells.is_empty() {
            let rows: Vec<String> = spec.rows(settings).into_iter().map(|row| row.name).collect();
            return Err(FilterError {
                filter: selection.only.text(),
                what: format!(
                    "no cell of `{}` is like that; its rows are {}",
                    experiment.name,
                    rows.join(", ")
                ),
            }
            .into());
        }
        if let Some((row, same)) = twice(&cells) {
            let reason = format!(
                "it trains the cells of `{}` once more: a preset lays its settings over those of a fusion",
                same.name
            );
            return Err(refused(experiment, row, &reason).into());
        }
        // Each seed draws its own samples; one digest stands for them all.
        let one = |digests: BTreeSet<String>| {
            let digests: Vec<String> = digests.into_iter().collect();
            match &digests[..] {
                [digest] => digest.clone(),
                _ => sha256(digests.join("\n").as_bytes()),
            }
        };
        Ok(Self {
            experiment: experiment.name.to_owned(),
            preset,
            cells,
            whole,
            data: digests
                .into_iter()
                .map(|(name, digests)| (name, one(digests)))
                .collect(),
        })
    }
}

/// A row, and one before it that trains and scores the same: what sets it apart has got lost.
fn twice(cells: &[Planned]) -> Option<(&Row, &Row)> {
    let mut known: BTreeMap<(&CellKey, &Setting), &Row> = BTreeMap::new();
    cells.iter().find_map(|cell| {
        let first = known.entry((&cell.key, &cell.setting)).or_insert(&cell.row);
        (first.name != cell.row.name).then_some((&cell.row, *first))
    })
}

/// Each training of a row: protocol and the rates it is scored at.
fn settings_of_protocols(spec: &Spec, preset: &PresetSpec, row: &Row) -> Vec<(ProtocolKind, Vec<f64>)> {
    let (protocols, rates) = spec.levels(Some(preset));
    let admitted = |rate: &&f64| {
        row.rates
            .as_ref()
            .is_none_or(|own| own.iter().any(|r| same_level(*r, **rate)))
    };
    let mut settings = Vec::new();
    for &protocol in protocols {
        if row.protocols.as_ref().is_some_and(|own| !own.contains(&protocol)) {
            continue;
        }
        if protocol.is_trained_once() || !protocol.has_levels() {
            settings.push((protocol, protocol.on("", rates).levels(0)));
        } else {
            settings.extend(rates.iter().filter(admitted).map(|rate| (protocol, vec![*rate])));
        }
    }
    settings
}

/// The four layers that decide a cell, the strongest last.
fn layers<'a>(spec: &'a Spec, preset: &'a PresetSpec, row: &Row) -> [Option<&'a Method>; 4] {
    [
        spec.fusions.get(&row.fusion),
        spec.reallocations.get(&row.reallocation),
        preset.fusions.get(&row.fusion),
        preset.reallocations.get(&row.reallocation),
    ]
}

fn cost(spec: &Spec, preset: &PresetSpec, row: &Row) -> f64 {
    let [fusion, reallocation, fusion_now, reallocation_now] = layers(spec, preset, row);
    let cost = |methods: [Option<&Method>; 2]| {
        methods
            .into_iter()
            .flatten()
            .filter_map(|method| method.cost)
            .next_back()
            .unwrap_or(1.0)
    };
    cost([fusion, fusion_now]) * cost([reallocation, reallocation_now])
}

/// The row with the methods that a cell's configuration names, as the spec entitles them.
fn row_id(spec: &Spec, row: &Row, config: &Value) -> RowId {
    let method = |axis: &str, entries: &BTreeMap<String, Method>, name: &str| {
        let entry = entries.get(name);
        MethodName {
            name: name.to_owned(),
            method: config[axis]["method"].as_str().unwrap_or(name).to_owned(),
            title: entry.and_then(|entry| entry.title.clone()),
            control: entry.is_some_and(|entry| entry.control),
            twin: entry.and_then(|entry| entry.twin.clone()),
            dose: entry.and_then(|entry| entry.dose.clone()),
        }
    };
    RowId {
        fusion: method("fusion", &spec.fusions, &row.fusion),
        reallocation: method("reallocation", &spec.reallocations, &row.reallocation),
    }
}

/// The modalities of a model: all of the spec's, or the first so many where the level counts them.
fn modalities<'a>(spec: &'a Spec, protocol: ProtocolKind, levels: &[f64]) -> &'a [String] {
    let counted = match protocol.levels() {
        Levels::Counts => levels.first().map_or(0, |level| *level as usize),
        _ => spec.modalities.len(),
    };
    &spec.modalities[..counted.min(spec.modalities.len())]
}

/// A cell's configuration before defaults are filled in.
fn configuration(
    spec: &Spec,
    preset: &PresetSpec,
    dataset: &str,
    row: &Row,
    protocol: ProtocolKind,
    rates: &[f64],
    seed: u64,
) -> Value {
    let [fusion, reallocation, fusion_now, reallocation_now] = layers(spec, preset, row);
    let method = |name: &str, entries: [Option<&Method>; 2]| {
        let mut config = Map::new();
        for entry in entries.into_iter().flatten() {
            lay_over(&mut config, &entry.config);
        }
        // An entry that does not say is the method it is called by.
        config.entry("method").or_insert_with(|| Value::from(name));
        config
    };
    let mut training = spec.training.clone();
    let (mut substitution, mut balancing) = (Map::new(), Map::new());
    let mut lay = |training: &mut Map<String, Value>, entries: [Option<&Method>; 2]| {
        for entry in entries.into_iter().flatten() {
            lay_over(training, &entry.training);
            lay_over(&mut substitution, &entry.substitution);
            lay_over(&mut balancing, &entry.balancing);
        }
    };
    lay(&mut training, [fusion, reallocation]);
    lay_over(&mut training, &preset.training);
    lay(&mut training, [fusion_now, reallocation_now]);
    let modality = spec.modality.as_deref().unwrap_or_default();
    let modalities = modalities(spec, protocol, rates);
    let in_question = spec.modality.as_deref().or(modalities.first().map(String::as_str));
    let mut encoders = spec.encoders.clone();
    encoders.extend(preset.encoders.clone());
    encoders.retain(|name, _| modalities.is_empty() || modalities.contains(name) || Kind::is_name(name));
    let mut config = json!({
        "dataset": dataset,
        "protocol": protocol.on(modality, rates),
        "encoders": encoders,
        "fusion": method(&row.fusion, [fusion, fusion_now]),
        "reallocation": method(&row.reallocation, [reallocation, reallocation_now]),
        "training": training,
        "seed": seed,
    });
    if let Some(name) = in_question {
        fill_in(&mut config["reallocation"], name);
    }
    if !modalities.is_empty() {
        config["modalities"] = json!(modalities);
    }
    for (axis, method) in [("substitution", substitution), ("balancing", balancing)] {
        if !method.is_empty() {
            config[axis] = Value::from(method);
        }
    }
    config
}

/// What stands in an option for the modality that the experiment is about.
const MODALITY: &str = "{modality}";

/// Puts the name of the modality that the experiment is about wherever an option leaves it open.
fn fill_in(options: &mut Value, modality: &str) {
    match options {
        Value::String(text) if text == MODALITY => modality.clone_into(text),
        Value::Object(fields) => fields.values_mut().for_each(|option| fill_in(option, modality)),
        _ => {}
    }
}

/// A method's refusal, with the line of the key it speaks of.
fn refused(experiment: &ExperimentInfo, row: &Row, reason: &str) -> SpecError {
    // serde says: unknown field `x`, expected ...; the key is what stands between the first quotes.
    let key = reason
        .split_once("unknown field `")
        .or_else(|| reason.split_once('`'))
        .and_then(|(_, rest)| rest.split_once('`'))
        .map_or(row.fusion.as_str(), |(key, _)| key);
    SpecError::near(
        &experiment.spec_path(),
        experiment.spec,
        key,
        &format!("row `{}`: {reason}", row.name),
        "`mmcollapse list methods` prints every method with its options and defaults",
    )
}

#[cfg(test)]
mod tests;
