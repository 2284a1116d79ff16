//! MUSE (Wu et al., ICLR 2024): the bipartite graph of GRAPE, with two views of the batch held together.
//!
//! A second view drops edges at random, as if modalities were missing, and leaves each sample one at least. A sample's
//! states in both views are pulled together (InfoNCE), and so are the states of samples with equal labels (supervised
//! contrast), so that what is learnt neither depends on which modalities are there nor collapses onto one of them.
//!
//! The paper and its code (`src/core/gnn.py`) differ. The defaults are the paper's; the code's are options:
//! `label_contrast: pairwise`, `classifier: two_layers`, `graph_dropout: 0.25`, `temperature: 0.07`. How edges are dropped
//! only the code says.

use mmcollapse_nn::{
    Device, Mode, Result as TensorResult, Tensor,
    layers::{Dropout, Linear},
    losses::{bce_with_logits, info_nce, l2_normalize, supervised_contrastive},
    ops::{matmul, tanh},
};
use serde::{Deserialize, Serialize};

use super::{
    Builder, Fusion, FusionContext, FusionOutput,
    graph::{EdgeThinning, Graph, View},
};
use crate::{
    encodings::Encodings,
    error::Result,
    registry::{Entry, Sampler, parse_for, resolve_as},
};

pub(super) const ENTRY: Entry<Builder> = Entry {
    name: "muse",
    summary: "GRAPE's graph, its states contrasted between a whole and a thinned view and between labels",
    reference: "Wu et al., MUSE, ICLR 2024",
    // The first could drop all edges of a sample. In the second a batch without a modality moved its running mean.
    revision: 3,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("width", Sampler::Whole(&[64, 128])),
        ("edge_drop", Sampler::Uniform(0.0, 0.6)),
        ("view_weight", Sampler::LogUniform(0.05, 2.0)),
        ("label_weight", Sampler::LogUniform(0.05, 2.0)),
        ("temperature", Sampler::LogUniform(0.03, 0.5)),
        ("dropout", Sampler::Uniform(0.0, 0.6)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "muse", options)?;
        Ok(Box::new(Muse::new(&config, context)?))
    }),
};

/// How samples of equal labels are drawn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LabelContrast {
    /// Each sample's partners are to be found among all others, as in the paper.
    Supervised,
    /// Each pair is to be told whether its labels are equal, as in the code.
    Pairwise,
}

/// What reads the prediction off the graph's states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Classifier {
    /// One layer, as in the paper.
    Linear,
    /// Two layers with ReLU between, as in the code.
    TwoLayers,
}

/// Options of [`Muse`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the states of nodes and edges (MUSE: 128).
    width: usize,
    /// Layers of EdgeSAGE (MUSE: 2).
    layers: usize,
    /// Probability that a sample of several edges lacks some in the second view (MUSE's code: .5).
    edge_drop: f64,
    /// Weight of the contrast between views (MUSE: .5).
    view_weight: f64,
    /// Weight of the contrast between labels (MUSE: .5).
    label_weight: f64,
    /// How equal labels are contrasted.
    label_contrast: LabelContrast,
    /// Temperature of both (MUSE's paper: .05; its code: .07).
    temperature: f64,
    /// What reads the prediction off the graph's states.
    classifier: Classifier,
    /// Dropout before the last layer of the classifier (MUSE: .25).
    dropout: f64,
    /// Dropout of edges before the graph and of states within it (MUSE's code: .25; its paper has none).
    graph_dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 128,
            layers: 2,
            edge_drop: 0.5,
            view_weight: 0.5,
            label_weight: 0.5,
            label_contrast: LabelContrast::Supervised,
            temperature: 0.05,
            classifier: Classifier::Linear,
            dropout: 0.25,
            graph_dropout: 0.0,
        }
    }
}

struct Muse {
    config: Config,
    graph: Graph,
    drop: EdgeThinning,
    projection: Linear,
    /// The first of a classifier's two layers.
    hidden: Option<Linear>,
    dropout: Dropout,
    classifier: Linear,
}

impl Muse {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let scope = &context.scope;
        Ok(Self {
            config: config.clone(),
            graph: Graph::new(context, config.width, config.layers, config.graph_dropout)?,
            drop: EdgeThinning::new(&scope.pp("edge_drop"), config.edge_drop)?,
            projection: Linear::new(&scope.pp("projection"), config.width, config.width)?,
            hidden: match config.classifier {
                Classifier::Linear => None,
                Classifier::TwoLayers => Some(Linear::new(&scope.pp("hidden"), config.width, config.width)?),
            },
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
            classifier: Linear::new(&scope.pp("classifier"), config.width, context.classes)?,
        })
    }
}

