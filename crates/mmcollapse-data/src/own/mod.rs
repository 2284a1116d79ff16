//! A user's own data set: one YAML outside the repository that names arrays.
//!
//! [`add`] reads the YAML and makes the data set known to this process under the name that it gives itself; from then on it is
//! found, cut, cached and keyed as one that is built in. Its key rests on what the arrays hold, not on where they lie.

mod cut;
mod described;
mod error;
mod numbers;
mod read;
mod scale;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

pub use described::{Description, Form};
pub use error::OwnError;

use crate::{DataError, Dataset, DatasetSource, Kind, LoadOptions, ModalitySpec, cache, digests, sets};
use read::Columns;

/// What a spec takes over from a user's data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapted {
    /// The modality that takes the place of the one that a spec takes away or corrupts.
    pub modality: String,
    /// All modalities, in the order in which a spec adds them.
    pub modalities: Vec<String>,
    /// Encoders by modality, where the YAML names them.
    pub encoders: Map<String, Value>,
    /// Training settings instead of the spec's.
    pub training: Map<String, Value>,
}

/// A user's own data set.
#[derive(Debug)]
pub struct OwnSet {
    path: PathBuf,
    text: String,
    description: Description,
    modalities: Vec<ModalitySpec>,
    classes: usize,
    samples: usize,
    files: Vec<PathBuf>,
}

/// Those of this process, in the order in which they were added.
static ADDED: Mutex<Vec<&'static OwnSet>> = Mutex::new(Vec::new());

/// Makes the data set that the YAML at `path` describes known to this process; returns its name.
///
/// # Errors
/// A YAML or arrays that cannot be read or do not belong together; a name that another data set has.
pub fn add(path: &Path) -> Result<&'static str, DataError> {
    let set = OwnSet::read(path)?;
    let mut added = ADDED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = added.iter().find(|known| known.name() == set.name()) {
        if known.path == set.path {
            return Ok(known.name());
        }
        let taken = format!(
            "`name: {}` is that of {}, which was named before",
            set.name(),
            known.path.display()
        );
        return Err(OwnError::yaml(path, taken)
            .advised("give each data set its own name")
            .into());
    }
    let set: &'static OwnSet = Box::leak(Box::new(set));
    added.push(set);
    Ok(set.name())
}

/// The YAML files of those that were added.
pub fn paths() -> Vec<PathBuf> {
    let added = ADDED.lock().unwrap_or_else(PoisonError::into_inner);
    added.iter().map(|set| set.path.clone()).collect()
}

/// The YAML of the data set called `name`, if it was added.
pub fn path_of(name: &str) -> Option<PathBuf> {
    find(name).map(|set| set.path.clone())
}

/// How much the samples of the seeds of the data set called `name` overlap, if it was added: test samples to each training sample
/// where every seed cuts the same samples anew, 0 where the YAML gives the split and intervals are about these samples alone.
pub fn overlap(name: &str) -> Option<f64> {
    let description = &find(name)?.description;
    let [train, _, test] = cut::shares(description.fractions);
    Some(match description.split {
        Some(_) => 0.0,
        None => test / train,
    })
}

/// The data set called `name`, if it was added.
pub(crate) fn find(name: &str) -> Option<&'static OwnSet> {
    let added = ADDED.lock().unwrap_or_else(PoisonError::into_inner);
    added.iter().copied().find(|set| set.name() == name)
}

