//! PhysioNet's challenge of 2012: 48 hours in intensive care, four modalities, death in hospital.
//!
//! `data/physionet-2012.yaml` says which variables make a modality and within which range a value counts. What the seed
//! draws is which stays are training, validation and test.

mod coverage;
mod record;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mmcollapse_nn::random::Stream;
use serde::Deserialize;

use super::{File, ReadAs};
use crate::archive;
use crate::catalog::{Listed, manifest};
use crate::ehr::{Count, TableCoverage};
use crate::files::FilesSource;
use crate::manifest::read_yaml;
use crate::{DataError, Dataset, DatasetSource, Ids, Kind, LoadOptions, ModalitySpec, Presence, Rows, Samples};
use record::Record;

pub(super) const FILE: File = File {
    sets: || vec![&Physionet2012],
    sources: &[SOURCE],
};

const SOURCE: Listed = manifest!(FilesSource, "physionet-2012");
const NAME: &str = "physionet-2012-mortality";
/// The modality of what is known once a stay.
const ONCE: &str = "static";
/// Hours of a stay, each at most one step of a series.
const HOURS: usize = 48;

/// `data/physionet-2012.yaml`.
#[derive(Clone, Debug, Deserialize)]
struct Recipe {
    #[serde(flatten)]
    source: FilesSource,
    /// By modality and variable the range within which a value counts.
    series: BTreeMap<String, BTreeMap<String, (f64, f64)>>,
    /// Variables that are standardised after ln(1 + x).
    logarithmic: Vec<String>,
    /// What is known once a stay.
    #[serde(rename = "static")]
    once: BTreeMap<String, (f64, f64)>,
}

/// The data set.
struct Physionet2012;

impl DatasetSource for Physionet2012 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> String {
        "8000 stays of 48 hours in intensive care, four modalities: death in hospital, 1122 (open)".to_owned()
    }

    fn modalities(&self) -> Vec<String> {
        Recipe::built_in().map_or_else(
            |_| Vec::new(),
            |recipe| recipe.modality_names().map(str::to_owned).collect(),
        )
    }

    fn samples(&self) -> Option<usize> {
        Some(8000)
    }

    fn read_as(&self, folder: &Path) -> Result<Option<ReadAs>, DataError> {
        let recipe = Recipe::built_in()?;
        let (stays, table) = recipe.stays(Some(folder))?;
        Ok(Some(ReadAs {
            what: "stays",
            rows: stays.len(),
            details: recipe.coverage(&stays, &table),
        }))
    }

    fn sources(&self) -> &'static [&'static str] {
        &[SOURCE.name]
    }

    fn two_classes(&self) -> bool {
        true
    }

    /// Reads a folder once: a plan asks for one draw of its stays after the other.
    fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        static READ: Mutex<Option<(Option<PathBuf>, Vec<Stay>)>> = Mutex::new(None);
        let recipe = Recipe::built_in()?;
        let folder = recipe.source.open().obtain(options)?;
        let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, stays) = match read.take() {
            Some(kept) if kept.0 == folder => read.insert(kept),
            _ => {
                let (stays, _) = recipe.stays(folder.as_deref())?;
                read.insert((folder, stays))
            }
        };
        Ok(recipe.assemble(options.seed, stays))
    }
}

/// A stay and its label.
struct Stay {
    record: Record,
    died: bool,
}

/// Variables whose values are kinds: female, male; the four kinds of unit.
const MARKS: [(&str, &[f64]); 2] = [("Gender", &[0., 1.]), ("ICUType", &[1., 2., 3., 4.])];

impl Recipe {
    fn built_in() -> Result<Self, DataError> {
        read_yaml(SOURCE.name, SOURCE.text)
    }

    /// Names of the modalities, in their order.
    fn modality_names(&self) -> impl Iterator<Item = &str> {
        iter::once(ONCE).chain(self.series.keys().map(String::as_str))
    }

    /// All variables that are read, in alphabetical order: an [`record::Event`] names them by their place.
    fn variables(&self) -> Vec<&str> {
        let ranged = self.series.values().chain([&self.once]).flat_map(BTreeMap::keys);
        let all: BTreeSet<&str> = ranged.map(String::as_str).chain(MARKS.map(|(name, _)| name)).collect();
        all.into_iter().collect()
    }

