//! Encoders: one modality's input to one vector and, where its parts have encodings of their own, to tokens.

mod cnn;
mod code_bag;
mod code_transformer;
mod gru;
mod ids;
mod lenet5;
mod linear;
mod mlp;
mod snetpluse;
mod spectrogram_cnn;

use std::fmt;

use mmcollapse_data::{Kind, ModalitySpec};
use mmcollapse_nn::{Mode, Result as TensorResult, Scope, Tensor};

use crate::{
    encodings::Sequence,
    error::{ModelError, Result},
    registry::{Entry, Options, find},
};

/// A modality in both forms in which a fusion may read it.
pub struct Encoded {
    /// `[rows, width]`.
    pub vector: Tensor,
    /// Tokens of the same width, at least one a row; where there are none, the vector is the one token.
    pub tokens: Option<Sequence>,
}

/// Turns one modality into an encoding.
pub trait Encoder {
    /// Width of the encoding and of a token.
    fn width(&self) -> usize;

    /// Number of places that the order of the tokens tells apart and their values do not, so that a fusion has to; 0 where
    /// the values do, or where order means nothing.
    fn places(&self) -> usize {
        0
    }

    /// `x: [rows, shape..]` to `[rows, width]`.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor>;

    /// The vector of [`Encoder::forward`], bit by bit, and the tokens, in one pass.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn encode(&self, x: &Tensor, mode: Mode) -> TensorResult<Encoded> {
        Ok(Encoded {
            vector: self.forward(x, mode)?,
            tokens: None,
        })
    }
}

/// How an encoder is made, and for which inputs it is the default.
pub struct Builder {
    /// Inputs that the encoder reads.
    pub reads: Inputs,
    /// Constructor.
    pub make: Make,
}

/// Makes an encoder from its options, for a modality, with its variables under the scope.
pub type Make = fn(&Options, &ModalitySpec, &Scope) -> Result<Box<dyn Encoder>>;

/// Inputs by kind and shape, without the sample axis.
#[derive(Clone, Copy, Debug)]
pub enum Inputs {
    /// Measurements of one of these shapes.
    Of(&'static [&'static [usize]]),
    /// Measurements of any three axes: channels, height, width.
    Images,
    /// A row of measurements of any length.
    Vectors,
    /// Codes of any vocabulary.
    Codes,
    /// A series of any length and width.
    Series,
}

impl Inputs {
    fn admit(self, modality: &ModalitySpec) -> bool {
        match (self, modality.kind) {
            (Self::Of(shapes), Kind::Dense) => shapes.contains(&&modality.shape[..]),
            (Self::Images, Kind::Dense) => modality.shape.len() == 3,
            (Self::Vectors, Kind::Dense) | (Self::Codes, Kind::Codes { .. }) => modality.shape.len() == 1,
            (Self::Series, Kind::Series) => modality.shape.len() == 2,
            _ => false,
        }
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(shapes) => {
                let shapes: Vec<String> = shapes.iter().map(|shape| format!("{shape:?}")).collect();
                f.write_str(&shapes.join(" or "))
            }
            Self::Images => f.write_str("[channels, height, width]"),
            Self::Vectors => f.write_str("[n]"),
            Self::Codes => f.write_str("[n] codes"),
            Self::Series => f.write_str("[steps, 1 + n] series"),
        }
    }
}

/// Every encoder, in the order of `mmcollapse list methods`.
pub static ENCODERS: &[Entry<Builder>] = &[
    lenet5::ENTRY,
    snetpluse::ENTRY,
    spectrogram_cnn::ENTRY,
    cnn::ENTRY,
    mlp::ENTRY,
    linear::ENTRY,
    code_bag::ENTRY,
    code_transformer::ENTRY,
    gru::ENTRY,
];

/// The name of the encoder made for a modality.
///
/// # Errors
/// No encoder reads it.
pub fn default_for(dataset: &str, modality: &ModalitySpec) -> Result<&'static str> {
    ENCODERS
        .iter()
        .find(|e| e.build.reads.admit(modality))
        .map(|e| e.name)
        .ok_or_else(|| ModelError::Unfit {
            dataset: dataset.to_owned(),
            reason: format!(
                "no encoder reads modality `{}` ({}); there are {}",
                modality.name,
                described(modality),
                ENCODERS
                    .iter()
                    .map(|e| format!("{} for {}", e.name, e.build.reads))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        })
}

fn described(modality: &ModalitySpec) -> String {
    let shape = &modality.shape;
    match modality.kind {
        Kind::Dense => format!("{shape:?}"),
        Kind::Codes { vocabulary } => format!("{shape:?} codes of {vocabulary}"),
        Kind::Series => format!("{shape:?} series"),
    }
}

/// Makes the encoder `name` for a modality, with its variables under `scope`.
///
/// # Errors
/// Unknown name, refused options, inputs that it does not read.
pub fn build(name: &str, options: &Options, modality: &ModalitySpec, scope: &Scope) -> Result<Box<dyn Encoder>> {
    let builder = &find("encoder", ENCODERS, name)?.build;
    if !builder.reads.admit(modality) {
        return Err(ModelError::Options {
            axis: "encoder",
            method: name.to_owned(),
            reason: format!("it reads {}, got {}", builder.reads, described(modality)),
        });
    }
    (builder.make)(options, modality, scope)
}

#[cfg(test)]
mod tests;
