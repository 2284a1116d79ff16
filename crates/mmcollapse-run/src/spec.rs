//! An experiment's `spec.yaml`: which methods, protocols and rates, and what each preset makes of them.
//!
//! ```yaml
//! dataset: avmnist
//! modality: sound                      # the one that goes missing
//! rates: [0.95, 0.90]                  # share of samples that lack it
//! protocols: [test_missing, train_availability]
//! training: {epochs: 60}               # of every method; what is not said takes the documented default
//! fusions:
//!   concat: {config: {method: concat}}
//! reallocations:
//!   none: {config: {method: none}}
//!   ebr: {config: {method: ebr, regime: stable}, training: {epochs: 120}, cost: 2}
//! rows:
//!   - {fusion: [concat], reallocation: [none, ebr]}     # every pair: rows `concat` and `concat+ebr`
//! presets:
//!   quick: {seeds: 10, seconds: 20}
//! ```
//!
//! `"{modality}"` as an option of a reallocation is the modality that the experiment is about: `modality`, or the first of
//! `modalities`. So a spec has it replaced by `{method: kd, student: "{modality}"}` on every data set.
//!
//! Later entries win over earlier ones: the spec, its method, the preset, the preset's method. A key that is
//! not known is refused with its line.

use mmcollapse_data::own::Adapted;
use mmcollapse_record::{Dose, ExperimentInfo, Levels, Preset, ProtocolKind};
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

mod check;
mod error;

pub use error::SpecError;
pub(crate) use error::read_yaml;

const SPEC_HELP: &str = "the head of crates/mmcollapse-run/src/spec.rs describes the form of a spec";

/// What `spec.yaml` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Name of the data set; with `tasks`, of the source that it is made of.
    pub dataset: String,
    /// The data set that the file names, whatever [`Spec::on`] made of it.
    #[serde(skip)]
    own_dataset: String,
    /// The data set of the paper's numbers, where that is another one.
    pub paper_dataset: Option<String>,
    /// The labels that are predicted, each by models of its own: `TASK` of the data set `DATASET-TASK`. A data set that
    /// has one label has none.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// The modality that goes missing, is corrupted or weighs more; `missing` is about all.
    pub modality: Option<String>,
    /// The modalities that models have, in this order; all of the data set if none is named. `modalities` counts them off
    /// from the first.
    #[serde(default)]
    pub modalities: Vec<String>,
    /// Levels of the protocols: missing or noise rates in [0, 1], values of beta, or numbers of modalities.
    pub rates: Vec<f64>,
    /// What happens to it.
    pub protocols: Vec<ProtocolKind>,
    /// Measures of each model's representation beyond those of its protocol, by their key: `rank_effective`, `cka_{}`. They
    /// are no part of a cell's key: finished cells are measured from their weights.
    #[serde(default)]
    pub measures: Vec<String>,
    /// What differs on other data sets, by their names.
    #[serde(default)]
    pub datasets: BTreeMap<String, OnDataset>,
    /// Encoder of each modality by its name or kind; a modality not named takes the one made for its shape.
    #[serde(default)]
    pub encoders: Map<String, Value>,
    /// Training settings of every method.
    #[serde(default)]
    pub training: Map<String, Value>,
    /// Fusions by the name they have in rows.
    pub fusions: BTreeMap<String, Method>,
    /// Reallocations by the name they have in rows; `none` is left out of a row's name.
    #[serde(default)]
    pub reallocations: BTreeMap<String, Method>,
    /// What the table's rows are.
    pub rows: Vec<RowGroup>,
    /// What each preset makes of it.
    pub presets: BTreeMap<Preset, PresetSpec>,
}

/// What differs on another data set than the spec's own; what is not said stays.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnDataset {
    /// See [`Spec::modality`].
    pub modality: Option<String>,
    /// See [`Spec::modalities`].
    pub modalities: Option<Vec<String>>,
    /// See [`Spec::rates`]; of every preset.
    pub rates: Option<Vec<f64>>,
    /// See [`Spec::measures`].
    pub measures: Option<Vec<String>>,
}

/// Settings that several experiments share, in a file of their own: the experiment's spec is laid over them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    #[serde(default)]
    encoders: Map<String, Value>,
    #[serde(default)]
    training: Map<String, Value>,
    /// Those that a spec does not have itself.
    #[serde(default)]
    reallocations: BTreeMap<String, Method>,
    #[serde(default)]
    presets: BTreeMap<Preset, CommonPreset>,
}

