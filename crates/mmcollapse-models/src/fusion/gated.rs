//! Gated fusion: a sum of the modalities in a common space, each dimension weighed by a learned gate.
//!
//! h = sum over present m of sigmoid(V_m [z_1; ...; z_M]) * tanh(W_m z_m), then dropout and a linear classifier.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor,
    layers::{Dropout, Linear},
    ops::{sigmoid, tanh},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput};
use crate::{
    encodings::Encodings,
    error::Result,
    registry::{Entry, Sampler, parse_for, resolve_as},
    rows::presence_weights,
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "gated",
    summary: "gated sum of the modalities in a common space; one that is missing is left out of the sum",
    reference: "Arevalo et al., Gated Multimodal Units, ICLR workshop 2017, section 3.1",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("hidden", Sampler::Whole(&[32, 64, 128, 256])),
        ("dropout", Sampler::Uniform(0.0, 0.8)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "gated", options)?;
        Ok(Box::new(Gated::new(&config, context)?))
    }),
};

/// Options of [`Gated`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the common space.
    hidden: usize,
    /// Dropout before the classifier.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden: 64,
            dropout: 0.6,
        }
    }
}

struct Gated {
    /// Per modality W_m.
    features: Vec<Linear>,
    /// Per modality V_m.
    gates: Vec<Linear>,
    dropout: Dropout,
    classifier: Linear,
}

impl Gated {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let (scope, joined) = (&context.scope, context.widths.iter().sum());
        let mut features = Vec::new();
        let mut gates = Vec::new();
        for (name, &width) in context.modalities.iter().zip(context.widths) {
            features.push(Linear::new(&scope.pp("features").pp(name), width, config.hidden)?);
            gates.push(Linear::new(&scope.pp("gates").pp(name), joined, config.hidden)?);
        }
        Ok(Self {
            features,
            gates,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
            classifier: Linear::new(&scope.pp("classifier"), config.hidden, context.classes)?,
        })
    }
}

impl Fusion for Gated {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let joined = Tensor::cat(&encodings.z, 1)?; // [b, sum of widths], zero where a modality is missing
        let present = presence_weights(encodings)?; // each [b, 1]
        let mut parts = Vec::with_capacity(present.len());
        for (m, z) in encodings.z.iter().enumerate() {
            let gate = sigmoid(&self.gates[m].forward(&joined)?)?;
            let part = (gate * tanh(&self.features[m].forward(z)?)?)?; // [b, hidden]
            parts.push(part.broadcast_mul(&present[m])?);
        }
        let fused = Tensor::stack(&parts, 0)?.sum(0)?; // [b, hidden]
        let logits = self.classifier.forward(&self.dropout.forward(&fused, mode)?)?; // [b, classes]
        Ok(FusionOutput::new(fused, logits))
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::Presence;
    use mmcollapse_nn::{Device, Params};

    use super::*;

    #[test]
    fn a_missing_modality_adds_nothing() {
        let params = Params::new(1, &Device::Cpu);
        let names = ["a".to_owned(), "b".to_owned()];
        let context = FusionContext::made(&names, &[3, 2], 4, &params);
        let gated = Gated::new(&Config::default(), &context).unwrap();
        let fused = |a: [f32; 3], b: [f32; 2], present: [bool; 2]| -> Vec<f32> {
            let encodings = Encodings::made(
                vec![
                    Tensor::new(&[a], &Device::Cpu).unwrap(),
                    Tensor::new(&[b], &Device::Cpu).unwrap(),
                ],
                Presence::from_fn(1, 2, |_, m| present[m]),
            );
            gated
                .forward(&encodings, Mode::Eval)
                .unwrap()
                .fused
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap()
        };
        let (a, nothing) = ([0.3, -1.2, 0.8], [0.0, 0.0]);
        let alone = fused(a, nothing, [true, false]);
        // By the formula, from the weights themselves.
        let row = |linear: &Linear, x: &[f32], h: usize| -> f32 {
            let w: Vec<Vec<f32>> = linear.weight().to_vec2().unwrap();
            let b: Vec<f32> = linear.bias().unwrap().to_vec1().unwrap();
            w[h].iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + b[h]
        };
        for (h, value) in alone.iter().enumerate() {
            let gate = 1.0 / (1.0 + libm::expf(-row(&gated.gates[0], &[a[0], a[1], a[2], 0.0, 0.0], h)));
            let expected = gate * libm::tanhf(row(&gated.features[0], &a, h));
            assert!((value - expected).abs() < 1e-5, "{h}: {value} {expected}");
        }
        // The same zeros, but there: the bias of W_b now counts.
        assert_ne!(fused(a, nothing, [true, true]), alone);
        assert_eq!(fused(a, nothing, [false, false]), vec![0.0; 64]);
    }
}
