//! Several measures against a dose: a row of panels a protocol and fusion, a panel a measure, a line a series of rows. Each
//! series starts at 0 with its control.

use mmcollapse_record::manipulation::CONFUSED;
use mmcollapse_record::{Dose, Metric, RowId};

use super::{Axis, Figure, FigureText, Line, Panel, PanelRow, Point, Style, axis, fusions, note, style};
use crate::summary::{Column, ProtocolRun, Summary};

/// Rows that differ in the dose alone: places in [`Summary::methods`], the control first.
struct Series<'a> {
    name: &'a str,
    fusion: &'a str,
    style: Style,
    rows: Vec<(f64, usize)>,
}

impl Figure {
    /// `measures`, each its mean over the levels, against the dose `of` something.
    pub fn of_doses(summary: &Summary, of: &str, measures: &[Metric], text: FigureText) -> Self {
        let all = series(&summary.methods);
        let mut doses: Vec<f64> = all.iter().flat_map(|s| s.rows.iter().map(|row| row.0)).collect();
        doses.sort_by(f64::total_cmp);
        doses.dedup();
        let rows = summary.protocols.iter().flat_map(|protocol| {
            let (all, doses) = (&all, &doses);
            fusions(summary).into_iter().map(move |fusion| {
                let own: Vec<&Series> = all.iter().filter(|s| s.fusion == fusion.fusion.name).collect();
                let measured = measures.iter().filter(|measure| summary.measures(protocol, measure));
                PanelRow {
                    heading: format!(
                        "{}, {}: {}",
                        fusion.fusion.label(),
                        protocol.setting,
                        protocol.in_words()
                    ),
                    x_label: format!("{of} (0: the control)"),
                    x_ticks: doses.iter().map(|dose| axis::number(*dose)).collect(),
                    connected: true,
                    panels: measured
                        .map(|measure| panel(summary, protocol, measure, doses, &own))
                        .collect(),
                }
            })
        });
        let mut legend: Vec<(String, Style)> = Vec::new();
        for one in &all {
            if !legend.iter().any(|(name, _)| name == one.name) {
                legend.push((one.name.to_owned(), one.style));
            }
        }
        Self {
            title: text.title.to_owned(),
            note: measures
                .first()
                .map_or_else(String::new, |first| note(summary, first, text.preset)),
            warnings: text.warnings,
            y_label: String::new(),
            paper: false,
            rows: rows.collect(),
            legend,
            provenance: text.provenance,
        }
    }
}

/// The series in the order of their first rows; equal names have one style.
fn series(methods: &[RowId]) -> Vec<Series<'_>> {
    let mut all: Vec<Series> = Vec::new();
    for (place, method) in methods.iter().enumerate() {
        let Some(Dose { series, at }) = &method.reallocation.dose else {
            continue;
        };
        let known = all
            .iter()
            .position(|s| s.name == series && s.fusion == method.fusion.name);
        let known = known.unwrap_or_else(|| {
            let mut names: Vec<&str> = all.iter().map(|s| s.name).collect();
            names.dedup();
            let turn = names.iter().position(|name| name == series).unwrap_or(names.len());
            let twin = method.twin();
            let control = twin.and_then(|twin| methods.iter().position(|other| *other == *twin.as_str()));
            all.push(Series {
                name: series,
                fusion: &method.fusion.name,
                style: style::of_series(turn),
                rows: control.map(|control| (0.0, control)).into_iter().collect(),
            });
            all.len() - 1
        });
        if let Some(one) = all.get_mut(known) {
            one.rows.push((*at, place));
        }
    }
    all
}

fn panel(summary: &Summary, protocol: &ProtocolRun, measure: &Metric, doses: &[f64], all: &[&Series]) -> Panel {
    let point = |row: usize| {
        let group = summary.get(&protocol.setting, row, measure, Column::MeanOfRates)?;
        Some(Point::of(group.estimate.as_ref()?, measure.scale(), group.diverged))
    };
    let line = |one: &&Series| Line {
        style: one.style,
        points: doses
            .iter()
            .map(|dose| {
                one.rows
                    .iter()
                    .find(|(at, _)| at == dose)
                    .and_then(|(_, row)| point(*row))
            })
            .collect(),
    };
    let judged = *measure == "confusion";
    Panel {
        title: if judged {
            "confusion (passes above the line)".to_owned()
        } else {
            measure.title()
        },
        axis: Axis::of(measure),
        lines: all.iter().map(line).collect(),
        paper: Vec::new(),
        threshold: judged.then_some(CONFUSED),
    }
}
