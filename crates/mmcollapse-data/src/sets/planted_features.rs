//! Data whose features are known: each modality is `x_i = A_i [u_i, c_i, n_i] + e`, drawn anew for every seed.
//!
//! The columns of A_i are orthonormal, so every feature has a direction of its own: u_i predicts by itself; c_i predicts only
//! together with its conjugate in another modality, or is a copy of it; n_i is noise. All have mean 0 and are independent, but for what options say.
//! The label is whether the sum of all u and of a term for each pair of conjugates is above 0. Of more than two classes each has a sum
//! of its own, and the label is that of the largest: telling K of them apart takes K - 1 directions.
//!
//! A set is called by what differs from the defaults, `planted-features:modalities=4,noise=8`. It is drawn, never stored, and so
//! is its [`Truth`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use mmcollapse_files::plain_words;
use mmcollapse_nn::random::Stream;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::File;
use crate::subspace::orthonormal;
use crate::{DataError, Dataset, DatasetSource, LoadOptions, ModalitySpec, Samples};

/// What stands before the options in the name of such a set.
pub const NAME: &str = "planted-features";

/// Names of the splits in random streams and of samples.
const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// What the two features of a conjugate pair have to do with the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// Complementary: the label has the product of their signs, an exclusive or. Neither says anything alone.
    Xor,
    /// Complementary: the label has their product.
    Product,
    /// Redundant: the label has the first, and the second is a copy of it.
    Copy,
    /// Complementary and additive: the label has their sum. Both predict by themselves, and nothing ties them.
    Sum,
}

/// What is planted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlantedFeatures {
    /// Number of modalities, 2 to 8.
    pub modalities: usize,
    /// Numbers in a sample of each modality.
    pub width: usize,
    /// Whether features lie along the axes, in their order, instead of along drawn directions.
    pub aligned: bool,
    /// Numbers that each modality has more than the one before it.
    pub wider: usize,
    /// Features of each modality that predict by themselves.
    pub predictive: usize,
    /// Pairs of conjugate features of each modality and the next, the last one's next being the first.
    pub conjugates: usize,
    /// What a pair has to do with the label.
    pub pairing: Pairing,
    /// What a pair weighs in the label beside a predictive feature.
    pub pair_weight: f64,
    /// Noise features of each modality.
    pub noise: usize,
    /// Features that a modality has at least: further noise makes them up.
    pub fill: usize,
    /// Noise features that each modality has more than the one before it: unequal modalities.
    pub noisier: usize,
    /// Standard deviation of a predictive or conjugate feature.
    pub strength: f64,
    /// Standard deviation of a noise feature.
    pub noise_strength: f64,
    /// Correlation of the k-th noise features of all modalities, in [0, 1): noise that is shared and predicts nothing.
    pub noise_correlation: f64,
    /// Standard deviation of e, what is added to every number.
    pub spread: f64,
    /// Number of classes. More than two have sums of their own, to which what decides is dealt in turn, modality after modality.
    pub classes: usize,
    /// Share of the labels that are drawn at random.
    pub label_noise: f64,
    /// Training samples.
    pub train: usize,
    /// Validation samples.
    pub validation: usize,
    /// Test samples.
    pub test: usize,
}

impl Default for PlantedFeatures {
    fn default() -> Self {
        Self {
            modalities: 2,
            width: 16,
            aligned: false,
            wider: 0,
            predictive: 2,
            conjugates: 1,
            pairing: Pairing::Xor,
            pair_weight: 1.0,
            noise: 4,
            fill: 0,
            noisier: 0,
            strength: 1.0,
            noise_strength: 1.0,
            noise_correlation: 0.0,
            spread: 0.1,
            classes: 2,
            label_noise: 0.0,
            train: 512,
            validation: 256,
            test: 512,
        }
    }
}

/// What a feature is to the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It predicts by itself.
    Predictive,
    /// It predicts together with the feature at this place.
    Conjugate(usize),
    /// It does not predict.
    Noise,
}

/// A feature of a modality.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// The modality's place.
    pub modality: usize,
    /// What it is to the label.
    pub role: Role,
    /// The place of the feature that it is a copy of, if it is one.
    pub copy_of: Option<usize>,
    /// Its direction in the modality's samples, of length 1.
    pub direction: Vec<f32>,
    /// Its standard deviation.
    pub deviation: f64,
}

/// What is true of a planted data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// Every feature, modality after modality.
    pub features: Vec<Feature>,
    /// Of each training, validation and test sample the value of every feature, in the order of the features.
    pub values: [Vec<Vec<f32>>; 3],
}

