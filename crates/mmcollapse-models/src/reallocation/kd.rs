//! Implicit reallocation by cross-modal knowledge distillation (the paper's section 4.2; losses of CRD).
//!
//! 1. Train every modality's encoder alone: baselines, and the teachers.
//! 2. Train the vanilla multimodal model and measure, on validation, which modality it lets collapse: the one
//!    whose encoder inside the model is furthest below its unimodal baseline.
//! 3. Train a fresh encoder of that modality on its own task loss and, teacher after teacher, on the contrastive
//!    representation distillation loss (Tian, Krishnan, Isola, ICLR 2020).
//! 4. Put it into the multimodal model and train that.
//!
//! The paper states the order of the teachers (its Table 5) and no setting of the loss: those are CRD's own.

use mmcollapse_nn::{Mode, Result as TensorResult, Tensor, losses::CrdConfig, random::Stream};
use serde::{Deserialize, Serialize};

use super::{Builder, Reallocated, Reallocation, Stage};
use crate::registry::{Entry, parse_for, resolve_as};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "kd",
    summary: "the collapsed modality's encoder is replaced by one distilled from the others (CRD)",
    reference: "Chaudhuri et al., ICML 2025, section 4.2; Tian et al., CRD, ICLR 2020",
    revision: 2, // the second diagnoses with probes at their optimum
    resolve: resolve_as::<Distillation>,
    build: Builder {
        substitution: "none",
        make: |options, _| {
            let config: Distillation = parse_for("reallocation", "kd", options)?;
            Ok(Box::new(Kd { config }))
        },
    },
};

/// In which order the teachers teach (Table 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeacherOrder {
    /// The paper's best: from the weakest teacher to the strongest.
    WeakestToStrongest,
    /// The reverse.
    StrongestToWeakest,
    /// One after the other in an order that the cell's seed draws.
    Random,
    /// All at once, for as many epochs as they would take one after the other; the loss is the mean of theirs.
    Simultaneous,
    /// Only the strongest modality teaches.
    StrongestOnly,
}

/// Options of KD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Distillation {
    /// Modality to distil; without it, the one that is measured to collapse.
    pub student: Option<String>,
    /// Order of the teachers.
    pub order: TeacherOrder,
    /// Weight of the distillation loss (CRD: .8).
    pub crd_weight: f64,
    /// Weight of the student's own cross-entropy (CRD: 1).
    pub task_weight: f64,
    /// Negatives per sample (CRD: 16384; at most the training samples less one).
    pub negatives: usize,
    /// Width of the embeddings that are compared (CRD: 128).
    pub embedding: usize,
    /// Temperature (CRD: .07).
    pub temperature: f64,
    /// Momentum of the memory bank (CRD: .5).
    pub momentum: f64,
    /// Whether the distilled encoder stays as it is in the multimodal model.
    pub freeze: bool,
}

impl Default for Distillation {
    fn default() -> Self {
        Self {
            student: None,
            order: TeacherOrder::WeakestToStrongest,
            crd_weight: 0.8,
            task_weight: 1.0,
            negatives: 16384,
            embedding: 128,
            temperature: 0.07,
            momentum: 0.5,
            freeze: false,
        }
    }
}

impl Distillation {
    /// The loss's own settings.
    pub fn crd(&self) -> CrdConfig {
        CrdConfig {
            width: self.embedding,
            negatives: self.negatives,
            temperature: self.temperature,
            momentum: self.momentum,
        }
    }

    /// Who teaches together, in the order they teach, given each modality's unimodal accuracy. One whose accuracy is not
    /// defined (validation cannot tell it) counts as the weakest.
    pub fn rounds(&self, student: usize, accuracy: &[Option<f64>], seed: u64) -> Vec<Vec<usize>> {
        let mut teachers: Vec<usize> = (0..accuracy.len()).filter(|&m| m != student).collect();
        let known = |m: usize| accuracy[m].unwrap_or(f64::NEG_INFINITY);
        teachers.sort_by(|&a, &b| known(a).total_cmp(&known(b)));
        match self.order {
            TeacherOrder::WeakestToStrongest => {}
            TeacherOrder::StrongestToWeakest => teachers.reverse(),
            TeacherOrder::Random => Stream::new(seed, "distillation/teachers").shuffle(&mut teachers),
            TeacherOrder::Simultaneous => return vec![teachers],
            TeacherOrder::StrongestOnly => teachers = teachers.split_off(teachers.len().saturating_sub(1)),
        }
        teachers.into_iter().map(|teacher| vec![teacher]).collect()
    }
}

struct Kd {
    config: Distillation,
}

impl Reallocation for Kd {
    fn transform(&self, _modality: usize, z: &Tensor, _mode: Mode) -> TensorResult<Reallocated> {
        Ok(Reallocated {
            encoding: z.clone(),
            latent: None,
        })
    }

    fn stages(&self) -> Vec<Stage> {
        vec![
            Stage::Unimodal,
            Stage::Diagnosis,
            Stage::Distillation(self.config.clone()),
            Stage::Multimodal {
                freeze_distilled: self.config.freeze,
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn teachers_come_from_the_weakest_to_the_strongest() {
        let kd = Distillation::default();
        let rounds = |order: TeacherOrder, seed: u64| {
            let kd = Distillation { order, ..kd.clone() };
            kd.rounds(1, &[0.9, 0.1, 0.5, 0.7].map(Some), seed)
        };
        assert_eq!(rounds(TeacherOrder::WeakestToStrongest, 0), [[2], [3], [0]]);
        assert_eq!(rounds(TeacherOrder::StrongestToWeakest, 0), [[0], [3], [2]]);
        assert_eq!(rounds(TeacherOrder::StrongestOnly, 0), [[0]]);
        assert_eq!(rounds(TeacherOrder::Simultaneous, 0), [[2, 3, 0]]);
        let drawn: BTreeSet<_> = (0..20).map(|seed| rounds(TeacherOrder::Random, seed)).collect();
        assert!(drawn.len() > 3, "{drawn:?}");
        assert_eq!(rounds(TeacherOrder::Random, 7), rounds(TeacherOrder::Random, 7));
        let unknown = kd.rounds(1, &[Some(0.9), Some(0.1), None, Some(0.7)], 0);
        assert_eq!(unknown, [[2], [3], [0]]);
    }
}
