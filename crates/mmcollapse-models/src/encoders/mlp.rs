//! Two hidden layers on a row of numbers: for modalities that are features already. The encoding is the one token.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Scope, Tensor,
    layers::{Dropout, Linear},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Encoder, Inputs};
use crate::{
    error::Result,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "mlp",
    summary: "two layers with ReLU on a row of numbers",
    reference: "ours: the paper has no modality that is a plain row of features",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        reads: Inputs::Vectors,
        make: |options, input, scope| {
            let config: Config = parse_for("encoder", "mlp", options)?;
            Ok(Box::new(Mlp::new(&config, input.width(), scope)?))
        },
    },
};

/// Options of [`Mlp`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the hidden layer.
    hidden: usize,
    /// Width of the encoding.
    width: usize,
    /// Dropout of the encoding.
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden: 128,
            width: 128,
            dropout: 0.25,
        }
    }
}

struct Mlp {
    hidden: Linear,
    output: Linear,
    dropout: Dropout,
    width: usize,
}

impl Mlp {
    fn new(config: &Config, inputs: usize, scope: &Scope) -> Result<Self> {
        Ok(Self {
            hidden: Linear::new(&scope.pp("hidden"), inputs, config.hidden)?,
            output: Linear::new(&scope.pp("output"), config.hidden, config.width)?,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
            width: config.width,
        })
    }
}

impl Encoder for Mlp {
    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        let h = self.hidden.forward_relu(x)?; // [b, hidden]
        self.dropout.forward(&self.output.forward_relu(&h)?, mode)
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::ModalitySpec;
    use mmcollapse_nn::{Device, Params};

    use crate::{
        encoders::{build, default_for},
        registry::Options,
    };

    #[test]
    fn it_reads_rows_of_any_length_and_nothing_else() {
        let params = Params::new(3, &Device::Cpu);
        for length in [6, 240] {
            let view = ModalitySpec::new("view", &[length]);
            let name = default_for("set", &view).unwrap();
            assert_eq!(name, "mlp");
            let encoder = build(name, &Options::new(), &view, &params.root().pp(length)).unwrap();
            let x = mmcollapse_nn::Tensor::ones((3, length), mmcollapse_nn::DType::F32, &Device::Cpu).unwrap();
            let y = encoder.forward(&x, mmcollapse_nn::Mode::Eval).unwrap();
            assert_eq!(y.dims(), [3, encoder.width()]);
        }
        let error = build(
            "mlp",
            &Options::new(),
            &ModalitySpec::new("view", &[1, 28, 28]),
            &params.root(),
        )
        .err()
        .unwrap();
        assert!(error.to_string().contains("[1, 28, 28]"), "{error}");
        let error = default_for("set", &ModalitySpec::new("view", &[2, 3]))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("mlp for [n]"), "{error}");
    }
}
