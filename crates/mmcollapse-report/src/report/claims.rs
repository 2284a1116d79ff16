//! The paper's claims and their tests, as `experiments/claims.yaml` holds them.
//!
//! A claim has, for each data set, at most four *primary* tests, which have verdicts, and any number of *exploratory*
//! comparisons, which have intervals only. A test is one comparison, or several as one conjunction:
//!
//! ```yaml
//! - each: {by: {kd: KD, ebr: EBR}}                     # two tests
//!   all_of: {row: {grape: [GRAPE, 0.0174], muse: [MUSE, 0.0149]}}   # of two comparisons each, with their margins
//!   says: "{by} lifts every fusion"
//!   experiment: table2
//!   dataset: eicu-demo                                 # where it is not the paper's data
//!   protocol: mortality_missing
//!   metric: auroc
//!   row: "{row}+{by}"
//!   against: "{row}"                                   # without: 0
//!   against_protocol: mortality_patterns               # where that row's numbers are of another protocol
//!   level: 0                                           # or `from` and `to`, `trend: true`, `kink: LEVEL`, or the mean over levels
//!   claimed: higher                                    # lower; at_most: less than the margin above `against`; within: on either side
//!   printed: Table 2                                   # where the paper prints the margin
//!   seeds: {n: 10, from: 0}
//! ```
//!
//! `on: planted data` in a claim names the data of its tests for readers, where they are not the paper's.
//!
//! `{word}` stands for a value in every field; in `says` it is the value's name. Margins are in the metric's unit (accuracy: a
//! share), and factors for ranks and variance inflation, which are compared as ratios. Without `printed` the paper has no
//! number: the margin is then 1 point, or .05 nats.
//!
//! With `along: METRIC` the quantity is the correlation of two metrics over the seeds of a row at each level, the mean over levels: of
//! each seed the product of both in standard deviations from their means. With `line: intercept` or `line: unexplained` beside it the
//! quantity is one of the least-squares line of the first metric on the second over a seed's levels: where it meets the axis, as a share of
//! the first metric's mean, or the share of its variance that the line leaves (1 - R^2).
//!
//! With `doses: [[ROW, DOSE], ...]` the quantity is the slope over these rows of a seed, times the range of the doses.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use miette::{Result, miette};
use mmcollapse_probes::Claimed;
use mmcollapse_record::{ExperimentInfo, Metric, RowName, Setting, Unit};
use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use super::words::{Expanded, expanded};

/// Primary tests that a claim may have on a data set.
const PRIMARY: usize = 4;

/// The margin of a share where the paper prints none.
const POINT: f64 = 0.01;

/// The margin of a loss where the paper prints none.
const NATS: f64 = 0.05;

/// All claims.
#[derive(Clone, Debug)]
pub struct Claims {
    /// In the paper's order.
    pub claims: Vec<Claim>,
    /// Test samples to each training sample where every seed of a data set cuts the same records anew; 0 where each seed
    /// draws its own samples.
    pub overlap: BTreeMap<String, f64>,
    /// Where the paper's numbers do not fit together, a paragraph each.
    pub inconsistent: Vec<String>,
}

/// One claim.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Short name: `C6`.
    pub id: String,
    /// Where it stands in the paper.
    pub place: String,
    /// What is claimed, in our words.
    pub states: String,
    /// What the rows that its tests are about must have passed.
    pub needs: Option<Need>,
    /// The data of tests that name no data set, for readers.
    pub on: String,
    /// What must come out if it holds; none for a claim that nothing here bears on yet.
    pub primary: Vec<Test>,
    /// What is shown beside it.
    pub exploratory: Vec<Comparison>,
}

/// What decides a test beside its own entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyRule {
    /// Primary tests of the claim on its data set, which share the error.
    pub tests: usize,
    /// What the rows must have passed.
    pub needs: Option<Need>,
}

/// A manipulation check in one of its editions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The check.
    pub check: Check,
    /// Raised whenever it is decided in another way: the verdicts of runs that came before know it too late.
    pub edition: u32,
}

/// A manipulation check, by the name of its measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The reallocation did what it is to do: a share of runs passed.
    Reallocated,
}

/// A primary test: one comparison, or several that all have to hold.
#[derive(Clone, Debug)]
pub struct Test {
    /// What is tested, for readers.
    pub says: String,
    /// The comparisons.
    pub parts: Vec<Comparison>,
    /// The seeds it is made on.
    pub seeds: Seeds,
    /// The entry of the file it was made from, word by word: whether it was stated before its runs is decided by it.
    pub written: String,
}

