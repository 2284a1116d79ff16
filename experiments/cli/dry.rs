//! `--dry-run`: what a run would train, row by row.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use mmcollapse_files::duration_text;
use mmcollapse_run::cell::CellKey;
use mmcollapse_run::pending::Pending;
use mmcollapse_run::plan::{Plan, Planned};
use mmcollapse_run::progress::{Basis, makespan};

use super::How;

/// What of a row is there.
struct RowState<'a> {
    name: &'a str,
    cells: usize,
    /// Seconds of each cell to train.
    to_train: Vec<f64>,
}

/// Which cells of a plan are there and how long the rest will take, row by row; with `--verbose` and cell by cell.
pub(super) fn text(plan: &Plan, pending: &Pending<'_>, how: &How) -> String {
    let mut text = rows(
        plan,
        pending.missing(),
        pending.damaged(),
        how.place_of_work.at_once(how.workers),
        how.verbose,
        |planned| pending.estimate(planned),
    );
    if !pending.unmeasured().is_empty() {
        let cells = pending.unmeasured().len();
        let _ = writeln!(
            text,
            "{cells} cells in the store lack a measure, which is measured from their weights"
        );
    }
    if pending.published() > 0 {
        let cells = pending.published();
        let _ = writeln!(
            text,
            "{cells} cells in the store are published ones, which a run puts there first"
        );
    }
    text
}

/// How many cells are to be trained in all, and how long that takes.
pub(super) fn left(pending: &[Pending<'_>], how: &How) -> String {
    let mut keys = BTreeSet::new();
    let all = pending
        .iter()
        .flat_map(|of| of.cells().map(move |planned| (of, planned)));
    // Experiments share cells.
    let once = all.filter(|(_, planned)| keys.insert(&planned.key));
    let times: Vec<f64> = once.map(|(of, planned)| of.estimate(planned).0).collect();
    let workers = how.place_of_work.at_once(how.workers);
    match times.len() {
        0 => "no cell is left to train".to_owned(),
        cells => format!(
            "{cells} cells are left to train, about {} with {workers} workers",
            duration_text(makespan(&times, workers))
        ),
    }
}

/// The rows of a plan with their cells, those in the store, and the time of the rest; `missing` has the places of the cells to
/// train, `verbose` adds a line for each cell.
fn rows(
    plan: &Plan,
    missing: &BTreeSet<usize>,
    damaged: &[String],
    workers: usize,
    verbose: bool,
    estimate: impl Fn(&Planned) -> (f64, Basis),
) -> String {
    let mut rows: Vec<RowState<'_>> = Vec::new();
    let mut times = Vec::new();
    let mut bases: BTreeSet<Basis> = BTreeSet::new();
    let mut cells = String::new();
    let keys: BTreeSet<&CellKey> = missing.iter().map(|place| &plan.cells[*place].key).collect();
    for (place, planned) in plan.cells.iter().enumerate() {
        let name = planned.row.name.as_str();
        let row = rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            rows.push(RowState {
                name,
                cells: 0,
                to_train: Vec::new(),
            });
            rows.len() - 1
        });
        let row = &mut rows[row];
        row.cells += 1;
        let state = if missing.contains(&place) {
            let (seconds, basis) = estimate(planned);
            row.to_train.push(seconds);
            times.push(seconds);
            bases.insert(basis);
            format!("to train, about {}", duration_text(seconds))
        } else if keys.contains(&planned.key) {
            row.to_train.push(0.0);
            "trained with another row".to_owned()
        } else {
            "in the store".to_owned()
        };
        let _ = writeln!(cells, "{}  {}: {state}", planned.key, planned.label());
    }
    let all = plan.cells.len();
    let there = all - rows.iter().map(|row| row.to_train.len()).sum::<usize>();
    let mut text = format!(
        "{} ({}): {all} cells, {there} in the store, {} to train\n",
        plan.experiment,
        plan.preset,
        times.len(),
    );
    let width = rows
        .iter()
        .map(|row| row.name.chars().count())
        .max()
        .unwrap_or(0)
        .max(3);
    let _ = writeln!(
        text,
        "  {:<width$}  cells  in the store  to train  time on one worker",
        "row"
    );
    for row in &rows {
        let there = row.cells - row.to_train.len();
        let time = match &row.to_train[..] {
            [] => "–".to_owned(),
            seconds => duration_text(seconds.iter().sum()),
        };
        let (name, to_train) = (row.name, row.to_train.len());
        let _ = writeln!(
            text,
            "  {name:<width$}  {:>5}  {there:>12}  {to_train:>8}  {time}",
            row.cells
        );
    }
    for reason in damaged {
        let _ = writeln!(text, "damaged, will be done again: {reason}");
    }
    if !times.is_empty() {
        let bases: Vec<&str> = bases.into_iter().map(Basis::as_str).collect();
        let _ = writeln!(
            text,
            "estimated time: {} with {workers} workers, from {}",
            duration_text(makespan(&times, workers)),
            bases.join("; ")
        );
    }
    if verbose { text + &cells } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixture::EXPERIMENT;
    use mmcollapse_record::Preset;
    use mmcollapse_run::models::ModelResolver;
    use mmcollapse_run::plan::Selection;

    #[test]
    fn rows_are_summed_and_cells_come_with_verbose() {
        let selection = Selection::default();
        let plan = Plan::new(&EXPERIMENT, Preset::Smoke, &selection, &mut ModelResolver::new(true)).unwrap();
        let mut missing: BTreeSet<usize> = (0..plan.cells.len()).collect();
        missing.retain(|place| plan.cells[*place].row.name != "concat" && *place != 7);
        let text = |verbose| rows(&plan, &missing, &["x".to_owned()], 2, verbose, |_| (30.0, Basis::Spec));
        let expected = "\
table4 (smoke): 24 cells, 7 in the store, 17 to train
  row          cells  in the store  to train  time on one worker
  concat           6             6         0  –
  concat+ebr       6             1         5  2 min
  shaspec          6             0         6  3 min
  shaspec+ebr      6             0         6  3 min
damaged, will be done again: x
estimated time: 4 min with 2 workers, from the spec's rough figures
";
        assert_eq!(text(false), expected);
        let (short, long) = (text(false), text(true));
        let cells = long.strip_prefix(short.as_str()).unwrap();
        assert_eq!(cells.lines().count(), plan.cells.len());
        assert!(
            cells.contains("concat+ebr, test_missing, seed 0: to train, about 30 s"),
            "{cells}"
        );
        assert!(cells.contains(": in the store"), "{cells}");
    }
}
