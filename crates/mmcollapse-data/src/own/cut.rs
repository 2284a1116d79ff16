//! Training, validation and test of a user's data set.

use std::collections::BTreeMap;
use std::ops::Range;

use mmcollapse_nn::random::Stream;

use super::described::{Description, Fractions};
use super::read::Columns;
use crate::{DataError, Presence, Rows, Samples};

/// Samples of training, validation and test, by their rows.
pub(super) type Splits = [Vec<usize>; 3];

const NAMES: [&str; 3] = ["training", "validation", "test"];

/// Orders of the groups that are drawn at most, to find one that can be cut well.
const ORDERS: u64 = 64;

/// Seeds whose splits are told: those of the presets `smoke` and `quick`.
const TOLD: [Range<u64>; 2] = [0..3, 100..140];

/// The splits that are given, or those that `seed` draws.
pub(super) fn splits(columns: &Columns, labels: &[u32], classes: usize, seed: u64) -> Result<Splits, DataError> {
    let description = columns.description();
    let groups = description
        .groups
        .as_ref()
        .map(|name| columns.whole(name))
        .transpose()?;
    let splits = match (&description.split, &groups) {
        (Some(name), _) => given(columns, name)?,
        (None, Some(groups)) => of_groups(groups, labels, classes, description.fractions, seed),
        (None, None) => of_classes(labels, classes, description.fractions, seed),
    };
    let told = description
        .split
        .as_ref()
        .or(description.groups.as_ref())
        .unwrap_or(&description.labels);
    let (drawn, help) = match (&description.split, &groups) {
        (Some(_), _) => (
            String::new(),
            "mark samples as 0 (training), 1 (validation) and 2 (test)",
        ),
        (None, Some(groups)) => (
            format!(" with seed {seed}, which draws among {} groups", sorted(groups).len()),
            "splits take whole groups, at least 3: give more groups to a class, or an array of `split`",
        ),
        (None, None) => (
            format!(" with seed {seed}"),
            "give more samples, raise `fractions`, or give an array of `split`",
        ),
    };
    if let Some((_, name)) = splits.iter().zip(NAMES).find(|(split, _)| split.is_empty()) {
        return Err(columns.advised(told, format!("there is no sample for {name}{drawn}"), help));
    }
    let untrained = lacking(&splits[0], labels, classes).len();
    if untrained > 0 {
        let reason = format!("{untrained} of {classes} classes have no training sample{drawn}");
        return Err(columns.advised(told, reason, help));
    }
    for (split, name) in splits.iter().zip(NAMES).skip(1) {
        if lacking(split, labels, classes).len() + 1 == classes {
            let reason = format!("all samples for {name} are of one class{drawn}, so nothing can be told by them");
            return Err(columns.advised(told, reason, help));
        }
    }
    if let (Some(groups), Some(name)) = (&groups, &description.groups) {
        let torn = torn(groups, &splits);
        if torn > 0 {
            let split = description.split.as_deref().unwrap_or_default();
            let reason = format!("{torn} groups are in more than one split of array `{split}`");
            return Err(columns.wrong(name, reason));
        }
    }
    Ok(splits)
}

/// Those of an array of 0, 1 and 2.
fn given(columns: &Columns, name: &str) -> Result<Splits, DataError> {
    let mut splits = Splits::default();
    for (i, value) in columns.whole(name)?.into_iter().enumerate() {
        let split = usize::try_from(value).ok().and_then(|value| splits.get_mut(value));
        let Some(split) = split else {
            let reason = format!("expected 0 (training), 1 (validation) or 2 (test), got another in row {i}");
            return Err(columns.wrong(name, reason));
        };
        split.push(i);
    }
    Ok(splits)
}

/// Drawn within each class. A class of few samples has at least one for training.
fn of_classes(labels: &[u32], classes: usize, fractions: Fractions, seed: u64) -> Splits {
    let mut splits = Splits::default();
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); classes];
    for (i, &label) in labels.iter().enumerate() {
        members[label as usize].push(i);
    }
    for (class, own) in members.iter().enumerate() {
        let order = Stream::at(seed, "own/split", class as u64).permutation(own.len());
        let part = |share: f64| (share * own.len() as f64).round() as usize;
        let test = part(fractions.test).min(own.len().saturating_sub(1));
        let validation = part(fractions.validation).min(own.len().saturating_sub(1 + test));
        for (place, drawn) in order.into_iter().enumerate() {
            let split = if place < test {
                2
            } else {
                usize::from(place < test + validation)
            };
            splits[split].push(own[drawn]);
        }
    }
    for split in &mut splits {
        split.sort_unstable();
    }
    splits
}

/// Each group once, in order.
fn sorted(groups: &[i64]) -> Vec<i64> {
    let mut known = groups.to_vec();
    known.sort_unstable();
    known.dedup();
    known
}

