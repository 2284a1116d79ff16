//! From pixels and samples to the numbers that the encoders are given.

use super::Recipe;
use crate::Samples;
use crate::mfcc::{Mfcc, MfccConfig};
use crate::sets::spoken::Clip;
use crate::sources::Record;

/// Turns records into inputs.
pub(super) struct Features<'a> {
    pub recipe: &'a Recipe,
    /// One sample in so many of a clip is heard.
    every: usize,
    mfcc: Mfcc,
}

impl<'a> Features<'a> {
    pub fn new(recipe: &'a Recipe, every: usize) -> Self {
        let mfcc = Mfcc::new(MfccConfig {
            coefficients: recipe.coefficients,
            ..MfccConfig::librosa(recipe.mel_sample_rate)
        });
        Self { recipe, every, mfcc }
    }

    /// `[1, 28, 28]`
    pub fn image(&self, record: &Record) -> Vec<f32> {
        let scale = |&x: &u8| (f32::from(x) / 255. - self.recipe.image_mean) / self.recipe.image_sd;
        record.content.iter().map(scale).collect()
    }

    /// `[1, coefficients, frames]`
    pub fn sound(&self, clip: &Clip) -> Vec<f32> {
        let clip: Vec<f64> = clip.samples().step_by(self.every.max(1)).collect();
        let coefficients = self.mfcc.of(&clip);
        let frames = self.mfcc.frames(clip.len());
        let mut padded = vec![0.; self.recipe.coefficients * self.recipe.frames];
        let rows = padded.chunks_exact_mut(self.recipe.frames);
        for (to, from) in rows.zip(coefficients.chunks_exact(frames)) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = *from as f32;
            }
        }
        padded
    }
}

/// Each coefficient over all frames to the mean 0 and standard deviation 1 that the training split then has.
pub(super) fn standardize(splits: &mut [Samples; 3], recipe: &Recipe) {
    let (coefficients, frames) = (recipe.coefficients, recipe.frames);
    for k in 0..coefficients {
        let of_k = |row: usize| row % coefficients == k;
        let values: Vec<f64> = splits[0].inputs[1]
            .numbers()
            .chunks_exact(frames)
            .enumerate()
            .filter(|(row, _)| of_k(*row))
            .flat_map(|(_, frame)| frame.iter().map(|&x| f64::from(x)))
            .collect();
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        let sd = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n)
            .sqrt()
            .max(1e-12);
        for split in splits.iter_mut() {
            let rows = split.inputs[1].numbers_mut().chunks_exact_mut(frames).enumerate();
            for (_, frame) in rows.filter(|(row, _)| of_k(*row)) {
                for x in frame {
                    *x = ((f64::from(*x) - mean) / sd) as f32;
                }
            }
        }
    }
}
