//! Samples and modalities as a bipartite graph whose edges carry the encodings: what GRAPE and MUSE share.
//!
//! A sample that has a modality is joined to that modality's node by an edge with its encoding. Layers of EdgeSAGE
//! (You et al., GRAPE, NeurIPS 2020, equations 3 to 5) send along each edge the neighbour's state and the edge's,
//! average what arrives, and update nodes, then edges:
//!
//! ```text
//! n_v  = mean over neighbours u of relu(P [h_u; e_uv])
//! h_v' = relu(Q [h_v; n_v])
//! e_uv' = relu(W [e_uv; h_u'; h_v'])
//! ```
//!
//! A sample's node starts as ones, so all it ever knows of itself came through edges it has. A modality's node
//! starts as a learned vector and hears all samples of the batch. In evaluation that would make a prediction depend on
//! which other test samples stand beside it, so what a modality's node hears is then the running mean of training.

use mmcollapse_nn::{Init, Mode, Result as TensorResult, Scope, Tensor, Var, layers::Linear, random::Stream};

use super::FusionContext;
use crate::model::Encodings;

/// Weight of the newest batch in what modalities hear in evaluation, as in batch normalisation.
const MOMENTUM: f64 = 0.1;

/// The nodes of modalities and the layers.
pub(super) struct Graph {
    width: usize,
    /// Per modality: encoding to edge.
    mappers: Vec<Linear>,
    /// Initial states of the modalities' nodes, `[m, width]`.
    nodes: Tensor,
    layers: Vec<Layer>,
}

struct Layer {
    /// P and Q towards samples.
    to_sample: Linear,
    sample: Linear,
    /// What only a further layer reads.
    rest: Option<Rest>,
}

/// P and Q towards modalities, and W.
struct Rest {
    to_modality: Linear,
    modality: Linear,
    edge: Linear,
    /// Running mean of what each modality hears, `[m, width]`.
    heard: Var,
}

impl Layer {
    fn new(scope: &Scope, modalities: usize, width: usize, last: bool) -> TensorResult<Self> {
        let rest = || {
            let zeros = Tensor::zeros((modalities, width), scope.dtype(), &scope.device())?;
            TensorResult::Ok(Rest {
                to_modality: Linear::new(&scope.pp("to_modality"), 2 * width, width)?,
                modality: Linear::new(&scope.pp("modality"), 2 * width, width)?,
                edge: Linear::new(&scope.pp("edge"), 3 * width, width)?,
                heard: scope.buffer("heard", zeros)?,
            })
        };
        Ok(Self {
            to_sample: Linear::new(&scope.pp("to_sample"), 2 * width, width)?,
            sample: Linear::new(&scope.pp("sample"), 2 * width, width)?,
            rest: if last { None } else { Some(rest()?) },
        })
    }
}

impl Rest {
    /// The next states of the modalities' nodes, given what comes along their edges.
    fn nodes(&self, nodes: &Tensor, samples: &Tensor, view: &View<'_>, mode: Mode) -> TensorResult<Tensor> {
        let heard = if mode.is_train() {
            let mut heard = Vec::with_capacity(view.weights.len());
            for (edge, weight) in view.edges.iter().zip(view.weights) {
                let message = self.to_modality.forward_relu(&Tensor::cat(&[samples, edge], 1)?)?;
                let count = weight.sum_keepdim(0)?; // [1, 1]
                let count = count.maximum(&count.ones_like()?)?;
                heard.push(message.broadcast_mul(weight)?.sum_keepdim(0)?.broadcast_div(&count)?);
            }
            let heard = Tensor::cat(&heard, 0)?; // [m, width]
            if view.follow {
                let kept = (self.heard.as_detached_tensor() * (1.0 - MOMENTUM))?;
                self.heard.set(&(kept + (heard.detach() * MOMENTUM)?)?)?;
            }
            heard
        } else {
            self.heard.as_detached_tensor()
        };
        self.modality.forward_relu(&Tensor::cat(&[nodes, &heard], 1)?)
    }
}

/// A batch as the graph sees it.
pub(super) struct View<'a> {
    /// Per modality `[batch, width]`; a row of an absent modality means nothing.
    pub edges: Vec<Tensor>,
    /// Per modality `[batch, 1]`: 1 where there is an edge, else 0.
    pub weights: &'a [Tensor],
    /// Whether the running means move: once a step, whatever the number of views.
    pub follow: bool,
}

