//! A missing modality is an encoding of zeros that the fusion takes for a modality that is there.

use mmcollapse_nn::Result as TensorResult;
use serde::{Deserialize, Serialize};

use super::{Builder, Substitution, fill};
use crate::{
    encodings::Encodings,
    reallocation::Reallocation,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "zeros",
    summary: "a missing modality is an encoding of zeros, told to the fusion as present",
    reference: "Chaudhuri et al., ICML 2025, Table 6",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: |options, _| {
        let _: Config = parse_for("substitution", "zeros", options)?;
        Ok(Box::new(Zeros))
    },
};

/// There is nothing to choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {}

struct Zeros;

impl Substitution for Zeros {
    fn stand_in(&self, encodings: &mut Encodings, _: &dyn Reallocation) -> TensorResult<()> {
        let had = encodings.present.clone();
        for modality in 0..encodings.z.len() {
            let width = encodings.z[modality].dim(1)?;
            fill(encodings, modality, &had, |_| Ok(Some(vec![0.0; width])))?;
        }
        Ok(())
    }
}
