//! From a test to a verdict, by a rule that docs/methodology/results.md states.

use miette::{IntoDiagnostic, Result, miette};
use mmcollapse_probes::{
    Claimed, Comparison as Difference, Interval, Judged, Judgement, Reason, Spread, Verdict, judge, kink, mean,
    quantile, slope, standard_deviation, wilcoxon_signed_rank,
};
use mmcollapse_record::manipulation::{PASSING, REALLOCATED};
use mmcollapse_record::{Metric, RowName, Setting, same_level};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::claims::{Check, Claim, Claims, Comparison, Direction, FamilyRule, Line, Need, Over, Seeds, Test};
use super::results::{Measured, Results};
use super::stated::{Standing, Stated};

/// Level of the intervals of exploratory comparisons.
const LEVEL: f64 = 0.95;

/// The share of diverged runs from which on a row's representation is not compared.
pub(crate) const DIVERGED: f64 = 0.1;

/// The share of a test's seeds that have to be there: a few may lack a score, a part of the seeds is no test.
const SEEDS: f64 = 0.9;

/// A comparison with its numbers.
pub struct Compared<'a> {
    pub comparison: &'a Comparison,
    /// What is compared, for readers.
    pub name: String,
    /// Whether a search chose each row's settings; else they are the spec's own.
    pub tuned: bool,
    /// The difference of each seed; of logarithms where ratios are compared.
    differences: Vec<f64>,
    /// Share of diverged runs of the row and of the one that it is compared with, whichever is larger.
    pub diverged: f64,
    /// Mean and spread with the interval, at the level of the family where the comparison has a verdict, else at 95 %.
    pub estimate: Option<(Spread, Interval)>,
    /// What it says by itself; none in an exploratory comparison.
    pub verdict: Option<Verdict>,
}

/// A primary test with its numbers.
pub struct Tested<'a> {
    pub test: &'a Test,
    pub parts: Vec<Compared<'a>>,
    pub verdict: Verdict,
    /// Whether it was stated before its runs.
    pub standing: Standing,
}

/// What was found of a claim on one data set.
pub struct Family<'a> {
    /// What stands in for the paper's data; none for those themselves.
    pub dataset: Option<&'a str>,
    /// The data for readers.
    pub on: &'a str,
    /// The tests, which share the level of error.
    pub primary: Vec<Tested<'a>>,
    /// Comparisons that have intervals only: the claim's own, and its tests with tuned settings.
    pub exploratory: Vec<Compared<'a>>,
}

/// Makes the tests of a claim, on the paper's data first, if there are any, then on each other data set.
///
/// # Errors
/// A value that is not finite, a data set of which it is not known how its seeds draw.
pub fn families<'a>(claim: &'a Claim, claims: &Claims, results: &Results, stated: &Stated) -> Result<Vec<Family<'a>>> {
    let mut datasets: Vec<Option<&str>> = Vec::new();
    let of_tests = claim.primary.iter().map(Test::dataset);
    for dataset in of_tests.chain(claim.exploratory.iter().map(|c| c.dataset.as_deref())) {
        if !datasets.contains(&dataset) {
            datasets.push(dataset);
        }
    }
    datasets.sort_by_key(Option::is_some);
    let source = Source { claims, results };
    datasets
        .into_iter()
        .map(|dataset| {
            let tests: Vec<&Test> = claim.primary.iter().filter(|test| test.dataset() == dataset).collect();
            let primary = tests
                .iter()
                .map(|test| source.tested(test, claim.needs, tests.len(), stated))
                .collect::<Result<_>>()?;
            let own = claim.exploratory.iter().filter(|c| c.dataset.as_deref() == dataset);
            let own = own.filter(|c| source.measured(c, false).is_none_or(|measured| !measured.stale));
            let mut exploratory = own.map(|c| source.explored(c, false)).collect::<Result<Vec<_>>>()?;
            exploratory.retain(|compared| compared.estimate.is_some());
            for test in &tests {
                for comparison in &test.parts {
                    let mut tuned = source.explored(comparison, true)?;
                    if test.parts.len() > 1 {
                        tuned.name = format!("{}: {}", test.says, tuned.name);
                    }
                    tuned.name += ", settings tuned";
                    exploratory.extend(tuned.estimate.is_some().then_some(tuned));
                }
            }
            Ok(Family {
                dataset,
                on: dataset.unwrap_or(&claim.on),
                primary,
                exploratory,
            })
        })
        .collect()
}

