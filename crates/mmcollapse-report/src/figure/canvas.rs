//! What is drawn on: lines, areas, marks and text in pixels, then SVG and PNG without a system font.
//!
//! Plotters writes an SVG whose text needs a font. usvg, given the bundled font only, turns the letters into
//! outlines; what repeats is then written once, and the PNG is drawn from the SVG that comes of it.

use std::sync::{Arc, OnceLock};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use miette::{Result, miette};
use plotters::coord::Shift;
use plotters::prelude::{Circle, DrawingArea, IntoDrawingArea, PathElement, Polygon, Rectangle, SVGBackend, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, FontTransform, IntoTextStyle, RGBColor, register_font};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, fontdb};

use super::compact::compact;
use super::style::{Shape, Style};

const FAMILY: &str = "Open Sans";
const REGULAR: &[u8] = include_bytes!("../../assets/fonts/OpenSans-Regular.ttf");
const BOLD: &[u8] = include_bytes!("../../assets/fonts/OpenSans-Semibold.ttf");

/// Plotters has whole pixels only: it draws on a grid so many times finer, which is scaled back afterwards.
const FINE: f64 = 10.0;

/// Pixels of the PNG a pixel of the figure.
const PNG_SCALE: f32 = 2.0;

/// Height of a line of Open Sans (ascent and descent) in em, by which plotters' font measure scales it.
const LINE_HEIGHT_EM: f64 = 1.361_816;

/// Plotters writes a font size that much smaller than it is told.
const PLOTTERS_EM: f64 = 1.24;

/// A finished figure.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Text of the SVG: outlines only, no font is named.
    pub svg: String,
    /// Bytes of the PNG, at twice the size.
    pub png: Vec<u8>,
}

/// How text stands at its point.
#[derive(Clone, Copy, Debug)]
pub enum Stand {
    /// Beginning there.
    Start,
    /// Centred on it.
    Middle,
    /// Ending there.
    End,
    /// Centred, reading upwards.
    Upwards,
}

/// Size, weight and colour of text.
#[derive(Clone, Copy, Debug)]
pub struct Letters {
    /// Height of an em in pixels.
    pub size: f64,
    /// Semibold.
    pub bold: bool,
    /// Colour.
    pub colour: RGBColor,
}

/// A drawing in progress; all coordinates in pixels, y downwards.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// What the SVG says of itself to those who read the file rather than look at it.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Its title.
    pub title: &'a str,
    /// What it shows, for screen readers.
    pub description: &'a str,
    /// Where it comes from.
    pub metadata: &'a str,
}

/// Draws a picture of `width` by `height` pixels.
pub fn picture(width: f64, height: f64, about: About, draw: impl FnOnce(&Canvas) -> Result<()>) -> Result<Picture> {
    let svg = compact(&drawn(width, height, draw)?);
    Ok(Picture {
        png: png(&svg)?,
        svg: described(&svg, about),
    })
}

/// The SVG of a picture, with every letter an outline of its own.
fn drawn(width: f64, height: f64, draw: impl FnOnce(&Canvas) -> Result<()>) -> Result<String> {
    fonts()?;
    let mut text = String::new();
    {
        let size = ((width * FINE) as u32, (height * FINE) as u32);
        let canvas = Canvas {
            area: SVGBackend::with_string(&mut text, size).into_drawing_area(),
        };
        draw(&canvas)?;
        canvas.area.present().map_err(bug)?;
    }
    let options = usvg::WriteOptions {
        // On the fine grid: a hundredth of a pixel.
        coordinates_precision: 1,
        transforms_precision: 5,
        indent: usvg::Indent::Spaces(1),
        ..usvg::WriteOptions::default()
    };
    let svg = outlines(&text, width, height)?.to_string(&options);
    // usvg drops the view box, without which a page that makes the figure narrower would cut it off.
    Ok(svg.replacen("<svg", &format!("<svg viewBox=\"0 0 {width} {height}\""), 1))
}

/// Width of text in pixels.
pub fn width_of(text: &str, letters: Letters) -> Result<f64> {
    fonts()?;
    // Measured large: the measure is in whole pixels.
    let measured = 1000.0;
    let font = FontDesc::new(
        FontFamily::Name(FAMILY),
        measured * LINE_HEIGHT_EM,
        weight(letters.bold),
    );
    let ((left, _), (right, _)) = font.layout_box(text).map_err(bug)?;
    Ok(f64::from(right - left) / measured * letters.size)
}

