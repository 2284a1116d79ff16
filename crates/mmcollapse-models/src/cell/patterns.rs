//! Scores for every pattern of modalities that can be left (the paper's Table 6), and models trained for one pattern each.

use mmcollapse_data::Samples;
use mmcollapse_nn::{Mode, Tensor};

use super::{
    run::Run,
    scoring::{FEWEST, Measure},
};
use crate::{
    error::Result,
    evaluate::{each_batch, predictions},
    model::Model,
    multimodal::Multimodal,
    rows::rows_with,
    substitution::TrainingEncodings,
};

impl Run<'_> {
    /// The positions of the modalities of every pattern but the empty one.
    fn patterns(&self) -> Vec<Vec<usize>> {
        let m = self.spec.modalities.len();
        let of = |bits: usize| (0..m).filter(move |modality| bits >> modality & 1 == 1);
        let mut patterns: Vec<Vec<usize>> = (1..1 << m).map(|bits| of(bits).collect()).collect();
        patterns.sort_by_key(Vec::len);
        patterns
    }

    /// `labs+notes`.
    fn pattern_name(&self, pattern: &[usize]) -> String {
        let names: Vec<&str> = pattern.iter().map(|&m| self.spec.modalities[m].as_str()).collect();
        names.join("+")
    }

    /// Trains the vanilla model once for every pattern, on what the training samples have of it alone: what a stand-in
    /// can at best be as good as. The weights are kept.
    pub fn targets(&mut self) -> Result<()> {
        for pattern in self.patterns() {
            let label = format!("target/{}", self.pattern_name(&pattern));
            if self.artifacts.keys().any(|name| name.starts_with(&format!("{label}."))) {
                continue;
            }
            let model = self.spec.vanilla().build(self.device)?;
            let objective = Multimodal(&model);
            let fit = self.plain(label.clone(), &model.params, &objective);
            let presence = self.presence.train.only(&pattern);
            let index = rows_with(&presence, &pattern);
            let recipe = self.vanilla_recipe()?;
            self.fit_shared(&fit, &presence, &index, &recipe)?;
            self.keep(&label, &model.params, None)?;
        }
        Ok(())
    }

    /// Quality on `samples` by name: the protocol's own (`auroc`, `accuracy`) is the mean over the patterns, `X_spread` its
    /// standard deviation over them, `X_of_K` the mean over the patterns of K modalities, `X_with_A+B` that of one pattern.
    ///
    /// A pattern is asked of the samples that have all of it; one that fewer than 11 have is left out. Where a pattern has
    /// no quality (its samples are of one class), the means are over the others; of one pattern there is no spread.
    pub fn pattern_scores(&self, model: &Model, samples: &Samples) -> Result<Vec<Measure>> {
        let quality = self.quality();
        let mut scores = Vec::new();
        let mut add = |name: String, value: Option<f64>, n: usize| scores.push(Measure { name, value, n });
        let mut of_patterns: Vec<(usize, f64)> = Vec::new();
        for pattern in self.patterns() {
            let rows = rows_with(&samples.present, &pattern);
            if rows.len() < FEWEST {
                continue;
            }
            let having = samples.select(&rows);
            let seen = having.present.only(&pattern);
            let name = self.pattern_name(&pattern);
            let target;
            let asked = if model.substitution.retrains() {
                target = self.spec.vanilla().build(self.device)?;
                self.install(&format!("target/{name}"), "", &target.params)?;
                &target
            } else {
                model
            };
            let value = predictions(asked, self.dataset, &having, &seen, self.device)?.quality();
            add(format!("{quality}_with_{name}"), value, rows.len());
            of_patterns.extend(value.map(|value| (pattern.len(), value)));
        }
        let of = |k: Option<usize>| -> Vec<f64> {
            let chosen = of_patterns.iter().filter(|(count, _)| k.is_none_or(|k| k == *count));
            chosen.map(|(_, value)| *value).collect()
        };
        let all = of(None);
        let n = samples.len();
        add(quality.to_owned(), mean(&all), n);
        add(format!("{quality}_spread"), spread(&all), n);
        for count in 1..=self.spec.modalities.len() {
            add(format!("{quality}_of_{count}"), mean(&of(Some(count))), n);
        }
        Ok(scores)
    }

    /// What the trained model makes of the training samples, modality by modality.
    pub fn training_encodings(&self, model: &Model) -> Result<TrainingEncodings> {
        let (samples, presence) = (&self.dataset.train, &self.presence.train);
        let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); self.spec.modalities.len()];
        each_batch(samples, &self.dataset.modalities, presence, self.device, |batch| {
            let encodings = model.encode(batch, Mode::Eval)?;
            for (parts, z) in parts.iter_mut().zip(&encodings.z) {
                parts.push(z.detach());
            }
            Ok(())
        })?;
        Ok(TrainingEncodings {
            z: parts
                .iter()
                .map(|parts| Tensor::cat(parts, 0))
                .collect::<std::result::Result<_, _>>()?,
            present: presence.clone(),
            labels: samples.labels.clone(),
            classes: self.spec.classes,
            seed: self.config.seed,
        })
    }
}

/// None of no value.
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation over all there is; none of fewer than two values.
fn spread(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares = values.iter().map(|value| (value - mean).powi(2));
    Some((squares.sum::<f64>() / values.len() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pattern_has_no_mean_and_one_no_spread() {
        assert_eq!((mean(&[]), spread(&[])), (None, None));
        assert_eq!((mean(&[0.5]), spread(&[0.5])), (Some(0.5), None));
        assert_eq!((mean(&[0.25, 0.75]), spread(&[0.25, 0.75])), (Some(0.5), Some(0.25)));
    }
}
