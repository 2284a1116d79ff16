//! What is recorded along training, under the panels of measures: a row of panels a protocol and curve, a panel a level.

use mmcollapse_record::{Record, RowId};

use super::curves::point;
use super::{Axis, Figure, Line, Panel, PanelRow, Style, axis, style};
use crate::curves::at_level;
use crate::summary::{ProtocolRun, Summary};

/// Names on the horizontal axis: so many evenly spaced ones, the last at the end.
const NAMED: usize = 6;

impl Figure {
    /// Adds curves, each the name of one in the store and its title.
    #[must_use]
    pub fn with_curves(mut self, records: &[Record], summary: &Summary, curves: &[(&str, &str)], level: f64) -> Self {
        let styles = style::assign(&summary.methods);
        let methods: Vec<(&RowId, Style)> = summary.methods.iter().zip(styles).collect();
        for protocol in &summary.protocols {
            for curve in curves {
                self.rows.extend(row(records, protocol, &methods, *curve, level));
            }
        }
        if !curves.is_empty() {
            self.note += " Along training: median over the seeds, band 10 to 90 % quantiles.";
        }
        self
    }
}

/// None if no run has the curve.
fn row(
    records: &[Record],
    protocol: &ProtocolRun,
    methods: &[(&RowId, Style)],
    (curve, title): (&str, &str),
    level: f64,
) -> Option<PanelRow> {
    let mut points = 0;
    let panels: Vec<Panel> = protocol
        .rates
        .iter()
        .map(|rate| {
            let line = |(method, style): &(&RowId, Style)| {
                let runs: Vec<&[f64]> = at_level(records, method, &protocol.setting, *rate)
                    .filter_map(|record| Some(record.outcome.curves.get(curve)?.as_slice()))
                    .collect();
                let length = runs.iter().map(|run| run.len()).max().unwrap_or(0);
                points = points.max(length);
                Line {
                    style: *style,
                    points: (0..length).map(|at| point(&runs, at..at + 1)).collect(),
                    level: false,
                }
            };
            Panel {
                title: axis::number(level * rate),
                axis: Axis::nats(title),
                lines: methods.iter().map(line).collect(),
                paper: Vec::new(),
                guides: Vec::new(),
            }
        })
        .collect();
    let name = |place: usize| (place * NAMED).is_multiple_of(points).then(|| 100 * place / points);
    (points > 0).then(|| PanelRow {
        heading: title.to_owned(),
        x_label: "share of the training (%)".to_owned(),
        x_ticks: (1..=points)
            .map(|place| name(place).map_or_else(String::new, |percent| percent.to_string()))
            .collect(),
        connected: false,
        panels,
    })
}
