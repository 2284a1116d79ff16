//! A figure: rows of panels, one line a reallocation.
//!
//! Of scores: accuracy against the level, one panel a protocol and fusion. Of measures: one panel a measure, each with
//! its own axis. Of curves: the semantic loss along training. Of probes: what encoders lose, along
//! training too. Shaded: the 95 % t interval over seeds, along training the 10 to 90 % quantiles. Hollow marks: the paper's values. Everything is drawn by
//! [`canvas`] with a bundled font; letters become outlines, so that SVG and PNG look the same everywhere.

mod axis;
mod canvas;
mod compact;
mod curves;
mod differences;
mod forest;
mod layout;
mod measures;
mod panel;
mod probes;
mod style;

use mmcollapse_probes::Estimate;
use mmcollapse_record::{Metric, ProtocolKind};

pub use canvas::Picture;
pub use forest::Forest;

use crate::paper::Paper;
use crate::summary::{Column, Group, Method, ProtocolRun, Summary, label};

/// A figure before it is laid out.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Above everything.
    pub title: String,
    /// Under the title: how many seeds, what the band is.
    pub note: String,
    /// In red, if the result must not be read as one.
    pub warnings: Vec<String>,
    /// Name of the vertical axis, with its unit; empty where each panel's title says it.
    pub y_label: String,
    /// What the vertical axes show.
    pub axes: Axes,
    /// One row of panels a protocol.
    pub rows: Vec<PanelRow>,
    /// Lines of the legend: name and style, in order.
    pub legend: Vec<(String, usize)>,
    /// Whether there are marks of the paper.
    pub paper: bool,
    /// At the bottom, small.
    pub provenance: String,
}

/// What vertical axes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axes {
    /// Percent, one axis for all panels.
    Percent,
    /// Numbers of at least 0, one axis for all panels.
    Shared,
    /// Numbers of at least 0, an axis a panel.
    Own,
}

/// What is told around a figure, whatever it shows.
pub struct FigureText<'a> {
    /// Above everything.
    pub title: &'a str,
    /// The preset it was made with.
    pub preset: &'a str,
    /// What must be read before any number.
    pub warnings: Vec<String>,
    /// At the bottom.
    pub provenance: String,
}

/// The panels of a protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelRow {
    /// What the protocol does.
    pub heading: String,
    /// Name of the horizontal axis, with its unit.
    pub x_label: String,
    /// Names of the places on the horizontal axis.
    pub x_ticks: Vec<String>,
    /// The panels.
    pub panels: Vec<Panel>,
}

/// One fusion.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Its name.
    pub title: String,
    /// One line a reallocation.
    pub lines: Vec<Line>,
    /// Of the paper: style, place on the horizontal axis, value in percent.
    pub paper: Vec<(usize, usize, f64)>,
}

/// A line with its band.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Position in the legend's styles.
    pub style: usize,
    /// By place on the horizontal axis; none where there is no number with an interval.
    pub points: Vec<Option<Point>>,
}

/// A mean (of a curve, a median) with its interval, in the unit of the axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Mean over seeds.
    pub mean: f64,
    /// Lower end of the 95 % t interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Runs among them that diverged.
    pub diverged: usize,
}

impl Point {
    /// None without an interval: a number that nobody knows the error of is not drawn.
    fn of(estimate: &Estimate, scale: f64, diverged: usize) -> Option<Self> {
        let interval = estimate.interval?;
        Some(Self {
            mean: scale * estimate.mean,
            low: scale * interval.low,
            high: scale * interval.high,
            diverged,
        })
    }
}

impl Figure {
    /// The paper's metric against the level.
    pub fn of_scores(summary: &Summary, paper: &Paper, text: FigureText) -> Self {
        let styles = style::assign(&summary.methods);
        let rows: Vec<PanelRow> = summary
            .protocols
            .iter()
            .map(|protocol| panels(summary, paper, protocol, &styles))
            .collect();
        let has_paper = |row: &PanelRow| row.panels.iter().any(|panel| !panel.paper.is_empty());
        Self {
            title: text.title.to_owned(),
            note: note(summary, &paper.metric, text.preset),
            warnings: text.warnings,
            y_label: format!("test {} (%)", paper.metric.words()),
            axes: Axes::Percent,
            paper: rows.iter().any(has_paper),
            rows,
            legend: legend(summary, &styles),
            provenance: text.provenance,
        }
    }

    /// Lays the figure out and draws it; `metadata` goes into the SVG as it is.
    ///
    /// # Errors
    /// The bundled font is broken, or the drawing cannot be parsed again: a bug.
    pub fn draw(&self, metadata: &str) -> miette::Result<Picture> {
        layout::draw(self, metadata)
    }
}

/// Each reallocation once, with its style.
fn legend(summary: &Summary, styles: &[usize]) -> Vec<(String, usize)> {
    let mut legend: Vec<(String, usize)> = Vec::new();
    for (method, style) in summary.methods.iter().zip(styles) {
        if !legend.iter().any(|(_, known)| known == style) {
            legend.push((method.reallocation_label(), *style));
        }
    }
    legend
}

