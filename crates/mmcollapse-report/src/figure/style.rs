//! Colours and marks: told apart by the colour-blind, in grey print, and by shape alone.
//!
//! Source of the colours: Okabe and Ito, Color Universal Design, 2008.

use plotters::style::RGBColor;

use mmcollapse_record::RowId;

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
const COLOURS: [RGBColor; 8] = [
    RGBColor(0x33, 0x33, 0x33),
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x8a, 0x6d, 0x3b),
];

const SHAPES: [Shape; 5] = [
    Shape::Circle,
    Shape::Square,
    Shape::Triangle,
    Shape::Diamond,
    Shape::Dart,
];

/// Reallocations whose colour no other one has.
const RESERVED: [&str; 3] = ["none", "kd", "ebr"];

/// Of an encoder trained alone, beside a few reallocations: the one that they come to last.
pub const BASELINE: Style = style(COLOURS.len() - 1, 0);

/// Of what a measure would be if nothing were behind it.
pub const NULL: Style = Style {
    colour: GREY,
    shape: Shape::Dart,
};

/// A colour with its own mark, or with the mark `turns` further.
const fn style(colour: usize, turns: usize) -> Style {
    Style {
        colour: COLOURS[colour],
        shape: SHAPES[(colour + turns) % SHAPES.len()],
    }
}

/// The style of the reallocation `name`, the `place`-th of those without a reserved one: the first 25 differ.
fn of_reallocation(name: &str, place: usize) -> Style {
    let others = COLOURS.len() - RESERVED.len();
    match RESERVED.iter().position(|known| *known == name) {
        Some(reserved) => style(reserved, 0),
        None => style(RESERVED.len() + place % others, place / others),
    }
}

/// The style of the `turn`-th series, where lines stand for series and not for reallocations.
pub fn of_series(turn: usize) -> Style {
    style(1 + turn % (COLOURS.len() - 1), turn / (COLOURS.len() - 1))
}

/// A style for each method: equal reallocations share one, in all panels and all figures.
pub fn assign(methods: &[RowId]) -> Vec<Style> {
    let mut others: Vec<&str> = Vec::new();
    let mut assigned = Vec::new();
    for method in methods {
        let name = method.reallocation.name.as_str();
        let place = others.iter().position(|other| *other == name).unwrap_or(others.len());
        if place == others.len() && !RESERVED.contains(&name) {
            others.push(name);
        }
        assigned.push(of_reallocation(name, place));
    }
    assigned
}

/// A style for each method where all stand in one panel: no two are alike, as long as there are styles.
///
/// The colour is the reallocation's in all figures; of equal reallocations the mark differs.
pub fn assign_rows(methods: &[RowId]) -> Vec<Style> {
    let shared = assign(methods);
    let mut assigned: Vec<Style> = Vec::new();
    for (place, own) in shared.iter().enumerate() {
        let first = shared.iter().position(|style| style == own) == Some(place);
        let of_colour = SHAPES.iter().map(|shape| Style { shape: *shape, ..*own });
        let any = (0..COLOURS.len())
            .rev()
            .flat_map(|colour| (0..SHAPES.len()).map(move |turns| style(colour, turns)));
        let free = |style: &Style| !assigned.contains(style) && !shared.contains(style);
        let free = of_colour.chain(any).find(free);
        assigned.push(if first { *own } else { free.unwrap_or(*own) });
    }
    assigned
}

/// Names of which no two are equal: one that another row has is followed by the key of its own.
pub fn distinct(names: &[(String, &str)]) -> Vec<String> {
    let shared = |name: &str| names.iter().filter(|(other, _)| other == name).count() > 1;
    let written = |(name, key): &(String, &str)| {
        if shared(name) {
            format!("{name} ({})", key.replace('_', " "))
        } else {
            name.clone()
        }
    };
    names.iter().map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::synthetic::row_id;

    fn methods(rows: &[&str]) -> Vec<RowId> {
        rows.iter().map(|row| row_id(row, ("concat", "none"))).collect()
    }

    fn alike(styles: &[Style]) -> usize {
        let repeated = |(place, style): &(usize, &Style)| styles[..*place].contains(style);
        styles.iter().enumerate().filter(repeated).count()
    }

    #[test]
    fn no_two_rows_of_a_figure_have_the_same_colour_and_mark() {
        let others: Vec<String> = (0..25).map(|i| format!("concat+variant_{i}")).collect();
        let mut rows = vec!["concat", "concat+kd", "concat+ebr"];
        rows.extend(others.iter().map(String::as_str));
        let styles = assign(&methods(&rows));
        assert_eq!((styles.len(), alike(&styles)), (28, 0));
        // In a figure of rows equal reallocations of different fusions differ too, by their marks.
        rows.extend(["late_fusion", "shaspec", "shaspec+kd"]);
        let styles = assign_rows(&methods(&rows));
        assert_eq!(alike(&styles), 0);
        assert!(styles[28] != styles[0] && styles[28].colour == styles[0].colour);
    }

    #[test]
    fn no_two_rows_have_the_same_name() {
        let names = [
            ("KD".to_owned(), "kd"),
            ("KD".to_owned(), "kd_strong"),
            ("EBR".to_owned(), "ebr"),
        ];
        assert_eq!(distinct(&names), ["KD (kd)", "KD (kd strong)", "EBR"]);
    }
}
