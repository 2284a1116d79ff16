//! The keys of cells: a key that moves means that its cell is trained anew, so none moves by accident.

#![cfg(feature = "train")]

use std::fmt::Write as _;

use miette::Result;
use mmcollapse_experiments::EXPERIMENTS;
use mmcollapse_run::models::ModelResolver;
use mmcollapse_run::plan::{Plan, Resolver, Selection};
use mmcollapse_run::spec::Spec;
use serde_json::Value;

/// The keys as they were. An experiment that is not among them is new: nobody has trained its cells.
const KEPT: &str = include_str!("snapshots/keys__keys.snap");

/// Keys shown of each plan; all of them go into its digest.
const SHOWN: usize = 4;

/// A data set's name in the place of its digest: keys then depend on nothing but code and specs.
struct NoData(ModelResolver);

impl Resolver for NoData {
    fn resolve(&self, config: Value) -> Result<(Value, String), String> {
        self.0.resolve(config)
    }

    fn data_digest(&mut self, dataset: &str, _seed: u64) -> Result<String> {
        Ok(dataset.to_owned())
    }
}

/// A line that starts with the name of a new experiment, added to the file by hand, has its keys written there as well.
///
/// After a change that is meant to move keys (a new revision, another default), look at the difference and accept it with
/// `cargo insta review`, or by renaming `keys.snap.new`.
#[test]
fn keys_of_cells_do_not_move() {
    let mut text = String::new();
    let is_kept = |name: &str| KEPT.lines().any(|line| line.starts_with(&format!("{name} ")));
    for experiment in EXPERIMENTS.iter().filter(|experiment| is_kept(experiment.name)) {
        let spec = Spec::of(experiment).unwrap();
        for preset in spec.presets.keys() {
            let mut resolver = NoData(ModelResolver::new(true));
            let plan = Plan::new(experiment, *preset, &Selection::default(), &mut resolver).unwrap();
            let keys: Vec<&str> = plan.cells.iter().map(|planned| planned.key.as_str()).collect();
            let all = mmcollapse_files::sha256(keys.join("\n"));
            let _ = writeln!(
                text,
                "{} {preset}: {} cells, {}",
                experiment.name,
                keys.len(),
                &all[..16]
            );
            for shown in 0..SHOWN {
                let place = shown * keys.len() / SHOWN;
                let _ = writeln!(text, "  {place} {} {}", plan.cells[place].row.name, &keys[place][..16]);
            }
        }
    }
    insta::assert_snapshot!("keys", text);
}
