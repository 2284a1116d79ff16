//! Diagnosing and re-learning (Wei et al., ECCV 2024): some epochs apart, each encoder is drawn back towards its start, the more the less
//! what it has learnt holds on validation.

use mmcollapse_nn::{Result as TensorResult, Tensor, Var, random::derive_seed};
use mmcollapse_probes::{Matrix, k_means, purity};
use serde::{Deserialize, Serialize};

use super::{Balancing, Builder, Encoders, Scene, share, strength};
use crate::{
    evaluate::matrix,
    registry::{Entry, Sampler, parse_for, resolve_as},
    training::Progress,
};

const NAME: &str = "relearning";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "encoders whose clusters do not hold on validation are drawn back towards their start",
    reference: "Wei et al., Diagnosing and re-learning, ECCV 2024; its public code",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[("lambda", Sampler::LogUniform(0.3, 10.0))],
    build: |options, context| {
        let config: Config = parse_for("balancing", NAME, options)?;
        strength(NAME, "lambda", config.lambda)?;
        share(NAME, "every", config.every)?;
        let encoders = Encoders::new(context.modalities);
        let params = context.scope.params().clone();
        let scope = context.scope.pp("start");
        let starts = encoders.prefixes().iter().map(|prefix| {
            let vars = params.vars_under(prefix).into_iter();
            let copies = vars.map(|(name, var)| Ok((var.clone(), scope.buffer(&name, var.as_tensor().copy()?)?)));
            copies.collect::<TensorResult<Vec<_>>>()
        });
        Ok(Box::new(Relearning {
            config,
            starts: starts.collect::<TensorResult<_>>()?,
            classes: context.classes,
        }))
    },
};

/// Options of [`Relearning`]; the defaults are those of the public code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// How much a gap in purity draws back.
    lambda: f64,
    /// Share of the epochs between two diagnoses (public code: 20 of 50 epochs).
    every: f64,
    /// The most diagnoses.
    times: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lambda: 3.0,
            every: 0.4,
            times: 3,
        }
    }
}

struct Relearning {
    config: Config,
    /// Of each modality its encoder's variables, each with its value at the start.
    starts: Vec<Vec<(Var, Var)>>,
    classes: usize,
}

impl Relearning {
    /// Whether an epoch begins with a diagnosis.
    fn is_due(&self, progress: &Progress) -> bool {
        let every = (self.config.every * progress.epochs as f64).round().max(1.0) as usize;
        progress.epoch > 0 && progress.epoch.is_multiple_of(every) && progress.epoch / every <= self.config.times
    }
}

/// `tanh(lambda |purity on training - purity on validation|)`.
fn drawn_back(lambda: f64, train: f64, validation: f64) -> f64 {
    libm::tanh(lambda * (train - validation).abs())
}

/// Purity of the clusters that k-means finds in encodings whose columns are stretched to -1..1, as in the public code; none of
/// encodings that are not finite, or of fewer samples than clusters.
fn clusters(z: Option<&Tensor>, labels: &[u32], classes: usize, seed: u64) -> TensorResult<Option<f64>> {
    let Some(z) = z.map(matrix).transpose()?.flatten() else {
        return Ok(None);
    };
    let Ok(stretched) = stretched(&z) else { return Ok(None) };
    let found = k_means(&stretched, classes, seed).and_then(|clusters| purity(&clusters, labels));
    Ok(found.ok())
}

/// Each column stretched to -1..1; a constant one is -1.
fn stretched(z: &Matrix) -> mmcollapse_probes::Result<Matrix> {
    let (rows, columns) = (z.rows(), z.columns());
    let mut values = z.values().to_vec();
    for column in 0..columns {
        let of = (0..rows).map(|row| z.row(row)[column]);
        let (low, high) = of.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let range = if high > low { high - low } else { 1.0 };
        for row in 0..rows {
            let value = &mut values[row * columns + column];
            *value = 2.0 * (*value - low) / range - 1.0;
        }
    }
    Matrix::new(&values, rows, columns)
}

impl Balancing for Relearning {
    fn begin(&self, scene: &Scene, progress: &Progress) -> TensorResult<()> {
        if progress.epoch == 0 {
            // Weights may have been put into the model after it was built.
            for (var, start) in self.starts.iter().flatten() {
                start.set(var.as_tensor())?;
            }
            return Ok(());
        }
        if !self.is_due(progress) {
            return Ok(());
        }
        let (train, validation) = (scene.encodings(scene.train)?, scene.encodings(scene.validation)?);
        for (m, starts) in self.starts.iter().enumerate() {
            let of = |(z, labels): &(Option<Tensor>, Vec<u32>), split: &str| {
                let seed = derive_seed(scene.seed, &format!("balancing/{NAME}/{split}/{m}/{}", progress.epoch));
                clusters(z.as_ref(), labels, self.classes, seed)
            };
            let (Some(train), Some(validation)) = (of(&train[m], "train")?, of(&validation[m], "validation")?) else {
                continue;
            };
            let back = drawn_back(self.config.lambda, train, validation);
            for (var, start) in starts {
                let moved = ((start.as_tensor() * back)? + (var.as_tensor() * (1.0 - back))?)?;
                var.set(&moved)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnoses_are_evenly_apart_and_end() {
        let of = |config: Config, epochs: usize| -> Vec<usize> {
            let method = Relearning {
                config,
                starts: Vec::new(),
                classes: 2,
            };
            let due = |&epoch: &usize| {
                method.is_due(&Progress {
                    epoch,
                    epochs,
                    semantic: &[],
                    phases: &[],
                })
            };
            (0..epochs).filter(due).collect()
        };
        assert_eq!(of(Config::default(), 50), [20, 40]);
        let often = Config {
            every: 0.1,
            ..Config::default()
        };
        assert_eq!(of(often, 50), [5, 10, 15]);
        assert_eq!(drawn_back(3.0, 0.7, 0.7), 0.0);
        assert!((drawn_back(3.0, 0.9, 0.6) - libm::tanh(0.9)).abs() < 1e-12);
    }

    #[test]
    fn columns_are_stretched_alone() {
        let z = Matrix::new(&[0.0, 5.0, 2.0, 5.0, 4.0, 5.0], 3, 2).unwrap();
        assert_eq!(stretched(&z).unwrap().values(), [-1.0, -1.0, 0.0, -1.0, 1.0, -1.0]);
    }
}
