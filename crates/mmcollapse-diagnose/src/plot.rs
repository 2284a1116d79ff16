//! Numbers with their intervals, row by row, as SVG that a page holds inline.
//!
//! Letters stay text: the page's font draws them, and readers can select them.

use plotters::prelude::{Circle, DrawingArea, IntoDrawingArea, PathElement, Rectangle, SVGBackend, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, IntoTextStyle, RGBColor, ShapeStyle};

use crate::error::{Result, input};
use crate::resample::Estimated;

/// Of text and axes, lines to read values by, what is counted, and what must not be overlooked: those of the report's figures.
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GREY: RGBColor = RGBColor(0x66, 0x66, 0x66);
const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
const MARK: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const ALARM: RGBColor = RGBColor(0xd5, 0x5e, 0x00);

/// Pixels: whole figure, what names take of it, a row, and what is above and below the rows.
const WIDTH: i32 = 420;
const NAMES: i32 = 184;
const ROW: i32 = 26;
const ABOVE: i32 = 10;
const BELOW: i32 = 42;

/// A row of a plot.
pub(crate) struct Row {
    pub name: String,
    pub value: Estimated,
    /// Drawn in the colour of alarm, as a square.
    pub alarm: bool,
}

/// Rows of values on one axis.
pub(crate) struct Plot {
    /// What it shows, for those who do not see it.
    pub title: String,
    pub axis: String,
    pub rows: Vec<Row>,
    /// A value that is marked by a dashed line.
    pub line: Option<f64>,
    /// Least range of the axis.
    pub range: (f64, f64),
}

/// The SVG of a plot.
pub(crate) fn svg(plot: &Plot) -> Result<String> {
    let height = ABOVE + ROW * plot.rows.len() as i32 + BELOW;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH as u32, height as u32)).into_drawing_area();
        draw(plot, &area, height)
            .map_err(|error| input(format!("a figure cannot be drawn: {error}"), "report this as a bug"))?;
    }
    // What says how wide it is drawn is the page; a view box lets it shrink.
    let open = text.find("<svg").unwrap_or_default();
    let close = text[open..].find('>').map_or(text.len(), |at| open + at + 1);
    let title = escaped(&plot.title);
    Ok(format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\" xmlns=\"http://www.w3.org/2000/svg\"><title>{title}</title>{}",
        &text[close..]
    ))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(plot: &Plot, area: &Area, height: i32) -> Drawn {
    let ends = plot
        .rows
        .iter()
        .flat_map(|row| [row.value.low, row.value.high, row.value.value]);
    let ends: Vec<f64> = ends.filter(|end| end.is_finite()).collect();
    let low = ends.iter().copied().fold(plot.range.0, f64::min);
    let high = ends.iter().copied().fold(plot.range.1, f64::max);
    let step = step(high - low);
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    let right = WIDTH - 16;
    let x = |value: f64| NAMES + (f64::from(right - NAMES) * (value - low) / (high - low)).round() as i32;
    let bottom = height - BELOW;
    let letters = |size: i32, colour: &RGBColor, pos: Pos| {
        ("sans-serif", size)
            .into_font()
            .color(colour)
            .into_text_style(area)
            .pos(pos)
    };
    for tick in 0..=((high - low) / step).round() as i32 {
        let value = low + f64::from(tick) * step;
        area.draw(&PathElement::new(
            [(x(value), ABOVE), (x(value), bottom)],
            GRID.stroke_width(1),
        ))?;
        let below = Pos::new(HPos::Center, VPos::Top);
        area.draw(&Text::new(
            tick_text(value, step),
            (x(value), bottom + 4),
            letters(16, &GREY, below),
        ))?;
    }
    let middle = Pos::new(HPos::Center, VPos::Top);
    area.draw(&Text::new(
        plot.axis.clone(),
        (i32::midpoint(NAMES, right), bottom + 22),
        letters(16, &INK, middle),
    ))?;
    if let Some(line) = plot.line {
        for from in (ABOVE..bottom).step_by(7) {
            let to = (from + 4).min(bottom);
            area.draw(&PathElement::new(
                [(x(line), from), (x(line), to)],
                GREY.stroke_width(1),
            ))?;
        }
    }
    for (place, row) in plot.rows.iter().enumerate() {
        let y = ABOVE + ROW * place as i32 + ROW / 2;
        let end = Pos::new(HPos::Right, VPos::Center);
        area.draw(&Text::new(fitting(&row.name), (NAMES - 10, y), letters(16, &INK, end)))?;
        if !row.value.value.is_finite() {
            continue;
        }
        let colour = if row.alarm { ALARM } else { MARK };
        let (from, to, at) = (x(row.value.low), x(row.value.high), x(row.value.value));
        area.draw(&PathElement::new([(from, y), (to, y)], colour.stroke_width(2)))?;
        let filled: ShapeStyle = colour.filled();
        if row.alarm {
            area.draw(&Rectangle::new([(at - 5, y - 5), (at + 5, y + 5)], filled))?;
        } else {
            area.draw(&Circle::new((at, y), 5, filled))?;
        }
    }
    area.present()?;
    Ok(())
}

/// A distance of ticks such that there are two to five.
fn step(range: f64) -> f64 {
    let range = if range > 0.0 { range } else { 1.0 };
    let size = libm::pow(10.0, libm::log10(range).floor());
    let steps = [0.1, 0.2, 0.5, 1.0].map(|part| part * size);
    steps.into_iter().find(|step| range / step <= 5.0).unwrap_or(size)
}

fn tick_text(value: f64, step: f64) -> String {
    let digits = (-libm::log10(step).floor()).max(0.0) as usize;
    let text = format!("{value:.digits$}");
    // Not `-0`.
    if text.chars().all(|c| "-0.".contains(c)) {
        "0".into()
    } else {
        text
    }
}

/// A name that fits beside the axis; plotters escapes it.
fn fitting(name: &str) -> String {
    const MOST: usize = 24;
    if name.chars().count() <= MOST {
        return name.to_owned();
    }
    name.chars().take(MOST - 1).chain(['…']).collect()
}

/// Text for HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        for (range, expected) in [(1.0, 0.2), (0.5, 0.1), (2.4, 0.5), (100.0, 20.0), (0.0, 0.2)] {
            assert!((step(range) - expected).abs() < 1e-12, "{range}: {}", step(range));
        }
        assert_eq!(tick_text(-0.0, 0.2), "0");
        assert_eq!(tick_text(0.25, 0.05), "0.25");
    }

    #[test]
    fn names_cannot_break_the_page() {
        let plot = Plot {
            title: "a < \"b\"".into(),
            axis: "%".into(),
            rows: vec![Row {
                name: "<script>".into(),
                value: Estimated {
                    value: 0.5,
                    low: 0.4,
                    high: 0.6,
                },
                alarm: true,
            }],
            line: Some(0.1),
            range: (0.0, 1.0),
        };
        let drawn = svg(&plot).unwrap();
        assert!(
            !drawn.contains("<script>") && drawn.contains("&lt;script&gt;"),
            "{drawn}"
        );
        assert!(drawn.contains("aria-label=\"a &lt; &quot;b&quot;\""));
    }
}
