//! What has to be trained or measured of a plan, how long it will take, and the training itself, seed by seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use miette::{IntoDiagnostic, Result};
use mmcollapse_nn::device::DeviceChoice;

use crate::models::ModelResolver;
use crate::plan::{Plan, Planned};
use crate::progress::{Basis, Estimator, Expectation, Progress};
use crate::published::PublishedCells;
use crate::rounds::{LAST, Rounds, Show, late_rows};
use crate::runner::{Engine, Job, Summary};
use crate::store::{Found, Store, StoreError};

/// What all measurings have in common for estimates of time.
const MEASURING: &str = "measuring";

/// Seconds of one, roughly: loading the weights and a few passes over the test samples.
const MEASURING_SECONDS: f64 = 2.0;

/// The cells of a plan that a store does not have, or not with all their measures.
pub struct Pending<'a> {
    plan: &'a Plan,
    /// Places in the plan of the cells to be trained; a cell that stands there twice is trained once.
    missing: BTreeSet<usize>,
    /// Places of finished cells that lack a measure and have their weights.
    unmeasured: BTreeSet<usize>,
    /// Damaged outcomes among them, as found.
    damaged: Vec<String>,
    /// Cells that the store lacks and that are published.
    published: usize,
    estimator: Estimator,
}

/// How a training ended.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The names of its cells.
    pub labels: Vec<String>,
    /// What became of each.
    pub summary: Summary,
    /// Seconds that it took.
    pub seconds: f64,
}

impl<'a> Pending<'a> {
    /// Looks up each cell of a plan.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn of(plan: &'a Plan, store: &Store) -> Result<Self, StoreError> {
        Self::beside(plan, store, None, &store.durations())
    }

    /// Looks up each cell of a plan; what a store lacks and `published` has is not missing. `durations`: see
    /// [`Store::durations`].
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn beside(
        plan: &'a Plan,
        store: &Store,
        published: Option<&PublishedCells>,
        durations: &BTreeMap<String, Vec<f64>>,
    ) -> Result<Self, StoreError> {
        let mut estimator = Estimator::default();
        let mut missing = BTreeSet::new();
        let mut damaged = Vec::new();
        let mut is_published = 0;
        let mut unmeasured = BTreeSet::new();
        let mut kinds = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for (place, planned) in plan.cells.iter().enumerate() {
            let kind = planned.cell.kind();
            if let (Some(seconds), true) = (durations.get(&kind), kinds.insert(kind.clone())) {
                for seconds in seconds {
                    estimator.add(&kind, *seconds, planned.rough_seconds);
                }
            }
            if !seen.insert(&planned.key) {
                continue;
            }
            match store.find(&planned.key)? {
                Found::Whole(stored) => {
                    let lacking = planned.cell.lacking(&stored.outcome, &planned.measures);
                    if !lacking.is_empty() && store.has_weights(&stored.outcome) {
                        unmeasured.insert(place);
                    }
                }
                _ if published.is_some_and(|published| published.has(planned.key.as_str())) => is_published += 1,
                Found::Missing => drop(missing.insert(place)),
                Found::Damaged(reason) => {
                    missing.insert(place);
                    damaged.push(format!("{}: {reason}", planned.label()));
                }
            }
        }
        Ok(Self {
            plan,
            missing,
            unmeasured,
            damaged,
            published: is_published,
            estimator,
        })
    }

    /// Whether nothing has to be done.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unmeasured.is_empty()
    }

    /// Places in the plan of finished cells that lack a measure, which is measured from their weights.
    pub fn unmeasured(&self) -> &BTreeSet<usize> {
        &self.unmeasured
    }

    /// Their places in the plan.
    pub fn missing(&self) -> &BTreeSet<usize> {
        &self.missing
    }

    /// Cells that are not missing as they are published, though the store lacks them.
    pub fn published(&self) -> usize {
        self.published
    }

    /// Damaged outcomes among them, in words.
    pub fn damaged(&self) -> &[String] {
        &self.damaged
    }

    /// Seconds that a cell is expected to take, and what that rests on.
    pub fn estimate(&self, planned: &Planned) -> (f64, Basis) {
        self.estimator.seconds(&planned.cell.kind(), planned.rough_seconds)
    }

    /// Whether they can be trained.
    ///
    /// # Errors
    /// Why some of them cannot.
    pub fn check(&self, resolver: &mut ModelResolver) -> Result<()> {
        let experiment = format!("{} ({})", self.plan.experiment, self.plan.preset);
        resolver.check(&experiment, self.cells())
    }

    /// The cells to be trained.
    pub fn cells(&self) -> impl Iterator<Item = &'a Planned> {
        self.missing.iter().map(|place| &self.plan.cells[*place])
    }

    /// Every cell to be done, and whether it is to be measured only.
    fn work(&self) -> impl Iterator<Item = (&'a Planned, bool)> {
        let measured = self.unmeasured.iter().map(|place| (&self.plan.cells[*place], true));
        self.cells().map(|planned| (planned, false)).chain(measured)
    }

    /// Trains and measures them, seed by seed. With `show`, what is complete is shown after every seed but the last.
    /// `workers` train at the same time, as far as is known.
    pub fn train(&self, engine: &(dyn Engine + Sync), workers: usize, show: Option<Show<'_>>) -> Trained {
        let late = late_rows(self.plan);
        let jobs: Vec<Job> = self
            .work()
            .map(|(planned, is_measured)| Job {
                cell: planned.cell.clone(),
                measures: planned.measures.clone(),
                label: planned.label(),
                round: if late.contains(planned.row.name.as_str()) {
                    LAST
                } else {
                    planned.seed
                },
                estimate: if is_measured {
                    MEASURING_SECONDS
                } else {
                    self.estimate(planned).0
                },
            })
            .collect();
        let expectations = self
            .work()
            .map(|(planned, is_measured)| {
                let (kind, rough) = if is_measured {
                    (MEASURING.to_owned(), MEASURING_SECONDS)
                } else {
                    (planned.cell.kind(), planned.rough_seconds)
                };
                Expectation {
                    label: planned.label(),
                    kind,
                    rough,
                }
            })
            .collect();
        let progress = Progress::new(expectations, workers, self.estimator.clone());
        let started = Instant::now();
        let summary = match show {
            None => engine.run(&jobs, &progress),
            Some(show) => {
                let (sender, settled) = mpsc::channel();
                let rounds = Rounds::new(&progress, jobs.iter().map(|job| job.round).collect(), sender);
                thread::scope(|scope| {
                    let rounds = &rounds;
                    let shown = scope.spawn(move || rounds.show(settled, self.plan, show));
                    let summary = engine.run(&jobs, rounds);
                    rounds.end();
                    // It has no result to lose: what it could not show is made at the end.
                    let _ = shown.join();
                    summary
                })
            }
        };
        progress.close();
        Trained {
            labels: jobs.into_iter().map(|job| job.label).collect(),
            summary,
            seconds: started.elapsed().as_secs_f64(),
        }
    }
}

/// The device that `auto` means here, found out once so that all workers use the same; another one must open.
///
/// # Errors
/// A device that does not open.
pub fn settled(device: DeviceChoice) -> Result<DeviceChoice> {
    let opened = device.open().into_diagnostic()?;
    Ok(match device {
        DeviceChoice::Auto if opened.is_cpu() => DeviceChoice::Cpu,
        DeviceChoice::Auto => DeviceChoice::Cuda(0),
        named => named,
    })
}
