//! Method under method: every run as a dot, the mean with its interval, how many diverged.
//!
//! For experiments of many methods at few levels, where lines against the level would say nothing. What is drawn is each
//! run's mean over the levels, the column `mean` of the table.

use mmcollapse_record::{At, Metric};
use std::collections::BTreeMap;

use miette::Result;

use super::axis::Scale;
use super::canvas::{About, Letters, Picture, Stand, picture, width_of};
use super::layout::{Block, HEADING, NOTE, ORIGIN, TITLE, WARNING};
use super::panel::TICKS;
use super::plot::{LINE, Plot, X_AXIS, scale_of};
use super::style::{ALARM, INK, PAPER, Style, assign_rows, distinct};
use super::{Axis, FigureText, Point, note, zoom};
use crate::paper::Paper;
use crate::summary::{Column, ProtocolRun, Summary};

const EDGE: f64 = 22.0;
/// Between names, plot and numbers.
const AIR: f64 = 14.0;
const PLOT: f64 = 430.0;
/// The plot of all rows where a zoom stands beside it.
const SMALL_PLOT: f64 = 300.0;

/// The figure before it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    pub(super) title: String,
    pub(super) note: String,
    pub(super) warnings: Vec<String>,
    pub(super) x_label: String,
    /// What is measured.
    pub(super) axis: Axis,
    /// Whether values are differences, which are read from 0.
    pub(super) differences: bool,
    /// One for each protocol: what it does, and its methods.
    pub(super) parts: Vec<(String, Vec<Row>)>,
    /// A value to read it by, in the metric's unit.
    pub(super) guide: Option<f64>,
    pub(super) provenance: String,
}

/// One method.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) style: Style,
    /// Every run, in the metric's unit.
    pub(super) runs: Vec<f64>,
    pub(super) mean: Point,
    pub(super) paper: Option<f64>,
    /// What the mean would be if nothing were behind it.
    pub(super) null: Option<f64>,
    /// What stands to the right: mean and half-width; how many runs diverged.
    pub(super) told: (String, String),
}

impl Forest {
    /// The paper's metric, each run's mean over the levels.
    pub fn new(summary: &Summary, paper: &Paper, text: FigureText) -> Self {
        let part = |protocol: &ProtocolRun| {
            let heading = format!("{}: {}", protocol.setting, protocol.in_words());
            (heading, rows(summary, &paper.metric, protocol))
        };
        let parts: Vec<(String, Vec<Row>)> = summary.protocols.iter().map(part).collect();
        let printed = parts.iter().any(|(_, rows)| rows.iter().any(|row| row.paper.is_some()));
        let null = paper.metric.null();
        let null = null.map_or_else(String::new, |null| format!(" Grey dart: {}.", null.title()));
        // A forest has no levels and one metric: what holds everywhere is what it can be read by.
        let guide = text.references.iter().find_map(|reference| match reference.at {
            At::Everywhere(value) if paper.metric == reference.metric => Some((reference.label, value)),
            _ => None,
        });
        let dashed = guide.map_or_else(String::new, |(label, _)| format!(" Dashed: {label}."));
        let levels = summary.protocols.iter().map(|p| p.rates.len()).max().unwrap_or(0);
        let mean_of = if levels > 1 { ", mean over the levels" } else { "" };
        Self {
            title: text.title.to_owned(),
            note: note(summary, std::slice::from_ref(&paper.metric), text.preset)
                .replace("Line and band", "Mark and bar")
                .replace("No band", "No bar")
                .replace("no band", "no bar")
                .replace("; marks only where n = 1", "")
                + " Squares: single runs."
                + if printed { " Hollow: the paper's value." } else { "" }
                + &null
                + &dashed,
            warnings: text.warnings,
            x_label: paper.metric.title() + mean_of,
            axis: Axis::of(&paper.metric),
            differences: false,
            parts,
            guide: guide.map(|(_, value)| paper.metric.scale() * value),
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
        let zooms: Vec<Option<Scale>> = self.parts.iter().map(|(_, rows)| self.zoom(rows)).collect();
        let zoomed = zooms.iter().any(Option::is_some);
        let all_end = left + if zoomed { SMALL_PLOT } else { PLOT };
        let right = all_end + if zoomed { 3.0 * AIR + PLOT } else { 0.0 };
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
            for (((_, rows), heading), zoom) in self.parts.iter().zip(&headings).zip(&zooms) {
                y = heading.draw_from(canvas, EDGE, y)?;
                let plot = Plot {
                    left,
                    right: all_end,
                    scale,
                };
                plot.draw(canvas, rows, &self.x_label, y)?;
                if let Some(guide) = self.guide {
                    plot.guide(canvas, guide, (y, y + rows.len() as f64 * LINE))?;
                }
                if let Some(scale) = *zoom {
                    let plot = Plot {
                        left: right - PLOT,
                        right,
                        scale,
                    };
                    plot.draw(canvas, rows, &self.zoom_label(), y)?;
                }
                for row in rows {
                    let middle = y + 0.5 * LINE;
                    let told = |colour| Letters { colour, ..TICKS };
                    canvas.text(&row.name, (left - AIR, middle), TICKS, Stand::End)?;
                    canvas.text(&row.told.0, (mean_end, middle), told(INK), Stand::End)?;
                    canvas.text(&row.told.1, (mean_end + AIR, middle), told(ALARM), Stand::Start)?;
                    y += LINE;
                }
                y += X_AXIS;
            }
            origin.draw_from(canvas, EDGE, y)?;
            Ok(())
        })
    }

    /// One axis that reaches every run: here diverged ones are what is to be seen.
    pub(super) fn scale(&self) -> Scale {
        let rows = self.parts.iter().flat_map(|(_, rows)| rows);
        let origin = self.differences.then_some(0.0);
        scale_of(rows, &self.axis, origin.or(self.guide))
    }

    /// Points of each row from the best, of a difference from 0.
    fn behind(&self, rows: &[Row]) -> Vec<f64> {
        let means = rows.iter().map(|row| row.mean.mean);
        let best = means.clone().fold(f64::NEG_INFINITY, f64::max);
        means
            .map(|mean| if self.differences { mean.abs() } else { best - mean })
            .collect()
    }

    /// The axis of a second look at the rows close to the best, in each part if any needs one: they share an axis.
    pub(super) fn zoom(&self, rows: &[Row]) -> Option<Scale> {
        let needed = self.parts.iter().any(|(_, rows)| zoom::needed(&self.behind(rows)));
        let best = rows.iter().map(|row| row.mean.mean).reduce(f64::max)?;
        let range = if self.differences {
            (Some(-zoom::REACH), Some(zoom::REACH))
        } else {
            (Some((best - zoom::REACH).floor()), self.axis.range.1)
        };
        let axis = Axis {
            range,
            ..self.axis.clone()
        };
        let behind = self.behind(rows);
        let near = rows.iter().zip(&behind).filter(|(_, behind)| **behind <= zoom::REACH);
        let origin = self.differences.then_some(0.0);
        needed.then(|| scale_of(near.map(|(row, _)| row), &axis, origin))
    }

    fn zoom_label(&self) -> String {
        let reach = zoom::REACH;
        if self.differences {
            format!("zoom: differences within {reach} points")
        } else {
            format!("zoom: rows within {reach} points of the best")
        }
    }
}

