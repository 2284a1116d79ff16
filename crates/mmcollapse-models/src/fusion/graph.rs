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

use mmcollapse_nn::{
    Init, Mode, Result as TensorResult, Scope, Tensor, Var,
    layers::{Dropout, Linear},
    random::Stream,
};

use super::FusionContext;
use crate::{
    encodings::Encodings,
    rows::{mean_of, scatter_rows, select_rows},
};

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
    /// Of the edges before the first layer, per modality.
    edge_dropout: Vec<Dropout>,
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
    /// Of the states of samples and of modalities that a further layer reads, for each of two views.
    dropout: [[Dropout; 2]; 2],
    /// Running mean of what each modality hears, `[m, width]`.
    heard: Var,
}

impl Layer {
    fn new(scope: &Scope, modalities: usize, width: usize, dropout: f64, last: bool) -> TensorResult<Self> {
        let of = |view: &str, states: &str| Dropout::new(&scope.pp("dropout").pp(view).pp(states), dropout);
        let rest = || {
            let zeros = Tensor::zeros((modalities, width), scope.dtype(), &scope.device())?;
            TensorResult::Ok(Rest {
                to_modality: Linear::new(&scope.pp("to_modality"), 2 * width, width)?,
                modality: Linear::new(&scope.pp("modality"), 2 * width, width)?,
                edge: Linear::new(&scope.pp("edge"), 3 * width, width)?,
                dropout: [
                    [of("first", "samples")?, of("first", "nodes")?],
                    [of("second", "samples")?, of("second", "nodes")?],
                ],
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
    fn nodes(&self, nodes: &Tensor, samples: &Tensor, view: &View, mode: Mode) -> TensorResult<Tensor> {
        let heard = if mode.is_train() {
            let (mut heard, mut running) = (Vec::new(), Vec::new());
            for (m, edges) in view.edges.iter().enumerate() {
                let before = self.heard.as_detached_tensor().narrow(0, m, 1)?;
                let Some(states) = &edges.states else {
                    heard.push(before.zeros_like()?);
                    running.push(before); // nobody spoke to it
                    continue;
                };
                let ends = select_rows(samples, &edges.rows)?;
                let message = self.to_modality.forward_relu(&Tensor::cat(&[&ends, states], 1)?)?;
                let now = message.mean_keepdim(0)?;
                running.push(((before * (1.0 - MOMENTUM))? + (now.detach() * MOMENTUM)?)?);
                heard.push(now);
            }
            if view.first {
                self.heard.set(&Tensor::cat(&running, 0)?)?;
            }
            Tensor::cat(&heard, 0)? // [m, width]
        } else {
            self.heard.as_detached_tensor()
        };
        self.modality.forward_relu(&Tensor::cat(&[nodes, &heard], 1)?)
    }
}

/// The edges of one modality's node.
#[derive(Clone)]
pub(super) struct Edges {
    /// Positions in the batch of the samples that they join, in order.
    rows: Vec<usize>,
    /// `[rows.len(), width]`; nothing where there is no edge.
    states: Option<Tensor>,
}

impl Edges {
    /// Those of the samples that are kept.
    fn only(&self, keeps: impl Fn(usize) -> bool) -> TensorResult<Self> {
        let kept: Vec<usize> = (0..self.rows.len()).filter(|&i| keeps(self.rows[i])).collect();
        let states = match &self.states {
            Some(states) if !kept.is_empty() => Some(select_rows(states, &kept)?),
            _ => None,
        };
        Ok(Self {
            rows: kept.iter().map(|&i| self.rows[i]).collect(),
            states,
        })
    }
}

/// A batch as the graph sees it.
pub(super) struct View {
    /// Number of samples.
    pub batch: usize,
    /// Per modality.
    pub edges: Vec<Edges>,
    /// Whether it is the first view of the step, with which the running means move.
    pub first: bool,
}

impl Graph {
    /// A graph of `layers` layers over states of `width`, with dropout of the edges before the first layer and of all nodes'
    /// states between layers.
    pub fn new(context: &FusionContext, width: usize, layers: usize, dropout: f64) -> TensorResult<Self> {
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
                .map(|i| {
                    let scope = scope.pp(format!("layer{i}"));
                    Layer::new(&scope, modalities.len(), width, dropout, i + 1 == layers)
                })
                .collect::<TensorResult<_>>()?,
            edge_dropout: modalities
                .iter()
                .map(|name| Dropout::new(&scope.pp("edge_dropout").pp(name), dropout))
                .collect::<TensorResult<_>>()?,
        })
    }

    /// The edges of a batch before the first layer.
    pub fn edges(&self, encodings: &Encodings, mode: Mode) -> TensorResult<Vec<Edges>> {
        let mappers = self.mappers.iter().zip(&encodings.z).enumerate();
        mappers
            .map(|(m, (mapper, z))| {
                let rows = encodings.present.rows(m);
                let states = if rows.is_empty() {
                    None
                } else {
                    let mapped = mapper.forward(&select_rows(z, &rows)?)?;
                    Some(self.edge_dropout[m].forward(&mapped, mode)?)
                };
                Ok(Edges { rows, states })
            })
            .collect()
    }

    /// The final states of the samples, `[batch, width]`.
    pub fn forward(&self, mut view: View, mode: Mode) -> TensorResult<Tensor> {
        let n = view.batch;
        let mut samples = Tensor::ones((n, self.width), self.nodes.dtype(), self.nodes.device())?;
        let mut nodes = self.nodes.clone();
        let mut degree = vec![0_f32; n];
        for &row in view.edges.iter().flat_map(|edges| &edges.rows) {
            degree[row] += 1.0;
        }
        let degree = Tensor::from_vec(degree, (n, 1), self.nodes.device())?.to_dtype(self.nodes.dtype())?;
        let node = |nodes: &Tensor, m: usize, edges: usize| nodes.narrow(0, m, 1)?.broadcast_as((edges, self.width));
        for layer in &self.layers {
            let mut arrived = samples.zeros_like()?;
            for (m, edges) in view.edges.iter().enumerate() {
                let Some(states) = &edges.states else { continue };
                let sent = Tensor::cat(&[&node(&nodes, m, edges.rows.len())?, states], 1)?;
                let sent = layer.to_sample.forward_relu(&sent)?;
                arrived = (arrived + scatter_rows(&sent, &edges.rows, n)?)?;
            }
            let heard = mean_of(&arrived, &degree)?;
            let mut next = layer.sample.forward_relu(&Tensor::cat(&[&samples, &heard], 1)?)?;
            if let Some(rest) = &layer.rest {
                let [of_samples, of_nodes] = &rest.dropout[usize::from(!view.first)];
                next = of_samples.forward(&next, mode)?;
                nodes = of_nodes.forward(&rest.nodes(&nodes, &samples, &view, mode)?, mode)?;
                for (m, edges) in view.edges.iter_mut().enumerate() {
                    let Some(states) = &edges.states else { continue };
                    let ends = [
                        states,
                        &select_rows(&next, &edges.rows)?,
                        &node(&nodes, m, edges.rows.len())?,
                    ];
                    edges.states = Some(rest.edge.forward_relu(&Tensor::cat(&ends, 1)?)?);
                }
            }
            samples = next;
        }
        Ok(samples)
    }
}

/// Which edges of a batch are dropped in training.
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

    /// The edges of a batch of `batch` samples without those that this step drops.
    pub fn forward(&self, batch: usize, edges: &[Edges], mode: Mode) -> TensorResult<Vec<Edges>> {
        let Mode::Train { seed, step } = mode else {
            return Ok(edges.to_vec());
        };
        let mut stream = Stream::at(seed, &self.purpose, step);
        edges
            .iter()
            .map(|edges| {
                // Drawn for every sample, so that what is drawn does not depend on which have the modality.
                let mask = stream.mask_vec(batch, 1.0 - self.rate, 1.0);
                edges.only(|row| mask[row] > 0.0)
            })
            .collect()
    }
}

/// Which samples of a batch lose edges in training, and which of them; each keeps one at least.
///
/// As `edgedrop` in `src/core/gnn.py` of MUSE's code: with probability `rate` a sample keeps a number of its edges that is
/// drawn from 1 to one less than it has, all equally likely.
pub(super) struct EdgeThinning {
    rate: f64,
    purpose: String,
}

impl EdgeThinning {
    /// Thins the edges of each sample with probability `rate`.
    pub fn new(scope: &Scope, rate: f64) -> TensorResult<Self> {
        if !(0.0..=1.0).contains(&rate) {
            mmcollapse_nn::candle::bail!("edge drop `{}`: the rate must lie in 0..=1, got {rate}", scope.path());
        }
        Ok(Self {
            rate,
            purpose: format!("edges/{}", scope.path()),
        })
    }

