//! Losses: what training makes small.
//!
//! Composed of tensor operations whose gradients are right, so that they run on every device and in every
//! floating type; softmax cross-entropy, the one that every step takes, is fused (see [`crate::ops`]).

mod bce;
mod crd;
mod distillation;
mod importance;
mod info_nce;
mod nt_xent;
mod supervised_contrastive;

pub use crate::ops::softmax_cross_entropy;
pub use bce::bce_with_logits;
pub use crd::{Crd, CrdConfig};
pub use distillation::distillation;
pub use importance::{DoublyReparameterized, laplace_log_density, log_mean_exp};
pub use info_nce::{info_nce, info_nce_scaled, l2_normalize};
pub use nt_xent::nt_xent;
pub use supervised_contrastive::supervised_contrastive;
