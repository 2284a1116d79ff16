//! The probes of a diagnosis: of each subset of encoders, of models alone, of the fused representation.

use rayon::prelude::*;

use crate::error::Result;
use crate::probe::Probed;
use crate::rows::Rows;
use crate::{Features, Input};

/// A probe to be fitted.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Of {
    Fused,
    Alone(usize),
    /// Encoders side by side; bit i says whether modality i is among them.
    Encoders(usize),
}

/// The probes.
pub(crate) struct Fitted(Vec<(Of, Probed)>);

impl Fitted {
    /// Fits all of them.
    pub fn of(model: &Input, rows: &Rows) -> Result<Self> {
        let count = model.modalities.len();
        let mut asked: Vec<Of> = (1..1_usize << count).rev().map(Of::Encoders).collect();
        // The widest first, so that no worker is left with it at the end.
        asked.sort_by_key(|of| match of {
            Of::Encoders(mask) => std::cmp::Reverse(mask.count_ones()),
            _ => std::cmp::Reverse(0),
        });
        let alone = (0..count).filter(|&at| model.modalities[at].alone.is_some());
        asked.extend(alone.map(Of::Alone));
        asked.extend(model.fused.is_some().then_some(Of::Fused));
        let fitted = asked.into_par_iter().with_max_len(1).map(|of| {
            let parts: Vec<&Features> = match of {
                Of::Fused => model.fused.iter().collect(),
                Of::Alone(at) => model.modalities[at].alone.iter().collect(),
                Of::Encoders(mask) => {
                    let among = model
                        .modalities
                        .iter()
                        .enumerate()
                        .filter(|(at, _)| mask >> at & 1 == 1);
                    among.map(|(_, modality)| &modality.embedding).collect()
                }
            };
            let (fit, evaluate) = (
                Features::beside(&parts, &rows.fit)?,
                Features::beside(&parts, &rows.evaluate)?,
            );
            Ok((of, Probed::of(&fit, &evaluate, rows)?))
        });
        fitted.collect::<Result<Vec<_>>>().map(Self)
    }

    /// The probe of it, if it was fitted.
    pub fn get(&self, of: Of) -> Option<&Probed> {
        self.0.iter().find(|(known, _)| *known == of).map(|(_, probed)| probed)
    }
}

/// The model's own logits of the classes that are diagnosed, by subset of modalities.
pub(crate) fn model_logits(model: &Input, rows: &Rows) -> Result<Vec<(usize, Probed)>> {
    let full = (1 << model.modalities.len()) - 1;
    let whole = model.logits.iter().map(|logits| (full, logits));
    let parts = model.subsets.iter().map(|(mask, logits)| (*mask, logits));
    let columns: Vec<usize> = rows.classes.iter().map(|&class| class as usize).collect();
    whole
        .chain(parts)
        .map(|(mask, logits)| {
            let kept = logits.keep(&columns);
            Ok((
                mask,
                Probed::model(&kept.select(&rows.fit)?, &kept.select(&rows.evaluate)?),
            ))
        })
        .collect()
}