fn panels(summary: &Summary, paper: &Paper, protocol: &ProtocolRun, styles: &[usize]) -> PanelRow {
    let mut names: Vec<&str> = Vec::new();
    let mut panels: Vec<Panel> = Vec::new();
    for (position, method) in summary.methods.iter().enumerate() {
        let groups: Vec<Option<&Group>> = protocol
            .rates
            .iter()
            .map(|rate| summary.get(&protocol.setting, position, &paper.metric, Column::Rate(*rate)))
            .collect();
        if groups.iter().all(Option::is_none) {
            continue;
        }
        let place = names.iter().position(|name| *name == method.row.fusion.name);
        let place = place.unwrap_or_else(|| {
            names.push(&method.row.fusion.name);
            panels.push(Panel {
                title: method.fusion_label(),
                lines: Vec::new(),
                paper: Vec::new(),
            });
            panels.len() - 1
        });
        let point = |group: &Group| Point::of(group.estimate.as_ref()?, 100.0, group.diverged);
        panels[place].lines.push(Line {
            style: styles[position],
            points: groups.iter().map(|group| group.and_then(point)).collect(),
        });
        // Several variants of a method share the paper's number: it is marked once, in the first one's style.
        let marked = |s: &Summary| {
            s.methods[..position].iter().any(|m| {
                m.row.fusion.name == method.row.fusion.name
                    && m.is_of_paper(&method.row.fusion.method, &method.row.reallocation.method)
            })
        };
        if !marked(summary) {
            let values = groups
                .iter()
                .enumerate()
                .filter_map(|(x, group)| Some((styles[position], x, 100.0 * group.as_ref()?.paper?)));
            panels[place].paper.extend(values);
        }
    }
    PanelRow {
        panels,
        ..level_row(protocol)
    }
}

/// The first method of each fusion.
fn fusions(summary: &Summary) -> Vec<&Method> {
    let mut fusions: Vec<&Method> = Vec::new();
    for method in &summary.methods {
        if !fusions
            .iter()
            .any(|known| known.row.fusion.name == method.row.fusion.name)
        {
            fusions.push(method);
        }
    }
    fusions
}

/// A row of panels against the levels of a protocol, without its panels.
fn level_row(protocol: &ProtocolRun) -> PanelRow {
    let modality = &protocol.modality;
    let scale = protocol.levels().scale();
    PanelRow {
        heading: format!("{}: {}", protocol.setting, crate::table::protocol_in_words(protocol)),
        x_label: match protocol.kind() {
            ProtocolKind::TestMissing => format!("test samples without {modality} (%)"),
            ProtocolKind::TrainAvailability => format!("training pairs without {modality} (%)"),
            ProtocolKind::TrainNoise(_) => {
                format!("training samples with noise on {modality} (%)")
            }
            ProtocolKind::Upweighted(_) => format!("β, weight of {modality}"),
            ProtocolKind::Modalities => "number of modalities".to_owned(),
            ProtocolKind::Missing | ProtocolKind::Patterns => {
                format!(
                    "missing rate, {} (%)",
                    label(&protocol.setting.to_string()).to_lowercase()
                )
            }
        },
        x_ticks: protocol.rates.iter().map(|rate| axis::number(scale * rate)).collect(),
        panels: Vec::new(),
    }
}

fn note(summary: &Summary, metric: &Metric, preset: &str) -> String {
    let here = || {
        let of_metric = |g: &&Group| g.metric == *metric && g.column != Column::MeanOfRates;
        summary.groups.iter().filter(of_metric)
    };
    let range = |values: Vec<usize>| match (values.iter().min(), values.iter().max()) {
        (Some(low), Some(high)) if low == high => low.to_string(),
        (Some(low), Some(high)) => format!("{low} to {high}"),
        _ => "no".to_owned(),
    };
    let seeds = range(here().filter_map(|g| g.estimate.map(|e| e.n)).collect());
    let samples = range(
        here()
            .filter(|g| g.estimate.is_some())
            .flat_map(|g| [g.n_test.0, g.n_test.1])
            .collect(),
    );
    let diverged = diverged(summary, metric);
    if here().all(|g| g.estimate.is_none_or(|e| e.n < 2)) {
        return format!("One seed, preset {preset}: without an interval no mean is drawn.{diverged}");
    }
    format!(
        "Line and band: mean over n = {seeds} seeds and its 95 % t interval, {samples} test samples a seed, \
         preset {preset}.{diverged}"
    )
}

/// How many seeds of which methods diverged, all panels of the method taken together.
fn diverged(summary: &Summary, metric: &Metric) -> String {
    let means = || {
        summary
            .groups
            .iter()
            .filter(|g| g.metric == *metric && g.column == Column::MeanOfRates)
    };
    let counts: Vec<String> = summary
        .methods
        .iter()
        .enumerate()
        .map(|(place, method)| {
            let here = || means().filter(|g| g.method == place);
            let diverged: usize = here().map(|g| g.diverged).sum();
            let seeds = here().map(|g| g.estimate.map_or(0, |e| e.n) + g.unscored);
            (method.label(), diverged, seeds.sum::<usize>())
        })
        .filter(|(_, diverged, _)| *diverged > 0)
        .map(|(name, diverged, seeds)| format!("{name} {diverged} of {seeds}"))
        .collect();
    if counts.is_empty() {
        return String::new();
    }
    format!(
        " Diverged runs stay in the mean with the score they had when they were stopped: {}.",
        counts.join(", ")
    )
}

#[cfg(test)]
mod tests;
