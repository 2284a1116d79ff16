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

use mmcollapse_data::{Batch, Presence};
use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor,
    candle::bail,
    losses::{Crd, CrdConfig},
    ops::softmax_cross_entropy,
    random::Stream,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Builder, Placed, Prepared, Reallocation, Workbench,
    workbench::{Preparation, digest, named},
};
use crate::{
    balancing::Weighed,
    branch::Unimodal,
    error::Result,
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::{gather_rows, places, rows_with, select_rows},
    training::{BatchLosses, Objective, Progress, root_mean_square},
};

/// Where the kept weights of the student are found after its n-th round.
fn kept(round: usize) -> String {
    format!("distilled{round}")
}

/// The part of a student's parameters that only its loss uses, the memory bank of all samples above all.
const LOSS: &str = "crd";

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "kd",
    summary: "the collapsed modality's encoder is replaced by one distilled from the others (CRD)",
    reference: "Chaudhuri et al., ICML 2025, section 4.2; Tian et al., CRD, ICLR 2020",
    revision: 3, // the second diagnosed with probes at their optimum, the third has negatives of other classes and probes baselines too
    resolve: resolve_as::<Distillation>,
    tuned: &[
        ("crd_weight", Sampler::LogUniform(0.1, 4.0)),
        ("temperature", Sampler::LogUniform(0.03, 0.3)),
        ("embedding", Sampler::Whole(&[64, 128])),
        ("freeze", Sampler::EITHER),
    ],
    build: Builder {
        substitution: "none",
        uses: &[],
        make: |options, _| {
            let config: Distillation = parse_for("reallocation", "kd", options)?;
            Ok(Box::new(Kd { config }))
        },
    },
};

/// In which order the teachers teach (Table 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TeacherOrder {
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

/// Which samples are negatives of an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NegativesFrom {
    /// Those of other classes, as in CRD's public code.
    OtherClasses,
    /// All others, as in CRD's formula.
    All,
}

/// Whose encoding by the teacher is a sample's own in the contrast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Pairs {
    /// The sample's.
    #[default]
    Own,
    /// Another sample's, drawn once for the whole training: the control, in which there is nothing to learn from a teacher.
    Shuffled,
}

impl Pairs {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_own(&self) -> bool {
        *self == Self::Own
    }

    /// Of `n` samples that student and teacher have, the one whose encoding by the teacher each is given.
    fn order(self, n: usize, seed: u64, teacher: usize) -> Vec<usize> {
        match self {
            Self::Own => (0..n).collect(),
            Self::Shuffled => Stream::at(seed, "distillation/pairs", teacher as u64).permutation(n),
        }
    }
}

/// Options of KD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Distillation {
    /// Modality to distil; without it, the one that is measured to collapse.
    student: Option<String>,
    /// Order of the teachers.
    order: TeacherOrder,
    /// Weight of the distillation loss (CRD: .8).
    crd_weight: f64,
    /// Weight of the student's own cross-entropy (CRD: 1).
    task_weight: f64,
    /// Negatives per sample (CRD: 16384; at most as many as there are).
    negatives: usize,
    /// Which samples are negatives.
    negatives_from: NegativesFrom,
    /// Width of the embeddings that are compared (CRD: 128).
    embedding: usize,
    /// Temperature (CRD: .07).
    temperature: f64,
    /// Momentum of the memory bank (CRD: .5).
    momentum: f64,
    /// Whether the distilled encoder stays as it is in the multimodal model.
    freeze: bool,
    /// Whose encodings by the teacher are contrasted.
    #[serde(skip_serializing_if = "Pairs::is_own")]
    pairs: Pairs,
}

impl Default for Distillation {
    fn default() -> Self {
        Self {
            student: None,
            order: TeacherOrder::WeakestToStrongest,
            crd_weight: 0.8,
            task_weight: 1.0,
            negatives: 16384,
            negatives_from: NegativesFrom::OtherClasses,
            embedding: 128,
            temperature: 0.07,
            momentum: 0.5,
            freeze: false,
            pairs: Pairs::Own,
        }
    }
}

impl Distillation {
    /// The loss's own settings.
    fn crd(&self) -> CrdConfig {
        CrdConfig {
            width: self.embedding,
            negatives: self.negatives,
            temperature: self.temperature,
            momentum: self.momentum,
        }
    }

