//! A small convolutional network on a spectrogram of 112 frequencies and 112 frames.
//!
//! conv 1-8 k5 stride 2, batch norm, ReLU, max pool 2; three times conv k3, batch norm, ReLU, and between them max pool
//! 2 (16, 32 and 128 channels); the mean over the 7 x 7 places; dropout: 128 features. The places are the tokens.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Scope, Tensor,
    layers::{BatchNorm2d, Conv2d, Dropout},
    ops::{Link, avg_pool2d, max_pool2d},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Encoded, Encoder, Inputs};
use crate::{
    encodings::Sequence,
    error::Result,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "spectrogram_cnn",
    summary: "four convolutions with batch norm on a 1x112x112 spectrogram, 128 features",
    reference: "this project, for avmnist-hard",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        reads: Inputs::Of(&[&[1, 112, 112]]),
        make: |options, _, scope| {
            let config: Config = parse_for("encoder", "spectrogram_cnn", options)?;
            Ok(Box::new(SpectrogramCnn::new(&config, scope)?))
        },
    },
};

/// Options of [`SpectrogramCnn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Probability of dropping a feature at the end.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { dropout: 0.25 }
    }
}

const WIDTH: usize = 128;

/// Places a side of the last map.
const SIDE: usize = 7;

struct SpectrogramCnn {
    blocks: Vec<(Conv2d, BatchNorm2d)>,
    dropout: Dropout,
    token_dropout: Dropout,
}

impl SpectrogramCnn {
    fn new(config: &Config, scope: &Scope) -> Result<Self> {
        let blocks = [(1, 8, 5, 2), (8, 16, 3, 1), (16, 32, 3, 1), (32, WIDTH, 3, 1)]
            .into_iter()
            .enumerate()
            .map(|(i, (from, to, k, stride))| {
                let scope = scope.pp(format!("block{}", i + 1));
                Ok((
                    Conv2d::new(&scope.pp("conv"), from, to, k, stride, k / 2)?,
                    BatchNorm2d::new(&scope.pp("bn"), to)?,
                ))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            blocks,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
            token_dropout: Dropout::new(&scope.pp("tokens"), config.dropout)?,
        })
    }

    /// The last map, `[b, 128, 7, 7]`.
    fn map(&self, x: &Tensor, mode: Mode) -> TensorResult<Link> {
        let mut h = Link::from(x); // [b, 1, 112, 112]
        for (i, (conv, bn)) in self.blocks.iter().enumerate() {
            if i > 0 {
                h = Link::from(&max_pool2d(h, 2, 2)?); // 56, 28, 14 to 28, 14, 7 a side
            }
            h = conv.forward_norm_relu(bn, h, mode)?;
        }
        Ok(h)
    }

    /// `[b, 128]`, the mean over the places of the last map.
    fn vector(&self, map: impl Into<Link>, mode: Mode) -> TensorResult<Tensor> {
        let mean = avg_pool2d(map, SIDE, SIDE)?.flatten_from(1)?;
        self.dropout.forward(&mean, mode)
    }
}

impl Encoder for SpectrogramCnn {
    fn width(&self) -> usize {
        WIDTH
    }

    /// A convolution sees the same wherever it is.
    fn places(&self) -> usize {
        SIDE * SIDE
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        self.vector(self.map(x, mode)?, mode)
    }

    fn encode(&self, x: &Tensor, mode: Mode) -> TensorResult<Encoded> {
        let map = self.map(x, mode)?.into_tensor()?;
        let places = map.flatten_from(2)?.transpose(1, 2)?.contiguous()?; // [b, 49, 128]
        Ok(Encoded {
            vector: self.vector(&map, mode)?,
            tokens: Some(Sequence {
                mask: vec![true; map.dim(0)? * SIDE * SIDE],
                values: self.token_dropout.forward(&places, mode)?,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::ModalitySpec;
    use std::collections::BTreeSet;

    use mmcollapse_nn::{Device, Params, random::Stream};

    use super::*;
    use crate::{
        encoders::{build, default_for},
        registry::Options,
    };

    #[test]
    fn a_spectrogram_becomes_128_features_and_every_weight_hears_of_them() {
        let sound = ModalitySpec::new("sound", &[1, 112, 112]);
        let name = default_for("set", &sound).unwrap();
        assert_eq!(name, "spectrogram_cnn");
        let params = Params::new(3, &Device::Cpu);
        let encoder = build(name, &Options::new(), &sound, &params.root()).unwrap();
        let x = Stream::new(0, "x").normal_vec(2 * 112 * 112);
        let x = Tensor::from_vec(x, (2, 1, 112, 112), &Device::Cpu).unwrap();
        let loss = |mode| {
            let y = encoder.forward(&x, mode).unwrap();
            assert_eq!(y.dims(), [2, encoder.width()]);
            y.sqr().unwrap().sum_all().unwrap()
        };
        let gradients = loss(Mode::Train { seed: 0, step: 0 }).backward().unwrap();
        let silent: BTreeSet<String> = params
            .vars()
            .into_iter()
            .filter(|(_, var)| {
                let gradient = gradients.get(var).unwrap().abs().unwrap().max_all().unwrap();
                gradient.to_scalar::<f32>().unwrap() == 0.
            })
            .map(|(name, _)| name)
            .collect();
        // Batch norm takes every channel's mean away, so the convolutions' biases have no effect.
        assert!(silent.iter().all(|name| name.ends_with("conv.bias")), "{silent:?}");
        let score = || loss(Mode::Eval).to_scalar::<f32>().unwrap();
        assert_eq!(score(), score());
    }
}
