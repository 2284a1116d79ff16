//! Samples: one row of numbers per modality, a label, a name; and the three splits.

use std::sync::Arc;

use mmcollapse_files::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::mapped::Bytes;
use crate::{Ids, Presence, Rows};

/// What the numbers of a modality are; it decides which encoders read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Measurements in a grid of the modality's shape.
    #[default]
    Dense,
    /// `[length]` entries of a vocabulary, each a whole number in 1..=`vocabulary`; 0 where there is none.
    Codes {
        /// Number of entries.
        vocabulary: usize,
    },
    /// `[steps, 1 + features]`: a row a time step, the first number of which is 1 where the step is there. Those come
    /// first; the rows after them are 0.
    Series,
}

impl Kind {
    /// The kinds by name.
    pub const NAMES: [&str; 3] = ["dense", "codes", "series"];

    /// Whether this is the name of a kind.
    pub fn is_name(name: &str) -> bool {
        Self::NAMES.contains(&name)
    }

    /// Its name, under which a spec can choose the encoder of all modalities of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense => Self::NAMES[0],
            Self::Codes { .. } => Self::NAMES[1],
            Self::Series => Self::NAMES[2],
        }
    }
}

/// Name, shape and kind of one modality.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModalitySpec {
    /// Name as specs and tables write it, for example `image`.
    pub name: String,
    /// Shape of one sample, for example `[1, 28, 28]`.
    pub shape: Vec<usize>,
    /// What its numbers are.
    pub kind: Kind,
}

impl ModalitySpec {
    /// A modality of measurements called `name` whose samples have `shape`.
    pub fn new(name: impl Into<String>, shape: &[usize]) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
            kind: Kind::Dense,
        }
    }

    /// The same with numbers of another kind.
    #[must_use]
    pub fn of(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// Entries of the vocabulary; 0 for what are no codes.
    pub fn vocabulary(&self) -> usize {
        match self.kind {
            Kind::Codes { vocabulary } => vocabulary,
            _ => 0,
        }
    }

    /// Numbers in one sample: the product of the shape.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Labelled samples, and which modalities each has. What a protocol takes away is said by a [`Presence`] beside them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Where each sample comes from, unique within the data set.
    pub ids: Ids,
    /// Per modality a row a sample, row-major `[n, shape..]`; 0 where a sample lacks the modality.
    pub inputs: Vec<Rows>,
    /// Class of each sample.
    pub labels: Vec<u32>,
    /// Which modalities each sample has in the source.
    pub present: Presence,
}

impl Samples {
    /// Samples that have every modality, `inputs` row-major.
    ///
    /// # Panics
    /// When an input is not of as many rows as there are labels.
    pub fn complete(ids: Vec<String>, inputs: Vec<Vec<f32>>, labels: Vec<u32>) -> Self {
        let n = labels.len();
        Self {
            present: Presence::all(n, inputs.len()),
            ids: ids.into(),
            inputs: inputs.into_iter().map(|numbers| Rows::dense(n, numbers)).collect(),
            labels,
        }
    }

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
    pub fn row(&self, modality: usize, i: usize) -> Vec<f32> {
        self.inputs[modality].row(i)
    }

    /// The samples at `index`, in that order; an index may occur more than once.
    ///
    /// # Panics
    /// When an index is out of range, as slices do.
    #[must_use]
    pub fn select(&self, index: &[usize]) -> Self {
        Self {
            ids: self.ids.select(index),
            inputs: self.inputs.iter().map(|rows| rows.select(index)).collect(),
            labels: index.iter().map(|&i| self.labels[i]).collect(),
            present: self.present.select(index),
        }
    }