    /// Who teaches together, in the order they teach, given each modality's unimodal accuracy. One whose accuracy is not
    /// defined (validation cannot tell it) counts as the weakest.
    fn rounds(&self, student: usize, accuracy: &[Option<f64>], seed: u64) -> Vec<Vec<usize>> {
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

impl Kd {
    /// Trains the student's encoder under some teachers at once, from where those of the round before left it.
    fn teach(&self, bench: &mut dyn Workbench, student: usize, teachers: &[usize], round: usize) -> Result<()> {
        let names = bench.modalities().to_vec();
        let student_name = &names[student];
        let teacher_names: Vec<&str> = teachers.iter().map(|&m| names[m].as_str()).collect();
        let train = bench.available().clone();
        let index: Vec<usize> = (0..train.len())
            .filter(|&i| train.get(i, student) && teachers.iter().any(|&teacher| train.get(i, teacher)))
            .collect();
        let branch = bench.branch(student)?;
        if let Some(before) = round.checked_sub(1) {
            bench.install(&kept(before), &branch.params)?;
        }
        let mut weights_of_teachers = Vec::new();
        let masters = teachers.iter().map(|&teacher| {
            let name = &names[teacher];
            let master = bench.trained_alone(teacher)?;
            weights_of_teachers.push(digest(&master.params.state()?)?);
            let having = rows_with(&train, &[student, teacher]);
            if having.len() < 2 {
                return Err(bench.unfit(format!(
                    "distillation needs at least 2 training samples with both `{student_name}` and `{name}`, got {}",
                    having.len()
                )));
            }
            let crd = Crd::new(
                &branch.params.root().pp(LOSS).pp(name),
                branch.encoder.width(),
                master.encoder.width(),
                having.len(),
                self.config.crd(),
            )?;
            let crd = match self.config.negatives_from {
                NegativesFrom::All => crd,
                NegativesFrom::OtherClasses => {
                    let labels: Vec<u32> = having.iter().map(|&i| bench.labels()[i]).collect();
                    crd.among_other_classes(&labels)?
                }
            };
            let order = self.config.pairs.order(having.len(), bench.seed(), teacher);
            let paired: Vec<usize> = order.into_iter().map(|place| having[place]).collect();
            Ok(Teacher {
                modality: teacher,
                encodings: bench.encodings(master.encoder.as_ref(), teacher, &paired)?,
                crd,
                place: places(&having, train.len()),
            })
        });
        let objective = Student {
            teachers: masters.collect::<Result<_>>()?,
            branch: branch.objective(),
            crd_weight: self.config.crd_weight,
            task_weight: self.config.task_weight,
        };
        let mut decided_by = json!({
            "teachers": weights_of_teachers,
            "crd": self.config.crd(),
            "negatives_from": self.config.negatives_from,
            "weights": [self.config.crd_weight, self.config.task_weight],
        });
        if !self.config.pairs.is_own() {
            decided_by["pairs"] = json!(self.config.pairs);
        }
        bench.train(&Preparation {
            name: format!("distillation/{} to {student_name}", teacher_names.join(", ")),
            params: &branch.params,
            objective: &objective,
            training: bench.training().stretched(teachers.len()),
            modalities: &[&[student], teachers].concat(),
            samples: &index,
            decided_by,
            discarded: Some(LOSS),
            keep: &kept(round),
        })?;
        if let Some(before) = round.checked_sub(1) {
            bench.forget(&kept(before));
        }
        Ok(())
    }
}

impl Reallocation for Kd {
    fn prepare(&mut self, bench: &mut dyn Workbench) -> Result<Prepared> {
        let alone = bench.alone()?.to_vec();
        bench.diagnosis()?;
        let student = bench.student(self.config.student.as_deref())?;
        let rounds = self.config.rounds(student, &alone, bench.seed());
        let done = (0..rounds.len()).rev().find(|&round| bench.has(&kept(round)));
        for (round, teachers) in rounds.iter().enumerate().skip(done.map_or(0, |done| done + 1)) {
            self.teach(bench, student, teachers, round)?;
        }
        let last = rounds.len().checked_sub(1).map(|last| Placed {
            path: format!("encoder.{}", bench.modalities()[student]),
            kept: kept(last),
            freeze: self.config.freeze,
        });
        Ok(Prepared {
            placed: last.into_iter().collect(),
            student: Some(student),
            ..Prepared::default()
        })
    }

    fn check(&self, modalities: &[String], available: &Presence) -> std::result::Result<(), String> {
        // What the teachers of a student have to teach with: the least, or the most where only one of them teaches.
        let taught = |student: usize| {
            let teachers = (0..modalities.len()).filter(|teacher| *teacher != student);
            let counts = teachers.map(|teacher| rows_with(available, &[student, teacher]).len());
            match self.config.order {
                TeacherOrder::StrongestOnly => counts.max(),
                _ => counts.min(),
            }
            .unwrap_or(usize::MAX)
        };
        let students = match &self.config.student {
            Some(name) => vec![named(modalities, name)?],
            // It is measured; where none could be taught, it need not be known which.
            None => (0..modalities.len()).collect(),
        };
        match students.into_iter().map(taught).max() {
            Some(most) if most < 2 => Err(format!(
                "distillation needs at least 2 training samples with both student and teacher, got {most}"
            )),
            _ => Ok(()),
        }
    }
}

/// A student that learns its task and, by contrast, its teachers' encodings of the same samples.
struct Student<'a> {
    branch: Unimodal<'a>,
    /// At once; the distillation loss is the mean of theirs.
    teachers: Vec<Teacher>,
    crd_weight: f64,
    task_weight: f64,
}

/// A modality that teaches another. Its encoder stays as it is, so that it need not run again and again.
struct Teacher {
    modality: usize,
    /// `[n, width]`, the encodings of the samples in the memory bank.
    encodings: Tensor,
    crd: Crd,
    /// Place of each sample of the training set in the memory bank.
    place: Vec<usize>,
}

impl Teacher {
    /// The contrast with a student's encodings `z` of the whole batch, on the samples that have the teacher's modality;
    /// none where no sample has it.
    fn loss(&self, batch: &Batch, z: &Tensor, mode: Mode) -> TensorResult<Option<Tensor>> {
        let rows = &batch.inputs[self.modality].rows;
        if rows.is_empty() {
            return Ok(None);
        }
        let index: Vec<usize> = rows.iter().map(|&row| self.place[batch.index[row]]).collect();
        let taught = gather_rows(&self.encodings, &index)?;
        self.crd.loss(&select_rows(z, rows)?, &taught, &index, mode).map(Some)
    }
}

impl Student<'_> {
    /// The mean of the contrasts with the teachers that the batch has.
    fn contrast(&self, batch: &Batch, z: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        let contrasts = self.teachers.iter().map(|teacher| teacher.loss(batch, z, mode));
        let contrasts: Vec<Tensor> = contrasts
            .filter_map(TensorResult::transpose)
            .collect::<TensorResult<_>>()?;
        match &contrasts[..] {
            [] => bail!("a batch without any teacher's modality in distillation"),
            [one] => Ok(one.clone()),
            several => Tensor::stack(several, 0)?.mean(0),
        }
    }
}