/// What the presets of several experiments share.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommonPreset {
    #[serde(default)]
    encoders: Map<String, Value>,
    #[serde(default)]
    training: Map<String, Value>,
    /// What differs for a reallocation that the preset itself says nothing of.
    #[serde(default)]
    reallocations: BTreeMap<String, Method>,
    /// See [`PresetSpec::datasets`].
    #[serde(default)]
    datasets: BTreeMap<String, PresetOnDataset>,
}

/// What a preset makes of another data set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetOnDataset {
    /// Training settings that differ from the preset's: a data set of another size takes as many steps in other epochs.
    #[serde(default)]
    pub training: Map<String, Value>,
    /// Rows instead of the preset's, where a training takes too long for all of them.
    pub rows: Option<Vec<RowGroup>>,
}

/// A method with what it needs of its own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Its name for readers, instead of one made from the name it has in rows.
    pub title: Option<String>,
    /// `{method: ..., option: ...}`, as `mmcollapse list methods` prints it.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Training settings that differ from the spec's.
    #[serde(default)]
    pub training: Map<String, Value>,
    /// What stands in for a missing modality; left to the reallocation if not said.
    #[serde(default)]
    pub substitution: Map<String, Value>,
    /// How training weighs the modalities, `{method: modality_dropout, rate: 0.5}`; as the fusion has it if not said.
    #[serde(default)]
    pub balancing: Map<String, Value>,
    /// Whether it is a control that the paper does not have, though it has the method: no number of its stands beside it.
    #[serde(default)]
    pub control: bool,
    /// The name of its control among the same methods: all else equal, without the part that a claim is about.
    pub twin: Option<String>,
    /// How much it has of what the control has nothing of: `{series: "reversal", at: 0.3}`.
    pub dose: Option<Dose>,
    /// Whether it says something only where its manipulation check passes: a tuning chooses among settings that do.
    #[serde(default)]
    pub checked: bool,
    /// How many times as long as the plainest method it takes, roughly: for estimates before anything ran.
    pub cost: Option<f64>,
}

/// Rows of a table: every fusion with every reallocation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowGroup {
    /// Names of fusions.
    pub fusion: Vec<String>,
    /// Names of reallocations.
    pub reallocation: Vec<String>,
    /// The first so many seeds instead of all: for rows that take very long.
    pub seeds: Option<u64>,
    /// Of the preset's protocols only these.
    pub protocols: Option<Vec<ProtocolKind>>,
    /// Of the preset's levels only these, in protocols that train once a level.
    pub rates: Option<Vec<f64>>,
}

/// What a preset makes of the spec.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetSpec {
    /// Number of seeds.
    pub seeds: u64,
    /// The first of them, if not 0: what confirms a result is trained on seeds that suggested nothing.
    #[serde(default)]
    pub first_seed: u64,
    /// Seconds that a cell of cost 1 takes, roughly: for estimates before anything ran.
    pub seconds: f64,
    /// Instead of the spec's rates.
    pub rates: Option<Vec<f64>>,
    /// Instead of the spec's protocols.
    pub protocols: Option<Vec<ProtocolKind>>,
    /// Instead of the spec's rows.
    pub rows: Option<Vec<RowGroup>>,
    /// Encoders instead of the spec's, by modality.
    #[serde(default)]
    pub encoders: Map<String, Value>,
    /// Training settings that differ from the spec's and from the methods' own.
    #[serde(default)]
    pub training: Map<String, Value>,
    /// What differs on other data sets, by their names.
    #[serde(default)]
    pub datasets: BTreeMap<String, PresetOnDataset>,
    /// What differs for a fusion.
    #[serde(default)]
    pub fusions: BTreeMap<String, Method>,
    /// What differs for a reallocation.
    #[serde(default)]
    pub reallocations: BTreeMap<String, Method>,
}

impl PresetSpec {
    /// The rows that other data sets have instead.
    fn rows_elsewhere(&self) -> impl Iterator<Item = &Vec<RowGroup>> {
        self.datasets.values().filter_map(|differs| differs.rows.as_ref())
    }
}

/// One row of a table, resolved to its methods.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its name: `fusion+reallocation`, or the fusion's alone for reallocation `none`.
    pub name: String,
    /// Name of the fusion.
    pub fusion: String,
    /// Name of the reallocation.
    pub reallocation: String,
    /// The first so many seeds instead of all.
    pub seeds: Option<u64>,
    /// See [`RowGroup::protocols`].
    pub protocols: Option<Vec<ProtocolKind>>,
    /// See [`RowGroup::rates`].
    pub rates: Option<Vec<f64>>,
}

