//! An experiment as its folder holds it: the spec, and the numbers that the paper prints.

/// One table or figure of the paper; `experiments/lib.rs` lists them all in one static slice.
#[derive(Clone, Copy, Debug)]
pub struct ExperimentInfo {
    /// Name of its folder and on the command line, for example `table4`.
    pub name: &'static str,
    /// What it shows, in one line.
    pub title: &'static str,
    /// Text of its `spec.yaml`.
    pub spec: &'static str,
    /// Text of its `paper.yaml`.
    pub paper: &'static str,
    /// Whether accuracy against missing rate is drawn; a single rate makes no curve.
    pub figure: bool,
}

impl ExperimentInfo {
    /// Where its spec lies in the repository, for error messages.
    pub fn spec_path(&self) -> String {
        format!("experiments/{}/spec.yaml", self.name)
    }

    /// Where the paper's numbers lie in the repository, for error messages.
    pub fn paper_path(&self) -> String {
        format!("experiments/{}/paper.yaml", self.name)
    }
}
