//! An experiment as its folder holds it: the spec, and the numbers that the paper prints.

use crate::{Metric, UnknownName};

/// One table or figure of the paper; `experiments/lib.rs` lists them all in one static slice.
#[derive(Clone, Copy, Debug)]
pub struct ExperimentInfo {
    /// Name of its folder and on the command line, for example `table4`.
    pub name: &'static str,
    /// What it shows, in one line.
    pub title: &'static str,
    /// Text of its `spec.yaml`.
    pub spec: &'static str,
    /// Path and text of the settings that it shares with other experiments, if it does.
    pub common: Option<(&'static str, &'static str)>,
    /// Text of its `paper.yaml`, if the paper has something to stand beside it.
    pub paper: Option<&'static str>,
    /// What its table and figure show.
    pub shows: Shows,
    /// What its figure names the levels by: a title, and the factor of a level.
    pub levels: Option<(&'static str, f64)>,
    /// Lines to read its figure by.
    pub references: &'static [Reference],
    /// What its figure draws along training: the name of a curve and a title.
    pub along: &'static [(&'static str, &'static str)],
}

/// A line that stands beside what is measured: the bound of a theorem, the limit of a test, its null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reference {
    /// The metric beside which it stands.
    pub metric: &'static str,
    /// The only protocols where it does; none: all.
    pub protocols: &'static [&'static str],
    /// What it is, for the legend.
    pub label: &'static str,
    /// Where it lies.
    pub at: At,
}

impl Reference {
    /// One that stands beside a metric at every level of every protocol.
    pub const fn everywhere(metric: &'static str, label: &'static str, value: f64) -> Self {
        Self {
            metric,
            protocols: &[],
            label,
            at: At::Everywhere(value),
        }
    }
}

/// Where a [`Reference`] lies, in the metric's own unit: shares are up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// At every level.
    Everywhere(f64),
    /// At these levels.
    Levels(&'static [(f64, f64)]),
    /// Where the mean of a row lies under another protocol.
    Row(&'static str, &'static str),
}

/// What an experiment shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// The metric of `paper.yaml` (AUROC or accuracy without one) at each level, drawn against the level.
    Scores,
    /// The same, drawn method under method: for many methods at few levels. Further metrics have sheets of their own.
    Rows(&'static [&'static str]),
    /// One row against every other row on the same seeds: differences with p, for the metric of `paper.yaml` and others.
    Tests {
        /// Name of the row.
        row: &'static str,
        /// The further metrics.
        others: &'static [&'static str],
    },
    /// Several measures at each level, a sheet and a panel each.
    Measures(&'static [&'static str]),
    /// Several measures against the dose of each series of rows, a sheet and a panel each.
    Dose {
        /// What the dose is of.
        of: &'static str,
        /// The measures.
        measures: &'static [&'static str],
    },
    /// What encoders lose inside a model: such measures, a sheet each, of which the gaps are drawn, and probes along training.
    Probes(&'static [&'static str]),
    /// The semantic loss along training, and what is measured on its curve.
    Curves,
    /// What each fusion neuron is made of, for some of the rows, and such measures, a sheet each.
    Neurons {
        /// Names of the rows that are drawn.
        rows: &'static [&'static str],
        /// The measures.
        measures: &'static [&'static str],
    },
}

impl Shows {
    /// The metrics that have sheets of their own, `of_paper` being that of `paper.yaml`.
    ///
    /// # Errors
    /// A name that no metric has.
    pub fn metrics(&self, of_paper: &Metric) -> Result<Vec<Metric>, UnknownName> {
        let (paper, others): (_, &[&str]) = match self {
            Self::Scores => (Some(of_paper.clone()), &[]),
            Self::Rows(others) | Self::Tests { others, .. } => (Some(of_paper.clone()), others),
            Self::Measures(measures)
            | Self::Dose { measures, .. }
            | Self::Neurons { measures, .. }
            | Self::Probes(measures) => (None, measures),
            Self::Curves => (None, &["loss_semantic", "plateaus", "epochs_to_90"]),
        };
        let others = others.iter().map(|metric| metric.parse());
        paper.map(Ok).into_iter().chain(others).collect()
    }
}

impl ExperimentInfo {
    /// An experiment that shares no settings with others and has no counterpart in the paper.
    pub const fn new(name: &'static str, title: &'static str, spec: &'static str, shows: Shows) -> Self {
        Self {
            name,
            title,
            spec,
            common: None,
            paper: None,
            shows,
            levels: None,
            references: &[],
            along: &[],
        }
    }

    /// Where its spec lies in the repository, for error messages.
    pub fn spec_path(&self) -> String {
        format!("experiments/{}/spec.yaml", self.name)
    }

    /// Where the paper's numbers lie in the repository, for error messages.
    pub fn paper_path(&self) -> String {
        format!("experiments/{}/paper.yaml", self.name)
    }
}
