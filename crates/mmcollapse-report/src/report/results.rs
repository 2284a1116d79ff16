//! What was measured, as the files under `results/` hold it.

use mmcollapse_record::manipulation::{CONFUSED, CONTROL, SOUND};
use mmcollapse_record::{ExperimentInfo, Metric, Preset, Provenance, RowName, Setting, same_level};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use miette::{IntoDiagnostic, Result, WrapErr};

use super::frame::Frame;
use super::{EXCEPTIONS, STATES};
use crate::summary::{
    Column,
    decided::{share_diverged, test_to_train},
};

/// The presets that count, the largest first.
const PRESETS: [Preset; 2] = [Preset::Full, Preset::Quick];

/// Every experiment that has results, in order.
pub struct Results {
    pub experiments: Vec<Measured>,
    /// On other data sets than the paper's: shown apart, with verdicts of their own.
    pub others: Vec<Measured>,
    /// With settings that a search chose, on whichever data: shown apart, without verdicts.
    pub tuned: Vec<Measured>,
}

/// The results of one experiment.
pub struct Measured {
    pub name: &'static str,
    /// Its name, and the data set's where it is not the experiment's own; `-tuned` where settings are.
    pub id: String,
    pub title: &'static str,
    /// Its folder in that of the experiment.
    pub folder: String,
    pub provenance: Provenance,
    /// Whether today's code, spec or data would train other cells.
    pub stale: bool,
    /// Why it may be, or why it may be of changed sources.
    pub exception: Option<String>,
    /// `table.md`, as it was written.
    pub table: String,
    /// `figure.svg`, if it has one.
    pub figure: Option<String>,
    /// What its spec calls fusions and reallocations for readers, where it says so.
    titles: BTreeMap<String, String>,
    /// Means beside which the paper has a number.
    pub printed: Vec<Printed>,
    values: Vec<Measurement>,
}

/// A mean of ours and the paper's number.
pub struct Printed {
    pub protocol: Setting,
    pub row: RowName,
    pub column: Column,
    pub n: u64,
    pub mean: f64,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub paper: f64,
}

struct Measurement {
    protocol: Setting,
    row: RowName,
    metric: Metric,
    level: f64,
    seed: u64,
    value: f64,
    /// Samples that it was measured on.
    samples: u64,
    /// Whether its run was stopped as hopeless.
    diverged: bool,
}

impl Results {
    /// Reads the largest preset of each experiment that is complete, else the largest that has any result.
    pub fn read(experiments: &[ExperimentInfo], root: &Path) -> Result<Self> {
        let (mut own, mut others, mut tuned) = (Vec::new(), Vec::new(), Vec::new());
        for experiment in experiments {
            let found = |dataset: Option<&str>, tuned: bool, into: &mut Vec<Measured>| -> Result<()> {
                let folders = PRESETS.map(|preset| root.join(experiment.name).join(preset.folder(dataset, tuned)));
                let there = folders
                    .into_iter()
                    .filter(|folder| folder.join("runs.parquet").is_file());
                let mut all = there
                    .map(|folder| Measured::read(experiment, folder))
                    .collect::<Result<Vec<_>>>()?;
                // A full preset of which little is trained is less than a quick one that is whole.
                let best = all.iter().position(|measured| measured.provenance.missing == 0);
                if !all.is_empty() {
                    into.push(all.swap_remove(best.unwrap_or(0)));
                }
                Ok(())
            };
            found(None, false, &mut own)?;
            found(None, true, &mut tuned)?;
            for dataset in datasets(&root.join(experiment.name))? {
                found(Some(&dataset), false, &mut others)?;
                found(Some(&dataset), true, &mut tuned)?;
            }
        }
        let states = by_result(&root.join(STATES))?;
        let exceptions = by_result(&root.join(EXCEPTIONS))?;
        let all = own.iter_mut().chain(&mut others).chain(&mut tuned);
        all.for_each(|measured: &mut Measured| {
            let name = format!("{}/{}", measured.name, measured.folder);
            measured.stale = states.get(&name).is_some_and(|state| state == "stale");
            measured.exception = exceptions.get(&name).cloned();
        });
        Ok(Self {
            experiments: own,
            others,
            tuned,
        })
    }

    /// All results, in the order in which they are shown.
    pub fn all(&self) -> impl Iterator<Item = &Measured> {
        self.experiments.iter().chain(&self.others).chain(&self.tuned)
    }

    /// The results of an experiment on another data set, on the paper's if none is given, with tuned settings or with
    /// the spec's own.
    pub fn get(&self, name: &str, dataset: Option<&str>, tuned: bool) -> Option<&Measured> {
        self.all().find(|measured| {
            let p = &measured.provenance;
            measured.name == name && p.dataset.as_deref() == dataset && p.tuned.is_some() == tuned
        })
    }
}