impl Row {
    /// Each row of the groups, in their order.
    fn of(groups: &[RowGroup]) -> Vec<Self> {
        let mut rows = Vec::new();
        for group in groups {
            for fusion in &group.fusion {
                for reallocation in &group.reallocation {
                    let name = match reallocation.as_str() {
                        "none" => fusion.clone(),
                        reallocation => format!("{fusion}+{reallocation}"),
                    };
                    rows.push(Self {
                        name,
                        fusion: fusion.clone(),
                        reallocation: reallocation.clone(),
                        seeds: group.seeds,
                        protocols: group.protocols.clone(),
                        rates: group.rates.clone(),
                    });
                }
            }
        }
        rows
    }
}

impl Spec {
    /// Reads the spec of an experiment.
    ///
    /// # Errors
    /// What is not YAML, a key that is not known or given twice, a row of a method that is not there: each
    /// with its line.
    pub fn of(experiment: &ExperimentInfo) -> Result<Self, Box<SpecError>> {
        let common = match experiment.common {
            Some((path, text)) => read_yaml(
                path,
                text,
                "it may hold `encoders`, `training`, `reallocations` and, in `presets`, all of them again and `datasets`",
            )?,
            None => Common::default(),
        };
        Self::parse_on(common, &experiment.spec_path(), experiment.spec)
    }

    /// Lays the spec over what several experiments share.
    fn lay_on(&mut self, common: Common) {
        let under = |own: &mut Map<String, Value>, mut shared: Map<String, Value>| {
            lay_over(&mut shared, own);
            *own = shared;
        };
        let add = |own: &mut BTreeMap<String, Method>, shared: BTreeMap<String, Method>| {
            for (name, method) in shared {
                own.entry(name).or_insert(method);
            }
        };
        under(&mut self.encoders, common.encoders);
        under(&mut self.training, common.training);
        add(&mut self.reallocations, common.reallocations);
        for (preset, shared) in common.presets {
            if let Some(own) = self.presets.get_mut(&preset) {
                under(&mut own.encoders, shared.encoders);
                under(&mut own.training, shared.training);
                add(&mut own.reallocations, shared.reallocations);
                for (dataset, shared) in shared.datasets {
                    let own = own.datasets.entry(dataset).or_default();
                    under(&mut own.training, shared.training);
                    own.rows = own.rows.take().or(shared.rows);
                }
            }
        }
    }

    /// The same experiment on another data set.
    pub fn on(&mut self, dataset: &str) {
        dataset.clone_into(&mut self.dataset);
        for preset in self.presets.values_mut() {
            if let Some(differs) = preset.datasets.get(dataset) {
                lay_over(&mut preset.training, &differs.training);
                preset.rows = differs.rows.clone().or(preset.rows.take());
            }
        }
        let Some(differs) = self.datasets.get(dataset).cloned() else {
            return;
        };
        self.modality = differs.modality.or(self.modality.take());
        self.modalities = differs
            .modalities
            .unwrap_or_else(|| std::mem::take(&mut self.modalities));
        self.measures = differs.measures.unwrap_or_else(|| std::mem::take(&mut self.measures));
        if let Some(rates) = differs.rates {
            self.presets.values_mut().for_each(|preset| preset.rates = None);
            self.rates = rates;
        }
    }

    /// What a user's own data set makes of it, unless the spec says what becomes of it there: its modality, its modalities, one
    /// level for each number of them, its encoders and its training. What the spec says of encoders is about other data: a series of
    /// its own may be longer than those.
    pub fn adapt(&mut self, own: &Adapted) {
        if !self.datasets.contains_key(&self.dataset) {
            self.modality = self.modality.take().map(|_| own.modality.clone());
            if !self.modalities.is_empty() {
                self.modalities.clone_from(&own.modalities);
            }
            if self
                .protocols
                .iter()
                .any(|protocol| protocol.levels() == Levels::Counts)
            {
                self.presets.values_mut().for_each(|preset| preset.rates = None);
                self.rates = (2..=own.modalities.len()).map(|count| count as f64).collect();
            }
        }
        self.ask_alone(&own.modalities);
        self.encoders.clone_from(&own.encoders);
        for preset in self.presets.values_mut() {
            preset.encoders.clear();
            lay_over(&mut preset.training, &own.training);
        }
    }

