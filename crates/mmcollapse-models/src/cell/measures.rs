//! What a trained model's fused representation is like (its rank, its collinearity, whose encoding it resembles), and what
//! its encoders have lost against their baselines.

use std::collections::BTreeMap;

use mmcollapse_data::{Presence, Samples};
use mmcollapse_nn::{Mode, Tensor};
use mmcollapse_probes::{Matrix, OfModality, Reading, Representation, neuron_shares};
use mmcollapse_record::{Definition, Diagnosis, Measured, ModalityDiagnosis, NEURONS_MEASURE};

use super::{
    run::{MULTIMODAL, Run, UNIMODAL},
    scoring::Measure,
};
use crate::{
    encoders::Encoder, error::Result, evaluate::each_batch, model::Model, polysemanticity::polysemanticity,
    predictions::Predictions, reallocation::Workbench, training::EpochRecord,
};

/// What shares of neurons are rounded to: they are many, and are drawn.
const DIGITS: f64 = 1000.0;

/// Share of each fusion neuron that a group of features holds, by the name of its curve.
pub(super) type Neurons = BTreeMap<String, Vec<f64>>;

impl Run<'_> {
    /// The measures of a representation that the protocol has or the experiment asks for.
    pub fn asked_measures(&self) -> Vec<&'static Definition> {
        let config = &self.config;
        let asked = self.conditions.measures;
        Definition::measured_in(config.protocol.kind(), &config.reallocation.method, asked).collect()
    }

    /// Whether what the reallocation did is among them.
    pub fn is_checked(&self) -> bool {
        self.asked_measures().into_iter().any(Definition::is_check)
    }

    /// Measures the representation of `samples`, with every modality that they have: what is of the whole, then what is of
    /// each modality; and, where it is asked for, what each fusion neuron is made of.
    pub fn measures(&self, model: &Model, samples: &Samples) -> Result<(Vec<Measure>, Neurons)> {
        let asked = self.asked_measures();
        if asked.iter().all(|asked| asked.is_check()) {
            return Ok(Default::default());
        }
        let mut representation = self.representation(model, samples)?;
        if asked
            .iter()
            .any(|asked| matches!(asked.measured, Some(Measured::Mechanism(_))))
        {
            representation.layer = self.probing().layer(model, samples, &samples.present)?;
            representation.planted = self.planted(model, samples)?;
        }
        let mut measures = Vec::new();
        if asked
            .iter()
            .any(|asked| matches!(asked.measured, Some(Measured::Weights)))
        {
            measures.extend(self.polysemanticity(model)?);
        }
        measures.extend(self.encoders(model, samples, &asked)?);
        let mut add = |name: String, Reading { value, n }: Reading| measures.push(Measure { name, value, n });
        for definition in &asked {
            if let Some(Measured::Whole(of) | Measured::Mechanism(of)) = definition.measured {
                add(definition.key.to_owned(), of(&representation));
            }
        }
        for (modality, name) in self.spec.modalities.iter().enumerate() {
            for definition in &asked {
                if let Some(Measured::Each(of)) = definition.measured {
                    add(definition.key_of(name), of(&representation, modality));
                }
            }
        }
        let mut neurons = Neurons::new();
        if asked.iter().any(|asked| asked.key == NEURONS_MEASURE) {
            for (group, shares) in neuron_shares(&representation) {
                let modality = &self.spec.modalities[group.modality];
                let shares = shares.into_iter().map(|share| (DIGITS * share).round() / DIGITS);
                neurons.insert(mmcollapse_record::neurons(modality, group.role), shares.collect());
            }
        }
        Ok((measures, neurons))
    }

    /// What a linear probe makes of each encoder, `encoder_M`, and their mean, `encoders`; of those the ones that are asked for.
    fn encoders(&self, model: &Model, samples: &Samples, asked: &[&'static Definition]) -> Result<Vec<Measure>> {
        let mut asked = asked
            .iter()
            .filter(|asked| matches!(asked.measured, Some(Measured::Encoder)));
        if asked.clone().next().is_none() {
            return Ok(Vec::new());
        }
        let mut measures = Vec::new();
        for (modality, name) in self.spec.modalities.iter().enumerate() {
            let [_, at_test] = self.probed(model.encoders[modality].as_ref(), modality, samples)?;
            measures.push(Measure {
                name: format!("encoder_{name}"),
                value: at_test.quality(),
                n: samples.present.rows(modality).len(),
            });
        }
        if asked.any(|asked| asked.key == "encoders") {
            let values: Option<Vec<f64>> = measures.iter().map(|measure| measure.value).collect();
            measures.push(Measure {
                name: "encoders".to_owned(),
                value: values.map(|values| values.iter().sum::<f64>() / values.len() as f64),
                n: samples.len(),
            });
        }
        Ok(measures)
    }

    /// How many modalities a fusion neuron is of, by its weights; see [`polysemanticity`].
    fn polysemanticity(&self, model: &Model) -> Result<Vec<Measure>> {
        let (train, presence) = (&self.dataset.train, &self.presence.train);
        let having: Vec<Vec<usize>> = (0..self.spec.modalities.len()).map(|m| presence.rows(m)).collect();
        let found = match self.probing().layer(model, train, presence)? {
            Some(layer) => polysemanticity(&layer, &train.labels, &having, self.spec.classes, self.config.seed)?,
            None => None,
        };
        let valid = found.filter(|found| found.is_valid);
        let values = [
            ("polysemanticity", valid.map(|found| found.entropy)),
            ("polysemanticity_mixed", valid.map(|found| found.entropy_mixed)),
            ("polysemanticity_block", valid.map(|found| found.cross_entropy)),
            ("polysemanticity_told", found.map(|found| found.accuracy)),
        ];
        let measure = |(name, value): (&str, Option<f64>)| Measure {
            name: name.to_owned(),
            value,
            n: train.len(),
        };
        Ok(values.map(measure).into())
    }

    /// What each encoder inside the model (the prefix) has lost against the same encoder trained alone (the baseline), by
    /// linear probes fitted to the training samples' frozen encodings and scored on `samples` (the paper's Figure 4):
    ///
    /// - `gap_M`: quality of the baseline's probe less that of the prefix's, for modality M;
    /// - `gap_first`: of the first modality; `gap_eliminated`: of the one whose gap is widest on validation;
    /// - `probe_prefix_first`, `probe_baseline_first`, and of `eliminated` likewise: the probes' cross-entropies in nats.
    ///
    /// With them the name of the eliminated modality, where validation can tell one.
    pub fn gaps(&self, model: &Model, samples: &Samples) -> Result<(Vec<Measure>, Option<String>)> {
        let mut gaps: Vec<Probed> = Vec::new();
        let mut modalities = Vec::new();
        for (modality, name) in self.spec.modalities.iter().enumerate() {
            let alone = self.trained_alone(modality)?;
            let [at_validation, at_test] = self.probed(alone.encoder.as_ref(), modality, samples)?;
            let [prefix_at_validation, prefix_at_test] =
                self.probed(model.encoders[modality].as_ref(), modality, samples)?;
            modalities.push(ModalityDiagnosis {
                modality: name.clone(),
                unimodal: at_validation.quality(),
                prefix: prefix_at_validation.quality(),
                n: self.presence.validation.rows(modality).len(),
            });
            gaps.push(Probed {
                baseline: at_test,
                prefix: prefix_at_test,
                n: samples.present.rows(modality).len(),
            });
        }
        let eliminated = Diagnosis::new(modalities).collapsed;
        let mut names = self.spec.modalities.iter();
        let place = names.position(|name| Some(name) == eliminated.as_ref());
        let mut measures = Vec::new();
        let mut add = |measure: &str, name: &str, value: Option<f64>, n: usize| {
            measures.push(Measure {
                name: format!("{measure}_{name}"),
                // The cross-entropy of what is not finite is no number.
                value: value.filter(|value| value.is_finite()),
                n,
            });
        };
        for (name, of) in self.spec.modalities.iter().zip(&gaps) {
            add("gap", name, of.gap(), of.n);
        }
        for (name, place) in [("first", Some(0)), ("eliminated", place)] {
            if let Some(of) = place.and_then(|place| gaps.get(place)) {
                add("gap", name, of.gap(), of.n);
                add("probe_baseline", name, of.baseline.cross_entropy(), of.n);
                add("probe_prefix", name, of.prefix.cross_entropy(), of.n);
            }
        }
        Ok((measures, eliminated))
    }

    /// The lowest semantic loss along training of the model (`lowest_loss_prefix`) and of the first modality's encoder trained alone
    /// (`lowest_loss_baseline`): what the paper's Table 10 compares.
    pub fn lowest_losses(&self) -> Vec<Measure> {
        let lowest = |name: &str, fit: &str| Measure {
            name: format!("lowest_loss_{name}"),
            value: self
                .facts
                .of_fit(fit)
                .map(EpochRecord::semantic)
                .reduce(f64::min)
                .filter(|value| value.is_finite()),
            n: self.dataset.train.len(),
        };
        let baseline = UNIMODAL.to_owned() + self.spec.modalities.first().map_or("", String::as_str);
        vec![lowest("prefix", MULTIMODAL), lowest("baseline", &baseline)]
    }

    /// What a linear probe of an encoder says of the validation samples and of `samples` that have the modality.
    fn probed(&self, encoder: &dyn Encoder, modality: usize, samples: &Samples) -> Result<[Predictions; 2]> {
        let probing = self.probing();
        let probe = probing.probe(encoder, modality)?;
        let asked = probing.features(encoder, modality, samples, &samples.present)?;
        Ok([
            probing.at_validation(&probe, encoder, modality)?,
            probe.predictions(&asked)?,
        ])
    }

    /// What the model makes of `samples`, together and with each modality alone.
    fn representation(&self, model: &Model, samples: &Samples) -> Result<Representation> {
        let (fused, encodings) = self.read(model, samples, &samples.present)?;
        let modalities = encodings.into_iter().enumerate().map(|(modality, encoding)| {
            let rows = samples.present.rows(modality);
            let having = samples.select(&rows);
            let (alone, _) = self.read(model, &having, &having.present.only(&[modality]))?;
            Ok(OfModality {
                encoding,
                having: rows,
                alone,
            })
        });
        Ok(Representation {
            n: samples.len(),
            fused,
            modalities: modalities.collect::<Result<_>>()?,
            labels: samples.labels.clone(),
            ..Representation::default()
        })
    }

    /// The fused representation and each modality's encoding; none for what is not finite.
    pub(super) fn read(
        &self,
        model: &Model,
        samples: &Samples,
        presence: &Presence,
    ) -> Result<(Option<Matrix>, Vec<Option<Matrix>>)> {
        let mut rows: Vec<Vec<f32>> = vec![Vec::new(); 1 + self.spec.modalities.len()];
        each_batch(samples, &self.dataset.modalities, presence, self.device, |batch| {
            let encodings = model.encode(batch, Mode::Eval)?;
            let output = model.fusion.forward(&encodings, Mode::Eval)?;
            for (rows, part) in rows.iter_mut().zip([&output.fused].into_iter().chain(&encodings.z)) {
                rows.extend(Tensor::flatten_all(part)?.to_vec1::<f32>()?);
            }
            Ok(())
        })?;
        let n = samples.len().max(1);
        let mut matrices = rows.iter().map(|values| Matrix::new(values, n, values.len() / n).ok());
        Ok((matrices.next().flatten(), matrices.collect()))
    }
}

/// What probes of the two encoders of one modality say of the samples that have it.
struct Probed {
    baseline: Predictions,
    prefix: Predictions,
    n: usize,
}

impl Probed {
    /// Quality of the baseline's probe less that of the prefix's; none where either is not defined.
    fn gap(&self) -> Option<f64> {
        Some(self.baseline.quality()? - self.prefix.quality()?)
    }
}
