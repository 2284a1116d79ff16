//! The probes of a diagnosis: of each subset of encoders, of models alone, of the fused representation.

use mmcollapse_probes::Matrix;
use rayon::prelude::*;

use crate::error::Result;
use crate::features::View;
use crate::probe::{Probed, right};
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
                Features::beside(&parts, &rows.fit, View::Columns)?,
                Features::beside(&parts, &rows.evaluate, View::Columns)?,
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

/// What the model itself says, given some of the modalities.
pub(crate) struct Output {
    /// Bit i says whether modality i is given.
    pub mask: usize,
    /// Its logits of the classes that are diagnosed.
    pub probed: Probed,
    /// Whether each evaluated sample is right, among all classes of the model.
    pub right: Vec<f64>,
}

/// The model's own outputs, by subset of modalities.
pub(crate) fn outputs(model: &Input, rows: &Rows) -> Result<Vec<Output>> {
    let columns: Vec<usize> = rows.classes.iter().map(|&class| class as usize).collect();
    let labels: Vec<u32> = rows
        .labels
        .iter()
        .map(|&label| columns[label as usize] as u32)
        .collect();
    let of = |(mask, logits): (usize, &Features)| {
        let fit = logits.select(&rows.fit, View::Raw)?;
        let evaluate = logits.select(&rows.evaluate, View::Raw)?;
        let kept = |of: &Matrix| -> Vec<f64> {
            let of_row = |row: &[f64]| columns.iter().map(|&column| row[column]).collect::<Vec<_>>();
            of.values().chunks_exact(of.columns()).flat_map(of_row).collect()
        };
        Ok(Output {
            mask,
            probed: Probed::model(kept(&fit), kept(&evaluate), columns.len()),
            right: right(evaluate.values(), &labels, logits.columns()),
        })
    };
    all_logits(model).map(of).collect()
}

fn all_logits(model: &Input) -> impl Iterator<Item = (usize, &Features)> {
    let full = (1 << model.modalities.len()) - 1;
    let whole = model.logits.iter().map(move |logits| (full, logits));
    whole.chain(model.subsets.iter().map(|(mask, logits)| (*mask, logits)))
}

/// Classes of the model's output that no diagnosed sample is of.
pub(crate) fn note_absent(model: &Input, rows: &Rows) -> Option<String> {
    /// Classes that are named.
    const NAMED: usize = 10;
    let columns = all_logits(model).map(|(_, logits)| logits.columns()).max()?;
    let absent = (0..columns).filter(|&class| rows.classes.binary_search(&(class as i64)).is_err());
    let absent: Vec<String> = absent.map(|class| class.to_string()).collect();
    let (named, more) = absent.split_at(absent.len().min(NAMED));
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(" and {} more", more.len())
    };
    (!absent.is_empty()).then(|| {
        format!(
            "the model's output has {columns} classes, of which {} have no diagnosed sample: {}{more}. Its accuracy counts them; information \
             and unused shares are among the others",
            absent.len(),
            named.join(", ")
        )
    })
}
