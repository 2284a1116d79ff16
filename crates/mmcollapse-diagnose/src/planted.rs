//! Models whose neglect is known, to measure how often the rule errs.
//!
//! Each modality m has a latent `z_m = strength * mean_m(class) + noise` of [`LATENT`] dimensions. Its encoder gives `A_m z_m`, the fused
//! representation `B [z_1', z_2', ...]` with `z_m' = u z_m + sqrt(1 - u^2) noise`: at use u = 1 all of a modality's latent reaches the
//! fusion, at 0 noise takes its place. A and B are random, so that no column is a latent.

use std::collections::BTreeMap;

use mmcollapse_arrays::{Array, ArrayInfo, Dtype, Values};

use crate::error::Result;
use crate::rows::stream;
use crate::{Features, Input, Modality};

/// Dimensions of a latent.
pub const LATENT: usize = 6;

/// Size of what encoders and fusion add by themselves, against latents of about 1.
const OWN_NOISE: f64 = 0.05;

/// What is planted of a modality.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planted {
    /// Distance of its class means from 0, in standard deviations of its noise; 0 is uninformative.
    pub strength: f64,
    /// How much of its latent reaches the fusion, from 0 to 1.
    pub used: f64,
    /// The modality whose latent it repeats.
    pub repeats: Option<usize>,
    /// What the output multiplies its evidence by; at 1 the output is the best.
    pub weight: f64,
}

impl Planted {
    /// A modality of its own.
    pub fn new(strength: f64, used: f64) -> Self {
        Self {
            strength,
            used,
            repeats: None,
            weight: 1.0,
        }
    }

    /// A modality that reaches the fusion in full, and whose evidence the output multiplies by `weight`.
    pub fn weighed(strength: f64, weight: f64) -> Self {
        Self {
            weight,
            ..Self::new(strength, 1.0)
        }
    }

    /// The latent of the modality at `of` in another encoder.
    pub fn repeating(of: usize, used: f64) -> Self {
        Self {
            strength: 0.0,
            used,
            repeats: Some(of),
            weight: 1.0,
        }
    }
}

/// A planted model.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedModel {
    /// Its modalities, called a, b, c and so on.
    pub modalities: Vec<Planted>,
    /// Samples.
    pub samples: usize,
    /// Classes; each is 1.0 as likely as `balance` times the next.
    pub classes: usize,
    /// Ratio of the chances of a class and the next.
    pub balance: f64,
    /// Width of each encoder's output.
    pub width: usize,
    /// Width of the fused representation; at 0 there is none.
    pub fused_width: usize,
    /// Whether the fused representation goes through a ReLU.
    pub relu: bool,
    /// Samples of each group, which share class and most of their noise; 1 is without groups.
    pub group: usize,
    /// Whether the model has an output: the best possible one of the fused latents, if every weight is 1.
    pub output: bool,
    /// What the output favours each class by over the one before, as a logit; the best output favours none.
    pub offset: f64,
}

impl Default for PlantedModel {
    fn default() -> Self {
        Self {
            modalities: vec![Planted::new(1.0, 1.0); 2],
            samples: 1_000,
            classes: 4,
            balance: 1.0,
            width: 16,
            fused_width: 32,
            relu: false,
            group: 1,
            output: false,
            offset: 0.0,
        }
    }
}

