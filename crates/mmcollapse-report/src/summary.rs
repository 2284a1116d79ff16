//! From records to numbers: every run, and every mean with its interval.
//!
//! Only scores on the test split, and losses at the end of training, are summarised. A diverged run is never
//! dropped: it stays in the mean with the score it had when it was stopped, and is counted. Methods share seeds, hence
//! splits, masks and noise, so a method is compared with the same fusion without reallocation pair by pair.
//! docs/methodology/statistics.md says why each number is what it is.

mod check;
pub(crate) mod decided;
pub(crate) mod frames;
mod protocol;
#[cfg(test)]
pub(crate) mod synthetic;
mod versus;

use mmcollapse_record::{Metric, Record, RowId, Setting, Split, Status, same_level};
use std::collections::BTreeMap;

use miette::{Context, IntoDiagnostic, Result, miette};
use mmcollapse_probes::{Estimate, Interval, PairedDifference, bootstrap_interval, estimate, holm, paired_difference};

pub use check::Checked;
pub use decided::Decided;
pub use protocol::ProtocolRun;
use protocol::{add_rate, protocols, started};
pub use versus::{Pairing, Versus};

use crate::paper::Paper;

/// Resamples of a bootstrap interval; the interval's own error is then a hundredth of its width.
const RESAMPLES: usize = 10_000;

/// Where the bootstrap's draws start: fixed, so that equal runs give equal tables.
const BOOTSTRAP_SEED: u64 = 0;

/// One measured number of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Position in [`Summary::methods`].
    pub method: usize,
    /// Protocol and label.
    pub setting: Setting,
    /// Share of samples that lack the modality.
    pub rate: f64,
    /// Seed.
    pub seed: u64,
    /// What was measured.
    pub metric: Metric,
    /// The number, a share in [0, 1] for an accuracy.
    pub value: f64,
    /// Test samples it was measured on.
    pub n_test: usize,
    /// Whether the run was stopped as hopeless.
    pub diverged: bool,
}

/// A column of a table: one missing rate, or each run's mean over all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Column {
    /// One missing rate.
    Rate(f64),
    /// Each run's mean over the rates of its protocol.
    MeanOfRates,
}

impl Column {
    /// The column of a level; none is the mean over them.
    pub fn of(level: Option<f64>) -> Self {
        level.map_or(Self::MeanOfRates, Self::Rate)
    }

    /// Whether what was measured at a level goes into it.
    pub fn covers(self, level: f64) -> bool {
        match self {
            Self::Rate(rate) => same_level(rate, level),
            Self::MeanOfRates => true,
        }
    }
}

/// One number of a table: one method at one column of one protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Position in [`Summary::methods`].
    pub method: usize,
    /// Protocol and label.
    pub setting: Setting,
    /// What was measured.
    pub metric: Metric,
    /// Where it stands in the table.
    pub column: Column,
    /// Mean over seeds with its 95 % t interval; none if no run has a score.
    pub estimate: Option<Estimate>,
    /// 95 % percentile bootstrap interval of the mean; none for less than two runs.
    pub bootstrap: Option<Interval>,
    /// Test samples of each run: the smallest and the largest number.
    pub n_test: (usize, usize),
    /// Seeds whose run was stopped as hopeless, with or without a score.
    pub diverged: usize,
    /// Seeds among them that left no score, the only ones that are not in the mean.
    pub unscored: usize,
    /// Against the same fusion without reallocation and balancing; none for that row itself.
    pub difference: Option<Difference>,
    /// What the paper has here.
    pub paper: Option<f64>,
}

/// A method against the same fusion without reallocation and balancing, on the same seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Position of the reference in [`Summary::methods`].
    pub reference: usize,
    /// Mean difference, intervals and the exact signed-rank test.
    pub paired: PairedDifference,
    /// The test's p after Holm's correction over its family.
    pub holm_p: f64,
    /// Tests in the family: all methods of the protocol and metric, over the rates or for their mean.
    pub family: usize,
}

/// All numbers of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Name of the experiment.
    pub experiment: String,
    /// The rows, in the order of the records.
    pub methods: Vec<RowId>,
    /// The protocols, in the order of the records.
    pub protocols: Vec<ProtocolRun>,
    /// Every run.
    pub runs: Vec<Run>,
    /// Every mean.
    pub groups: Vec<Group>,
}

/// Score of each seed, with whether its run diverged.
type Seeds = BTreeMap<u64, (f64, bool)>;

/// Which runs a number is made of: method, protocol, metric.
type Series = (usize, usize, Metric);

impl Summary {
    /// Summarises the records of one experiment; `paper` gives the numbers to stand beside them.
    ///
    /// # Errors
    /// A score that is not finite, two records of the same row, protocol, rate and seed.
    pub fn new(experiment: &str, records: &[Record], paper: &Paper) -> Result<Self> {
        let mut summary = Self {
            experiment: experiment.to_owned(),
            methods: Vec::new(),
            protocols: protocols(records),
            runs: Vec::new(),
            groups: Vec::new(),
        };
        for record in records {
            summary.add(record)?;
        }
        summary.check()?;
        summary.group(records, paper)?;
        summary.correct()?;
        Ok(summary)
    }