/// Mean over the samples of the first view and those of both of the binary cross-entropy, in nats, of telling from the
/// cosine over `temperature` whether their labels are equal; `views [2 n, width]` are one after the other.
fn pairwise(views: &Tensor, labels: &[u32], temperature: f64) -> TensorResult<Tensor> {
    let n = labels.len();
    let unit = l2_normalize(views)?;
    let scores = (matmul(&unit.narrow(0, 0, n)?, &unit.t()?)? / temperature)?; // [n, 2 n]
    let both = || labels.iter().chain(labels);
    let equal = labels
        .iter()
        .flat_map(|own| both().map(move |other| f32::from(u8::from(own == other))));
    let targets: Vec<f32> = equal.collect();
    let targets = Tensor::from_vec(targets, (n, 2 * n), &Device::Cpu)?;
    let targets = targets.to_dtype(scores.dtype())?.to_device(scores.device())?;
    bce_with_logits(&scores, &targets, None)
}

impl Fusion for Muse {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let batch = encodings.present.len();
        let edges = self.graph.edges(encodings, mode)?;
        let whole = View {
            batch,
            edges: edges.clone(),
            first: true,
        };
        let fused = self.graph.forward(whole, mode)?; // [b, width]
        let read = match &self.hidden {
            Some(hidden) => hidden.forward_relu(&fused)?,
            None => fused.clone(),
        };
        let logits = self.classifier.forward(&self.dropout.forward(&read, mode)?)?;
        let mut output = FusionOutput::new(fused, logits);
        if mode.is_train() {
            let thinned = View {
                batch,
                edges: self.drop.forward(batch, &edges, mode)?,
                first: false,
            };
            let project = |states: &Tensor| tanh(&self.projection.forward(states)?);
            let first = project(&output.fused)?;
            let second = project(&self.graph.forward(thinned, mode)?)?;
            let views = info_nce(&first, &second, self.config.temperature)?;
            output.aux.push(("views", (views * self.config.view_weight)?));
            output.contrast = Some(Tensor::cat(&[first, second], 0)?);
        }
        Ok(output)
    }

    fn labelled_losses(&self, output: &FusionOutput, labels: &[u32]) -> TensorResult<Vec<(&'static str, Tensor)>> {
        let Some(views) = &output.contrast else {
            return Ok(Vec::new());
        };
        let loss = match self.config.label_contrast {
            LabelContrast::Supervised => supervised_contrastive(views, &labels.repeat(2), self.config.temperature)?,
            LabelContrast::Pairwise => pairwise(views, labels, self.config.temperature)?,
        };
        Ok(vec![("labels", (loss * self.config.label_weight)?)])
    }
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::random::Stream;

    use super::*;

    /// As `sup_ce_loss` in MUSE's code has it, pair by pair.
    #[test]
    fn the_codes_contrast_is_the_mean_over_pairs() {
        let (n, width, temperature, labels) = (4, 3, 0.5, [0_u32, 1, 0, 2]);
        let mut stream = Stream::new(4, "pairs");
        let views: Vec<Vec<f64>> = (0..2 * n)
            .map(|_| (0..width).map(|_| stream.normal()).collect())
            .collect();
        let cosine = |a: &[f64], b: &[f64]| {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt() / temperature
        };
        // Of the first view with itself, of both, and of both transposed: weighted 2, 1, 1 over 4.
        let mean = |left: usize, right: usize| {
            let pairs = (0..n).flat_map(|i| (0..n).map(move |j| (i, j)));
            let losses = pairs.map(|(i, j)| {
                let p = 1.0 / (1.0 + libm::exp(-cosine(&views[left + i], &views[right + j])));
                -libm::log(if labels[i] == labels[j] { p } else { 1.0 - p })
            });
            losses.sum::<f64>() / (n * n) as f64
        };
        let expected = (2.0 * mean(0, 0) + mean(0, n) + mean(n, 0)) / 4.0;
        let tensor = Tensor::new(views.clone(), &Device::Cpu).unwrap();
        let loss = pairwise(&tensor, &labels, temperature)
            .unwrap()
            .to_scalar::<f64>()
            .unwrap();
        assert!((loss - expected).abs() < 1e-12, "{loss} {expected}");
    }
}