/// Where comparisons get their numbers from.
struct Source<'a> {
    claims: &'a Claims,
    results: &'a Results,
}

impl Source<'_> {
    fn tested<'a>(&self, test: &'a Test, needs: Option<Need>, family: usize, stated: &Stated) -> Result<Tested<'a>> {
        let on = |counts: &dyn Fn(u64) -> bool| -> Result<Vec<Compared<'a>>> {
            let parts = test.parts.iter();
            parts
                .map(|comparison| self.compared(comparison, false, counts))
                .collect()
        };
        let is_run = |parts: &[Compared]| parts.iter().all(|part| part.has(test.seeds));
        let own = on(&|seed| test.seeds.has(seed))?;
        // Until its seeds are run, what there is of others is shown: it suggests, and confirms nothing.
        let others = if is_run(&own) {
            None
        } else {
            Some(on(&|_| true)?).filter(|others| is_run(others))
        };
        let on_others = others.is_some();
        let compared = others.unwrap_or(own);
        let difference = |one: &Compared| match self.withheld(one, test.seeds, needs) {
            Some(reason) => Err(reason),
            None => Ok(Difference {
                differences: one.differences.clone(),
                q: one.estimate.map_or(0.0, |(spread, _)| spread.q),
                claimed: Claimed::from(one.comparison.claimed),
                margin: one.comparison.log_margin(),
            }),
        };
        let differences: Vec<_> = compared.iter().map(difference).collect();
        let Judgement { parts, verdict } = judge(&differences, family).into_diagnostic()?;
        let with = |(one, judged): (Compared<'a>, _)| match judged {
            Ok(Judged {
                spread,
                interval,
                verdict,
            }) => Compared {
                estimate: Some((spread, interval)),
                verdict: Some(verdict),
                ..one
            },
            // Not tested, its interval is that of its family all the same.
            Err(reason) => Compared {
                estimate: one.estimate.and_then(|(spread, _)| {
                    let level = Claimed::from(one.comparison.claimed).level(family);
                    Some((spread, spread.interval(level).ok()?))
                }),
                verdict: Some(Verdict::NotTested(reason)),
                ..one
            },
        };
        let run = !matches!(verdict, Verdict::NotTested(Reason::NotMeasured | Reason::Stale));
        let measured = test
            .parts
            .first()
            .and_then(|one| self.measured(one, false))
            .filter(|_| run);
        Ok(Tested {
            test,
            parts: compared.into_iter().zip(parts).map(with).collect(),
            verdict,
            standing: match measured {
                None if matches!(verdict, Verdict::NotTested(Reason::Stale)) => Standing::Stale,
                None => Standing::NotRun,
                Some(_) if on_others => Standing::OtherSeeds,
                Some(measured) => stated.standing(test, FamilyRule { tests: family, needs }, measured),
            },
        })
    }

    fn explored<'a>(&self, comparison: &'a Comparison, tuned: bool) -> Result<Compared<'a>> {
        self.compared(comparison, tuned, &|_| true)
    }

    fn measured(&self, comparison: &Comparison, tuned: bool) -> Option<&Measured> {
        self.results
            .get(&comparison.experiment, comparison.dataset.as_deref(), tuned)
    }

    /// The numbers of a comparison, with an interval of its own.
    fn compared<'a>(
        &self,
        comparison: &'a Comparison,
        tuned: bool,
        counts: &dyn Fn(u64) -> bool,
    ) -> Result<Compared<'a>> {
        let mut compared = Compared {
            comparison,
            name: comparison.name.clone(),
            tuned,
            differences: Vec::new(),
            diverged: 0.0,
            estimate: None,
            verdict: None,
        };
        let Some(measured) = self.measured(comparison, tuned).filter(|measured| !measured.stale) else {
            return Ok(compared);
        };
        compared.differences = comparison.differences(measured, counts);
        let shares = comparison
            .rows()
            .filter_map(|row| measured.diverged(&comparison.protocol, row, counts));
        compared.diverged = shares.fold(0.0, f64::max);
        if compared.differences.len() > 1 {
            let spread = Spread::of(&compared.differences, self.overlap(measured)?).into_diagnostic()?;
            compared.estimate = Some((spread, spread.interval(LEVEL).into_diagnostic()?));
        }
        Ok(compared)
    }

    /// Why a comparison of a primary test has no verdict, if it has none.
    fn withheld(&self, compared: &Compared, seeds: Seeds, needs: Option<Need>) -> Option<Reason> {
        let comparison = compared.comparison;
        let measured = self.measured(comparison, compared.tuned);
        if measured.is_some_and(|measured| measured.stale) {
            return Some(Reason::Stale);
        }
        let of_representation = comparison.metric.definition().needs_whole_runs();
        let estimated = compared.estimate.is_some();
        if compared.diverged > DIVERGED && (of_representation || !estimated) {
            return Some(Reason::Diverged);
        }
        if !compared.has(seeds) {
            let is_run = |row: &RowName| measured.is_none_or(|measured| measured.has(&comparison.protocol, row));
            let all_run = comparison.rows().all(is_run);
            return Some(if all_run { Reason::NotMeasured } else { Reason::NotRun });
        }
        lacks(needs?, comparison, measured?)
    }

    /// How much the samples of the seeds of a result overlap.
    fn overlap(&self, measured: &Measured) -> Result<f64> {
        let names = measured.trained_on();
        let documented = self.claims.overlap_of(&names).ok_or_else(|| {
            miette!(
                help = "add the data set there: 0 where each seed draws its own samples, else its test samples by its training samples",
                "experiments/claims.yaml: `overlap` has none of the data sets {names:?} of {}",
                measured.id
            )
        })?;
        Ok(if documented > 0.0 {
            measured.test_to_train().unwrap_or(documented)
        } else {
            0.0
        })
    }
}

