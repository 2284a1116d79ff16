//! UCI Multiple Features: handwritten digits in six views, for questions about the number of modalities.
//!
//! `data/mfeat.yaml` says what it is and how it is cut. What the seed draws is which digits are training, validation and
//! test.

use std::path::Path;

use mmcollapse_nn::random::Stream;
use serde::Deserialize;

use super::File;
use crate::catalog::{Listed, manifest};
use crate::files::FilesSource;
use crate::manifest::read_yaml;
use crate::{DataError, Dataset, DatasetSource, LoadOptions, ModalitySpec, Samples};

pub(super) const FILE: File = File {
    sets: || vec![&Mfeat],
    sources: &[SOURCE],
};

const SOURCE: Listed = manifest!(FilesSource, "mfeat");
const NAME: &str = SOURCE.name;
const CLASSES: usize = 10;

/// `data/mfeat.yaml`.
#[derive(Clone, Debug, Deserialize)]
struct Recipe {
    #[serde(flatten)]
    source: FilesSource,
    modalities: Vec<String>,
    per_class: PerClass,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PerClass {
    train: usize,
    validation: usize,
    test: usize,
}

impl Recipe {
    fn built_in() -> Result<Self, DataError> {
        read_yaml(NAME, SOURCE.text)
    }

    /// Cuts the files of `folder`.
    fn load(&self, seed: u64, folder: Option<&Path>) -> Result<Dataset, DataError> {
        self.assemble(seed, &self.source.read(folder)?)
    }

    /// `views`: per modality the features of all digits, class by class, row-major.
    fn assemble(&self, seed: u64, views: &[Vec<f32>]) -> Result<Dataset, DataError> {
        let PerClass {
            train,
            validation,
            test,
        } = self.per_class;
        let wrong = |reason: String| DataError::Recipe {
            name: NAME.into(),
            reason,
        };
        let columns: Vec<usize> = self.source.files.iter().map(|file| file.columns).collect();
        if self.modalities.len() != columns.len() {
            return Err(wrong(format!(
                "{} modalities and {} files",
                self.modalities.len(),
                columns.len()
            )));
        }
        let rows = views.first().map_or(0, |view| view.len() / columns[0].max(1));
        let of_class = rows / CLASSES;
        if views
            .iter()
            .zip(&columns)
            .any(|(view, width)| view.len() != rows * width)
            || !rows.is_multiple_of(CLASSES)
        {
            return Err(wrong(format!(
                "the views do not all have {rows} digits, as many of each class"
            )));
        }
        if train + validation + test > of_class || train == 0 {
            return Err(wrong(format!(
                "{train} + {validation} + {test} digits of each class are asked for, there are {of_class}"
            )));
        }
        let mut splits: [Vec<(usize, u32)>; 3] = Default::default();
        for class in 0..CLASSES {
            let order = Stream::at(seed, "mfeat/split", class as u64).permutation(of_class);
            let (first, rest) = order.split_at(train);
            let (second, rest) = rest.split_at(validation);
            for (split, chosen) in splits.iter_mut().zip([first, second, &rest[..test]]) {
                split.extend(chosen.iter().map(|&i| (class * of_class + i, class as u32)));
            }
        }
        let scales: Vec<Vec<(f32, f32)>> = views
            .iter()
            .zip(&columns)
            .map(|(view, &width)| (0..width).map(|j| scale(view, width, j, &splits[0])).collect())
            .collect();
        let samples = |rows: &[(usize, u32)]| {
            let inputs = views.iter().zip(&scales).map(|(view, scales)| {
                let standardized = |&(row, _): &(usize, u32)| {
                    let row = &view[row * scales.len()..(row + 1) * scales.len()];
                    row.iter().zip(scales).map(|(x, (mean, sd))| (x - mean) / sd)
                };
                rows.iter().flat_map(standardized).collect()
            });
            Samples::complete(
                rows.iter().map(|(row, _)| format!("{}", row + 1)).collect(),
                inputs.collect(),
                rows.iter().map(|(_, label)| *label).collect(),
            )
        };
        let modalities = self.modalities.iter().zip(&columns);
        Ok(Dataset::new(
            NAME,
            modalities
                .map(|(name, &width)| ModalitySpec::new(name, &[width]))
                .collect(),
            (0..CLASSES).map(|class| class.to_string()).collect(),
            samples(&splits[0]),
            samples(&splits[1]),
            samples(&splits[2]),
        ))
    }
}

/// Mean and standard deviation of feature `j` over the training digits; 1 for a feature that does not vary.
fn scale(view: &[f32], width: usize, j: usize, train: &[(usize, u32)]) -> (f32, f32) {
    let values = || train.iter().map(|(row, _)| f64::from(view[row * width + j]));
    let n = train.len() as f64;
    let mean = values().sum::<f64>() / n;
    let sd = (values().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    (mean as f32, if sd > 0.0 { sd as f32 } else { 1.0 })
}

/// The data set.
struct Mfeat;

impl DatasetSource for Mfeat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> String {
        "handwritten digits in six views of 216, 76, 64, 6, 240 and 47 features (UCI Multiple Features): train 1200, \
         validation 200, test 600"
            .to_owned()
    }

    fn modalities(&self) -> Vec<String> {
        Recipe::built_in().map(|recipe| recipe.modalities).unwrap_or_default()
    }

    fn samples(&self) -> Option<usize> {
        Some(2000)
    }

    fn sources(&self) -> &'static [&'static str] {
        &[NAME]
    }

    fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        let recipe = Recipe::built_in()?;
        let folder = recipe.source.open().obtain(options)?;
        recipe.load(options.seed, folder.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write;

    use mmcollapse_files::{sha256, write_atomic};

    use super::*;

    /// Digits whose every feature tells class and number, as the files hold them.
    fn views(recipe: &Recipe) -> Vec<Vec<f32>> {
        let value = |i: usize, j: usize| (i / 200 * 1000 + i % 200 + 7 * j) as f32;
        let columns = recipe.source.files.iter().map(|file| file.columns);
        columns
            .map(|width| (0..2000).flat_map(|i| (0..width).map(move |j| value(i, j))).collect())
            .collect()
    }

    #[test]
    fn it_is_cut_class_by_class_and_standardised_by_training_alone() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = drawn(folder.path());
        let load = |seed| recipe.load(seed, Some(folder.path())).unwrap();
        let set = load(3);
        let test = set.test.for_final_evaluation();
        for (split, each) in [(&set.train, 120), (&set.validation, 20), (test, 60)] {
            assert_eq!(split.class_counts(10), [each; 10]);
        }
        let all: BTreeSet<&String> = [&set.train, &set.validation, test]
            .iter()
            .flat_map(|s| s.ids.names())
            .collect();
        assert_eq!(all.len(), 2000, "no digit is in two splits");
        for (m, modality) in set.modalities.iter().enumerate() {
            let n = set.train.len() as f64;
            let column: Vec<f64> = (0..set.train.len())
                .map(|i| f64::from(set.train.row(m, i)[2]))
                .collect();
            let mean = column.iter().sum::<f64>() / n;
            let sd = (column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            assert!(
                mean.abs() < 1e-4 && (sd - 1.0).abs() < 1e-4,
                "{}: {mean} {sd}",
                modality.name
            );
        }
        // The same line of the file in every view, with its own label.
        let line: usize = set.train.ids.get(5).parse().unwrap();
        assert_eq!((line - 1) / 200, set.train.labels[5] as usize);
        assert_eq!(load(3), set);
        assert_ne!(load(4).train.ids, set.train.ids);
    }

    /// The recipe of files in `folder` that hold [`views`].
    fn drawn(folder: &Path) -> Recipe {
        let mut recipe = Recipe::built_in().unwrap();
        let views = views(&recipe);
        for (file, view) in recipe.source.files.iter_mut().zip(views) {
            let lines = view.chunks(file.columns).map(|line| {
                let numbers: Vec<String> = line.iter().map(f32::to_string).collect();
                numbers.join(" ") + "\n"
            });
            let text: String = lines.collect();
            write_atomic(&folder.join(&file.name), text.as_bytes()).unwrap();
            file.sha256 = sha256(&text);
        }
        recipe
    }

    #[test]
    fn views_that_do_not_belong_together_are_refused() {
        let recipe = Recipe::built_in().unwrap();
        let mut views = views(&recipe);
        views[3].truncate(6 * 1999);
        assert!(
            recipe
                .assemble(0, &views)
                .unwrap_err()
                .to_string()
                .contains("2000 digits")
        );
    }

    #[test]
    fn the_real_files_are_known() {
        let recipe = Recipe::built_in().unwrap();
        let Some(folder) = recipe.source.open().folder() else {
            let _ = writeln!(
                std::io::stderr(),
                "\n!!! SKIPPED: Multiple Features: set MMCOLLAPSE_MFEAT_DIR\n"
            );
            return;
        };
        let set = recipe.load(0, Some(&folder)).unwrap();
        let widths: Vec<usize> = set.modalities.iter().map(ModalitySpec::width).collect();
        assert_eq!(widths, [216, 76, 64, 6, 240, 47]);
    }
}
