//! The semantic loss along training: a panel a fusion, a line a reallocation.

use mmcollapse_record::{Record, RowId};
use std::ops::Range;

use mmcollapse_probes::quantile;

use super::{Axes, Figure, FigureText, Line, Panel, PanelRow, Point, legend, style};
use crate::curves::semantic;
use crate::summary::Summary;
use crate::table::range;

/// Epochs between two names on the horizontal axis, where there are twice as many or more.
const NAMED: usize = 5;

impl Figure {
    /// The semantic loss at the end of every epoch, median and 10 to 90 % quantiles over seeds.
    pub fn of_curves(records: &[Record], summary: &Summary, text: FigureText) -> Self {
        let styles = style::assign(&summary.methods);
        let lengths: Vec<usize> = summary
            .methods
            .iter()
            .map(|method| length(records, &method.row))
            .collect();
        let (shortest, longest) = (
            lengths.iter().copied().filter(|n| *n > 0).min().unwrap_or(0),
            lengths.iter().copied().max().unwrap_or(0),
        );
        let x_ticks = ticks(shortest, longest);
        let mut seeds: Vec<usize> = Vec::new();
        let mut rows = Vec::new();
        for protocol in &summary.protocols {
            let mut panels: Vec<(&str, Panel)> = Vec::new();
            for ((method, style), &length) in summary.methods.iter().zip(&styles).zip(&lengths) {
                let runs: Vec<&[f64]> = records
                    .iter()
                    .filter(|r| r.row == method.row && r.setting == protocol.setting)
                    .map(semantic)
                    .collect();
                seeds.push(runs.len());
                let line = Line {
                    style: *style,
                    points: (0..shortest)
                        .map(|step| point(&runs, span(step, shortest, length)))
                        .collect(),
                };
                match panels.iter_mut().find(|(name, _)| *name == method.row.fusion.name) {
                    Some((_, panel)) => panel.lines.push(line),
                    None => panels.push((
                        &method.row.fusion.name,
                        Panel {
                            title: method.fusion_label(),
                            lines: vec![line],
                            paper: Vec::new(),
                        },
                    )),
                }
            }
            rows.push(PanelRow {
                heading: format!("{}: {}", protocol.setting, crate::table::protocol_in_words(protocol)),
                x_label: if shortest == longest {
                    "epoch of the multimodal training".to_owned()
                } else {
                    format!("share of the multimodal training, of {shortest} to {longest} epochs (%)")
                },
                x_ticks: x_ticks.clone(),
                panels: panels.into_iter().map(|(_, panel)| panel).collect(),
            });
        }
        Self {
            title: text.title.to_owned(),
            note: format!(
                "Line: median over n = {} seeds of the training loss of the multimodal prediction, mean over each \
                 epoch (over more where a method trains longer), dropout on; band: 10 to 90 % quantiles; preset {}. KD starts from a distilled encoder.",
                range(&seeds),
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

/// Epochs of the longest run of a row.
fn length(records: &[Record], row: &RowId) -> usize {
    let own = records.iter().filter(|record| record.row == *row);
    own.map(|record| semantic(record).len()).max().unwrap_or(0)
}

/// Names on the horizontal axis: epochs where all methods train equally long, else shares of the training.
fn ticks(shortest: usize, longest: usize) -> Vec<String> {
    let name = |step: usize| {
        if shortest == longest {
            let named = step == 1 || step.is_multiple_of(NAMED) || shortest < 2 * NAMED;
            return named.then(|| step.to_string());
        }
        let percent = 100 * step / shortest;
        (100 * step == percent * shortest && percent.is_multiple_of(25)).then(|| percent.to_string())
    };
    (1..=shortest).map(|step| name(step).unwrap_or_default()).collect()
}

/// The epochs of a training of `length` that stand at `step` of `steps`.
fn span(step: usize, steps: usize, length: usize) -> Range<usize> {
    step * length / steps..(step + 1) * length / steps
}

/// Each run's mean over `epochs`, median and quantiles over runs; none for fewer than two runs that got so far.
pub(super) fn point(runs: &[&[f64]], epochs: Range<usize>) -> Option<Point> {
    let mean = |curve: &&[f64]| {
        let part = curve.get(epochs.clone()).filter(|part| !part.is_empty())?;
        Some(part.iter().sum::<f64>() / part.len() as f64)
    };
    let mut values: Vec<f64> = runs.iter().filter_map(mean).collect();
    values.sort_by(f64::total_cmp);
    (values.len() > 1).then(|| Point {
        mean: quantile(&values, 0.5),
        low: quantile(&values, 0.1),
        high: quantile(&values, 0.9),
        diverged: runs.len() - values.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trainings_of_any_length_share_an_axis() {
        assert_eq!(ticks(10, 10), ["1", "", "", "", "5", "", "", "", "", "10"]);
        assert_eq!(ticks(3, 3), ["1", "2", "3"]);
        assert_eq!(ticks(4, 120), ["25", "50", "75", "100"]);
        // Each epoch is one point of the shortest, and of one thirty times as long thirty are.
        assert_eq!((span(3, 4, 4), span(3, 4, 120)), (3..4, 90..120));
        let curves: [&[f64]; 2] = [&[4.0, 2.0, 1.0, 1.0], &[2.0, 2.0, 3.0, 1.0]];
        assert_eq!(point(&curves, 0..2).unwrap().mean, 2.5);
        assert_eq!(point(&curves, 3..4).unwrap().mean, 1.0);
        assert!(point(&curves, 4..6).is_none() && point(&curves[..1], 0..1).is_none());
    }
}
