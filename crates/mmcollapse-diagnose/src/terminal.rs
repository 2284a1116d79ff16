//! A diagnosis as text for a terminal.

use std::fmt::Write as _;

use crate::Diagnosis;
use crate::sheets::{self, Sheet};

/// Widest line of a legend.
const WIDTH: usize = 100;

/// What was diagnosed, in a line.
pub(crate) fn headline(found: &Diagnosis) -> String {
    let drawn = if found.grouped {
        format!("{} groups", found.units)
    } else if found.units < found.evaluate_samples {
        format!("{} blocks of samples", found.units)
    } else {
        "samples".into()
    };
    format!(
        "{} samples: {} fit probes, {} evaluate; {} classes. Intervals are 95 %, of {} draws of {drawn}.",
        found.samples,
        found.fit_samples,
        found.evaluate_samples,
        found.classes.len(),
        found.resamples
    )
}

/// The whole diagnosis.
pub fn text(found: &Diagnosis) -> String {
    let mut text = headline(found) + "\n";
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    for (place, sheet) in sheets::all(found).iter().enumerate() {
        text += "\n";
        text += &table(sheet);
        if place == 0 {
            text += &advice(found);
        }
    }
    text
}

fn advice(found: &Diagnosis) -> String {
    let mut text = String::new();
    for modality in found.modalities.iter().filter(|modality| !modality.advice.is_empty()) {
        let _ = writeln!(text, "\n{}: {}", modality.name, sheets::verdict(modality.verdict));
        for line in &modality.advice {
            for (place, line) in wrapped(line, WIDTH - 4).iter().enumerate() {
                let _ = writeln!(text, "  {} {line}", if place == 0 { "-" } else { " " });
            }
        }
    }
    text
}

fn table(sheet: &Sheet) -> String {
    let lines: Vec<&Vec<String>> = std::iter::once(&sheet.header).chain(&sheet.rows).collect();
    let width = |column: usize| {
        lines
            .iter()
            .map(|row| row.get(column).map_or(0, |cell| cell.chars().count()))
            .max()
    };
    let widths: Vec<usize> = (0..sheet.header.len()).filter_map(width).collect();
    let mut text = format!("{}\n", sheet.title.to_uppercase());
    for row in lines {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(text, "  {}", cells.join("   ").trim_end());
    }
    for line in wrapped(sheet.legend, WIDTH) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// Lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last] += word;
        }
    }
    lines
}
