//! Rounds: cells are trained seed by seed, and what is complete is shown while the rest is trained.
//!
//! The first table, of one seed, is there long before the last cell. It is made on a thread of the runner's process; workers go
//! on meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, PoisonError};

use miette::Result;

use crate::plan::Plan;
use crate::progress::Progress;
use crate::runner::{Fate, Watcher};

/// Shows what there is of these seeds, all of whose cells are settled, and says in a line where; nothing where none of them has
/// an outcome.
pub type Show<'a> = &'a (dyn Fn(&BTreeSet<u64>) -> Result<Option<String>> + Sync);

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

    /// Has the settled seeds of a plan shown whenever one more is, until `settled` ends.
    pub(super) fn show(&self, settled: Receiver<()>, plan: &Plan, show: Show<'_>) {
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
                match show(&seeds) {
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
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use mmcollapse_record::Preset;

    use super::*;
    use crate::models::ModelResolver;
    use crate::plan::Selection;
    use crate::progress::{Estimator, Expectation};
    use crate::tuning::fixture::EXPERIMENT;

    fn plan() -> Plan {
        let selection = Selection::default();
        Plan::new(&EXPERIMENT, Preset::Smoke, &selection, &mut ModelResolver::new(true)).unwrap()
    }

    /// A seed is shown once all of its cells are settled, while others are trained; the last one is not.
    #[test]
    fn every_seed_but_the_last_is_shown_when_it_is_settled() {
        let plan = plan();
        let seeds: Vec<u64> = plan.cells.iter().map(|planned| planned.seed).collect();
        let expectations = plan.cells.iter().map(|planned| Expectation {
            label: planned.label(),
            kind: planned.cell.kind(),
            rough: 1.0,
        });
        let progress = Progress::new(expectations.collect(), 1, Estimator::default());
        let (sender, settled) = mpsc::channel();
        let rounds = Rounds::new(&progress, seeds.clone(), sender);
        let shown = Mutex::new(Vec::new());
        let show = |seeds: &BTreeSet<u64>| {
            shown.lock().unwrap().push(seeds.clone());
            Ok(Some("a table".to_owned()))
        };
        thread::scope(|scope| {
            let (rounds, plan) = (&rounds, &plan);
            let showing = scope.spawn(move || rounds.show(settled, plan, &show));
            for (job, _) in seeds.iter().enumerate().filter(|(_, seed)| **seed == 0) {
                assert!(shown.lock().unwrap().is_empty(), "shown before the first seed is whole");
                // One fails: the table does not wait for it for ever.
                let fate = match job {
                    0 => Fate::Failed("made up".into()),
                    _ => Fate::Done {
                        seconds: 1.0,
                        diverged: false,
                        elsewhere: false,
                    },
                };
                rounds.finished(job, &fate);
            }
            rounds.end();
            showing.join().unwrap();
        });
        assert_eq!(*shown.lock().unwrap(), [BTreeSet::from([0])]);
    }

    /// A row of few seeds, such as a training of many epochs, does not hold up the first table.
    #[test]
    fn rows_of_fewer_seeds_come_last() {
        let mut plan = plan();
        assert!(late_rows(&plan).is_empty());
        plan.cells
            .retain(|planned| planned.row.name != "concat" || planned.seed == 0);
        assert_eq!(late_rows(&plan), BTreeSet::from(["concat"]));
    }
}
