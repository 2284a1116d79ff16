//! Noise on one modality of the samples that are learnt from.

use mmcollapse_data::{Dataset, Samples};
use mmcollapse_nn::random::Stream;
use sha2::{Digest, Sha256};

/// `dataset` with additive uniform noise on `modality` in a share `rate` of the training and validation samples.
///
/// `amplitude` is the noise's half-width in standard deviations of the modality over the clean training set. A
/// sample's own stream decides whether it is corrupted and how, so the samples corrupted at one rate are among those of
/// a higher one, and two amplitudes scale the same noise. The test split stays as it is.
pub(super) fn corrupted(dataset: &Dataset, modality: usize, rate: f64, amplitude: f64, seed: u64) -> Dataset {
    let mut noisy = dataset.clone();
    if rate == 0.0 || amplitude == 0.0 {
        return noisy;
    }
    let half_width = amplitude * standard_deviation(&dataset.train.inputs[modality]);
    let name = &dataset.modalities[modality].name;
    for (part, samples) in [("train", &mut noisy.train), ("validation", &mut noisy.validation)] {
        corrupt(
            samples,
            modality,
            rate,
            half_width,
            seed,
            &format!("noise/{part}/{name}"),
        );
    }
    // Another data set to whoever shares fits by its digest.
    let what = format!("{} noise {name} {rate} {amplitude}", dataset.digest);
    noisy.digest = format!("{:x}", Sha256::digest(what.as_bytes()));
    noisy
}

fn corrupt(samples: &mut Samples, modality: usize, rate: f64, half_width: f64, seed: u64, purpose: &str) {
    let n = samples.len().max(1);
    let inputs = &mut samples.inputs[modality];
    let width = inputs.len() / n;
    for (i, row) in inputs.chunks_mut(width.max(1)).enumerate() {
        let mut stream = Stream::at(seed, purpose, i as u64);
        if stream.uniform(0.0, 1.0) < rate {
            for (x, noise) in row.iter_mut().zip(stream.uniform_vec(width, -1.0, 1.0)) {
                *x += noise * half_width as f32;
            }
        }
    }
}

fn standard_deviation(values: &[f32]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    variance.sqrt()
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::sets::{PlantedConfig, planted};

    use super::*;

    /// The noise of each training sample: nothing, or a row.
    fn noise(clean: &Dataset, noisy: &Dataset, modality: usize) -> Vec<Option<Vec<f32>>> {
        (0..clean.train.len())
            .map(|i| {
                let pairs = noisy.train.row(modality, i).iter().zip(clean.train.row(modality, i));
                let difference: Vec<f32> = pairs.map(|(a, b)| a - b).collect();
                difference.iter().any(|d| *d != 0.0).then_some(difference)
            })
            .collect()
    }

    #[test]
    fn noise_has_its_rate_and_size_and_is_nested() {
        let clean = planted(&PlantedConfig {
            train: 400,
            ..PlantedConfig::default()
        });
        let at = |rate, amplitude| corrupted(&clean, 1, rate, amplitude, 3);
        let (some, more, loud) = (at(0.2, 1.0), at(0.5, 1.0), at(0.2, 3.0));
        let [some_noise, more_noise, loud_noise] = [&some, &more, &loud].map(|noisy| noise(&clean, noisy, 1));
        let n = clean.train.len() as f64;
        let share = some_noise.iter().flatten().count() as f64 / n;
        // Four standard deviations of a binomial share.
        assert!((share - 0.2).abs() < 4.0 * (0.2 * 0.8 / n).sqrt(), "{share}");
        for ((a, b), c) in some_noise.iter().zip(&more_noise).zip(&loud_noise) {
            if let (Some(a), Some(c)) = (a, c) {
                assert_eq!(Some(a), b.as_ref(), "corrupted at .2, hence alike at .5");
                let near = a.iter().zip(c).all(|(a, c)| (3.0 * a - c).abs() < 1e-4);
                assert!(near, "three times the amplitude is three times the noise");
            } else {
                assert!(a.is_none() && c.is_none());
            }
        }
        let sd = standard_deviation(&clean.train.inputs[1]);
        let largest = some_noise.iter().flatten().flatten().fold(0_f32, |m, x| m.max(x.abs()));
        assert!(
            f64::from(largest) <= sd * 1.001 && f64::from(largest) > 0.9 * sd,
            "{largest} of {sd}"
        );
        // Nothing else moves, and whoever shares fits by digest sees another data set.
        assert_eq!(some.train.inputs[0], clean.train.inputs[0]);
        assert_eq!(some.test, clean.test);
        assert_ne!(some.validation.inputs[1], clean.validation.inputs[1]);
        assert_ne!(some.digest, clean.digest);
        assert_eq!(at(0.0, 1.0), clean);
    }
}
