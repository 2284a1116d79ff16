//! Whether a published result rests on the cells that today's code, spec and data would train.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use miette::Result;
use serde_json::Value;

use crate::cell::{Cell, canonical};
use crate::models::ModelResolver;
use crate::plan::{Plan, Resolver};
use crate::published::PublishedCells;

/// The state of a published result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It rests on all cells of today's plan, and they are published.
    Fresh,
    /// It rests on some cells of today's plan, and they are published.
    Incomplete {
        /// Cells that it lacks.
        missing: usize,
        /// Cells of the plan.
        of: usize,
    },
    /// It rests on other cells, or on cells that are not known, for this reason.
    Stale(String),
}

impl State {
    /// The state of a result that rests on the cells of these keys, where today's plan is `plan`.
    pub fn of(keys: &BTreeSet<String>, published: &PublishedCells, plan: &Plan) -> Self {
        let planned: BTreeSet<&str> = plan.cells.iter().map(|planned| planned.key.as_str()).collect();
        let moved: Vec<&str> = keys
            .iter()
            .map(String::as_str)
            .filter(|key| !planned.contains(key))
            .collect();
        if !moved.is_empty() {
            let parts = parts(&moved, published, plan);
            return Self::Stale(format!("{} of {} keys moved ({parts})", moved.len(), keys.len()));
        }
        let unpublished = keys.iter().filter(|key| !published.has(key)).count();
        if unpublished > 0 {
            let path = published.path().display();
            return Self::Stale(format!("{unpublished} of its {} cells are not in {path}", keys.len()));
        }
        match planned.len() - keys.len() {
            0 => Self::Fresh,
            missing => Self::Incomplete {
                missing,
                of: planned.len(),
            },
        }
    }

    /// The state in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Incomplete { .. } => "incomplete",
            Self::Stale(_) => "stale",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())?;
        match self {
            Self::Fresh => Ok(()),
            Self::Incomplete { missing, of } => write!(formatter, ": {missing} of {of} cells are missing"),
            Self::Stale(reason) => write!(formatter, ": {reason}"),
        }
    }
}

/// Which part of the cells moved, with the number of cells each: `12 revision, 3 data`.
fn parts(moved: &[&str], published: &PublishedCells, plan: &Plan) -> String {
    let config = |cell: &Cell| canonical(&cell.config);
    let mut by_data = BTreeSet::new();
    let mut by_revision = BTreeSet::new();
    for planned in &plan.cells {
        let config = config(&planned.cell);
        by_data.insert((config.clone(), planned.cell.data_digest.as_str()));
        by_revision.insert((config, planned.cell.revision.as_str()));
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for key in moved {
        let part = published.cell(key).map_or("not known", |cell| {
            if by_data.contains(&(config(cell), &cell.data_digest)) {
                "revision"
            } else if by_revision.contains(&(config(cell), &cell.revision)) {
                "data"
            } else {
                "configuration"
            }
        });
        *counts.entry(part).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(part, cells)| format!("{cells} {part}")).collect();
    counts.join(", ")
}

/// Resolves as a [`ModelResolver`] does. Digests of data that are not at hand are those of published cells.
pub struct Recorded<'a> {
    resolver: &'a mut ModelResolver,
    digests: BTreeMap<(String, u64), String>,
    not_at_hand: BTreeSet<String>,
}

impl<'a> Recorded<'a> {
    /// A resolver beside published cells.
    pub fn new(resolver: &'a mut ModelResolver, published: &PublishedCells) -> Self {
        let digest = |cell: &Cell| {
            let dataset = cell.config["dataset"].as_str()?.to_owned();
            Some(((dataset, cell.seed()?), cell.data_digest.clone()))
        };
        Self {
            resolver,
            digests: published.cells().filter_map(digest).collect(),
            not_at_hand: BTreeSet::new(),
        }
    }

    /// The data sets that were not at hand.
    pub fn not_at_hand(&self) -> &BTreeSet<String> {
        &self.not_at_hand
    }
}