    /// By the place of each variable whether a value counts.
    fn valid(&self) -> impl Fn(usize, f64) -> bool {
        let ranged: BTreeMap<&str, (f64, f64)> = self
            .series
            .values()
            .chain([&self.once])
            .flatten()
            .map(|(name, range)| (name.as_str(), *range))
            .collect();
        let variables = self.variables();
        let ranges: Vec<_> = variables.iter().map(|name| ranged.get(name).copied()).collect();
        let mark = |name: &str| MARKS.iter().find(|(mark, _)| *mark == name).map(|(_, kinds)| *kinds);
        let marks: Vec<_> = variables.iter().map(|name| mark(name)).collect();
        move |variable, value| match (ranges[variable], marks[variable]) {
            (Some(range), _) => within(value, range),
            (None, Some(kinds)) => kinds.contains(&value),
            (None, None) => false,
        }
    }

    /// Every stay of both sets, in the order of their numbers, and what became of their rows.
    fn stays(&self, folder: Option<&Path>) -> Result<(Vec<Stay>, TableCoverage), DataError> {
        let contents = self.source.bytes(folder)?;
        let variables = self.variables();
        let mut records = Vec::new();
        let mut deaths = HashMap::new();
        for (file, bytes) in self.source.files.iter().zip(&contents) {
            let wrong = |reason: String| self.source.wrong(format!("{}: {reason}", file.name));
            if file.name.ends_with(".tar.gz") {
                let read = archive::each_text(bytes, |name, text| {
                    let record = Record::parse(text, &variables).map_err(|reason| format!("{name}, {reason}"))?;
                    records.push(record);
                    Ok(())
                });
                read.map_err(wrong)?;
            } else {
                let text = std::str::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
                for (id, died) in record::outcomes(text).map_err(wrong)? {
                    if deaths.insert(id, died).is_some_and(|known| known != died) {
                        return Err(wrong(
                            "expected one outcome of every record, got two different ones".to_owned(),
                        ));
                    }
                }
            }
        }
        let mut table = TableCoverage::new("records");
        let valid = self.valid();
        for record in &mut records {
            let read = record.events.len() as u64;
            let (invalid, joined) = record.settle(&valid);
            table.rows += record.rows;
            table.drop(Count::OtherItem, record.rows - read);
            table.drop(Count::OutOfRange, invalid);
            table.note(Count::Joined, joined);
        }
        records.sort_by_key(|record| record.id);
        if records.windows(2).any(|pair| pair[0].id == pair[1].id) {
            return Err(self
                .source
                .wrong("expected every record once, got one twice".to_owned()));
        }
        let stay = |record: Record| match deaths.get(&record.id) {
            Some(died) => Ok(Stay { died: *died, record }),
            None => Err(self
                .source
                .wrong("a record of the archives has no line in the files of outcomes".to_owned())),
        };
        Ok((records.into_iter().map(stay).collect::<Result<_, _>>()?, table))
    }

    fn assemble(&self, seed: u64, stays: &[Stay]) -> Dataset {
        let mut parts: [Vec<&Stay>; 3] = Default::default();
        for class in [false, true] {
            let of_class: Vec<&Stay> = stays.iter().filter(|stay| stay.died == class).collect();
            let order = Stream::at(seed, "physionet-2012/split", u64::from(class)).permutation(of_class.len());
            let (train, validation) = (of_class.len() * 7 / 10, of_class.len() * 8 / 10);
            for (rank, i) in order.into_iter().enumerate() {
                let part = usize::from(rank >= train) + usize::from(rank >= validation);
                parts[part].push(of_class[i]);
            }
        }
        for part in &mut parts {
            part.sort_by_key(|stay| stay.record.id);
        }
        let scales = Scales::fit(self, &parts[0]);
        let mut modalities = vec![ModalitySpec::new(ONCE, &[2 * self.once.len() + 2 + 4])];
        modalities.extend(
            self.series
                .iter()
                .map(|(name, variables)| ModalitySpec::new(name, &[HOURS, 2 + 2 * variables.len()]).of(Kind::Series)),
        );
        let [train, validation, test] = parts.map(|part| self.samples(&part, &scales));
        let names = vec!["survived".to_owned(), "died".to_owned()];
        Dataset::new(NAME, modalities, names, train, validation, test)
    }

    fn samples(&self, stays: &[&Stay], scales: &Scales) -> Samples {
        let width = 2 * self.once.len() + 2 + 4;
        let mut inputs = vec![Rows::packed(
            width,
            stays.iter().map(|stay| self.once(&stay.record, scales)),
        )];
        let mut present = Presence::all(stays.len(), 1 + self.series.len());
        for (m, variables) in self.series.values().enumerate() {
            let columns = scales.columns(variables);
            let rows = stays.iter().enumerate().map(|(i, stay)| {
                let steps = steps(&stay.record, &columns, scales);
                present.set(i, 1 + m, !steps.is_empty());
                steps
            });
            inputs.push(Rows::packed(HOURS * (2 + 2 * variables.len()), rows));
        }
        Samples {
            ids: Ids::Numbered(stays.len()),
            inputs,
            labels: stays.iter().map(|stay| u32::from(stay.died)).collect(),
            present,
        }
    }

