//! Nothing stands in: for every pattern of modalities a model is trained on exactly those, what any stand-in aims at.

use mmcollapse_nn::Result as TensorResult;
use serde::{Deserialize, Serialize};

use super::{Builder, Substitution};
use crate::{
    encodings::Encodings,
    reallocation::Reallocation,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "target",
    summary: "for each pattern of modalities a model trained on exactly those: what a stand-in aims at (protocol patterns)",
    reference: "Chaudhuri et al., ICML 2025, Table 6",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: |options, _| {
        let _: Config = parse_for("substitution", "target", options)?;
        Ok(Box::new(Target))
    },
};

/// There is nothing to choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {}

struct Target;

impl Substitution for Target {
    fn retrains(&self) -> bool {
        true
    }

    fn stand_in(&self, _: &mut Encodings, _: &dyn Reallocation) -> TensorResult<()> {
        Ok(())
    }
}