impl Objective for Student<'_> {
    fn losses(&self, batch: &Batch, mode: Mode, _progress: &Progress) -> TensorResult<BatchLosses> {
        let (z, logits) = self.branch.forward(batch, mode)?;
        let aux = if self.crd_weight == 0.0 {
            Tensor::zeros((), z.dtype(), z.device())? // a contrast that moves nothing need not be computed
        } else {
            self.contrast(batch, &z, mode)?
        };
        Ok(BatchLosses {
            semantic: (softmax_cross_entropy(&logits, &batch.labels)? * self.task_weight)?,
            aux: vec![("distillation", (aux * self.crd_weight)?)],
            reallocation: Vec::new(),
            weighed: Weighed::default(),
            size: root_mean_square(&z)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn shuffled_pairs_are_of_other_samples_and_keys_of_own_ones_stay() {
        let order = Pairs::Shuffled.order(200, 3, 0);
        let own = order.iter().enumerate().filter(|(i, place)| i == *place).count();
        assert!(own < 8, "{own} of 200 are their own");
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 200);
        assert_ne!(order, Pairs::Shuffled.order(200, 3, 1));
        assert_eq!(Pairs::Own.order(3, 3, 0), [0, 1, 2]);
        let written = |pairs| {
            serde_json::to_value(Distillation {
                pairs,
                ..Distillation::default()
            })
            .unwrap()
        };
        assert_eq!(written(Pairs::Own).get("pairs"), None);
        assert_eq!(written(Pairs::Shuffled)["pairs"], "shuffled");
    }

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
