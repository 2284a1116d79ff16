//! From pixels and samples to the numbers that the encoders are given.

use mmcollapse_nn::random::Stream;

use super::{HardRecipe, NAME};
use crate::folder::FolderClip;
use crate::noise::{mix, power};
use crate::pca::Pca;
use crate::sets::spoken::Clip;
use crate::sources::Record;
use crate::stft::Stft;
use crate::{DataError, Samples};

fn odd(reason: String) -> DataError {
    DataError::Recipe {
        name: NAME.into(),
        reason,
    }
}

/// Turns records into inputs.
pub(super) struct Features<'a> {
    recipe: &'a HardRecipe,
    pca: Pca,
    stft: Stft,
}

impl<'a> Features<'a> {
    /// With the principal components of `images`.
    pub fn new(recipe: &'a HardRecipe, images: &[&[u8]]) -> Result<Self, DataError> {
        let k = recipe.components;
        let pca = Pca::fit(images, k)
            .ok_or_else(|| odd(format!("{} images have no {k} principal components", images.len())))?;
        let stft = Stft::new(recipe.window, recipe.hop);
        Ok(Self { recipe, pca, stft })
    }

    /// `[1, 28, 28]`
    pub fn image(&self, record: &Record) -> impl Iterator<Item = f32> {
        let (mean, sd) = (f64::from(self.recipe.image_mean), f64::from(self.recipe.image_sd));
        let pixels = self.pca.reconstruct(&record.content).into_iter();
        pixels.map(move |x| ((x / 255. - mean) / sd) as f32)
    }

    /// `[1, bins, frames]`, in dB
    pub fn sound(&self, clip: &Clip, noise: &[f64]) -> impl Iterator<Item = f32> {
        let speech: Vec<f64> = clip.samples().collect();
        let heard = mix(&speech, noise, self.recipe.snr_db);
        self.stft
            .decibels(&heard, self.recipe.top_db)
            .into_iter()
            .map(|x| x as f32)
    }
}

/// The noise that a split may be heard in.
pub(super) struct Noise<'a> {
    seed: u64,
    samples: usize,
    classes: Vec<(&'a str, Vec<&'a FolderClip>)>,
}

impl<'a> Noise<'a> {
    /// The classes drawn for training and validation, and those for the test.
    pub fn cut(
        recipe: &HardRecipe,
        seed: u64,
        names: &'a [String],
        clips: &'a [FolderClip],
    ) -> Result<(Self, Self), DataError> {
        if recipe.test_noise_classes == 0 || recipe.test_noise_classes >= names.len() {
            return Err(odd(format!(
                "test_noise_classes must be from 1 to {}",
                names.len().saturating_sub(1)
            )));
        }
        let mut drawn = Stream::new(seed, &format!("{NAME}/noise classes")).permutation(names.len());
        let for_train = drawn.split_off(recipe.test_noise_classes);
        let of = |classes: Vec<usize>| Self {
            seed,
            samples: recipe.samples,
            classes: classes
                .into_iter()
                .map(|class| {
                    let of_class = clips.iter().filter(|clip| clip.identity.label as usize == class);
                    (names[class].as_str(), of_class.collect())
                })
                .collect(),
        };
        Ok((of(for_train), of(drawn)))
    }

    /// A stretch of noise drawn for the sample `id`, and its name `class/clip`. Stretches of silence, such as the gaps
    /// between barks, are passed over.
    pub fn excerpt(&self, id: &str) -> Result<(String, &'a [f64]), DataError> {
        const SILENCE: f64 = 1e-8; // mean square; a few of the smallest steps of 16 bits
        const MOST_DRAWS: usize = 1000;
        let mut draw = Stream::new(self.seed, &format!("{NAME}/noise/{id}"));
        for _ in 0..MOST_DRAWS {
            let (class, clips) = &self.classes[draw.below(self.classes.len())];
            let Some(clip) = clips.get(draw.below(clips.len())) else {
                continue;
            };
            let Some(last) = clip.samples.len().checked_sub(self.samples) else {
                continue;
            };
            let start = draw.below(last + 1);
            let excerpt = &clip.samples[start..start + self.samples];
            if power(excerpt) > SILENCE {
                return Ok((format!("{class}/{}", clip.name), excerpt));
            }
        }
        let seconds = self.samples;
        Err(odd(format!(
            "in {MOST_DRAWS} draws no {seconds} samples of noise that are not silent"
        )))
    }
}

/// The sound to the mean 0 and standard deviation 1 that the training split then has.
pub(super) fn standardize(splits: &mut [Samples; 3]) {
    let values = splits[0].inputs[1].numbers();
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let sd = variance.sqrt().max(1e-12);
    for split in splits {
        for x in split.inputs[1].numbers_mut() {
            *x = ((f64::from(*x) - mean) / sd) as f32;
        }
    }
}
