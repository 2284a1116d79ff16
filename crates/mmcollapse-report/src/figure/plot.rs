//! The plot beside a forest's names: an axis below, a line for each row.

use miette::Result;

use super::axis::{Axis, Scale};
use super::canvas::{Canvas, Stand};
use super::forest::Row;
use super::layout::AXIS;
use super::panel::{GUIDE, MARK, PAPER_MARK, TICKS, dashed};
use super::style::{BASELINE, GREY, GRID, INK, NULL};
use super::{Line, Panel, Point};

/// Height of a method's line.
pub const LINE: f64 = 25.0;
/// Below the lines, for the axis and its name.
pub const X_AXIS: f64 = 44.0;
/// Radius of a run's dot.
const DOT: f64 = 2.2;
/// Opacity of a run's dot.
const FAINT: f64 = 0.45;

/// A scale that reaches every run of `rows`, and `origin`.
pub fn scale_of<'a>(rows: impl Iterator<Item = &'a Row>, axis: &Axis, origin: Option<f64>) -> Scale {
    let single = |value: f64| Point {
        mean: value,
        interval: None,
        seeds: 1,
        diverged: 0,
    };
    let points = rows.flat_map(|row| {
        let runs = row
            .runs
            .iter()
            .chain(&row.paper)
            .chain(&row.null)
            .map(|value| single(*value));
        let mean = Point {
            diverged: 0,
            ..row.mean
        };
        runs.chain([mean]).collect::<Vec<_>>()
    });
    let all = Panel {
        title: String::new(),
        axis: axis.clone(),
        lines: vec![Line {
            style: BASELINE,
            points: points.chain(origin.map(single)).map(Some).collect(),
            level: false,
        }],
        paper: Vec::new(),
        guides: Vec::new(),
    };
    Scale::of(std::iter::once(&all), axis)
}

/// Where a plot lies, from left to right, and what it shows: rows whose mean its scale does not reach are arrows.
pub struct Plot {
    pub left: f64,
    pub right: f64,
    pub scale: Scale,
}

impl Plot {
    pub fn draw(&self, canvas: &Canvas, rows: &[Row], x_label: &str, top: f64) -> Result<()> {
        let bottom = top + rows.len() as f64 * LINE;
        for value in self.scale.ticks() {
            let x = self.x(value);
            // Below 0 there are only differences, which are read from there.
            let origin = self.scale.low < 0.0 && value.abs() < 1e-9;
            canvas.line(&[(x, top), (x, bottom)], if origin { GREY } else { GRID }, 1.0)?;
            canvas.text(&self.scale.written(value), (x, bottom + 11.0), TICKS, Stand::Middle)?;
        }
        canvas.line(&[(self.left, bottom), (self.right, bottom)], GREY, 1.0)?;
        let middle = f64::midpoint(self.left, self.right);
        canvas.text(x_label, (middle, bottom + 28.0), AXIS, Stand::Middle)?;
        for (place, row) in rows.iter().enumerate() {
            self.row(canvas, row, top + (place as f64 + 0.5) * LINE)?;
        }
        Ok(())
    }

    /// A dashed line between two heights.
    pub fn guide(&self, canvas: &Canvas, value: f64, (top, bottom): (f64, f64)) -> Result<()> {
        let x = self.x(value);
        dashed(canvas, [(x, top), (x, bottom)], INK, GUIDE)
    }

    fn row(&self, canvas: &Canvas, row: &Row, y: f64) -> Result<()> {
        let style = row.style;
        if !self.reaches(row.mean.mean) {
            let (tip, back) = if row.mean.mean < self.scale.low {
                (self.left, self.left + 7.0)
            } else {
                (self.right, self.right - 7.0)
            };
            return canvas.area(&[(back, y - 3.2), (back, y + 3.2), (tip, y)], style.colour, 1.0);
        }
        for value in row.runs.iter().filter(|value| self.reaches(**value)) {
            let (x, r) = (self.x(*value), DOT);
            let square = [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)];
            canvas.area(&square, style.colour, FAINT)?;
        }
        if let Some(interval) = row.mean.interval {
            let ends = [interval.low, interval.high].map(|value| (self.x(value), y));
            canvas.line(&ends, style.colour, 1.6)?;
        }
        if let Some(null) = row.null {
            canvas.mark((self.x(null), y), MARK, NULL)?;
        }
        canvas.mark((self.x(row.mean.mean), y), MARK + 0.8, style)?;
        match row.paper.filter(|value| self.reaches(*value)) {
            Some(paper) => canvas.hollow_mark((self.x(paper), y), PAPER_MARK, style),
            None => Ok(()),
        }
    }

    fn reaches(&self, value: f64) -> bool {
        (self.scale.low..=self.scale.high).contains(&value)
    }

    fn x(&self, value: f64) -> f64 {
        let value = value.clamp(self.scale.low, self.scale.high);
        self.left + (self.right - self.left) * self.scale.place(value)
    }
}
