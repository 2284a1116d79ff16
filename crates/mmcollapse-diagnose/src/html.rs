//! A diagnosis as one page that needs no script and no network.

use std::fmt::Write as _;

use crate::error::Result;
use crate::plot::{Plot, Row, escaped, svg};
use crate::resample::Estimated;
use crate::rule::{MARGIN, Verdict};
use crate::sheets::{self, Sheet};
use crate::terminal::headline;
use crate::{Diagnosis, ModalityFindings};

const STYLE: &str = "\
body{margin:0 auto;max-width:1360px;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:#222;background:#fff}\
h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.15rem;margin:2rem 0 .5rem}\
.cards,.plots{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr))}\
.plots{grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr))}\
.card{border:1px solid #ccc;border-left:.4rem solid #0072b2;padding:.5rem 1rem;border-radius:.3rem}\
.card.neglected{border-left-color:#d55e00}.card.uninformative,.card.undecided{border-left-color:#999}\
.card h3{margin:.2rem 0}.card ul{padding-left:1.1rem;margin:.4rem 0}\
figure{margin:0}figcaption{font-weight:600}svg{width:100%;max-width:560px;height:auto;display:block}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}\
th,td{text-align:left;padding:.25rem .8rem .25rem 0;white-space:nowrap;border-bottom:1px solid #e4e4e4}\
.legend{color:#555;font-size:.85rem;max-width:70ch}";

/// The page.
///
/// # Errors
/// A bug: figures of finite numbers can be drawn.
pub fn page(found: &Diagnosis, title: &str) -> Result<String> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{0}</title><style>{STYLE}</style></head><body>\n<h1>{0}</h1>\n<p>{1}</p>\n",
        escaped(title),
        escaped(&headline(found))
    );
    for note in &found.notes {
        let _ = writeln!(page, "<p class=\"legend\">Note: {}</p>", escaped(note));
    }
    page += "<div class=\"cards\">\n";
    for modality in &found.modalities {
        page += &card(modality);
    }
    page += "</div>\n<h2>Figures</h2>\n<div class=\"plots\">\n";
    for (caption, plot) in plots(found) {
        let _ = writeln!(
            page,
            "<figure><figcaption>{}</figcaption>{}</figure>",
            escaped(caption),
            svg(&plot)?
        );
    }
    page += "</div>\n";
    for sheet in sheets::all(found) {
        page += &table(&sheet);
    }
    page += "<p class=\"legend\">Made by mmcollapse diagnose. How to read it, the rule and its error rates: docs/diagnose.md.</p>\n</body></html>\n";
    Ok(page)
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Neglected => "neglected",
        Verdict::Kept => "kept",
        Verdict::Uninformative => "uninformative",
        Verdict::Undecided => "undecided",
    }
}

fn card(modality: &ModalityFindings) -> String {
    let mut card = format!(
        "<div class=\"card {}\"><h3>{}: {}</h3>",
        class(modality.verdict),
        escaped(&modality.name),
        class(modality.verdict)
    );
    let test = sheets::leading(modality).filter(|_| modality.verdict != Verdict::Uninformative);
    if let Some(test) = test {
        let _ = write!(
            card,
            "<p>{} % of its information is unused ({}).</p>",
            sheets::percent(test.unused),
            sheets::pair(test)
        );
    }
    if !modality.advice.is_empty() {
        card += "<ul>";
        for line in &modality.advice {
            let _ = write!(card, "<li>{}</li>", escaped(line));
        }
        card += "</ul>";
    }
    card + "</div>\n"
}

fn scaled(of: Estimated) -> Estimated {
    Estimated {
        value: 100.0 * of.value,
        low: 100.0 * of.low,
        high: 100.0 * of.high,
    }
}

fn plots(found: &Diagnosis) -> Vec<(&'static str, Plot)> {
    let row = |name: &str, value: Estimated, alarm: bool| Row {
        name: name.to_owned(),
        value: scaled(value),
        alarm,
    };
    let mut unused = Vec::new();
    for modality in found
        .modalities
        .iter()
        .filter(|modality| modality.verdict != Verdict::Uninformative)
    {
        // A share of nothing would stretch the axis beyond all others.
        for test in modality.tests.iter().filter(|test| test.informative) {
            let name = if modality.tests.len() > 1 {
                format!("{}: {}", modality.name, sheets::pair(test))
            } else {
                modality.name.clone()
            };
            unused.push(row(&name, test.unused, test.p_adjusted <= crate::rule::LEVEL));
        }
    }
    let is_neglected = |modality: &ModalityFindings| modality.verdict == Verdict::Neglected;
    let mut accuracy = Vec::new();
    for modality in &found.modalities {
        accuracy.push(row(
            &format!("{} encoder", modality.name),
            modality.accuracy_encoder,
            is_neglected(modality),
        ));
        accuracy.extend(
            modality
                .accuracy_alone
                .map(|of| row(&format!("{} alone", modality.name), of, false)),
        );
    }
    accuracy.push(row("all encoders", found.accuracy_encoders, false));
    accuracy.extend(found.accuracy_fused.map(|of| row("fused", of, false)));
    accuracy.extend(found.accuracy_model.map(|of| row("model", of, false)));
    let of_modalities = |of: fn(&ModalityFindings) -> Estimated| -> Vec<Row> {
        found
            .modalities
            .iter()
            .map(|modality| row(&modality.name, of(modality), is_neglected(modality)))
            .collect()
    };
    let plot = |title: &str, axis: &str, rows: Vec<Row>, line: Option<f64>, range: (f64, f64)| Plot {
        title: format!("{title}, with 95 % intervals"),
        axis: axis.to_owned(),
        rows,
        line,
        range,
    };
    let mut plots = vec![
        (
            "Information that is unused (dashed: the margin of a tenth)",
            plot(
                "Unused share of each modality's information",
                "% of its information",
                unused,
                Some(100.0 * MARGIN),
                (0.0, 50.0),
            ),
        ),
        (
            "Accuracy of linear probes (dashed: commonest class)",
            plot(
                "Accuracy",
                "accuracy, %",
                accuracy,
                Some(100.0 * found.accuracy_prior.value),
                (0.0, 100.0),
            ),
        ),
        (
            if found.shapley_of_model {
                "Shapley values of the model"
            } else {
                "Shapley values of probes of the encoders"
            },
            plot(
                "Shapley values",
                "points of accuracy",
                of_modalities(|of| of.shapley),
                Some(0.0),
                (0.0, 10.0),
            ),
        ),
        (
            "Accuracy lost without the modality (utilisation of the encoders)",
            plot(
                "Conditional utilisation rate",
                "% of the accuracy of all",
                of_modalities(|of| of.utilisation),
                Some(0.0),
                (0.0, 10.0),
            ),
        ),
    ];
    plots.retain(|(_, plot)| !plot.rows.is_empty());
    plots
}

fn table(sheet: &Sheet) -> String {
    let mut text = format!(
        "<h2>{}</h2>\n<div class=\"wide\"><table><thead><tr>",
        escaped(sheet.title)
    );
    for cell in &sheet.header {
        let _ = write!(text, "<th>{}</th>", escaped(cell));
    }
    text += "</tr></thead><tbody>\n";
    for row in &sheet.rows {
        text += "<tr>";
        for cell in row {
            let _ = write!(text, "<td>{}</td>", escaped(cell));
        }
        text += "</tr>\n";
    }
    let _ = writeln!(
        text,
        "</tbody></table></div>\n<p class=\"legend\">{}</p>",
        escaped(sheet.legend)
    );
    text
}
