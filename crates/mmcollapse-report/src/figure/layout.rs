//! Where everything of a figure stands: heading, legend, rows of panels, origin.

use miette::Result;
use plotters::style::RGBColor;

use super::axis::Scale;
use super::canvas::{About, Canvas, Letters, Picture, Stand, picture, width_of};
use super::panel::{BAND, Frame, GUIDE, MARK, PAPER_MARK, STROKE, above, below, beyond, dashed, strip};
use super::style::{ALARM, GREY, INK, PAPER, Shape, Style};
use super::{Figure, Panel, PanelRow};

const PANEL_WIDTH: f64 = 250.0;
const PANEL_HEIGHT: f64 = 210.0;
/// Between panels of a row.
const GAP: f64 = 22.0;
/// The same where each has an axis of its own.
const WIDE_GAP: f64 = 56.0;
/// Left of the first panel: the axis' name and values.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 22.0;
/// More panels than this are cut into lines of about equally many.
const PER_LINE: usize = 5;
/// Narrower than this the text above breaks too often.
const LEAST_WIDTH: f64 = 620.0;
/// Above a line of panels, for their titles.
const PANEL_TITLE: f64 = 26.0;
/// Below it, for the horizontal axis.
const X_AXIS: f64 = 46.0;

pub(super) const TITLE: Letters = letters(17.0, true, INK);
pub(super) const WARNING: Letters = letters(12.0, true, ALARM);
pub(super) const NOTE: Letters = letters(11.5, false, GREY);
pub(super) const HEADING: Letters = letters(12.0, false, INK);
const LEGEND: Letters = letters(12.0, false, INK);
pub(super) const AXIS: Letters = letters(11.5, false, INK);
pub(super) const ORIGIN: Letters = letters(9.0, false, GREY);

const fn letters(size: f64, bold: bool, colour: RGBColor) -> Letters {
    Letters { size, bold, colour }
}

/// Draws a figure; its height follows from what it holds.
pub fn draw(figure: &Figure, metadata: &str) -> Result<Picture> {
    let across = figure.rows.iter().map(per_line).max().unwrap_or(1) as f64;
    let width = (LEFT + across * PANEL_WIDTH + (across - 1.0) * gap(figure) + RIGHT).max(LEAST_WIDTH);
    let inner = width - LEFT - RIGHT;
    let mut blocks = vec![Block::lines(&figure.title, TITLE, inner, 8.0)?];
    for warning in &figure.warnings {
        blocks.push(Block::lines(warning, WARNING, inner, 4.0)?);
    }
    blocks.push(Block::lines(&figure.note, NOTE, inner, 10.0)?);
    let legend = Legend::of(figure, inner)?;
    let headings: Vec<Block> = figure
        .rows
        .iter()
        .map(|row| Block::lines(&row.heading, HEADING, inner, 8.0))
        .collect::<Result<_>>()?;
    let origin = Block::lines(&figure.provenance, ORIGIN, inner, 0.0)?;

    let top = 18.0;
    let lines_of = |row: &PanelRow| row.panels.len().div_ceil(per_line(row)).max(1) as f64;
    let panels: f64 = figure
        .rows
        .iter()
        .map(|row| lines_of(row) * (PANEL_TITLE + PANEL_HEIGHT + X_AXIS) + 12.0)
        .sum();
    let text: f64 = blocks.iter().chain(&headings).map(Block::height).sum();
    let height = (top + text + legend.height() + panels + origin.height() + 14.0).ceil();

    let about = About {
        title: &figure.title,
        description: &figure.note,
        metadata,
    };
    picture(width, height, about, |canvas| {
        canvas.rectangle((0.0, 0.0), (width, height), PAPER)?;
        let mut y = top;
        for block in &blocks {
            y = block.draw(canvas, y)?;
        }
        y = legend.draw(canvas, y)?;
        for (row, heading) in figure.rows.iter().zip(&headings) {
            y = heading.draw(canvas, y)?;
            for line in row.panels.chunks(per_line(row)) {
                y = panel_line(canvas, figure, row, line, y)?;
            }
            y += 12.0;
        }
        origin.draw(canvas, y)?;
        Ok(())
    })
}

