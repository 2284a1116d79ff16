//! One panel: frame, grid, bands, lines, marks.

use miette::Result;
use plotters::style::RGBColor;

use super::axis::Scale;
use super::canvas::{Canvas, Letters, Stand};
use super::style::{GREY, GRID, INK};
use super::{Guide, Line, Panel, PanelRow, Point};

/// Radius of our marks in pixels.
pub const MARK: f64 = 3.4;
/// Radius of the paper's marks: larger, so that one shows around the other.
pub const PAPER_MARK: f64 = 4.6;
/// The same where a line has too many places for marks.
const SMALL_MARK: f64 = 1.6;
/// Width of a line in pixels.
pub const STROKE: f64 = 1.9;
/// The same of a guide.
pub const GUIDE: f64 = 1.2;
/// Opacity of a band.
pub const BAND: f64 = 0.14;
/// With more places than this, lines have a few marks only and are not moved aside.
const MARKED_PLACES: usize = 12;
/// Marks of such a line, so that it is known without its colour.
const FEW_MARKS: usize = 4;
/// Horizontal distance of neighbouring lines at most, so that equal values do not hide each other.
const SIDESTEP: f64 = 5.0;
/// Length of a dash and of the gap behind it.
const DASH: f64 = 5.0;
/// Height of a line of text at the lower edge.
const TOLD: f64 = 11.0;
/// A mean and its half-width under it.
const TOLD_TWICE: f64 = 2.0 * TOLD + 2.0;

/// Names of places and values.
pub const TICKS: Letters = Letters {
    size: 11.0,
    bold: false,
    colour: INK,
};

/// Where a panel lies and what it shows.
pub struct Frame<'a> {
    /// Left, top, right, bottom in pixels.
    pub edges: (f64, f64, f64, f64),
    /// Its vertical axis.
    pub scale: Scale,
    /// Height at the bottom that is below the axis, for values that it does not reach.
    pub strip: f64,
    /// The row it belongs to, for the places of the horizontal axis.
    pub row: &'a PanelRow,
    /// Whether the values of the vertical axis stand beside it.
    pub values: bool,
}

