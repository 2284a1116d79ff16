//! Training, validation and test of a user's data set.

use mmcollapse_nn::random::Stream;

use super::described::Fractions;
use super::read::Columns;
use crate::{DataError, Presence, Rows, Samples};

/// Samples of training, validation and test, by their rows.
pub(super) type Splits = [Vec<usize>; 3];

const NAMES: [&str; 3] = ["training", "validation", "test"];

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
        (None, Some(groups)) => of_groups(groups, description.fractions, seed),
        (None, None) => of_classes(labels, classes, description.fractions, seed),
    };
    let told = description
        .split
        .as_ref()
        .or(description.groups.as_ref())
        .unwrap_or(&description.labels);
    for (split, name) in splits.iter().zip(NAMES) {
        if split.is_empty() {
            return Err(columns.wrong(told, format!("there is no sample for {name}")));
        }
    }
    let mut trained = vec![false; classes];
    splits[0].iter().for_each(|&i| trained[labels[i] as usize] = true);
    let untrained = trained.iter().filter(|trained| !**trained).count();
    if untrained > 0 {
        return Err(columns.wrong(
            told,
            format!("{untrained} of {classes} classes have no training sample"),
        ));
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
    for class in 0..classes {
        let own: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] as usize == class).collect();
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

/// Whole groups, drawn until test and then validation have their share.
fn of_groups(groups: &[i64], fractions: Fractions, seed: u64) -> Splits {
    let mut known = groups.to_vec();
    known.sort_unstable();
    known.dedup();
    let mut members = vec![Vec::new(); known.len()];
    for (i, group) in groups.iter().enumerate() {
        members[known.binary_search(group).unwrap_or_default()].push(i);
    }
    let mut splits = Splits::default();
    let n = groups.len() as f64;
    for drawn in Stream::new(seed, "own/groups").permutation(known.len()) {
        let wants = |split: usize, share: f64| (splits[split].len() as f64) < share * n;
        let split = if wants(2, fractions.test) {
            2
        } else {
            usize::from(wants(1, fractions.validation))
        };
        splits[split].append(&mut members[drawn]);
    }
    for split in &mut splits {
        split.sort_unstable();
    }
    splits
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

/// Each modality must be there in training and at test, and each sample must have one.
pub(super) fn check_presence(columns: &Columns, present: &Presence, splits: &Splits) -> Result<(), DataError> {
    let description = columns.description();
    for (m, (modality, _)) in description.modalities.iter().enumerate() {
        for (split, name) in splits.iter().zip(NAMES) {
            if !split.iter().any(|&i| present.get(i, m)) {
                let reason = format!("no sample of {name} has modality `{modality}`");
                return Err(columns.wrong(description.array(m), reason));
            }
        }
    }
    let bare = (0..present.len()).filter(|&i| (0..present.modalities()).all(|m| !present.get(i, m)));
    let bare: Vec<usize> = bare.collect();
    match (bare.first(), &description.present) {
        (Some(first), array) => {
            let reason = format!("{} samples have no modality, the first in row {first}", bare.len());
            Err(columns.wrong(array.as_deref().unwrap_or(&description.labels), reason))
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
