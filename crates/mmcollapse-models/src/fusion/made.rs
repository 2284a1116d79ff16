//! What the tests of the fusions stand on.

use mmcollapse_data::Presence;
use mmcollapse_nn::{Params, Tensor};

use super::FusionContext;
use crate::encodings::Encodings;

impl<'a> FusionContext<'a> {
    /// Of modalities with encodings of these `widths`, of whose inputs nothing is asked.
    pub fn made(modalities: &'a [String], widths: &'a [usize], classes: usize, params: &Params) -> Self {
        Self {
            modalities,
            inputs: &[],
            widths,
            places: &[0; 8][..widths.len()],
            classes,
            scope: params.root(),
        }
    }
}

impl Encodings {
    /// Encodings `z` by modality, without tokens, inputs and latents.
    pub fn made(z: Vec<Tensor>, present: Presence) -> Self {
        Self {
            latents: z.iter().map(|_| None).collect(),
            z,
            tokens: None,
            inputs: None,
            present,
        }
    }
}
