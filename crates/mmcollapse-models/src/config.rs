//! What a cell is: everything that decides its numbers, fully resolved.

use std::collections::BTreeMap;

use mmcollapse_nn::{
    optim::{OptimizerConfig, OptimizerKind},
    schedule::Schedule,
};
use mmcollapse_record::Protocol;
use serde::{Deserialize, Serialize};

use crate::{
    diagnosis,
    encoders::ENCODERS,
    error::{ModelError, Result},
    fusion::FUSIONS,
    reallocation::REALLOCATIONS,
    registry::{Options, find},
    substitution::SUBSTITUTIONS,
};

/// Raised when a change to the loop, the evaluation or the checkpoints may change any method's numbers.
const TRAINING_REVISION: u32 = 2; // the second has the same bits on every x86-64 processor with AVX2 and FMA

/// Raised when the same trained model gets other scores of two classes, or other measures of its representation.
const SCORES_REVISION: u32 = 2; // the second leaves out what is not defined, where the first wrote .5 or 0

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
    /// What stands in for a missing modality at evaluation; `auto` leaves it to the reallocation.
    #[serde(default = "MethodConfig::auto")]
    pub substitution: MethodConfig,
    /// Optimizer, epochs, batch.
    #[serde(default)]
    pub training: Training,
    /// Keys every random draw, the draw of the data included.
    pub seed: u64,
}

/// A method's name and its options, flat: `{method: ebr, regime: stable}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodConfig {
    /// Name in the registry.
    pub method: String,
    /// Options; what is not given takes the default.
    #[serde(flatten)]
    pub options: Options,
}

impl MethodConfig {
    /// The method `name` with its default options.
    pub fn named(name: &str) -> Self {
        Self {
            method: name.to_owned(),
            options: Options::new(),
        }
    }

    fn none() -> Self {
        Self::named("none")
    }

    fn auto() -> Self {
        Self::named("auto")
    }
}

/// How a stage is trained. The defaults are those of SMIL's fused model on avMNIST.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Passes over the training samples.
    pub epochs: usize,
    /// Samples in a batch; the last one of an epoch may be smaller.
    pub batch_size: usize,
    /// Update rule of all parameters but a discriminator's.
    pub optimizer: OptimizerConfig,
    /// Learning-rate factor along the epochs.
    pub schedule: Schedule,
    /// Largest global norm of the gradient, if it is clipped.
    pub clip_norm: Option<f64>,
    /// A run whose encodings reach this root mean square has diverged.
    pub blow_up: f64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 60,
            batch_size: 32,
            optimizer: OptimizerConfig {
                weight_decay: 1e-4,
                ..OptimizerConfig::new(OptimizerKind::Adam, 1e-3)
            },
            schedule: Schedule::Step { every: 30, factor: 0.1 },
            clip_norm: None,
            blow_up: 1e4,
        }
    }
}

impl Training {
    /// The same over so many times the epochs, the schedule with them.
    pub(crate) fn stretched(&self, times: usize) -> Self {
        Self {
            epochs: self.epochs * times,
            schedule: self.schedule.stretched(times),
            ..self.clone()
        }
    }
}

impl CellConfig {
    /// Every default made explicit and every name checked, so that equal runs have equal configurations.
    ///
    /// # Errors
    /// Unknown method, unknown or ill-typed option, a rate outside [0, 1], nothing to train.
    pub fn resolve(&self) -> Result<Self> {
        let mut cell = self.clone();
        for encoder in cell.encoders.values_mut() {
            *encoder = resolved("encoder", ENCODERS, encoder)?;
        }
        cell.fusion = resolved("fusion", FUSIONS, &cell.fusion)?;
        cell.reallocation = resolved("reallocation", REALLOCATIONS, &cell.reallocation)?;
        if cell.substitution.method == "auto" {
            let entry = find("reallocation", REALLOCATIONS, &cell.reallocation.method)?;
            cell.substitution = MethodConfig::named(entry.build.substitution);
        }
        cell.substitution = resolved("substitution", SUBSTITUTIONS, &cell.substitution)?;
        cell.check()?;
        Ok(cell)
    }