impl Graph {
    /// A graph of `layers` layers over states of `width`.
    pub fn new(context: &FusionContext, width: usize, layers: usize) -> TensorResult<Self> {
        let (scope, modalities, widths) = (context.scope.pp("graph"), context.modalities, context.widths);
        let named = modalities.iter().zip(widths);
        let std = 1.0 / (width as f64).sqrt();
        Ok(Self {
            width,
            mappers: named
                .map(|(name, &input)| Linear::new(&scope.pp("mapper").pp(name), input, width))
                .collect::<TensorResult<_>>()?,
            nodes: scope.var("nodes", (modalities.len(), width), Init::Normal { std })?,
            layers: (0..layers)
                .map(|i| Layer::new(&scope.pp(format!("layer{i}")), modalities.len(), width, i + 1 == layers))
                .collect::<TensorResult<_>>()?,
        })
    }

    /// The edges of a batch before the first layer.
    pub fn edges(&self, encodings: &Encodings) -> TensorResult<Vec<Tensor>> {
        let mappers = self.mappers.iter().zip(&encodings.z);
        mappers.map(|(mapper, z)| mapper.forward(z)).collect()
    }

    /// The final states of the samples, `[batch, width]`.
    pub fn forward(&self, mut view: View<'_>, mode: Mode) -> TensorResult<Tensor> {
        let n = view.weights[0].dim(0)?;
        let mut samples = Tensor::ones((n, self.width), self.nodes.dtype(), self.nodes.device())?;
        let mut nodes = self.nodes.clone();
        let mut degree = view.weights[0].zeros_like()?; // [b, 1]
        for weight in view.weights {
            degree = (degree + weight)?;
        }
        let degree = degree.maximum(&degree.ones_like()?)?;
        let node = |nodes: &Tensor, m: usize| nodes.narrow(0, m, 1)?.broadcast_as((n, self.width));
        for layer in &self.layers {
            let mut arrived = samples.zeros_like()?;
            for (m, (edge, weight)) in view.edges.iter().zip(view.weights).enumerate() {
                let sent = Tensor::cat(&[&node(&nodes, m)?, edge], 1)?;
                arrived = (arrived + layer.to_sample.forward_relu(&sent)?.broadcast_mul(weight)?)?;
            }
            let arrived = arrived.broadcast_div(&degree)?;
            let next = layer.sample.forward_relu(&Tensor::cat(&[&samples, &arrived], 1)?)?;
            if let Some(rest) = &layer.rest {
                nodes = rest.nodes(&nodes, &samples, &view, mode)?;
                for (m, edge) in view.edges.iter_mut().enumerate() {
                    let ends = Tensor::cat(&[&*edge, &next, &node(&nodes, m)?], 1)?;
                    *edge = rest.edge.forward_relu(&ends)?;
                }
            }
            samples = next;
        }
        Ok(samples)
    }
}

/// Which edges of a batch are there, per modality `[batch, 1]`, and which of them are dropped in training.
pub(super) struct EdgeDrop {
    rate: f64,
    purpose: String,
}

impl EdgeDrop {
    /// Drops each edge with probability `rate`.
    pub fn new(scope: &Scope, rate: f64) -> TensorResult<Self> {
        if !(0.0..1.0).contains(&rate) {
            mmcollapse_nn::candle::bail!("edge drop `{}`: the rate must lie in 0..1, got {rate}", scope.path());
        }
        Ok(Self {
            rate,
            purpose: format!("edges/{}", scope.path()),
        })
    }

    /// `weights` without the edges that this step drops.
    pub fn forward(&self, weights: &[Tensor], mode: Mode) -> TensorResult<Vec<Tensor>> {
        let Mode::Train { seed, step } = mode else {
            return Ok(weights.to_vec());
        };
        let mut stream = Stream::at(seed, &self.purpose, step);
        weights
            .iter()
            .map(|weight| {
                let n = weight.dim(0)?;
                let mask = stream.mask_vec(n, 1.0 - self.rate, 1.0);
                weight * Tensor::from_vec(mask, (n, 1), weight.device())?
            })
            .collect()
    }
}