/// Why the row that a comparison is about lacks a manipulation check; nothing for a row without reallocation.
fn lacks(need: Need, comparison: &Comparison, measured: &Measured) -> Option<Reason> {
    let Check::Reallocated = need.check;
    if !comparison.row.is_reallocated() {
        return None;
    }
    match measured.passing(REALLOCATED, &comparison.protocol, &comparison.row) {
        None => Some(Reason::CheckNotMade),
        Some(_) if !measured.check_is_sound(&comparison.protocol, &comparison.row) => Some(Reason::CheckUnsound),
        Some(share) => (share < PASSING).then_some(Reason::CheckFailed),
    }
}

impl Comparison {
    /// The margin in the unit of the differences.
    fn log_margin(&self) -> f64 {
        let margin = self.margin.unwrap_or_default();
        if self.is_of_ratios() { libm::log(margin) } else { margin }
    }

    /// The difference of each seed that both rows have and `counts` takes.
    fn differences(&self, measured: &Measured, counts: &dyn Fn(u64) -> bool) -> Vec<f64> {
        match (&self.along, self.over) {
            (Some(along), Over::Line(line)) => return self.of_line(line, along, measured, counts),
            (Some(along), _) => return self.correlation(along, measured, counts),
            (None, _) => {}
        }
        if !self.doses.is_empty() {
            return self.over_doses(measured, counts);
        }
        // Of two rows under one protocol only what both have counts: a row may have been run at fewer levels.
        let shared = self.against.as_ref().filter(|_| self.against_protocol.is_none());
        let shared = shared.map(|row| measured.levels(&self.protocol, &[&self.row, row], &self.metric));
        let quantities = |protocol, row| self.quantities(protocol, row, measured, shared.as_deref());
        let ours = quantities(&self.protocol, &self.row);
        let other = self.against_protocol.as_ref().unwrap_or(&self.protocol);
        let against = self.against.as_ref().map(|row| quantities(other, row));
        let of_seed = |(seed, ours): (&u64, &f64)| match &against {
            Some(against) => Some(ours - against.get(seed)?),
            None => Some(*ours),
        };
        let counted = ours.iter().filter(|(seed, _)| counts(**seed));
        counted.filter_map(of_seed).collect()
    }

