//! GRAPE (You et al., NeurIPS 2020): the batch as a bipartite graph of samples and modalities.
//!
//! A missing modality is an edge that is not there, so nothing has to be made up for it. GRAPE's edges carry table
//! entries; here, as where MUSE compares with it, they carry encodings. See [`super::graph`] for the layers, and for
//! what evaluation does so that a prediction depends on its own sample only.

use mmcollapse_nn::{
    Mode, Result as TensorResult,
    layers::{Dropout, Linear},
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
    name: "grape",
    summary: "samples and modalities as a bipartite graph; a missing modality is a missing edge",
    reference: "You et al., GRAPE, NeurIPS 2020",
    revision: 2, // in the first a batch without a modality moved its running mean
    resolve: resolve_as::<Config>,
    tuned: &[
        ("width", Sampler::Whole(&[32, 64, 128])),
        ("edge_drop", Sampler::Uniform(0.0, 0.6)),
        ("dropout", Sampler::Uniform(0.0, 0.6)),
    ],
    build: Builder::new(|options, context| {
        let config: Config = parse_for("fusion", "grape", options)?;
        Ok(Box::new(Grape::new(&config, context)?))
    }),
};

/// Options of [`Grape`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of the states of nodes and edges (GRAPE: 64; MUSE: 128).
    width: usize,
    /// Layers of EdgeSAGE (2, of which the first also updates edges and modalities).
    layers: usize,
    /// Share of edges dropped in training (GRAPE: .3).
    edge_drop: f64,
    /// Dropout before the classifier (GRAPE: none).
    dropout: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 64,
            layers: 2,
            edge_drop: 0.3,
            dropout: 0.0,
        }
    }
}

struct Grape {
    graph: Graph,
    drop: EdgeDrop,
    dropout: Dropout,
    classifier: Linear,
}

impl Grape {
    fn new(config: &Config, context: &FusionContext) -> Result<Self> {
        let scope = &context.scope;
        Ok(Self {
            graph: Graph::new(context, config.width, config.layers, 0.0)?,
            drop: EdgeDrop::new(&scope.pp("edge_drop"), config.edge_drop)?,
            dropout: Dropout::new(&scope.pp("dropout"), config.dropout)?,
            classifier: Linear::new(&scope.pp("classifier"), config.width, context.classes)?,
        })
    }
}

impl Fusion for Grape {
    fn forward(&self, encodings: &Encodings, mode: Mode) -> TensorResult<FusionOutput> {
        let batch = encodings.present.len();
        let edges = self.drop.forward(batch, &self.graph.edges(encodings, mode)?, mode)?;
        let view = View {
            batch,
            edges,
            first: true,
        };
        let fused = self.graph.forward(view, mode)?; // [b, width]
        let logits = self.classifier.forward(&self.dropout.forward(&fused, mode)?)?;
        Ok(FusionOutput::new(fused, logits))
    }
}
