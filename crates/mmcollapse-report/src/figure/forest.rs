//! Method under method: every run as a dot, the mean with its interval, how many diverged.
//!
//! For experiments of many methods at few levels, where lines against the level would say nothing. What is drawn is each
//! run's mean over the levels, the column `mean` of the table.

use mmcollapse_record::Metric;
use std::collections::BTreeMap;

use miette::Result;

use super::axis::Scale;
use super::canvas::{About, Canvas, Letters, Picture, Stand, picture, width_of};
use super::layout::{AXIS, Block, HEADING, NOTE, ORIGIN, TITLE, WARNING};
use super::panel::{MARK, PAPER_MARK, TICKS};
use super::style::{ALARM, GREY, GRID, INK, PAPER, STYLES, assign};
use super::{Axes, FigureText, Line, Panel, Point, note};
use crate::paper::Paper;
use crate::summary::{Column, ProtocolRun, Summary};
use crate::table::protocol_in_words;

const EDGE: f64 = 22.0;
/// Between names, plot and numbers.
const AIR: f64 = 14.0;
const PLOT: f64 = 430.0;
/// Height of a method's line.
const LINE: f64 = 25.0;
const X_AXIS: f64 = 44.0;
/// Radius of a run's dot.
const DOT: f64 = 2.2;
/// Opacity of a run's dot.
const FAINT: f64 = 0.45;

/// The figure before it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    pub(super) title: String,
    pub(super) note: String,
    pub(super) warnings: Vec<String>,
    pub(super) x_label: String,
    /// Whether values are differences, which may be below 0.
    pub(super) differences: bool,
    /// One for each protocol: what it does, and its methods.
    pub(super) parts: Vec<(String, Vec<Row>)>,
    pub(super) provenance: String,
}

/// One method.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) style: usize,
    /// Every run, in percent.
    pub(super) runs: Vec<f64>,
    pub(super) mean: Option<Point>,
    pub(super) paper: Option<f64>,
    /// What stands to the right: mean and half-width; how many runs diverged.
    pub(super) told: (String, String),
}

impl Forest {
    /// The paper's metric, each run's mean over the levels.
    pub fn new(summary: &Summary, paper: &Paper, text: FigureText) -> Self {
        let part = |protocol: &ProtocolRun| {
            let heading = format!("{}: {}", protocol.setting, protocol_in_words(protocol));
            (heading, rows(summary, &paper.metric, protocol))
        };
        let parts: Vec<(String, Vec<Row>)> = summary.protocols.iter().map(part).collect();
        let printed = parts.iter().any(|(_, rows)| rows.iter().any(|row| row.paper.is_some()));
        let levels = summary.protocols.iter().map(|p| p.rates.len()).max().unwrap_or(0);
        let mean_of = if levels > 1 { ", mean over the levels" } else { "" };
        Self {
            title: text.title.to_owned(),
            note: note(summary, &paper.metric, text.preset).replace("Line and band", "Mark and bar")
                + " Squares: single runs."
                + if printed { " Hollow: the paper's value." } else { "" },
            warnings: text.warnings,
            x_label: format!("test {} (%){mean_of}", paper.metric.words()),
            differences: false,
            parts,
            provenance: text.provenance,
        }
    }

