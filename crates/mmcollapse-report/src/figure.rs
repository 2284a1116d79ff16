//! A figure: rows of panels, one line a reallocation.
//!
//! Of scores: accuracy against the level, one panel a protocol and fusion, and a zoom where some rows fail. Of measures: one
//! panel a measure. Of curves: the semantic loss along training. Of probes: what encoders lose, along training too. Of
//! neurons: what each is made of. Panels
//! of one measure share their axis. Dashed: lines to read a panel by. Shaded: the 95 % t interval over seeds, along training the 10 to 90 % quantiles; none
//! of fewer than three seeds. Hollow marks: the paper's values. Everything is drawn by [`canvas`] with a bundled font;
//! letters become outlines, so that SVG and PNG look the same everywhere.

mod along;
mod axis;
mod canvas;
mod compact;
mod curves;
mod differences;
mod doses;
mod forest;
mod guides;
mod layout;
mod measures;
mod neurons;
mod panel;
mod plot;
mod probes;
mod style;
mod zoom;

use mmcollapse_probes::{Estimate, Interval};
use mmcollapse_record::{Metric, Reference, RowId};
use plotters::style::RGBColor;

pub use axis::Axis;
pub use canvas::Picture;
pub use forest::Forest;
use guides::Guide;
pub use style::Style;

use crate::paper::Paper;
use crate::summary::{Column, Group, ProtocolRun, Summary};

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
    /// One row of panels a protocol.
    pub rows: Vec<PanelRow>,
    /// Lines of the legend: name and style, in order.
    pub legend: Vec<(String, Style)>,
    /// Names and colours of dashed lines, in order.
    pub guides: Vec<(String, RGBColor)>,
    /// Whether there are marks of the paper.
    pub paper: bool,
    /// At the bottom, small.
    pub provenance: String,
}

/// What is told around a figure, whatever it shows.
#[derive(Default)]
pub struct FigureText<'a> {
    /// Above everything.
    pub title: &'a str,
    /// The preset it was made with.
    pub preset: &'a str,
    /// What must be read before any number.
    pub warnings: Vec<String>,
    /// At the bottom.
    pub provenance: String,
    /// What levels are called and multiplied by, where not as their protocol says.
    pub levels: Option<(&'static str, f64)>,
    /// Lines to read it by.
    pub references: &'static [Reference],
}

impl FigureText<'_> {
    /// What a level is multiplied by.
    pub fn level(&self) -> f64 {
        self.levels.map_or(1.0, |(_, factor)| factor)
    }
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
    /// Whether a line goes on from one of its points to the next where it has none between: series at places of their own.
    pub connected: bool,
    /// The panels.
    pub panels: Vec<Panel>,
}

/// One fusion.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Its name.
    pub title: String,
    /// Its vertical axis.
    pub axis: Axis,
    /// One line a reallocation.
    pub lines: Vec<Line>,
    /// Of the paper: style, place on the horizontal axis, value in the metric's unit.
    pub paper: Vec<(Style, usize, f64)>,
    /// Lines to read it by, dashed.
    pub guides: Vec<Guide>,
}

impl Panel {
    /// Every value of its guides.
    fn guided(&self) -> impl Iterator<Item = f64> {
        self.guides
            .iter()
            .flat_map(|guide| guide.values.iter().flatten().copied())
    }
}

/// A line with its band.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Colour and mark.
    pub style: Style,
    /// Evenly spaced over the horizontal axis; none where there is no number.
    pub points: Vec<Option<Point>>,
    /// Whether it is a row that the horizontal axis says nothing of: it goes from side to side and has one mark, at its end.
    pub level: bool,
}

/// A mean (of a curve, a median) with its interval, in the unit of the axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Mean over seeds.
    pub mean: f64,
    /// The 95 % t interval; none of so few seeds that it would say nothing.
    pub interval: Option<Interval>,
    /// Seeds in the mean.
    pub seeds: usize,
    /// Runs among them that diverged.
    pub diverged: usize,
}

/// Fewer seeds than this have no band and no bar: the t interval of two is 13 standard errors wide.
pub const BAND_SEEDS: usize = 3;

impl Point {
    fn of(estimate: &Estimate, scale: f64, diverged: usize) -> Self {
        let interval = estimate.interval.filter(|_| estimate.n >= BAND_SEEDS);
        Self {
            mean: scale * estimate.mean,
            interval: interval.map(|interval| Interval {
                low: scale * interval.low,
                high: scale * interval.high,
            }),
            seeds: estimate.n,
            diverged,
        }
    }

    /// Half the width of the interval.
    fn half(&self) -> Option<f64> {
        self.interval.map(|interval| 0.5 * (interval.high - interval.low))
    }

