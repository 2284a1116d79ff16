//! Several measures against the level: a row of panels a protocol and fusion, a panel a measure.

use super::{Axes, Figure, FigureText, Line, Panel, PanelRow, Point, fusions, legend, level_row, note, style};
use crate::summary::{Column, Kind, ProtocolRun, Summary, title};

impl Figure {
    /// `measures` against the level.
    pub fn of_measures(summary: &Summary, measures: &[&str], text: FigureText) -> Self {
        let styles = style::assign(&summary.methods);
        let fusions = fusions(summary);
        let rows = summary.protocols.iter().flat_map(|protocol| {
            let styles = &styles;
            fusions.iter().map(move |fusion| {
                let row = level_row(protocol);
                PanelRow {
                    heading: format!("{}, {}", fusion.fusion_label(), row.heading),
                    panels: measures
                        .iter()
                        .filter(|measure| summary.measures(protocol, measure))
                        .map(|measure| panel(summary, protocol, &fusion.fusion_name, measure, styles))
                        .collect(),
                    ..row
                }
            })
        });
        Self {
            title: text.title.to_owned(),
            note: note(summary, measures.first().copied().unwrap_or_default(), text.preset),
            warnings: text.warnings,
            y_label: String::new(),
            axes: Axes::Own,
            paper: false,
            rows: rows.collect(),
            legend: legend(summary, &styles),
            provenance: text.provenance,
        }
    }
}

fn panel(summary: &Summary, protocol: &ProtocolRun, fusion: &str, measure: &str, styles: &[usize]) -> Panel {
    let methods = summary
        .methods
        .iter()
        .enumerate()
        .filter(|(_, m)| m.fusion_name == fusion);
    // Variance inflation has no upper end: one method's would press all others onto the axis.
    let logarithmic = measure == "vif_mean";
    let shown = |point: Point| {
        let size = |value: f64| {
            if logarithmic {
                libm::log10(value.max(1.0))
            } else {
                value
            }
        };
        Point {
            mean: size(point.mean),
            low: size(point.low),
            high: size(point.high),
            ..point
        }
    };
    let line = |place: usize| Line {
        style: styles[place],
        points: protocol
            .rates
            .iter()
            .map(|rate| {
                let group = summary.get(&protocol.name, place, measure, Column::Rate(*rate))?;
                Point::of(group.estimate.as_ref()?, Kind::of(measure).scale(), group.diverged).map(shown)
            })
            .collect(),
    };
    let written = title(measure);
    Panel {
        title: if logarithmic {
            format!("log10 of {written}")
        } else {
            written
        },
        lines: methods.map(|(place, _)| line(place)).collect(),
        paper: Vec::new(),
    }
}
