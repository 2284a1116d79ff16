//! From the store to the report: the records of a plan, and where a result that rests on them comes from.

use std::collections::BTreeSet;
use std::path::Path;

use miette::Result;
use mmcollapse_record::{OriginCount, Preset, Provenance, Record, TunedBy, count_origins};

use crate::plan::Plan;
use crate::provenance::{Build, VERSION};
use crate::published::{PublishedCells, PublishedCellsError};
use crate::spec::Spec;
use crate::store::{Found, Store, StoreError, Stored, wall_seconds};

/// What the store has of a plan.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// What tables and figures are made of.
    pub records: Vec<Record>,
    stored: Vec<Stored>,
}

impl Gathered {
    /// Reads the outcomes of a plan, in its order; what is not there is left out.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn of(plan: &Plan, store: &Store) -> Result<Self, StoreError> {
        Self::beside(plan, store, None)
    }

    /// The same, with what the store lacks taken from published cells. Nothing is written.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn beside(plan: &Plan, store: &Store, published: Option<&PublishedCells>) -> Result<Self, StoreError> {
        let mut gathered = Self::default();
        for planned in &plan.cells {
            let stored = match store.find(&planned.key)? {
                Found::Whole(stored) => Some(*stored),
                _ => published.and_then(|cells| cells.stored(planned.key.as_str())).cloned(),
            };
            if let Some(stored) = stored {
                gathered.records.push(planned.record(stored.outcome.clone()));
                gathered.stored.push(stored);
            }
        }
        Ok(gathered)
    }

    /// What of it is of these seeds.
    #[must_use]
    pub fn of_seeds(self, seeds: &BTreeSet<u64>) -> Self {
        let both = self.records.into_iter().zip(self.stored);
        let (records, stored) = both.filter(|(record, _)| seeds.contains(&record.seed)).unzip();
        Self { records, stored }
    }

    /// Where a result comes from that rests on this of a plan.
    pub fn provenance(&self, plan: &Plan, conditions: &Conditions, command: &str) -> Provenance {
        let seeds: BTreeSet<u64> = self.records.iter().map(|record| record.seed).collect();
        let planned: BTreeSet<u64> = plan.cells.iter().map(|planned| planned.seed).collect();
        let all = plan.whole.cells.max(plan.cells.len());
        let missing = all.saturating_sub(self.records.len());
        let cells = self.records.iter().zip(&self.stored);
        let origins = count_origins(cells.map(|(record, stored)| (&stored.origin, Some(record.row.to_string()))));
        let Conditions {
            dataset,
            synthetic,
            excerpt,
            tuned,
        } = conditions.clone();
        Provenance {
            dataset,
            synthetic,
            excerpt,
            tuned,
            missing,
            preset_seeds: (missing > 0).then_some(plan.whole.seeds.max(planned.len())),
            ..provenance(plan, command.to_owned(), &self.stored, origins, seeds.len())
        }
    }
}

/// Where a result that rests on these cells of a plan comes from.
pub fn provenance(
    plan: &Plan,
    command: String,
    stored: &[Stored],
    origins: Vec<OriginCount>,
    seeds: usize,
) -> Provenance {
    let build = Build::here();
    Provenance {
        experiment: plan.experiment.clone(),
        preset: plan.preset,
        command,
        commit: build.commit(),
        commit_not_known: build.why_not_known(),
        version: VERSION.to_owned(),
        data: plan.data.clone(),
        synthetic: None,
        excerpt: None,
        cells: stored.len(),
        missing: plan.cells.len().saturating_sub(stored.len()),
        seeds,
        preset_seeds: None,
        more_complete: None,
        origins,
        cell_seconds: stored.iter().map(|stored| stored.outcome.seconds).sum(),
        wall_seconds: wall_seconds(stored),
        tuned: None,
        dataset: None,
        overlap: None,
        external: None,
    }
}

/// Data and settings of a result where they are not those of the paper's numbers and of the spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// The data set, if the paper's numbers are of another one.
    pub dataset: Option<String>,
    /// What is to be said of the data, if they are synthetic.
    pub synthetic: Option<String>,
    /// The sentence that says of which data set this one is an excerpt, if it is one.
    pub excerpt: Option<String>,
    /// How settings were chosen, if they are not the spec's own.
    pub tuned: Option<TunedBy>,
}

impl Conditions {
    /// Those of a plan that was made of a spec.
    ///
    /// # Errors
    /// A data set that is not known.
    pub fn of(spec: &Spec, plan: &Plan, tuned: Option<TunedBy>) -> Result<Self> {
        let mut synthetic = None;
        for name in plan.data.keys() {
            synthetic = synthetic.or(mmcollapse_data::find(name)?.synthetic());
        }
        // The paper's data set by name, but planted tables in its place.
        let planted = synthetic.is_some() && spec.paper_dataset.is_some();
        let dataset = spec.other_dataset().or(planted.then_some(&spec.dataset));
        let excerpt = dataset.and_then(|name| mmcollapse_data::find(name).ok()?.excerpt());
        Ok(Self {
            dataset: dataset.map(str::to_owned),
            synthetic: synthetic.map(str::to_owned),
            excerpt: excerpt.map(str::to_owned),
            tuned,
        })
    }

    /// The folder of a result in that of its experiment.
    pub fn folder(&self, preset: Preset) -> String {
        preset.folder(self.dataset.as_deref(), self.tuned.is_some())
    }

    /// The cells that are published beside the result of a plan.
    ///
    /// # Errors
    /// Those of [`PublishedCells::read`].
    pub fn cells(&self, plan: &Plan, results: &Path) -> Result<PublishedCells, PublishedCellsError> {
        PublishedCells::read(results, &plan.experiment, &self.folder(plan.preset))
    }
}
