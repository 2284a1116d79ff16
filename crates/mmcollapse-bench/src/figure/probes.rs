//! What encoders lose inside a model: against the level, and along training beside the same encoder trained alone.

use super::curves::point;
use super::{Figure, FigureText, Line, Panel, PanelRow, style};
use crate::cell::CellRecord;
use crate::curves::{Encoder, Watched, probed};
use crate::summary::{ProtocolRun, Summary};

impl Figure {
    /// The gaps against the number of modalities, and under them the cross-entropies of probes along training.
    pub fn of_probes(records: &[CellRecord], summary: &Summary, text: FigureText) -> Self {
        let mut figure = Self::of_measures(summary, &["gap_first", "gap_eliminated"], text);
        let styles = style::assign(&summary.methods);
        for protocol in &summary.protocols {
            let mut fusions: Vec<&str> = summary.methods.iter().map(|m| m.fusion_name.as_str()).collect();
            fusions.dedup();
            for fusion in fusions {
                for watched in [Watched::First, Watched::Eliminated] {
                    figure
                        .rows
                        .extend(row(records, summary, protocol, (fusion, watched), &styles));
                }
            }
        }
        figure.note += " Along training: median over the seeds of the cross-entropy of a linear probe fitted to the training samples' \
                        frozen encodings, at points evenly spaced over the epochs, the last one the end; band: 10 to 90 % \
                        quantiles; alone: the same encoder trained on its own loss. KD starts from a distilled encoder.";
        figure
            .legend
            .push(("encoder trained alone".to_owned(), style::BASELINE));
        figure
    }
}

/// A panel a number of modalities; none if nothing was probed.
fn row(
    records: &[CellRecord],
    summary: &Summary,
    protocol: &ProtocolRun,
    (fusion, watched): (&str, Watched),
    styles: &[usize],
) -> Option<PanelRow> {
    let methods: Vec<(&str, usize)> = summary
        .methods
        .iter()
        .zip(styles)
        .filter(|(method, _)| method.fusion_name == fusion)
        .map(|(method, style)| (method.row.as_str(), *style))
        .collect();
    let label = summary.methods.iter().find(|m| m.fusion_name == fusion)?.fusion_label();
    let mut points = 0;
    let panels: Vec<Panel> = protocol
        .rates
        .iter()
        .map(|rate| {
            let mut line = |row: &str, style: usize, encoder: Encoder| {
                let curves: Vec<&[f64]> = records
                    .iter()
                    .filter(|record| record.row == row && record.protocol == protocol.name)
                    .filter(|record| record.outcome.scores.iter().any(|score| score.rate == *rate))
                    .map(|record| probed(record, encoder, watched))
                    .collect();
                let length = curves.iter().map(|curve| curve.len()).max().unwrap_or(0);
                points = points.max(length);
                Line {
                    style,
                    points: (0..length).map(|at| point(&curves, at..at + 1)).collect(),
                }
            };
            // Of the plain model's encoders: another reallocation may eliminate another modality.
            let alone = methods
                .first()
                .map(|(row, _)| line(row, style::BASELINE, Encoder::Baseline));
            let inside = methods.iter().map(|(row, style)| line(row, *style, Encoder::Prefix));
            Panel {
                title: format!("{rate} modalities"),
                lines: inside.chain(alone).collect(),
                paper: Vec::new(),
            }
        })
        .collect();
    let which = match watched {
        Watched::First => "first",
        Watched::Eliminated => "eliminated",
    };
    (points > 0).then(|| PanelRow {
        heading: format!(
            "{label}, {}: probe's cross-entropy on validation, {which} modality (nats)",
            protocol.name
        ),
        x_label: "share of the training (%)".to_owned(),
        x_ticks: (1..=points)
            .map(|point| format!("{:.0}", 100.0 * point as f64 / points as f64))
            .collect(),
        panels,
    })
}
