//! What the paper explains collapse by: which features share which neurons, how much room each has, how close weights are to what
//! the gradients ask for, how far modalities lie apart, and what each is worth.
//!
//! Nothing here draws a feature or knows a model: functions take weights, activations and gradients as matrices.

mod agop;
mod attribution;
mod capacity;
mod distance;
mod entanglement;
mod layer;
mod measured;
mod neurons;
mod worth;

pub use agop::{Closeness, agop, closeness};
pub use attribution::{by_group, integrated_gradients, places, planted_response, shares, weight_activation};
pub use capacity::capacity;
pub use distance::mmd;
pub use entanglement::{Crossing, RoleOdds, crossing, crossing_permuted, mixing_share, monosemantic_share, role_odds};
pub use layer::FusionLayer;
pub use measured::{
    FeatureRole, PlantedFeature, PlantedFeatures, agop_distance, agop_distance_excess, agop_distance_rotated,
    capacity_noise, capacity_predictive, contribution_conjugate, contribution_noise, contribution_predictive,
    crossing_excess, crossing_observed, crossing_random, encodings_mmd, mixing_neurons, mixing_neurons_5,
    mixing_neurons_20, mixing_neurons_integrated, monosemantic_meanings_50, monosemantic_neurons,
    monosemantic_neurons_50, monosemantic_neurons_80, noise_cost, role_odds_excess, role_places_excess,
    role_places_tied_excess,
};
pub use neurons::{NeuronGroup, leading_modality, neuron_shares};
pub use worth::{perceptual_score, shapley, share_of_orders, utilisation_rate};
