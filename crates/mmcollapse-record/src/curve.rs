//! Names of the curves that a run leaves beside its losses.

use mmcollapse_probes::FeatureRole;

/// The curve of the task's loss, L_sem.
pub const SEMANTIC: &str = "semantic";

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

/// The modality of such a curve; none if it is another one.
pub fn neurons_of(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(NEURONS)?;
    let of_role = |role: FeatureRole| rest.strip_prefix(role.name())?.strip_prefix('_');
    Some(FeatureRole::ALL.into_iter().find_map(of_role).unwrap_or(rest))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_over_neurons_tells_its_modality() {
        for role in [None, Some(FeatureRole::Noise), Some(FeatureRole::Conjugate)] {
            assert_eq!(neurons_of(&neurons("sound", role)), Some("sound"));
        }
        assert_eq!(neurons_of(SEMANTIC), None);
    }
}