impl PlantedFeatures {
    /// Features of a modality.
    fn features(&self, modality: usize) -> usize {
        let predictive = self.predictive + 2 * self.conjugates;
        predictive + self.noise.max(self.fill.saturating_sub(predictive)) + modality * self.noisier
    }

    /// Places of a modality's features among all.
    fn places(&self, modality: usize) -> Range<usize> {
        let start = (0..modality).map(|before| self.features(before)).sum();
        start..start + self.features(modality)
    }

    fn width_of(&self, modality: usize) -> usize {
        self.width + modality * self.wider
    }

    /// Whether such data can be drawn.
    fn check(&self) -> Result<(), String> {
        if !(2..=8).contains(&self.modalities) {
            return Err(format!("`modalities` must be 2 to 8, got {}", self.modalities));
        }
        let crowded = (0..self.modalities).find(|&m| self.features(m) > self.width_of(m));
        if let Some(modality) = crowded {
            return Err(format!(
                "the {} features of {} need as many directions, and it has {} numbers",
                self.features(modality),
                modality_name(modality),
                self.width_of(modality)
            ));
        }
        if self.predictive + self.conjugates == 0 {
            return Err("nothing predicts: `predictive` and `conjugates` are 0".to_owned());
        }
        let deciding = self.modalities * (self.predictive + self.conjugates);
        if self.classes < 2 || self.classes > deciding.max(2) {
            return Err(format!(
                "`classes` must be 2 to {}, the number of terms that decide, got {}",
                deciding.max(2),
                self.classes
            ));
        }
        for (name, value) in [
            ("strength", self.strength),
            ("noise_strength", self.noise_strength),
            ("spread", self.spread),
            ("pair_weight", self.pair_weight),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!("`{name}` must be a number of at least 0, got {value}"));
            }
        }
        if !(0.0..1.0).contains(&self.noise_correlation) || !(0.0..=1.0).contains(&self.label_noise) {
            return Err(format!(
                "`noise_correlation` must be in [0, 1) and `label_noise` in [0, 1], got {} and {}",
                self.noise_correlation, self.label_noise
            ));
        }
        if [self.train, self.validation, self.test].contains(&0) {
            return Err("every split needs a sample".to_owned());
        }
        Ok(())
    }

    /// The features, with directions drawn from `seed`.
    fn features_of(&self, seed: u64) -> Vec<Feature> {
        let mut features = Vec::new();
        for modality in 0..self.modalities {
            let purpose = format!("planted/directions/{modality}");
            let mut stream = Stream::new(seed, &purpose);
            let (own, width) = (self.features(modality), self.width_of(modality));
            let axis = |place: usize| (0..width).map(|at| f64::from(u8::from(at == place))).collect();
            let directions = if self.aligned {
                (0..own).map(axis).collect()
            } else {
                orthonormal(
                    (0..own)
                        .map(|_| (0..width).map(|_| stream.normal()).collect())
                        .collect(),
                )
            };
            for (place, direction) in directions.into_iter().enumerate() {
                let role = self.role(modality, place);
                let copy_of = match role {
                    // Each pair once: its second feature is the copy.
                    Role::Conjugate(other) if self.pairing == Pairing::Copy && !self.is_first(place) => Some(other),
                    _ => None,
                };
                features.push(Feature {
                    modality,
                    role,
                    copy_of,
                    direction: direction.into_iter().map(|x| x as f32).collect(),
                    deviation: if role == Role::Noise {
                        self.noise_strength
                    } else {
                        self.strength
                    },
                });
            }
        }
        features
    }

    /// Predictive features come first, then those that are paired with the next modality, those that are paired with the one
    /// before, and noise.
    fn role(&self, modality: usize, place: usize) -> Role {
        let pairs = self.conjugates;
        let next = (modality + 1) % self.modalities;
        let before = (modality + self.modalities - 1) % self.modalities;
        match place.checked_sub(self.predictive) {
            None => Role::Predictive,
            Some(k) if k < 2 * pairs && self.pairing == Pairing::Sum => Role::Predictive,
            Some(k) if k < pairs => Role::Conjugate(self.places(next).start + self.predictive + pairs + k),
            Some(k) if k < 2 * pairs => Role::Conjugate(self.places(before).start + self.predictive + k - pairs),
            Some(_) => Role::Noise,
        }
    }

    /// Whether a conjugate feature, by its place in its modality, is the first of its pair.
    fn is_first(&self, place: usize) -> bool {
        place < self.predictive + self.conjugates
    }

    /// Draws the samples of a split: the value of every feature, and labels.
    fn draw(&self, features: &[Feature], seed: u64, split: &str, n: usize) -> (Vec<Vec<f32>>, Vec<u32>) {
        let places: Vec<Range<usize>> = (0..self.modalities).map(|modality| self.places(modality)).collect();
        // Of a feature the place in its modality.
        let own = |place: usize, feature: &Feature| place - places[feature.modality].start;
        let most = self.features(self.modalities - 1) - self.predictive - 2 * self.conjugates;
        let mut stream = Stream::new(seed, &format!("planted/values/{split}"));
        let mut labels = Stream::new(seed, &format!("planted/labels/{split}"));
        let shared = self.noise_correlation.sqrt();
        let rest = (1.0 - self.noise_correlation).sqrt();
        let mut all = Vec::with_capacity(n);
        let mut classes = Vec::with_capacity(n);
        for _ in 0..n {
            let common: Vec<f64> = (0..most).map(|_| stream.normal()).collect();
            let mut values: Vec<f64> = (0..features.len()).map(|_| stream.normal()).collect();
            for (place, feature) in features.iter().enumerate() {
                if feature.role == Role::Noise {
                    let k = own(place, feature) - self.predictive - 2 * self.conjugates;
                    values[place] = shared * common[k] + rest * values[place];
                }
            }
            // What decides, in the order of the features.
            let mut terms = Vec::new();
            for (place, feature) in features.iter().enumerate() {
                match feature.role {
                    Role::Predictive if own(place, feature) < self.predictive => terms.push(values[place]),
                    Role::Predictive => terms.push(self.pair_weight * values[place]),
                    // Each pair once, from its first feature.
                    Role::Conjugate(other) if self.is_first(own(place, feature)) => {
                        match self.pairing {
                            Pairing::Xor => {
                                terms.push(self.pair_weight * values[place].signum() * values[other].signum());
                            }
                            Pairing::Product => terms.push(self.pair_weight * values[place] * values[other]),
                            Pairing::Copy => {
                                values[other] = values[place];
                                terms.push(self.pair_weight * values[place]);
                            }
                            Pairing::Sum => {} // they have no such role
                        }
                    }
                    _ => {}
                }
            }
            let is_drawn = labels.bernoulli(self.label_noise);
            // From the last class down: so were the published labels of two classes drawn.
            let guess = self.classes - 1 - labels.below(self.classes);
            let class = if is_drawn { guess } else { self.class_of(&terms) };
            classes.push(class as u32);
            let scaled = values.iter().zip(features);
            all.push(
                scaled
                    .map(|(value, feature)| (value * feature.deviation) as f32)
                    .collect(),
            );
        }
        (all, classes)
    }

    /// The class that terms decide for.
    fn class_of(&self, terms: &[f64]) -> usize {
        if self.classes == 2 {
            return usize::from(terms.iter().sum::<f64>() > 0.0);
        }
        let sum = |class: usize| terms.iter().skip(class).step_by(self.classes).sum::<f64>();
        (1..self.classes).fold(0, |best, class| if sum(class) > sum(best) { class } else { best })
    }

    fn class_names(&self) -> Vec<String> {
        if self.classes == 2 {
            return ["below", "above"].map(str::to_owned).to_vec();
        }
        (1..=self.classes).map(|class| format!("sum {class}")).collect()
    }

    /// What is true of the data set of a seed, and the labels of each split.
    fn truth(&self, seed: u64) -> (Truth, [Vec<u32>; 3]) {
        let features = self.features_of(seed);
        let draw = |split: usize, n: usize| self.draw(&features, seed, SPLITS[split], n);
        let (train, of_train) = draw(0, self.train);
        let (validation, of_validation) = draw(1, self.validation);
        let (test, of_test) = draw(2, self.test);
        let values = [train, validation, test];
        (Truth { features, values }, [of_train, of_validation, of_test])
    }

    /// The data set of a seed, and what is true of it.
    pub fn plant(&self, name: &str, seed: u64) -> (Dataset, Truth) {
        let (truth, labels) = self.truth(seed);
        let [train, validation, test] = labels;
        let modalities = 0..self.modalities;
        let dataset = Dataset::new(
            name,
            modalities
                .map(|m| ModalitySpec::new(modality_name(m), &[self.width_of(m)]))
                .collect(),
            self.class_names(),
            self.samples(&truth, seed, 0, train),
            self.samples(&truth, seed, 1, validation),
            self.samples(&truth, seed, 2, test),
        );
        (dataset, truth)
    }

    /// The samples of a split: every feature along its direction, and what is added to every number.
    fn samples(&self, truth: &Truth, seed: u64, split: usize, labels: Vec<u32>) -> Samples {
        let (name, values) = (SPLITS[split], &truth.values[split]);
        let inputs = (0..self.modalities).map(|modality| {
            let width = self.width_of(modality);
            let purpose = format!("planted/spread/{name}/{modality}");
            let mut x = Stream::new(seed, &purpose).normal_vec(labels.len() * width);
            let here = self.places(modality);
            for (x, values) in x.chunks_exact_mut(width).zip(values) {
                for x in x.iter_mut() {
                    *x *= self.spread as f32;
                }
                for (feature, value) in truth.features[here.clone()].iter().zip(&values[here.clone()]) {
                    x.iter_mut().zip(&feature.direction).for_each(|(x, a)| *x += a * value);
                }
            }
            x
        });
        let inputs = inputs.collect();
        let ids = (0..labels.len()).map(|i| format!("{name}/{i}")).collect();
        Samples::complete(ids, inputs, labels)
    }
}

