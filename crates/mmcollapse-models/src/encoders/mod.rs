//! Encoders: one modality's input to one vector.

mod lenet5;
mod mlp;
mod snetpluse;
mod spectrogram_cnn;

use std::fmt;

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
    /// Inputs that the encoder reads.
    pub reads: Inputs,
    /// Constructor.
    pub make: Make,
}

/// Makes an encoder from its options, for inputs of this shape, with its variables under the scope.
pub type Make = fn(&Options, &[usize], &Scope) -> Result<Box<dyn Encoder>>;

/// Shapes of inputs, without the sample axis.
#[derive(Clone, Copy, Debug)]
pub enum Inputs {
    /// This one.
    Of(&'static [usize]),
    /// A row of numbers of any length.
    Vectors,
}

impl Inputs {
    fn admit(self, shape: &[usize]) -> bool {
        match self {
            Self::Of(own) => own == shape,
            Self::Vectors => shape.len() == 1,
        }
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(shape) => write!(f, "{shape:?}"),
            Self::Vectors => f.write_str("[n]"),
        }
    }
}

/// Every encoder, in the order of `mmcollapse list methods`.
pub static ENCODERS: &[Entry<Builder>] = &[lenet5::ENTRY, snetpluse::ENTRY, spectrogram_cnn::ENTRY, mlp::ENTRY];

/// The name of the encoder made for inputs of this shape.
///
/// # Errors
/// No encoder reads this shape.
pub fn default_for(dataset: &str, modality: &str, shape: &[usize]) -> Result<&'static str> {
    ENCODERS
        .iter()
        .find(|e| e.build.reads.admit(shape))
        .map(|e| e.name)
        .ok_or_else(|| ModelError::Unfit {
            dataset: dataset.to_owned(),
            reason: format!(
                "no encoder reads modality `{modality}` of shape {shape:?}; there are {}",
                ENCODERS
                    .iter()
                    .map(|e| format!("{} for {}", e.name, e.build.reads))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        })
}

/// Makes the encoder `name` for inputs of this shape, with its variables under `scope`.
///
/// # Errors
/// Unknown name, refused options, inputs that it does not read.
pub fn build(name: &str, options: &Options, shape: &[usize], scope: &Scope) -> Result<Box<dyn Encoder>> {
    let builder = &find("encoder", ENCODERS, name)?.build;
    if !builder.reads.admit(shape) {
        return Err(ModelError::Options {
            axis: "encoder",
            method: name.to_owned(),
            reason: format!("it reads inputs of shape {}, got {shape:?}", builder.reads),
        });
    }
    (builder.make)(options, shape, scope)
}
