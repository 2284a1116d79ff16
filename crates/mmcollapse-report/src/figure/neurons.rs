//! What fusion neurons are made of: neurons of a run in order, and how much of each one modality holds; where features are planted,
//! how much noise of one modality is there beside prediction of another as well. A row of panels a protocol and question, a panel
//! a level, a line a row.

use mmcollapse_probes::quantile;
use mmcollapse_record::{Metric, Record, RowId};

use super::curves::point;
use super::{Axis, Figure, FigureText, Line, Panel, PanelRow, Style, axis, guides, style};
use crate::curves::{at_level, leading, meeting};
use crate::summary::{ProtocolRun, Summary};
use crate::table::range;

/// Places on the horizontal axis, from the first neuron to the last.
const PLACES: usize = 21;

/// Places between two names there.
const NAMED: usize = 5;

/// What is asked of each neuron.
struct Question {
    heading: &'static str,
    axis: &'static str,
    /// The measure that is its mean, beside whose references it stands.
    measure: Option<&'static str>,
    of: fn(&Record) -> Vec<f64>,
}

const QUESTIONS: [Question; 2] = [
    Question {
        heading: "share of a neuron that its leading modality holds (%)",
        axis: "share of the leading modality",
        measure: Some("leading_modality"),
        of: leading,
    },
    Question {
        heading: "noise of one modality beside prediction of another in a neuron, the smaller share of the two (%)",
        axis: "noise beside prediction",
        measure: None,
        of: meeting,
    },
];

impl Figure {
    /// The neurons of the methods `rows`, named as in claims.
    pub fn of_neurons(records: &[Record], summary: &Summary, rows: &[&str], text: FigureText) -> Self {
        // Lines have too many places for all marks: each row has a colour of its own, too.
        let shown: Vec<(&RowId, Style)> = rows
            .iter()
            .filter_map(|row| summary.methods.iter().find(|method| *method == row))
            .enumerate()
            .map(|(turn, method)| (method, style::of_series(turn)))
            .collect();
        let mut seeds = Vec::new();
        let mut panels = Vec::new();
        for protocol in &summary.protocols {
            for question in &QUESTIONS {
                let mut row = row(records, protocol, question, &shown, &mut seeds);
                let measure: Option<Metric> = question.measure.and_then(|measure| measure.parse().ok());
                if let (Some(row), Some(measure)) = (&mut row, measure) {
                    for panel in &mut row.panels {
                        panel.guides = guides::beside(text.references, summary, protocol, &measure, &[]);
                    }
                }
                panels.extend(row);
            }
        }
        Self {
            title: text.title.to_owned(),
            note: format!(
                "Line: median over n = {} seeds; band: 10 to 90 % quantiles. Neurons of each run that respond to anything, the \
                 largest value first. Shares are of a neuron's attribution: of its response to planted features where they are \
                 known, else of weight times activation. Preset {}.",
                range(&seeds),
                text.preset
            ),
            warnings: text.warnings,
            y_label: String::new(),
            paper: false,
            guides: guides::legend(&panels),
            rows: panels,
            legend: shown
                .iter()
                .map(|(method, style)| (method.reallocation.label(), *style))
                .collect(),
            provenance: text.provenance,
        }
    }
}

/// A panel a level; none where no run answers the question.
fn row(
    records: &[Record],
    protocol: &ProtocolRun,
    question: &Question,
    shown: &[(&RowId, Style)],
    seeds: &mut Vec<usize>,
) -> Option<PanelRow> {
    let mut panels = Vec::new();
    for rate in &protocol.rates {
        let line = |(method, style): &(&RowId, Style)| -> Option<(Line, usize)> {
            let runs: Vec<Vec<f64>> = at_level(records, method, &protocol.setting, *rate)
                .map(|record| in_order((question.of)(record)))
                .filter(|run| !run.is_empty())
                .collect();
            let runs: Vec<&[f64]> = runs.iter().map(Vec::as_slice).collect();
            let line = Line {
                style: *style,
                points: (0..PLACES).map(|place| point(&runs, place..place + 1)).collect(),
                level: false,
            };
            (!runs.is_empty()).then_some((line, runs.len()))
        };
        let (lines, own): (Vec<Line>, Vec<usize>) = shown.iter().filter_map(line).unzip();
        seeds.extend(own);
        if !lines.is_empty() {
            panels.push(Panel {
                title: axis::number(protocol.levels().scale() * rate),
                axis: Axis::percent(question.axis),
                lines,
                paper: Vec::new(),
                guides: Vec::new(),
            });
        }
    }
    // A number above its only panel would not say of what it is.
    let axis = protocol.setting.axis(&protocol.modality);
    let level = match &mut panels[..] {
        [only] => format!("{axis}: {}", std::mem::take(&mut only.title)),
        _ => format!("above each panel: {axis}"),
    };
    (!panels.is_empty()).then(|| PanelRow {
        heading: format!("{}: {}; {level}", protocol.setting, question.heading),
        x_label: "neurons, in order (%)".to_owned(),
        x_ticks: (0..PLACES)
            .map(|place| match place % NAMED {
                0 => (100 * place / (PLACES - 1)).to_string(),
                _ => String::new(),
            })
            .collect(),
        connected: false,
        panels,
    })
}

/// Values of neurons at evenly spaced places, the largest first, in percent.
fn in_order(mut values: Vec<f64>) -> Vec<f64> {
    if values.is_empty() {
        return values;
    }
    values.sort_by(f64::total_cmp);
    let at = |place: usize| 1.0 - place as f64 / (PLACES - 1) as f64;
    (0..PLACES).map(|place| 100.0 * quantile(&values, at(place))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neurons_stand_in_order_of_their_value() {
        let run = in_order(vec![0.25, 1.0, 0.5]);
        assert_eq!((run[0], run[10], run[20]), (100.0, 50.0, 25.0));
        assert_eq!(run.len(), PLACES);
        assert!(in_order(Vec::new()).is_empty());
    }
}
