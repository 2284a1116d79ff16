//! Lines to read a panel by: the bound of a theorem, the limit of a test, its null. They are dashed, and each has a colour.

use mmcollapse_record::{At, Metric, Reference};
use plotters::style::RGBColor;

use super::PanelRow;
use super::style::{BASELINE, GREY, INK};
use crate::summary::{Column, ProtocolRun, Summary};

/// A dashed line of a panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Guide {
    /// Its name in the legend; none where the panel's title says it.
    pub label: Option<&'static str>,
    /// Its colour.
    pub colour: RGBColor,
    /// Its values in the unit of the axis, one a place; a single one holds everywhere.
    pub values: Vec<Option<f64>>,
}

impl Guide {
    /// A line from side to side that the panel's title names.
    pub fn level(value: f64) -> Self {
        Self {
            label: None,
            colour: INK,
            values: vec![Some(value)],
        }
    }
}

/// The colours of an experiment's references, in their order; more than three would make a figure hard to read.
const COLOURS: [RGBColor; 3] = [INK, BASELINE.colour, GREY];

/// Equal labels share a colour.
fn colour(references: &[Reference], label: &str) -> RGBColor {
    let mut labels: Vec<&str> = Vec::new();
    for reference in references {
        if !labels.contains(&reference.label) {
            labels.push(reference.label);
        }
    }
    let turn = labels.iter().position(|known| *known == label).unwrap_or(0);
    COLOURS[turn % COLOURS.len()]
}

/// The guides of a panel: those of its measure and protocol. Lines by level have a place for each of `levels`.
pub fn beside(
    references: &[Reference],
    summary: &Summary,
    protocol: &ProtocolRun,
    measure: &Metric,
    levels: &[f64],
) -> Vec<Guide> {
    let of_panel = references.iter().filter(|reference| {
        let protocols = reference.protocols;
        let here = protocols.is_empty() || protocols.contains(&protocol.setting.protocol.to_string().as_str());
        here && *measure == reference.metric
    });
    let scale = measure.scale();
    of_panel
        .map(|reference| {
            let values = match reference.at {
                At::Everywhere(value) => vec![Some(scale * value)],
                At::Levels(known) => levels
                    .iter()
                    .map(|level| Some(scale * known.iter().find(|(at, _)| at == level)?.1))
                    .collect(),
                At::Row(row, word) => levels
                    .iter()
                    .map(|level| Some(scale * mean(summary, row, word, measure, *level)?))
                    .collect(),
            };
            Guide {
                label: Some(reference.label),
                colour: colour(references, reference.label),
                values,
            }
        })
        .collect()
}

/// The mean of a row under the protocol of that name.
fn mean(summary: &Summary, row: &str, protocol: &str, measure: &Metric, level: f64) -> Option<f64> {
    let place = summary.methods.iter().position(|method| *method == row)?;
    let run = summary
        .protocols
        .iter()
        .find(|run| run.setting.protocol.to_string() == protocol)?;
    let group = summary.get(&run.setting, place, measure, Column::Rate(level))?;
    Some(group.estimate.as_ref()?.mean)
}

/// Names and colours of those that panels have, each once.
pub fn legend(rows: &[PanelRow]) -> Vec<(String, RGBColor)> {
    let mut names: Vec<(String, RGBColor)> = Vec::new();
    for guide in rows.iter().flat_map(|row| &row.panels).flat_map(|panel| &panel.guides) {
        let label = guide.label.filter(|_| guide.values.iter().any(Option::is_some));
        if let Some(label) = label.filter(|label| names.iter().all(|(name, _)| name != label)) {
            names.push((label.to_owned(), guide.colour));
        }
    }
    names
}