impl Canvas<'_> {
    /// A line through points.
    pub fn line(&self, points: &[(f64, f64)], colour: RGBColor, width: f64) -> Result<()> {
        let points: Vec<(i32, i32)> = points.iter().copied().map(fine).collect();
        let style = colour.stroke_width(fine_width(width));
        self.area.draw(&PathElement::new(points, style)).map_err(bug)
    }

    /// A filled area.
    pub fn area(&self, points: &[(f64, f64)], colour: RGBColor, opacity: f64) -> Result<()> {
        let points: Vec<(i32, i32)> = points.iter().copied().map(fine).collect();
        let style = colour.mix(opacity).filled();
        self.area.draw(&Polygon::new(points, style)).map_err(bug)
    }

    /// A filled rectangle from one corner to the other.
    pub fn rectangle(&self, from: (f64, f64), to: (f64, f64), colour: RGBColor) -> Result<()> {
        let rectangle = Rectangle::new([fine(from), fine(to)], colour.filled());
        self.area.draw(&rectangle).map_err(bug)
    }

    /// A filled mark; `radius` is that of a circle of its size.
    pub fn mark(&self, at: (f64, f64), radius: f64, style: Style) -> Result<()> {
        if style.shape == Shape::Circle {
            let circle = Circle::new(fine(at), (radius * FINE) as i32, style.colour.filled());
            return self.area.draw(&circle).map_err(bug);
        }
        self.area(&corners(at, radius, style.shape), style.colour, 1.0)
    }

    /// A mark that is white within.
    pub fn hollow_mark(&self, at: (f64, f64), radius: f64, style: Style) -> Result<()> {
        let white = Style {
            colour: super::style::PAPER,
            ..style
        };
        self.mark(at, radius, white)?;
        let stroke = style.colour.stroke_width(fine_width(1.4));
        if style.shape == Shape::Circle {
            let circle = Circle::new(fine(at), (radius * FINE) as i32, stroke);
            return self.area.draw(&circle).map_err(bug);
        }
        let mut outline = corners(at, radius, style.shape);
        outline.extend_from_within(..2);
        self.line(&outline, style.colour, 1.4)
    }

    /// Text whose middle height is at `at`.
    pub fn text(&self, text: &str, at: (f64, f64), letters: Letters, stand: Stand) -> Result<()> {
        let size = letters.size * PLOTTERS_EM * FINE;
        let (horizontal, transform) = match stand {
            Stand::Start => (HPos::Left, FontTransform::None),
            Stand::Middle => (HPos::Center, FontTransform::None),
            Stand::End => (HPos::Right, FontTransform::None),
            Stand::Upwards => (HPos::Center, FontTransform::Rotate270),
        };
        // The anchor centres small letters; capitals and figures are a tenth of an em taller.
        let lower = 0.1 * letters.size;
        let at = match stand {
            Stand::Upwards => (at.0 + lower, at.1),
            _ => (at.0, at.1 + lower),
        };
        let style = FontDesc::new(FontFamily::Name(FAMILY), size, weight(letters.bold))
            .transform(transform)
            .color(&letters.colour)
            .into_text_style(&self.area)
            .pos(Pos::new(horizontal, VPos::Center));
        self.area
            .draw(&Text::new(text.to_owned(), fine(at), style))
            .map_err(bug)
    }
}

/// Corners of a mark around its centre of gravity.
fn corners((x, y): (f64, f64), radius: f64, shape: Shape) -> Vec<(f64, f64)> {
    let r = radius;
    let offsets: &[(f64, f64)] = match shape {
        Shape::Circle | Shape::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        Shape::Triangle => &[(0.0, -1.3), (1.15, 0.7), (-1.15, 0.7)],
        Shape::Diamond => &[(0.0, -1.3), (1.15, 0.0), (0.0, 1.3), (-1.15, 0.0)],
        Shape::Dart => &[(0.0, 1.3), (1.15, -0.7), (-1.15, -0.7)],
    };
    offsets.iter().map(|(dx, dy)| (x + dx * r, y + dy * r)).collect()
}

fn fine((x, y): (f64, f64)) -> (i32, i32) {
    ((x * FINE).round() as i32, (y * FINE).round() as i32)
}

fn fine_width(width: f64) -> u32 {
    (width * FINE).round() as u32
}

fn weight(bold: bool) -> FontStyle {
    if bold { FontStyle::Bold } else { FontStyle::Normal }
}

/// Tells plotters' table of fonts, which is one a process, of the bundled ones; only measuring needs it.
fn fonts() -> Result<()> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = *REGISTERED.get_or_init(|| {
        register_font(FAMILY, FontStyle::Normal, REGULAR).is_ok()
            && register_font(FAMILY, FontStyle::Bold, BOLD).is_ok()
    });
    if registered {
        Ok(())
    } else {
        Err(miette!("the bundled font {FAMILY} cannot be read"))
    }
}

