//! Substitution: what stands in for a missing modality at evaluation.

mod latent;
mod mean;
mod nearest;
mod none;
mod random;
mod target;
mod zeros;

use mmcollapse_data::Presence;
use mmcollapse_nn::{Result as TensorResult, Tensor};
use mmcollapse_probes::Matrix;

use crate::{
    encodings::Encodings,
    error::Result,
    method::MethodConfig,
    reallocation::Reallocation,
    registry::{Entry, Options, find},
    rows::scatter_rows,
};

/// Latents of samples on which a ranking of the modalities is made.
pub struct LatentSamples {
    /// Per modality `[n, width]` over the same n samples, which have all modalities.
    pub latents: Vec<Matrix>,
    /// The modality with the highest accuracy alone.
    pub strongest: usize,
}

/// The training samples as a trained model encodes them.
pub struct TrainingEncodings {
    /// Per modality `[n, width]`; the row of a sample without the modality is zero.
    pub z: Vec<Tensor>,
    /// Which samples have which modality.
    pub present: Presence,
    /// Class of each sample.
    pub labels: Vec<u32>,
    /// Number of classes.
    pub classes: usize,
    /// Seed of the cell.
    pub seed: u64,
}

/// A way to fill in the encodings of missing modalities.
pub trait Substitution {
    /// Learns, after training and never on test, what it needs of the latents (a ranking of modalities).
    fn fit(&mut self, _samples: &LatentSamples) {}

    /// Whether it learns from the training samples' encodings.
    fn wants_encodings(&self) -> bool {
        false
    }

    /// Learns from them, after training.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    fn learn(&mut self, _training: &TrainingEncodings) -> TensorResult<()> {
        Ok(())
    }

    /// Whether, instead of filling anything in, a model is trained for each pattern of modalities.
    fn retrains(&self) -> bool {
        false
    }

    /// Fills in what is missing and marks it present.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn stand_in(&self, encodings: &mut Encodings, reallocation: &dyn Reallocation) -> TensorResult<()>;
}

/// Constructor; the number is that of the modalities.
pub type Builder = fn(&Options, usize) -> Result<Box<dyn Substitution>>;

/// Every substitution, in the order of `mmcollapse list methods`.
pub static SUBSTITUTIONS: &[Entry<Builder>] = &[
    none::ENTRY,
    latent::ENTRY,
    zeros::ENTRY,
    random::ENTRY,
    nearest::ENTRY,
    mean::ENTRY,
    target::ENTRY,
];

/// Makes the substitution that `config` names.
///
/// # Errors
/// Unknown name, refused options.
pub fn build(config: &MethodConfig, modalities: usize) -> Result<Box<dyn Substitution>> {
    (find("substitution", SUBSTITUTIONS, &config.method)?.build)(&config.options, modalities)
}

/// Puts `of(sample)` `[width]` for every sample that lacks `modality` and has another, and marks it present; a sample of
/// which it makes nothing is left as it is.
fn fill(
    encodings: &mut Encodings,
    modality: usize,
    had: &Presence,
    mut of: impl FnMut(usize) -> TensorResult<Option<Vec<f32>>>,
) -> TensorResult<()> {
    let (n, width) = encodings.z[modality].dims2()?;
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for i in (0..n).filter(|&i| !had.get(i, modality) && (0..had.modalities()).any(|m| had.get(i, m))) {
        if let Some(row) = of(i)? {
            rows.push(i);
            values.extend(row);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let made = Tensor::from_vec(values, (rows.len(), width), encodings.z[modality].device())?;
    encodings.z[modality] = (&encodings.z[modality] + scatter_rows(&made, &rows, n)?)?;
    for i in rows {
        encodings.present.set(i, modality, true);
    }
    Ok(())
}

/// The rows of `x` `[n, width]` that have the modality, as numbers.
fn rows_of(x: &Tensor, present: &Presence, modality: usize) -> TensorResult<Vec<(usize, Vec<f32>)>> {
    let rows: Vec<Vec<f32>> = x.to_vec2()?;
    let having = present.rows(modality).into_iter();
    Ok(having.map(|i| (i, rows[i].clone())).collect())
}

#[cfg(test)]
mod tests;
