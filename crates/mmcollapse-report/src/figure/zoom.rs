//! A second look at rows that lie close together where others fail far below: beside a row that lost sixty points, effects
//! of a point are two pixels high.

use super::PanelRow;

/// Points below the best row that the second look reaches.
pub const REACH: f64 = 10.0;

/// Where no means lie further apart than this, one axis shows them all.
const FAR: f64 = 15.0;

/// Whether values lie so far apart that those close together need a second look.
pub fn needed(values: &[f64], near: impl Fn(f64) -> bool) -> bool {
    let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let worst = values.iter().copied().fold(f64::INFINITY, f64::min);
    best - worst > FAR && values.iter().filter(|value| near(**value)).count() > 1
}

/// Lower end of the second look at means in percent; none where there is no need of one.
pub fn floor(means: &[f64]) -> Option<f64> {
    let best = means.iter().copied().reduce(f64::max)?;
    let floor = (best - REACH).floor();
    needed(means, |mean| mean >= floor).then_some(floor)
}

/// The second look at a row of panels; none where there is no need of one.
pub fn of_panels(row: &PanelRow) -> Option<PanelRow> {
    let lines = row.panels.iter().flat_map(|panel| &panel.lines);
    let points = lines.flat_map(|line| line.points.iter().flatten());
    let floor = floor(&points.map(|point| point.mean).collect::<Vec<_>>())?;
    let mut zoom = row.clone();
    zoom.heading = format!("Zoom: the same means within {REACH} points of the best; bands end with the axis");
    for panel in &mut zoom.panels {
        panel.axis.measure = format!("{}, zoom of {}", panel.axis.measure, row.heading);
        panel.axis.range.0 = Some(floor);
        panel.paper.retain(|(_, _, value)| *value >= floor);
        for point in panel.lines.iter_mut().flat_map(|line| &mut line.points) {
            *point = point.filter(|point| point.mean >= floor);
        }
    }
    Some(zoom)
}