    /// The same samples with only these modalities, in that order.
    ///
    /// # Panics
    /// When a modality is out of range, as slices do.
    #[must_use]
    fn with(&self, modalities: &[usize]) -> Self {
        Self {
            ids: self.ids.clone(),
            inputs: modalities.iter().map(|&m| self.inputs[m].clone()).collect(),
            labels: self.labels.clone(),
            present: Presence::from_fn(self.len(), modalities.len(), |i, m| self.present.get(i, modalities[m])),
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

    /// Bytes that the samples take in this process's own memory, and in files that all processes share.
    pub fn memory(&self) -> (usize, usize) {
        let names: usize = match &self.ids {
            Ids::Numbered(_) => 0,
            Ids::Named(names) => names.iter().map(|name| size_of::<String>() + name.capacity()).sum(),
        };
        let rows = self.inputs.iter().map(Rows::memory);
        rows.fold((names + self.len() * (4 + self.inputs.len()), 0), |sum, rows| {
            (sum.0 + rows.0, sum.1 + rows.1)
        })
    }

    fn hash_into(&self, hash: &mut Sha256) {
        hash.update((self.len() as u64).to_le_bytes());
        for (id, label) in self.ids.iter().zip(&self.labels) {
            hash.update(id.as_bytes());
            hash.update([0]);
            hash.update(label.to_le_bytes());
        }
        for rows in &self.inputs {
            rows.hash_into(hash);
        }
        // Samples that lack nothing have the digest they had before samples could lack anything.
        if !self.present.is_complete() {
            for m in 0..self.present.modalities() {
                hash.update(format!("{m} {:?}\n", self.present.rows(m)));
            }
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
            if modality.kind != Kind::Dense {
                hash.update(format!("{:?}\n", modality.kind));
            }
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

    /// The same samples with only the modalities at these positions, in that order. A sample that has none of them
    /// stays, so that sets of modalities can be compared on the same samples.
    ///
    /// # Panics
    /// When a position is out of range, as slices do.
    #[must_use]
    pub fn with(&self, modalities: &[usize]) -> Self {
        Self::new(
            self.name.clone(),
            modalities.iter().map(|&m| self.modalities[m].clone()).collect(),
            self.class_names.clone(),
            self.train.with(modalities),
            self.validation.with(modalities),
            self.test.0.with(modalities),
        )
    }

    /// Bytes that the samples take in this process's own memory, and in files that all processes share.
    pub fn memory(&self) -> (usize, usize) {
        let of = [&self.train, &self.validation, &self.test.0].map(Samples::memory);
        (of.iter().map(|of| of.0).sum(), of.iter().map(|of| of.1).sum())
    }

    /// Whether the file that the samples lie in, if they do, is still what it was when it was opened. What was learnt from
    /// one that is not counts for nothing.
    pub fn unchanged(&self) -> bool {
        let splits = [&self.train, &self.validation, &self.test.0];
        let rows = splits.iter().flat_map(|split| &split.inputs);
        // All rows of a prepared file share it: it is looked at once.
        let mut files: Vec<&Arc<Bytes>> = rows.filter_map(Rows::bytes).collect();
        files.dedup_by(|a, b| Arc::ptr_eq(a, b));
        files.iter().all(|file| file.unchanged())
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
        Samples::complete(
            ["a", "b", "c"].map(String::from).to_vec(),
            vec![vec![1., 2., 3., 4., 5., 6.], vec![10., 20., 30.]],
            vec![0, 1, 0],
        )
    }

    #[test]
    fn rows_and_selection_keep_modalities_together() {
        let picked = samples().select(&[2, 0]);
        assert!(picked.ids.iter().eq(["c", "a"]));
        let inputs: Vec<_> = picked.inputs.iter().map(Rows::numbers).collect();
        assert_eq!(inputs, [vec![5., 6., 1., 2.], vec![30., 10.]]);
        assert_eq!(picked.row(0, 1), [1., 2.]);
        assert_eq!(picked.class_counts(2), [2, 0]);
        assert!(samples().select(&[]).is_empty());
    }

    #[test]
    fn some_modalities_of_the_same_samples() {
        let mut lacking = samples();
        lacking.present.set(1, 1, false);
        let spec = vec![ModalitySpec::new("x", &[2]), ModalitySpec::new("y", &[1])];
        let names = vec!["0".to_owned(), "1".to_owned()];
        let whole = Dataset::new("d", spec, names, lacking, samples(), samples());
        let turned = whole.with(&[1, 0]);
        assert_eq!((turned.modality("y"), turned.train.row(0, 2)), (Some(0), vec![30.]));
        assert_eq!(turned.train.present.rows(0), [0, 2]);
        assert_eq!(turned.with(&[1, 0]), whole);
        let one = whole.with(&[1]);
        assert_eq!((one.train.len(), one.modalities.len()), (3, 1));
        assert_ne!(one.digest, whole.digest);
        assert_eq!(one.train.labels, whole.train.labels);
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
        other.inputs[1].numbers_mut()[2] = 30.000_002;
        assert_ne!(base, of(other.clone(), samples()));
        assert_ne!(of(other.clone(), samples()), of(samples(), other));
        let mut renamed = samples();
        renamed.ids = vec!["z".to_owned(), "b".to_owned(), "c".to_owned()].into();
        assert_ne!(base, of(renamed, samples()));
        let mut relabelled = samples();
        relabelled.labels[0] = 1;
        assert_ne!(base, of(relabelled, samples()));
        let mut lacking = samples();
        lacking.present.set(2, 1, false);
        assert_ne!(base, of(lacking, samples()));
        let coded = spec().into_iter().map(|m| m.of(Kind::Series)).collect();
        assert_ne!(
            base,
            Dataset::new("d", coded, names(), samples(), samples(), samples()).digest
        );
        assert_eq!(base, of(samples(), samples()));
        assert_eq!(base.len(), 64);
    }
}