/// The seeds of a primary test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// How many.
    pub n: u64,
    /// The first.
    pub from: u64,
}

impl Seeds {
    /// Whether a seed is one of them.
    pub fn has(self, seed: u64) -> bool {
        (self.from..self.from + self.n).contains(&seed)
    }
}

/// One comparison over seeds.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What is compared, for readers; of a part of a conjunction what sets it apart.
    pub name: String,
    /// Name of the experiment.
    pub experiment: String,
    /// The data set that stands in for the paper's; none for the paper's own data.
    pub dataset: Option<String>,
    /// Protocol and label.
    pub protocol: Setting,
    /// The metric.
    pub metric: Metric,
    /// Row of the experiment's table.
    pub row: RowName,
    /// Row it is compared with; 0 if none.
    pub against: Option<RowName>,
    /// Protocol and label of that row's numbers, where they are others.
    pub against_protocol: Option<Setting>,
    /// The metric that it is correlated with or drawn over, where that is the quantity.
    pub along: Option<Metric>,
    /// Rows with their doses, where the slope over them is the quantity: the last of them is `row`. Empty elsewhere.
    pub doses: Vec<(RowName, f64)>,
    /// What is compared of the levels.
    pub over: Over,
    /// The direction that is claimed.
    pub claimed: Direction,
    /// The effect to detect or to exclude, in the metric's unit or as a factor; none in an exploratory comparison.
    pub margin: Option<f64>,
    /// Where the paper prints it.
    pub printed: Option<String>,
}

/// Which number of a seed is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Over {
    /// The mean over all levels.
    Mean,
    /// That at one level.
    Level(f64),
    /// The change from one level to another.
    Change(f64, f64),
    /// The slope over the levels, times their range.
    Trend,
    /// The change of that slope at a level, times the range from there on: how far the last value lies from where the first part of
    /// the line would have led.
    Kink(f64),
    /// Of the line over another metric's values at the levels.
    Line(Line),
}

/// What is asked of a least-squares line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Where it meets the axis, as a share of the mean: 0 of what is proportional.
    Intercept,
    /// The share of the variance that it leaves, 1 - R^2.
    Unexplained,
}

/// What is claimed of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More than the other.
    Higher,
    /// Less than the other.
    Lower,
    /// Less than the margin above the other.
    AtMost,
    /// Less than the margin away from the other.
    Within,
}

