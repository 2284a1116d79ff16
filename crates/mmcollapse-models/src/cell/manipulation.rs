//! Whether a cell's reallocation has done what it is for; see [`crate::manipulation`].

use mmcollapse_data::{Presence, Samples};
use mmcollapse_nn::{DType, Mode, Tensor, random::Stream};
use mmcollapse_probes::{Matrix, linear_cka, mean};

use super::{run::Run, scoring::Measure};
use crate::{
    diagnosis::{Features, LinearProbe},
    encoders::Encoder,
    error::Result,
    evaluate::each_batch,
    manipulation::{
        Frozen,
        contrast::{CANDIDATES, contrast},
        discriminator::{confusion, shuffled},
    },
    model::Model,
    reallocation::{Placed, Prepared, Workbench},
    rows::rows_with,
};

/// Training samples that readers are fitted to at most: with more of them a reading takes longer, and says the same.
const MOST: usize = 2048;

/// Splits that something is read on: training, validation, and what is held out.
const SPLITS: usize = 3;

impl Run<'_> {
    /// What there is to check of the reallocation, measured on `test`.
    ///
    /// Of latents, where there are any: `confusion`, `confusion_shuffled` and for each modality M `latent_M`, the quality of a
    /// linear probe of its latents. Of a student: `teacher_cka` and `teacher_contrast`, means over its teachers.
    pub fn manipulation(&self, model: &Model, prepared: &Prepared, test: &Samples) -> Result<Vec<Measure>> {
        let mut measures = self.latents_read(model, test)?;
        if let (Some(student), Some(placed)) = (prepared.student, prepared.placed.first()) {
            measures.extend(self.student_read(student, placed, test)?);
        }
        Ok(measures)
    }

    /// The samples of each split that are read, with who has what.
    fn read_on(&self, test: &Samples) -> [(Samples, Presence); SPLITS] {
        let train = &self.dataset.train;
        let mut some = Stream::new(self.config.seed, "manipulation/samples").permutation(train.len());
        some.truncate(MOST);
        some.sort_unstable();
        let validation = &self.dataset.validation;
        [
            (train.select(&some), self.presence.train.select(&some)),
            (validation.clone(), self.presence.validation.clone()),
            (test.clone(), test.present.clone()),
        ]
    }

    fn latents_read(&self, model: &Model, test: &Samples) -> Result<Vec<Measure>> {
        let mut splits = Vec::with_capacity(SPLITS);
        for (samples, presence) in self.read_on(test) {
            let Some(latents) = self.latents(model, &samples, &presence)? else {
                return Ok(Vec::new());
            };
            splits.push(latents);
        }
        let n = splits[2].iter().map(|of| of.labels.len()).sum();
        let [train, validation, held_out] = [0, 1, 2].map(|split| {
            let latents: &Vec<Features> = &splits[split];
            latents.iter().map(|of| of.x.clone()).collect()
        });
        let frozen = Frozen {
            train,
            validation,
            held_out,
        };
        let seed = self.config.seed;
        let mut measures = vec![Measure {
            name: "confusion".to_owned(),
            value: confusion(&frozen, seed, self.device)?,
            n,
        }];
        measures.push(Measure {
            name: "confusion_shuffled".to_owned(),
            value: confusion(&shuffled(&frozen, seed)?, seed, self.device)?,
            n,
        });
        for (modality, name) in self.spec.modalities.iter().enumerate() {
            let (train, test) = (&splits[0][modality], &splits[2][modality]);
            let value = if train.labels.is_empty() {
                None
            } else {
                LinearProbe::fit(train, self.spec.classes)?.predictions(test)?.quality()
            };
            measures.push(Measure {
                name: format!("latent_{name}"),
                value,
                n: test.labels.len(),
            });
        }
        Ok(measures)
    }

    /// The latents of each modality, of the samples that have it; none for a model without latents.
    fn latents(&self, model: &Model, samples: &Samples, presence: &Presence) -> Result<Option<Vec<Features>>> {
        let m = self.spec.modalities.len();
        let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); m];
        let mut some = true;
        each_batch(samples, &self.dataset.modalities, presence, self.device, |batch| {
            let encodings = model.encode(batch, Mode::Eval)?;
            for (modality, latent) in encodings.latents.iter().enumerate() {
                match latent {
                    Some(latent) => parts[modality].push(latent.g.detach()),
                    // A batch may lack a modality; a model without latents lacks them all.
                    None => some &= batch.inputs[modality].x.is_none(),
                }
            }
            Ok(())
        })?;
        let Some(width) = parts.iter().flatten().next().map(|x| x.dim(1)).transpose()? else {
            return Ok(None);
        };
        if !some {
            return Ok(None);
        }
        let features = parts.into_iter().enumerate().map(|(modality, mut parts)| {
            parts.push(Tensor::zeros((0, width), DType::F32, self.device)?);
            let rows = presence.rows(modality);
            Ok(Features::new(Tensor::cat(&parts, 0)?, samples, &rows))
        });
        features.collect::<Result<_>>().map(Some)
    }

    /// Compares the student's encoder, as distillation left it, with its teachers'.
    fn student_read(&self, student: usize, placed: &Placed, test: &Samples) -> Result<Vec<Measure>> {
        let branch = self.branch(student)?;
        self.install(&placed.kept, &placed.path, &branch.params)?;
        let (mut similar, mut found, mut n) = (Vec::new(), Vec::new(), 0);
        for teacher in (0..self.spec.modalities.len()).filter(|m| *m != student) {
            let master = self.trained_alone(teacher)?;
            let of = |encoder: &dyn Encoder, modality: usize| -> Result<[Tensor; SPLITS]> {
                let [train, validation, test] = self.read_on(test).map(|(samples, presence)| {
                    let both = rows_with(&presence, &[student, teacher]);
                    self.probing().encodings(encoder, modality, &samples, &both)
                });
                Ok([train?, validation?, test?])
            };
            let [ours, theirs] = [
                of(branch.encoder.as_ref(), student)?,
                of(master.encoder.as_ref(), teacher)?,
            ];
            n += ours[2].dim(0)?;
            let matrix = |x: &Tensor| {
                let (rows, width) = x.dims2().ok()?;
                Matrix::new(&x.flatten_all().ok()?.to_vec1::<f32>().ok()?, rows, width).ok()
            };
            let cka = matrix(&ours[2]).zip(matrix(&theirs[2]));
            similar.push(cka.and_then(|(ours, theirs)| linear_cka(&ours, &theirs).ok()));
            let [train, validation, held_out] = [0, 1, 2].map(|split| vec![ours[split].clone(), theirs[split].clone()]);
            let frozen = Frozen {
                train,
                validation,
                held_out,
            };
            found.push(contrast(&frozen, self.config.seed, self.device)?);
        }
        let over_teachers = |values: Vec<Option<f64>>| mean(&values.into_iter().collect::<Option<Vec<f64>>>()?).ok();
        Ok(vec![
            Measure {
                name: "teacher_cka".to_owned(),
                value: over_teachers(similar),
                n,
            },
            Measure {
                name: "teacher_contrast".to_owned(),
                value: over_teachers(found),
                n: n.min(CANDIDATES),
            },
        ])
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::Device;
    use serde_json::json;

    use super::super::records::records;
    use crate::{
        CellConfig, CellOutcome, Conditions, Silent, run_cell,
        tests::{cell, tiny},
    };

    fn outcome(reallocation: &str, options: serde_json::Value) -> CellOutcome {
        let config = cell("concat", reallocation, options);
        run_cell(&config, &tiny(), &Device::Cpu, &mut Silent, Conditions::default()).unwrap()
    }

    fn value(outcome: &CellOutcome, metric: &str) -> Option<f64> {
        let mut scores = outcome.scores.iter().filter(|score| score.metric == metric);
        let found = scores.next().map(|score| score.value);
        assert!(scores.next().is_none(), "{metric} twice");
        found
    }

    /// Latents of two modalities that nothing brings together are told apart; whether what is to bring them together has done
    /// so is read from them alone.
    #[test]
    fn latents_that_nothing_confuses_are_told_apart() {
        let heads = outcome("ebr", json!({"heads_only": true, "latent": 32}));
        let told = value(&heads, "confusion").unwrap();
        assert!((0.0..0.9).contains(&told), "{told}");
        let shuffled = value(&heads, "confusion_shuffled").unwrap();
        assert!(shuffled > 0.9, "{shuffled}");
        for modality in ["image", "sound"] {
            let probed = value(&heads, &format!("latent_{modality}")).unwrap();
            assert!((0.0..=1.0).contains(&probed), "{probed}");
        }
        assert_eq!(value(&heads, "teacher_cka"), None);
        assert_eq!(heads.measured["confusion"], 1);
    }

    #[test]
    fn a_student_is_compared_with_its_teachers() {
        let kd = outcome("kd", json!({"student": "sound"}));
        assert!((0.0..=1.0).contains(&value(&kd, "teacher_cka").unwrap()));
        assert!(value(&kd, "teacher_contrast").unwrap() > 0.0);
        assert_eq!(value(&kd, "confusion"), None);
    }

    #[test]
    fn what_reallocates_nothing_has_nothing_to_check() {
        let plain = outcome("none", serde_json::Value::Null);
        assert!(plain.measured.is_empty());
        assert_eq!(value(&plain, "confusion"), None);
    }

    /// Four modalities, each missing here and there.
    #[test]
    fn samples_count_where_they_have_the_modality() {
        let config: CellConfig = serde_json::from_value(json!({
            "dataset": "records",
            "protocol": {"kind": "missing", "rate": 0.3},
            "fusion": {"method": "concat"},
            "reallocation": {"method": "ebr", "latent": 16},
            "training": {"epochs": 1},
            "seed": 2,
        }))
        .unwrap();
        let dataset = records();
        let outcome = run_cell(&config, &dataset, &Device::Cpu, &mut Silent, Conditions::default()).unwrap();
        let n = |metric: &str| outcome.scores.iter().find(|score| score.metric == metric).unwrap().n;
        let own = &dataset.test.for_final_evaluation().present;
        let having: Vec<usize> = (0..own.modalities()).map(|m| own.rows(m).len()).collect();
        for (modality, having) in dataset.modalities.iter().zip(&having) {
            assert_eq!(n(&format!("latent_{}", modality.name)), *having);
        }
        assert_eq!(n("confusion"), having.iter().sum::<usize>());
    }
}