    /// Of each seed that `counts` takes the product of both metrics in standard deviations from their means over seeds, the mean
    /// over levels: the mean over seeds is Pearson's correlation within a level, the mean over levels.
    fn correlation(&self, along: &Metric, measured: &Measured, counts: &dyn Fn(u64) -> bool) -> Vec<f64> {
        let of = |metric: &Metric| {
            let mut seeds = measured.by_seed(&self.protocol, &self.row, metric, None);
            seeds.retain(|seed, _| counts(*seed));
            for levels in seeds.values_mut() {
                levels.sort_by(|a, b| a.0.total_cmp(&b.0));
            }
            seeds
        };
        let (ours, theirs) = (of(&self.metric), of(along));
        let seeds: Vec<u64> = ours.keys().copied().filter(|seed| theirs.contains_key(seed)).collect();
        let levels = seeds.first().and_then(|seed| ours.get(seed)).map_or(0, Vec::len);
        let mut products = vec![0.0; seeds.len()];
        for level in 0..levels {
            let standard = |of: &BTreeMap<u64, Vec<(f64, f64)>>| -> Option<Vec<f64>> {
                let values: Option<Vec<f64>> = seeds.iter().map(|seed| Some(of.get(seed)?.get(level)?.1)).collect();
                let values = values?;
                let (mean, sd) = (mean(&values).ok()?, standard_deviation(&values).ok()?);
                (sd > 0.0).then(|| values.iter().map(|value| (value - mean) / sd).collect())
            };
            // What does not vary over seeds is correlated with nothing.
            let (Some(ours), Some(theirs)) = (standard(&ours), standard(&theirs)) else {
                continue;
            };
            let n = seeds.len() as f64;
            for (product, (a, b)) in products.iter_mut().zip(ours.iter().zip(theirs)) {
                *product += a * b * n / (n - 1.0) / levels as f64;
            }
        }
        products
    }

    /// Of each seed that `counts` takes what is asked of the line of the metric over `along`, a point for each level.
    fn of_line(&self, line: Line, along: &Metric, measured: &Measured, counts: &dyn Fn(u64) -> bool) -> Vec<f64> {
        let of = |metric| measured.by_seed(&self.protocol, &self.row, metric, None);
        let (ours, mut theirs) = (of(&self.metric), of(along));
        let of_seed = |(seed, ours): (u64, Vec<(f64, f64)>)| -> Option<f64> {
            let theirs = theirs.remove(&seed).filter(|_| counts(seed))?;
            let point = |(level, value): &(f64, f64)| Some((Over::Level(*level).of(&theirs)?, *value));
            let points: Option<Vec<(f64, f64)>> = ours.iter().map(point).collect();
            line.of(&points?)
        };
        ours.into_iter().filter_map(of_seed).collect()
    }

    /// Of each seed that `counts` takes the slope over the doses, times their range.
    fn over_doses(&self, measured: &Measured, counts: &dyn Fn(u64) -> bool) -> Vec<f64> {
        let of_dose = |(row, dose): &(RowName, f64)| (*dose, self.quantities(&self.protocol, row, measured, None));
        let doses: Vec<(f64, BTreeMap<u64, f64>)> = self.doses.iter().map(of_dose).collect();
        let of_seed = |seed: u64| -> Option<f64> {
            let values: Option<Vec<(f64, f64)>> =
                doses.iter().map(|(dose, of)| Some((*dose, *of.get(&seed)?))).collect();
            Over::Trend.of(&values?)
        };
        let seeds = doses.first().into_iter().flat_map(|(_, first)| first.keys().copied());
        seeds.filter(|seed| counts(*seed)).filter_map(of_seed).collect()
    }

    /// The quantity of a row that is compared, by seed, of these levels; its logarithm where ratios are.
    fn quantities(
        &self,
        protocol: &Setting,
        row: &RowName,
        measured: &Measured,
        levels: Option<&[f64]>,
    ) -> BTreeMap<u64, f64> {
        let seeds = measured.by_seed(protocol, row, &self.metric, levels);
        let quantity = |(seed, levels): (u64, Vec<(f64, f64)>)| {
            let levels = levels.into_iter().map(|(level, value)| {
                let value = if self.is_of_ratios() { libm::log(value) } else { value };
                (level, value)
            });
            let levels: Vec<(f64, f64)> = levels.collect();
            Some((seed, self.over.of(&levels).filter(|value| value.is_finite())?))
        };
        seeds.into_iter().filter_map(quantity).collect()
    }
}

