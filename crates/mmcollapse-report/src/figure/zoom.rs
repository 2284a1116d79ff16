//! A second look at rows that lie close together where others fail far below: beside a row that lost sixty points, effects
//! of a point are two pixels high.

use super::{Line, PanelRow, Style};

/// Points below the best row that the second look reaches.
pub const REACH: f64 = 10.0;

/// Where no row is further from the best, one axis shows them all.
const FAR: f64 = 15.0;

/// Whether some rows are so far from the best that those close to it need a second look; `behind` in points.
pub fn needed(behind: &[f64]) -> bool {
    let far = behind.iter().any(|behind| *behind > FAR);
    far && behind.iter().filter(|behind| **behind <= REACH).count() > 1
}

/// The rows of panels, each followed by its second look if any needs one: they share an axis.
pub fn with_zooms(rows: Vec<PanelRow>) -> Vec<PanelRow> {
    let needed = rows.iter().any(|row| {
        let best = best(row);
        needed(&lines(row).map(|line| behind(line, &best)).collect::<Vec<_>>())
    });
    let zoom = |row: &PanelRow| needed.then(|| zoom(row));
    rows.into_iter()
        .flat_map(|row| {
            let zoom = zoom(&row);
            [Some(row), zoom].into_iter().flatten()
        })
        .collect()
}

fn lines(row: &PanelRow) -> impl Iterator<Item = &Line> {
    row.panels.iter().flat_map(|panel| &panel.lines)
}

/// The best mean of all panels at each level.
fn best(row: &PanelRow) -> Vec<f64> {
    let at = |place: usize| lines(row).filter_map(move |line| Some(line.points.get(place).copied()??.mean));
    let levels = 0..row.x_ticks.len();
    levels
        .map(|place| at(place).fold(f64::NEG_INFINITY, f64::max))
        .collect()
}

/// Points from the best where a line is furthest from it.
fn behind(line: &Line, best: &[f64]) -> f64 {
    let points = line.points.iter().zip(best);
    let behind = points.filter_map(|(point, best)| Some(best - point.as_ref()?.mean));
    behind.fold(0.0, f64::max)
}

/// All levels of a line are there or none. Bands are cut that reach far below the lowest mean.
fn zoom(row: &PanelRow) -> PanelRow {
    let best = best(row);
    let near = |line: &Line| behind(line, &best) <= REACH;
    let means = lines(row)
        .filter(|line| near(line))
        .flat_map(|line| line.points.iter().flatten());
    let lowest = means.map(|point| point.mean).fold(100.0, f64::min);
    let end = (lowest - REACH).floor().max(0.0);
    let mut zoom = row.clone();
    zoom.heading = format!("Zoom: rows within {REACH} points of the best at each level");
    for panel in &mut zoom.panels {
        panel.axis.measure = format!("{}, zoom of {}", panel.axis.measure, row.heading);
        panel.axis.range.0 = Some(end);
        panel.lines.retain(near);
        let shown = |style: &Style| panel.lines.iter().any(|line| line.style == *style);
        panel.paper.retain(|(style, _, value)| shown(style) && *value >= end);
    }
    zoom.panels.retain(|panel| !panel.lines.is_empty());
    zoom
}
