//! Heads, decoders and the discriminator: two layers each.

use mmcollapse_nn::{Init, Result as TensorResult, Scope, Tensor, layers::Linear, ops::matmul};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// How heads and decoders start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Start {
    /// As PyTorch's linear layers do.
    Default,
    /// Normal for rectifiers (He et al. 2015), zero biases.
    He,
    /// The identity with a little noise: what the fusion sees is first what the encoder gives.
    NearIdentity,
    /// As `default`, then head and decoder of each modality are trained to give back its encoding.
    Autoencoder,
}

/// Standard deviation of the noise on an identity: small beside its ones, enough to tell units apart.
const NOISE: f64 = 0.01;

/// Two layers with a rectifier between them.
#[derive(Clone)]
pub(super) struct TwoLayers(Linear, Linear);

impl TwoLayers {
    pub fn new(scope: &Scope, (from, hidden, to): (usize, usize, usize), start: Start) -> Result<Self> {
        let layer = |name: &str, inputs: usize, outputs: usize| -> TensorResult<Linear> {
            let scope = scope.pp(name);
            let weight = match start {
                Start::Default | Start::Autoencoder => return Linear::new(&scope, inputs, outputs),
                Start::He => Init::He(inputs),
                Start::NearIdentity => Init::Split { at: from, std: NOISE },
            };
            Linear::starting(&scope, inputs, outputs, weight, Init::Zeros)
        };
        Ok(Self(layer("0", from, hidden)?, layer("1", hidden, to)?))
    }

    /// `[rows, from]` to `[rows, to]`.
    pub fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        self.1.forward(&self.0.forward_relu(x)?)
    }

    /// The same with its parameters as constants.
    pub fn frozen(&self) -> Self {
        Self(self.0.detached(), self.1.detached())
    }

    /// Mean over rows of the squared norm of the gradient, for the input `x`, of the logit of `class` less the mean of the others:
    /// the R1 penalty (Mescheder et al. 2018), which also holds where psi is sure. Its own gradient goes to the parameters.
    pub fn squared_slope(&self, x: &Tensor, class: usize) -> TensorResult<Tensor> {
        let hidden = self.0.forward(x)?;
        let active = hidden.ge(0.0)?.to_dtype(x.dtype())?; // [rows, hidden]
        let classes = self.1.weight().dim(0)?;
        let others = -1.0 / (classes - 1).max(1) as f32;
        let signs: Vec<f32> = (0..classes).map(|c| if c == class { 1.0 } else { others }).collect();
        let signs = Tensor::from_vec(signs, (1, classes), x.device())?;
        let at_hidden = active.broadcast_mul(&matmul(&signs, self.1.weight())?)?;
        matmul(&at_hidden, self.0.weight())?.sqr()?.sum(1)?.mean(0)
    }
}
