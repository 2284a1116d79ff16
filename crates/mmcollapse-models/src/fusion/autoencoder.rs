//! Imputation by autoencoders: a missing modality's encoding is reconstructed from those that are there.
//!
//! The original reconstructs the missing input. Here, as with every fusion, the method stands on the encodings, so that all
//! methods meet the same encoders: for each ordered pair of modalities a network with a bottleneck maps the encoding of
//! one to that of the other, the mean over the present ones stands in for what is missing, in training as at test, and
//! SMIL's fused network reads the result.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor,
    layers::{Dropout, Linear},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Fusion, FusionContext, FusionOutput};
use crate::{
    error::Result,
    model::Encodings,
    registry::{Entry, parse_for, resolve_as},
    rows::{presence_weights, select_rows},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "autoencoder",
    summary: "a missing modality's encoding is reconstructed from the present ones, then concat",
    reference: "Ngiam et al., Multimodal Deep Learning, ICML 2011; the row Autoencoder of SMIL (Ma et al., AAAI 2021)",
    revision: 1,
    resolve: resolve_as::<Config>,
    build: |options, context| {
        let config: Config = parse_for("fusion", "autoencoder", options)?;
        Ok(Box::new(Autoencoder::new(&config, context)?))
    },
};

/// Options of [`Autoencoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the bottleneck.
    bottleneck: usize,
    /// Weight of the reconstruction error.
    reconstruction: f64,
    /// Width of the fused network's hidden layer.
    hidden: usize,
    /// Dropout before the classifier.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bottleneck: 64,
            reconstruction: 1.0,
            hidden: 64,
            dropout: 0.6,
        }
    }
}

/// Maps the encoding of one modality to that of another.
struct Map {
    from: usize,
    to: usize,
    encode: Linear,
    decode: Linear,
}

impl Map {
    fn forward(&self, z: &Tensor) -> TensorResult<Tensor> {
        self.decode.forward(&self.encode.forward_relu(z)?)
    }
}

struct Autoencoder {
    reconstruction: f64,
    maps: Vec<Map>,
    hidden: Linear,
    dropout: Dropout,
    classifier: Linear,
}

impl Autoencoder {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let (scope, widths) = (&context.scope, context.widths);
        let mut maps = Vec::new();
        for (from, source) in context.modalities.iter().enumerate() {
            for (to, target) in context.modalities.iter().enumerate().filter(|(to, _)| *to != from) {
                let scope = scope.pp("maps").pp(source).pp(target);
                maps.push(Map {
                    from,
                    to,
                    encode: Linear::new(&scope.pp("encode"), widths[from], config.bottleneck)?,
                    decode: Linear::new(&scope.pp("decode"), config.bottleneck, widths[to])?,
                });
            }
        }
        Ok(Self {
            reconstruction: config.reconstruction,
            maps,
            hidden: Linear::new(&scope.pp("hidden"), widths.iter().sum(), config.hidden)?,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
            classifier: Linear::new(&scope.pp("classifier"), config.hidden, context.classes)?,
        })
    }

    /// The encodings, each `[batch, width]`, with the mean of what the present modalities give where one is missing.
    fn imputed(&self, encodings: &Encodings) -> TensorResult<Vec<Tensor>> {
        let present = presence_weights(encodings)?; // each [b, 1]
        let mut imputed = Vec::with_capacity(present.len());
        for (to, z) in encodings.z.iter().enumerate() {
            if encodings.present.rows(to).len() == encodings.present.len() {
                imputed.push(z.clone());
                continue;
            }
            let (mut sum, mut count) = (z.zeros_like()?, present[to].zeros_like()?);
            for map in self.maps.iter().filter(|map| map.to == to) {
                let given = map.forward(&encodings.z[map.from])?;
                sum = (sum + given.broadcast_mul(&present[map.from])?)?;
                count = (count + &present[map.from])?;
            }
            // Zero for a sample without any modality.
            let mean = sum.broadcast_div(&count.maximum(&count.ones_like()?)?)?;
            let absent = present[to].affine(-1.0, 1.0)?;
            imputed.push((z.broadcast_mul(&present[to])? + mean.broadcast_mul(&absent)?)?);
        }
        Ok(imputed)
    }

    /// Mean squared error over the ordered pairs, each on the samples that have both. The encodings themselves are not
    /// moved by it, or they could make each other easy to reconstruct by carrying nothing.
    fn error(&self, encodings: &Encodings) -> TensorResult<Option<Tensor>> {
        let mut errors = Vec::new();
        for map in &self.maps {
            let both: Vec<usize> = (0..encodings.present.len())
                .filter(|&i| encodings.present.get(i, map.from) && encodings.present.get(i, map.to))
                .collect();
            if both.is_empty() {
                continue;
            }
            let [source, target] = [map.from, map.to].map(|m| select_rows(&encodings.z[m], &both).map(|z| z.detach()));
            errors.push((map.forward(&source?)? - target?)?.sqr()?.mean_all()?);
        }
        if errors.is_empty() {
            return Ok(None);
        }
        Ok(Some(Tensor::stack(&errors, 0)?.mean(0)?))
    }
}

