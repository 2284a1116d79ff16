//! A table as Markdown, with columns that line up in plain text too.

use std::fmt::Write as _;

use super::{Sheet, Table};

/// Writes the whole table, its notes and its origin.
pub fn markdown(table: &Table) -> String {
    let mut text = format!("# {}\n", table.title);
    for warning in &table.warnings {
        let _ = write!(text, "\n> **{}**\n", escape(warning));
    }
    for sheet in &table.sheets {
        let _ = write!(
            text,
            "\n## {}\n\n{}\n\n",
            escape(&sheet.heading),
            escape(&sheet.caption)
        );
        grid(sheet, &mut text);
    }
    if !table.notes.is_empty() {
        text.push_str("\n## Notes\n\n");
        for note in &table.notes {
            let _ = writeln!(text, "- {}", escape(note));
        }
    }
    text.push_str("\n## Where this comes from\n\n");
    for fact in &table.provenance {
        let _ = writeln!(text, "- {}", escape(fact));
    }
    text
}

fn grid(sheet: &Sheet, text: &mut String) {
    let header: Vec<String> = sheet.header.iter().map(|cell| escape(cell)).collect();
    let rows: Vec<Vec<String>> = sheet
        .rows
        .iter()
        .map(|line| line.cells.iter().map(|cell| escape(cell)).collect())
        .collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column)).chain(header.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        })
        .collect();
    let mut line = |cells: &[String]| {
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            // Words to the left, numbers to the right.
            let _ = if column < 2 {
                write!(text, "| {cell:<width$} ")
            } else {
                write!(text, "| {cell:>width$} ")
            };
        }
        text.push_str("|\n");
    };
    line(&header);
    let rule: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(column, width)| {
            if column < 2 {
                "-".repeat(*width)
            } else {
                format!("{}:", "-".repeat(width - 1))
            }
        })
        .collect();
    line(&rule);
    for row in &rows {
        line(row);
    }
}

/// Keeps names from being read as markup: `table_4`, `a|b`, `<` and `*`.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '|' | '*' | '<' | '_' | '`') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}
