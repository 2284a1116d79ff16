//! A table as LaTeX (booktabs), one float a sheet.

use std::fmt::Write as _;

use super::{Sheet, Table};

/// Writes the whole table; notes and origin are comments, so that a paper can `\input` the file.
pub fn latex(table: &Table) -> String {
    let mut text = format!("% {}\n% Needs \\usepackage{{booktabs}}.\n%\n", one_line(&table.title));
    for warning in &table.warnings {
        let _ = writeln!(text, "% {}", one_line(warning));
    }
    for fact in &table.provenance {
        let _ = writeln!(text, "% {}", one_line(fact));
    }
    for note in &table.notes {
        let _ = writeln!(text, "% {}", one_line(note));
    }
    for sheet in &table.sheets {
        float(table, sheet, &mut text);
    }
    text
}

fn float(table: &Table, sheet: &Sheet, text: &mut String) {
    let mut caption = escape(&sheet.caption);
    for warning in &table.warnings {
        caption = format!("\\textbf{{{}}} {caption}", escape(warning));
    }
    if let Some(origin) = table.provenance.first() {
        let _ = write!(caption, " {}.", escape(origin));
    }
    let _ = write!(
        text,
        "\n\\begin{{table*}}\n\\centering\n\\small\n\\caption{{{caption}}}\n\\label{{tab:{}-{}}}\n",
        table.name.replace('_', "-"),
        sheet.name.replace('_', "-"),
    );
    let numbers = "r".repeat(sheet.header.len().saturating_sub(2));
    let _ = writeln!(text, "\\begin{{tabular}}{{ll{numbers}}}\n\\toprule");
    line(&sheet.header, text);
    text.push_str("\\midrule\n");
    for row in &sheet.rows {
        if row.rule_above {
            text.push_str("\\midrule\n");
        }
        line(&row.cells, text);
    }
    text.push_str("\\bottomrule\n\\end{tabular}\n\\end{table*}\n");
}

fn line(cells: &[String], text: &mut String) {
    let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
    let _ = writeln!(text, "{} \\\\", cells.join(" & "));
}

/// LaTeX's own characters, and those that need a font or a mode.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == '-' && escaped.ends_with('-') {
            // Two hyphens, as of an option, would become a dash.
            escaped.push_str("{}");
        }
        match letter {
            '%' | '&' | '#' | '$' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '±' => escaped.push_str("$\\pm$"),
            '×' => escaped.push_str("$\\times$"),
            '−' => escaped.push_str("$-$"),
            '<' => escaped.push_str("$<$"),
            '>' => escaped.push_str("$>$"),
            '–' => escaped.push_str("--"),
            '…' => escaped.push_str("\\dots{}"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// A comment must not run into the next line.
fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}
