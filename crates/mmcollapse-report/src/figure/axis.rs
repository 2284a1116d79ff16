//! What part of the vertical axis is shown, and where it is marked.

use super::{Axes, Panel, Point};

/// The shown part of the vertical axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Distance of the marks.
    pub step: f64,
}

/// How many times taller a scale may become for the sake of diverged runs before they are cut off instead.
const ROOM: f64 = 3.0;

impl Scale {
    /// One scale for all panels, so that they can be compared.
    ///
    /// A method whose runs diverged may lie far below all others. Where it would squeeze them, the scale leaves
    /// it out; the panel then tells its values at the lower edge.
    pub fn of<'a>(panels: impl Iterator<Item = &'a Panel> + Clone, axes: Axes) -> Self {
        // The largest number there can be, and the smallest difference worth a whole axis.
        let (top, least) = match axes {
            Axes::Percent => (100.0, 1.0),
            Axes::Shared | Axes::Own => (f64::INFINITY, 0.01),
        };
        let points = |panel: &'a Panel| panel.lines.iter().flat_map(|line| line.points.iter().flatten());
        let marks = panels.clone().flat_map(|panel| panel.paper.iter().map(|mark| mark.2));
        // Most quantities are at least 0; one whose mean is below is not, and is shown whole.
        let signed = axes == Axes::Own && panels.clone().flat_map(points).any(|point| point.mean < 0.0);
        let bottom = if signed { f64::NEG_INFINITY } else { 0.0 };
        let ends = |point: &Point| [point.low.max(bottom), point.high.min(top)];
        let all: Vec<f64> = panels
            .clone()
            .flat_map(points)
            .flat_map(ends)
            .chain(marks.clone())
            .collect();
        let sound: Vec<f64> = panels
            .flat_map(points)
            .filter(|point| point.diverged == 0)
            .flat_map(ends)
            .chain(marks)
            .collect();
        let (low, high) = match (span(&all), span(&sound)) {
            (Some(all), Some(sound)) if all.1 - all.0 > ROOM * (sound.1 - sound.0).max(least) => sound,
            (Some(all), _) => all,
            (None, _) => (0.0, top.min(1e2)),
        };
        Self::around((low, high), (bottom, top), least)
    }

    /// A scale of differences in points: it reaches every value, and 0.
    pub fn of_differences(values: impl Iterator<Item = f64>) -> Self {
        let all: Vec<f64> = values.chain([0.0]).collect();
        Self::around(span(&all).unwrap_or_default(), (-100.0, 100.0), 1.0)
    }

    /// Edges on marks, with a little air.
    fn around((low, high): (f64, f64), (bottom, top): (f64, f64), least: f64) -> Self {
        let air = 0.04 * (high - low).max(least);
        let (low, high) = (low - air, high + air);
        let step = step(high - low);
        Self {
            low: ((low / step).floor() * step).max(bottom),
            high: ((high / step).ceil() * step).min(top),
            step,
        }
    }

    /// Values of the marks, from below.
    pub fn ticks(&self) -> Vec<f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|i| self.low + i as f64 * self.step).collect()
    }

    /// A mark's value with as many digits as tell it from its neighbours.
    pub fn written(&self, value: f64) -> String {
        let needed = (-libm::log10(self.step)).ceil().max(0.0) as usize;
        rounded(value, needed.max(2))
    }

    /// Place of a value: 0 at the lower edge, 1 at the upper.
    pub fn place(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

fn span(values: &[f64]) -> Option<(f64, f64)> {
    let low = values.iter().copied().reduce(f64::min)?;
    let high = values.iter().copied().reduce(f64::max)?;
    Some((low, high))
}

/// 1, 2 or 5 times a power of ten: three to eight steps.
fn step(span: f64) -> f64 {
    let rough = span / 8.0;
    let power = libm::pow(10.0, libm::log10(rough).floor());
    let nice = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
    nice.into_iter().find(|step| *step >= rough).unwrap_or(10.0 * power)
}

/// A number on an axis: no more digits than it has, two after the point at most.
pub fn number(value: f64) -> String {
    rounded(value, 2)
}

fn rounded(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let sign = if value < 0.0 && text != "0" { "−" } else { "" };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Line;

    #[test]
    fn what_can_be_negative_is_shown_below_zero() {
        let below = Scale::of([panel(&[(-3.0, 1.0, 0), (1.0, 4.0, 0)])].iter(), Axes::Own);
        assert!(below.low <= -3.0 && below.high >= 4.0, "{below:?}");
        // Only the interval of something positive reaches below 0.
        let above = Scale::of([panel(&[(-1.0, 3.0, 0)])].iter(), Axes::Own);
        assert_eq!(above.low, 0.0);
    }

    fn panel(points: &[(f64, f64, usize)]) -> Panel {
        let point = |&(low, high, diverged): &(f64, f64, usize)| {
            Some(Point {
                mean: f64::midpoint(low, high),
                low,
                high,
                diverged,
            })
        };
        Panel {
            title: String::new(),
            lines: vec![Line {
                style: 0,
                points: points.iter().map(point).collect(),
            }],
            paper: vec![],
        }
    }

    #[test]
    fn edges_lie_on_marks() {
        let scale = Scale::of([panel(&[(90.3, 96.2, 0)])].iter(), Axes::Percent);
        assert_eq!(
            scale,
            Scale {
                low: 90.0,
                high: 97.0,
                step: 1.0
            }
        );
        assert_eq!(scale.ticks().len(), 8);
        assert_eq!(scale.place(93.5), 0.5);
    }

    #[test]
    fn diverged_runs_do_not_squeeze_the_others() {
        let cut = Scale::of([panel(&[(90.0, 96.0, 0), (10.0, 50.0, 5)])].iter(), Axes::Percent);
        assert!(cut.low > 80.0);
        let near = Scale::of([panel(&[(90.0, 96.0, 0), (85.0, 89.0, 1)])].iter(), Axes::Percent);
        assert!(near.low <= 85.0);
        let alone = Scale::of([panel(&[(10.0, 50.0, 5)])].iter(), Axes::Percent);
        assert!(alone.low <= 10.0 && alone.high >= 50.0);
    }

    #[test]
    fn nothing_to_show_is_still_a_scale() {
        let scale = Scale::of([].iter(), Axes::Percent);
        assert_eq!((scale.low, scale.high), (0.0, 100.0));
        let one = Scale::of([panel(&[(92.0, 92.0, 0)])].iter(), Axes::Percent);
        assert!(one.low < 92.0 && one.high > 92.0);
    }

    #[test]
    fn numbers_on_axes() {
        assert_eq!([95.0, 97.5, 0.0].map(number), ["95", "97.5", "0"]);
        let fine = Scale {
            low: 0.34,
            high: 0.35,
            step: 0.005,
        };
        let written: Vec<String> = fine.ticks().into_iter().map(|tick| fine.written(tick)).collect();
        assert_eq!(written, ["0.34", "0.345", "0.35"]);
    }
}
