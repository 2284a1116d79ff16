//! Balancing: how training weighs the modalities, so that none is neglected.
//!
//! A method may take modalities away, change what the fusion sees, add losses, change the encoders' gradients or learning rates, and
//! train or measure something first. What it leaves alone is as without balancing, bit for bit.

mod agm;
mod dgl;
mod encoders;
mod g_blending;
mod heads;
mod mmpareto;
mod modality_dropout;
mod mslr;
mod none;
mod ogm_ge;
mod opm;
mod pmr;
mod random_subsets;
mod relearning;
mod scene;
mod seen;
mod umt;

use mmcollapse_data::Presence;
use mmcollapse_nn::{GradStore, Result as TensorResult, Scope, Tensor};
use mmcollapse_record::Protocol;
use serde_json::Value;

use crate::{
    encodings::Encodings,
    error::{ModelError, Result},
    fusion::FUSIONS,
    method::MethodConfig,
    reallocation::Workbench,
    registry::{Entry, Options, find},
    training::Progress,
};

pub use encoders::{Encoders, Step};
pub(crate) use none::NAME as NONE;
pub(crate) use random_subsets::NAME as RANDOM_SUBSETS;
pub use scene::{Held, Scene};
pub use seen::Seen;

/// What a balancing makes of a batch.
pub struct Weighed {
    /// Weight of L_sem.
    pub semantic: f64,
    /// Loss terms that are descended together with L_sem, weighted, by name.
    pub terms: Vec<(&'static str, Tensor)>,
    /// A loss that is not descended with the others: its gradients meet theirs in [`Balancing::gradients`].
    pub apart: Option<(&'static str, Tensor)>,
    /// Of each modality what its encoder's gradients are multiplied by.
    pub factors: Vec<f64>,
}

impl Default for Weighed {
    fn default() -> Self {
        Self {
            semantic: 1.0,
            terms: Vec::new(),
            apart: None,
            factors: Vec::new(),
        }
    }
}

/// A way to weigh the modalities in the training of the whole model.
pub trait Balancing {
    /// Which training sample has which modality in an epoch, of those that `own` says it has.
    fn presence(&self, own: &Presence, _seed: u64, _progress: &Progress) -> Presence {
        own.clone()
    }

    /// Learning-rate factors, by the prefix of the names of the variables.
    fn rates(&self) -> Vec<(String, f64)> {
        Vec::new()
    }

    /// Trains or measures what it needs before the model's own training.
    ///
    /// # Errors
    /// What cannot be trained on these data; [`crate::ModelError::Interrupted`].
    fn prepare(&mut self, _bench: &mut dyn Workbench) -> Result<()> {
        Ok(())
    }

    /// What of that decides the training beside the options and the weights; it is part of the key under which a fit is shared.
    fn decided_by(&self) -> Option<Value> {
        None
    }

    /// Called before each epoch. What it keeps lies in buffers of the model, so that a continued run has it.
    ///
    /// # Errors
    /// A tensor operation failed.
    fn begin(&self, _scene: &Scene, _progress: &Progress) -> TensorResult<()> {
        Ok(())
    }

    /// The encodings as the fusion is to see them in training, where they are others.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn encodings(&self, _seen: &Seen) -> TensorResult<Option<Encodings>> {
        Ok(None)
    }

    /// Weights, terms and factors of a training batch.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn weigh(&self, _seen: &Seen) -> TensorResult<Weighed> {
        Ok(Weighed::default())
    }

    /// The gradients that are followed where L_sem is: of `total`, all that is descended, changed as the method says.
    ///
    /// # Errors
    /// An operation without a gradient.
    fn gradients(&self, weighed: &Weighed, total: &Tensor, step: &Step) -> TensorResult<GradStore> {
        let _ = weighed;
        step.backward(total)
    }
}

/// What a balancing is made from.
pub struct BalancingContext<'a> {
    /// Modality names in order.
    pub modalities: &'a [String],
    /// Encoding width of each.
    pub widths: &'a [usize],
    /// Number of classes.
    pub classes: usize,
    /// Where its variables and buffers go. The encoders' variables are there already, below `encoder`.
    pub scope: Scope,
}

/// Constructor of a balancing.
pub type Builder = fn(&Options, &BalancingContext) -> Result<Box<dyn Balancing>>;

/// Every balancing, in the order of `mmcollapse list methods`.
pub static BALANCINGS: &[Entry<Builder>] = &[
    none::ENTRY,
    modality_dropout::ENTRY,
    random_subsets::ENTRY,
    mslr::ENTRY,
    g_blending::ENTRY,
    ogm_ge::ENTRY,
    opm::ENTRY,
    pmr::ENTRY,
    agm::ENTRY,
    mmpareto::ENTRY,
    relearning::ENTRY,
    dgl::ENTRY,
    umt::ENTRY,
];

/// Makes the balancing that `config` names.
///
/// # Errors
/// Unknown name, refused options.
pub fn build(config: &MethodConfig, context: &BalancingContext) -> Result<Box<dyn Balancing>> {
    (find("balancing", BALANCINGS, &config.method)?.build)(&config.options, context)
}

/// The balancing of a cell that names none: its fusion's own, where the protocol takes modalities away at test alone.
pub(crate) fn of_fusion(fusion: &str, protocol: &Protocol) -> Result<Option<MethodConfig>> {
    let own = find("fusion", FUSIONS, fusion)?.build.balancing;
    Ok(own
        .filter(|_| protocol.kind().missing_at_test_alone())
        .map(MethodConfig::named))
}

/// Checks that an option lies in 0..=1.
fn share(method: &str, option: &str, value: f64) -> Result<f64> {
    let holds = (0.0..=1.0).contains(&value);
    checked(method, option, value, holds, "lie in 0..=1")
}

/// Checks that an option is a number that is not negative.
fn strength(method: &str, option: &str, value: f64) -> Result<f64> {
    let holds = value.is_finite() && value >= 0.0;
    checked(method, option, value, holds, "be at least 0")
}

fn checked(method: &str, option: &str, value: f64, holds: bool, must: &str) -> Result<f64> {
    if holds {
        return Ok(value);
    }
    Err(ModelError::Options {
        axis: "balancing",
        method: method.to_owned(),
        reason: format!("`{option}` must {must}, got {value}"),
    })
}

/// The sum of losses; none of none.
fn sum(losses: &[Tensor]) -> TensorResult<Option<Tensor>> {
    match losses {
        [] => Ok(None),
        losses => Tensor::stack(losses, 0)?.sum_all().map(Some),
    }
}

/// Whether an epoch lies in the first `share` of all.
fn within(share: f64, progress: &Progress) -> bool {
    (progress.epoch as f64) < share * progress.epochs as f64
}

#[cfg(test)]
mod tests;