    /// The edges of a batch of `batch` samples without those that this step drops.
    pub fn forward(&self, batch: usize, edges: &[Edges], mode: Mode) -> TensorResult<Vec<Edges>> {
        let Mode::Train { seed, step } = mode else {
            return Ok(edges.to_vec());
        };
        let mut stream = Stream::at(seed, &self.purpose, step);
        let mut own: Vec<Vec<usize>> = vec![Vec::new(); batch];
        for (m, edges) in edges.iter().enumerate() {
            edges.rows.iter().for_each(|&row| own[row].push(m));
        }
        for own in &mut own {
            // As many draws for every sample, so that what is drawn does not depend on which have which modality.
            let (thinned, share) = (stream.uniform(0.0, 1.0) < self.rate, stream.uniform(0.0, 1.0));
            let order: Vec<f64> = edges.iter().map(|_| stream.uniform(0.0, 1.0)).collect();
            if thinned && own.len() > 1 {
                let kept = 1 + (share * (own.len() - 1) as f64) as usize;
                own.sort_by(|&a, &b| order[a].total_cmp(&order[b]));
                own.truncate(kept);
            }
        }
        let modalities = edges.iter().enumerate();
        modalities
            .map(|(m, edges)| edges.only(|row| own[row].contains(&m)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mmcollapse_data::Presence;
    use mmcollapse_nn::{DType, Device, Params};

    use super::*;

    const WIDTH: usize = 4;

    /// The formulas at the head of this file, one node and one edge after the other, in f64.
    struct ByHand {
        weights: BTreeMap<String, Vec<Vec<f64>>>,
    }

    impl ByHand {
        fn linear(&self, name: &str, parts: &[&[f64]]) -> Vec<f64> {
            let x = parts.concat();
            let bias = &self.weights[&format!("{name}.bias")][0];
            let rows = self.weights[&format!("{name}.weight")].iter().zip(bias);
            rows.map(|(row, bias)| row.iter().zip(&x).map(|(w, x)| w * x).sum::<f64>() + bias)
                .collect()
        }

        fn relu(&self, name: &str, parts: &[&[f64]]) -> Vec<f64> {
            self.linear(name, parts).into_iter().map(|y| y.max(0.0)).collect()
        }

        fn mean(messages: &[Vec<f64>]) -> Vec<f64> {
            let n = messages.len().max(1) as f64;
            let at = |i: usize| messages.iter().map(|message| message[i]).sum::<f64>() / n;
            (0..WIDTH).map(at).collect()
        }

        /// The states of samples whose encodings are `z[m][i]`.
        fn samples(&self, z: &[Vec<Vec<f64>>; 2], present: &Presence) -> Vec<Vec<f64>> {
            let mut samples = vec![vec![1.0; WIDTH]; present.len()];
            let mut nodes = self.weights["graph.nodes"].clone();
            let names = ["a", "b"];
            let map = |m: usize, z: &Vec<f64>| self.linear(&format!("graph.mapper.{}", names[m]), &[z]);
            let mut edges: Vec<Vec<Vec<f64>>> = (0..2).map(|m| z[m].iter().map(|z| map(m, z)).collect()).collect();
            for layer in 0..2 {
                let name = |of: &str| format!("graph.layer{layer}.{of}");
                let next: Vec<Vec<f64>> = (0..present.len())
                    .map(|i| {
                        let joined = (0..2).filter(|&m| present.get(i, m));
                        let messages: Vec<_> = joined
                            .map(|m| self.relu(&name("to_sample"), &[&nodes[m], &edges[m][i]]))
                            .collect();
                        self.relu(&name("sample"), &[&samples[i], &Self::mean(&messages)])
                    })
                    .collect();
                if layer == 0 {
                    nodes = (0..2)
                        .map(|m| {
                            let joined = present.rows(m).into_iter();
                            let messages: Vec<_> = joined
                                .map(|i| self.relu(&name("to_modality"), &[&samples[i], &edges[m][i]]))
                                .collect();
                            self.relu(&name("modality"), &[&nodes[m], &Self::mean(&messages)])
                        })
                        .collect();
                    for (m, edges) in edges.iter_mut().enumerate() {
                        for (edge, next) in edges.iter_mut().zip(&next) {
                            *edge = self.relu(&name("edge"), &[edge, next, &nodes[m]]);
                        }
                    }
                }
                samples = next;
            }
            samples
        }
    }

    fn table(x: &Tensor) -> Vec<Vec<f64>> {
        let rows = if x.rank() == 1 {
            x.unsqueeze(0).unwrap()
        } else {
            x.clone()
        };
        rows.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn states_are_those_of_the_formulas_and_gradients_those_of_differences() {
        let params = Params::with_dtype(3, &Device::Cpu, DType::F64);
        let names = ["a", "b"].map(str::to_owned);
        let context = FusionContext::made(&names, &[3, 2], 2, &params);
        let graph = Graph::new(&context, WIDTH, 2, 0.0).unwrap();
        let weights = params.vars().into_iter();
        let by_hand = ByHand {
            weights: weights.map(|(name, var)| (name, table(var.as_tensor()))).collect(),
        };
        let mut stream = Stream::new(5, "graph");
        let mut z = |width: usize| {
            let z = Tensor::from_vec(stream.normal_vec(5 * width), (5, width), &Device::Cpu).unwrap();
            z.to_dtype(DType::F64).unwrap()
        };
        let z = [z(3), z(2)];
        let mode = Mode::Train { seed: 1, step: 0 };
        // One sample has neither modality; then one sample has the second, then none.
        for present in [
            Presence::from_fn(5, 2, |i, m| i != 4 && (i + m) % 3 != 0),
            Presence::from_fn(5, 2, |i, m| m == 0 || i == 2),
            Presence::from_fn(5, 2, |_, m| m == 0),
        ] {
            let encodings = Encodings::made(z.to_vec(), present.clone());
            let states = || {
                let view = View {
                    batch: 5,
                    edges: graph.edges(&encodings, mode).unwrap(),
                    first: true,
                };
                graph.forward(view, mode).unwrap()
            };
            let expected = by_hand.samples(&[table(&z[0]), table(&z[1])], &present);
            for (a, b) in table(&states()).iter().flatten().zip(expected.iter().flatten()) {
                assert!((a - b).abs() < 1e-12, "{a} {b}");
            }
            let loss = || states().sqr().unwrap().sum_all().unwrap();
            let gradients = loss().backward().unwrap();
            for (name, var) in params.vars() {
                let value = var.copy().unwrap().detach();
                let direction = value.ones_like().unwrap();
                let at = |step: f64| {
                    var.set(&(&value + (&direction * step).unwrap()).unwrap()).unwrap();
                    loss().to_scalar::<f64>().unwrap()
                };
                let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                var.set(&value).unwrap();
                let gradient = gradients
                    .get(&var)
                    .map_or(0.0, |g| g.sum_all().unwrap().to_scalar::<f64>().unwrap());
                assert!(
                    (slope - gradient).abs() < 1e-6 * (1.0 + slope.abs()),
                    "{name}: {slope} {gradient}"
                );
            }
            assert!(expected.iter().flatten().any(|state| *state > 0.01));
        }
    }

    #[test]
    fn a_batch_without_a_modality_leaves_what_its_node_heard() {
        let params = Params::new(3, &Device::Cpu);
        let names = ["a", "b"].map(str::to_owned);
        let context = FusionContext::made(&names, &[3, 2], 2, &params);
        let graph = Graph::new(&context, WIDTH, 2, 0.0).unwrap();
        let mut stream = Stream::new(5, "graph");
        let mut z = |width: usize| Tensor::from_vec(stream.normal_vec(5 * width), (5, width), &Device::Cpu).unwrap();
        let z = vec![z(3), z(2)];
        let heard = || table(graph.layers[0].rest.as_ref().unwrap().heard.as_tensor());
        let train = |with_b: bool, first: bool| {
            let encodings = Encodings::made(z.clone(), Presence::from_fn(5, 2, |_, m| m == 0 || with_b));
            let mode = Mode::Train { seed: 1, step: 0 };
            let edges = graph.edges(&encodings, mode).unwrap();
            graph.forward(View { batch: 5, edges, first }, mode).unwrap();
            heard()
        };
        let both = train(true, true);
        assert!(both.iter().all(|node| node.iter().any(|v| *v > 0.0)), "{both:?}");
        let without = train(false, true);
        assert_eq!(without[1], both[1], "b has heard nothing");
        assert_ne!(without[0], both[0], "a has heard the batch");
        assert_eq!(train(true, false), without, "the thinned view moves nothing");
    }

    #[test]
    fn thinning_takes_some_edges_of_some_samples_and_never_all() {
        let params = Params::new(3, &Device::Cpu);
        let thinning = EdgeThinning::new(&params.root(), 0.5).unwrap();
        let n = 600;
        // Every third sample lacks a, every fourth b; c is there.
        let has = |i: usize, m: usize| [!i.is_multiple_of(3), !i.is_multiple_of(4), true][m];
        let edges: Vec<Edges> = (0..3)
            .map(|m| {
                let rows: Vec<usize> = (0..n).filter(|&i| has(i, m)).collect();
                let states = rows.iter().map(|&i| (10 * i + m) as f32).collect();
                Edges {
                    states: Some(Tensor::from_vec(states, (rows.len(), 1), &Device::Cpu).unwrap()),
                    rows,
                }
            })
            .collect();
        let counts = |edges: &[Edges]| -> Vec<usize> {
            (0..n)
                .map(|i| edges.iter().filter(|edges| edges.rows.contains(&i)).count())
                .collect()
        };
        let mode = |step| Mode::Train { seed: 1, step };
        let (before, thinned) = (counts(&edges), thinning.forward(n, &edges, mode(0)).unwrap());
        let after = counts(&thinned);
        assert!(after.iter().all(|&kept| kept > 0));
        let of = |had: usize, kept: usize| (0..n).filter(|&i| before[i] == had && after[i] == kept).count();
        // Of the 300 that have all three a half is thinned, to one or two; of those with two a half to one.
        for (had, kept, expected) in [
            (3, 3, 150),
            (3, 2, 75),
            (3, 1, 75),
            (2, 2, 125),
            (2, 1, 125),
            (1, 1, 50),
        ] {
            assert!(of(had, kept).abs_diff(expected) < 40, "{had} {kept}: {}", of(had, kept));
        }
        for (m, edges) in thinned.iter().enumerate() {
            let states: Vec<Vec<f32>> = edges.states.as_ref().unwrap().to_vec2().unwrap();
            let expected: Vec<Vec<f32>> = edges.rows.iter().map(|&i| vec![(10 * i + m) as f32]).collect();
            assert_eq!(states, expected, "each edge keeps its state");
        }
        assert_eq!(counts(&thinning.forward(n, &edges, mode(0)).unwrap()), after);
        assert_ne!(counts(&thinning.forward(n, &edges, mode(1)).unwrap()), after);
        assert_eq!(counts(&thinning.forward(n, &edges, Mode::Eval).unwrap()), before);
    }
}
