//! SMIL's image encoder on MNIST (Ma et al., AAAI 2021, and its public code).
//!
//! conv 1-5 k5, max pool 2, ReLU; conv 5-10 k5, dropout .5, max pool 2, ReLU; flattened: 160 features, which
//! are the one token.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Scope, Tensor,
    layers::{Conv2d, Dropout},
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
    revision: 1,
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
    /// Probability of dropping a whole channel after the second convolution.
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
            dropout: Dropout::channel(&scope.pp("dropout"), config.dropout)?,
        })
    }
}

impl Encoder for LeNet5 {
    fn width(&self) -> usize {
        160
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        let h = self.conv1.forward_relu_pool2(x)?; // [b, 5, 12, 12]
        // SMIL drops before the pool; a dropped or rescaled whole channel commutes with max pool and ReLU, so
        // the fused operation can come first.
        let h = self.conv2.forward_relu_pool2(&h)?; // [b, 10, 4, 4]
        self.dropout.forward(&h, mode)?.flatten_from(1) // [b, 160]
    }
}
