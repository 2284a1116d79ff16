//! What the paper explains collapse by: which features share which neurons, how much room each has, how close weights are to what
//! the gradients ask for, how far modalities lie apart, and what each is worth.
//!
//! Nothing here draws a feature or knows a model: functions take weights, activations and gradients as matrices.

mod agop;
mod attribution;
mod capacity;
mod distance;
mod entanglement;
mod worth;

pub use agop::{Closeness, agop, closeness};
pub use attribution::{by_group, integrated_gradients, planted_response, shares, weight_activation};
pub use capacity::capacity;
pub use distance::mmd;
pub use entanglement::{Crossing, RoleOdds, crossing, mixing_share, monosemantic_share, role_odds};
pub use worth::{perceptual_score, shapley, utilisation_rate};
