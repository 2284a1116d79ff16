//! Scores, what came of them, and their count by score and class.

use crate::error::{at_least, finite, same_length};
use crate::{MeasureError, Result};

/// Scores of samples and their labels, some of which may be unknown.
///
/// A sample of unknown label takes no part in any measure; [`Outcomes::unknown`] says how many there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcomes {
    labels: Vec<Option<bool>>,
    /// Samples whose label is known, in the order given.
    pub(super) known: Vec<Known>,
    tally: Tally,
}

/// A sample whose label is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Known {
    /// Position of its score among the levels of the tally.
    pub(super) level: usize,
    pub(super) positive: bool,
}

/// How many known samples of each class have each score: all that a measure of two classes depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    levels: Vec<Level>,
    positives: u64,
    negatives: u64,
}

/// Samples of one score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Their score.
    pub score: f64,
    /// Number of positives among them.
    pub positives: u64,
    /// Number of negatives among them.
    pub negatives: u64,
}

impl Outcomes {
    /// Pairs each score with its label: `Some(true)` for positive, `Some(false)` for negative, `None` for unknown.
    ///
    /// Equal scores are ties (0 and -0 are equal). O(n log n).
    ///
    /// # Errors
    /// Unequal lengths; a score that is not finite, even where the label is unknown; no known label.
    ///
    /// ```
    /// use mmcollapse_probes::{Outcomes, auroc};
    /// let outcomes = Outcomes::new(&[0.9, 0.4, 0.4, 0.7], &[Some(true), Some(false), Some(true), None])?;
    /// assert_eq!(auroc(outcomes.tally())?, 0.75);
    /// assert_eq!((outcomes.n(), outcomes.unknown()), (3, 1));
    /// # Ok::<(), mmcollapse_probes::MeasureError>(())
    /// ```
    pub fn new<T: Copy + Into<f64>>(scores: &[T], labels: &[Option<bool>]) -> Result<Self> {
        const MEASURE: &str = "binary outcomes";
        same_length(MEASURE, scores.len(), labels.len())?;
        let scores: Vec<f64> = scores.iter().map(|&score| score.into()).collect();
        finite(MEASURE, &scores)?;
        let samples: Vec<(f64, bool)> = scores
            .iter()
            .zip(labels)
            .filter_map(|(&score, label)| label.map(|positive| (score, positive)))
            .collect();
        at_least(MEASURE, 1, samples.len())?;

        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_unstable_by(|&a, &b| samples[b].0.total_cmp(&samples[a].0));
        let mut levels: Vec<Level> = Vec::new();
        let mut known: Vec<Known> = samples
            .iter()
            .map(|&(_, positive)| Known { level: 0, positive })
            .collect();
        for at in order {
            let score = samples[at].0;
            if levels.last().is_none_or(|level| level.score != score) {
                levels.push(Level {
                    score,
                    positives: 0,
                    negatives: 0,
                });
            }
            known[at].level = levels.len() - 1;
        }
        let mut tally = Tally {
            levels,
            positives: 0,
            negatives: 0,
        };
        for &sample in &known {
            tally.add(sample);
        }
        Ok(Self {
            labels: labels.to_vec(),
            known,
            tally,
        })
    }

    /// The known samples, counted by score and class.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Number of samples whose label is known.
    pub fn n(&self) -> usize {
        self.known.len()
    }

    /// Number of samples whose label is unknown, and which are left out.
    pub fn unknown(&self) -> usize {
        self.labels.len() - self.known.len()
    }

    /// An error unless `other` scores the same samples, as far as their labels show.
    pub(super) fn same_samples(&self, measure: &'static str, other: &Self) -> Result<()> {
        same_length(measure, self.labels.len(), other.labels.len())?;
        if self.labels == other.labels {
            Ok(())
        } else {
            Err(MeasureError::Degenerate {
                measure,
                reason: "the two sets of scores have different labels, so they are not of the same samples",
            })
        }
    }
}

impl Tally {
    /// Scores that occur, highest first, each with its samples.
    pub fn levels(&self) -> impl Iterator<Item = Level> + '_ {
        // A resample may leave a score without samples.
        self.levels
            .iter()
            .copied()
            .filter(|level| level.positives + level.negatives > 0)
    }

    /// Number of positives.
    pub fn positives(&self) -> u64 {
        self.positives
    }

    /// Number of negatives.
    pub fn negatives(&self) -> u64 {
        self.negatives
    }

    /// Number of samples.
    pub fn n(&self) -> u64 {
        self.positives + self.negatives
    }

    /// An error unless there are at least `needed` samples of each class.
    pub(super) fn both_classes(&self, measure: &'static str, needed: u64) -> Result<()> {
        for (got, reason) in [
            (
                self.positives,
                "no sample is positive, and it compares positives with negatives",
            ),
            (
                self.negatives,
                "no sample is negative, and it compares positives with negatives",
            ),
        ] {
            if got == 0 {
                return Err(MeasureError::Degenerate { measure, reason });
            }
            at_least(measure, needed as usize, got as usize)?;
        }
        Ok(())
    }

    /// The same scores without samples, to count a resample.
    pub(super) fn emptied(&self) -> Self {
        let mut empty = self.clone();
        empty.clear();
        empty
    }

    pub(super) fn clear(&mut self) {
        for level in &mut self.levels {
            (level.positives, level.negatives) = (0, 0);
        }
        (self.positives, self.negatives) = (0, 0);
    }

    pub(super) fn add(&mut self, sample: Known) {
        let level = &mut self.levels[sample.level];
        if sample.positive {
            level.positives += 1;
            self.positives += 1;
        } else {
            level.negatives += 1;
            self.negatives += 1;
        }
    }

    /// All levels, those without samples too, so that [`Known::level`] points into them.
    pub(super) fn all_levels(&self) -> &[Level] {
        &self.levels
    }
}
