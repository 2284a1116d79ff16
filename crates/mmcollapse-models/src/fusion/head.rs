//! SMIL's fused network, which reads the prediction off joined features: one hidden layer, dropout, a classifier.

use mmcollapse_nn::{
    DType, GradStore, Mode, Result as TensorResult, Scope, Tensor,
    layers::{Dropout, Linear},
};

use super::Meeting;

/// Variables `hidden`, `classifier` below a scope.
pub(super) struct Head {
    hidden: Linear,
    dropout: Dropout,
    classifier: Linear,
}

impl Head {
    /// `inputs` to `hidden` to `classes`, with dropout before the classifier.
    pub fn new(scope: &Scope, inputs: usize, hidden: usize, dropout: f64, classes: usize) -> TensorResult<Self> {
        Ok(Self {
            hidden: Linear::new(&scope.pp("hidden"), inputs, hidden)?,
            dropout: Dropout::new(&scope.pp("dropout"), dropout)?,
            classifier: Linear::new(&scope.pp("classifier"), hidden, classes)?,
        })
    }

    /// Its layers as they are in evaluation.
    pub fn meeting(&self) -> TensorResult<Meeting> {
        let bias = |layer: &Linear| match layer.bias() {
            Some(bias) => Ok(bias.detach()),
            None => Tensor::zeros(layer.weight().dim(0)?, DType::F32, layer.weight().device()),
        };
        Ok(Meeting {
            weights: self.hidden.weight().detach(),
            bias: bias(&self.hidden)?,
            readout: self.classifier.weight().detach(),
            readout_bias: bias(&self.classifier)?,
        })
    }

    /// `[rows, inputs]` to the fused representation `[rows, hidden]` and logits `[rows, classes]`.
    pub fn forward(&self, joined: &Tensor, mode: Mode) -> TensorResult<(Tensor, Tensor)> {
        let fused = self.fuse(joined)?;
        let logits = self.classify(&fused, mode)?;
        Ok((fused, logits))
    }

    /// `[rows, inputs]` to `[rows, hidden]`.
    pub fn fuse(&self, joined: &Tensor) -> TensorResult<Tensor> {
        self.hidden.forward_relu(joined)
    }

    /// `[rows, hidden]` to `[rows, classes]`. Once a step: a second call would drop the same places.
    pub fn classify(&self, fused: &Tensor, mode: Mode) -> TensorResult<Tensor> {
        self.classifier.forward(&self.dropout.forward(fused, mode)?)
    }

    /// The network after a step of gradient descent (see [`Linear::stepped`]), with another dropout.
    pub fn stepped(&self, gradients: &GradStore, rate: f64, dropout: Dropout) -> TensorResult<Self> {
        Ok(Self {
            hidden: self.hidden.stepped(gradients, rate)?,
            dropout,
            classifier: self.classifier.stepped(gradients, rate)?,
        })
    }
}
