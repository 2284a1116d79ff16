//! Samples in memory: one row of numbers per modality, a label, a name; and the three splits.

use sha2::{Digest, Sha256};

use crate::content::hex;

/// Name and shape of one modality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModalitySpec {
    /// Name as specs and tables write it, for example `image`.
    pub name: String,
    /// Shape of one sample, for example `[1, 28, 28]`.
    pub shape: Vec<usize>,
}

impl ModalitySpec {
    /// A modality called `name` whose samples have `shape`.
    pub fn new(name: impl Into<String>, shape: &[usize]) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
        }
    }

    /// Numbers in one sample: the product of the shape.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Labelled samples with every modality present; what is missing is said by a [`crate::Presence`] beside them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Where each sample comes from, unique within the data set.
    pub ids: Vec<String>,
    /// Per modality the samples one after the other, row-major `[n, shape..]`.
    pub inputs: Vec<Vec<f32>>,
    /// Class of each sample.
    pub labels: Vec<u32>,
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Input of sample `i` in `modality`, row-major in the modality's shape.
    ///
    /// # Panics
    /// When `modality` or `i` is out of range, as slices do.
    pub fn row(&self, modality: usize, i: usize) -> &[f32] {
        let inputs = &self.inputs[modality];
        let width = inputs.len() / self.labels.len();
        &inputs[i * width..(i + 1) * width]
    }

    /// The samples at `index`, in that order; an index may occur more than once.
    ///
    /// # Panics
    /// When an index is out of range, as slices do.
    #[must_use]
    pub fn select(&self, index: &[usize]) -> Self {
        let inputs = (0..self.inputs.len()).map(|m| index.iter().flat_map(|&i| self.row(m, i)).copied().collect());
        Self {
            ids: index.iter().map(|&i| self.ids[i].clone()).collect(),
            inputs: inputs.collect(),
            labels: index.iter().map(|&i| self.labels[i]).collect(),
        }
    }

    /// Samples of each class, `classes` long.
    pub fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }

    fn hash_into(&self, hash: &mut Sha256) {
        hash.update((self.len() as u64).to_le_bytes());
        for (id, label) in self.ids.iter().zip(&self.labels) {
            hash.update(id.as_bytes());
            hash.update([0]);
            hash.update(label.to_le_bytes());
        }
        let mut bytes = Vec::new();
        for input in &self.inputs {
            bytes.clear();
            bytes.extend(input.iter().flat_map(|x| x.to_le_bytes()));
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(&bytes);
        }
    }
}

/// The test samples, behind a door.
///
/// Everything that selects (early stopping, the choice of an epoch, a ranking) takes `&Samples`. The test split is
/// another type, so it does not fit there by accident; the one place that scores a finished model opens it.
#[derive(Clone, Debug, PartialEq)]
pub struct TestSplit(Samples);

impl TestSplit {
    /// Closes `samples` into a test split.
    pub fn new(samples: Samples) -> Self {
        Self(samples)
    }

    /// The samples, for scoring a model after every choice has been made.
    pub fn for_final_evaluation(&self) -> &Samples {
        &self.0
    }

    /// Number of test samples.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no test sample.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A data set, cut and ready: what the training loop is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Name in the registry.
    pub name: String,
    /// The modalities, in the order of [`Samples::inputs`].
    pub modalities: Vec<ModalitySpec>,
    /// Number of classes.
    pub classes: usize,
    /// Name of each class.
    pub class_names: Vec<String>,
    /// What is trained on.
    pub train: Samples,
    /// What choices are made on; cut from the source's training part.
    pub validation: Samples,
    /// What the finished model is scored on.
    pub test: TestSplit,
    /// sha256 of everything above except the name, in lower-case hex; part of the key of every result.
    pub digest: String,
}

impl Dataset {
    /// Puts the parts together and computes their digest.
    pub fn new(
        name: impl Into<String>,
        modalities: Vec<ModalitySpec>,
        class_names: Vec<String>,
        train: Samples,
        validation: Samples,
        test: Samples,
    ) -> Self {
        let mut hash = Sha256::new();
        for modality in &modalities {
            hash.update(format!("{}{:?}\n", modality.name, modality.shape));
        }
        hash.update(format!("{class_names:?}\n"));
        for split in [&train, &validation, &test] {
            split.hash_into(&mut hash);
        }
        Self {
            name: name.into(),
            modalities,
            classes: class_names.len(),
            class_names,
            train,
            validation,
            test: TestSplit::new(test),
            digest: hex(&hash.finalize()),
        }
    }

    /// Position of the modality called `name`.
    pub fn modality(&self, name: &str) -> Option<usize> {
        self.modalities.iter().position(|m| m.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Samples {
        Samples {
            ids: ["a", "b", "c"].map(String::from).to_vec(),
            inputs: vec![vec![1., 2., 3., 4., 5., 6.], vec![10., 20., 30.]],
            labels: vec![0, 1, 0],
        }
    }

    #[test]
    fn rows_and_selection_keep_modalities_together() {
        let picked = samples().select(&[2, 0]);
        assert_eq!(picked.ids, ["c", "a"]);
        assert_eq!(picked.inputs, [vec![5., 6., 1., 2.], vec![30., 10.]]);
        assert_eq!(picked.row(0, 1), [1., 2.]);
        assert_eq!(picked.class_counts(2), [2, 0]);
        assert!(samples().select(&[]).is_empty());
    }

    #[test]
    fn digest_sees_every_part() {
        let spec = || vec![ModalitySpec::new("x", &[2]), ModalitySpec::new("y", &[1])];
        let names = || vec!["0".to_owned(), "1".to_owned()];
        let of = |train: Samples, validation: Samples| {
            Dataset::new("d", spec(), names(), train, validation, samples()).digest
        };
        let base = of(samples(), samples());
        let mut other = samples();
        other.inputs[1][2] = 30.000_002;
        assert_ne!(base, of(other.clone(), samples()));
        assert_ne!(of(other.clone(), samples()), of(samples(), other));
        let mut renamed = samples();
        renamed.ids[0] = "z".into();
        assert_ne!(base, of(renamed, samples()));
        let mut relabelled = samples();
        relabelled.labels[0] = 1;
        assert_ne!(base, of(relabelled, samples()));
        assert_eq!(base, of(samples(), samples()));
        assert_eq!(base.len(), 64);
    }
}
