//! A row of numbers as it is, or through one linear layer: for tests of the mechanism, where nothing but the fusion may be
//! nonlinear.

use mmcollapse_nn::{Mode, Result as TensorResult, Scope, Tensor, layers::Linear};
use serde::{Deserialize, Serialize};

use super::{Builder, Encoder, Inputs};
use crate::{
    error::Result,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "linear",
    summary: "one linear layer on a row of numbers, or the row itself",
    reference: "ours: for data whose features are planted",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        reads: Inputs::Vectors,
        make: |options, input, scope| {
            let config: Config = parse_for("encoder", "linear", options)?;
            Ok(Box::new(OneLayer::new(&config, input.width(), scope)?))
        },
    },
};

/// Options of [`OneLayer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the encoding; without it the encoding is the row itself.
    width: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self { width: Some(16) }
    }
}

struct OneLayer {
    /// None for the row itself.
    layer: Option<Linear>,
    width: usize,
}

impl OneLayer {
    fn new(config: &Config, inputs: usize, scope: &Scope) -> Result<Self> {
        let layer = config.width.map(|width| Linear::new(&scope.pp("layer"), inputs, width));
        Ok(Self {
            layer: layer.transpose()?,
            width: config.width.unwrap_or(inputs),
        })
    }
}

impl Encoder for OneLayer {
    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, x: &Tensor, _mode: Mode) -> TensorResult<Tensor> {
        match &self.layer {
            Some(layer) => layer.forward(x),
            None => Ok(x.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::ModalitySpec;
    use mmcollapse_nn::{DType, Device, Mode, Params, Tensor};
    use serde_json::json;

    use crate::encoders::build;

    /// Absent and null are not the same, and a cell's options are read more than once.
    #[test]
    fn the_row_itself_stays_itself_when_options_are_resolved() {
        let resolve = |options: serde_json::Value| (super::ENTRY.resolve)(options.as_object().unwrap()).unwrap();
        let itself = resolve(json!({"width": null}));
        assert_eq!(itself["width"], json!(null));
        assert_eq!(resolve(itself.clone().into()), itself);
        assert_eq!(resolve(json!({}))["width"], 16);
    }

    #[test]
    fn a_row_is_itself_or_a_linear_map_of_it() {
        let params = Params::new(3, &Device::Cpu);
        let view = ModalitySpec::new("view", &[5]);
        let encode = |options: serde_json::Value, x: &Tensor| -> Vec<f32> {
            let options = options.as_object().unwrap().clone();
            let scope = params.root().pp(options.len());
            let encoder = build("linear", &options, &view, &scope).unwrap();
            let z = encoder.forward(x, Mode::Eval).unwrap();
            assert_eq!(z.dims(), [2, encoder.width()]);
            z.flatten_all().unwrap().to_vec1().unwrap()
        };
        let x = Tensor::arange(0_f32, 10.0, &Device::Cpu)
            .unwrap()
            .reshape((2, 5))
            .unwrap();
        let plain: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(encode(json!({"width": null}), &x), plain);
        let zero = Tensor::zeros((2, 5), DType::F32, &Device::Cpu).unwrap();
        let rows = encode(json!({}), &zero);
        assert_eq!(rows[..16], rows[16..], "only the bias is left");
    }
}
