//! A table: what a reader sees, before it is written as Markdown or LaTeX.
//!
//! Each protocol has sheets of the scores, of their differences to the same fusion without reallocation, of scores with
//! other modalities present, and of the losses at the end of training. Under each of our lines stands the paper's. A number has the number of its runs and,
//! from two runs on, an interval; a dash takes the place of what was not measured.

pub(crate) mod decided;
mod latex;
mod markdown;
mod number;
mod sheets;
mod versus;

pub use latex::latex;
pub(crate) use markdown::escape;
pub use markdown::markdown;
use mmcollapse_record::{Metric, words};
pub use number::{DASH, percent, probability, signed_percent};
pub(crate) use number::{bare_percent as percent_bare, range};
use sheets::Sheets;
pub use versus::Tests;

use crate::paper::{Paper, PaperMean, Source, Unit};
use crate::summary::Summary;

/// A whole table with all that must be said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Name of the experiment, for labels: `table4`.
    pub name: String,
    /// Its title.
    pub title: String,
    /// What must be read before the numbers: an incomplete result, a preset that only shows that all works.
    pub warnings: Vec<String>,
    /// The sheets, in order.
    pub sheets: Vec<Sheet>,
    /// What is to be known about them.
    pub notes: Vec<String>,
    /// Where they come from, one fact a line.
    pub provenance: Vec<String>,
}

/// Numbers in rows and columns with a caption.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// Short name, for headings and labels.
    pub name: String,
    /// Its heading.
    pub heading: String,
    /// What the numbers are.
    pub caption: String,
    /// Names of the columns; the first two hold words, the others numbers.
    pub header: Vec<String>,
    /// Lines, as many cells each as the header has.
    pub rows: Vec<Line>,
}

/// One line of a sheet.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The cells.
    pub cells: Vec<String>,
    /// Whether another fusion begins here, to be set off by a rule.
    pub rule_above: bool,
}

impl Table {
    /// Sets the table of a summary with sheets of their own for `metrics`; `preset` and `provenance` are told as they are given.
    pub fn new(
        summary: &Summary,
        paper: &Paper,
        metrics: &[Metric],
        title: &str,
        preset: &str,
        warnings: Vec<String>,
        provenance: Vec<String>,
    ) -> Self {
        let mut sheets = Vec::new();
        for protocol in &summary.protocols {
            let setting = |metric| Sheets {
                summary,
                paper,
                protocol,
                preset,
                metric,
            };
            for metric in metrics.iter().filter(|metric| summary.measures(protocol, metric)) {
                sheets.push(setting(metric).scores());
                sheets.extend(setting(metric).differences());
            }
            sheets.extend(setting(&paper.metric).other_metrics(metrics));
            sheets.extend(setting(&paper.metric).checks());
            sheets.extend(setting(&paper.metric).losses(metrics));
        }
        sheets.extend(printed_means(paper));
        Self {
            name: summary.experiment.clone(),
            title: title.to_owned(),
            warnings,
            sheets,
            notes: notes(paper),
            provenance,
        }
    }
}

/// What the paper prints as means over levels, apart from ours: it stands for other data or other columns.
fn printed_means(paper: &Paper) -> Option<Sheet> {
    let (columns, source) = (paper.means.first()?.values.keys(), paper.source.as_ref()?);
    let mut header = vec!["method".to_owned(), String::new()];
    header.extend(columns.map(|column| words(column)));
    let line = |mean: &PaperMean| {
        let mut cells = vec![mean.label(), "paper".to_owned()];
        cells.extend(mean.values.values().map(|value| match paper.unit {
            Unit::Percent | Unit::Share => percent_bare(*value),
            Unit::Number => format!("{value:.2}"),
            Unit::Probability => probability(*value),
        }));
        Line {
            cells,
            rule_above: false,
        }
    };
    Some(Sheet {
        name: "paper".to_owned(),
        heading: "What the paper prints".to_owned(),
        caption: format!(
            "{}{}, as printed: {}.",
            source.table,
            match paper.unit {
                Unit::Percent | Unit::Share => ", in %",
                Unit::Number | Unit::Probability => "",
            },
            source.caption
        ),
        header,
        rows: paper.means.iter().map(line).collect(),
    })
}

fn notes(paper: &Paper) -> Vec<String> {
    let of_paper = |source: &Source| {
        let Source {
            reference,
            table,
            caption,
        } = source;
        format!("The paper's numbers: {reference}, {table} ({caption}).")
    };
    let mut notes: Vec<String> = paper.source.iter().map(of_paper).collect();
    notes.extend(paper.unclear.iter().cloned());
    notes.extend(
        paper
            .rows
            .iter()
            .filter_map(|row| Some(format!("{}: {}", row.label(), row.note.as_ref()?))),
    );
    notes
}

#[cfg(test)]
mod tests;