fn modality_name(place: usize) -> String {
    format!("m{}", place + 1)
}

/// A set of planted features with its name.
struct Set {
    name: String,
    planted: PlantedFeatures,
}

/// The sets that were asked for, by the options in their names.
static ASKED: Mutex<BTreeMap<String, &'static Set>> = Mutex::new(BTreeMap::new());

/// The set that the name is of, if it is one of these.
fn asked(name: &str) -> Option<Result<&'static Set, DataError>> {
    let options = name.strip_prefix(NAME)?;
    let options = if options.is_empty() {
        ""
    } else {
        options.strip_prefix(':')?
    };
    let set = with_options(name, options).map_err(|reason| DataError::Planted {
        name: name.to_owned(),
        reason,
    });
    Some(set)
}

fn with_options(name: &str, options: &str) -> Result<&'static Set, String> {
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = asked.get(options) {
        return Ok(*known);
    }
    let planted = parse(options)?;
    // A program asks for a handful of them and needs each to its end.
    let set: &'static Set = Box::leak(Box::new(Set {
        name: name.to_owned(),
        planted,
    }));
    asked.insert(options.to_owned(), set);
    Ok(set)
}

/// The data set that a composed name is of.
pub(super) fn composed(name: &str) -> Option<Result<&'static dyn DatasetSource, DataError>> {
    Some(asked(name)?.map(|set| -> &'static dyn DatasetSource { set }))
}

/// Options as they stand in a name: `modalities=4,pairing=copy`.
fn parse(options: &str) -> Result<PlantedFeatures, String> {
    let mut given = Map::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option
            .split_once('=')
            .ok_or_else(|| format!("`{option}` is no `option=value`"))?;
        // A number, or a word.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        if given.insert(key.to_owned(), value).is_some() {
            return Err(format!("`{key}` is given twice"));
        }
    }
    let planted: PlantedFeatures =
        serde_json::from_value(Value::Object(given)).map_err(|e| plain_words(&e.to_string()))?;
    planted.check().map(|()| planted)
}

