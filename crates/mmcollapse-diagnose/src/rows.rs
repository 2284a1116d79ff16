//! Which samples fit the probes and which evaluate them.

use std::collections::BTreeMap;

use mmcollapse_probes::SplitMix64;

use crate::error::{Result, input};
use crate::{Input, Settings};

/// Fewest samples of a class to fit probes, and to evaluate them: each half of the first must have some.
const FEWEST: usize = 4;

/// Fewest samples on either side.
const FEWEST_SAMPLES: usize = 20;

/// Draws of a purpose: those of one purpose never move another's.
pub(crate) fn stream(seed: u64, purpose: &str) -> SplitMix64 {
    // FNV-1a.
    let hash = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    SplitMix64(seed ^ hash)
}

/// Fisher and Yates's shuffle.
pub(crate) fn shuffle<T>(values: &mut [T], draws: &mut SplitMix64) {
    for i in (1..values.len()).rev() {
        values.swap(i, draws.below(i + 1));
    }
}

/// The samples of a diagnosis.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// Samples that fit probes.
    pub fit: Vec<usize>,
    /// Class of each of them.
    pub fit_labels: Vec<u32>,
    /// Whether each is in the second half, for cross-fitting.
    pub fit_half: Vec<bool>,
    /// Samples that evaluate.
    pub evaluate: Vec<usize>,
    /// Class of each of them.
    pub labels: Vec<u32>,
    /// Unit of each evaluated sample: its group, or itself.
    pub units: Vec<usize>,
    /// The classes, as the file has them.
    pub classes: Vec<i64>,
    /// What was left out.
    pub notes: Vec<String>,
}

impl Rows {
    /// Splits, subsamples and leaves out classes of too few samples.
    pub fn of(input_: &Input, settings: &Settings) -> Result<Self> {
        let n = input_.samples();
        let all: Vec<usize> = (0..n).collect();
        let evaluates = match &input_.split {
            Some(split) => split.clone(),
            None => halves(&all, input_, &mut stream(settings.seed, "split")),
        };
        let (evaluate, fit): (Vec<usize>, Vec<usize>) = all.iter().partition(|&&row| evaluates[row]);
        let mut counts: BTreeMap<i64, [usize; 2]> = BTreeMap::new();
        for &row in &all {
            counts.entry(input_.labels[row]).or_default()[usize::from(evaluates[row])] += 1;
        }
        let classes: Vec<i64> = counts
            .iter()
            .filter(|(_, sides)| sides.iter().all(|count| *count >= FEWEST))
            .map(|(class, _)| *class)
            .collect();
        if classes.len() < 2 {
            return Err(input(
                format!(
                    "expected two classes with {FEWEST} samples on each side of the split, got {}",
                    classes.len()
                ),
                "give more samples, or merge classes",
            ));
        }
        let mut notes = Vec::new();
        let lost: Vec<_> = counts.iter().filter(|(class, _)| !classes.contains(class)).collect();
        if !lost.is_empty() {
            let samples: usize = lost.iter().map(|(_, sides)| sides[0] + sides[1]).sum();
            notes.push(format!(
                "{} of {} classes have fewer than {FEWEST} samples on a side of the split; their {samples} samples are left out",
                lost.len(),
                counts.len()
            ));
        }
        let of_class = |row: &usize| classes.binary_search(&input_.labels[*row]).ok();
        let widths = input_.modalities.iter().map(|modality| modality.embedding.columns());
        let fit_most = settings
            .fit_rows
            .unwrap_or_else(|| fit_rows(widths.sum(), classes.len()));
        let mut kept = |mut rows: Vec<usize>, most: usize, what: &str| {
            rows.retain(|row| of_class(row).is_some());
            let had = rows.len();
            if had > most {
                shuffle(&mut rows, &mut stream(settings.seed, what));
                rows.truncate(most);
                rows.sort_unstable();
                notes.push(format!("{most} of {had} samples {what}, drawn at random"));
            }
            rows
        };
        let fit = kept(fit, fit_most, "fit the probes");
        let evaluate = kept(evaluate, settings.evaluate_rows, "evaluate");
        for (rows, what) in [(&fit, "to fit probes"), (&evaluate, "to evaluate")] {
            if rows.len() < FEWEST_SAMPLES {
                let reason = format!("expected at least {FEWEST_SAMPLES} samples {what}, got {}", rows.len());
                return Err(input(reason, "give more samples"));
            }
        }
        let labels = |rows: &[usize]| rows.iter().filter_map(of_class).map(|class| class as u32).collect();
        let halved = halves(&fit, input_, &mut stream(settings.seed, "halves"));
        let mut units: BTreeMap<i64, usize> = BTreeMap::new();
        let unit = |(place, row): (usize, &usize)| match &input_.groups {
            Some(groups) => {
                let next = units.len();
                *units.entry(groups[*row]).or_insert(next)
            }
            None => place,
        };
        Ok(Self {
            fit_labels: labels(&fit),
            fit_half: halved,
            labels: labels(&evaluate),
            units: evaluate.iter().enumerate().map(unit).collect(),
            fit,
            evaluate,
            classes,
            notes,
        })
    }
}

/// Samples that fit probes of `width` features, so that the widest take seconds: 5 million numbers, fewer for more than ten
/// classes, at least 2,000 samples, at most 20,000.
fn fit_rows(width: usize, classes: usize) -> usize {
    (50_000_000 / (width.max(1) * classes.max(10))).clamp(2_000, 20_000)
}

/// Puts each of `rows` on one of two sides of equal size, class by class; groups stay whole.
fn halves(rows: &[usize], input: &Input, draws: &mut SplitMix64) -> Vec<bool> {
    let mut units: BTreeMap<(usize, i64), Vec<usize>> = BTreeMap::new();
    for (place, &row) in rows.iter().enumerate() {
        let key = input.groups.as_ref().map_or((row, 0), |groups| (0, groups[row]));
        units.entry(key).or_default().push(place);
    }
    let mut units: Vec<Vec<usize>> = units.into_values().collect();
    shuffle(&mut units, draws);
    // Large groups first: small ones even out what they leave.
    units.sort_by_key(|unit| std::cmp::Reverse(unit.len()));
    let mut side = vec![false; rows.len()];
    let mut counts: BTreeMap<i64, [f64; 2]> = BTreeMap::new();
    let mut total = [0.0; 2];
    for unit in units {
        let mut excess = 1e-3 * (total[1] - total[0]);
        for &place in &unit {
            let of_class = counts.entry(input.labels[rows[place]]).or_default();
            excess += of_class[1] - of_class[0];
        }
        let second = excess < 0.0 || (excess == 0.0 && draws.below(2) == 1);
        for place in unit {
            side[place] = second;
            counts.entry(input.labels[rows[place]]).or_default()[usize::from(second)] += 1.0;
            total[usize::from(second)] += 1.0;
        }
    }
    side
}
