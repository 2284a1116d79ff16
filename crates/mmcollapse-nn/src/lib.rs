//! Tensors that learn.
//!
//! Layers, losses, optimizers and random streams on top of candle. Every operation a model can reach has its
//! gradient checked by finite differences; where candle's own gradient is wrong or absent, the operation here
//! replaces it (see `ops`). On CPU in f32 the hot operations are fused; on any other device or type the same
//! functions fall back to compositions of candle operations whose gradients are right.

pub mod device;
mod gradients;
pub mod layers;
pub mod losses;
mod mode;
pub mod ops;
pub mod optim;
mod params;
pub mod random;
pub mod safetensors;
pub mod schedule;

pub use candle_core::{self as candle, D, DType, Device, Error, Result, Tensor, Var, backprop::GradStore};
pub use gradients::backward;
pub use mode::Mode;
pub use params::{Init, Params, Scope};