impl Frame<'_> {
    /// Draws the panel with all that is in it.
    pub fn draw(&self, canvas: &Canvas, panel: &Panel) -> Result<()> {
        self.grid(canvas)?;
        for guide in &panel.guides {
            self.guide(canvas, guide)?;
        }
        let marked = self.row.x_ticks.len() <= MARKED_PLACES;
        // All lines together stay within a third of the way to the next place, so that none seems to stand at another.
        let way = if self.row.x_ticks.len() > 1 {
            self.x(1) - self.x(0)
        } else {
            f64::INFINITY
        };
        let steps = panel.lines.iter().filter(|line| !line.level).count() as f64 - 1.0;
        let sidestep = if marked {
            SIDESTEP.min(way / 3.0 / steps.max(1.0))
        } else {
            0.0
        };
        let side = |k: usize| {
            let before = panel.lines.iter().take(k).filter(|line| !line.level).count();
            (before as f64 - steps / 2.0) * sidestep
        };
        for (k, line) in panel.lines.iter().enumerate() {
            self.band(canvas, line, side(k))?;
        }
        for (k, line) in panel.lines.iter().enumerate() {
            self.line(canvas, line, side(k))?;
        }
        for &(style, x, value) in &panel.paper {
            if let Some(k) = panel.lines.iter().position(|line| line.style == style) {
                let at = (self.x(x) + side(k), self.y(value));
                canvas.hollow_mark(at, PAPER_MARK, style)?;
            }
        }
        for (k, line) in panel.lines.iter().enumerate() {
            for (x, point) in shown_points(line) {
                if point.mean < self.scale.low {
                    continue;
                }
                // A single seed is a mark everywhere, as no line is drawn through it.
                let spaced = has_mark(x, line.points.len(), k, panel.lines.len());
                if marked || spaced || point.seeds == 1 {
                    let at = (self.mark_x(line, x, side(k)), self.y(point.mean));
                    canvas.mark(at, if marked || spaced { MARK } else { SMALL_MARK }, line.style)?;
                }
                if beyond(&point, self.scale) {
                    let (_, top, _, _) = self.edges;
                    let at = (self.mark_x(line, x, side(k)), top + 5.0);
                    canvas.area(&above(at), line.style.colour, 1.0)?;
                }
            }
        }
        if marked {
            self.told(canvas, panel)?;
        }
        let (left, top, _, _) = self.edges;
        let title = Letters {
            size: 12.5,
            bold: true,
            colour: INK,
        };
        canvas.text(&panel.title, (left, top - 11.0), title, Stand::Start)
    }

    fn grid(&self, canvas: &Canvas) -> Result<()> {
        let (left, _, right, bottom) = self.edges;
        for value in self.scale.ticks() {
            let y = self.y(value);
            canvas.line(&[(left, y), (right, y)], GRID, 1.0)?;
            if self.values {
                canvas.text(&self.scale.written(value), (left - 7.0, y), TICKS, Stand::End)?;
            }
        }
        for (place, name) in self.row.x_ticks.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let x = self.x(place);
            canvas.line(&[(x, bottom), (x, bottom + 4.0)], GREY, 1.0)?;
            canvas.text(name, (x, bottom + 13.0), TICKS, Stand::Middle)?;
        }
        if self.strip > 0.0 {
            // The axis ends here; what follows is told, not drawn to scale.
            let end = self.y(self.scale.low);
            canvas.line(&[(left, end), (right, end)], GREY, 1.0)?;
        }
        canvas.line(&[(left, bottom), (right, bottom)], GREY, 1.0)
    }

    /// A dashed line from side to side.
    fn across(&self, canvas: &Canvas, value: f64, colour: RGBColor, width: f64) -> Result<()> {
        let (left, _, right, _) = self.edges;
        let y = self.y(self.shown(value));
        dashed(canvas, [(left, y), (right, y)], colour, width)
    }

    /// A line to read the panel by: through its places, or across where it has one value.
    fn guide(&self, canvas: &Canvas, guide: &Guide) -> Result<()> {
        if let [value] = guide.values[..] {
            return value.map_or(Ok(()), |value| self.across(canvas, value, guide.colour, GUIDE));
        }
        let at = |(place, value): (usize, f64)| {
            let x = self.x_among(place, guide.values.len());
            (x, self.y(self.shown(value)))
        };
        let values = guide.values.iter().enumerate();
        let points: Vec<(f64, f64)> = values
            .filter_map(|(place, value)| Some(at((place, (*value)?))))
            .collect();
        points
            .windows(2)
            .try_for_each(|pair| dashed(canvas, [pair[0], pair[1]], guide.colour, GUIDE))
    }

    /// The interval, over each stretch of neighbouring points that have one.
    fn band(&self, canvas: &Canvas, line: &Line, side: f64) -> Result<()> {
        let colour = line.style.colour;
        if line.level {
            let (left, _, right, _) = self.edges;
            let Some(interval) = self.level(line).and_then(|point| point.interval) else {
                return Ok(());
            };
            let (low, high) = (self.y(self.shown(interval.low)), self.y(self.shown(interval.high)));
            return canvas.area(&[(left, low), (right, low), (right, high), (left, high)], colour, BAND);
        }
        for stretch in stretches(line, self.row.connected, |point| point.interval.is_some()) {
            if stretch.iter().all(|(_, point)| point.mean < self.scale.low) {
                // Its line is not shown either; the band would only cover the others.
                continue;
            }
            let at = |x: usize, value: f64| (self.x_of(line, x) + side, self.y(self.shown(value)));
            let ends = stretch.iter().filter_map(|(x, point)| Some((*x, point.interval?)));
            let mut around: Vec<(f64, f64)> = ends.clone().map(|(x, interval)| at(x, interval.high)).collect();
            around.extend(ends.rev().map(|(x, interval)| at(x, interval.low)));
            if stretch.len() == 1 {
                // A single rate has no area: the interval is a bar.
                canvas.line(&around, colour, 1.0)?;
            } else {
                canvas.area(&around, colour, BAND)?;
            }
        }
        Ok(())
    }

    fn line(&self, canvas: &Canvas, line: &Line, side: f64) -> Result<()> {
        if line.level {
            return match self.level(line) {
                Some(point) => self.across(canvas, point.mean, line.style.colour, STROKE),
                None => Ok(()),
            };
        }
        for stretch in stretches(line, self.row.connected, |point| point.seeds > 1) {
            for pair in stretch.windows(2) {
                let at = |(x, point): (usize, Point)| (self.x_of(line, x) + side, self.y(point.mean));
                if let Some(visible) = self.visible(at(pair[0]), at(pair[1])) {
                    canvas.line(&visible, line.style.colour, STROKE)?;
                }
            }
        }
        Ok(())
    }

    /// Values below the shown part, mean over half-width, in the strip and in their line's colour.
    fn told(&self, canvas: &Canvas, panel: &Panel) -> Result<()> {
        let (_, _, _, bottom) = self.edges;
        let mut heights = vec![bottom - 8.0 - TOLD; self.row.x_ticks.len()];
        for line in &panel.lines {
            for (x, point) in shown_points(line) {
                if point.mean >= self.scale.low {
                    continue;
                }
                let Some(height) = heights.get_mut(x) else {
                    continue;
                };
                let style = line.style;
                let letters = Letters {
                    size: 9.5,
                    bold: true,
                    colour: style.colour,
                };
                let middle = self.x(x);
                canvas.area(&below((middle - 19.0, *height + 0.5)), style.colour, 1.0)?;
                let mean = format!("{:.1}", point.mean);
                canvas.text(&mean, (middle + 12.0, *height), letters, Stand::End)?;
                let half = point
                    .half()
                    .map_or_else(|| format!("n = {}", point.seeds), |half| format!("± {half:.1}"));
                canvas.text(&half, (middle + 12.0, *height + TOLD), letters, Stand::End)?;
                *height -= TOLD_TWICE;
            }
        }
        Ok(())
    }

    /// The part of a line above the axis' lower end, in pixels.
    fn visible(&self, a: (f64, f64), b: (f64, f64)) -> Option<[(f64, f64); 2]> {
        let edge = self.y(self.scale.low);
        let cut = |inside: (f64, f64), outside: (f64, f64)| {
            let share = (inside.1 - edge) / (inside.1 - outside.1);
            (inside.0 + share * (outside.0 - inside.0), edge)
        };
        match (a.1 <= edge, b.1 <= edge) {
            (true, true) => Some([a, b]),
            (true, false) => Some([a, cut(a, b)]),
            (false, true) => Some([cut(b, a), b]),
            (false, false) => None,
        }
    }

    fn shown(&self, value: f64) -> f64 {
        value.clamp(self.scale.low, self.scale.high)
    }

    fn x(&self, place: usize) -> f64 {
        self.x_among(place, self.row.x_ticks.len())
    }

    /// Of a point: lines may have more points than the axis has names, or fewer.
    fn x_of(&self, line: &Line, place: usize) -> f64 {
        self.x_among(place, line.points.len())
    }

    /// Of a mark: a level line has its one at its right end.
    fn mark_x(&self, line: &Line, place: usize, side: f64) -> f64 {
        if line.level {
            self.edges.2
        } else {
            self.x_of(line, place) + side
        }
    }

    /// The one point of a level line, if it lies in the shown part.
    fn level(&self, line: &Line) -> Option<Point> {
        let (_, point) = shown_points(line).next()?;
        (point.mean >= self.scale.low).then_some(point)
    }

    /// Places stand evenly with half a place of air at each end.
    fn x_among(&self, place: usize, places: usize) -> f64 {
        let (left, _, right, _) = self.edges;
        left + (right - left) * (place as f64 + 0.5) / places.max(1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        let (_, top, _, bottom) = self.edges;
        let end = bottom - self.strip;
        end - (end - top) * self.scale.place(value)
    }
}

