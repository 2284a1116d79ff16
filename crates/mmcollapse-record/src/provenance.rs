//! Where a result comes from: what every table and figure carries.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Preset, ProtocolKind};

/// Where a table or figure comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name of the experiment.
    pub experiment: String,
    /// How much of it was run.
    pub preset: Preset,
    /// The command that gives the result again.
    pub command: String,
    /// Commit that the program which made the result was built from, if it is known.
    pub commit: Option<Commit>,
    /// Why it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_not_known: Option<String>,
    /// Version of the program.
    pub version: String,
    /// Digest of each data set.
    pub data: BTreeMap<String, String>,
    /// Cells that went into the result, diverged ones included.
    pub cells: usize,
    /// Cells of the preset that are missing from it; a complete result has none.
    pub missing: usize,
    /// Distinct seeds.
    pub seeds: usize,
    /// Seeds of the preset, if the result lacks cells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset_seeds: Option<usize>,
    /// Name of the folder beside this one that holds a more complete result, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_complete: Option<String>,
    /// On what and at which commit the cells were trained, and how many of them each.
    pub origins: Vec<OriginCount>,
    /// Sum of the cells' own times, in seconds.
    pub cell_seconds: f64,
    /// Wall time in which they were trained, in seconds: overlaps of workers counted once.
    pub wall_seconds: f64,
    /// The data set, if it is not the one of the experiment's spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// What is to be said of the data set first, if it is synthetic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<String>,
    /// The sentence that says of which data set it is an excerpt, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// How settings were chosen, if they are not the spec's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned: Option<TunedBy>,
    /// Test samples to each training sample where the seeds cut the same records anew, as documented; none where they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<f64>,
    /// The row that this program did not train, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

/// A row that another program trained; part of the provenance of a result that shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Name of the row.
    pub row: String,
    /// SHA-256 of the file with its predictions.
    pub predictions: String,
    /// Seeds that it has.
    pub seeds: usize,
    /// Seeds that rows beside it have and it has not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<u64>,
    /// How its differences to other rows are judged; none where it is not known how the data set's seeds draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// Why test labels may have been used in it, as far as numbers tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspicion: Option<String>,
    /// Why it is shown nevertheless, in the words of who compared it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub despite: Option<String>,
}

/// What decides on the difference of two rows, beside the difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The effect to detect or to exclude, a share.
    pub margin: f64,
    /// Overlap of the seeds' samples: 0 where each seed draws its own, else test samples to each training sample.
    pub overlap: f64,
}

/// Seeds that a sentence names before it counts the rest.
const NAMED: usize = 8;

impl External {
    /// Which seeds of the other rows it lacks, in a sentence.
    pub fn lacks(&self) -> Option<String> {
        let named: Vec<String> = self.lacking.iter().take(NAMED).map(u64::to_string).collect();
        let more = match self.lacking.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!named.is_empty()).then(|| {
            format!(
                "{} lacks seeds that other rows have: {}{more}. Its comparisons are on the seeds that it has; whoever leaves out seeds can leave out \
                 bad ones.",
                self.row,
                named.join(", ")
            )
        })
    }

    /// In sentences, each of which stands alone.
    pub fn text(&self) -> Vec<String> {
        let digits = self.predictions.get(..12).unwrap_or(&self.predictions);
        let mut text = vec![format!(
            "{} is external: not trained by this program. Its predictions (sha256 {digits}) are scored by the same code on the same \
             seeds, splits and masks ({} seeds). How it was trained and tuned is not checked.",
            self.row, self.seeds
        )];
        if let Some(lacking) = self.lacks() {
            text.push(lacking);
        }
        if let Some(suspicion) = &self.suspicion {
            let despite = self.despite.as_deref().unwrap_or("no reason is given");
            text.push(format!(
                "{} may have seen test labels: {suspicion}. Shown nevertheless: {despite}",
                self.row
            ));
        }
        text
    }
}

/// A commit, and whether the sources differed from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Full hash.
    pub hash: String,
    /// Whether sources were changed or added; before the commit was built in, any file but results counted.
    pub dirty: bool,
}

/// On what and at which commit a cell was trained; stored with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Version of the program.
    pub version: String,
    /// Commit that the program was built from, if it is known.
    pub commit: Option<Commit>,
    /// The machine.
    pub machine: Machine,
    /// Device the cell was trained on, for example `cpu`.
    pub device: String,
}

/// An origin and how many cells share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginCount {
    /// The origin.
    pub origin: Origin,
    /// Cells trained there.
    pub cells: usize,
    /// Rows that these cells are of, where a result has cells of several origins; empty where it has not, and in older results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<String>,
}

impl OriginCount {
    /// Whether cells of a row were trained there, as far as is known.
    pub fn has(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|own| own == row)
    }
}