/// Panels side by side, at least one.
fn per_line(row: &PanelRow) -> usize {
    let panels = row.panels.len().max(1);
    panels.div_ceil(panels.div_ceil(PER_LINE))
}

/// Panels side by side with their axes; returns where they end.
fn panel_line(canvas: &Canvas, figure: &Figure, row: &PanelRow, panels: &[Panel], y: f64) -> Result<f64> {
    let (top, bottom) = (y + PANEL_TITLE, y + PANEL_TITLE + PANEL_HEIGHT);
    for (place, panel) in panels.iter().enumerate() {
        let left = LEFT + place as f64 * (PANEL_WIDTH + gap(figure));
        let (scale, strip) = scale(figure, panel);
        let frame = Frame {
            edges: (left, top, left + PANEL_WIDTH, bottom),
            scale,
            strip,
            row,
            values: place == 0 || panels[place - 1].axis != panel.axis,
        };
        frame.draw(canvas, panel)?;
    }
    let count = panels.len() as f64;
    let middle = LEFT + 0.5 * (count * PANEL_WIDTH + (count - 1.0) * gap(figure));
    canvas.text(&row.x_label, (middle, bottom + 32.0), AXIS, Stand::Middle)?;
    let height = f64::midpoint(top, bottom);
    if !figure.y_label.is_empty() {
        canvas.text(&figure.y_label, (20.0, height), AXIS, Stand::Upwards)?;
    }
    Ok(bottom + X_AXIS)
}

/// Between panels: more where one has values of its own beside it.
fn gap(figure: &Figure) -> f64 {
    let differ = |row: &PanelRow| row.panels.windows(2).any(|pair| pair[0].axis != pair[1].axis);
    if figure.rows.iter().any(differ) { WIDE_GAP } else { GAP }
}

/// The scale of all panels with the axis of this one, and the height of their strip.
pub(super) fn scale(figure: &Figure, panel: &Panel) -> (Scale, f64) {
    let panels = figure.rows.iter().flat_map(|row| &row.panels);
    let panels = panels.filter(|other| other.axis == panel.axis);
    let scale = Scale::of(panels.clone(), &panel.axis);
    (scale, strip(panels, scale))
}

/// Lines of text, broken to a width.
pub(super) struct Block {
    lines: Vec<String>,
    letters: Letters,
    below: f64,
}

impl Block {
    pub fn lines(text: &str, letters: Letters, width: f64, below: f64) -> Result<Self> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            if let Some(line) = lines.last_mut() {
                let longer = format!("{line} {word}");
                if width_of(&longer, letters)? <= width {
                    *line = longer;
                    continue;
                }
            }
            lines.push(word.to_owned());
        }
        Ok(Self { lines, letters, below })
    }

    fn line_height(&self) -> f64 {
        1.4 * self.letters.size
    }

    pub fn height(&self) -> f64 {
        self.lines.len() as f64 * self.line_height() + self.below
    }

    pub fn draw(&self, canvas: &Canvas, top: f64) -> Result<f64> {
        self.draw_from(canvas, LEFT, top)
    }

    /// [`Self::draw`] with another left edge.
    pub fn draw_from(&self, canvas: &Canvas, left: f64, top: f64) -> Result<f64> {
        for (place, line) in self.lines.iter().enumerate() {
            let y = top + (place as f64 + 0.5) * self.line_height();
            canvas.text(line, (left, y), self.letters, Stand::Start)?;
        }
        Ok(top + self.height())
    }
}

/// What colours and marks mean, above the panels where it covers nothing.
struct Legend {
    /// What is drawn, its name, left edge and line.
    entries: Vec<(Sample, String, f64, usize)>,
    lines: usize,
    /// Whether any line has a band.
    bands: bool,
}

