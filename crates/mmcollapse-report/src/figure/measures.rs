//! Several measures against the level: a row of panels a protocol and fusion, a panel a measure. Panels of one measure
//! share their axis in all rows.

use super::{
    Axis, Figure, FigureText, Line, Panel, PanelRow, Point, Style, axis, fusions, guides, legend, level_row, note,
    style,
};
use mmcollapse_record::Metric;

use crate::summary::{Column, ProtocolRun, Summary};

impl Figure {
    /// `measures` against the level.
    pub fn of_measures(summary: &Summary, measures: &[Metric], text: FigureText) -> Self {
        let styles = style::assign(&summary.methods);
        let fusions = fusions(summary);
        let rows = summary.protocols.iter().flat_map(|protocol| {
            let styles = &styles;
            fusions.iter().map(move |fusion| {
                let mut row = level_row(protocol);
                if let Some((name, factor)) = text.levels {
                    name.clone_into(&mut row.x_label);
                    row.x_ticks = protocol.rates.iter().map(|rate| axis::number(factor * rate)).collect();
                }
                PanelRow {
                    heading: format!("{}, {}", fusion.fusion.label(), row.heading),
                    panels: measures
                        .iter()
                        .filter(|measure| summary.measures(protocol, measure) && !is_null(measure, measures))
                        .map(|measure| Panel {
                            guides: guides::beside(text.references, summary, protocol, measure, &protocol.rates),
                            ..panel(summary, protocol, &fusion.fusion.name, measure, styles)
                        })
                        // A measure may not be defined for a fusion.
                        .filter(|panel| panel.lines.iter().any(|line| line.points.iter().any(Option::is_some)))
                        .collect(),
                    ..row
                }
            })
        });
        let mut legend = legend(summary, &styles);
        // One name a figure: no experiment shows two measures with nulls.
        let null = measures.iter().find_map(Metric::null);
        legend.extend(null.map(|null| (format!("null: {}", null.title()), style::NULL)));
        let rows = rows.collect();
        Self::of_panels(summary, measures, text, rows, legend)
    }

    /// Panels of several measures, each with its own title and axis.
    pub(super) fn of_panels(
        summary: &Summary,
        measures: &[Metric],
        text: FigureText,
        rows: Vec<PanelRow>,
        legend: Vec<(String, Style)>,
    ) -> Self {
        Self {
            title: text.title.to_owned(),
            note: note(summary, measures, text.preset),
            warnings: text.warnings,
            y_label: String::new(),
            paper: false,
            guides: guides::legend(&rows),
            rows,
            legend,
            provenance: text.provenance,
        }
    }
}

/// Whether another of the measures is drawn with it as its null.
fn is_null(measure: &Metric, measures: &[Metric]) -> bool {
    measures
        .iter()
        .any(|other| other.definition().null == Some(measure.as_str()))
}

fn panel(summary: &Summary, protocol: &ProtocolRun, fusion: &str, measure: &Metric, styles: &[Style]) -> Panel {
    let methods = summary
        .methods
        .iter()
        .enumerate()
        .filter(|(_, m)| m.fusion.name == fusion);
    let line = |place: usize, measure: &Metric, style: Style| Line {
        style,
        points: protocol
            .rates
            .iter()
            .map(|rate| {
                let group = summary.get(&protocol.setting, place, measure, Column::Rate(*rate))?;
                Some(Point::of(group.estimate.as_ref()?, measure.scale(), group.diverged))
            })
            .collect(),
        level: false,
    };
    let places: Vec<usize> = methods.map(|(place, _)| place).collect();
    let mut lines: Vec<Line> = places
        .iter()
        .map(|place| line(*place, measure, styles[*place]))
        .collect();
    // That of the first row: where rows differ in their null, tables have each.
    if let (Some(null), Some(first)) = (measure.null(), places.first()) {
        lines.push(line(*first, &null, style::NULL));
    }
    let axis = Axis::of(measure);
    let logarithmic = if axis.logarithmic { ", log axis" } else { "" };
    Panel {
        title: measure.title() + logarithmic,
        axis,
        lines,
        paper: Vec::new(),
        guides: Vec::new(),
    }
}
