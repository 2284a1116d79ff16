//! No reallocation: the fusion sees the encoders' output (the paper's "vanilla").

use serde::{Deserialize, Serialize};

use super::{Builder, Reallocation};
use crate::registry::{Entry, parse_for, resolve_as};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "none",
    summary: "the fusion sees the encoders' output as it is (vanilla)",
    reference: "Chaudhuri et al., ICML 2025, section 3",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        substitution: "none",
        uses: &[],
        make: |options, _| {
            let _: Config = parse_for("reallocation", "none", options)?;
            Ok(Box::new(Unchanged))
        },
    },
};

/// There is nothing to choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {}

struct Unchanged;

impl Reallocation for Unchanged {
    fn is_vanilla(&self) -> bool {
        true
    }
}
