//! What is measured: scores, similarities, ranks and statistics, as pure functions on arrays.
//!
//! Nothing here knows a data set or a model. Every function takes slices or a [`Matrix`], returns a number or a
//! [`MeasureError`] that says what it got, and names the source of its formula. All arithmetic is in f64,
//! whatever the precision of the input. Values are checked against scipy, numpy, scikit-learn and statsmodels:
//! `scripts/fixtures_probes.py` computes what `tests/against_references.rs` expects, `scripts/fixtures_mechanism.py` what
//! `tests/mechanism.rs` expects, `scripts/fixtures_verdict.py` what
//! `tests/verdict.rs` expects, and `scripts/fixtures_classification.py` what `tests/classification.rs` and
//! `tests/collinearity.rs` expect.

mod classification;
mod clusters;
mod curve;
mod draws;
mod eigen;
mod error;
mod estimate;
mod holm;
mod linear_probe;
mod matrix;
mod mechanism;
mod paired;
mod rank;
mod representation;
mod scores;
mod similarity;
mod verdict;
mod vif;
mod wilcoxon;

pub use classification::{
    Auroc, AurocTest, CalibrationBin, Level, Measured, Outcomes, Resampling, Tally, auprc_trapezoid, auroc,
    auroc_delong, average_precision, bootstrap_difference, bootstrap_measure, brier_score, calibration,
    calibration_error, delong_test, log_loss,
};
pub use clusters::{k_means, purity};
pub use curve::{PlateauRule, plateaus, steps_to_fall};
pub use draws::SplitMix64;
pub use eigen::symmetric_eigenvalues;
pub use error::MeasureError;
pub use estimate::{Estimate, Interval, bootstrap_interval, estimate, mean, quantile, standard_deviation, t_interval};
pub use holm::holm;
pub use linear_probe::{LinearProbe, Penalised};
pub use matrix::Matrix;
pub use mechanism::{
    Closeness, Crossing, FeatureRole, FusionLayer, NeuronGroup, PlantedFeature, PlantedFeatures, RoleOdds, agop,
    agop_distance, agop_distance_excess, agop_distance_rotated, by_group, capacity, capacity_noise,
    capacity_predictive, closeness, contribution_conjugate, contribution_noise, contribution_predictive, crossing,
    crossing_excess, crossing_observed, crossing_permuted, crossing_random, encodings_mmd, integrated_gradients,
    leading_modality, mixing_neurons, mixing_neurons_5, mixing_neurons_20, mixing_neurons_integrated, mixing_share,
    mmd, monosemantic_meanings_50, monosemantic_neurons, monosemantic_neurons_50, monosemantic_neurons_80,
    monosemantic_share, neuron_shares, noise_cost, perceptual_score, places, planted_response, role_odds,
    role_odds_excess, role_places_excess, role_places_tied_excess, shapley, share_of_orders, shares, utilisation_rate,
    weight_activation,
};
pub use paired::{PairedDifference, paired_difference};
pub use rank::{Ranks, matrix_ranks, ranks, singular_values};
pub use representation::{
    OfModality, Reading, Representation, cka, cosine, rank_effective, rank_numerical, rank_stable, vif_collinear,
    vif_mean,
};
pub use scores::accuracy;
pub use similarity::{cosine_similarity, linear_cka, mean_cosine_similarity};
pub use verdict::{
    Claimed, Comparison, Judged, Judgement, Reason, Sides, Spread, Verdict, judge, kink, noncentral_t_cdf,
    paired_power, pairs_needed, resampled_interval, slope,
};
pub use vif::{VarianceInflation, variance_inflation};
pub use wilcoxon::{Wilcoxon, smallest_attainable_p, wilcoxon_signed_rank};

/// Result of a measurement.
pub type Result<T> = std::result::Result<T, MeasureError>;
