//! Whether a cell's reallocation has done what it is for; see [`crate::manipulation`].

use mmcollapse_data::{Presence, Samples};
use mmcollapse_nn::{Result as TensorResult, Tensor, random::Stream};
use mmcollapse_probes::{linear_cka, mean};

use super::{run::Run, scoring::Measure};
use crate::{
    diagnosis::{Features, LinearProbe},
    error::Result,
    evaluate::{latents, matrix},
    manipulation::{
        Frozen, SPLITS,
        contrast::{CANDIDATES, contrast},
        discriminator::{confusion, shuffled},
    },
    model::Model,
    reallocation::{Placed, Prepared, Workbench},
    rows::rows_with,
};

/// Training samples that readers are fitted to at most: with more of them a reading takes longer, and says the same.
const MOST: usize = 2048;

/// The samples of each split that are read, with who has what.
type Splits = [(Samples, Presence); SPLITS];

impl Run<'_> {
    /// What there is to check of the reallocation, measured on `test`.
    ///
    /// Of latents, where there are any: `confusion`, `confusion_shuffled` and for each modality M `latent_M`, the quality of a
    /// linear probe of its latents; where an encoder comes from another model, of the latents there. Of a student: `teacher_cka`
    /// and `teacher_contrast`, means over its teachers.
    pub fn manipulation(&self, model: &Model, prepared: &Prepared, test: &Samples) -> Result<Vec<Measure>> {
        let splits = self.read_on(test);
        if let Some((reallocation, kept)) = &prepared.source {
            let source = self.model_with(reallocation)?;
            self.install(kept, "", &source.params)?;
            return self.latents_read(&source, &splits);
        }
        let mut measures = self.latents_read(model, &splits)?;
        if let (Some(student), Some(placed)) = (prepared.student, prepared.placed.first()) {
            measures.extend(self.student_read(student, placed, &splits)?);
        }
        Ok(measures)
    }

    fn read_on(&self, test: &Samples) -> Splits {
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

    fn latents_read(&self, model: &Model, splits: &Splits) -> Result<Vec<Measure>> {
        let mut all = Vec::with_capacity(SPLITS);
        for (samples, presence) in splits {
            let Some(latents) = latents(model, self.dataset, samples, presence, self.device)? else {
                return Ok(Vec::new());
            };
            all.push(latents);
        }
        let frozen = Frozen::from([0, 1, 2].map(|split| std::mem::take(&mut all[split])));
        // Of each modality those of a split, with their labels.
        let features = |split: usize, latents: &[Tensor], modality: usize| {
            let (samples, presence) = &splits[split];
            Features::new(latents[modality].clone(), samples, &presence.rows(modality))
        };
        let n = frozen.held_out.iter().map(|x| x.dim(0)).sum::<TensorResult<usize>>()?;
        let seed = self.config.seed;
        let mut measures = vec![Measure {
            name: "confusion".to_owned(),
            value: confusion(&frozen, seed)?,
            n,
        }];
        measures.push(Measure {
            name: "confusion_shuffled".to_owned(),
            value: confusion(&shuffled(&frozen, seed)?, seed)?,
            n,
        });
        for (modality, name) in self.spec.modalities.iter().enumerate() {
            let (train, test) = (
                features(0, &frozen.train, modality),
                features(2, &frozen.held_out, modality),
            );
            let value = if train.labels.is_empty() {
                None
            } else {
                LinearProbe::fit(&train, self.spec.classes)?
                    .predictions(&test)?
                    .quality()
            };
            measures.push(Measure {
                name: format!("latent_{name}"),
                value,
                n: test.labels.len(),
            });
        }
        Ok(measures)
    }

    /// Compares the student's encoder, as distillation left it, with its teachers'.
    fn student_read(&self, student: usize, placed: &Placed, splits: &Splits) -> Result<Vec<Measure>> {
        let branch = self.branch(student)?;
        self.install(&placed.kept, &placed.path, &branch.params)?;
        let (mut similar, mut found, mut n) = (Vec::new(), Vec::new(), 0);
        for teacher in (0..self.spec.modalities.len()).filter(|m| *m != student) {
            let master = self.trained_alone(teacher)?;
            let mut both = [const { Vec::new() }; SPLITS];
            for ((samples, presence), both) in splits.iter().zip(&mut both) {
                let rows = rows_with(presence, &[student, teacher]);
                for (encoder, modality) in [(&branch.encoder, student), (&master.encoder, teacher)] {
                    both.push(self.probing().encodings(encoder.as_ref(), modality, samples, &rows)?);
                }
            }
            let frozen = Frozen::from(both);
            let [ours, theirs] = &frozen.held_out[..] else { continue };
            n += ours.dim(0)?;
            let cka = matrix(ours)?.zip(matrix(theirs)?);
            similar.push(cka.and_then(|(ours, theirs)| linear_cka(&ours, &theirs).ok()));
            found.push(contrast(&frozen, self.config.seed)?);
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
