//! Reallocation: what is done to the encoders so that fusion does not collapse onto some of them.
//!
//! A method may transform encodings, add losses, cycle through phases of an epoch schedule, and train something before the
//! model itself on a [`Workbench`]. Every training goes through the one loop in `training`.

mod ebr;
mod kd;
mod mmd;
mod none;
mod only;
mod trained_encoders;
mod workbench;

use mmcollapse_data::Presence;
use mmcollapse_nn::{Mode, Result as TensorResult, Scope, Tensor};

pub(crate) use workbench::{ALONE, Preparation, digest, named};
pub use workbench::{Learnt, Workbench};

use crate::{
    encodings::Encodings,
    error::Result,
    method::MethodConfig,
    registry::{Entry, Options, find},
    training::{JOINT, Phase, Progress, Training},
};

/// Whether a phase of this name descends L_sem; EBR has turns that do not.
pub fn descends_task(phase: &str) -> bool {
    ebr::phase(phase).is_none_or(|phase| phase.semantic)
}

/// What becomes of one modality's encoding.
pub struct Reallocated {
    /// What the fusion sees, `[rows, width of the encoder]`.
    pub encoding: Tensor,
    /// The latent g that the modalities share, `[rows, latent]`, where there is one.
    pub latent: Option<Tensor>,
}

/// What was trained before the model.
#[derive(Default)]
pub struct Prepared {
    /// Weights that are put into it.
    pub placed: Vec<Placed>,
    /// The modality whose encoder was distilled or comes from another model, if one does.
    pub student: Option<usize>,
    /// The reallocation with what was found out filled in, where the model depends on it: it is built anew.
    pub found: Option<MethodConfig>,
    /// The reallocation of another model from which weights come, and where they are kept: its latents are those that are checked.
    pub source: Option<(MethodConfig, String)>,
}

/// Trained weights that take the place of fresh ones in the model.
pub struct Placed {
    /// Prefix of their names.
    pub path: String,
    /// Where they are kept.
    pub kept: String,
    /// Whether the model's training leaves them as they are.
    pub freeze: bool,
}

/// A way to bring the modalities' encodings together.
pub trait Reallocation {
    /// One modality's encoding `[rows, width]` to what the fusion sees; as it is if not said. Each row is transformed by itself,
    /// as tokens are transformed by the same map.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn transform(&self, _modality: usize, z: &Tensor, _mode: Mode) -> TensorResult<Reallocated> {
        Ok(Reallocated {
            encoding: z.clone(),
            latent: None,
        })
    }

    /// Whether the fusion gets nothing of a modality, not even how many tokens it has.
    fn silences(&self, _modality: usize) -> bool {
        false
    }

    /// Loss terms of its own, already weighted, by name.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn losses(&self, _encodings: &Encodings, _progress: &Progress) -> TensorResult<Vec<(&'static str, Tensor)>> {
        Ok(Vec::new())
    }

    /// The encoding of `modality` made from another modality's latent `[rows, latent]`, if the method can.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn decode(&self, _modality: usize, _latent: &Tensor) -> TensorResult<Option<Tensor>> {
        Ok(None)
    }

    /// The phase of the epoch that is to come; none where the training is over before its epochs are.
    fn phase(&self, _progress: &Progress) -> Option<Phase> {
        Some(JOINT)
    }

    /// Puts stand-ins in the place of some encodings in training, so that the model learns to use them.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn stand_in(&self, _encodings: &mut Encodings, _mode: Mode) -> TensorResult<()> {
        Ok(())
    }

    /// Trains what the model needs before its own training; returns the weights that are put into it.
    ///
    /// # Errors
    /// What cannot be trained on these data; [`crate::ModelError::Interrupted`].
    fn prepare(&mut self, _bench: &mut dyn Workbench) -> Result<Prepared> {
        Ok(Prepared::default())
    }

    /// Whether that can be trained, given which training sample has which modality.
    ///
    /// # Errors
    /// Why not.
    fn check(&self, _modalities: &[String], _available: &Presence) -> std::result::Result<(), String> {
        Ok(())
    }

    /// Whether the model is the vanilla one, which has no part of this method.
    fn is_vanilla(&self) -> bool {
        false
    }

    /// How the model is trained, given how the cell says it is.
    fn training(&self, cell: &Training) -> Training {
        cell.clone()
    }

    /// Names (prefixes) of variables that take their own learning-rate factor, and that factor.
    fn rate_factor(&self) -> Option<(&'static str, f64)> {
        None
    }
}

/// What a reallocation is made from.
pub struct ReallocationContext<'a> {
    /// Modality names in order.
    pub modalities: &'a [String],
    /// Encoding width of each.
    pub widths: &'a [usize],
    /// Where its variables go.
    pub scope: Scope,
}

/// How a reallocation is made, and which substitution belongs to it.
pub struct Builder {
    /// The substitution that `auto` stands for.
    pub substitution: &'static str,
    /// Other reallocations that it trains first: their revisions count, too.
    pub uses: &'static [&'static str],
    /// Constructor.
    pub make: fn(&Options, &ReallocationContext) -> Result<Box<dyn Reallocation>>,
}

/// Every reallocation, in the order of `mmcollapse list methods`.
pub static REALLOCATIONS: &[Entry<Builder>] = &[
    none::ENTRY,
    kd::ENTRY,
    ebr::ENTRY,
    ebr::MOVED,
    mmd::ENTRY,
    only::ENTRY,
    trained_encoders::ENTRY,
];

/// Makes the reallocation that `config` names.
///
/// # Errors
/// Unknown name, refused options.
pub fn build(config: &MethodConfig, context: &ReallocationContext) -> Result<Box<dyn Reallocation>> {
    (find("reallocation", REALLOCATIONS, &config.method)?.build.make)(&config.options, context)
}