    /// The number of a row of a table at a column.
    pub fn get(&self, setting: &Setting, method: usize, metric: &Metric, column: Column) -> Option<&Group> {
        self.groups.iter().find(|group| {
            group.method == method && group.setting == *setting && group.metric == *metric && group.column == column
        })
    }

    /// Whether any method has a number of the metric under the protocol.
    pub fn measures(&self, protocol: &ProtocolRun, metric: &Metric) -> bool {
        self.groups
            .iter()
            .any(|g| g.setting == protocol.setting && g.metric == *metric)
    }

    fn add(&mut self, record: &Record) -> Result<()> {
        let method = self.method(record);
        let diverged = matches!(record.outcome.status, Status::Diverged { .. });
        for score in record.outcome.scores.iter().filter(|s| s.split != Split::Validation) {
            if !score.value.is_finite() {
                return Err(miette!(
                    help = "the cell's outcome is broken: remove it from the store and run again",
                    "{}, {}, seed {}: {} at rate {} is {}, expected a number",
                    record.row,
                    record.setting,
                    record.seed,
                    score.metric,
                    score.rate,
                    score.value
                ));
            }
            self.runs.push(Run {
                method,
                setting: record.setting.clone(),
                rate: score.rate,
                seed: record.seed,
                metric: score.metric.clone(),
                value: score.value,
                n_test: score.n,
                diverged,
            });
        }
        Ok(())
    }

    /// Position of the record's row; a new one is added at the end.
    fn method(&mut self, record: &Record) -> usize {
        let known = self.methods.iter().position(|row| *row == record.row);
        known.unwrap_or_else(|| {
            self.methods.push(record.row.clone());
            self.methods.len() - 1
        })
    }

    fn group(&mut self, records: &[Record], paper: &Paper) -> Result<()> {
        let mut columns: BTreeMap<Series, Vec<(Column, Seeds)>> = BTreeMap::new();
        for (p, protocol) in self.protocols.iter().enumerate() {
            for (metric, rates) in self.metrics(protocol, paper) {
                for method in 0..self.methods.len() {
                    let series = self.columns(protocol, method, &metric, &rates)?;
                    columns.insert((method, p, metric.clone()), series);
                }
            }
        }
        for ((method, p, metric), series) in &columns {
            let protocol = &self.protocols[*p];
            let reference = self.reference(*method).filter(|_| metric.compares_models());
            for (place, (column, seeds)) in series.iter().enumerate() {
                let started = started(records, protocol, &self.methods[*method], *column);
                if started.is_empty() {
                    continue;
                }
                let against = reference.and_then(|r| Some((r, &columns.get(&(r, *p, metric.clone()))?.get(place)?.1)));
                let numbers = numbers(seeds, against)
                    .into_diagnostic()
                    .wrap_err_with(|| format!("{}: {column:?}", self.methods[*method]))?;
                let group = Group {
                    method: *method,
                    setting: protocol.setting.clone(),
                    metric: metric.clone(),
                    column: *column,
                    diverged: started.values().filter(|diverged| **diverged).count(),
                    unscored: started
                        .iter()
                        .filter(|(seed, diverged)| **diverged && !seeds.contains_key(seed))
                        .count(),
                    n_test: self.n_test(protocol, *method, metric, *column),
                    paper: self.paper(paper, *method, metric, *column, &protocol.rates),
                    estimate: numbers.estimate,
                    bootstrap: numbers.bootstrap,
                    difference: numbers.difference,
                };
                self.groups.push(group);
            }
        }
        Ok(())
    }

    /// What is measured in a protocol and at which rates: the paper's score at the protocol's own, any other metric
    /// (with all modalities, with one alone, a loss) where it was measured.
    fn metrics(&self, protocol: &ProtocolRun, paper: &Paper) -> BTreeMap<Metric, Vec<f64>> {
        let mut metrics = BTreeMap::new();
        if paper.metric.is_share() {
            metrics.insert(paper.metric.clone(), protocol.rates.clone());
        }
        for run in self.runs.iter().filter(|run| run.setting == protocol.setting) {
            if run.metric != paper.metric || !run.metric.is_share() {
                add_rate(metrics.entry(run.metric.clone()).or_default(), run.rate);
            }
        }
        for rates in metrics.values_mut() {
            protocol.kind().sort(rates);
        }
        metrics
    }

