//! What encoders lose inside a model: against the level, and along training beside the same encoder trained alone.

use super::curves::point;
use super::{Axis, Figure, FigureText, Line, Panel, PanelRow, Style, fusions, style};
use crate::curves::{at_level, eliminated, first, probed};
use crate::summary::{ProtocolRun, Summary};
use mmcollapse_record::{Encoder, Metric, Record, RowId};

/// Whose encoders a row of panels shows.
#[derive(Clone, Copy)]
enum Watched {
    /// Those of the first modality.
    First,
    /// Those of the modality that the plain model of the same seed eliminates: one and the same in all lines.
    Eliminated,
}

impl Watched {
    fn name(self) -> &'static str {
        match self {
            Self::First => "first modality",
            Self::Eliminated => "modality that the plain model eliminates",
        }
    }

    fn modality<'a>(self, record: &'a Record, plain: &[&'a Record]) -> Option<&'a str> {
        match self {
            Self::First => first(record),
            Self::Eliminated => eliminated(plain.iter().find(|plain| plain.seed == record.seed)?),
        }
    }
}

impl Figure {
    /// `gaps` against the number of modalities, and under them the cross-entropies of probes along training.
    pub fn of_probes(records: &[Record], summary: &Summary, gaps: &[Metric], text: FigureText) -> Self {
        let mut figure = Self::of_measures(summary, gaps, text);
        let styles = style::assign(&summary.methods);
        let mut probes = Vec::new();
        for protocol in &summary.protocols {
            for fusion in fusions(summary) {
                let methods = summary.methods.iter().zip(styles.iter().copied());
                let methods: Vec<(&RowId, Style)> =
                    methods.filter(|(m, _)| m.fusion.name == fusion.fusion.name).collect();
                for watched in [Watched::First, Watched::Eliminated] {
                    probes.extend(row(records, protocol, &methods, watched));
                }
            }
        }
        if !probes.is_empty() {
            let panels = probes.iter().flat_map(|row| &row.panels);
            let mut points = panels.flat_map(|p| &p.lines).flat_map(|l| l.points.iter().flatten());
            let few = if points.any(|point| point.interval.is_none()) {
                " No band where n ≤ 2."
            } else {
                ""
            };
            figure.note += " Along training: median over the seeds of the cross-entropy of a linear probe fitted to the training samples' \
                            frozen encodings, at points evenly spaced over the epochs, the last one the end; band: 10 to 90 % \
                            quantiles; alone: the same modality's encoder trained on its own loss. KD starts from a distilled encoder.";
            figure.note += few;
            let alone = ("encoder trained alone".to_owned(), style::BASELINE);
            figure.legend.push(alone);
            figure.rows.extend(probes);
        }
        figure
    }
}

/// A panel a number of modalities; none if nothing was probed twice.
fn row(records: &[Record], protocol: &ProtocolRun, methods: &[(&RowId, Style)], watched: Watched) -> Option<PanelRow> {
    let plain = methods.first()?.0;
    let mut points = 0;
    let mut panels = Vec::new();
    for rate in &protocol.rates {
        let runs_of = |row| -> Vec<&Record> { at_level(records, row, &protocol.setting, *rate).collect() };
        let plain = runs_of(plain);
        let mut line = |runs: &[&Record], style: Style, encoder: Encoder| {
            let curves: Vec<&[f64]> = runs
                .iter()
                .map(|record| match watched.modality(record, &plain) {
                    Some(modality) => probed(record, encoder, modality),
                    None => &[],
                })
                .collect();
            let length = curves.iter().map(|curve| curve.len()).max().unwrap_or(0);
            let line = Line {
                style,
                points: (0..length).map(|at| point(&curves, at..at + 1)).collect(),
                level: false,
            };
            if line.points.iter().any(Option::is_some) {
                points = points.max(length);
            }
            line
        };
        let mut lines: Vec<Line> = methods
            .iter()
            .map(|(method, style)| line(&runs_of(method), *style, Encoder::Prefix))
            .collect();
        lines.push(line(&plain, style::BASELINE, Encoder::Baseline));
        panels.push(Panel {
            title: format!("{rate} modalities"),
            axis: Axis::nats("cross-entropy of probes"),
            lines,
            paper: Vec::new(),
            guides: Vec::new(),
        });
    }
    // Places are evenly spaced: one that stopped early has fewer of as many.
    for line in panels.iter_mut().flat_map(|panel| &mut panel.lines) {
        line.points.resize(points, None);
    }
    (points > 0).then(|| PanelRow {
        heading: format!(
            "{}, {}: probe's cross-entropy on validation, {} (nats)",
            plain.fusion.label(),
            protocol.setting,
            watched.name()
        ),
        x_label: "share of the training (%)".to_owned(),
        connected: false,
        x_ticks: (1..=points)
            .map(|place| format!("{:.0}", 100.0 * place as f64 / points as f64))
            .collect(),
        panels,
    })
}
