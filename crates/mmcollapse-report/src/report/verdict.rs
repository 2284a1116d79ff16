//! From a test to a verdict, by a rule that docs/methodology/results.md states.

use std::collections::BTreeMap;

use mmcollapse_probes::{MeasureError, PairedDifference, holm, paired_difference};
use mmcollapse_record::RowName;

use super::claims::{Claim, Direction, Test};
use super::results::Results;
use crate::summary::Column;

/// Level of significance after Holm's correction over the tests of a claim on one data set.
pub const LEVEL: f64 = 0.05;

/// Resamples of the bootstrap that [`paired_difference`] wants; verdicts do not use it.
const RESAMPLES: usize = 100;

/// What a test says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Significant, and the whole interval on the claimed side of 0.
    Holds,
    /// Significant, and the whole interval on the other side.
    Opposite,
    /// The interval excludes a difference as large as the margin in the claimed direction.
    DoesNotHold,
    /// None of these.
    Undecided,
    /// Fewer than two seeds have both numbers, and runs diverged.
    NoNumber,
    /// Fewer than two seeds have both numbers: it has not been run, or not whole.
    NotMeasured,
}

impl Verdict {
    /// For readers.
    pub fn text(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Opposite => "the opposite holds",
            Self::DoesNotHold => "does not hold",
            Self::Undecided => "cannot be decided at this n",
            Self::NoNumber => "no number: runs diverged",
            Self::NotMeasured => "not measured",
        }
    }
}

/// A test with its numbers.
pub struct Tested<'a> {
    pub test: &'a Test,
    /// None if it could not be made.
    pub numbers: Option<(PairedDifference, f64)>,
    pub verdict: Verdict,
}

/// The tests of a claim on one data set and with one kind of settings, which are corrected together.
pub struct Family<'a> {
    /// What stands in for the paper's data; none for those themselves.
    pub dataset: Option<&'a str>,
    /// Whether a search chose each row's settings; else they are the spec's own.
    pub tuned: bool,
    pub tests: Vec<Tested<'a>>,
}

impl Family<'_> {
    /// The verdict, for readers, and the data set it is on where that is not the paper's.
    fn in_words(&self) -> String {
        match self.dataset {
            None => whole(&self.tests),
            Some(dataset) => format!("on {dataset}: {}", whole(&self.tests)),
        }
    }
}

/// Makes the tests of a claim: first those on the paper's data, of which there may be none, then those on each other data
/// set, then those that tuned results allow.
///
/// # Errors
/// Those of the statistics: a value that is not finite.
pub fn families<'a>(claim: &'a Claim, results: &Results) -> Result<Vec<Family<'a>>, MeasureError> {
    let mut datasets = vec![None];
    for test in &claim.tests {
        if !datasets.contains(&test.dataset.as_deref()) {
            datasets.push(test.dataset.as_deref());
        }
    }
    let family = |dataset, tuned| {
        let of_it = claim.tests.iter().filter(|test| test.dataset.as_deref() == dataset);
        Ok(Family {
            dataset,
            tuned,
            tests: tests(of_it.collect(), results, tuned)?,
        })
    };
    let mut families: Vec<Family> = datasets.iter().map(|d| family(*d, false)).collect::<Result<_, _>>()?;
    for dataset in datasets {
        let mut tuned = family(dataset, true)?;
        tuned.tests.retain(|test| test.numbers.is_some());
        if !tuned.tests.is_empty() {
            families.push(tuned);
        }
    }
    Ok(families)
}

fn tests<'a>(family: Vec<&'a Test>, results: &Results, tuned: bool) -> Result<Vec<Tested<'a>>, MeasureError> {
    let mut differences = Vec::new();
    for test in &family {
        let ours = quantity(test, &test.row, results, tuned);
        let against = match &test.against {
            Some(row) => quantity(test, row, results, tuned),
            None => ours.keys().map(|seed| (*seed, 0.0)).collect(),
        };
        let pairs = || {
            ours.iter()
                .filter_map(|(seed, value)| Some((*value, *against.get(seed)?)))
        };
        let (a, b): (Vec<f64>, Vec<f64>) = pairs().unzip();
        differences.push(if a.len() > 1 {
            Some(paired_difference(&a, &b, RESAMPLES, 0)?)
        } else {
            None
        });
    }
    let p: Vec<f64> = differences.iter().flatten().map(|d| d.wilcoxon.p).collect();
    let mut corrected = holm(&p)?.into_iter();
    let tested = family.into_iter().zip(differences).map(|(test, difference)| {
        let numbers = difference.and_then(|d| Some((d, corrected.next()?)));
        let without = || {
            if diverged(test, results, tuned) {
                Verdict::NoNumber
            } else {
                Verdict::NotMeasured
            }
        };
        Tested {
            test,
            verdict: numbers.as_ref().map_or_else(without, |(d, p)| judge(test, d, *p)),
            numbers,
        }
    });
    Ok(tested.collect())
}