    /// Lays the figure out and draws it; `metadata` goes into the SVG as it is.
    ///
    /// # Errors
    /// The bundled font is broken, or the drawing cannot be parsed again: a bug.
    pub fn draw(&self, metadata: &str) -> Result<Picture> {
        let rows = || self.parts.iter().flat_map(|(_, rows)| rows);
        let widest = |texts: Vec<&str>| -> Result<f64> {
            let widths: Vec<f64> = texts.iter().map(|t| width_of(t, TICKS)).collect::<Result<_>>()?;
            Ok(widths.into_iter().fold(0.0, f64::max))
        };
        let names = widest(rows().map(|row| row.name.as_str()).collect())?;
        let means = widest(rows().map(|row| row.told.0.as_str()).collect())?;
        let counts = widest(rows().map(|row| row.told.1.as_str()).collect())?;
        let left = EDGE + names + AIR;
        let right = left + PLOT;
        let mean_end = right + AIR + means;
        let width = mean_end + AIR + counts + EDGE;
        let inner = width - 2.0 * EDGE;

        let mut blocks = vec![Block::lines(&self.title, TITLE, inner, 8.0)?];
        for warning in &self.warnings {
            blocks.push(Block::lines(warning, WARNING, inner, 4.0)?);
        }
        blocks.push(Block::lines(&self.note, NOTE, inner, 12.0)?);
        let headings: Vec<Block> = self
            .parts
            .iter()
            .map(|(heading, _)| Block::lines(heading, HEADING, inner, 10.0))
            .collect::<Result<_>>()?;
        let origin = Block::lines(&self.provenance, ORIGIN, inner, 0.0)?;
        let text: f64 = blocks.iter().chain(&headings).map(Block::height).sum();
        let lines = rows().count() as f64 * LINE + self.parts.len() as f64 * X_AXIS;
        let height = (18.0 + text + lines + origin.height() + 18.0).ceil();

        let about = About {
            title: &self.title,
            description: &self.note,
            metadata,
        };
        let scale = self.scale();
        picture(width.ceil(), height, about, |canvas| {
            canvas.rectangle((0.0, 0.0), (width.ceil(), height), PAPER)?;
            let mut y = 18.0;
            for block in &blocks {
                y = block.draw_from(canvas, EDGE, y)?;
            }
            for ((_, rows), heading) in self.parts.iter().zip(&headings) {
                y = heading.draw_from(canvas, EDGE, y)?;
                let plot = Plot {
                    left,
                    right,
                    mean_end,
                    scale,
                };
                y = plot.draw(canvas, rows, &self.x_label, y)?;
            }
            origin.draw_from(canvas, EDGE, y)?;
            Ok(())
        })
    }

    /// One axis that reaches every run: here diverged ones are what is to be seen.
    pub(super) fn scale(&self) -> Scale {
        let rows = self.parts.iter().flat_map(|(_, rows)| rows);
        if self.differences {
            let ends = rows.flat_map(|row| {
                row.runs
                    .iter()
                    .copied()
                    .chain(row.mean.iter().flat_map(|m| [m.low, m.high]))
            });
            return Scale::of_differences(ends);
        }
        let point = |value: f64| Point {
            mean: value,
            low: value,
            high: value,
            diverged: 0,
        };
        let points = rows.flat_map(|row| {
            let runs = row.runs.iter().chain(&row.paper).map(|value| Some(point(*value)));
            runs.chain([row.mean]).collect::<Vec<_>>()
        });
        let all = Panel {
            title: String::new(),
            lines: vec![Line {
                style: 0,
                points: points.map(|p| p.map(|p| Point { diverged: 0, ..p })).collect(),
            }],
            paper: Vec::new(),
        };
        Scale::of(std::iter::once(&all), Axes::Percent)
    }
}

/// Where the plot of a protocol lies, from left to right.
struct Plot {
    left: f64,
    right: f64,
    mean_end: f64,
    scale: Scale,
}

impl Plot {
    /// Returns where it ends.
    fn draw(&self, canvas: &Canvas, rows: &[Row], x_label: &str, top: f64) -> Result<f64> {
        let bottom = top + rows.len() as f64 * LINE;
        for value in self.scale.ticks() {
            let x = self.x(value);
            // Below 0 there are only differences, which are read from there.
            let origin = self.scale.low < 0.0 && value.abs() < 0.5 * self.scale.step;
            canvas.line(&[(x, top), (x, bottom)], if origin { GREY } else { GRID }, 1.0)?;
            canvas.text(&self.scale.written(value), (x, bottom + 11.0), TICKS, Stand::Middle)?;
        }
        canvas.line(&[(self.left, bottom), (self.right, bottom)], GREY, 1.0)?;
        let middle = f64::midpoint(self.left, self.right);
        canvas.text(x_label, (middle, bottom + 28.0), AXIS, Stand::Middle)?;
        for (place, row) in rows.iter().enumerate() {
            self.row(canvas, row, top + (place as f64 + 0.5) * LINE)?;
        }
        Ok(bottom + X_AXIS)
    }