impl Fusion for Autoencoder {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let joined = Tensor::cat(&self.imputed(encodings)?, 1)?; // [b, sum of widths]
        let fused = self.hidden.forward_relu(&joined)?; // [b, hidden]
        let logits = self.classifier.forward(&self.dropout.forward(&fused, mode)?)?; // [b, classes]
        let mut aux = Vec::new();
        if mode.is_train()
            && let Some(error) = self.error(encodings)?
        {
            aux.push(("reconstruction", (error * self.reconstruction)?));
        }
        Ok(FusionOutput {
            aux,
            ..FusionOutput::new(fused, logits)
        })
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::Presence;
    use mmcollapse_nn::{Device, Params, Var};

    use super::*;

    fn autoencoder(params: &Params, names: &[String], widths: &[usize]) -> Autoencoder {
        let context = FusionContext {
            modalities: names,
            widths,
            classes: 4,
            scope: params.root(),
        };
        Autoencoder::new(&Config::default(), &context).unwrap()
    }

    #[test]
    fn what_is_there_stays_and_what_is_missing_is_the_mean_of_what_the_others_give() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let params = Params::new(3, &Device::Cpu);
        let model = autoencoder(&params, &names, &[2, 3, 4]);
        let z = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap().reshape((2, ())).unwrap();
        let encodings = Encodings {
            z: vec![
                z(&[0.5, -1.0, 2.0, 0.1]),
                z(&[1.0, 0.2, -0.4, 0.0, 0.0, 0.0]),
                z(&[0.0; 8]),
            ],
            latents: vec![None, None, None],
            // The first sample lacks c, the second b and c.
            present: Presence::from_fn(2, 3, |i, m| m == 0 || (m == 1 && i == 0)),
        };
        let imputed = model.imputed(&encodings).unwrap();
        let rows = |t: &Tensor| t.to_vec2::<f32>().unwrap();
        assert_eq!(rows(&imputed[0]), rows(&encodings.z[0]));
        assert_eq!(rows(&imputed[1])[0], rows(&encodings.z[1])[0]);
        let given = |from: usize, to: usize, i: usize| {
            let map = model.maps.iter().find(|m| m.from == from && m.to == to).unwrap();
            rows(&map.forward(&encodings.z[from]).unwrap())[i].clone()
        };
        assert_eq!(rows(&imputed[1])[1], given(0, 1, 1));
        assert_eq!(rows(&imputed[2])[1], given(0, 2, 1));
        let (from_a, from_b) = (given(0, 2, 0), given(1, 2, 0));
        for (k, value) in rows(&imputed[2])[0].iter().enumerate() {
            assert!((value - 0.5 * (from_a[k] + from_b[k])).abs() < 1e-6);
        }
    }

    #[test]
    fn reconstruction_moves_the_maps_and_not_the_encodings() {
        let names = ["a", "b"].map(str::to_owned);
        let params = Params::new(3, &Device::Cpu);
        let model = autoencoder(&params, &names, &[2, 3]);
        let var = |shape: (usize, usize)| Var::ones(shape, mmcollapse_nn::DType::F32, &Device::Cpu).unwrap();
        let (a, b) = (var((4, 2)), var((4, 3)));
        let encodings = Encodings {
            z: vec![a.as_tensor().clone(), b.as_tensor().clone()],
            latents: vec![None, None],
            present: Presence::all(4, 2),
        };
        let gradients = model.error(&encodings).unwrap().unwrap().backward().unwrap();
        assert!(gradients.get(&a).is_none() && gradients.get(&b).is_none());
        for (name, var) in params.vars_under("maps") {
            assert!(gradients.get(&var).is_some(), "{name}");
        }
    }
}