/// Whether a run of the rows of a test diverged.
fn diverged(test: &Test, results: &Results, tuned: bool) -> bool {
    let measured = results.get(&test.experiment, test.dataset.as_deref(), tuned);
    let mut rows = [Some(&test.row), test.against.as_ref()].into_iter().flatten();
    measured.is_some_and(|measured| rows.any(|row| measured.diverged(&test.protocol, row)))
}

/// The quantity of a row that is compared, by seed.
fn quantity(test: &Test, row: &RowName, results: &Results, tuned: bool) -> BTreeMap<u64, f64> {
    let Some(measured) = results.get(&test.experiment, test.dataset.as_deref(), tuned) else {
        return BTreeMap::new();
    };
    let at = |level| measured.by_seed(&test.protocol, row, &test.metric, Column::of(level));
    match (test.from, test.to) {
        (Some(from), Some(to)) => {
            let (from, to) = (at(Some(from)), at(Some(to)));
            let change = |(seed, end): (&u64, &f64)| Some((*seed, end - from.get(seed)?));
            to.iter().filter_map(change).collect()
        }
        _ => at(test.level),
    }
}

fn judge(test: &Test, difference: &PairedDifference, p: f64) -> Verdict {
    let Some(interval) = difference.estimate.interval else {
        return Verdict::NotMeasured;
    };
    // Turned so that the claimed side is above 0.
    let (low, high) = match test.claimed {
        Direction::Higher => (interval.low, interval.high),
        Direction::Lower => (-interval.high, -interval.low),
    };
    if p < LEVEL && low > 0.0 {
        Verdict::Holds
    } else if p < LEVEL && high < 0.0 {
        Verdict::Opposite
    } else if high < test.margin {
        Verdict::DoesNotHold
    } else {
        Verdict::Undecided
    }
}

/// The verdict on a claim by the paper's own data, for readers.
pub fn on_own_data(families: &[Family]) -> String {
    match families {
        [own, _, ..] if own.tests.is_empty() => "not tested on the paper's data".to_owned(),
        [own, ..] => whole(&own.tests),
        [] => whole(&[]),
    }
}

/// The verdicts on a claim with the specs' settings, for readers: by the paper's own data, and apart from it by each other
/// data set.
pub fn in_words(families: &[Family]) -> String {
    let others = families.iter().filter(|f| !f.tuned && f.dataset.is_some());
    let own = [on_own_data(families)].into_iter();
    own.chain(others.map(Family::in_words)).collect::<Vec<_>>().join("; ")
}

/// The verdicts on a claim with tuned settings, for readers; none where nothing was tuned.
pub fn with_tuned_settings(families: &[Family]) -> Option<String> {
    let tuned = families.iter().filter(|family| family.tuned);
    let words: Vec<String> = tuned.map(Family::in_words).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// The verdict of all tests on one data set, for readers.
pub fn whole(tested: &[Tested]) -> String {
    let count = |like: &[Verdict]| tested.iter().filter(|t| like.contains(&t.verdict)).count();
    let measured = tested.iter().filter(|t| t.numbers.is_some()).count();
    let (holds, fails) = (
        count(&[Verdict::Holds]),
        count(&[Verdict::DoesNotHold, Verdict::Opposite]),
    );
    let verdict = if tested.is_empty() {
        return "not tested here yet".to_owned();
    } else if measured == 0 {
        let diverged = count(&[Verdict::NoNumber]) == tested.len();
        let verdict = if diverged {
            Verdict::NoNumber
        } else {
            Verdict::NotMeasured
        };
        return verdict.text().to_owned();
    } else if holds == measured {
        "holds".to_owned()
    } else if fails == measured {
        "does not hold".to_owned()
    } else if holds > 0 {
        format!("holds in part: {holds} of {measured} tests hold, {fails} do not")
    } else if fails > 0 {
        format!("no test holds: {fails} of {measured} do not, the rest cannot be decided at this n")
    } else {
        Verdict::Undecided.text().to_owned()
    };
    let of = |verdict| Some(count(&[verdict])).filter(|left| *left > 0);
    let total = tested.len();
    let diverged = of(Verdict::NoNumber).map(|n| format!(" (no number in {n} of {total} tests: runs diverged)"));
    let unmeasured = of(Verdict::NotMeasured).map(|n| format!(" ({n} of {total} tests not measured)"));
    verdict + &diverged.unwrap_or_default() + &unmeasured.unwrap_or_default()
}