impl From<Direction> for Claimed {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Higher => Self::Higher,
            Direction::Lower => Self::Lower,
            Direction::AtMost => Self::AtMost,
            Direction::Within => Self::Within,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenClaims {
    claims: Vec<WrittenClaim>,
    overlap: BTreeMap<String, f64>,
    /// Experiments that show cells of another.
    #[serde(default)]
    cells_of: BTreeMap<String, String>,
    /// Editions of the checks; the first where none is given.
    #[serde(default)]
    checks: BTreeMap<Check, u32>,
    inconsistent: Vec<String>,
}

/// What a claim asks for, with the edition that its file decides it by.
fn need(check: Option<Check>, editions: &BTreeMap<Check, u32>) -> Option<Need> {
    check.map(|check| Need {
        check,
        edition: editions.get(&check).copied().unwrap_or(1),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenClaim {
    id: String,
    place: String,
    states: String,
    needs: Option<Check>,
    #[serde(default = "papers_data")]
    on: String,
    #[serde(default)]
    primary: Vec<Mapping>,
    #[serde(default)]
    exploratory: Vec<Mapping>,
}

/// What a claim is about that does not say.
fn papers_data() -> String {
    "the paper's data".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTest {
    says: String,
    experiment: String,
    dataset: Option<String>,
    protocol: Setting,
    metric: Metric,
    row: RowName,
    against: Option<RowName>,
    against_protocol: Option<Setting>,
    along: Option<Metric>,
    line: Option<Line>,
    #[serde(default)]
    doses: Vec<(RowName, f64)>,
    level: Option<f64>,
    from: Option<f64>,
    to: Option<f64>,
    #[serde(default)]
    trend: bool,
    kink: Option<f64>,
    claimed: Option<Direction>,
    margin: Option<f64>,
    printed: Option<String>,
    seeds: Option<Seeds>,
}

impl WrittenTest {
    fn over(&self) -> Result<Over, String> {
        match (self.level, self.from, self.to, self.trend, self.kink) {
            (None, None, None, false, None) => Ok(self.line.map_or(Over::Mean, Over::Line)),
            _ if self.line.is_some() => Err("a `line` is over all levels".to_owned()),
            (Some(level), None, None, false, None) => Ok(Over::Level(level)),
            (None, Some(from), Some(to), false, None) => Ok(Over::Change(from, to)),
            (None, None, None, true, None) => Ok(Over::Trend),
            (None, None, None, false, Some(at)) => Ok(Over::Kink(at)),
            _ => {
                Err("expected `level`, or `from` and `to` together, or `trend`, or `kink`, or none of them".to_owned())
            }
        }
    }

    /// The comparison, with what a primary one has beyond an exploratory one.
    fn comparison(self, name: &str, primary: bool) -> Result<Comparison, String> {
        let over = self.over()?;
        if self.along.is_some() && (self.against.is_some() || !matches!(over, Over::Mean | Over::Line(_))) {
            return Err("a correlation (`along`) is of one row over all levels".to_owned());
        }
        if matches!(over, Over::Line(_)) && self.along.is_none() {
            return Err("a `line` is over the metric under `along`, which is not named".to_owned());
        }
        if let Some((last, _)) = self.doses.last()
            && (*last != self.row || self.against.is_some() || self.along.is_some() || self.doses.len() < 2)
        {
            return Err(
                "`doses` are two rows at least, the last of them `row`, and stand without `against` and `along`"
                    .to_owned(),
            );
        }
        if self.against_protocol.is_some() && self.against.is_none() {
            return Err("`against_protocol` is of the row under `against`, which is not named".to_owned());
        }
        let name = if name.is_empty() { self.says } else { name.to_owned() };
        let comparison = Comparison {
            name,
            experiment: self.experiment,
            dataset: self.dataset,
            protocol: self.protocol,
            metric: self.metric,
            row: self.row,
            against: self.against,
            against_protocol: self.against_protocol,
            along: self.along,
            doses: self.doses,
            over,
            claimed: self.claimed.unwrap_or(Direction::Higher),
            margin: self.margin,
            printed: self.printed,
        };
        if primary {
            if self.claimed.is_none() || self.seeds.is_none() {
                return Err("a primary test needs `claimed`, `margin` and `seeds`".to_owned());
            }
            comparison.check_margin()?;
        } else if self.claimed.is_some()
            || self.seeds.is_some()
            || comparison.margin.is_some()
            || comparison.printed.is_some()
        {
            return Err(
                "an exploratory comparison has no verdict, hence no `claimed`, `margin`, `printed` or `seeds`"
                    .to_owned(),
            );
        }
        Ok(comparison)
    }
}

impl Comparison {
    /// Every row whose numbers it takes.
    pub fn rows(&self) -> impl Iterator<Item = &RowName> {
        let doses = self.doses.iter().map(|(row, _)| row);
        std::iter::once(&self.row).chain(&self.against).chain(doses)
    }

    /// Whether its differences are those of logarithms.
    pub fn is_of_ratios(&self) -> bool {
        self.metric.is_compared_as_ratio() && self.along.is_none()
    }

    /// The margin is a number above 0, a factor above 1 for ratios, and ours only where the paper prints none.
    fn check_margin(&self) -> Result<(), String> {
        let margin = self
            .margin
            .ok_or("a primary test needs `claimed`, `margin` and `seeds`")?;
        let least = if self.is_of_ratios() { 1.0 } else { 0.0 };
        if !(margin > least && margin.is_finite()) {
            return Err(format!("the margin must be a number above {least}, got {margin}"));
        }
        let ours = match self.metric.unit() {
            Unit::Share | Unit::Points => POINT,
            Unit::Loss | Unit::Nats => NATS,
            Unit::Number => margin,
        };
        if self.printed.is_none() && (margin - ours).abs() > f64::EPSILON {
            return Err(format!(
                "the margin is {margin}: expected {ours}, or `printed` with the place where the paper has it"
            ));
        }
        Ok(())
    }

    /// What two comparisons must not share: the same numbers, whichever of the rows is named first.
    fn subject(&self, cells_of: &BTreeMap<String, String>) -> String {
        let mut rows = [Some(&self.row), self.against.as_ref()].map(|row| row.map(ToString::to_string));
        rows.sort();
        format!(
            "{} {:?} {} {:?} {} {:?} {rows:?} {:?} {:?}",
            cells_of.get(&self.experiment).unwrap_or(&self.experiment),
            self.dataset,
            self.protocol,
            self.against_protocol.as_ref().map(ToString::to_string),
            self.metric,
            self.along.as_ref().map(Metric::as_str),
            self.over,
            self.doses
                .iter()
                .map(|(row, dose)| format!("{row} {dose}"))
                .collect::<Vec<_>>(),
        )
    }
}

impl Claims {
    /// Reads claims.
    ///
    /// # Errors
    /// What is not of this form (with its line): an experiment or a data set that is not there, more than four primary tests
    /// of a claim on a data set, a margin without a source, a comparison that belongs to two tests, an id given twice.
    pub fn parse(text: &str, experiments: &[ExperimentInfo]) -> Result<Self> {
        let help = "the head of crates/mmcollapse-report/src/report/claims.rs describes the form";
        let refused = |reason: String| miette!(help = help, "experiments/claims.yaml: {reason}");
        let written: WrittenClaims = serde_yaml::from_str(text).map_err(|e| refused(e.to_string()))?;
        let mut known = Known {
            experiments,
            overlap: &written.overlap,
            cells_of: &written.cells_of,
            subjects: HashMap::new(),
        };
        let mut claims: Vec<Claim> = Vec::new();
        for claim in written.claims {
            if claims.iter().any(|other| other.id == claim.id) {
                return Err(refused(format!("claim {} is there twice", claim.id)));
            }
            let mut read = Claim {
                id: claim.id,
                place: claim.place,
                states: claim.states,
                needs: need(claim.needs, &written.checks),
                on: claim.on,
                primary: Vec::new(),
                exploratory: Vec::new(),
            };
            for (entries, primary) in [(claim.primary, true), (claim.exploratory, false)] {
                for entry in entries {
                    let says = entry.get("says").and_then(Value::as_str).unwrap_or_default().to_owned();
                    known.read(entry, primary, &mut read).map_err(|reason| {
                        let line = line(text, &read.id, &says);
                        refused(format!("line {line}, claim {}, \"{says}\": {reason}", read.id))
                    })?;
                }
            }
            claims.push(read);
        }
        Ok(Self {
            claims,
            overlap: written.overlap,
            inconsistent: written.inconsistent,
        })
    }

    /// The primary tests of a file, as they are written there, each with its family; none where it is of another form.
    pub(super) fn stated(text: &str) -> BTreeMap<String, FamilyRule> {
        let Ok(written) = serde_yaml::from_str::<WrittenClaims>(text) else {
            return BTreeMap::new();
        };
        let mut stated = BTreeMap::new();
        for claim in written.claims {
            let tests: Vec<Expanded> = claim
                .primary
                .into_iter()
                .flat_map(|entry| expanded(entry).unwrap_or_default())
                .collect();
            let dataset = |test: &Expanded| test.parts.first().and_then(|(part, _)| part.get("dataset").cloned());
            let data: Vec<Option<Value>> = tests.iter().map(dataset).collect();
            for (test, own) in tests.into_iter().zip(&data) {
                let rule = FamilyRule {
                    tests: data.iter().filter(|other| *other == own).count(),
                    needs: need(claim.needs, &written.checks),
                };
                stated.insert(canonical(&claim.id, test.written), rule);
            }
        }
        stated
    }
}

/// The line of a test in the file, counted from 1.
fn line(text: &str, claim: &str, says: &str) -> usize {
    let lines = || text.lines().enumerate();
    let of_claim = lines().find(|(_, line)| line.contains(&format!("id: {claim}")));
    let start = of_claim.map_or(0, |(place, _)| place);
    let of_test = lines()
        .skip(start)
        .find(|(_, line)| !says.is_empty() && line.contains(says));
    of_test.map_or(start, |(place, _)| place) + 1
}

/// A test as text that does not depend on the order or the layout of its fields.
fn canonical(claim: &str, written: Mapping) -> String {
    let mut fields: Vec<(Value, Value)> = written.into_iter().collect();
    fields.sort_by_key(|(key, _)| key.as_str().unwrap_or_default().to_owned());
    let sorted: Mapping = fields.into_iter().collect();
    format!("{claim}\n{}", serde_yaml::to_string(&sorted).unwrap_or_default())
}

/// What tests may refer to, and what they have referred to.
struct Known<'a> {
    experiments: &'a [ExperimentInfo],
    overlap: &'a BTreeMap<String, f64>,
    cells_of: &'a BTreeMap<String, String>,
    /// The test that a comparison belongs to.
    subjects: HashMap<String, String>,
}

impl Known<'_> {
    /// Adds the tests that an entry stands for to a claim.
    fn read(&mut self, entry: Mapping, primary: bool, claim: &mut Claim) -> Result<(), String> {
        for Expanded { written, parts } in expanded(entry)? {
            let mut comparisons = Vec::new();
            let (mut says, mut seeds) = (String::new(), None);
            for (fields, name) in parts {
                let one: WrittenTest = serde_yaml::from_value(Value::Mapping(fields)).map_err(|e| e.to_string())?;
                (says, seeds) = (one.says.clone(), one.seeds);
                let comparison = one.comparison(&name, primary)?;
                self.check(&comparison, &format!("claim {}, \"{says}\"", claim.id))?;
                comparisons.push(comparison);
            }
            let Some(seeds) = seeds.filter(|_| primary) else {
                let several = comparisons.len() > 1;
                claim
                    .exploratory
                    .extend(comparisons.into_iter().map(|comparison| Comparison {
                        name: if several {
                            format!("{says}: {}", comparison.name)
                        } else {
                            comparison.name
                        },
                        ..comparison
                    }));
                continue;
            };
            if seeds.n < 2 {
                return Err(format!("a test needs at least two seeds, got {}", seeds.n));
            }
            let dataset = comparisons.first().and_then(|comparison| comparison.dataset.clone());
            claim.primary.push(Test {
                says,
                parts: comparisons,
                seeds,
                written: canonical(&claim.id, written),
            });
            let on_it = claim.primary.iter().filter(|test| test.dataset() == dataset.as_deref());
            if on_it.count() > PRIMARY {
                return Err(format!(
                    "more than {PRIMARY} primary tests of a claim on {}: make one a part of a conjunction, or exploratory",
                    dataset.as_deref().unwrap_or(&claim.on)
                ));
            }
        }
        Ok(())
    }

    fn check(&mut self, comparison: &Comparison, test: &str) -> Result<(), String> {
        let experiments = self.experiments;
        if !experiments
            .iter()
            .any(|experiment| experiment.name == comparison.experiment)
        {
            let known: Vec<&str> = experiments.iter().map(|experiment| experiment.name).collect();
            return Err(format!(
                "there is no experiment `{}`; there are {}",
                comparison.experiment,
                known.join(", ")
            ));
        }
        if let Some(dataset) = comparison
            .dataset
            .as_ref()
            .filter(|name| !self.overlap.contains_key(*name))
        {
            return Err(format!("`overlap` has no data set `{dataset}`"));
        }
        match self.subjects.insert(comparison.subject(self.cells_of), test.to_owned()) {
            Some(other) if other == test => Err("it makes the same comparison twice".to_owned()),
            Some(other) => Err(format!("the same comparison belongs to {other}")),
            None => Ok(()),
        }
    }
}

impl Claims {
    /// How much the samples of the seeds of data sets overlap, as [`Self::overlap`] documents it for the longest name that fits; none
    /// where it has none of them.
    pub fn overlap_of(&self, names: &[&str]) -> Option<f64> {
        // `eicu-demo-mortality` is the label mortality of `eicu-demo`.
        let is_of = |known: &str, name: &str| {
            let rest = name.strip_prefix(known);
            // As are options in its name.
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':']))
        };
        let known = self
            .overlap
            .iter()
            .filter(|(known, _)| names.iter().any(|name| is_of(known, name)));
        known.max_by_key(|(known, _)| known.len()).map(|(_, overlap)| *overlap)
    }
}

impl Test {
    /// The data set that stands in for the paper's, if one does.
    pub fn dataset(&self) -> Option<&str> {
        self.parts.first()?.dataset.as_deref()
    }

    /// The rows that it compares.
    pub fn rows(&self) -> BTreeSet<String> {
        self.parts
            .iter()
            .flat_map(Comparison::rows)
            .map(ToString::to_string)
            .collect()
    }

    /// Whether a row that it is about has a reallocation.
    pub fn is_reallocated(&self) -> bool {
        self.parts.iter().any(|part| part.row.is_reallocated())
    }
}
