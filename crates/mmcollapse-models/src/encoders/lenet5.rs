//! SMIL's image encoder on MNIST (Ma et al., AAAI 2021, and its public code).
//!
//! conv 1-5 k5, max pool 2, ReLU; conv 5-10 k5, dropout .5, max pool 2, ReLU; flattened: 160 features, which are the one token.
//! The dropout is of single units (`nn.Dropout` in `src/models/lenet5.py`), not of channels. An SVHN image has three channels in
//! and 250 features out; all else is the same.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Scope, Tensor,
    layers::{Conv2d, Dropout},
    ops::{max_pool2d, relu},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Encoder, Inputs};
use crate::{
    error::Result,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "lenet5",
    summary: "two convolutions on a 1x28x28 image, 160 features, or a 3x32x32 one, 250 features",
    reference: "Ma et al., SMIL, AAAI 2021, image branch",
    revision: 2, // the first dropped whole channels
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        reads: Inputs::Of(&[&[1, 28, 28], &[3, 32, 32]]),
        make: |options, input, scope| {
            let config: Config = parse_for("encoder", "lenet5", options)?;
            Ok(Box::new(LeNet5::new(&config, input.shape[0], input.shape[1], scope)?))
        },
    },
};

/// Options of [`LeNet5`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Probability of dropping a unit after the second convolution.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { dropout: 0.5 }
    }
}

struct LeNet5 {
    conv1: Conv2d,
    conv2: Conv2d,
    dropout: Dropout,
    width: usize,
}

impl LeNet5 {
    /// Of images of `side` by `side` pixels.
    fn new(config: &Config, channels: usize, side: usize, scope: &Scope) -> Result<Self> {
        let halved = |side: usize| (side - 4) / 2; // by a convolution and a pool
        Ok(Self {
            width: 10 * halved(halved(side)).pow(2),
            conv1: Conv2d::new(&scope.pp("conv1"), channels, 5, 5, 1, 0)?,
            conv2: Conv2d::new(&scope.pp("conv2"), 5, 10, 5, 1, 0)?,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
        })
    }
}

impl Encoder for LeNet5 {
    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        let h = self.conv1.forward_relu_pool2(x)?; // [b, 5, 12, 12]; 14 a side of SVHN
        let h = self.dropout.forward(&self.conv2.forward(&h)?, mode)?; // [b, 10, 8, 8]; 10
        relu(&max_pool2d(&h, 2, 2)?)?.flatten_from(1) // [b, 160]; 250
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::ModalitySpec;
    use mmcollapse_nn::{Device, Params, random::Stream};

    use super::*;
    use crate::{
        encoders::{build, default_for},
        registry::Options,
    };

    #[test]
    fn both_kinds_of_images_are_read_and_every_weight_hears_of_them() {
        for (shape, width) in [([1, 28, 28], 160), ([3, 32, 32], 250)] {
            let modality = ModalitySpec::new("image", &shape);
            assert_eq!(default_for("set", &modality).unwrap(), "lenet5");
            let params = Params::new(3, &Device::Cpu);
            let encoder = build("lenet5", &Options::new(), &modality, &params.root()).unwrap();
            assert_eq!(encoder.width(), width);
            let x = Stream::new(0, "x").normal_vec(4 * modality.width());
            let x = Tensor::from_vec(x, (4, shape[0], shape[1], shape[2]), &Device::Cpu).unwrap();
            let y = encoder.forward(&x, Mode::Train { seed: 0, step: 0 }).unwrap();
            assert_eq!(y.dims(), [4, width]);
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            for (name, var) in params.vars() {
                let gradient: Vec<f32> = gradients.get(&var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
                assert!(gradient.iter().all(|g| *g != 0.), "{name}");
            }
        }
    }

    #[test]
    fn dropout_takes_single_units_before_the_pool() {
        let params = Params::new(1, &Device::Cpu);
        let net = LeNet5::new(&Config::default(), 1, 28, &params.root()).unwrap();
        let x = Stream::new(2, "digits").uniform_vec(4 * 784, 0.0, 1.0);
        let x = Tensor::from_vec(x, (4, 1, 28, 28), &Device::Cpu).unwrap();
        let of = |mode| -> Vec<f32> { net.forward(&x, mode).unwrap().flatten_all().unwrap().to_vec1().unwrap() };
        let (plain, dropped) = (of(Mode::Eval), of(Mode::Train { seed: 1, step: 0 }));
        // Of each channel of each image the 16 positions that are alive without dropout.
        let mixed = plain.chunks(16).zip(dropped.chunks(16)).filter(|(plain, dropped)| {
            let alive = (0..16).filter(|&i| plain[i] > 0.0);
            let kept = alive.clone().filter(|&i| dropped[i] > 0.0).count();
            kept > 0 && kept < alive.count()
        });
        assert!(mixed.count() > 4, "a channel is dropped in parts");
        // A maximum over what was kept, doubled: with whole channels each value would be 0 or twice the plain one.
        let other = plain
            .iter()
            .zip(&dropped)
            .filter(|(plain, dropped)| **plain > 0.0 && **dropped > 0.0 && (**dropped - 2.0 * **plain).abs() > 1e-4);
        assert!(other.count() > 50);
    }
}