    fn check(&self) -> Result<()> {
        let unfit = |reason: String| {
            Err(ModelError::Unfit {
                dataset: self.dataset.clone(),
                reason,
            })
        };
        let rates = match &self.protocol {
            Protocol::TestMissing { rates, .. } => rates.clone(),
            Protocol::TrainAvailability { rate, .. }
            | Protocol::Missing { rate }
            | Protocol::TrainNoise { rate, .. } => vec![*rate],
            Protocol::Upweighted { .. } | Protocol::Modalities {} | Protocol::Patterns {} => Vec::new(),
        };
        for (name, value) in match &self.protocol {
            Protocol::TrainNoise { amplitude, .. } => vec![("amplitude", *amplitude)],
            Protocol::Upweighted { beta, .. } => vec![("beta", *beta)],
            _ => Vec::new(),
        } {
            if !(value.is_finite() && value >= 0.0) {
                return unfit(format!("{name} must be a number of at least 0, got {value}"));
            }
        }
        if let Some(bad) = rates.iter().find(|r| !(0.0..=1.0).contains(*r)) {
            return unfit(format!("rate {bad} is not in [0, 1]"));
        }
        if let Some(twice) = self
            .modalities
            .iter()
            .enumerate()
            .find(|(i, m)| self.modalities[..*i].contains(m))
        {
            return unfit(format!("`modalities` names `{}` twice", twice.1));
        }
        if self.substitution.method == "target" && self.protocol != (Protocol::Patterns {}) {
            return unfit(
                "substitution `target` trains a model for every pattern of modalities, and only protocol `patterns` scores \
                 them"
                    .to_owned(),
            );
        }
        if self.training.epochs == 0 || self.training.batch_size == 0 {
            return unfit(format!(
                "epochs and batch_size must be at least 1, got {} and {}",
                self.training.epochs, self.training.batch_size
            ));
        }
        Ok(())
    }
}

fn resolved<C>(
    axis: &'static str,
    entries: &'static [crate::registry::Entry<C>],
    config: &MethodConfig,
) -> Result<MethodConfig> {
    let entry = find(axis, entries, &config.method)?;
    let options = (entry.resolve)(&config.options).map_err(|reason| ModelError::Options {
        axis,
        method: config.method.clone(),
        reason,
    })?;
    Ok(MethodConfig {
        method: config.method.clone(),
        options,
    })
}

/// Revisions of the loop and of the encoders.
pub(crate) fn unimodal_revision() -> String {
    let mut parts = vec![format!("training/{TRAINING_REVISION}")];
    // Which encoders a cell uses is known only with the data; a revision of any of them counts. A first revision is
    // not named, so that a new encoder leaves the cells of the others as they are.
    let revised = ENCODERS.iter().filter(|e| e.revision > 1);
    parts.extend(revised.map(|e| format!("encoder:{}/{}", e.name, e.revision)));
    parts.join(" ")
}

/// Revisions of the loop, of the encoders and of a fusion.
pub(crate) fn vanilla_revision(fusion: &MethodConfig) -> Result<String> {
    let fusion = find("fusion", FUSIONS, &fusion.method)?;
    Ok(format!(
        "{} fusion:{}/{}",
        unimodal_revision(),
        fusion.name,
        fusion.revision
    ))
}

/// Revisions of the loop, of the encoders and of a reallocation that distils.
pub(crate) fn distillation_revision(reallocation: &MethodConfig) -> Result<String> {
    let reallocation = find("reallocation", REALLOCATIONS, &reallocation.method)?;
    Ok(format!(
        "{} reallocation:{}/{}",
        unimodal_revision(),
        reallocation.name,
        reallocation.revision
    ))
}

/// Revisions of the loop and of every method in a cell: part of its key, so that a changed method is trained anew.
///
/// # Errors
/// An unknown method.
pub fn revision(cell: &CellConfig) -> Result<String> {
    let mut parts = vec![vanilla_revision(&cell.fusion)?];
    let mut add = |axis: &str, name: &str, revision: u32| parts.push(format!("{axis}:{name}/{revision}"));
    let reallocation = find("reallocation", REALLOCATIONS, &cell.reallocation.method)?;
    add("reallocation", reallocation.name, reallocation.revision);
    if cell.substitution.method != "auto" {
        let substitution = find("substitution", SUBSTITUTIONS, &cell.substitution.method)?;
        add("substitution", substitution.name, substitution.revision);
    }
    if cell.protocol == (Protocol::Modalities {}) {
        add("probes", "linear", diagnosis::REVISION);
    }
    let more = matches!(
        cell.protocol,
        Protocol::Modalities {} | Protocol::Patterns {} | Protocol::Upweighted { .. }
    );
    // A data set that is in no list is somebody's own.
    let two_classes = mmcollapse_data::find(&cell.dataset).is_ok_and(mmcollapse_data::DatasetSource::two_classes);
    if more || two_classes {
        parts.push(format!("scores/{SCORES_REVISION}"));
    }
    Ok(parts.join(" "))
}
