//! A small synthetic data set with a known answer, for tests: never evidence about real data.
//!
//! Each class has in each modality a fixed template, a coarse 4 x 4 pattern of +-1 blown up to the modality's shape;
//! a sample is its class's template times the modality's `signal` plus normal noise. A modality with a small signal
//! is weak by construction. The default shapes are avMNIST's, so every encoder of the repository runs on it.

use mmcollapse_nn::random::Stream;

use super::File;
use crate::{DataError, Dataset, DatasetSource, LoadOptions, ModalitySpec, Samples};

/// What is planted.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedConfig {
    /// The modalities; a shape of three dimensions is treated as image planes, any other as a row of numbers.
    pub modalities: Vec<ModalitySpec>,
    /// Size of the class's pattern in each modality, in standard deviations of the noise.
    pub signal: Vec<f64>,
    /// Number of classes.
    pub classes: usize,
    /// Training samples a class.
    pub train: usize,
    /// Validation samples a class.
    pub validation: usize,
    /// Test samples a class.
    pub test: usize,
    /// Seed of templates and noise.
    pub seed: u64,
}

impl Default for PlantedConfig {
    fn default() -> Self {
        Self {
            modalities: vec![
                ModalitySpec::new("image", &[1, 28, 28]),
                ModalitySpec::new("sound", &[1, 20, 20]),
            ],
            signal: vec![0.8, 0.4],
            classes: 4,
            train: 12,
            validation: 6,
            test: 8,
            seed: 0,
        }
    }
}

impl PlantedConfig {
    /// Few samples of three classes that each modality tells apart: what every method is tried on.
    pub fn tiny() -> Self {
        Self {
            classes: 3,
            train: 8,
            validation: 4,
            test: 4,
            signal: vec![2.0, 2.0],
            ..Self::default()
        }
    }
}

/// Draws the data set that `config` describes.
///
/// # Panics
/// When `signal` and `modalities` differ in length.
pub fn planted(config: &PlantedConfig) -> Dataset {
    assert_eq!(config.signal.len(), config.modalities.len(), "one signal a modality");
    // templates[modality][class]: [shape..]
    let templates: Vec<Vec<Vec<f32>>> = config
        .modalities
        .iter()
        .enumerate()
        .map(|(m, modality)| {
            (0..config.classes)
                .map(|class| template(&modality.shape, config.seed, m, class))
                .collect()
        })
        .collect();
    let split = |name: &str, per_class: usize| {
        let n = per_class * config.classes;
        let labels: Vec<u32> = (0..n).map(|i| (i % config.classes) as u32).collect();
        let inputs = config.modalities.iter().enumerate().map(|(m, modality)| {
            let purpose = format!("planted/noise/{name}/{}", modality.name);
            let mut values = Stream::new(config.seed, &purpose).normal_vec(n * modality.width());
            for (row, &label) in values.chunks_mut(modality.width()).zip(&labels) {
                for (value, pattern) in row.iter_mut().zip(&templates[m][label as usize]) {
                    *value += config.signal[m] as f32 * pattern;
                }
            }
            values
        });
        Samples::complete(
            (0..n).map(|i| format!("{name}/{i}")).collect(),
            inputs.collect(),
            labels,
        )
    };
    Dataset::new(
        "planted",
        config.modalities.clone(),
        (0..config.classes).map(|class| class.to_string()).collect(),
        split("train", config.train),
        split("validation", config.validation),
        split("test", config.test),
    )
}

/// A pattern of +-1, coarse in space so that pooling keeps it.
fn template(shape: &[usize], seed: u64, modality: usize, class: usize) -> Vec<f32> {
    const CELLS: usize = 4;
    let purpose = format!("planted/template/modality {modality}");
    let mut stream = Stream::at(seed, &purpose, class as u64);
    let mut sign = || if stream.bernoulli(0.5) { 1. } else { -1. };
    if let &[planes, height, width] = shape {
        let mut values = Vec::with_capacity(planes * height * width);
        for _ in 0..planes {
            let coarse: Vec<f32> = (0..CELLS * CELLS).map(|_| sign()).collect();
            for y in 0..height {
                let row = y * CELLS / height * CELLS;
                values.extend((0..width).map(|x| coarse[row + x * CELLS / width]));
            }
        }
        values
    } else {
        (0..shape.iter().product()).map(|_| sign()).collect()
    }
}

pub(super) const FILE: File = File {
    sets: || vec![&Planted],
    sources: &[],
};

/// [`planted`] with its default configuration.
#[derive(Clone, Copy, Debug)]
pub struct Planted;

impl DatasetSource for Planted {
    fn name(&self) -> &'static str {
        "planted"
    }

    fn summary(&self) -> String {
        "synthetic, for tests only: class patterns in noise, two modalities of avMNIST's shapes, 4 classes".to_owned()
    }

    fn modalities(&self) -> Vec<String> {
        let modalities = PlantedConfig::default().modalities.into_iter();
        modalities.map(|modality| modality.name).collect()
    }

    fn samples(&self) -> Option<usize> {
        let config = PlantedConfig::default();
        Some(config.classes * (config.train + config.validation + config.test))
    }

    fn synthetic(&self) -> Option<&'static str> {
        Some("Synthetic data: planted patterns, neither images nor sounds.")
    }

    fn has_images(&self) -> bool {
        true
    }

    fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        Ok(planted(&PlantedConfig {
            seed: options.seed,
            ..PlantedConfig::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_shapes_and_seeds() {
        let data = planted(&PlantedConfig::default());
        assert_eq!((data.train.len(), data.validation.len(), data.test.len()), (48, 24, 32));
        assert_eq!(data.train.class_counts(4), [12; 4]);
        assert_eq!(data.train.row(1, 47).len(), 400);
        assert_eq!(data.digest, planted(&PlantedConfig::default()).digest);
        let other = PlantedConfig {
            seed: 1,
            ..PlantedConfig::default()
        };
        assert_ne!(data.digest, planted(&other).digest);
    }

    /// Nearest class mean on raw inputs finds the planted classes, the strong modality better than a silent one.
    #[test]
    fn the_signal_is_where_it_was_planted() {
        let config = PlantedConfig {
            modalities: vec![ModalitySpec::new("a", &[1, 8, 8]), ModalitySpec::new("b", &[30])],
            signal: vec![0.8, 0.0],
            train: 40,
            validation: 50,
            ..PlantedConfig::default()
        };
        let data = planted(&config);
        let accuracy = |m: usize| {
            let width = data.modalities[m].width();
            let mut means = vec![vec![0f32; width]; data.classes];
            for i in 0..data.train.len() {
                let mean = &mut means[data.train.labels[i] as usize];
                mean.iter_mut()
                    .zip(data.train.row(m, i))
                    .for_each(|(s, x)| *s += x / 40.);
            }
            let distance = |x: &[f32], mean: &[f32]| -> f32 { x.iter().zip(mean).map(|(a, b)| (a - b).powi(2)).sum() };
            let right = (0..data.validation.len()).filter(|&i| {
                let x = &data.validation.row(m, i);
                let nearest =
                    (0..data.classes).min_by(|&a, &b| distance(x, &means[a]).total_cmp(&distance(x, &means[b])));
                nearest == Some(data.validation.labels[i] as usize)
            });
            right.count() as f64 / data.validation.len() as f64
        };
        assert!(accuracy(0) > 0.95, "{}", accuracy(0));
        assert!((accuracy(1) - 0.25).abs() < 0.13, "{}", accuracy(1));
    }
}
