//! Every encoder starts as it was trained alone; nothing else is done.
//!
//! A control, not a method: KD and EBR (`trained_encoders`) start so too, and what that gives by itself is not theirs.

use serde::{Deserialize, Serialize};

use super::{ALONE, Builder, Placed, Prepared, Reallocation, Workbench};
use crate::{
    error::Result,
    registry::{Entry, Sampler, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "trained_encoders",
    summary: "every encoder starts as it was trained alone (a control)",
    reference: "ours; what KD and EBR have beside their losses",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[("freeze", Sampler::EITHER)],
    build: Builder {
        substitution: "none",
        uses: &[],
        make: |options, _| {
            let config: Config = parse_for("reallocation", "trained_encoders", options)?;
            Ok(Box::new(TrainedEncoders { config }))
        },
    },
};

/// Options of [`TrainedEncoders`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Whether the encoders stay as they are in the multimodal model.
    freeze: bool,
}

struct TrainedEncoders {
    config: Config,
}

impl Reallocation for TrainedEncoders {
    fn prepare(&mut self, bench: &mut dyn Workbench) -> Result<Prepared> {
        Ok(Prepared {
            placed: placed(bench, self.config.freeze)?,
            ..Prepared::default()
        })
    }
}

/// Trains every encoder alone, to take the place of the model's fresh ones.
///
/// # Errors
/// See [`crate::run_cell`].
pub(super) fn placed(bench: &mut dyn Workbench, freeze: bool) -> Result<Vec<Placed>> {
    bench.alone()?;
    let of = |name: &String| Placed {
        path: format!("encoder.{name}"),
        kept: ALONE.to_owned(),
        freeze,
    };
    Ok(bench.modalities().iter().map(of).collect())
}
