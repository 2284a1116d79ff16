//! A fusion for planted data that decides which features may meet in which neuron (the paper's Theorem 1).
//!
//! Each neuron of the first layer reads a block of features of one modality and another block of another one. In a share of the
//! neurons the second block is noise: *noise of j meets prediction of i*. In the others both blocks predict, so conjugate features
//! meet there. A second layer joins all neurons, so conjugate features can be used however the first one is masked.
//!
//! The control takes the second block away as noise does, but from places that hold no feature.

use mmcollapse_nn::{Init, Mode, Result as TensorResult, Tensor, layers::Linear, ops::linear};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput};
use crate::{
    encodings::Encodings,
    error::{ModelError, Result},
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "masked",
    summary: "a layer whose neurons each read one block of features of two modalities, and a second layer; for planted data",
    reference: "ours: Theorem 1 of Chaudhuri et al., ICML 2025, with its share of entangled neurons set by hand",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", ENTRY.name, options)?;
        Ok(Box::new(Masked::new(&config, context)?))
    }),
};

/// What the second block of an entangled neuron is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Second {
    /// Features that are noise.
    Noise,
    /// Places that hold no feature: the control.
    Empty,
}

/// Options of [`Masked`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Neurons of the masked layer.
    hidden: usize,
    /// Neurons of the second layer.
    second: usize,
    /// Share of the masked layer's neurons in which the second block does not predict, in [0, 1].
    share: f64,
    /// What it is there.
    meets: Second,
    /// Width of a block: the first numbers of a modality predict, as many after them are noise, as many after those are empty.
    block: usize,
    /// Whether the masked layer keeps its initial weights: a learnt weight of noise may be 0.
    fixed: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden: 48,
            second: 32,
            share: 0.0,
            meets: Second::Noise,
            block: 4,
            fixed: false,
        }
    }
}

struct Masked {
    weight: Tensor,
    bias: Tensor,
    /// `[hidden, inputs]`, 1 where a neuron reads.
    mask: Tensor,
    fixed: bool,
    second: Linear,
    classifier: Linear,
}

/// Of neuron `k`, whether its second block does not predict: `share` of all, evenly spread.
fn is_entangled(k: usize, share: f64) -> bool {
    let up_to = |k: usize| (share * k as f64 + 1e-9).floor();
    up_to(k + 1) > up_to(k)
}

impl Masked {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let refused = |reason: String| ModelError::Options {
            axis: "fusion",
            method: ENTRY.name.to_owned(),
            reason,
        };
        if !(0.0..=1.0).contains(&config.share) {
            return Err(refused(format!("`share` must be in [0, 1], got {}", config.share)));
        }
        let blocks = 3 * config.block;
        if let Some(narrow) = context.widths.iter().find(|width| **width < blocks) {
            return Err(refused(format!(
                "three blocks of {} need {blocks} numbers of each modality, and one has {narrow}",
                config.block
            )));
        }
        let m = context.widths.len();
        if m < 2 {
            return Err(refused(format!("two modalities have to meet, and there is {m}")));
        }
        let inputs: usize = context.widths.iter().sum();
        let start = |modality: usize| context.widths[..modality].iter().sum::<usize>();
        let mut mask = vec![0_f32; config.hidden * inputs];
        // Ordered pairs of modalities in turn, once among the entangled neurons and once among the others.
        let pairs: Vec<(usize, usize)> = (0..m).flat_map(|i| (1..m).map(move |by| (i, (i + by) % m))).collect();
        let mut turns = [0, 0];
        for (k, mask) in mask.chunks_exact_mut(inputs).enumerate() {
            let entangled = is_entangled(k, config.share);
            let turn = &mut turns[usize::from(entangled)];
            let (i, j) = pairs[*turn % pairs.len()];
            *turn += 1;
            let second = match (entangled, config.meets) {
                (false, _) => 0,
                (true, Second::Noise) => config.block,
                (true, Second::Empty) => 2 * config.block,
            };
            for place in [start(i), start(j) + second] {
                mask[place..place + config.block].fill(1.0);
            }
        }
        let scope = &context.scope;
        let masked = scope.pp("masked");
        let reads = || Init::FanIn(2 * config.block);
        let (weight, bias) = (
            masked.var("weight", (config.hidden, inputs), reads())?,
            masked.var("bias", config.hidden, reads())?,
        );
        Ok(Self {
            mask: Tensor::from_vec(mask, (config.hidden, inputs), weight.device())?,
            weight,
            bias,
            fixed: config.fixed,
            second: Linear::new(&scope.pp("second"), config.hidden, config.second)?,
            classifier: Linear::new(&scope.pp("classifier"), config.second, context.classes)?,
        })
    }
}

