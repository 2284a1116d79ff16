//! Names of the curves that a run leaves beside its losses.

use mmcollapse_probes::FeatureRole;

/// What stands before the name of a group of features in [`neurons`].
const NEURONS: &str = "neurons_";

/// Name in the store of the shares that a modality's features, or those of a role, hold of each fusion neuron. It is a curve over
/// neurons, in one order for all groups of a run.
pub fn neurons(modality: &str, role: Option<FeatureRole>) -> String {
    match role {
        Some(role) => format!("{NEURONS}{}_{modality}", role.name()),
        None => format!("{NEURONS}{modality}"),
    }
}

/// Whether a curve is one over neurons.
pub fn is_over_neurons(name: &str) -> bool {
    name.starts_with(NEURONS)
}

/// Which of an encoder's two trainings is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// Inside the model.
    Prefix,
    /// Alone, on its own loss.
    Baseline,
}

impl Encoder {
    /// Name in frames and before a modality's in the store: `prefix`, `baseline`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prefix => "prefix",
            Self::Baseline => "baseline",
        }
    }

    /// Name of its curve in the store.
    pub fn curve(self, modality: &str) -> String {
        format!("probe_{}_{modality}", self.name())
    }
}
