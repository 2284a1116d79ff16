//! A table after every seed: what is complete is shown while the rest is trained.
//!
//! Cells are trained seed by seed, so that the first table, of one seed, is there long before the last cell. It is made on a
//! thread of the runner's process; workers go on meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, PoisonError};

use miette::Result;

use super::run::{Showing, gather};
use mmcollapse_run::plan::Plan;
use mmcollapse_run::progress::Progress;
use mmcollapse_run::runner::{Fate, Watcher};
use mmcollapse_run::store::Store;

/// The round of cells that no table of a seed waits for.
pub(super) const LAST: u64 = u64::MAX;

/// Rows that have fewer seeds than others of the plan: a long training that is shown once, say. The first table does not wait
/// for them.
pub(super) fn late_rows(plan: &Plan) -> BTreeSet<&str> {
    let mut seeds: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for planned in &plan.cells {
        seeds.entry(&planned.row.name).or_default().insert(planned.seed);
    }
    let most = seeds.values().map(BTreeSet::len).max();
    seeds.retain(|_, of_row| Some(of_row.len()) < most);
    seeds.into_keys().collect()
}

/// Watches a run and says when all cells of a seed are settled: done or failed.
pub(super) struct Rounds<'a> {
    progress: &'a Progress,
    /// Seed of each job, or [`LAST`].
    seeds: Vec<u64>,
    left: Mutex<BTreeMap<u64, usize>>,
    settled: Mutex<Option<Sender<()>>>,
}

impl<'a> Rounds<'a> {
    /// A watcher that tells `progress` everything, and `settled` when a seed is; `seeds` has that of each job.
    pub(super) fn new(progress: &'a Progress, seeds: Vec<u64>, settled: Sender<()>) -> Self {
        let mut left = BTreeMap::new();
        for seed in &seeds {
            *left.entry(*seed).or_default() += 1;
        }
        Self {
            progress,
            seeds,
            left: Mutex::new(left),
            settled: Mutex::new(Some(settled)),
        }
    }

    /// Says that the run is over.
    pub(super) fn end(&self) {
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The seeds that have cells to be settled.
    fn open(&self) -> BTreeSet<u64> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.keys().copied().collect()
    }

    /// Shows the settled seeds of a plan anew whenever one more is, until `settled` ends.
    pub(super) fn show(&self, settled: Receiver<()>, plan: &Plan, store: &Store, showing: &Showing<'_>) {
        let all: BTreeSet<u64> = plan.cells.iter().map(|planned| planned.seed).collect();
        let mut shown = 0;
        loop {
            // Several may have been settled while the last table was made.
            while settled.try_recv().is_ok() {}
            let open = self.open();
            let seeds: BTreeSet<u64> = all.difference(&open).copied().collect();
            // The whole is shown at the end, with what was trained before.
            if seeds.len() > shown && !open.is_empty() {
                shown = seeds.len();
                match of_seeds(plan, &seeds, all.len(), store, showing) {
                    Ok(Some(text)) => self
                        .progress
                        .note(&format!("{text}; {} for the rest", self.progress.time_left())),
                    Ok(None) => {}
                    // The run goes on: what was trained is in the store.
                    Err(error) => self
                        .progress
                        .note(&format!("cannot make the table of {} seeds: {error:?}", seeds.len())),
                }
            }
            if settled.recv().is_err() {
                return;
            }
        }
    }
}

/// Makes the table of these seeds, `of` so many in all, and says in a line where it is; nothing where they have no outcome.
fn of_seeds(
    plan: &Plan,
    seeds: &BTreeSet<u64>,
    of: usize,
    store: &Store,
    showing: &Showing<'_>,
) -> Result<Option<String>> {
    let gathered = gather(plan, store)?.of_seeds(seeds);
    if gathered.records.is_empty() {
        return Ok(None);
    }
    let shown = showing.show(plan, &gathered, false)?;
    let table = shown.folder.join("table.md");
    Ok(Some(line(
        &plan.experiment,
        seeds.len(),
        of,
        &table,
        shown.kept.as_deref(),
    )))
}

/// `Table 4, n = 1 of 10: results/table4/quick/table.md`.
fn line(experiment: &str, n: usize, of: usize, table: &Path, kept: Option<&str>) -> String {
    let kept = kept.map_or_else(String::new, |kept| format!(" ({kept})"));
    format!("{}, n = {n} of {of}: {}{kept}", name(experiment), table.display())
}

/// What the paper calls the experiment's table or figure, else the experiment's own name.
fn name(experiment: &str) -> String {
    let of_paper = [("table", "Table"), ("fig", "Figure")]
        .into_iter()
        .find_map(|(short, long)| {
            let number = experiment.strip_prefix(short)?;
            number.parse::<u32>().is_ok().then(|| format!("{long} {number}"))
        });
    of_paper.unwrap_or_else(|| experiment.to_owned())
}

impl Watcher for Rounds<'_> {
    fn started(&self, slot: usize, job: usize) {
        self.progress.started(slot, job);
    }

    fn epoch(&self, slot: usize, stage: &str, epoch: usize, epochs: usize) {
        self.progress.epoch(slot, stage, epoch, epochs);
    }

    fn left(&self, slot: usize) {
        self.progress.left(slot);
    }

    fn finished(&self, job: usize, fate: &Fate) {
        self.progress.finished(job, fate);
        if *fate == Fate::Unfinished {
            return;
        }
        let seed = self.seeds[job];
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = left.get_mut(&seed) {
            *count -= 1;
            if *count == 0 {
                left.remove(&seed);
                drop(left);
                let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
                // Nobody listens where the tables' thread has ended, and then there is nothing to show.
                let _ = settled.as_ref().map(|settled| settled.send(()));
            }
        }
    }

    fn note(&self, text: &str) {
        self.progress.note(text);
    }
}

#[cfg(test)]
mod tests;