impl Over {
    /// The number of a seed's levels and values; none where it lacks one of the levels.
    fn of(self, levels: &[(f64, f64)]) -> Option<f64> {
        let at = |wanted| {
            let found = levels.iter().find(|(level, _)| same_level(*level, wanted));
            found.map(|(_, value)| *value)
        };
        match self {
            Self::Level(level) => at(level),
            Self::Change(from, to) => Some(at(to)? - at(from)?),
            // Of a line nothing is known without the metric that it is over.
            Self::Line(_) => None,
            Self::Mean => {
                let sum: f64 = levels.iter().map(|(_, value)| value).sum();
                (!levels.is_empty()).then(|| sum / levels.len() as f64)
            }
            Self::Trend => {
                let (levels, values): (Vec<f64>, Vec<f64>) = levels.iter().copied().unzip();
                let low = levels.iter().copied().reduce(f64::min)?;
                let high = levels.iter().copied().reduce(f64::max)?;
                Some(slope(&levels, &values).ok()? * (high - low))
            }
            Self::Kink(at) => {
                let (levels, values): (Vec<f64>, Vec<f64>) = levels.iter().copied().unzip();
                let high = levels.iter().copied().reduce(f64::max)?;
                Some(kink(&levels, &values, at).ok()? * (high - at))
            }
        }
    }
}

impl Line {
    /// What is asked of the least-squares line through points (x, y); none where all x or all y are the same.
    fn of(self, points: &[(f64, f64)]) -> Option<f64> {
        let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        let slope = slope(&x, &y).ok()?;
        let (center, middle) = (mean(&x).ok()?, mean(&y).ok()?);
        let value = match self {
            Self::Intercept => (middle - slope * center) / middle,
            Self::Unexplained => {
                let left = |(x, y): &(f64, f64)| (y - middle - slope * (x - center)).powi(2);
                let all = |y: &f64| (y - middle).powi(2);
                points.iter().map(left).sum::<f64>() / y.iter().map(all).sum::<f64>()
            }
        };
        value.is_finite().then_some(value)
    }
}

impl Compared<'_> {
    /// Whether it has as many differences as a test on these seeds needs.
    fn has(&self, seeds: Seeds) -> bool {
        self.differences.len() as f64 >= SEEDS * seeds.n as f64
    }

    /// The exact two-sided p of the signed-rank test of 0, which decides nothing; none for equivalence, which asks for the margin.
    pub fn wilcoxon(&self) -> Option<f64> {
        if matches!(self.comparison.claimed, Direction::AtMost | Direction::Within) {
            return None;
        }
        wilcoxon_signed_rank(&self.differences).ok().map(|test| test.p)
    }

    /// The median difference, where so many runs diverged that the mean alone misleads.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.differences.clone();
        sorted.sort_by(f64::total_cmp);
        (self.diverged > DIVERGED && !sorted.is_empty()).then(|| quantile(&sorted, 0.5))
    }

    /// Mean and interval in units of the margin, the claimed side above 0; none without a verdict.
    pub fn relative(&self) -> Option<(f64, Interval)> {
        let (spread, interval) = self.estimate?;
        if matches!(self.verdict, None | Some(Verdict::NotTested(_))) {
            return None;
        }
        let margin = self.comparison.log_margin();
        let turned = |difference: f64| match self.comparison.claimed {
            Direction::Higher => difference / margin,
            Direction::Lower => -difference / margin,
            // The bound lies at 0, and no difference at all at 1.
            Direction::AtMost => 1.0 - difference / margin,
            Direction::Within => 1.0 - difference.abs() / margin,
        };
        let ends = [turned(interval.low), turned(interval.high)];
        let spans_none = self.comparison.claimed == Direction::Within && interval.low * interval.high < 0.0;
        let interval = Interval {
            low: ends[0].min(ends[1]),
            high: if spans_none { 1.0 } else { ends[0].max(ends[1]) },
        };
        Some((turned(spread.mean), interval))
    }
}

