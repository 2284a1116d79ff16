//! Layers: an operation of [`crate::ops`] or a few, with the parameters it learns.
//!
//! Names, shapes and defaults are PyTorch's, so that a checkpoint saved here loads there and the other way
//! round. A layer takes its parameters from a [`crate::Scope`]; what differs between training and evaluation is
//! said by [`crate::Mode`].

mod attention;
mod batch_norm;
mod conv;
mod dropout;
mod embedding;
mod gru;
mod layer_norm;
mod linear;

pub use attention::{AttentionBlock, attention, softmax};
pub use batch_norm::BatchNorm2d;
pub use conv::Conv2d;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use gru::Gru;
pub use layer_norm::{LayerNorm, layer_norm};
pub use linear::Linear;
