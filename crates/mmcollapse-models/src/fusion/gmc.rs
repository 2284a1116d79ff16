//! GMC (Poklukar et al., Geometric Multimodal Contrastive Representation Learning, ICML 2022): the representation of each
//! modality alone is drawn to that of all of them together.
//!
//! Of the encodings z_m, with P_m and P linear, S the projection that all share:
//!
//! ```text
//! r_m   = S P_m z_m / |S P_m z_m|
//! r     = S P (c + W2 relu(W1 c)) / |..|,  c = [z_1; ...; z_M]
//! L_con = sum over modalities of NT-Xent(r, r_m)
//! fused = r where no modality is missing, else the mean of the available r_m
//! logits = W5 (fused + W4 relu(W3 fused))
//! ```
//!
//! The layers are those of the supervised model in the public code (`gmc_code/supervised`), and so is what stands for a sample
//! that lacks a modality (`encode`); its mean is not brought back to length 1 there either.
//!
//! Where this departs from it. Its joint encoder reads the inputs by networks of its own; here it reads the encodings, so that
//! every fusion meets the same encoders. Its training samples lack nothing. Here a modality is contrasted over the samples of
//! the batch that have it; where one of these lacks another, the joint encoder reads zeros in its place. The task is the mean
//! absolute error there, the cross-entropy here.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Scope, Tensor,
    layers::Linear,
    losses::{l2_normalize, nt_xent},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput};
use crate::{
    encodings::Encodings,
    error::{ModelError, Result},
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::{choose, mean_of, presence_weights, select_rows},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "gmc",
    summary: "each modality's representation contrasted with the joint one; with a gap, the mean of the available",
    reference: "Poklukar et al., GMC, ICML 2022, section 3; its public code (gmc_code/supervised)",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("width", Sampler::Whole(&[32, 60, 128])),
        ("temperature", Sampler::LogUniform(0.05, 0.5)),
        ("contrast_weight", Sampler::LogUniform(0.1, 10.0)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "gmc", options)?;
        Ok(Box::new(Gmc::new(&config, context)?))
    }),
};

/// Options of [`Gmc`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the common space and of the representation (GMC's supervised model: 60).
    width: usize,
    /// Temperature of the contrast (GMC: .1; its supervised model: .3).
    temperature: f64,
    /// Weight of the contrast beside the task (GMC: 1).
    contrast_weight: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 60,
            temperature: 0.1,
            contrast_weight: 1.0,
        }
    }
}

/// `x + second(relu(first(x)))`.
struct Residual {
    first: Linear,
    second: Linear,
}

impl Residual {
    fn new(scope: &Scope, width: usize) -> TensorResult<Self> {
        Ok(Self {
            first: Linear::new(&scope.pp("first"), width, width)?,
            second: Linear::new(&scope.pp("second"), width, width)?,
        })
    }

    fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        x + self.second.forward(&self.first.forward_relu(x)?)?
    }
}

struct Gmc {
    config: Config,
    /// Per modality P_m.
    common: Vec<Linear>,
    /// W1 and W2.
    joint: Residual,
    /// P.
    joint_common: Linear,
    /// S.
    shared: Linear,
    /// W3 and W4.
    head: Residual,
    classifier: Linear,
}

impl Gmc {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        if !(config.temperature.is_finite() && config.temperature > 0.0) {
            return Err(ModelError::Options {
                axis: "fusion",
                method: "gmc".to_owned(),
                reason: format!("`temperature` must be positive, got {}", config.temperature),
            });
        }
        let (scope, width) = (&context.scope, config.width);
        let named = context.modalities.iter().zip(context.widths);
        let common = named.map(|(name, &own)| Linear::new(&scope.pp("common").pp(name), own, width));
        let joined = context.widths.iter().sum();
        let joint = scope.pp("joint");
        Ok(Self {
            config: config.clone(),
            common: common.collect::<TensorResult<_>>()?,
            joint: Residual::new(&joint, joined)?,
            joint_common: Linear::new(&joint.pp("common"), joined, width)?,
            shared: Linear::new(&scope.pp("shared"), width, width)?,
            head: Residual::new(&scope.pp("head"), width)?,
            classifier: Linear::new(&scope.pp("classifier"), width, context.classes)?,
        })
    }

    /// What lies in the common space, as a representation of length 1.
    fn represent(&self, common: &Tensor) -> TensorResult<Tensor> {
        l2_normalize(&self.shared.forward(common)?)
    }

    /// L_con, weighted; nothing for a batch in which no sample has any modality.
    fn contrast(&self, encodings: &Encodings, joint: &Tensor, own: &[Tensor]) -> TensorResult<Option<Tensor>> {
        let mut terms = Vec::new();
        for (m, own) in own.iter().enumerate() {
            let rows = encodings.present.rows(m);
            if !rows.is_empty() {
                let [joint, own] = [joint, own].map(|r| select_rows(r, &rows));
                terms.push(nt_xent(&joint?, &own?, self.config.temperature)?);
            }
        }
        if terms.is_empty() {
            return Ok(None);
        }
        let sum = Tensor::stack(&terms, 0)?.sum_all()?;
        (sum * self.config.contrast_weight).map(Some)
    }
}