/// Whole groups in the order that is drawn, cut where the splits come nearest to their fractions. Of several orders the best is
/// taken: one is enough where groups are many and small, but not where a few hold most samples.
fn of_groups(groups: &[i64], labels: &[u32], classes: usize, fractions: Fractions, seed: u64) -> Splits {
    let known = sorted(groups);
    let mut members = vec![Vec::new(); known.len()];
    for (i, group) in groups.iter().enumerate() {
        members[known.binary_search(group).unwrap_or_default()].push(i);
    }
    let mut best: Option<(Fault, Splits)> = None;
    for draw in 0..ORDERS {
        let order = Stream::at(seed, "own/groups", draw).permutation(known.len());
        let splits = cut(&order, &members, fractions);
        let fault = fault(&splits, labels, classes, fractions);
        if best.as_ref().is_none_or(|(least, _)| fault < *least) {
            best = Some((fault, splits));
        }
        if fault == Fault::default() {
            break;
        }
    }
    best.map(|(_, splits)| splits).unwrap_or_default()
}

/// Groups in this order, first those of test, then those of validation. Each split has a group where there are three.
fn cut(order: &[usize], members: &[Vec<usize>], fractions: Fractions) -> Splits {
    let of = |places: Range<usize>| {
        let rows = order[places].iter().flat_map(|&group| &members[group]);
        let mut rows: Vec<usize> = rows.copied().collect();
        rows.sort_unstable();
        rows
    };
    let last = order.len();
    if last < 3 {
        return [of(0..last), Vec::new(), Vec::new()];
    }
    // Samples of the groups before each place.
    let mut before = vec![0];
    for &group in order {
        before.push(before.last().copied().unwrap_or_default() + members[group].len());
    }
    let nearest = |from: usize, to: usize, share: f64| {
        let off = |end: usize| ((before[end] - before[from]) as f64 - share * before[last] as f64).abs();
        (from + 1..=to).min_by(|a, b| off(*a).total_cmp(&off(*b))).unwrap_or(to)
    };
    let test = nearest(0, last - 2, fractions.test);
    let validation = nearest(test, last - 1, fractions.validation);
    [of(validation..last), of(test..validation), of(0..test)]
}

/// What is wrong with splits, the worst first: classes that training lacks, samples that are in another split than the fractions
/// say in hundredths, classes that the other splits lack.
type Fault = (usize, u64, usize);

fn fault(splits: &Splits, labels: &[u32], classes: usize, fractions: Fractions) -> Fault {
    let n = labels.len() as f64;
    let off = splits.iter().zip(shares(fractions));
    let off: f64 = off.map(|(split, share)| (split.len() as f64 - share * n).abs()).sum();
    let [untrained, rest @ ..] = splits.each_ref().map(|split| lacking(split, labels, classes).len());
    (untrained, (100.0 * off / n).round() as u64, rest.iter().sum())
}

/// Shares of training, validation and test.
pub(super) fn shares(fractions: Fractions) -> [f64; 3] {
    let Fractions { validation, test } = fractions;
    [1.0 - validation - test, validation, test]
}

/// The classes of which a split has no sample.
fn lacking(split: &[usize], labels: &[u32], classes: usize) -> Vec<usize> {
    let mut has = vec![false; classes];
    for &i in split {
        has[labels[i] as usize] = true;
    }
    (0..classes).filter(|&class| !has[class]).collect()
}

/// Lines about the splits of several seeds: sizes, and what makes a run of one of them fail or say little.
pub(super) fn over_seeds(columns: &Columns, labels: &[u32], classes: &[String]) -> Result<Vec<String>, DataError> {
    let is_given = columns.description().split.is_some();
    let present = columns.present()?;
    let mut sizes = [(usize::MAX, 0); 3];
    let mut told: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut failed: Option<(DataError, Vec<u64>)> = None;
    let seeds: Vec<u64> = TOLD
        .into_iter()
        .flatten()
        .take(if is_given { 1 } else { usize::MAX })
        .collect();
    for &seed in &seeds {
        let drawn = splits(columns, labels, classes.len(), seed);
        match drawn.and_then(|drawn| check_presence(columns, &present, &drawn, None).map(|()| drawn)) {
            Ok(drawn) => {
                for ((least, most), split) in sizes.iter_mut().zip(&drawn) {
                    (*least, *most) = ((*least).min(split.len()), (*most).max(split.len()));
                }
                for doubt in doubts(columns, &present, &drawn, labels, classes) {
                    told.entry(doubt).or_default().push(seed);
                }
            }
            Err(error) => failed.get_or_insert((error, Vec::new())).1.push(seed),
        }
    }
    let mut lines = Vec::new();
    if !is_given {
        let ranges: Vec<String> = NAMES.iter().zip(sizes).map(|(name, size)| range(name, size)).collect();
        let told: Vec<String> = TOLD
            .iter()
            .map(|seeds| format!("{} to {}", seeds.start, seeds.end - 1))
            .collect();
        lines.push(format!("  seeds {}: {}", told.join(" and "), ranges.join(", ")));
    }
    let whose = |these: &[u64]| match these.len() {
        _ if is_given => String::new(),
        all if all == seeds.len() => "every seed: ".to_owned(),
        _ => {
            let these: Vec<String> = these.iter().map(u64::to_string).collect();
            format!("seeds {}: ", these.join(", "))
        }
    };
    if let Some((error, seeds)) = failed {
        lines.push(format!("  WARNING: {}cannot be trained: {error}", whose(&seeds)));
    }
    lines.extend(
        told.iter()
            .map(|(doubt, seeds)| format!("  WARNING: {}{doubt}", whose(seeds))),
    );
    Ok(lines)
}

