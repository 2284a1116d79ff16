//! Which samples fit the probes and which evaluate them.

use std::collections::{BTreeMap, BTreeSet};

use mmcollapse_probes::SplitMix64;

use crate::error::{Result, input};
use crate::{Input, Settings};

/// Fewest samples of a class to fit probes, and to evaluate them: each half of the first must have some.
const FEWEST: usize = 4;

/// Fewest samples on either side.
const FEWEST_SAMPLES: usize = 20;

/// Fewest groups on either side: draws of fewer say nothing of how groups differ.
const FEWEST_GROUPS: usize = 10;

/// Fewest groups of a class on either side: each half of those that fit must have one.
const FEWEST_GROUPS_OF_CLASS: usize = 2;

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
        enough_groups(input_, &fit, &evaluate)?;
        let mut counts: BTreeMap<i64, [Count; 2]> = BTreeMap::new();
        for &row in &all {
            let of_class = counts.entry(input_.labels[row]).or_default();
            of_class[usize::from(evaluates[row])].add(input_, row);
        }
        let classes: Vec<i64> = counts
            .iter()
            .filter(|(_, sides)| sides.iter().all(|side| side.suffices(input_)))
            .map(|(class, _)| *class)
            .collect();
        let least = if input_.groups.is_some() {
            format!("{FEWEST} samples of {FEWEST_GROUPS_OF_CLASS} groups")
        } else {
            format!("{FEWEST} samples")
        };
        if classes.len() < 2 {
            return Err(input(
                format!(
                    "{}: expected two classes with {least} on each side of the split, got {}",
                    input_.named("labels"),
                    classes.len()
                ),
                "give more samples, or merge classes",
            ));
        }
        let mut notes = Vec::new();
        let lost: Vec<_> = counts.iter().filter(|(class, _)| !classes.contains(class)).collect();
        if !lost.is_empty() {
            let samples: usize = lost.iter().map(|(_, sides)| sides[0].samples + sides[1].samples).sum();
            notes.push(format!(
                "{} of {} classes have fewer than {least} on a side of the split; their {samples} samples are left out",
                lost.len(),
                counts.len()
            ));
        }
        let of_class = |row: &usize| classes.binary_search(&input_.labels[*row]).ok();
        let widths = input_.modalities.iter().map(|modality| modality.embedding.columns());
        let fit_most = settings
            .fit_rows
            .unwrap_or_else(|| fit_rows(widths.sum(), classes.len()));
        let mut kept = |mut rows: Vec<usize>, most: usize, of_each: usize, what: &str| {
            rows.retain(|row| of_class(row).is_some());
            let (had, most) = (rows.len(), most.max(of_each * classes.len()));
            if had > most {
                shuffle(&mut rows, &mut stream(settings.seed, what));
                let mut taken = vec![BTreeSet::new(); classes.len()];
                let is_needed = |row: &usize| {
                    let of = &mut taken[of_class(row).unwrap_or_default()];
                    let unit = input_.groups.as_ref().map_or(*row as i64, |groups| groups[*row]);
                    of.len() < of_each && of.insert(unit)
                };
                let (mut drawn, others): (Vec<usize>, Vec<usize>) = rows.into_iter().partition(is_needed);
                drawn.extend(others);
                drawn.truncate(most);
                drawn.sort_unstable();
                rows = drawn;
                notes.push(format!("{most} of {had} samples {what}, drawn at random"));
            }
            rows
        };
        // A class of which nothing fits would be impossible to the probes: two, one for each half.
        let fit = kept(fit, fit_most, 2, "fit the probes");
        let evaluate = kept(evaluate, settings.evaluate_rows, 0, "evaluate");
        for (rows, what) in [(&fit, "to fit probes"), (&evaluate, "to evaluate")] {
            if rows.len() < FEWEST_SAMPLES {
                let reason = format!(
                    "{}: expected at least {FEWEST_SAMPLES} samples {what}, got {}",
                    input_.named("labels"),
                    rows.len()
                );
                return Err(input(reason, "give more samples"));
            }
        }
        let labels = |rows: &[usize]| rows.iter().filter_map(of_class).map(|class| class as u32).collect();
        enough_groups(input_, &fit, &evaluate)?;
        let halved = halves(&fit, input_, &mut stream(settings.seed, "halves"));
        both_halves(input_, &fit, &halved, &classes)?;
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

/// Samples of a class on one side, and their groups.
#[derive(Default)]
struct Count {
    samples: usize,
    groups: BTreeSet<i64>,
}

impl Count {
    fn add(&mut self, input: &Input, row: usize) {
        self.samples += 1;
        self.groups.extend(input.groups.as_ref().map(|groups| groups[row]));
    }

    fn suffices(&self, input: &Input) -> bool {
        self.samples >= FEWEST && (input.groups.is_none() || self.groups.len() >= FEWEST_GROUPS_OF_CLASS)
    }
}

/// Refuses few groups: the interval of three looks narrow and means nothing.
fn enough_groups(model: &Input, fit: &[usize], evaluate: &[usize]) -> Result<()> {
    let Some(groups) = &model.groups else { return Ok(()) };
    for (rows, what) in [(fit, "to fit probes"), (evaluate, "to evaluate")] {
        let count = rows.iter().map(|&row| groups[row]).collect::<BTreeSet<i64>>().len();
        if count < FEWEST_GROUPS {
            return Err(input(
                format!(
                    "{}: expected at least {FEWEST_GROUPS} groups {what}, got {count}",
                    model.named("groups")
                ),
                "give samples of more groups, or leave `groups` out if the samples are independent",
            ));
        }
    }
    Ok(())
}

/// Refuses a class that one half of the samples that fit probes lacks: the probe of that half would call it impossible.
fn both_halves(model: &Input, fit: &[usize], halved: &[bool], classes: &[i64]) -> Result<()> {
    for class in classes {
        for half in [false, true] {
            let has = |(row, side): (&usize, &bool)| *side == half && model.labels[*row] == *class;
            if !fit.iter().zip(halved).any(has) {
                return Err(input(
                    format!(
                        "{}: expected class {class} in both halves of the groups that fit probes, got one",
                        model.named("groups")
                    ),
                    format!("give more groups of class {class}, or leave its samples out of every array"),
                ));
            }
        }
    }
    Ok(())
}

/// Samples that fit probes of `width` features: 50 million logits' products, at least 2,000 samples, at most 20,000.
fn fit_rows(width: usize, classes: usize) -> usize {
    (50_000_000 / (width * classes).max(1)).clamp(2_000, 20_000)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planted::PlantedModel;

    /// As docs/diagnose.md and the help of `--fit-rows` say.
    #[test]
    fn samples_that_fit_are_fifty_million_by_width_and_classes() {
        assert_eq!(fit_rows(2_048, 2), 12_207);
        assert_eq!(fit_rows(2_048, 10), 2_441);
        assert_eq!((fit_rows(16, 2), fit_rows(4_096, 1_000)), (20_000, 2_000));
    }

    #[test]
    fn a_class_that_one_half_lacks_is_refused() {
        let model = PlantedModel {
            samples: 4,
            ..PlantedModel::default()
        };
        let mut input = model.draw(0).unwrap();
        input.labels = vec![0, 1, 0, 0];
        let asked = |classes: &[i64]| both_halves(&input, &[0, 1, 2, 3], &[false, false, true, true], classes);
        asked(&[0]).unwrap();
        let error = asked(&[0, 1]).unwrap_err().to_string();
        assert!(error.contains("`groups`: expected class 1 in both halves"), "{error}");
    }
}