impl Fusion for Masked {
    fn forward(&self, encodings: &Encodings, _mode: Mode) -> TensorResult<FusionOutput> {
        let joined = Tensor::cat(&encodings.z, 1)?;
        let learnt = |x: &Tensor| if self.fixed { x.detach() } else { x.clone() };
        let weight = (learnt(&self.weight) * &self.mask)?;
        let masked = linear(&joined, &weight, Some(&learnt(&self.bias)), true)?;
        let second = self.second.forward_relu(&masked)?;
        let logits = self.classifier.forward(&second)?;
        // The theorem speaks of the neurons in which modalities meet.
        Ok(FusionOutput::new(masked, logits))
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::{Device, Params};

    use super::*;

    fn masks(config: &Config) -> Vec<Vec<usize>> {
        let params = Params::new(3, &Device::Cpu);
        let context = FusionContext {
            modalities: &["a".to_owned(), "b".to_owned()],
            widths: &[6, 6],
            places: &[0; 2],
            inputs: &[],
            classes: 2,
            scope: params.root(),
        };
        let masked = Masked::new(config, &context).unwrap();
        let rows: Vec<Vec<f32>> = masked.mask.to_vec2().unwrap();
        let read = |row: &Vec<f32>| (0..row.len()).filter(|i| row[*i] == 1.0).collect();
        rows.iter().map(read).collect()
    }

    #[test]
    fn a_share_of_the_neurons_meets_noise() {
        let of = |share: f64, meets: Second| {
            masks(&Config {
                hidden: 4,
                share,
                meets,
                block: 2,
                ..Config::default()
            })
        };
        // Predictive features of both.
        assert_eq!(of(0.0, Second::Noise), [[0, 1, 6, 7]; 4]);
        let half = of(0.5, Second::Noise);
        // Prediction of a with noise of b, and the other way round, in every second neuron.
        assert_eq!(half, [[0, 1, 6, 7], [0, 1, 8, 9], [0, 1, 6, 7], [2, 3, 6, 7]]);
        assert_eq!(
            of(1.0, Second::Empty),
            [[0, 1, 10, 11], [4, 5, 6, 7], [0, 1, 10, 11], [4, 5, 6, 7]]
        );
    }

    #[test]
    fn shares_are_exact() {
        for (share, expected) in [(0.0, 0), (0.25, 12), (0.5, 24), (0.75, 36), (1.0, 48)] {
            assert_eq!((0..48).filter(|k| is_entangled(*k, share)).count(), expected, "{share}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let params = Params::new(3, &Device::Cpu);
        let context = |widths: &'static [usize]| FusionContext {
            modalities: &[],
            widths,
            places: &[0; 2],
            inputs: &[],
            classes: 2,
            scope: params.root(),
        };
        let refused = |config: Config, widths: &'static [usize]| {
            Masked::new(&config, &context(widths)).err().unwrap().to_string()
        };
        let share = Config {
            share: 1.5,
            ..Config::default()
        };
        assert!(refused(share, &[16, 16]).contains("[0, 1], got 1.5"));
        assert!(refused(Config::default(), &[16, 8]).contains("one has 8"));
    }
}