/// The names of all methods, no two alike.
pub(super) fn names(summary: &Summary) -> Vec<String> {
    let names: Vec<(String, String)> = summary
        .methods
        .iter()
        .map(|method| {
            (
                method.label(),
                format!("{} {}", method.fusion.name, method.reallocation.name),
            )
        })
        .collect();
    let names: Vec<(String, &str)> = names.iter().map(|(name, key)| (name.clone(), key.as_str())).collect();
    distinct(&names)
}

fn rows(summary: &Summary, metric: &Metric, protocol: &ProtocolRun) -> Vec<Row> {
    let styles = assign_rows(&summary.methods);
    let names = names(summary);
    let row = |place: usize| {
        let group = summary.get(&protocol.setting, place, metric, Column::MeanOfRates)?;
        let estimate = group.estimate.as_ref()?;
        let mean = Point::of(estimate, metric.scale(), group.diverged);
        let mut seeds: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        let of_method = |run: &&crate::summary::Run| {
            run.method == place && run.setting == protocol.setting && run.metric == *metric
        };
        for run in summary.runs.iter().filter(of_method) {
            seeds.entry(run.seed).or_default().push(metric.scale() * run.value);
        }
        let average = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let diverged = match group.diverged {
            0 => String::new(),
            count => format!("{count} of {} diverged", estimate.n + group.unscored),
        };
        Some(Row {
            name: names[place].clone(),
            style: styles[place],
            runs: seeds.values().map(average).collect(),
            mean,
            paper: group.paper.map(|paper| metric.scale() * paper),
            null: metric.null().and_then(|null| {
                let group = summary.get(&protocol.setting, place, &null, Column::MeanOfRates)?;
                Some(null.scale() * group.estimate.as_ref()?.mean)
            }),
            told: (mean.written(if metric.is_share() { 1 } else { 3 }), diverged),
        })
    };
    (0..summary.methods.len()).filter_map(row).collect()
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
            ..FigureText::default()
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
            let (mean, interval) = (row.mean, row.mean.interval.unwrap());
            assert!(interval.low < mean.mean && mean.mean < interval.high);
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

    #[test]
    fn rows_close_to_the_best_have_a_zoom_where_others_fail() {
        let mut forest = forest(10);
        let rows = &mut forest.parts[0].1;
        assert!(rows.len() > 3);
        let shifted = |row: &Row, by: f64| Row {
            runs: row.runs.iter().map(|run| run + by).collect(),
            mean: Point {
                mean: row.mean.mean + by,
                interval: None,
                ..row.mean
            },
            ..row.clone()
        };
        rows[1] = shifted(&rows[0], 0.5);
        rows[2] = shifted(&rows[0], -60.0);
        let rows = &forest.parts[0].1;
        let zoom = forest.zoom(rows).unwrap();
        assert!(zoom.high - zoom.low <= 15.0 && zoom.low > rows[2].mean.mean, "{zoom:?}");
        let apart = zoom.place(rows[1].mean.mean) - zoom.place(rows[0].mean.mean);
        assert!(apart * PLOT > 10.0, "{apart}");
        let picture = forest.draw("").unwrap();
        let mut close = forest.clone();
        for (_, rows) in &mut close.parts {
            rows.truncate(2);
        }
        assert!(close.zoom(&close.parts[0].1).is_none());
        if let Some(folder) = std::env::var_os("MMCOLLAPSE_LOOK") {
            let path = std::path::Path::new(&folder).join("forest_zoom.png");
            mmcollapse_files::write_atomic(&path, &picture.png).unwrap();
        }
    }
}