#[derive(Clone, Copy)]
enum Sample {
    Line(Style),
    Guide(RGBColor),
    Paper,
    Below,
    Beyond,
}

impl Legend {
    /// Width of what is drawn before a name.
    const SAMPLE: f64 = 34.0;
    /// Between entries.
    const AIR: f64 = 22.0;
    const LINE: f64 = 20.0;

    fn of(figure: &Figure, width: f64) -> Result<Self> {
        let mut samples: Vec<(Sample, String)> = figure
            .legend
            .iter()
            .map(|(name, style)| (Sample::Line(*style), name.clone()))
            .collect();
        let guides = figure.guides.iter();
        samples.extend(guides.map(|(name, colour)| (Sample::Guide(*colour), name.clone())));
        if figure.paper {
            samples.push((Sample::Paper, "paper (hollow)".to_owned()));
        }
        let panels = || figure.rows.iter().flat_map(|row| &row.panels);
        if panels().any(|panel| scale(figure, panel).1 > 0.0) {
            samples.push((Sample::Below, "below the shown range".to_owned()));
        }
        let cut = |panel: &Panel| {
            let scale = scale(figure, panel).0;
            let mut points = panel.lines.iter().flat_map(|line| line.points.iter().flatten());
            points.any(|point| beyond(point, scale))
        };
        if panels().any(cut) {
            samples.push((Sample::Beyond, "band cut at the axis' end".to_owned()));
        }
        let (mut x, mut line) = (0.0, 0);
        let mut entries = Vec::new();
        for (sample, name) in samples {
            let needed = Self::SAMPLE + width_of(&name, LEGEND)?;
            if x > 0.0 && x + needed > width {
                (x, line) = (0.0, line + 1);
            }
            entries.push((sample, name, x, line));
            x += needed + Self::AIR;
        }
        let mut points = panels()
            .flat_map(|panel| &panel.lines)
            .flat_map(|line| line.points.iter().flatten());
        Ok(Self {
            entries,
            lines: line + 1,
            bands: points.any(|point| point.interval.is_some()),
        })
    }

    fn height(&self) -> f64 {
        self.lines as f64 * Self::LINE + 12.0
    }

    fn draw(&self, canvas: &Canvas, top: f64) -> Result<f64> {
        for (sample, name, x, line) in &self.entries {
            let y = top + (*line as f64 + 0.5) * Self::LINE;
            let (left, right) = (LEFT + x, LEFT + x + Self::SAMPLE - 8.0);
            let middle = (f64::midpoint(left, right), y);
            match sample {
                Sample::Line(style) => {
                    if self.bands {
                        let band = [(left, y - 6.0), (right, y - 6.0), (right, y + 6.0), (left, y + 6.0)];
                        canvas.area(&band, style.colour, BAND)?;
                    }
                    canvas.line(&[(left, y), (right, y)], style.colour, STROKE)?;
                    canvas.mark(middle, MARK, *style)?;
                }
                Sample::Guide(colour) => dashed(canvas, [(left, y), (right, y)], *colour, GUIDE)?,
                Sample::Paper => {
                    for (offset, shape) in [(-11.0, Shape::Circle), (0.0, Shape::Square), (11.0, Shape::Triangle)] {
                        let style = Style { colour: GREY, shape };
                        canvas.hollow_mark((middle.0 + offset, y), PAPER_MARK - 0.6, style)?;
                    }
                }
                Sample::Below => {
                    canvas.area(&below(middle), GREY, 1.0)?;
                }
                Sample::Beyond => {
                    canvas.area(&above(middle), GREY, 1.0)?;
                }
            }
            canvas.text(name, (LEFT + x + Self::SAMPLE, y), LEGEND, Stand::Start)?;
        }
        Ok(top + self.height())
    }
}
