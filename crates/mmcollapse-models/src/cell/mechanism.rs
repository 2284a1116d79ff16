//! What a model does with features that are known, and what the layer is like in which its modalities meet.

use std::collections::BTreeMap;

use mmcollapse_data::{
    Presence, Rows, Samples,
    sets::{Feature, Role, Truth, truth},
};
use mmcollapse_nn::{Mode, Tensor, random::Stream};
use mmcollapse_probes::{
    FeatureRole, FusionLayer, Matrix, PlantedFeature, PlantedFeatures, matrix_ranks, mean, planted_response,
    standard_deviation,
};

use super::{
    probing::Probing,
    run::{MULTIMODAL, Run},
    scoring::Measure,
};
use crate::{
    error::Result,
    evaluate::{each_batch, matrix, predictions},
    model::Model,
    reallocation::Workbench,
};

/// Points along a training at which the layer is measured. Each costs a pass over the training samples.
pub(super) const POINTS: usize = 18;

/// Raised when the same layer gets other numbers along the training.
pub(crate) const REVISION: u32 = 2; // the second compares matrices of one kind, of logits less their mean; more readings of the same move none

/// Of those points the part that counts as late.
const LATE: usize = 3;

/// How far a sample is moved along a feature's direction, each way, for the response of the neurons: they are piecewise linear.
const STEP: f32 = 0.01;

/// Samples at most whose responses are measured.
const MOST: usize = 256;

impl Probing<'_> {
    /// The layer in which the modalities meet, with what it is given of `samples`; none if the model has no such layer or if
    /// something is not finite.
    pub fn layer(&self, model: &Model, samples: &Samples, presence: &Presence) -> Result<Option<FusionLayer>> {
        let Some(meeting) = model.fusion.meeting()? else {
            return Ok(None);
        };
        let (mut joined, mut modality) = (Vec::new(), Vec::new());
        each_batch(samples, &self.dataset.modalities, presence, self.device, |batch| {
            let z = model.encode(batch, Mode::Eval)?.z;
            modality.clear();
            for (place, z) in z.iter().enumerate() {
                modality.extend(std::iter::repeat_n(place, z.dim(1)?));
            }
            joined.push(Tensor::cat(&z, 1)?);
            Ok(())
        })?;
        let numbers = |x: &Tensor| -> Result<Vec<f64>> {
            let values: Vec<f32> = x.flatten_all()?.to_vec1()?;
            Ok(values.into_iter().map(f64::from).collect())
        };
        let whole = matrix(&meeting.weights)?.zip(matrix(&meeting.readout)?);
        let inputs = matrix(&Tensor::cat(&joined, 0)?)?;
        let (bias, readout_bias) = (numbers(&meeting.bias)?, numbers(&meeting.readout_bias)?);
        let finite = bias.iter().chain(&readout_bias).all(|value| value.is_finite());
        Ok(whole
            .zip(inputs)
            .filter(|_| finite)
            .map(|((weights, readout), inputs)| FusionLayer {
                weights,
                bias,
                readout,
                readout_bias,
                inputs,
                modality,
            }))
    }

    /// Effective, numerical and stable ranks of `G^T G`, G being the layer's gradient, and of its average gradient outer product over
    /// all training samples: both are second moments of gradients by the layer's inputs or weights, `[inputs, inputs]`.
    pub fn layer_ranks(&self, model: &Model) -> Result<BTreeMap<String, f64>> {
        let train = &self.dataset.train;
        let Some(layer) = self.layer(model, train, &self.presence.train)? else {
            return Ok(BTreeMap::new());
        };
        let ranks = [
            (
                "gradient_rank",
                layer.gradient(&train.labels).map(|g| g.transposed().gram()),
            ),
            ("agop_rank", layer.agop()),
        ];
        // What is not finite has no rank.
        let ranks = ranks.into_iter().filter_map(|(name, matrix)| {
            let ranks = matrix_ranks(&matrix.ok()?).ok()?;
            Some([
                (name.to_owned(), ranks.effective?),
                (format!("{name}_numerical"), ranks.numerical as f64),
                (format!("{name}_stable"), ranks.stable?),
            ])
        });
        Ok(ranks.flatten().collect())
    }
}