impl OwnSet {
    /// Reads the YAML, and of the arrays what can be known without their numbers.
    ///
    /// # Errors
    /// See [`add`].
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let path = std::path::absolute(path).map_err(|error| OwnError::yaml(path, error.to_string()))?;
        let text = crate::caps::read(&path, 1 << 20)
            .map_err(|error| error.to_string())
            .and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string()))
            .map_err(|reason| OwnError::yaml(&path, reason))?;
        let description = Description::parse(&path, &text)?;
        if sets::is_built_in(&description.name) {
            let taken = format!("`name: {}` is that of a data set that is built in", description.name);
            return Err(OwnError::yaml(&path, taken).advised("choose another name").into());
        }
        let columns = Columns::open(&path, &description)?;
        let (_, classes) = columns.labels()?;
        Ok(Self {
            modalities: columns.modalities()?,
            classes: classes.len(),
            samples: columns.rows(),
            files: columns.files(),
            path,
            text,
            description,
        })
    }

    /// Shape and kind of each modality, in the order of the YAML.
    pub fn specs(&self) -> &[ModalitySpec] {
        &self.modalities
    }

    /// What a spec takes over from it.
    pub fn adapted(&self) -> Adapted {
        let names = || self.modalities.iter().map(|modality| modality.name.clone());
        Adapted {
            modality: names().nth(self.description.weak()).unwrap_or_default(),
            modalities: names().collect(),
            encoders: self.description.encoders.clone(),
            training: self.description.training.clone(),
        }
    }

    /// Reads and cuts the arrays.
    fn assemble(&self, seed: u64) -> Result<Dataset, DataError> {
        let columns = Columns::open(&self.path, &self.description)?;
        let (labels, classes) = columns.labels()?;
        let splits = cut::splits(&columns, &labels, classes.len(), seed)?;
        let mut present = columns.present()?;
        let mut inputs = Vec::with_capacity(self.modalities.len());
        for (m, spec) in self.modalities.iter().enumerate() {
            // One modality's numbers in memory at a time.
            let numbers = columns.numbers(m, spec, &mut present)?;
            let scales = scale::fitted(&numbers, spec, &splits[0], &present, m, columns.form(m));
            inputs.push(
                splits
                    .each_ref()
                    .map(|rows| scale::packed(&numbers, spec, &scales, rows, &present, m)),
            );
        }
        cut::check_presence(&columns, &present, &splits, Some(seed))?;
        let [train, validation, test] = cut::samples(&splits, inputs, &labels, &present);
        Ok(Dataset::new(
            self.name(),
            self.modalities.clone(),
            classes,
            train,
            validation,
            test,
        ))
    }

    /// Lines about it for a person: samples, classes, modalities, splits of the first seed, and what the splits of other seeds
    /// are.
    ///
    /// # Errors
    /// See [`DatasetSource::load`].
    pub fn report(&self) -> Result<Vec<String>, DataError> {
        let dataset = self.load(&LoadOptions::default())?;
        let mut lines = vec![format!(
            "{}: {} samples, {} classes, {} modalities",
            self.name(),
            self.samples,
            self.classes,
            self.modalities.len()
        )];
        let splits = [
            ("train", &dataset.train),
            ("validation", &dataset.validation),
            ("test", dataset.test.for_final_evaluation()),
        ];
        for (name, samples) in splits {
            let counts: Vec<String> = dataset
                .class_names
                .iter()
                .zip(samples.class_counts(dataset.classes))
                .map(|(class, n)| format!("{class} {n}"))
                .collect();
            let shown = if counts.len() > 12 {
                format!("{} classes", counts.len())
            } else {
                counts.join(", ")
            };
            lines.push(format!("  {name}: {} samples ({shown})", samples.len()));
        }
        for (m, modality) in dataset.modalities.iter().enumerate() {
            let having: usize = splits.iter().map(|(_, samples)| samples.present.rows(m).len()).sum();
            let constant = scale::constant(&dataset.train, m, modality);
            let constant = if constant == 0 {
                String::new()
            } else {
                format!(", {constant} constant in training, which are 0 in every split")
            };
            // Told in words: an array with the channels last has the shape of one with them first.
            let shape = match modality.shape[..] {
                [channels, height, width] => format!("{channels} channels of {height} by {width}"),
                _ => format!("{:?}", modality.shape),
            };
            lines.push(format!(
                "  {}: {} {shape}, {having} samples have it{constant}",
                modality.name,
                modality.kind.name()
            ));
        }
        lines.push(format!("  split: {}", self.description.how_it_is_cut()));
        let columns = Columns::open(&self.path, &self.description)?;
        let (labels, classes) = columns.labels()?;
        lines.extend(cut::over_seeds(&columns, &labels, &classes)?);
        let unused = columns.unused();
        if !unused.is_empty() {
            lines.push(format!("  arrays not used: {}", unused.join(", ")));
        }
        Ok(lines)
    }
}

impl DatasetSource for OwnSet {
    fn name(&self) -> &str {
        &self.description.name
    }

    fn summary(&self) -> String {
        format!("your own, described in {}", self.path.display())
    }

    fn modalities(&self) -> Vec<String> {
        self.modalities.iter().map(|modality| modality.name.clone()).collect()
    }

    fn samples(&self) -> Option<usize> {
        Some(self.samples)
    }

    fn two_classes(&self) -> bool {
        self.classes == 2
    }

    fn has_images(&self) -> bool {
        let is_image = |modality: &ModalitySpec| modality.kind == Kind::Dense && modality.shape.len() == 3;
        self.modalities.iter().any(is_image)
    }

    fn own(&self) -> Option<Adapted> {
        Some(self.adapted())
    }

    fn own_files(&self) -> Vec<PathBuf> {
        let mut files = self.files.clone();
        files.push(self.path.clone());
        files
    }

    fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        let folder = cache::folder().map(|base| base.join("own"));
        let Some(stamps) = digests::stamps(&self.own_files()) else {
            return self.assemble(options.seed);
        };
        // Splits that are given are the same for every seed: one file then serves them all.
        let seed = if self.description.split.is_some() {
            0
        } else {
            options.seed
        };
        let key = cache::key_of_seed(
            seed,
            &[
                include_str!("mod.rs"),
                include_str!("read.rs"),
                include_str!("numbers.rs"),
                include_str!("cut.rs"),
                include_str!("scale.rs"),
                &self.text,
                &stamps,
            ],
        );
        cache::dataset(folder.as_deref(), self.name(), &key, || self.assemble(seed))
    }
}