/// Parses the drawing with the bundled font and turns its text into outlines.
fn outlines(svg: &str, width: f64, height: f64) -> Result<usvg::Tree> {
    let mut faces = fontdb::Database::new();
    faces.load_font_data(REGULAR.to_vec());
    faces.load_font_data(BOLD.to_vec());
    let options = usvg::Options {
        fontdb: Arc::new(faces),
        font_family: FAMILY.to_owned(),
        ..usvg::Options::default()
    };
    // The fine grid stays as the view box; what is shown gets its own size.
    let drawn = format!(
        "width=\"{}\" height=\"{}\"",
        (width * FINE) as u32,
        (height * FINE) as u32
    );
    let shown = format!("width=\"{width}\" height=\"{height}\"");
    usvg::Tree::from_str(&svg.replacen(&drawn, &shown, 1), &options).map_err(bug)
}

fn png(svg: &str) -> Result<Vec<u8>> {
    let pixmap = pixels(svg)?;
    // The paper covers everything, so there is nothing to be seen through. Flat areas pack best without a filter: a fifth
    // of what tiny-skia writes.
    let opaque: Vec<u8> = pixmap.data().chunks_exact(4).flat_map(|p| &p[..3]).copied().collect();
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::NoFilter)
        .write_image(&opaque, pixmap.width(), pixmap.height(), ExtendedColorType::Rgb8)
        .map_err(bug)?;
    Ok(bytes)
}

fn pixels(svg: &str) -> Result<Pixmap> {
    let tree = usvg::Tree::from_str(svg, &usvg::Options::default()).map_err(bug)?;
    let size = tree.size();
    let (width, height) = (size.width() * PNG_SCALE, size.height() * PNG_SCALE);
    let mut pixmap = Pixmap::new(width.ceil() as u32, height.ceil() as u32)
        .ok_or_else(|| miette!("a figure of {width} by {height} pixels has no area"))?;
    let scale = Transform::from_scale(PNG_SCALE, PNG_SCALE);
    resvg::render(&tree, scale, &mut pixmap.as_mut());
    Ok(pixmap)
}

/// Puts title, description and origin after the root's opening tag, where viewers and screen readers look.
fn described(svg: &str, about: About) -> String {
    let Some(end) = svg.find('>') else {
        return svg.to_owned();
    };
    let (root, rest) = svg.split_at(end + 1);
    format!(
        "{root}\n<title>{}</title>\n<desc>{}</desc>\n<metadata>{}</metadata>{rest}",
        escape(about.title),
        escape(about.description),
        escape(about.metadata)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Drawing into memory with a font that is there does not fail.
fn bug(error: impl std::fmt::Display) -> miette::Report {
    miette!(help = "this is a bug: please report it", "drawing a figure: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::style::INK;

    /// Every kind of thing that is drawn, and every way that text stands.
    fn everything(canvas: &Canvas) -> Result<()> {
        canvas.rectangle((0.0, 0.0), (300.0, 200.0), crate::figure::style::PAPER)?;
        for line in 0..8 {
            let y = 14.3 + 21.7 * f64::from(line);
            let letters = Letters {
                size: 9.0 + f64::from(line % 3),
                bold: line % 2 == 0,
                colour: INK,
            };
            canvas.text("100 % of 8 AVA, (B&Q) <i>: g\u{f6}j", (20.1, y), letters, Stand::Start)?;
            canvas.text("upwards 8", (10.0 + y, 150.0), letters, Stand::Upwards)?;
            canvas.line(&[(0.0, y), (150.0, y + 3.3), (290.0, y)], INK, 1.3)?;
            let shape = [
                Shape::Circle,
                Shape::Square,
                Shape::Triangle,
                Shape::Diamond,
                Shape::Dart,
            ][line as usize % 5];
            canvas.mark((200.0, y), 3.0, Style { colour: INK, shape })?;
            canvas.hollow_mark((230.0, y), 3.0, Style { colour: INK, shape })?;
            canvas.area(&[(250.0, y), (290.0, y + 15.0), (280.0, y + 30.0)], INK, 0.3)?;
        }
        Ok(())
    }

    #[test]
    fn a_compact_picture_looks_as_it_was_drawn() {
        let long = drawn(300.0, 200.0, everything).unwrap();
        let short = compact(&long);
        assert!(2 * short.len() < long.len(), "{} of {}", short.len(), long.len());
        let (long, short) = (pixels(&long).unwrap(), pixels(&short).unwrap());
        let differences = long.data().iter().zip(short.data()).map(|(a, b)| a.abs_diff(*b));
        // Edges move by up to a fiftieth of a pixel, which few of the four samples of a pixel's height see.
        let seen = differences.clone().filter(|&difference| difference > 4).count();
        assert!(seen < long.data().len() / 100, "{seen} of {}", long.data().len());
        assert!(differences.max().unwrap() <= 64, "no more than one of its four samples");
        assert!(long.data().iter().any(|&level| level < 100), "something is drawn");
    }
}
