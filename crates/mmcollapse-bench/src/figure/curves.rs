//! The semantic loss along training: a panel a fusion, a line a reallocation.

use mmcollapse_probes::quantile;

use super::{Axes, Figure, FigureText, Line, Panel, PanelRow, Point, legend, style};
use crate::cell::CellRecord;
use crate::curves::semantic;
use crate::summary::Summary;

/// Epochs between two names on the horizontal axis.
const NAMED: usize = 5;

impl Figure {
    /// The semantic loss at the end of every epoch, median and 10 to 90 % quantiles over seeds.
    pub fn of_curves(records: &[CellRecord], summary: &Summary, text: FigureText) -> Self {
        let styles = style::assign(&summary.methods);
        let epochs = records.iter().map(|record| semantic(record).len()).max().unwrap_or(0);
        let x_ticks: Vec<String> = (1..=epochs)
            .map(|epoch| {
                if epoch == 1 || epoch % NAMED == 0 {
                    epoch.to_string()
                } else {
                    String::new()
                }
            })
            .collect();
        let mut seeds = 0;
        let mut rows = Vec::new();
        for protocol in &summary.protocols {
            let mut panels: Vec<(&str, Panel)> = Vec::new();
            for (method, style) in summary.methods.iter().zip(&styles) {
                let runs: Vec<&[f64]> = records
                    .iter()
                    .filter(|r| r.row == method.row && r.protocol == protocol.name)
                    .map(semantic)
                    .collect();
                seeds = seeds.max(runs.len());
                let line = Line {
                    style: *style,
                    points: (0..epochs).map(|epoch| point(&runs, epoch)).collect(),
                };
                match panels.iter_mut().find(|(name, _)| *name == method.fusion_name) {
                    Some((_, panel)) => panel.lines.push(line),
                    None => panels.push((
                        &method.fusion_name,
                        Panel {
                            title: method.fusion_label(),
                            lines: vec![line],
                            paper: Vec::new(),
                        },
                    )),
                }
            }
            rows.push(PanelRow {
                heading: format!("{}: {}", protocol.name, crate::table::protocol_in_words(protocol)),
                x_label: "epoch of the multimodal training".to_owned(),
                x_ticks: x_ticks.clone(),
                panels: panels.into_iter().map(|(_, panel)| panel).collect(),
            });
        }
        Self {
            title: text.title.to_owned(),
            note: format!(
                "Line: median over n = {seeds} seeds of the training loss of the multimodal prediction, mean over each \
                 epoch, dropout on; band: 10 to 90 % quantiles; preset {}. KD starts from a distilled encoder.",
                text.preset
            ),
            warnings: text.warnings,
            y_label: "semantic loss (nats)".to_owned(),
            axes: Axes::Shared,
            paper: false,
            rows,
            legend: legend(summary, &styles),
            provenance: text.provenance,
        }
    }
}

/// None for fewer than two runs that got so far.
fn point(runs: &[&[f64]], epoch: usize) -> Option<Point> {
    let mut values: Vec<f64> = runs.iter().filter_map(|curve| curve.get(epoch).copied()).collect();
    values.sort_by(f64::total_cmp);
    (values.len() > 1).then(|| Point {
        mean: quantile(&values, 0.5),
        low: quantile(&values, 0.1),
        high: quantile(&values, 0.9),
        diverged: runs.len() - values.len(),
    })
}
