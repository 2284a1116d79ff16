//! Names of the curves that a run leaves beside its losses.

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