    /// Where rows keep only a modality that is not among `modalities`, rows that keep each of these instead.
    fn ask_alone(&mut self, modalities: &[String]) {
        let of_another = |method: &Method| {
            let alone = method.config.get("modality").and_then(Value::as_str);
            let is_only = method.config.get("method").and_then(Value::as_str) == Some("only");
            is_only && alone.is_some_and(|alone| !modalities.iter().any(|known| known == alone))
        };
        let gone: BTreeMap<String, Method> = self
            .reallocations
            .iter()
            .filter(|(_, method)| of_another(method))
            .map(|(name, method)| (name.clone(), method.clone()))
            .collect();
        let Some(like) = gone.values().next() else { return };
        let name = |modality: &String| format!("{modality}_only");
        for modality in modalities {
            let mut method = like.clone();
            method.title = None;
            method
                .config
                .insert("modality".to_owned(), Value::from(modality.clone()));
            self.reallocations.insert(name(modality), method);
        }
        let of_presets = self.presets.values_mut().flat_map(|preset| &mut preset.rows);
        for group in self.rows.iter_mut().chain(of_presets.flatten()) {
            let before = group.reallocation.len();
            group.reallocation.retain(|row| !gone.contains_key(row));
            if group.reallocation.len() < before {
                group.reallocation.extend(modalities.iter().map(name));
            }
        }
    }

    /// The data set, where the paper's numbers are of another one: its results stand apart.
    pub fn other_dataset(&self) -> Option<&str> {
        let paper = self.paper_dataset.as_ref().unwrap_or(&self.own_dataset);
        (self.dataset != *paper).then_some(&self.dataset)
    }

    /// Reads a spec; `path` is for messages only.
    ///
    /// # Errors
    /// See [`Spec::of`].
    pub fn parse(path: &str, text: &str) -> Result<Self, Box<SpecError>> {
        Self::parse_on(Common::default(), path, text)
    }

    fn parse_on(common: Common, path: &str, text: &str) -> Result<Self, Box<SpecError>> {
        let mut spec: Self = read_yaml(path, text, SPEC_HELP)?;
        spec.lay_on(common);
        check::check(&spec)
            .map_err(|fault| Box::new(SpecError::near(path, text, &fault.word, &fault.what, SPEC_HELP)))?;
        spec.own_dataset.clone_from(&spec.dataset);
        Ok(spec)
    }

    /// The data sets that are trained on, each with its task, if there are several.
    pub fn datasets(&self) -> Vec<(String, Option<String>)> {
        if self.tasks.is_empty() {
            return vec![(self.dataset.clone(), None)];
        }
        let of = |task: &String| (format!("{}-{task}", self.dataset), Some(task.clone()));
        self.tasks.iter().map(of).collect()
    }

    /// Protocols and levels of a preset: its own, else the spec's.
    pub fn levels<'a>(&'a self, preset: Option<&'a PresetSpec>) -> (&'a [ProtocolKind], &'a [f64]) {
        (
            preset
                .and_then(|preset| preset.protocols.as_deref())
                .unwrap_or(&self.protocols),
            preset.and_then(|preset| preset.rates.as_deref()).unwrap_or(&self.rates),
        )
    }

    /// The rows of a preset, in the order of the spec.
    pub fn rows(&self, preset: &PresetSpec) -> Vec<Row> {
        Row::of(preset.rows.as_ref().unwrap_or(&self.rows))
    }

    /// Of these rows the one that `row` is the control of, if it is one: it differs from that one in a single thing.
    pub fn controlled<'a>(&self, rows: &'a [Row], row: &Row) -> Option<&'a Row> {
        let method = |row: &Row| self.reallocations.get(&row.reallocation);
        let is_control = method(row).is_some_and(|method| method.control);
        rows.iter().filter(|_| is_control).find(|other| {
            let twin = method(other).and_then(|method| method.twin.as_ref());
            other.fusion == row.fusion && twin == Some(&row.reallocation)
        })
    }
}

/// Lays `over` on `base`: maps are merged key by key, everything else is replaced. A map that names another
/// `method` or `kind` than the one below it replaces it whole, since the options of one mean nothing to another.
pub fn lay_over(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    for name in ["method", "kind"] {
        if let (Some(below), Some(above)) = (base.get(name), over.get(name))
            && below != above
        {
            base.clear();
        }
    }
    for (name, value) in over {
        match (base.get_mut(name), value) {
            (Some(Value::Object(below)), Value::Object(above)) => lay_over(below, above),
            _ => {
                base.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
