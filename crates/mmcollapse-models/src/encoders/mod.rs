//! Encoders: one modality's input to one vector.

mod lenet5;
mod snetpluse;
mod spectrogram_cnn;

use mmcollapse_nn::{Mode, Result as TensorResult, Scope, Tensor};

use crate::{
    error::{ModelError, Result},
    registry::{Entry, Options, find},
};

/// Turns one modality into an encoding.
pub trait Encoder {
    /// Width of the encoding.
    fn width(&self) -> usize;

    /// `x: [rows, shape..]` to `[rows, width]`.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor>;
}

/// How an encoder is made, and for which inputs it is the default.
pub struct Builder {
    /// Input shape (without the sample axis) that the encoder reads.
    pub shape: &'static [usize],
    /// Constructor.
    pub make: fn(&Options, &Scope) -> Result<Box<dyn Encoder>>,
}

/// Every encoder, in the order of `mmcollapse list methods`.
pub static ENCODERS: &[Entry<Builder>] = &[lenet5::ENTRY, snetpluse::ENTRY, spectrogram_cnn::ENTRY];

/// The name of the encoder made for inputs of this shape.
///
/// # Errors
/// No encoder reads this shape.
pub fn default_for(dataset: &str, modality: &str, shape: &[usize]) -> Result<&'static str> {
    ENCODERS
        .iter()
        .find(|e| e.build.shape == shape)
        .map(|e| e.name)
        .ok_or_else(|| ModelError::Unfit {
            dataset: dataset.to_owned(),
            reason: format!(
                "no encoder reads modality `{modality}` of shape {shape:?}; there are {}",
                ENCODERS
                    .iter()
                    .map(|e| format!("{} for {:?}", e.name, e.build.shape))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        })
}

/// Makes the encoder `name` with its variables under `scope`.
///
/// # Errors
/// Unknown name, refused options.
pub fn build(name: &str, options: &Options, scope: &Scope) -> Result<Box<dyn Encoder>> {
    (find("encoder", ENCODERS, name)?.build.make)(options, scope)
}