/// What a run ran on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Model of the processor as the system names it, else its architecture.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Operating system and architecture.
    pub os: String,
}

/// How the settings of a result were chosen; part of its provenance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedBy {
    /// The file with every trial.
    pub file: String,
    /// The protocol that settings were chosen for.
    pub protocol: ProtocolKind,
    /// Its level.
    pub rate: f64,
    /// Trials of each row.
    pub trials: u64,
    /// Seeds of each trial.
    pub seeds: Vec<u64>,
    /// Rows of the experiment that were not tuned, and that the result is without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

impl TunedBy {
    /// In a sentence; `overlap` where all seeds cut the same records anew, those of the trials among them.
    pub fn text(&self, overlap: bool) -> String {
        let had = if overlap {
            "the choice was by validation, but seeds cut the same records anew: some test samples were validation or training samples of \
             the trials"
        } else {
            "the test had no part in the choice"
        };
        let seeds = match &self.seeds[..] {
            [seed] => format!("seed {seed}"),
            [first, .., last] => format!("seeds {first} to {last}"),
            [] => "no seeds".to_owned(),
        };
        format!(
            "Settings tuned: each row has the best of {} trials by its score on validation ({} at {}, {seeds}); every row had \
             the same number of trials, and {had}.{}",
            self.trials,
            self.protocol,
            self.rate,
            match &self.left_out[..] {
                [] => String::new(),
                rows => format!(" Not tuned, and left out: {}.", rows.join(", ")),
            }
        )
    }
}

impl Commit {
    /// The first twelve digits, with `+` where the sources differed.
    pub fn short(&self) -> String {
        let digits = self.hash.get(..12).unwrap_or(&self.hash);
        format!("{digits}{}", if self.dirty { "+" } else { "" })
    }
}

impl Provenance {
    /// The commits at which its cells were trained, that of the most cells first; `none` if none is known.
    pub fn commits(&self) -> String {
        let mut commits: Vec<String> = Vec::new();
        for commit in self.origins.iter().filter_map(|count| count.origin.commit.as_ref()) {
            if !commits.contains(&commit.short()) {
                commits.push(commit.short());
            }
        }
        if commits.is_empty() {
            return "none".to_owned();
        }
        commits.join(", ")
    }
}

/// Counts equal origins, the most frequent first, each cell with its row where that is told.
pub fn count_origins<'a>(cells: impl IntoIterator<Item = (&'a Origin, Option<String>)>) -> Vec<OriginCount> {
    let mut counts: BTreeMap<&Origin, (usize, BTreeSet<String>)> = BTreeMap::new();
    for (origin, row) in cells {
        let (cells, rows) = counts.entry(origin).or_default();
        *cells += 1;
        rows.extend(row);
    }
    let several = counts.len() > 1;
    let mut counts: Vec<OriginCount> = counts
        .into_iter()
        .map(|(origin, (cells, rows))| OriginCount {
            origin: origin.clone(),
            cells,
            rows: rows.into_iter().filter(|_| several).collect(),
        })
        .collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.cells));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As programs wrote it that read the commit where they ran.
    #[test]
    fn an_older_provenance_is_read() {
        let text = r#"{"experiment": "table4", "preset": "quick", "command": "c", "commit": null, "version": "0.1.0",
            "data": {}, "cells": 3, "missing": 0, "seeds": 1, "origins": [], "cell_seconds": 1.0, "wall_seconds": 1.0}"#;
        let read: Provenance = serde_json::from_str(text).unwrap();
        assert_eq!((read.cells, read.commit, read.commit_not_known), (3, None, None));
    }

    #[test]
    fn origins_are_counted() {
        let one = Origin {
            version: "1".into(),
            commit: None,
            machine: Machine {
                cpu: "a".into(),
                cores: 2,
                os: "linux".into(),
            },
            device: "cpu".into(),
        };
        let two = Origin {
            device: "cuda:0".into(),
            ..one.clone()
        };
        let of = |origin, row: &str| (origin, Some(row.to_owned()));
        let counts = count_origins([of(&one, "a"), of(&two, "a"), of(&two, "b"), of(&two, "a")]);
        assert_eq!(counts.len(), 2);
        assert_eq!(
            (counts[0].rows.join(" "), counts[1].rows.join(" ")),
            ("a b".to_owned(), "a".to_owned())
        );
        assert!(counts[0].has("b") && !counts[1].has("b"));
        // What is of one origin needs no names.
        let alone = count_origins([of(&one, "a")]);
        assert!(alone[0].rows.is_empty() && alone[0].has("b"));
        assert_eq!((counts[0].cells, counts[0].origin.device.as_str()), (3, "cuda:0"));
    }
}