    /// Of each variable the standardised value, 0 where it is missing, and whether it is there; female, male; the four
    /// kinds of unit.
    fn once(&self, record: &Record, scales: &Scales) -> Vec<f32> {
        let mut row = Vec::new();
        let first = |name: &str| {
            scales
                .place(name)
                .and_then(|variable| Some((variable, record.once(variable)?)))
        };
        for name in self.once.keys() {
            let found = first(name);
            row.extend([
                found.map_or(0., |(variable, value)| scales.of(variable, value)),
                f32::from(u8::from(found.is_some())),
            ]);
        }
        for (name, values) in MARKS {
            let found = first(name).map(|(_, value)| value);
            row.extend(values.iter().map(|value| f32::from(u8::from(found == Some(*value)))));
        }
        row
    }
}

/// Of every variable its column among those of a modality.
type Columns = Vec<Option<usize>>;

/// A step for every hour in which a variable of the modality was measured: that it is there, the hour as a share of
/// the stay, and of each variable its last standardised value (0 before the first) and whether this hour has one.
fn steps(record: &Record, columns: &Columns, scales: &Scales) -> Vec<f32> {
    let mut hours: BTreeMap<usize, Vec<(usize, f32)>> = BTreeMap::new();
    for event in &record.events {
        if let Some(column) = columns[event.variable] {
            let hour = (event.minute / 60).min(HOURS - 1);
            let value = scales.of(event.variable, event.value);
            hours.entry(hour).or_default().push((column, value));
        }
    }
    let mut known = vec![0.; 2 * columns.iter().flatten().count()];
    let mut steps = Vec::new();
    for (hour, measured) in hours {
        known.chunks_mut(2).for_each(|pair| pair[1] = 0.);
        for (column, value) in measured {
            known[2 * column] = value;
            known[2 * column + 1] = 1.;
        }
        steps.extend([1., hour as f32 / HOURS as f32]);
        steps.extend_from_slice(&known);
    }
    steps
}

fn within(value: f64, (low, high): (f64, f64)) -> bool {
    (low..=high).contains(&value)
}

/// How each variable is standardised: by mean and standard deviation over the training stays.
struct Scales<'a> {
    /// [`Recipe::variables`]; what follows is by their places.
    variables: Vec<&'a str>,
    logarithmic: Vec<bool>,
    of: Vec<(f64, f64)>,
}

impl<'a> Scales<'a> {
    fn fit(recipe: &'a Recipe, training: &[&Stay]) -> Self {
        let variables = recipe.variables();
        let is_logarithmic = |name: &&str| recipe.logarithmic.iter().any(|log| log == name);
        let mut scales = Self {
            logarithmic: variables.iter().map(is_logarithmic).collect(),
            of: vec![(0., 1.); variables.len()],
            variables,
        };
        let is_mark = |variable: usize| MARKS.iter().any(|(name, _)| *name == scales.variables[variable]);
        let mut values = vec![Vec::new(); scales.variables.len()];
        for event in training.iter().flat_map(|stay| &stay.record.events) {
            if !is_mark(event.variable) {
                values[event.variable].push(scales.transformed(event.variable, event.value));
            }
        }
        for (of, values) in scales
            .of
            .iter_mut()
            .zip(values)
            .filter(|(_, values)| !values.is_empty())
        {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let sd = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            // What is always the same (a mark of ventilation) says by its flag what it says.
            *of = (mean, if sd > 1e-9 { sd } else { 1. });
        }
        scales
    }

    fn place(&self, variable: &str) -> Option<usize> {
        self.variables.binary_search(&variable).ok()
    }

    fn columns(&self, modality: &BTreeMap<String, (f64, f64)>) -> Columns {
        let mut columns = vec![None; self.variables.len()];
        for (column, name) in modality.keys().enumerate() {
            if let Some(variable) = self.place(name) {
                columns[variable] = Some(column);
            }
        }
        columns
    }

    fn transformed(&self, variable: usize, value: f64) -> f64 {
        if self.logarithmic[variable] {
            libm::log1p(value)
        } else {
            value
        }
    }

    fn of(&self, variable: usize, value: f64) -> f32 {
        let (mean, sd) = self.of[variable];
        ((self.transformed(variable, value) - mean) / sd) as f32
    }
}

#[cfg(test)]
mod tests;
