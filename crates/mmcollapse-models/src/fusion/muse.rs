//! MUSE (Wu et al., ICLR 2024): the bipartite graph of GRAPE, with two views of the batch held together.
//!
//! A second view drops edges at random, as if modalities were missing. A sample's states in both views are pulled
//! together (InfoNCE), and so are the states of samples with equal labels (supervised contrast), so that what is learnt
//! neither depends on which modalities are there nor collapses onto one of them.

use mmcollapse_nn::{
    Mode, Result as TensorResult, Tensor,
    layers::{Dropout, Linear},
    losses::{info_nce, supervised_contrastive},
    ops::tanh,
};
use serde::{Deserialize, Serialize};

use super::{
    Builder, Fusion, FusionContext, FusionOutput,
    graph::{EdgeDrop, Graph, View},
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
    revision: 1,
    resolve: resolve_as::<Config>,
    tuned: &[
        ("width", Sampler::Whole(&[64, 128])),
        ("edge_drop", Sampler::Uniform(0.0, 0.6)),
        ("view_weight", Sampler::LogUniform(0.05, 2.0)),
        ("label_weight", Sampler::LogUniform(0.05, 2.0)),
        ("temperature", Sampler::LogUniform(0.03, 0.5)),
        ("dropout", Sampler::Uniform(0.0, 0.6)),
    ],
    build: |options, context| {
        let config: Config = parse_for("fusion", "muse", options)?;
        Ok(Box::new(Muse::new(&config, context)?))
    },
};

/// Options of [`Muse`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the states of nodes and edges (MUSE: 128).
    width: usize,
    /// Layers of EdgeSAGE (MUSE: 2).
    layers: usize,
    /// Share of edges that the second view lacks (ours: GRAPE's; MUSE does not print its own).
    edge_drop: f64,
    /// Weight of the contrast between views (MUSE: .5).
    view_weight: f64,
    /// Weight of the contrast between labels (MUSE: .5).
    label_weight: f64,
    /// Temperature of both (MUSE's paper: .05; its code: .07).
    temperature: f64,
    /// Dropout before the classifier (MUSE: .25).
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 128,
            layers: 2,
            edge_drop: 0.3,
            view_weight: 0.5,
            label_weight: 0.5,
            temperature: 0.05,
            dropout: 0.25,
        }
    }
}

struct Muse {
    config: Config,
    graph: Graph,
    drop: EdgeDrop,
    projection: Linear,
    dropout: Dropout,
    classifier: Linear,
}

impl Muse {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let scope = &context.scope;
        Ok(Self {
            config: config.clone(),
            graph: Graph::new(context, config.width, config.layers)?,
            drop: EdgeDrop::new(&scope.pp("edge_drop"), config.edge_drop)?,
            projection: Linear::new(&scope.pp("projection"), config.width, config.width)?,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
            classifier: Linear::new(&scope.pp("classifier"), config.width, context.classes)?,
        })
    }
}

impl Fusion for Muse {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let batch = encodings.present.len();
        let edges = self.graph.edges(encodings)?;
        let whole = View {
            batch,
            edges: edges.clone(),
            follow: true,
        };
        let fused = self.graph.forward(whole, mode)?; // [b, width]
        let logits = self.classifier.forward(&self.dropout.forward(&fused, mode)?)?;
        let mut output = FusionOutput::new(fused, logits);
        if mode.is_train() {
            let thinned = View {
                batch,
                edges: self.drop.forward(batch, &edges, mode)?,
                follow: false,
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
        let loss = supervised_contrastive(views, &labels.repeat(2), self.config.temperature)?;
        Ok(vec![("labels", (loss * self.config.label_weight)?)])
    }
}