impl Measured {
    fn read(experiment: &ExperimentInfo, folder: PathBuf) -> Result<Self> {
        let text = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).into_diagnostic().wrap_err(broken(&path))
        };
        let provenance: Provenance = serde_json::from_str(&text("runs.provenance.json")?)
            .into_diagnostic()
            .wrap_err(broken(&folder.join("runs.provenance.json")))?;
        let figure = match text("figure.svg") {
            Ok(svg) => Some(svg),
            Err(_) if !folder.join("figure.svg").exists() => None,
            Err(error) => return Err(error),
        };
        let runs = Frame::read(folder.join("runs.parquet"))?;
        let means = Frame::read(folder.join("table.parquet"))?;
        Ok(Self {
            name: experiment.name,
            id: {
                let dataset = provenance.dataset.as_ref();
                let on = dataset.map_or_else(String::new, |dataset| format!("-{dataset}"));
                let tuned = provenance.tuned.as_ref().map_or("", |_| "-tuned");
                format!("{}{on}{tuned}", experiment.name)
            },
            folder: folder.file_name().unwrap_or_default().display().to_string(),
            title: experiment.title,
            provenance,
            stale: false,
            exception: None,
            table: text("table.md")?,
            figure,
            titles: titles(experiment.spec),
            printed: printed(&means)?,
            values: values(&runs)?,
        })
    }

    /// What the table may call a row: by its spec's titles, and by its name.
    pub fn labels(&self, row: &RowName) -> [String; 2] {
        let name = row.to_string();
        let titled: Vec<String> = name
            .split('+')
            .zip(row.methods())
            .map(|(name, label)| self.titles.get(name).cloned().unwrap_or(label))
            .collect();
        [titled.join(" + "), row.label()]
    }

    /// The name of the data set that was trained on, as `overlap` in the claims may have it.
    pub fn trained_on(&self) -> Vec<&str> {
        let own = self.provenance.data.keys().map(String::as_str);
        self.provenance.dataset.as_deref().into_iter().chain(own).collect()
    }

    /// Test samples to each training sample, where numbers of both splits were measured.
    pub fn test_to_train(&self) -> Option<f64> {
        let all = self.values.iter();
        test_to_train(all.map(|value| (&value.metric, value.seed, value.samples as usize)))
    }

    /// The share of a row's runs that diverged, among the seeds that `counts` takes; none where none was run.
    pub fn diverged(&self, protocol: &Setting, row: &RowName, counts: impl Fn(u64) -> bool) -> Option<f64> {
        let own = self.of(protocol, row).filter(|value| counts(value.seed));
        share_diverged(own.map(|value| (value.seed, value.diverged)))
    }

    /// The share of a row's runs that pass a manipulation check; none where no run was checked. Each run has a metric of the
    /// check's name, 1 where it passes.
    pub fn passing(&self, check: &str, protocol: &Setting, row: &RowName) -> Option<f64> {
        let passed = self.of(protocol, row).filter(|value| value.metric == *check);
        let passed: Vec<f64> = passed.map(|value| value.value).collect();
        (!passed.is_empty()).then(|| passed.iter().sum::<f64>() / passed.len() as f64)
    }

    /// Whether the check's own controls come out as they must for a row under a protocol: a fresh discriminator tells the latents
    /// apart of the rows that are controls, and of no row when their modalities are shuffled. Where no latents of the row were read,
    /// as for distillation, there is no such control.
    pub fn check_is_sound(&self, protocol: &Setting, row: &RowName) -> bool {
        let here = || self.values.iter().filter(|value| value.protocol == *protocol);
        if !here().any(|value| value.row == *row && value.metric == *"confusion") {
            return true;
        }
        let controls: BTreeSet<&RowName> = here().filter(|v| v.metric == *CONTROL).map(|v| &v.row).collect();
        let share = |metric: &str, counts: &dyn Fn(&RowName) -> bool, holds: &dyn Fn(f64) -> bool| {
            let of_metric = here().filter(|value| value.metric == *metric && counts(&value.row));
            let values: Vec<f64> = of_metric.map(|value| value.value).collect();
            let held = values.iter().filter(|value| holds(**value)).count();
            values.is_empty() || held as f64 / values.len() as f64 >= SOUND
        };
        share("confusion", &|row| controls.contains(row), &|value| value < CONFUSED)
            && share("confusion_shuffled", &|_| true, &|value| value >= CONFUSED)
    }

    /// The levels at which each of some rows has a metric.
    pub fn levels(&self, protocol: &Setting, rows: &[&RowName], metric: &Metric) -> Vec<f64> {
        let of = |row: &RowName| -> Vec<f64> {
            let values = self.of(protocol, row).filter(|value| value.metric == *metric);
            values.map(|value| value.level).collect()
        };
        let of_each: Vec<Vec<f64>> = rows.iter().map(|row| of(row)).collect();
        let has = |level: f64| {
            of_each
                .iter()
                .all(|levels| levels.iter().any(|l| same_level(*l, level)))
        };
        let mut shared: Vec<f64> = of_each.iter().flatten().copied().filter(|level| has(*level)).collect();
        shared.sort_by(f64::total_cmp);
        shared.dedup_by(|a, b| same_level(*a, *b));
        shared
    }

    /// Each seed's levels and values of a metric of a row, at these levels or at all it has; a seed that lacks one of them is
    /// left out.
    pub fn by_seed(
        &self,
        protocol: &Setting,
        row: &RowName,
        metric: &Metric,
        levels: Option<&[f64]>,
    ) -> BTreeMap<u64, Vec<(f64, f64)>> {
        let counts = |level: f64| levels.is_none_or(|levels| levels.iter().any(|l| same_level(*l, level)));
        let mut seeds: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
        let of_metric = self.of(protocol, row).filter(|value| value.metric == *metric);
        for value in of_metric.filter(|value| counts(value.level)) {
            seeds.entry(value.seed).or_default().push((value.level, value.value));
        }
        let levels = seeds.values().map(Vec::len).max().unwrap_or(0);
        seeds.retain(|_, values| values.len() == levels);
        seeds
    }

    /// Whether a row has been run under a protocol.
    pub fn has(&self, protocol: &Setting, row: &RowName) -> bool {
        self.of(protocol, row).next().is_some()
    }

    fn of(&self, protocol: &Setting, row: &RowName) -> impl Iterator<Item = &Measurement> {
        let mut values = self.values.iter();
        std::iter::from_fn(move || values.find(|value| value.protocol == *protocol && value.row == *row))
    }
}