impl Tested<'_> {
    /// The part that decides: of those with the verdict of the whole the one whose interval ends lowest, in units of its margin.
    pub fn deciding(&self) -> Option<&Compared<'_>> {
        let upper = |part: &Compared| part.relative().map_or(f64::INFINITY, |(_, interval)| interval.high);
        let like = |part: &Compared| part.verdict.is_some_and(|verdict| word(verdict) == word(self.verdict));
        let shown = self.parts.iter().filter(|part| part.relative().is_some() && like(part));
        shown.min_by(|a, b| upper(a).total_cmp(&upper(b)))
    }
}

/// The word of a verdict, by which verdicts are counted.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Supported { .. } => "supported",
        Verdict::Contradicted => "contradicted",
        Verdict::Excluded => "excluded",
        Verdict::Inconclusive { .. } => "inconclusive",
        Verdict::CannotDecide => "these data cannot decide",
        Verdict::NotTested(_) => "not tested",
    }
}

/// Why a test has no verdict, for readers.
pub fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::NotMeasured => "too few of its seeds are measured",
        Reason::NotRun => "its preset has no such row",
        Reason::Stale => "its runs are of an earlier revision",
        Reason::Diverged => "more than a tenth of the runs diverged",
        Reason::CheckNotMade => "the manipulation check was not made",
        Reason::CheckFailed => "too few runs pass the manipulation check",
        Reason::CheckUnsound => "the manipulation check failed its own controls",
    }
}

/// The verdicts of tests counted, for readers: `2 of 4 supported, 1 contradicted, 1 not tested`.
pub fn counts(tested: &[Tested]) -> String {
    if tested.is_empty() {
        return "no test".to_owned();
    }
    let words = [
        "supported",
        "contradicted",
        "excluded",
        "inconclusive",
        "these data cannot decide",
        "not tested",
    ];
    let count = |wanted: &str| tested.iter().filter(|test| word(test.verdict) == wanted).count();
    let all = words.map(|word| (word, count(word)));
    let written = |word: &'static str| match word {
        "these data cannot decide" => "cannot be decided on these data",
        word => word,
    };
    let total = tested.len();
    if let Some((word, _)) = all.iter().find(|(_, n)| *n == total) {
        return format!("{total} of {total} {}", written(word));
    }
    let [(_, supported), others @ ..] = all;
    let mut text = format!("{supported} of {total} supported");
    for (word, n) in others.iter().filter(|(_, n)| *n > 0) {
        let _ = write!(text, ", {n} {}", written(word));
    }
    text
}

/// The counts of each data set, for readers.
pub fn in_words(families: &[Family]) -> String {
    if families.iter().all(|family| family.primary.is_empty()) {
        return "not tested here yet".to_owned();
    }
    let own = families.iter().any(|family| family.dataset.is_none());
    let none = (!own).then(|| "the paper's data: not tested".to_owned());
    let each = families
        .iter()
        .map(|family| format!("{}: {}", family.on, counts(&family.primary)));
    none.into_iter().chain(each).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// y = 2 + 0.5 x with one point moved: by hand, and as scipy's `linregress` has them.
    #[test]
    fn a_line_meets_the_axis_and_leaves_a_part() {
        let on = [(2.0, 3.0), (4.0, 4.0), (6.0, 5.0)];
        assert!((Line::Intercept.of(&on).unwrap() - 0.5).abs() < 1e-12);
        assert!(Line::Unexplained.of(&on).unwrap().abs() < 1e-12);
        let off = [(0.0, 1.0), (1.0, 3.0), (2.0, 2.0)];
        // Slope 0.5, mean 2: the axis at 1.5; residuals -0.5, 1, -0.5 of a sum of squares of 2.
        assert!((Line::Intercept.of(&off).unwrap() - 0.75).abs() < 1e-12);
        assert!((Line::Unexplained.of(&off).unwrap() - 0.75).abs() < 1e-12);
        assert_eq!(Line::Unexplained.of(&[(0.0, 1.0), (1.0, 1.0)]), None);
        assert_eq!(Line::Intercept.of(&[(1.0, 0.0), (1.0, 1.0)]), None);
    }
}