impl Fusion for Gmc {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let joined = Tensor::cat(&encodings.z, 1)?; // [b, sum of widths], zero where a modality is missing
        let joint = self.represent(&self.joint_common.forward(&self.joint.forward(&joined)?)?)?; // [b, width]
        let own = encodings.z.iter().zip(&self.common);
        let own = own.map(|(z, common)| self.represent(&common.forward(z)?));
        let own: Vec<Tensor> = own.collect::<TensorResult<_>>()?; // each [b, width]
        let present = presence_weights(encodings)?; // each [b, 1]
        let (mut sum, mut count, mut complete) =
            (joint.zeros_like()?, present[0].zeros_like()?, present[0].ones_like()?);
        for (own, present) in own.iter().zip(&present) {
            sum = (sum + own.broadcast_mul(present)?)?;
            count = (count + present)?;
            complete = (complete * present)?;
        }
        let fused = choose(&complete, &joint, &mean_of(&sum, &count)?)?;
        let logits = self.classifier.forward(&self.head.forward(&fused)?)?; // [b, classes]
        let mut output = FusionOutput::new(fused, logits);
        if mode.is_train() {
            let contrast = self.contrast(encodings, &joint, &own)?;
            output.aux.extend(contrast.map(|loss| ("contrast", loss)));
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mmcollapse_data::Presence;
    use mmcollapse_nn::{Device, Params};

    use super::*;
    use crate::fusion::known::{compare_gradients, near, placed, set_known};

    const WIDTHS: [usize; 3] = [3, 2, 2];
    const TRAIN: Mode = Mode::Train { seed: 1, step: 0 };

    fn gmc(params: &Params, config: Config) -> Result<Gmc> {
        let names = ["a", "b", "c"].map(str::to_owned);
        let context = FusionContext::made(&names, &WIDTHS, 2, params);
        Gmc::new(&Config { width: 4, ..config }, &context)
    }

    /// As `MISSING` in `scripts/fixtures_generative.py`.
    fn samples() -> Encodings {
        let missing: [&[usize]; 5] = [&[], &[1], &[0, 2], &[], &[0, 1, 2]];
        let there = |i: usize, m: usize| !missing[i].contains(&m);
        Encodings::made(
            placed(&WIDTHS, missing.len(), there),
            Presence::from_fn(missing.len(), 3, there),
        )
    }

    /// The public code's formulas in PyTorch, sample by sample: `scripts/fixtures_generative.py`.
    #[test]
    fn outputs_and_gradients_are_those_of_pytorch() {
        #[derive(Deserialize)]
        struct Known {
            logits: Vec<Vec<f32>>,
            contrast: f32,
            gradients: BTreeMap<String, Vec<f32>>,
        }
        let known: Known = serde_json::from_str(include_str!("../../tests/fixtures/gmc.json")).unwrap();
        let params = Params::new(1, &Device::Cpu);
        let config = Config {
            temperature: 0.3,
            contrast_weight: 0.7,
            ..Config::default()
        };
        let model = gmc(&params, config).unwrap();
        set_known(&params);
        let output = model.forward(&samples(), TRAIN).unwrap();
        for (got, expected) in output.logits.to_vec2::<f32>().unwrap().iter().zip(&known.logits) {
            assert!(near(got, expected), "{got:?} {expected:?}");
        }
        let (name, contrast) = &output.aux[0];
        let value: f32 = contrast.to_scalar().unwrap();
        assert!(*name == "contrast" && near(&[value], &[known.contrast]), "{value}");
        let loss = (contrast + output.logits.sqr().unwrap().sum_all().unwrap()).unwrap();
        compare_gradients(&params, &loss, &known.gradients);
    }

    #[test]
    fn the_contrast_can_be_switched_off_and_a_batch_without_inputs_has_none() {
        let config = |contrast_weight| Config {
            contrast_weight,
            ..Config::default()
        };
        let contrast = |weight: f64, encodings: &Encodings| -> Vec<f32> {
            let model = gmc(&Params::new(1, &Device::Cpu), config(weight)).unwrap();
            let output = model.forward(encodings, TRAIN).unwrap();
            assert!(model.forward(encodings, Mode::Eval).unwrap().aux.is_empty());
            output.aux.iter().map(|(_, loss)| loss.to_scalar().unwrap()).collect()
        };
        assert!(contrast(1.0, &samples())[0] > 0.0);
        assert_eq!(contrast(0.0, &samples()), [0.0]);
        let nothing = Encodings {
            present: Presence::from_fn(5, 3, |_, _| false),
            ..samples()
        };
        assert!(contrast(1.0, &nothing).is_empty());
    }

    #[test]
    fn a_temperature_without_a_meaning_is_refused() {
        for temperature in [0.0, -0.1, f64::NAN] {
            let config = Config {
                temperature,
                ..Config::default()
            };
            let error = gmc(&Params::new(1, &Device::Cpu), config).err().unwrap().to_string();
            assert!(error.contains("`temperature` must be positive"), "{error}");
        }
    }
}