impl Run<'_> {
    /// What was measured along the training, where it was: means over the last third of the points.
    pub fn ranks_along(&self) -> Vec<Measure> {
        let layers = self.facts.of_fit(MULTIMODAL).map(|record| &record.layer);
        let points: Vec<_> = layers.filter(|layer| !layer.is_empty()).collect();
        let late = &points[points.len() - points.len().div_ceil(LATE)..];
        let of = |name: &str| -> Vec<f64> { late.iter().filter_map(|layer| layer.get(name).copied()).collect() };
        let (gradient, agop) = (of("gradient_rank"), of("agop_rank"));
        let mean_of = |values: &[f64]| mean(values).ok().filter(|mean| mean.is_finite());
        let variation = standard_deviation(&gradient)
            .ok()
            .zip(mean_of(&gradient))
            .map(|(sd, mean)| sd / mean);
        let ratio = mean_of(&gradient)
            .zip(mean_of(&agop))
            .map(|(gradient, agop)| gradient / agop);
        let others = [
            "gradient_rank_numerical",
            "gradient_rank_stable",
            "agop_rank_numerical",
            "agop_rank_stable",
        ];
        let others = others.map(|name| (name, mean_of(&of(name))));
        let measures = [
            ("gradient_rank", mean_of(&gradient)),
            ("agop_rank", mean_of(&agop)),
            ("gradient_rank_variation", variation.filter(|value| value.is_finite())),
            ("rank_ratio", ratio),
        ];
        let n = self.dataset.train.len();
        let measure = |(name, value): (&str, Option<f64>)| Measure {
            name: name.to_owned(),
            value,
            n,
        };
        measures.into_iter().chain(others).map(measure).collect()
    }

    /// The features that were planted in `samples`, the test split, and what the model makes of them; none where nobody knows
    /// the features, or where the model has some of the modalities only.
    pub fn planted(&self, model: &Model, samples: &Samples) -> Result<Option<PlantedFeatures>> {
        if !self.config.modalities.is_empty() {
            return Ok(None);
        }
        let found = truth(&self.config.dataset, self.config.seed);
        let Some(truth) = found.map_err(|error| self.unfit(error.to_string()))? else {
            return Ok(None);
        };
        let few: Vec<usize> = (0..samples.len().min(MOST)).collect();
        let some = samples.select(&few);
        let mut derivatives = Vec::with_capacity(truth.features.len());
        for feature in &truth.features {
            derivatives.push(self.derivative(model, &some, feature)?);
        }
        let derivatives: Option<Vec<Matrix>> = derivatives.into_iter().collect();
        let variances: Vec<f64> = truth.features.iter().map(|feature| feature.deviation.powi(2)).collect();
        let (contributions, noise_cost) = self.contributions(model, samples, &truth)?;
        let features = truth.features.iter().zip(contributions);
        Ok(Some(PlantedFeatures {
            features: features
                .map(|(feature, contribution)| PlantedFeature {
                    modality: feature.modality,
                    role: match feature.role {
                        Role::Predictive => FeatureRole::Predictive,
                        Role::Conjugate(_) => FeatureRole::Conjugate,
                        Role::Noise => FeatureRole::Noise,
                    },
                    partner: match feature.role {
                        Role::Conjugate(other) => Some(other),
                        _ => None,
                    },
                    contribution,
                })
                .collect(),
            joined: derivatives
                .as_ref()
                .and_then(|derivatives| joined(derivatives, &truth.features, &variances)),
            response: derivatives.and_then(|derivatives| planted_response(&derivatives, &variances).ok()),
            noise_cost: Some(noise_cost).filter(|cost| cost.is_finite()),
        }))
    }

    /// `[n, neurons]`, how much each fused neuron rises along a feature; none if it is not finite.
    fn derivative(&self, model: &Model, samples: &Samples, feature: &Feature) -> Result<Option<Matrix>> {
        let fused = |step: f32| -> Result<Option<Matrix>> {
            let moved = moved(samples, feature, |_| step);
            Ok(self.read(model, &moved, &moved.present)?.0)
        };
        let (Some(above), Some(below)) = (fused(STEP)?, fused(-STEP)?) else {
            return Ok(None);
        };
        let pairs = above.values().iter().zip(below.values());
        let slopes: Vec<f64> = pairs
            .map(|(above, below)| (above - below) / f64::from(2.0 * STEP))
            .collect();
        Ok(Matrix::new(&slopes, above.rows(), above.columns()).ok())
    }

    /// Of each feature, the rise of the cross-entropy when its values alone are permuted over `samples`; and its fall when all noise
    /// features are set to 0.
    fn contributions(&self, model: &Model, samples: &Samples, truth: &Truth) -> Result<(Vec<f64>, f64)> {
        let [.., values] = &truth.values;
        let cross_entropy = |samples: &Samples| -> Result<f64> {
            let said = predictions(model, self.dataset, samples, &samples.present, self.device)?;
            Ok(said.cross_entropy().unwrap_or(f64::NAN))
        };
        let whole = cross_entropy(samples)?;
        let mut contributions = Vec::with_capacity(truth.features.len());
        let mut silent = samples.clone();
        for (place, feature) in truth.features.iter().enumerate() {
            let order = Stream::at(self.config.seed, "planted/permuted", place as u64).permutation(samples.len());
            let permuted = moved(samples, feature, |i| values[order[i]][place] - values[i][place]);
            contributions.push(cross_entropy(&permuted)? - whole);
            if feature.role == Role::Noise {
                silent = moved(&silent, feature, |i| -values[i][place]);
            }
        }
        Ok((contributions, whole - cross_entropy(&silent)?))
    }
}

