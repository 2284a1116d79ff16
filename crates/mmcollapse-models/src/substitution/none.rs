//! Nothing stands in: the fusion deals with the missing modality in its own way (concat sees zeros).

use mmcollapse_nn::Result as TensorResult;
use serde::{Deserialize, Serialize};

use super::{Builder, Substitution};
use crate::{
    encodings::Encodings,
    reallocation::Reallocation,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "none",
    summary: "nothing stands in; the fusion deals with what is missing",
    reference: "each fusion's own rule; zeros in Table 6 of Chaudhuri et al., ICML 2025",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: |options, _| {
        let _: Config = parse_for("substitution", "none", options)?;
        Ok(Box::new(Nothing))
    },
};

/// There is nothing to choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {}

struct Nothing;

impl Substitution for Nothing {
    fn stand_in(&self, _: &mut Encodings, _: &dyn Reallocation) -> TensorResult<()> {
        Ok(())
    }
}
