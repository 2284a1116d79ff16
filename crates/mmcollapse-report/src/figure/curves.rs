//! The semantic loss along training: a panel a fusion, a line a reallocation.

use mmcollapse_record::{Record, RowId};
use std::ops::Range;

use mmcollapse_probes::{Interval, quantile};

use super::{Axis, BAND_SEEDS, Figure, FigureText, Line, Panel, PanelRow, Point, legend, style};
use crate::curves::semantic;
use crate::summary::Summary;
use crate::table::range;

/// Epochs between two names on the horizontal axis, where there are twice as many or more.
const NAMED: usize = 5;

impl Figure {
    /// The semantic loss along training, median and 10 to 90 % quantiles over seeds.
    pub fn of_curves(records: &[Record], summary: &Summary, text: FigureText) -> Self {
        let styles = style::assign(&summary.methods);
        let lengths: Vec<usize> = summary.methods.iter().map(|method| length(records, method)).collect();
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
                    .filter(|r| r.row == *method && r.setting == protocol.setting)
                    .map(semantic)
                    .collect();
                seeds.push(runs.len());
                let line = Line {
                    style: *style,
                    points: bins(length, shortest).map(|epochs| point(&runs, epochs)).collect(),
                    level: false,
                };
                match panels.iter_mut().find(|(name, _)| *name == method.fusion.name) {
                    Some((_, panel)) => panel.lines.push(line),
                    None => panels.push((
                        &method.fusion.name,
                        Panel {
                            title: method.fusion.label(),
                            axis: Axis::nats("semantic loss"),
                            lines: vec![line],
                            paper: Vec::new(),
                            guides: Vec::new(),
                        },
                    )),
                }
            }
            rows.push(PanelRow {
                heading: format!("{}: {}", protocol.setting, protocol.in_words()),
                x_label: if shortest == longest {
                    "epoch of the multimodal training".to_owned()
                } else {
                    format!("share of the multimodal training, of {shortest} to {longest} epochs (%)")
                },
                connected: false,
                x_ticks: x_ticks.clone(),
                panels: panels.into_iter().map(|(_, panel)| panel).collect(),
            });
        }
        let widest = lengths.iter().map(|length| bin(*length, shortest)).max().unwrap_or(1);
        let cycles = if widest > 1 {
            format!(" (over {widest}, whole cycles of alternating training, where a method trains longer)")
        } else {
            String::new()
        };
        let few = if seeds.iter().any(|n| (1..BAND_SEEDS).contains(n)) {
            ", none where n ≤ 2"
        } else {
            ""
        };
        Self {
            title: text.title.to_owned(),
            note: format!(
                "Line: median over n = {} seeds of the training loss of the multimodal prediction, mean over each \
                 epoch{cycles}, dropout on; band: 10 to 90 % quantiles{few}; preset {}. KD starts from a distilled encoder.",
                range(&seeds),
                text.preset
            ),
            warnings: text.warnings,
            y_label: "semantic loss (nats)".to_owned(),
            paper: false,
            rows,
            legend: legend(summary, &styles),
            guides: Vec::new(),
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

/// Epochs of one cycle of alternating trainings: EBR moves its adversary and the model for ten epochs each (the settings of
/// `reallocation/ebr.rs`), and the semantic loss rises and falls with them.
const CYCLE: usize = 20;

/// Epochs in one point of a training of `length`, beside one of `shortest` with a point an epoch.
///
/// The largest whole number of cycles that gives at least as many points as the shortest training has; one epoch where there
/// is none. Means over 30 epochs hold one half of a cycle and two halves in turn: the line zigzags where the loss does not.
/// The width divides the length, so that no point holds a part of a cycle.
fn bin(length: usize, shortest: usize) -> usize {
    let most = length / shortest.max(1);
    let whole = |width: &usize| length.is_multiple_of(*width);
    (CYCLE..=most).step_by(CYCLE).filter(whole).last().unwrap_or(1)
}

/// The epochs of each point of a training of `length`.
fn bins(length: usize, shortest: usize) -> impl Iterator<Item = Range<usize>> {
    let width = bin(length, shortest);
    (0..length / width).map(move |place| place * width..(place + 1) * width)
}

/// Each run's mean over `epochs`, median and quantiles over the runs that got so far; none where none did.
pub(super) fn point(runs: &[&[f64]], epochs: Range<usize>) -> Option<Point> {
    let mean = |curve: &&[f64]| {
        let part = curve.get(epochs.clone()).filter(|part| !part.is_empty())?;
        Some(part.iter().sum::<f64>() / part.len() as f64)
    };
    let mut values: Vec<f64> = runs.iter().filter_map(mean).collect();
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| Point {
        mean: quantile(&values, 0.5),
        interval: (values.len() >= BAND_SEEDS).then(|| Interval {
            low: quantile(&values, 0.1),
            high: quantile(&values, 0.9),
        }),
        seeds: values.len(),
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
        let curves: [&[f64]; 2] = [&[4.0, 2.0, 1.0, 1.0], &[2.0, 2.0, 3.0, 1.0]];
        assert_eq!(point(&curves, 0..2).unwrap().mean, 2.5);
        assert_eq!(point(&curves, 3..4).unwrap().mean, 1.0);
        assert!(point(&curves, 4..6).is_none() && point(&curves, 0..1).unwrap().interval.is_none());
    }

    #[test]
    fn points_hold_one_epoch_or_whole_cycles_of_alternating_training() {
        assert_eq!(bins(4, 4).collect::<Vec<_>>(), [0..1, 1..2, 2..3, 3..4]);
        assert_eq!([bin(1200, 40), bin(1200, 20), bin(1200, 1200)], [20, 60, 1]);
        // Too short for a cycle in each point, or no whole number of cycles.
        assert_eq!([bin(120, 40), bin(1210, 40), bin(0, 0)], [1, 1, 1]);
        // A loss that only alternates is level in points of whole cycles.
        let alternating: Vec<f64> = (0..1200).map(|epoch| f64::from(epoch / 10 % 2)).collect();
        let curves = [alternating.as_slice(), &alternating];
        let mut points = bins(1200, 40).map(|epochs| point(&curves, epochs).unwrap().mean);
        assert!(points.all(|mean| mean == 0.5));
    }
}
