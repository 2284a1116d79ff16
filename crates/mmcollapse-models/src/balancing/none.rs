//! No balancing: every training sample is seen with the modalities that it has.

use serde::{Deserialize, Serialize};

use super::{Balancing, Builder};
use crate::registry::{Entry, parse_for, resolve_as};

/// Its name, which a cell says to be without the balancing that its fusion brings along.
pub(crate) const NAME: &str = "none";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "training sees what each sample has",
    reference: "none",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: |options, _| {
        let _: Config = parse_for("balancing", NAME, options)?;
        Ok(Box::new(Unchanged))
    },
};

/// There is nothing to choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {}

struct Unchanged;

impl Balancing for Unchanged {}
