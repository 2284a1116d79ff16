//! MUSE's encoder of laboratory values: a recurrent layer, of which the state after the last step is taken.
//!
//! Tokens are the states after each step, mapped as the last one is; a state knows the steps before it.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Scope, Tensor,
    layers::{Dropout, Gru, Linear},
};
use serde::{Deserialize, Serialize};

use super::{Builder, Encoded, Encoder, Inputs, ids::lengths};
use crate::{
    encodings::Sequence,
    error::Result,
    registry::{Entry, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "gru",
    summary: "a gated recurrent unit over a series, of which the last state is taken",
    reference: "Wu et al., MUSE, ICLR 2024 (code): GRU of width 128 on rows of laboratory values",
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[],
    build: Builder {
        reads: Inputs::Series,
        make: |options, input, scope| {
            let config: Config = parse_for("encoder", "gru", options)?;
            Ok(Box::new(Recurrent::new(&config, input.shape[1], scope)?))
        },
    },
};

/// Options of [`Recurrent`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the state and of the encoding.
    width: usize,
    /// Dropout of the encoding.
    dropout: f64,
    /// The last so many steps are read; 0 means all.
    steps: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 128,
            dropout: 0.25,
            steps: 0,
        }
    }
}

struct Recurrent {
    gru: Gru,
    mapper: Linear,
    dropout: Dropout,
    token_dropout: Dropout,
    width: usize,
    steps: usize,
}

impl Recurrent {
    /// `numbers` of a step, the mark that it is there included.
    fn new(config: &Config, numbers: usize, scope: &Scope) -> Result<Self> {
        Ok(Self {
            gru: Gru::new(&scope.pp("gru"), numbers, config.width)?,
            mapper: Linear::new(&scope.pp("mapper"), config.width, config.width)?,
            dropout: Dropout::new(scope, config.dropout)?,
            token_dropout: Dropout::new(&scope.pp("tokens"), config.dropout)?,
            width: config.width,
            steps: config.steps,
        })
    }

    /// The last [`Recurrent::steps`] steps of each series, at its start, and how many they are.
    fn cut(&self, x: &Tensor, lengths: &[usize]) -> TensorResult<(Tensor, Vec<usize>)> {
        let most = if self.steps == 0 { usize::MAX } else { self.steps };
        // A series without a step keeps one of zeros, which is what it is to the layer.
        let kept: Vec<usize> = lengths.iter().map(|&length| length.min(most).max(1)).collect();
        let longest = kept.iter().copied().max().unwrap_or(1);
        if lengths.iter().all(|&length| length <= most) {
            return Ok((x.narrow(1, 0, longest)?.contiguous()?, kept));
        }
        let rows = lengths.iter().enumerate().map(|(i, &length)| {
            let start = length.saturating_sub(most).min(x.dim(1)? - longest);
            // What follows the kept steps of a shorter series is not looked at.
            x.narrow(0, i, 1)?.narrow(1, start, longest)
        });
        Ok((Tensor::cat(&rows.collect::<TensorResult<Vec<_>>>()?, 0)?, kept))
    }

    /// The states after each step, `[rows, steps, width]`, and how many steps each row has.
    fn states(&self, x: &Tensor) -> TensorResult<(Tensor, Vec<usize>)> {
        let (x, kept) = self.cut(x, &lengths(x)?)?;
        Ok((self.gru.forward(&x)?, kept))
    }

    /// `[rows, width]` of the states after each row's last step.
    fn vector(&self, states: &Tensor, kept: &[usize], mode: Mode) -> TensorResult<Tensor> {
        let state = Gru::last(states, kept)?;
        self.dropout.forward(&self.mapper.forward_relu(&state)?, mode)
    }
}

impl Encoder for Recurrent {
    fn width(&self) -> usize {
        self.width
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        let (states, kept) = self.states(x)?;
        self.vector(&states, &kept, mode)
    }

    fn encode(&self, x: &Tensor, mode: Mode) -> TensorResult<Encoded> {
        let (states, kept) = self.states(x)?;
        let steps = states.dim(1)?;
        let values = self.token_dropout.forward(&self.mapper.forward_relu(&states)?, mode)?;
        let mask = kept.iter().flat_map(|&kept| (0..steps).map(move |step| step < kept));
        Ok(Encoded {
            vector: self.vector(&states, &kept, mode)?,
            tokens: Some(Sequence {
                values,
                mask: mask.collect(),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_data::{Kind, ModalitySpec};
    use mmcollapse_nn::{Device, Params};
    use serde_json::json;

    use super::*;
    use crate::{encoders::build, registry::Options};

    fn series(rows: &[&[f32]]) -> Tensor {
        let values: Vec<f32> = rows
            .iter()
            .flat_map(|row| (0..5).flat_map(|step| row.get(step).map_or([0.0, 0.0], |value| [1.0, *value])))
            .collect();
        Tensor::from_vec(values, (rows.len(), 5, 2), &Device::Cpu).unwrap()
    }

    fn encoder(options: serde_json::Value) -> (Params, Box<dyn Encoder>) {
        let modality = ModalitySpec::new("labs", &[5, 2]).of(Kind::Series);
        let serde_json::Value::Object(options) = options else {
            unreachable!()
        };
        let params = Params::new(2, &Device::Cpu);
        let encoder = build("gru", &Options::from(options), &modality, &params.root()).unwrap();
        (params, encoder)
    }

    fn near(a: &[f32], b: &[f32]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn a_series_is_encoded_by_itself_up_to_its_last_step() {
        let (_params, encoder) = encoder(json!({}));
        let encode = |rows: &[&[f32]]| -> Vec<Vec<f32>> {
            encoder.forward(&series(rows), Mode::Eval).unwrap().to_vec2().unwrap()
        };
        let alone = &encode(&[&[0.5, -1.0]])[0];
        let beside = encode(&[&[0.5, -1.0], &[1.0, 2.0, 3.0, 4.0, 5.0], &[]]);
        assert!(near(alone, &beside[0]) && !near(alone, &beside[1]));
        assert!(beside[2].iter().all(|x| x.is_finite()));
        let mut broken = vec![0.0_f32; 10];
        broken[2] = 1.0;
        let broken = Tensor::from_vec(broken, (1, 5, 2), &Device::Cpu).unwrap();
        assert!(encoder.forward(&broken, Mode::Eval).is_err());
    }

    #[test]
    fn only_the_last_steps_count_where_that_is_asked_for() {
        let (_params, encoder) = encoder(json!({"steps": 2}));
        let encode = |rows: &[&[f32]]| -> Vec<Vec<f32>> {
            encoder.forward(&series(rows), Mode::Eval).unwrap().to_vec2().unwrap()
        };
        let rows = encode(&[&[9.0, 7.0, 1.0, 2.0, 3.0], &[2.0, 3.0], &[4.0], &[8.0, 2.0, 3.0]]);
        assert!(near(&rows[0], &rows[1]) && near(&rows[0], &rows[3]) && !near(&rows[0], &rows[2]));
        assert!(near(&rows[2], &encode(&[&[4.0]])[0]));
    }
}