/// The samples, each moved along a feature's direction by so much.
fn moved(samples: &Samples, feature: &Feature, by: impl Fn(usize) -> f32) -> Samples {
    let mut moved = samples.clone();
    let rows = (0..samples.len()).flat_map(|i| {
        let mut row = samples.row(feature.modality, i);
        let step = by(i);
        row.iter_mut().zip(&feature.direction).for_each(|(x, a)| *x += step * a);
        row
    });
    moved.inputs[feature.modality] = Rows::dense(samples.len(), rows.collect());
    moved
}

/// The response to each feature that is no copy, its copies moving with it: `[neurons, features without copies]`.
fn joined(derivatives: &[Matrix], features: &[Feature], variances: &[f64]) -> Option<Matrix> {
    let own = (0..features.len()).filter(|place| features[*place].copy_of.is_none());
    let moving = |original: usize| -> Option<Matrix> {
        let mut sum = derivatives[original].values().to_vec();
        for (copy, _) in derivatives
            .iter()
            .zip(features)
            .filter(|(_, of)| of.copy_of == Some(original))
        {
            sum.iter_mut()
                .zip(copy.values())
                .for_each(|(sum, of_copy)| *sum += of_copy);
        }
        let (rows, columns) = (derivatives[original].rows(), derivatives[original].columns());
        Matrix::new(&sum, rows, columns).ok()
    };
    let moved: Vec<Matrix> = own.clone().map(moving).collect::<Option<_>>()?;
    let variances: Vec<f64> = own.map(|place| variances[place]).collect();
    planted_response(&moved, &variances).ok()
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::find;
    use mmcollapse_nn::Device;
    use mmcollapse_record::{Planting, ProtocolKind, Split};
    use serde_json::json;

    use super::*;
    use crate::{CellConfig, CellOutcome, Conditions, Silent, run_cell};

    /// A feature and its copy move together: what a neuron makes of them adds up, or cancels.
    #[test]
    fn a_copy_moves_with_its_original() {
        let feature = |modality: usize, copy_of: Option<usize>| Feature {
            modality,
            role: Role::Predictive,
            copy_of,
            direction: vec![1.0],
            deviation: 1.0,
        };
        let features = [feature(0, None), feature(0, None), feature(1, Some(0))];
        // Of one sample, two neurons.
        let derivatives = [[1.0, 2.0], [3.0, 0.0], [1.0, -2.0]].map(|slopes| Matrix::new(&slopes, 1, 2).unwrap());
        let joined = joined(&derivatives, &features, &[1.0, 2.0, 9.0]).unwrap();
        assert_eq!((joined.row(0), joined.row(1)), (&[4.0, 18.0][..], &[0.0, 0.0][..]));
    }

    fn run(dataset: &str, epochs: usize) -> CellOutcome {
        let options = mmcollapse_data::LoadOptions {
            seed: 4,
            ..Default::default()
        };
        let data = find(dataset).unwrap().load(&options).unwrap();
        let config: CellConfig = serde_json::from_value(json!({
            "dataset": dataset,
            "protocol": ProtocolKind::Planted(Planting::Modalities).on("", &[2.0]),
            "encoders": {"dense": {"method": "linear"}},
            "fusion": {"method": "concat", "hidden": 16, "dropout": 0.0},
            "training": {"epochs": epochs, "batch_size": 32, "optimizer": {"kind": "adam", "lr": 0.01}},
            "seed": 4,
        }))
        .unwrap();
        let measures = [
            "mixing_neurons",
            "crossing_excess",
            "role_odds_excess",
            "contribution_predictive",
            "contribution_conjugate",
            "contribution_noise",
            "noise_cost",
            "agop_distance",
        ];
        let conditions = Conditions {
            measures: &measures.map(str::to_owned),
            ..Conditions::default()
        };
        run_cell(&config, &data, &Device::Cpu, &mut Silent, conditions).unwrap()
    }

    fn score(outcome: &CellOutcome, metric: &str) -> Option<f64> {
        let scores = outcome.scores.iter();
        let mut of_metric = scores.filter(|score| score.metric.as_str() == metric && score.split != Split::Validation);
        of_metric.next().map(|score| score.value)
    }

    /// What predicts contributes, what does not does not; the layer is measured along the training and at its end.
    #[test]
    fn a_model_uses_the_features_that_predict() {
        let outcome = run("planted-features:conjugates=0,train=256,test=128,noise=2", 12);
        let of = |metric: &str| score(&outcome, metric).unwrap_or_else(|| panic!("{metric}"));
        assert!(of("contribution_predictive") > 0.1, "{}", of("contribution_predictive"));
        assert!(of("contribution_noise").abs() < 0.05, "{}", of("contribution_noise"));
        // Few samples were trained on, so noise reaches the output a little.
        assert!((-0.02..0.5).contains(&of("noise_cost")), "{}", of("noise_cost"));
        assert!((0.0..=1.0).contains(&of("mixing_neurons")));
        assert!((0.0..1.5).contains(&of("agop_distance")));
        // One direction of each modality decides; the gradient of sixteen neurons cannot have a higher rank.
        assert!((1.0..=16.0).contains(&of("gradient_rank")) && of("agop_rank") >= 1.0);
        assert!(of("gradient_rank_variation") < 1.0);
        for of_what in ["gradient", "agop"] {
            let [effective, numerical, stable] =
                ["", "_numerical", "_stable"].map(|which| of(&format!("{of_what}_rank{which}")));
            // Of any matrix; with two classes a stack of n logits less their mean has the rank of one.
            assert!(
                1.0 <= stable && stable <= numerical && effective <= numerical + 1e-9,
                "{of_what}"
            );
        }
        // There are no conjugate features, so nothing is known of them.
        assert_eq!(score(&outcome, "contribution_conjugate"), None);
        let points = outcome.history.iter().filter(|record| !record.layer.is_empty()).count();
        assert_eq!(points, 12);
    }
}