/// A dashed line from one point to another.
pub fn dashed(canvas: &Canvas, [from, to]: [(f64, f64); 2], colour: RGBColor, width: f64) -> Result<()> {
    let length = libm::hypot(to.0 - from.0, to.1 - from.1);
    let dashes = (length / DASH) as usize;
    let at = |dash: usize| {
        let share = dash as f64 * DASH / length;
        (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1))
    };
    (0..dashes)
        .step_by(2)
        .try_for_each(|dash| canvas.line(&[at(dash), at(dash + 1)], colour, width))
}

/// Points that are marked or told, with their places: of a level line the last.
fn shown_points(line: &Line) -> impl Iterator<Item = (usize, Point)> {
    let points = line.points.iter().enumerate();
    let points = points.filter_map(|(place, point)| Some((place, (*point)?)));
    let hidden = if line.level {
        points.clone().count().saturating_sub(1)
    } else {
        0
    };
    points.skip(hidden)
}

/// Whether a line with many places has one of its few marks here; neighbouring lines have theirs elsewhere.
fn has_mark(place: usize, places: usize, line: usize, lines: usize) -> bool {
    let step = (places / FEW_MARKS).max(1);
    place % step == (line * step / lines.max(1) + step / 2) % step
}

/// Height of the strip that the panel needing most of it needs, for values that the axis does not reach.
pub fn strip<'a>(panels: impl Iterator<Item = &'a Panel>, scale: Scale) -> f64 {
    let told = |panel: &Panel| {
        let places = panel.lines.iter().map(|line| line.points.len()).max().unwrap_or(0);
        let at = |x: usize| {
            let points = panel.lines.iter().filter_map(|line| *line.points.get(x)?);
            points.filter(|point| point.mean < scale.low).count()
        };
        (0..places).map(at).max().unwrap_or(0)
    };
    match panels.map(told).max().unwrap_or(0) {
        0 => 0.0,
        most => most as f64 * TOLD_TWICE + 6.0,
    }
}

/// Corners of the arrow that says "further down".
pub fn below((x, y): (f64, f64)) -> [(f64, f64); 3] {
    [(x - 3.2, y - 3.5), (x + 3.2, y - 3.5), (x, y + 3.5)]
}

/// Corners of the arrow that says "further up".
pub fn above((x, y): (f64, f64)) -> [(f64, f64); 3] {
    [(x - 3.2, y + 3.5), (x + 3.2, y + 3.5), (x, y - 3.5)]
}

/// Whether a point's interval is cut at the upper end of the axis.
pub fn beyond(point: &Point, scale: Scale) -> bool {
    point.mean >= scale.low
        && point
            .interval
            .is_some_and(|interval| interval.high > scale.high && scale.cuts)
}

/// Neighbouring points that are all `chosen`; places without a point part them, unless lines are `connected`.
fn stretches(line: &Line, connected: bool, chosen: impl Fn(&Point) -> bool) -> Vec<Vec<(usize, Point)>> {
    let mut stretches = vec![Vec::new()];
    let there = |(_, point): &(usize, &Option<Point>)| !connected || point.is_some();
    for (x, point) in line.points.iter().enumerate().filter(there) {
        match (point.filter(&chosen), stretches.last_mut()) {
            (Some(point), Some(stretch)) => stretch.push((x, point)),
            _ => stretches.push(Vec::new()),
        }
    }
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}