    /// `87.3 ± 1.3`, or without an interval `22.3 (n = 2)`.
    fn written(&self, digits: usize) -> String {
        match self.half() {
            Some(half) => format!("{:.digits$} ± {half:.digits$}", self.mean),
            None => format!("{:.digits$} (n = {})", self.mean, self.seeds),
        }
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
        let rows = zoom::with_zooms(rows);
        let has_paper = |row: &PanelRow| row.panels.iter().any(|panel| !panel.paper.is_empty());
        Self {
            title: text.title.to_owned(),
            note: note(summary, std::slice::from_ref(&paper.metric), text.preset),
            warnings: text.warnings,
            y_label: paper.metric.title(),
            paper: rows.iter().any(has_paper),
            rows,
            legend: legend(summary, &styles),
            guides: Vec::new(),
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
fn legend(summary: &Summary, styles: &[Style]) -> Vec<(String, Style)> {
    let mut names: Vec<(String, &str)> = Vec::new();
    let mut shown: Vec<Style> = Vec::new();
    for (method, style) in summary.methods.iter().zip(styles) {
        let key = method.reallocation.name.as_str();
        if !names.iter().any(|(_, known)| *known == key) {
            names.push((method.reallocation.label(), key));
            shown.push(*style);
        }
    }
    style::distinct(&names).into_iter().zip(shown).collect()
}

fn panels(summary: &Summary, paper: &Paper, protocol: &ProtocolRun, styles: &[Style]) -> PanelRow {
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
        let place = names.iter().position(|name| *name == method.fusion.name);
        let place = place.unwrap_or_else(|| {
            names.push(&method.fusion.name);
            panels.push(Panel {
                title: method.fusion.label(),
                axis: Axis::of(&paper.metric),
                lines: Vec::new(),
                paper: Vec::new(),
                guides: Vec::new(),
            });
            panels.len() - 1
        });
        let point = |group: &Group| {
            Some(Point::of(
                group.estimate.as_ref()?,
                paper.metric.scale(),
                group.diverged,
            ))
        };
        panels[place].lines.push(Line {
            style: styles[position],
            points: groups.iter().map(|group| group.and_then(point)).collect(),
            level: false,
        });
        // Several variants of a method share the paper's number: it is marked once, in the first one's style.
        let marked = |s: &Summary| {
            s.methods[..position].iter().any(|m| {
                m.fusion.name == method.fusion.name && m.is_of_paper(&method.fusion.method, &method.reallocation.method)
            })
        };
        if !marked(summary) {
            let values = groups
                .iter()
                .enumerate()
                .filter_map(|(x, group)| Some((styles[position], x, paper.metric.scale() * group.as_ref()?.paper?)));
            panels[place].paper.extend(values);
        }
    }
    PanelRow {
        panels,
        ..level_row(protocol)
    }
}

/// The first method of each fusion.
fn fusions(summary: &Summary) -> Vec<&RowId> {
    let mut fusions: Vec<&RowId> = Vec::new();
    for method in &summary.methods {
        if !fusions.iter().any(|known| known.fusion.name == method.fusion.name) {
            fusions.push(method);
        }
    }
    fusions
}

/// A row of panels against the levels of a protocol, without its panels.
fn level_row(protocol: &ProtocolRun) -> PanelRow {
    let scale = protocol.levels().scale();
    PanelRow {
        heading: format!("{}: {}", protocol.setting, protocol.in_words()),
        x_label: protocol.setting.axis(&protocol.modality),
        x_ticks: protocol.rates.iter().map(|rate| axis::number(scale * rate)).collect(),
        connected: false,
        panels: Vec::new(),
    }
}

/// In a note, where some means are of fewer seeds than a band needs.
const FEW: &str = " No band where n ≤ 2; marks only where n = 1.";

/// What marks and bands are, of how many seeds and samples, over all that is drawn of these metrics.
fn note(summary: &Summary, metrics: &[Metric], preset: &str) -> String {
    let here = || {
        let of_metrics = |g: &&Group| metrics.contains(&g.metric) && g.column != Column::MeanOfRates;
        summary.groups.iter().filter(of_metrics)
    };
    let range = |values: Vec<usize>| match (values.iter().min(), values.iter().max()) {
        (Some(low), Some(high)) if low == high => low.to_string(),
        (Some(low), Some(high)) => format!("{low} to {high}"),
        _ => "no".to_owned(),
    };
    let seeds: Vec<usize> = here().filter_map(|g| g.estimate.map(|e| e.n)).collect();
    let fewest = seeds.iter().copied().min().unwrap_or(0);
    let most = seeds.iter().copied().max().unwrap_or(0);
    let samples = range(
        here()
            .filter(|g| g.estimate.is_some())
            .flat_map(|g| [g.n_test.0, g.n_test.1])
            .collect(),
    );
    let diverged = metrics
        .first()
        .map_or_else(String::new, |first| diverged(summary, first));
    let mut splits: Vec<&str> = Vec::new();
    for group in here() {
        let split = group.metric.definition().split.in_words();
        if !splits.contains(&split) {
            splits.push(split);
        }
    }
    let split = splits.join(" or ");
    if most < BAND_SEEDS {
        let few = if most == 1 {
            "Mark: one seed"
        } else {
            "Line: mean over n ≤ 2 seeds"
        };
        return format!(
            "{few}, no band, {samples} {split} samples a seed, preset {preset}.{diverged}{}",
            passing(summary)
        );
    }
    let few = if fewest < BAND_SEEDS { FEW } else { "" };
    format!(
        "Line and band: mean over n = {} seeds and its 95 % t interval, {samples} {split} samples a seed, \
         preset {preset}.{few}{diverged}{}",
        range(seeds),
        passing(summary)
    )
}

/// In how many runs of each reallocation, all panels taken together, the manipulation check passes.
fn passing(summary: &Summary) -> String {
    let mut counts: Vec<(String, usize, usize)> = Vec::new();
    for (place, method) in summary.methods.iter().enumerate() {
        let name = method.reallocation.label();
        for protocol in &summary.protocols {
            let checked = summary.checked(&protocol.setting, place);
            if checked.compared == 0 {
                continue;
            }
            let known = counts.iter().position(|(known, ..)| *known == name);
            let known = known.unwrap_or_else(|| {
                counts.push((name.clone(), 0, 0));
                counts.len() - 1
            });
            counts[known].1 += checked.passing;
            counts[known].2 += checked.compared;
        }
    }
    if counts.is_empty() {
        return String::new();
    }
    let counts: Vec<String> = counts
        .into_iter()
        .map(|(name, passing, compared)| format!("{name} in {passing} of {compared}"))
        .collect();
    format!(" Runs that pass the manipulation check: {}.", counts.join(", "))
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