/// What is true of the data set `name` as `seed` draws it; nothing for a set whose features nobody planted.
///
/// # Errors
/// Options in the name that cannot be.
pub fn truth(name: &str, seed: u64) -> Result<Option<Truth>, DataError> {
    let planted = asked(name).transpose()?;
    Ok(planted.map(|set| set.planted.truth(seed).0))
}

pub(super) const FILE: File = File {
    sets: || composed(NAME).and_then(Result::ok).into_iter().collect(),
    sources: &[],
};

impl DatasetSource for Set {
    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> String {
        let PlantedFeatures {
            modalities,
            predictive,
            conjugates,
            noise,
            ..
        } = self.planted;
        format!(
            "synthetic, features known: {modalities} modalities with {predictive} predictive, {} conjugate and {noise} noise \
             features each; options in the name, {NAME}:modalities=4,noise=8",
            2 * conjugates
        )
    }

    fn modalities(&self) -> Vec<String> {
        (0..self.planted.modalities).map(modality_name).collect()
    }

    fn samples(&self) -> Option<usize> {
        Some(self.planted.train + self.planted.validation + self.planted.test)
    }

    fn synthetic(&self) -> Option<&'static str> {
        Some("Synthetic data: features planted in noise, to test an explanation and not a method.")
    }

    fn two_classes(&self) -> bool {
        self.planted.classes == 2
    }

    fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        Ok(self.planted.plant(&self.name, options.seed).0)
    }
}

#[cfg(test)]
mod tests;
