//! Frozen encoders, read: their encodings, and what a linear probe makes of them.

use std::collections::BTreeMap;

use mmcollapse_data::{Dataset, Presence, Samples};
use mmcollapse_nn::{DType, Device, Mode, Tensor};

use super::run::Split;
use crate::{
    diagnosis::{Features, LinearProbe},
    encoders::Encoder,
    error::Result,
    evaluate::each_batch,
    model::ModelSpec,
    predictions::Predictions,
};

/// Points along a training at which encoders are probed, where its protocol asks for it: the paper's Figure 4 shows what is
/// lost when. Each costs a pass over the training samples and a fit. Another number needs another revision of the probes.
pub(super) const POINTS: usize = 6;

/// What encoders are read on: the samples of a cell and who has what.
pub(super) struct Probing<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) presence: &'a Split<Presence>,
    classes: usize,
    pub(super) device: &'a Device,
}

impl<'a> Probing<'a> {
    pub fn new(dataset: &'a Dataset, presence: &'a Split<Presence>, spec: &ModelSpec, device: &'a Device) -> Self {
        Self {
            dataset,
            presence,
            classes: spec.classes,
            device,
        }
    }

    /// Frozen encodings of one modality, of the samples that have it.
    pub fn features(
        &self,
        encoder: &dyn Encoder,
        modality: usize,
        samples: &Samples,
        presence: &Presence,
    ) -> Result<Features> {
        let rows = presence.rows(modality);
        let z = self.encodings(encoder, modality, samples, &rows)?;
        Ok(Features::new(z, samples, &rows))
    }

    /// `[rows, width]`, what a frozen encoder makes of samples that have its modality.
    pub fn encodings(
        &self,
        encoder: &dyn Encoder,
        modality: usize,
        samples: &Samples,
        rows: &[usize],
    ) -> Result<Tensor> {
        let some = samples.select(rows);
        let presence = some.present.only(&[modality]);
        // Nobody may have it: then there are no rows, and whoever asks has no score.
        let mut parts = vec![Tensor::zeros((0, encoder.width()), DType::F32, self.device)?];
        each_batch(&some, &self.dataset.modalities, &presence, self.device, |batch| {
            if let Some(x) = &batch.inputs[modality].x {
                parts.push(encoder.forward(x, Mode::Eval)?.detach());
            }
            Ok(())
        })?;
        Ok(Tensor::cat(&parts, 0)?)
    }

    /// A linear probe fitted to an encoder's frozen encodings of the training samples.
    pub fn probe(&self, encoder: &dyn Encoder, modality: usize) -> Result<LinearProbe> {
        let train = self.features(encoder, modality, &self.dataset.train, &self.presence.train)?;
        Ok(LinearProbe::fit(&train, self.classes)?)
    }

    /// What a probe of an encoder says of the validation samples that have the modality.
    pub fn at_validation(&self, probe: &LinearProbe, encoder: &dyn Encoder, modality: usize) -> Result<Predictions> {
        let samples = &self.dataset.validation;
        let validation = self.features(encoder, modality, samples, &self.presence.validation)?;
        Ok(probe.predictions(&validation)?)
    }

    /// Cross-entropies (nats) of a probe of each encoder on validation, by modality. The test stays closed while anything
    /// is trained.
    pub fn cross_entropies(&self, encoders: &[(usize, &dyn Encoder)]) -> Result<BTreeMap<String, f64>> {
        let of = |&(modality, encoder): &(usize, &dyn Encoder)| {
            let probe = self.probe(encoder, modality)?;
            let said = self.at_validation(&probe, encoder, modality)?;
            let name = self.dataset.modalities[modality].name.clone();
            Ok(said.cross_entropy().map(|value| (name, value)))
        };
        encoders.iter().filter_map(|encoder| of(encoder).transpose()).collect()
    }
}

/// Whether something is measured after `epoch` (from 0) of `epochs`: at so many evenly spaced `points`, the last of all among
/// them, or at each where there are fewer.
pub(super) fn due(epoch: usize, epochs: usize, points: usize) -> bool {
    let points = points.min(epochs);
    (1..=points).any(|point| (point * epochs).div_ceil(points) == epoch + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_evenly_spaced_and_end_with_the_training() {
        let at =
            |epochs: usize| -> Vec<usize> { (0..epochs).filter(|e| due(*e, epochs, POINTS)).map(|e| e + 1).collect() };
        assert_eq!(at(4), [1, 2, 3, 4]);
        assert_eq!(at(12), [2, 4, 6, 8, 10, 12]);
        assert_eq!(at(40), [7, 14, 20, 27, 34, 40]);
    }
}