/// Titles of the fusions and reallocations of a spec.
fn titles(spec: &str) -> BTreeMap<String, String> {
    let spec: serde_yaml::Value = serde_yaml::from_str(spec).unwrap_or_default();
    let of_axis = |axis: &str| {
        spec.get(axis)
            .and_then(serde_yaml::Value::as_mapping)
            .cloned()
            .unwrap_or_default()
    };
    let methods = ["fusions", "reallocations"].into_iter().flat_map(of_axis);
    methods
        .filter_map(|(name, method)| Some((name.as_str()?.to_owned(), method.get("title")?.as_str()?.to_owned())))
        .collect()
}

/// What a file says of results, by the folder of each; nothing where there is no file.
///
/// # Errors
/// A file that cannot be read.
pub fn by_result(path: &Path) -> Result<BTreeMap<String, String>> {
    match fs::read_to_string(path) {
        Ok(text) => serde_yaml::from_str(&text)
            .into_diagnostic()
            .wrap_err_with(|| path.display().to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).into_diagnostic().wrap_err(path.display().to_string()),
    }
}

/// The other data sets of which the folder of an experiment has results, by the names of its folders.
fn datasets(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => {
            return Err(error)
                .into_diagnostic()
                .wrap_err_with(|| folder.display().to_string());
        }
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        let name = entry.into_diagnostic()?.file_name();
        let name = name.to_string_lossy();
        if crate::compare::is_with_external(&name) {
            continue;
        }
        let name = name.strip_suffix("-tuned").unwrap_or(&name);
        let dataset = PRESETS
            .iter()
            .find_map(|preset| name.strip_suffix(&preset.to_string())?.strip_suffix('-'));
        found.extend(dataset.map(str::to_owned));
    }
    Ok(found)
}

pub(super) fn broken(path: &Path) -> String {
    format!(
        "{} cannot be read; `mmcollapse report` makes it again from the store, `git checkout` restores the committed one",
        path.display()
    )
}

fn values(runs: &Frame) -> Result<Vec<Measurement>> {
    let (protocol, metric): (Vec<Setting>, Vec<Metric>) = (runs.names("protocol")?, runs.names("metric")?);
    let row: Vec<RowName> = runs.names("row")?;
    let status = runs.text("status")?;
    let [level, value] = [runs.numbers("rate")?, runs.numbers("value")?];
    let (seed, samples) = (runs.counts("seed")?, runs.counts("n_test")?);
    let all = (0..runs.rows()).filter_map(|i| {
        Some(Measurement {
            protocol: protocol[i].clone(),
            row: row[i].clone(),
            metric: metric[i].clone(),
            level: level[i]?,
            seed: seed[i],
            value: value[i]?,
            samples: samples[i],
            diverged: status[i] == "diverged",
        })
    });
    Ok(all.collect())
}

fn printed(means: &Frame) -> Result<Vec<Printed>> {
    let (protocol, row) = (means.names::<Setting>("protocol")?, means.names::<RowName>("row")?);
    let [level, mean, low, high, paper] = [
        means.numbers("rate")?,
        means.numbers("mean")?,
        means.numbers("low")?,
        means.numbers("high")?,
        means.numbers("paper")?,
    ];
    let n = means.counts("n_seeds")?;
    let all = (0..means.rows()).filter_map(|i| {
        Some(Printed {
            protocol: protocol[i].clone(),
            row: row[i].clone(),
            column: Column::of(level[i]),
            n: n[i],
            mean: mean[i]?,
            low: low[i],
            high: high[i],
            paper: paper[i]?,
        })
    });
    Ok(all.collect())
}
