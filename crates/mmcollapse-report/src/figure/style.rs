//! Colours and marks: told apart by the colour-blind, in grey print, and by shape alone.
//!
//! Source of the colours: Okabe and Ito, Color Universal Design, 2008.

use plotters::style::RGBColor;

use crate::summary::Method;

/// Text and axes.
pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// What matters less.
pub const GREY: RGBColor = RGBColor(0x66, 0x66, 0x66);
/// Lines to read values by.
pub const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
/// Behind everything.
pub const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
/// What must not be overlooked.
pub const ALARM: RGBColor = RGBColor(0xb0, 0x00, 0x20);

/// Shape of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Round.
    Circle,
    /// Standing on a side.
    Square,
    /// Pointing up.
    Triangle,
    /// Standing on a corner.
    Diamond,
    /// Pointing down.
    Dart,
}

/// Colour and mark of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Of line, band and mark.
    pub colour: RGBColor,
    /// Of the mark.
    pub shape: Shape,
}

/// The first three belong to no reallocation, KD and EBR, in every figure; the rest go round.
pub const STYLES: [Style; 8] = [
    style(0x33, 0x33, 0x33, Shape::Circle),
    style(0x00, 0x72, 0xb2, Shape::Square),
    style(0xd5, 0x5e, 0x00, Shape::Triangle),
    style(0x00, 0x9e, 0x73, Shape::Diamond),
    style(0xcc, 0x79, 0xa7, Shape::Dart),
    style(0xe6, 0x9f, 0x00, Shape::Circle),
    style(0x56, 0xb4, 0xe9, Shape::Square),
    style(0x8a, 0x6d, 0x3b, Shape::Triangle),
];

/// Of an encoder trained alone, beside a few reallocations: the one that they come to last.
pub const BASELINE: usize = STYLES.len() - 1;

const fn style(red: u8, green: u8, blue: u8, shape: Shape) -> Style {
    Style {
        colour: RGBColor(red, green, blue),
        shape,
    }
}

/// A style for each method: equal reallocations share one, in all panels and all figures.
pub fn assign(methods: &[Method]) -> Vec<usize> {
    let reserved = |name: &str| ["none", "kd", "ebr"].iter().position(|known| *known == name);
    let mut others: Vec<&str> = Vec::new();
    methods
        .iter()
        .map(|method| {
            let name = method.row.reallocation.name.as_str();
            reserved(name).unwrap_or_else(|| {
                let place = others.iter().position(|other| *other == name);
                let place = place.unwrap_or_else(|| {
                    others.push(name);
                    others.len() - 1
                });
                3 + place % (STYLES.len() - 3)
            })
        })
        .collect()
}
