//! Noise on one modality of the samples that are learnt from.

use mmcollapse_data::{Dataset, Kind, ModalitySpec, Samples};
use mmcollapse_files::sha256;
use mmcollapse_nn::random::Stream;

use crate::error::ModelError;

/// `dataset` with additive uniform noise on `modality` in a share `rate` of the training and validation samples.
///
/// `amplitude` is the noise's half-width in standard deviations of the modality over the clean training set. A
/// sample's own stream decides whether it is corrupted and how, so the samples corrupted at one rate are among those of
/// a higher one, and two amplitudes scale the same noise. Of a series only the values of the steps that are there are
/// corrupted and counted. The test split stays as it is.
///
/// # Errors
/// A modality of codes, to which nothing can be added.
pub(crate) fn corrupted(
    dataset: &Dataset,
    modality: usize,
    rate: f64,
    amplitude: f64,
    seed: u64,
) -> Result<Dataset, ModelError> {
    let spec = &dataset.modalities[modality];
    let name = &spec.name;
    admitted(dataset, modality)?;
    let mut noisy = dataset.clone();
    if rate == 0.0 || amplitude == 0.0 {
        return Ok(noisy);
    }
    let half_width = amplitude * standard_deviation(&dataset.train, modality, spec);
    for (part, samples) in [("train", &mut noisy.train), ("validation", &mut noisy.validation)] {
        samples.inputs[modality] = samples.inputs[modality].changed(|i, row| {
            let mut stream = Stream::at(seed, &format!("noise/{part}/{name}"), i as u64);
            if stream.uniform(0.0, 1.0) < rate {
                let noise = stream.uniform_vec(row.len(), -1.0, 1.0);
                let places: Vec<usize> = values_of(spec, row).collect();
                for place in places {
                    row[place] += noise[place] * half_width as f32;
                }
            }
        });
    }
    // Another data set to whoever shares fits by its digest.
    let what = format!("{} noise {name} {rate} {amplitude}", dataset.digest);
    noisy.digest = sha256(what);
    Ok(noisy)
}

/// Whether noise can be added to a modality.
///
/// # Errors
/// A modality of codes, to which nothing can be added.
pub(crate) fn admitted(dataset: &Dataset, modality: usize) -> Result<(), ModelError> {
    let spec = &dataset.modalities[modality];
    match spec.kind {
        Kind::Codes { .. } => Err(ModelError::Unfit {
            dataset: dataset.name.clone(),
            reason: format!(
                "modality `{}` is codes, to which no noise can be added; choose one of numbers",
                spec.name
            ),
        }),
        _ => Ok(()),
    }
}

/// The places in a sample's row that hold values: all of them, or of a series those of the steps that are there.
fn values_of<'a>(spec: &ModalitySpec, row: &'a [f32]) -> impl Iterator<Item = usize> + use<'a> {
    let step = match spec.kind {
        Kind::Series => spec.shape.last().copied(),
        _ => None,
    };
    (0..row.len())
        .filter(move |place| step.is_none_or(|step| !place.is_multiple_of(step) && row[place - place % step] == 1.0))
}

/// Of the values of the samples that have the modality.
fn standard_deviation(samples: &Samples, modality: usize, spec: &ModalitySpec) -> f64 {
    let rows = || {
        samples
            .present
            .rows(modality)
            .into_iter()
            .map(|i| samples.row(modality, i))
    };
    let values = || {
        rows().flat_map(|row| {
            values_of(spec, &row)
                .map(|place| f64::from(row[place]))
                .collect::<Vec<_>>()
        })
    };
    let n = values().count().max(1) as f64;
    let mean = values().sum::<f64>() / n;
    (values().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt()
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::sets::{PlantedConfig, planted};

    use super::*;

    /// The noise of each training sample: nothing, or a row.
    fn noise(clean: &Dataset, noisy: &Dataset, modality: usize) -> Vec<Option<Vec<f32>>> {
        (0..clean.train.len())
            .map(|i| {
                let pairs = noisy
                    .train
                    .row(modality, i)
                    .into_iter()
                    .zip(clean.train.row(modality, i));
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
        let at = |rate, amplitude| corrupted(&clean, 1, rate, amplitude, 3).unwrap();
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
        let sd = standard_deviation(&clean.train, 1, &clean.modalities[1]);
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

    #[test]
    fn of_a_series_only_the_values_of_steps_that_are_there_are_corrupted() {
        let samples = |n: usize| {
            // Two steps of three numbers, the second not there: the mark, then the values -1 and 1.
            let row = [1.0, -1.0, 1.0, 0.0, 0.0, 0.0];
            Samples::complete((0..n).map(|i| i.to_string()).collect(), vec![row.repeat(n)], vec![0; n])
        };
        let spec = |kind| vec![ModalitySpec::new("x", &[2, 3]).of(kind)];
        let data = |kind| Dataset::new("d", spec(kind), vec!["0".into()], samples(50), samples(5), samples(5));
        let clean = data(Kind::Series);
        assert_eq!(standard_deviation(&clean.train, 0, &clean.modalities[0]), 1.0);
        let noisy = corrupted(&clean, 0, 1.0, 0.5, 3).unwrap();
        for row in noisy.train.inputs[0].numbers().chunks(6) {
            assert_eq!((row[0], &row[3..]), (1.0, &[0.0; 3][..]));
            assert!(row[1] != -1.0 && (row[1] + 1.0).abs() <= 0.5, "{row:?}");
        }
        let codes = data(Kind::Codes { vocabulary: 3 });
        let error = corrupted(&codes, 0, 1.0, 0.5, 3).unwrap_err().to_string();
        assert!(error.contains("`x` is codes"), "{error}");
    }
}
