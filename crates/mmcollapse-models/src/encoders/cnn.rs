//! A small convolutional network on images of any size, for modalities that no source has an encoder for.
//!
//! Twice a convolution k3 (padded), ReLU and max pool 2; the mean over what places are left; a linear layer. The encoding is the one
//! token.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Scope, Tensor,
    layers::{Conv2d, Dropout, Linear},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Encoder, Inputs};
use crate::{
    error::{ModelError, Result},
    registry::{Entry, parse_for, resolve_as},
};

const NAME: &str = "cnn";

/// The least height and width: each pool halves them.
const LEAST: usize = 4;

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: NAME,
    summary: "two convolutions on an image of any size, their mean over places, a linear layer",
    reference: "ours: for a user's images",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        reads: Inputs::Images,
        make: |options, input, scope| {
            let config: Config = parse_for("encoder", NAME, options)?;
            if input.shape[1].min(input.shape[2]) < LEAST {
                return Err(ModelError::Options {
                    axis: "encoder",
                    method: NAME.to_owned(),
                    reason: format!("it reads images of at least {LEAST} by {LEAST}, got {:?}", input.shape),
                });
            }
            Ok(Box::new(Cnn::new(&config, input.shape[0], scope)?))
        },
    },
};

/// Options of [`Cnn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Channels after the first and the second convolution.
    channels: [usize; 2],
    /// Width of the encoding.
    width: usize,
    /// Dropout of the encoding.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            channels: [16, 32],
            width: 128,
            dropout: 0.25,
        }
    }
}

struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    output: Linear,
    dropout: Dropout,
    width: usize,
}

impl Cnn {
    fn new(config: &Config, channels: usize, scope: &Scope) -> Result<Self> {
        let [first, second] = config.channels;
        Ok(Self {
            conv1: Conv2d::new(&scope.pp("conv1"), channels, first, 3, 1, 1)?,
            conv2: Conv2d::new(&scope.pp("conv2"), first, second, 3, 1, 1)?,
            output: Linear::new(&scope.pp("output"), second, config.width)?,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
            width: config.width,
        })
    }
}

impl Encoder for Cnn {
    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        let h = self.conv1.forward_relu_pool2(x)?; // [b, 16, h/2, w/2]
        let h = self.conv2.forward_relu_pool2(&h)?; // [b, 32, h/4, w/4]
        let means = h.flatten_from(2)?.mean(2)?;
        self.dropout.forward(&self.output.forward_relu(&means)?, mode)
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
    fn images_of_any_size_are_read_and_every_weight_hears_of_them() {
        for shape in [[3, 12, 20], [1, 4, 4], [2, 9, 7]] {
            let modality = ModalitySpec::new("image", &shape);
            assert_eq!(default_for("set", &modality).unwrap(), NAME);
            let params = Params::new(3, &Device::Cpu);
            let encoder = build(NAME, &Options::new(), &modality, &params.root()).unwrap();
            let x = Stream::new(0, "x").normal_vec(6 * modality.width());
            let x = Tensor::from_vec(x, (6, shape[0], shape[1], shape[2]), &Device::Cpu).unwrap();
            let y = encoder.forward(&x, Mode::Eval).unwrap();
            assert_eq!(y.dims(), [6, encoder.width()]);
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            for (name, var) in params.vars() {
                let gradient: Vec<f32> = gradients.get(&var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
                assert!(gradient.iter().any(|g| *g != 0.), "{shape:?} {name}");
            }
        }
        let small = ModalitySpec::new("image", &[1, 3, 8]);
        let error = build(NAME, &Options::new(), &small, &Params::new(3, &Device::Cpu).root())
            .err()
            .unwrap();
        assert!(error.to_string().contains("at least 4 by 4, got [1, 3, 8]"), "{error}");
    }
}