impl PlantedModel {
    /// Draws it.
    ///
    /// # Errors
    /// A model of no samples or no width.
    pub fn draw(&self, seed: u64) -> Result<Input> {
        let n = self.samples;
        let mut draws = stream(seed, "classes");
        let chances: Vec<f64> = (0..self.classes)
            .map(|class| libm::pow(self.balance, -(class as f64)))
            .collect();
        let whole: f64 = chances.iter().sum();
        let mut labels: Vec<i64> = Vec::with_capacity(n);
        while labels.len() < n {
            let mut at = draws.below(1 << 30) as f64 / (1_u64 << 30) as f64 * whole;
            let class = chances.iter().position(|chance| {
                at -= chance;
                at < 0.0
            });
            let class = class.unwrap_or(self.classes - 1) as i64;
            labels.extend(std::iter::repeat_n(class, self.group.min(n - labels.len())));
        }
        let mut latents: Vec<Vec<f64>> = Vec::new();
        let mut means: Vec<Vec<f64>> = Vec::new();
        for (at, modality) in self.modalities.iter().enumerate() {
            let mut draws = stream(seed, &format!("latent {at}"));
            if let Some(of) = modality.repeats {
                latents.push(latents[of].clone());
                means.push(means[of].clone());
                continue;
            }
            // Of each class a direction of length `strength`.
            let mut mean: Vec<f64> = (0..self.classes * LATENT).map(|_| draws.normal()).collect();
            for mean in mean.chunks_exact_mut(LATENT) {
                let size = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
                for x in mean.iter_mut() {
                    *x *= modality.strength / size;
                }
            }
            let mut shared = [0.0; LATENT];
            let mut latent = Vec::with_capacity(n * LATENT);
            for (row, &label) in labels.iter().enumerate() {
                if self.group > 1 && row % self.group == 0 {
                    for x in &mut shared {
                        *x = draws.normal();
                    }
                }
                for (place, shared) in shared.iter().enumerate() {
                    // Nine tenths of the variance are the group's.
                    let own = draws.normal();
                    let noise = if self.group > 1 {
                        0.9_f64.sqrt() * shared + 0.1_f64.sqrt() * own
                    } else {
                        own
                    };
                    latent.push(mean[label as usize * LATENT + place] + noise);
                }
            }
            latents.push(latent);
            means.push(mean);
        }
        let mut reached: Vec<Vec<f64>> = Vec::new();
        for (at, (modality, latent)) in self.modalities.iter().zip(&latents).enumerate() {
            let mut draws = stream(seed, &format!("fused {at}"));
            let lost = (1.0 - modality.used * modality.used).max(0.0).sqrt();
            reached.push(
                latent
                    .iter()
                    .map(|z| modality.used * z + lost * draws.normal())
                    .collect(),
            );
        }
        let fused_latents: Vec<&[f64]> = reached.iter().map(Vec::as_slice).collect();
        let mut fused = mixed(&fused_latents, n, self.fused_width, &mut stream(seed, "fusion"));
        if self.relu {
            for x in &mut fused {
                *x = x.max(0.0);
            }
        }
        let name = |at: usize| char::from(b'a' + at as u8).to_string();
        let modalities = latents.iter().enumerate().map(|(at, latent)| {
            let embedding = mixed(&[latent], n, self.width, &mut stream(seed, &format!("encoder {at}")));
            Ok(Modality {
                name: name(at),
                embedding: features(embedding, n)?,
                alone: None,
            })
        });
        Ok(Input {
            modalities: modalities.collect::<Result<_>>()?,
            fused: (self.fused_width > 0).then(|| features(fused, n)).transpose()?,
            logits: self
                .output
                .then(|| features(self.best(&reached, &means), n))
                .transpose()?,
            subsets: Vec::new(),
            weight: None,
            groups: (self.group > 1).then(|| (0..n).map(|row| (row / self.group) as i64).collect()),
            labels,
            split: None,
            notes: Vec::new(),
            files: BTreeMap::new(),
        })
    }

    /// Logits by the planted means, as far as latents reached the fusion.
    fn best(&self, reached: &[Vec<f64>], means: &[Vec<f64>]) -> Vec<f64> {
        let mut logits = Vec::with_capacity(self.samples * self.classes);
        for row in 0..self.samples {
            for class in 0..self.classes {
                let mut logit = class as f64 * (self.offset - libm::log(self.balance));
                for ((modality, z), mean) in self.modalities.iter().zip(reached).zip(means) {
                    if modality.repeats.is_some() {
                        continue;
                    }
                    let z = &z[row * LATENT..(row + 1) * LATENT];
                    let mean = &mean[class * LATENT..(class + 1) * LATENT];
                    let of = z.iter().zip(mean).map(|(z, mean)| {
                        let mean = modality.used * mean;
                        z * mean - 0.5 * mean * mean
                    });
                    logit += modality.weight * of.sum::<f64>();
                }
                logits.push(logit);
            }
        }
        logits
    }
}

/// Latents times a random matrix, with a little noise, `[n, width]`.
fn mixed(latents: &[&[f64]], n: usize, width: usize, draws: &mut mmcollapse_probes::SplitMix64) -> Vec<f64> {
    let inputs = latents.len() * LATENT;
    let weights: Vec<f64> = (0..inputs * width)
        .map(|_| draws.normal() / (inputs as f64).sqrt())
        .collect();
    let mut values = Vec::with_capacity(n * width);
    for row in 0..n {
        let z = || {
            latents
                .iter()
                .flat_map(move |latent| &latent[row * LATENT..(row + 1) * LATENT])
        };
        for weights in weights.chunks_exact(inputs) {
            values.push(z().zip(weights).map(|(z, w)| z * w).sum::<f64>() + OWN_NOISE * draws.normal());
        }
    }
    values
}

fn features(values: Vec<f64>, n: usize) -> Result<Features> {
    let info = ArrayInfo {
        name: "planted".into(),
        shape: vec![n, values.len() / n.max(1)],
        dtype: Dtype::F64,
        path: "planted".into(),
    };
    Features::new(
        Array {
            info,
            values: Values::Double(values),
        },
        Some(n),
    )
}