    /// Each column's score of each seed: the rates, then each seed's mean over all of them.
    fn columns(
        &self,
        protocol: &ProtocolRun,
        method: usize,
        metric: &Metric,
        rates: &[f64],
    ) -> Result<Vec<(Column, Seeds)>> {
        let mut columns: Vec<(Column, Seeds)> = Vec::new();
        for &rate in rates {
            let mut seeds = Seeds::new();
            for run in self.runs.iter().filter(|run| {
                run.method == method
                    && run.setting == protocol.setting
                    && run.metric == *metric
                    && same_level(run.rate, rate)
            }) {
                if seeds.insert(run.seed, (run.value, run.diverged)).is_some() {
                    return Err(miette!(
                        help = "rows of a spec must differ in name",
                        "{}, {}, rate {rate}: two runs of seed {}",
                        self.methods[method],
                        protocol.setting,
                        run.seed
                    ));
                }
            }
            columns.push((Column::Rate(rate), seeds));
        }
        let whole = columns
            .first()
            .map(|(_, seeds)| seeds.keys())
            .into_iter()
            .flatten()
            .filter_map(|seed| {
                let scores: Option<Vec<(f64, bool)>> =
                    columns.iter().map(|(_, seeds)| seeds.get(seed).copied()).collect();
                let scores = scores?;
                let sum: f64 = scores.iter().map(|(value, _)| value).sum();
                let diverged = scores.iter().any(|(_, diverged)| *diverged);
                Some((*seed, (sum / scores.len() as f64, diverged)))
            })
            .collect();
        columns.push((Column::MeanOfRates, whole));
        Ok(columns)
    }

    /// The row a method is compared with: the same fusion, encoders left as they are; of a fusion that is trained otherwise its
    /// control.
    fn reference(&self, method: usize) -> Option<usize> {
        let ours = &self.methods[method];
        if ours.is_vanilla() {
            let twin = ours.fusion.twin.as_ref()?;
            let is_twin = |other: &RowId| other.is_vanilla() && other.fusion.name == *twin;
            return self.methods.iter().position(is_twin);
        }
        let same_name = |other: &RowId| other.is_vanilla() && other.fusion.name == ours.fusion.name;
        let same_method = |other: &RowId| other.is_vanilla() && other.fusion.method == ours.fusion.method;
        self.methods
            .iter()
            .position(same_name)
            .or_else(|| self.methods.iter().position(same_method))
    }

    fn n_test(&self, protocol: &ProtocolRun, method: usize, metric: &Metric, column: Column) -> (usize, usize) {
        let counts = self.runs.iter().filter(|run| {
            run.method == method && run.setting == protocol.setting && run.metric == *metric && column.covers(run.rate)
        });
        let counts: Vec<usize> = counts.map(|run| run.n_test).collect();
        (
            counts.iter().copied().min().unwrap_or(0),
            counts.iter().copied().max().unwrap_or(0),
        )
    }

    fn paper(&self, paper: &Paper, method: usize, metric: &Metric, column: Column, rates: &[f64]) -> Option<f64> {
        if *metric != paper.metric || self.methods[method].is_control() {
            return None;
        }
        let row = &self.methods[method];
        match column {
            Column::Rate(rate) => paper.value(&row.fusion.method, &row.reallocation.method, rate),
            Column::MeanOfRates => paper.mean(&row.fusion.method, &row.reallocation.method, rates),
        }
    }

    /// Holm's correction: one family for the single rates, one for the means over rates, of each protocol.
    fn correct(&mut self) -> Result<()> {
        let mut families: BTreeMap<(Setting, Metric, bool), Vec<usize>> = BTreeMap::new();
        for (position, group) in self.groups.iter().enumerate() {
            if group.difference.is_some() {
                let mean = group.column == Column::MeanOfRates;
                let family = (group.setting.clone(), group.metric.clone(), mean);
                families.entry(family).or_default().push(position);
            }
        }
        for members in families.values() {
            let raw: Vec<f64> = members
                .iter()
                .filter_map(|&m| self.groups[m].difference.as_ref())
                .map(|difference| difference.paired.wilcoxon.p)
                .collect();
            let adjusted = holm(&raw).into_diagnostic()?;
            for (&member, p) in members.iter().zip(adjusted) {
                if let Some(difference) = &mut self.groups[member].difference {
                    difference.holm_p = p;
                    difference.family = members.len();
                }
            }
        }
        Ok(())
    }
}

/// The statistics of one column.
struct Numbers {
    estimate: Option<Estimate>,
    bootstrap: Option<Interval>,
    difference: Option<Difference>,
}

fn numbers(
    seeds: &Seeds,
    against: Option<(usize, &Seeds)>,
) -> std::result::Result<Numbers, mmcollapse_probes::MeasureError> {
    let values: Vec<f64> = seeds.values().map(|(value, _)| *value).collect();
    let several = values.len() > 1;
    let difference = match against {
        Some((reference, theirs)) => {
            let (ours, theirs): (Vec<f64>, Vec<f64>) = seeds
                .iter()
                .filter_map(|(seed, (value, _))| Some((*value, theirs.get(seed)?.0)))
                .unzip();
            (!ours.is_empty())
                .then(|| paired_difference(&ours, &theirs, RESAMPLES, BOOTSTRAP_SEED))
                .transpose()?
                .map(|paired| Difference {
                    reference,
                    holm_p: paired.wilcoxon.p,
                    paired,
                    family: 1,
                })
        }
        None => None,
    };
    Ok(Numbers {
        estimate: (!values.is_empty()).then(|| estimate(&values)).transpose()?,
        bootstrap: several
            .then(|| bootstrap_interval(&values, 0.95, RESAMPLES, BOOTSTRAP_SEED))
            .transpose()?,
        difference,
    })
}

#[cfg(test)]
mod tests;