impl Resolver for Recorded<'_> {
    fn resolve(&self, config: Value) -> Result<(Value, String), String> {
        self.resolver.resolve(config)
    }

    fn data_digest(&mut self, dataset: &str, seed: u64) -> Result<String> {
        if !self.not_at_hand.contains(dataset) {
            if let Ok(digest) = self.resolver.data_digest(dataset, seed) {
                return Ok(digest);
            }
            self.not_at_hand.insert(dataset.to_owned());
        }
        let recorded = self.digests.get(&(dataset.to_owned(), seed));
        // A seed that was never published: whatever its key, it is missing.
        Ok(recorded.cloned().unwrap_or_default())
    }

    fn planned(&mut self) {
        self.resolver.planned();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mmcollapse_record::Preset;

    use super::*;
    use crate::plan::{Planned, Selection};
    use crate::store::Store;
    use crate::tuning::fixture::{EXPERIMENT, put};

    fn plan() -> Plan {
        let selection = Selection::default();
        Plan::new(&EXPERIMENT, Preset::Smoke, &selection, &mut ModelResolver::new(true)).unwrap()
    }

    /// Published cells of a plan, and their keys.
    fn published(results: &Path, plan: &Plan) -> (PublishedCells, BTreeSet<String>) {
        let store = Store::new(&results.join("runs"));
        plan.cells.iter().for_each(|planned| put(&store, planned, None, 0.5));
        let mut published = PublishedCells::read(results, "table4", "smoke").unwrap();
        published.update(plan, &store).unwrap();
        let keys = plan.cells.iter().map(|planned| planned.key.as_str().to_owned());
        (published, keys.collect())
    }

    fn changed(change: impl Fn(&mut Planned)) -> Plan {
        let mut plan = plan();
        for planned in &mut plan.cells {
            change(planned);
            planned.key = planned.cell.key();
        }
        plan
    }

    #[test]
    fn a_result_is_fresh_incomplete_or_stale() {
        let folder = tempfile::tempdir().unwrap();
        let (published, keys) = published(folder.path(), &plan());
        let says = |keys: &BTreeSet<String>, plan: &Plan| State::of(keys, &published, plan).to_string();
        assert_eq!(says(&keys, &plan()), "fresh");
        let some: BTreeSet<String> = keys.iter().skip(5).cloned().collect();
        assert_eq!(says(&some, &plan()), "incomplete: 5 of 24 cells are missing");

        let revision = changed(|planned| {
            if planned.row.name == "concat" {
                planned.cell.revision.push('1');
            }
        });
        assert_eq!(says(&keys, &revision), "stale: 6 of 24 keys moved (6 revision)");
        let several = changed(|planned| match planned.seed {
            0 => planned.cell.data_digest.push('1'),
            _ => planned.cell.config["training"]["epochs"] = 77.into(),
        });
        assert_eq!(
            says(&keys, &several),
            "stale: 24 of 24 keys moved (12 configuration, 12 data)"
        );
        // Of a cell that is no longer published only the key is known.
        let mut other = keys.clone();
        other.insert("0".repeat(64));
        assert_eq!(says(&other, &plan()), "stale: 1 of 25 keys moved (1 not known)");
        let nothing = PublishedCells::read(&folder.path().join("none"), "table4", "smoke").unwrap();
        let state = State::of(&keys, &nothing, &plan()).to_string();
        assert!(state.starts_with("stale: 24 of its 24 cells are not in "), "{state}");
    }

    /// Without the data, keys are compared by the digests that are published.
    #[test]
    fn data_that_are_not_at_hand_have_their_published_digests() {
        let folder = tempfile::tempdir().unwrap();
        let (published, _) = published(folder.path(), &plan());
        let mut models = ModelResolver::new(true);
        let mut recorded = Recorded::new(&mut models, &published);
        let own = recorded.data_digest("planted", 1).unwrap();
        assert_eq!(own, plan().cells.iter().find(|c| c.seed == 1).unwrap().cell.data_digest);
        assert!(recorded.not_at_hand().is_empty());
        recorded
            .digests
            .insert(("no-such-data".to_owned(), 1), "kept".to_owned());
        assert_eq!(recorded.data_digest("no-such-data", 1).unwrap(), "kept");
        assert_eq!(recorded.data_digest("no-such-data", 2).unwrap(), "");
        assert_eq!(recorded.not_at_hand().len(), 1);
    }
}