fn range(name: &str, (least, most): (usize, usize)) -> String {
    if least < most {
        format!("{name} {least} to {most}")
    } else {
        format!("{name} {most}")
    }
}

/// What a person should know of splits that can be trained.
fn doubts(columns: &Columns, present: &Presence, splits: &Splits, labels: &[u32], classes: &[String]) -> Vec<String> {
    let mut doubts = Vec::new();
    let description = columns.description();
    for ((split, name), share) in splits.iter().zip(NAMES).zip(shares(description.fractions)) {
        let lacking = lacking(split, labels, classes.len());
        let names: Vec<&str> = lacking.iter().map(|&class| classes[class].as_str()).collect();
        match names.len() {
            0 => {}
            1..=3 => doubts.push(format!("{name} has no sample of class {}", names.join(", "))),
            _ => doubts.push(format!("{name} has no sample of more than 3 classes")),
        }
        if let Some(only) = only_weak(description, present, split) {
            doubts.push(format!(
                "{only}; of {name} they have nothing left where experiments take that one away, and are guessed"
            ));
        }
        let expected = share * labels.len() as f64;
        if description.split.is_none() && (split.len() as f64 - expected).abs() > 0.5 * expected {
            doubts.push(format!("the size of {name} differs from `fractions` by more than half"));
        }
    }
    doubts
}

/// How many samples of a split have the weak modality and no other, in words.
fn only_weak(description: &Description, present: &Presence, split: &[usize]) -> Option<String> {
    let weak = description.weak();
    let others = |i: usize| (0..present.modalities()).any(|m| m != weak && present.get(i, m));
    let only = split.iter().filter(|&&i| !others(i)).count();
    (only > 0).then(|| {
        format!(
            "{only} of {} samples have modality `{}` alone",
            split.len(),
            description.modalities[weak].0
        )
    })
}

/// Groups that are in several splits.
fn torn(groups: &[i64], splits: &Splits) -> usize {
    let mut pairs: Vec<(i64, usize)> = (0..3)
        .flat_map(|split| splits[split].iter().map(move |&i| (groups[i], split)))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut torn: Vec<i64> = pairs
        .windows(2)
        .filter(|pair| pair[0].0 == pair[1].0)
        .map(|pair| pair[0].0)
        .collect();
    torn.dedup();
    torn.len()
}

/// Each modality must be there in training and at test, and each sample must have one. The error names the seed that drew the splits
/// if one is given.
pub(super) fn check_presence(
    columns: &Columns,
    present: &Presence,
    splits: &Splits,
    seed: Option<u64>,
) -> Result<(), DataError> {
    let description = columns.description();
    for (m, (modality, _)) in description.modalities.iter().enumerate() {
        for (split, name) in splits.iter().zip(NAMES) {
            if !split.iter().any(|&i| present.get(i, m)) {
                let drawn = match seed {
                    Some(seed) if description.split.is_none() => format!(" with seed {seed}"),
                    _ => String::new(),
                };
                let reason = format!("no sample of {name} has modality `{modality}`{drawn}");
                let help = "each split needs samples with each modality: give more of them, raise `fractions`, leave the modality out, or give \
                            an array of `split`; `data check` tells of which seeds";
                return Err(columns.advised(description.array(m), reason, help));
            }
        }
    }
    let bare = (0..present.len()).filter(|&i| (0..present.modalities()).all(|m| !present.get(i, m)));
    let bare: Vec<usize> = bare.collect();
    match (bare.first(), &description.present) {
        (Some(first), array) => {
            let reason = format!(
                "{} samples have no modality, the first in row {first}; what `not_a_number: missing` takes away counts",
                bare.len()
            );
            let array = array.as_deref().unwrap_or(description.array(0));
            Err(columns.advised(array, reason, "leave these samples out of all arrays"))
        }
        (None, _) => Ok(()),
    }
}

/// The splits with their samples, which are called by their rows.
pub(super) fn samples(splits: &Splits, inputs: Vec<[Rows; 3]>, labels: &[u32], present: &Presence) -> [Samples; 3] {
    let mut parts: [Vec<Rows>; 3] = Default::default();
    for modality in inputs {
        for (part, rows) in parts.iter_mut().zip(modality) {
            part.push(rows);
        }
    }
    let mut parts = parts.into_iter();
    splits.each_ref().map(|rows| {
        let names: Vec<String> = rows.iter().map(usize::to_string).collect();
        Samples {
            ids: names.into(),
            inputs: parts.next().unwrap_or_default(),
            labels: rows.iter().map(|&i| labels[i]).collect(),
            present: present.select(rows),
        }
    })
}
