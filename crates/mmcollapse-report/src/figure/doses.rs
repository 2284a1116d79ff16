//! Several measures against a dose: a row of panels a protocol and, where reallocations are dosed, a fusion; a panel a measure,
//! a line a series of rows. A series of reallocations starts at 0 with its control, if it has one. Where fusions are dosed, each
//! reallocation of them is a series. Rows that are in no series are level lines. Planted data of several levels are data sets of
//! their own and have a row of panels each; of other levels a mean is drawn.

use mmcollapse_record::manipulation::CONFUSED;
use mmcollapse_record::{Dose, Levels, MethodName, Metric, RowId};

use super::{Axis, Figure, FigureText, Guide, Line, Panel, PanelRow, Point, Style, axis, guides, style};
use crate::summary::{Column, ProtocolRun, Summary};

/// Rows that differ in the dose alone: places in [`Summary::methods`], the control first.
struct Series<'a> {
    name: String,
    /// The fusion whose reallocation is dosed; none where fusions are.
    fusion: Option<&'a MethodName>,
    style: Style,
    /// Each dose with its row; one row at every dose where it is in no series.
    rows: Vec<(f64, usize)>,
    level: bool,
}

impl Figure {
    /// `measures`, each its mean over the levels, against the dose `of` something.
    pub fn of_doses(summary: &Summary, of: &str, measures: &[Metric], text: FigureText) -> Self {
        let all = series(&summary.methods);
        let doses = doses(&all);
        let mut fusions: Vec<Option<&MethodName>> = Vec::new();
        for one in &all {
            if !fusions.contains(&one.fusion) {
                fusions.push(one.fusion);
            }
        }
        let has_controls = doses.first() == Some(&0.0);
        let row = |protocol: &ProtocolRun, column: Column, fusion: Option<&MethodName>| {
            let own: Vec<&Series> = all.iter().filter(|s| s.fusion == fusion).collect();
            let measured = measures.iter().filter(|measure| summary.measures(protocol, measure));
            let of_fusion = fusion.map_or_else(String::new, |fusion| format!("{}, ", fusion.label()));
            let at = match column {
                Column::Rate(level) => {
                    let axis = protocol.setting.axis(&protocol.modality);
                    format!(" at {} ({axis})", axis::number(level))
                }
                Column::MeanOfRates => String::new(),
            };
            PanelRow {
                heading: format!("{of_fusion}{}{at}: {}", protocol.setting, protocol.in_words()),
                x_label: of.to_owned() + if has_controls { " (0: the control)" } else { "" },
                x_ticks: doses.iter().map(|dose| axis::number(*dose)).collect(),
                connected: true,
                panels: measured
                    .map(|measure| {
                        let mut panel = panel(summary, (protocol, column), measure, &doses, &own);
                        let guides = guides::beside(text.references, summary, protocol, measure, &[]);
                        panel.guides.extend(guides);
                        panel
                    })
                    .collect(),
            }
        };
        let mut rows = Vec::new();
        for protocol in &summary.protocols {
            for column in columns(protocol) {
                rows.extend(fusions.iter().map(|fusion| row(protocol, column, *fusion)));
            }
        }
        let mut legend: Vec<(String, Style)> = Vec::new();
        for one in &all {
            if !legend.iter().any(|(name, _)| *name == one.name) {
                legend.push((one.name.clone(), one.style));
            }
        }
        Self::of_panels(summary, measures, text, rows, legend)
    }
}

/// What a protocol has a row of panels for.
fn columns(protocol: &ProtocolRun) -> Vec<Column> {
    if protocol.levels() == Levels::Amounts && protocol.rates.len() > 1 {
        return protocol.rates.iter().map(|level| Column::Rate(*level)).collect();
    }
    vec![Column::MeanOfRates]
}

/// Every dose that a series has, the least first.
fn doses(all: &[Series]) -> Vec<f64> {
    let mut doses: Vec<f64> = all.iter().flat_map(|s| s.rows.iter().map(|row| row.0)).collect();
    doses.sort_by(f64::total_cmp);
    doses.dedup();
    doses
}

/// The series in the order of their first rows, then the rows that are in none; equal names have one style.
fn series(methods: &[RowId]) -> Vec<Series<'_>> {
    let mut all: Vec<Series> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut controls: Vec<usize> = Vec::new();
    let mut of_name = |name: &str| {
        let turn = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        style::of_series(turn)
    };
    for (place, method) in methods.iter().enumerate() {
        let Some(Dose { series, at }) = method.dose() else {
            continue;
        };
        let of_reallocation = method.reallocation.dose.is_some();
        let fusion = of_reallocation.then_some(&method.fusion);
        let name = if of_reallocation || method.is_vanilla() {
            series.clone()
        } else {
            format!("{series} + {}", method.reallocation.label())
        };
        let known = all.iter().position(|s| s.name == name && s.fusion == fusion);
        let known = known.unwrap_or_else(|| {
            let twin = method.twin().filter(|_| of_reallocation);
            let control = twin.and_then(|twin| methods.iter().position(|other| *other == *twin.as_str()));
            controls.extend(control);
            all.push(Series {
                style: of_name(&name),
                name,
                fusion,
                rows: control.map(|control| (0.0, control)).into_iter().collect(),
                level: false,
            });
            all.len() - 1
        });
        if let Some(one) = all.get_mut(known) {
            one.rows.push((*at, place));
        }
    }
    let doses = doses(&all);
    let fusions: Vec<Option<&MethodName>> = all.iter().map(|s| s.fusion).collect();
    for (place, method) in methods.iter().enumerate() {
        if method.dose().is_some() || controls.contains(&place) {
            continue;
        }
        let mut beside = fusions.iter().copied();
        if let Some(fusion) = beside.find(|fusion| fusion.is_none_or(|fusion| *fusion == method.fusion)) {
            let name = method.label();
            all.push(Series {
                style: of_name(&name),
                name,
                fusion,
                rows: doses.iter().map(|dose| (*dose, place)).collect(),
                level: true,
            });
        }
    }
    all
}

fn panel(
    summary: &Summary,
    (protocol, column): (&ProtocolRun, Column),
    measure: &Metric,
    doses: &[f64],
    all: &[&Series],
) -> Panel {
    let point = |row: usize| {
        let group = summary.get(&protocol.setting, row, measure, column)?;
        Some(Point::of(group.estimate.as_ref()?, measure.scale(), group.diverged))
    };
    let line = |one: &&Series| Line {
        style: one.style,
        points: doses
            .iter()
            .map(|dose| point(one.rows.iter().find(|(at, _)| at == dose)?.1))
            .collect(),
        level: one.level,
    };
    let judged = *measure == "confusion";
    Panel {
        title: if judged {
            format!("confusion (dashed: {CONFUSED}, the least to pass)")
        } else {
            measure.title()
        },
        axis: Axis::of(measure),
        lines: all.iter().map(line).collect(),
        paper: Vec::new(),
        guides: judged.then(|| Guide::level(CONFUSED)).into_iter().collect(),
    }
}
