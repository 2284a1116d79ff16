//! SMIL's image encoder on MNIST (Ma et al., AAAI 2021, and its public code).
//!
//! conv 1-5 k5, max pool 2, ReLU; conv 5-10 k5, dropout .5, max pool 2, ReLU; flattened: 160 features, which are the one token.
//! The dropout is of single units (`nn.Dropout` in `src/models/lenet5.py`), not of channels.

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
    summary: "two convolutions on a 1x28x28 image, 160 features",
    reference: "Ma et al., SMIL, AAAI 2021, image branch",
    revision: 2, // the first dropped whole channels
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        reads: Inputs::Of(&[1, 28, 28]),
        make: |options, _, scope| {
            let config: Config = parse_for("encoder", "lenet5", options)?;
            Ok(Box::new(LeNet5::new(&config, scope)?))
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
}

impl LeNet5 {
    fn new(config: &Config, scope: &Scope) -> Result<Self> {
        Ok(Self {
            conv1: Conv2d::new(&scope.pp("conv1"), 1, 5, 5, 1, 0)?,
            conv2: Conv2d::new(&scope.pp("conv2"), 5, 10, 5, 1, 0)?,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
        })
    }
}

impl Encoder for LeNet5 {
    fn width(&self) -> usize {
        160
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        let h = self.conv1.forward_relu_pool2(x)?; // [b, 5, 12, 12]
        let h = self.dropout.forward(&self.conv2.forward(&h)?, mode)?; // [b, 10, 8, 8]
        relu(&max_pool2d(&h, 2, 2)?)?.flatten_from(1) // [b, 160]
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::{Device, Params, random::Stream};

    use super::*;

    #[test]
    fn dropout_takes_single_units_before_the_pool() {
        let params = Params::new(1, &Device::Cpu);
        let net = LeNet5::new(&Config::default(), &params.root()).unwrap();
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
