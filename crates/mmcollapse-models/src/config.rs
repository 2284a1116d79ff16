//! What a cell is: everything that decides its numbers, fully resolved.

use std::collections::BTreeMap;

use mmcollapse_record::Protocol;
use serde::{Deserialize, Serialize};

use crate::{method::MethodConfig, training::Training};

/// One training run: one method, one protocol, one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellConfig {
    /// Name of the data set.
    pub dataset: String,
    /// The modalities that the model has, in this order; all of the data set if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modalities: Vec<String>,
    /// Which modality is missing, when, and how often.
    pub protocol: Protocol,
    /// Encoder of each modality by its name or, for all of a kind, by that (`dense`, `codes`, `series`); a modality not named
    /// takes the encoder made for its shape.
    #[serde(default)]
    pub encoders: BTreeMap<String, MethodConfig>,
    /// How encodings meet.
    pub fusion: MethodConfig,
    /// What is done to the encoders.
    #[serde(default = "MethodConfig::none")]
    pub reallocation: MethodConfig,
    /// How training weighs the modalities; without it as the fusion's source does, which most leave alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balancing: Option<MethodConfig>,
    /// What stands in for a missing modality at evaluation; `auto` leaves it to the reallocation.
    #[serde(default = "MethodConfig::auto")]
    pub substitution: MethodConfig,
    /// Optimizer, epochs, batch.
    #[serde(default)]
    pub training: Training,
    /// Keys every random draw, the draw of the data included.
    pub seed: u64,
}