    fn row(&self, canvas: &Canvas, row: &Row, y: f64) -> Result<()> {
        let style = STYLES[row.style];
        canvas.text(&row.name, (self.left - AIR, y), TICKS, Stand::End)?;
        for value in &row.runs {
            let (x, r) = (self.x(*value), DOT);
            let square = [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)];
            canvas.area(&square, style.colour, FAINT)?;
        }
        if let Some(mean) = row.mean {
            let ends = [mean.low, mean.high].map(|value| (self.x(value), y));
            canvas.line(&ends, style.colour, 1.6)?;
            canvas.mark((self.x(mean.mean), y), MARK + 0.8, style)?;
        }
        if let Some(paper) = row.paper {
            canvas.hollow_mark((self.x(paper), y), PAPER_MARK, style)?;
        }
        let told = |colour| Letters { colour, ..TICKS };
        canvas.text(&row.told.0, (self.mean_end, y), told(INK), Stand::End)?;
        canvas.text(&row.told.1, (self.mean_end + AIR, y), told(ALARM), Stand::Start)
    }

    fn x(&self, value: f64) -> f64 {
        let value = value.clamp(self.scale.low, self.scale.high);
        self.left + (self.right - self.left) * self.scale.place(value)
    }
}

fn rows(summary: &Summary, metric: &Metric, protocol: &ProtocolRun) -> Vec<Row> {
    let styles = assign(&summary.methods);
    let methods = summary.methods.iter().enumerate();
    let row = |(place, method): (usize, &crate::summary::Method)| {
        let group = summary.get(&protocol.setting, place, metric, Column::MeanOfRates)?;
        let estimate = group.estimate.as_ref()?;
        let mean = Point::of(estimate, 100.0, group.diverged);
        let mut seeds: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        let of_method = |run: &&crate::summary::Run| {
            run.method == place && run.setting == protocol.setting && run.metric == *metric
        };
        for run in summary.runs.iter().filter(of_method) {
            seeds.entry(run.seed).or_default().push(100.0 * run.value);
        }
        let average = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let diverged = match group.diverged {
            0 => String::new(),
            count => format!("{count} of {} diverged", estimate.n + group.unscored),
        };
        Some(Row {
            name: method.label(),
            style: styles[place],
            runs: seeds.values().map(average).collect(),
            mean,
            paper: group.paper.map(|paper| 100.0 * paper),
            told: (
                mean.map_or_else(String::new, |p| {
                    format!("{:.1} ± {:.1}", p.mean, 0.5 * (p.high - p.low))
                }),
                diverged,
            ),
        })
    };
    methods.filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::synthetic::{experiment, table4};

    fn forest(seeds: u64) -> Forest {
        let paper = table4();
        let summary = Summary::new("table4", &experiment(seeds), &paper).unwrap();
        let text = FigureText {
            title: "Table 4: made up",
            preset: "quick",
            warnings: vec!["Incomplete: 3 of 99 cells are missing; the numbers will change.".to_owned()],
            provenance: "Made by: mmcollapse reproduce table4".to_owned(),
        };
        Forest::new(&summary, &paper, text)
    }

    #[test]
    fn every_method_has_a_line_with_all_its_runs_and_its_mean() {
        let forest = forest(10);
        let (heading, rows) = &forest.parts[0];
        assert!(heading.starts_with("test_missing"), "{heading}");
        assert_eq!(rows[0].name, "Late fusion");
        for row in rows {
            let mean = row.mean.unwrap();
            assert!(mean.low < mean.mean && mean.mean < mean.high);
            assert_eq!(row.runs.len(), 10, "{}", row.name);
            let of_runs = row.runs.iter().sum::<f64>() / 10.0;
            assert!((mean.mean - of_runs).abs() < 1e-9, "{}", row.name);
            let scale = forest.scale();
            assert!(
                row.runs.iter().all(|v| (scale.low..=scale.high).contains(v)),
                "{}",
                row.name
            );
        }
        let counted: Vec<&str> = rows
            .iter()
            .map(|row| row.told.1.as_str())
            .filter(|t| !t.is_empty())
            .collect();
        assert!(
            !counted.is_empty() && counted.iter().all(|t| t.ends_with("of 10 diverged")),
            "{counted:?}"
        );
    }

    #[test]
    fn it_is_drawn_with_one_seed_too() {
        for seeds in [1, 10] {
            let picture = forest(seeds).draw("").unwrap();
            assert!(picture.svg.matches("<use").count() > 60);
            if let Some(folder) = std::env::var_os("MMCOLLAPSE_LOOK") {
                let path = std::path::Path::new(&folder).join(format!("forest{seeds}.png"));
                mmcollapse_files::write_atomic(&path, &picture.png).unwrap();
            }
        }
    }
}
