//! How many modalities a fusion neuron is of, by its weights (the paper's appendix C.7 and Table 9).
//!
//! Many small models are trained, each on one modality: a hidden layer and a classifier on the encodings that the fusion reads. The
//! weight vectors of their neurons, at their modality's place among zeros, are what a neuron of that modality looks like. A
//! classifier with two layers learns to tell the modality from such vectors, and is then asked about the neurons of the fusion. The
//! entropy of what it says is 0 for a neuron of one modality, and at most ln m.
//!
//! How sharply such a classifier changes its mind between modalities comes from its training, not from the neurons. So it is only
//! used if it passes a check on vectors that it has not seen, and what it says of even mixtures of two of them is told beside.

use mmcollapse_nn::{
    Device, Params, Result as TensorResult, Tensor, backward,
    layers::Linear,
    ops::softmax_cross_entropy,
    optim::{Optimizer, OptimizerConfig, OptimizerKind},
    random::{Stream, derive_seed},
};
use mmcollapse_probes::{FusionLayer, mean};

use crate::{
    predictions::{argmax, probabilities},
    rows::gather_rows,
};

/// Small models of each modality, as many as the paper has at least.
const MODELS: usize = 200;

/// Of each five models one is held out.
const HELD_OUT: usize = 5;

/// Neurons of a small model.
const NEURONS: usize = 8;

/// Steps of a small model, and of the classifier.
const STEPS: u64 = 100;

/// Samples of a step of a small model, vectors of one of the classifier.
const BATCH: usize = 128;

/// Hidden width of the classifier.
const HIDDEN: usize = 64;

/// Learning rate of `AdamW`.
const RATE: f64 = 0.003;

/// Shares of the first of two vectors in a mixture.
const MIXTURES: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Held-out accuracy from which on the classifier is used.
const TOLD: f64 = 0.9;

/// What the classifier says of the fusion's neurons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Polysemanticity {
    /// Accuracy on the vectors of held-out small models.
    pub accuracy: f64,
    /// Whether that is above nine tenths and what is said of a mixture moves with its shares.
    pub is_valid: bool,
    /// Mean entropy in nats over the fusion's neurons.
    pub entropy: f64,
    /// The same over even mixtures of held-out vectors of two modalities.
    pub entropy_mixed: f64,
    /// Mean cross-entropy in nats against the modality with the largest weights in the neuron.
    pub cross_entropy: f64,
}

/// Reads a fusion layer, given what it was given of the training samples, their labels and for each modality the samples that have it.
/// None where there is no second modality, one that no sample has, or something is not finite.
///
/// # Errors
/// A tensor operation failed.
pub(crate) fn polysemanticity(
    layer: &FusionLayer,
    labels: &[u32],
    having: &[Vec<usize>],
    classes: usize,
    seed: u64,
) -> TensorResult<Option<Polysemanticity>> {
    if having.len() < 2 || having.iter().any(Vec::is_empty) {
        return Ok(None);
    }
    let mut known: [Vec<Vec<Vec<f32>>>; 2] = [Vec::new(), Vec::new()];
    for (modality, rows) in having.iter().enumerate() {
        let place = Place::of(layer, modality);
        let x = place.inputs(layer, rows)?;
        let y: Vec<u32> = rows.iter().map(|&row| labels[row]).collect();
        let [mut learnt, mut held_out] = [Vec::new(), Vec::new()];
        for model in 0..MODELS {
            let own = derive_seed(seed, &format!("polysemanticity/{modality}/{model}"));
            let vectors = place.widened(&small_model(&x, &y, classes, own)?);
            let split = if model % HELD_OUT == 0 {
                &mut held_out
            } else {
                &mut learnt
            };
            split.extend(vectors.into_iter().filter_map(to_length));
        }
        known[0].push(learnt);
        known[1].push(held_out);
    }
    let [learnt, held_out] = known;
    let neurons = (0..layer.weights.rows()).map(|k| layer.weights.row(k).iter().map(|w| *w as f32).collect());
    let neurons: Vec<Vec<f32>> = neurons.filter_map(to_length).collect();
    if neurons.is_empty() || learnt.iter().chain(&held_out).any(Vec::is_empty) {
        return Ok(None);
    }
    let classifier = Classifier::fit(&learnt, seed)?;
    let accuracy = classifier.told(&held_out)?;
    let (moves, entropy_mixed) = mixtures(&classifier, &held_out)?;
    let said = classifier.says(&neurons)?;
    let blocks = neurons.iter().map(|neuron| {
        let mut squares = vec![0.0; having.len()];
        neuron
            .iter()
            .zip(&layer.modality)
            .for_each(|(w, place)| squares[*place] += w * w);
        argmax(&squares)
    });
    let against: Vec<f64> = said
        .iter()
        .zip(blocks)
        .map(|(said, block)| -libm::log(f64::from(said[block].max(f32::MIN_POSITIVE))))
        .collect();
    Ok(Some(Polysemanticity {
        accuracy,
        is_valid: accuracy > TOLD && moves,
        entropy: entropy(&said),
        entropy_mixed,
        cross_entropy: mean(&against).unwrap_or(f64::NAN),
    }))
}

/// Where the inputs of a modality stand among those of the layer.
struct Place {
    inputs: Vec<usize>,
    width: usize,
}

impl Place {
    fn of(layer: &FusionLayer, modality: usize) -> Self {
        let of = layer.modality.iter().enumerate().filter(|(_, own)| **own == modality);
        Self {
            inputs: of.map(|(input, _)| input).collect(),
            width: layer.modality.len(),
        }
    }

    /// `[rows, inputs]`.
    fn inputs(&self, layer: &FusionLayer, rows: &[usize]) -> TensorResult<Tensor> {
        let value = |row: usize| {
            self.inputs
                .iter()
                .map(move |input| layer.inputs.row(row)[*input] as f32)
        };
        let values: Vec<f32> = rows.iter().flat_map(|&row| value(row)).collect();
        Tensor::from_vec(values, (rows.len(), self.inputs.len()), &Device::Cpu)
    }

    /// Vectors over the modality's inputs as vectors over all, zero elsewhere.
    fn widened(&self, vectors: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let widened = |vector: &Vec<f32>| {
            let mut all = vec![0.0; self.width];
            self.inputs.iter().zip(vector).for_each(|(input, w)| all[*input] = *w);
            all
        };
        vectors.iter().map(widened).collect()
    }
}

/// The weight vectors of the hidden neurons of a small model of one modality.
fn small_model(x: &Tensor, labels: &[u32], classes: usize, seed: u64) -> TensorResult<Vec<Vec<f32>>> {
    let params = Params::new(seed, x.device());
    let hidden = Linear::new(&params.root().pp("hidden"), x.dim(1)?, NEURONS)?;
    let classifier = Linear::new(&params.root().pp("classifier"), NEURONS, classes)?;
    descend(&params, |step| {
        let rows = drawn(seed, step, labels.len());
        let targets: Vec<u32> = rows.iter().map(|&row| labels[row]).collect();
        let logits = classifier.forward(&hidden.forward_relu(&gather_rows(x, &rows)?)?)?;
        softmax_cross_entropy(&logits, &targets)
    })?;
    hidden.weight().to_vec2()
}

/// `BATCH` of so many rows, drawn at random.
fn drawn(seed: u64, step: u64, rows: usize) -> Vec<usize> {
    let mut stream = Stream::at(seed, "polysemanticity/batch", step);
    (0..BATCH).map(|_| stream.below(rows)).collect()
}

fn descend(params: &Params, loss: impl Fn(u64) -> TensorResult<Tensor>) -> TensorResult<()> {
    let mut optimizer = Optimizer::new(OptimizerConfig::new(OptimizerKind::AdamW, RATE), params.vars())?;
    for step in 0..STEPS {
        optimizer.step(&backward(&loss(step)?, &params.vars())?, 1.0)?;
    }
    Ok(())
}

/// The vector at the length of as many ones as it has numbers; none of what has no direction.
fn to_length(vector: Vec<f32>) -> Option<Vec<f32>> {
    let norm = vector.iter().map(|w| w * w).sum::<f32>().sqrt();
    let factor = (vector.len() as f32).sqrt() / norm;
    (norm > 0.0 && factor.is_finite()).then(|| vector.into_iter().map(|w| factor * w).collect())
}

/// Mean entropy in nats of distributions.
fn entropy(said: &[Vec<f32>]) -> f64 {
    let of = |p: &f32| {
        if *p > 0.0 {
            -f64::from(*p) * libm::log(f64::from(*p))
        } else {
            0.0
        }
    };
    let entropies: Vec<f64> = said.iter().map(|said| said.iter().map(of).sum()).collect();
    mean(&entropies).unwrap_or(f64::NAN)
}

/// Tells the modality from a weight vector.
struct Classifier([Linear; 2]);

impl Classifier {
    /// `vectors` by modality.
    fn fit(vectors: &[Vec<Vec<f32>>], seed: u64) -> TensorResult<Self> {
        let params = Params::new(seed, &Device::Cpu);
        let width = vectors[0][0].len();
        let scope = params.root();
        let classifier = Self([
            Linear::new(&scope.pp("0"), width, HIDDEN)?,
            Linear::new(&scope.pp("1"), HIDDEN, vectors.len())?,
        ]);
        let all: Vec<(&Vec<f32>, u32)> = (0..)
            .zip(vectors)
            .flat_map(|(modality, vectors)| vectors.iter().map(move |vector| (vector, modality)))
            .collect();
        descend(&params, |step| {
            let rows = drawn(seed, step, all.len());
            let x: Vec<f32> = rows.iter().flat_map(|&row| all[row].0.iter().copied()).collect();
            let targets: Vec<u32> = rows.iter().map(|&row| all[row].1).collect();
            softmax_cross_entropy(&classifier.forward(x, width)?, &targets)
        })?;
        Ok(classifier)
    }

    fn forward(&self, x: Vec<f32>, width: usize) -> TensorResult<Tensor> {
        let rows = x.len() / width;
        let x = Tensor::from_vec(x, (rows, width), &Device::Cpu)?;
        self.0[1].forward(&self.0[0].forward_relu(&x)?)
    }

    /// The share of vectors whose modality it tells.
    fn told(&self, vectors: &[Vec<Vec<f32>>]) -> TensorResult<f64> {
        let (mut right, mut asked) = (0, 0);
        for (modality, vectors) in vectors.iter().enumerate() {
            for said in self.says(vectors)? {
                right += usize::from(argmax(&said) == modality);
                asked += 1;
            }
        }
        Ok(right as f64 / asked as f64)
    }

    /// Probabilities of the modalities, a vector each.
    fn says(&self, vectors: &[Vec<f32>]) -> TensorResult<Vec<Vec<f32>>> {
        let width = vectors.first().map_or(1, Vec::len);
        probabilities(&self.forward(vectors.concat(), width)?)?.to_vec2()
    }
}

/// Whether the mean probability of a modality rises with its share in mixtures with each other one, and the mean entropy of even
/// mixtures. Vectors of two modalities are mixed in the order in which they stand.
fn mixtures(classifier: &Classifier, vectors: &[Vec<Vec<f32>>]) -> TensorResult<(bool, f64)> {
    let (mut moves, mut even) = (true, Vec::new());
    for i in 0..vectors.len() {
        for j in (0..vectors.len()).filter(|j| *j != i) {
            let mut before = f64::NEG_INFINITY;
            for share in MIXTURES {
                let mix = |(a, b): (&Vec<f32>, &Vec<f32>)| {
                    let parts = a.iter().zip(b);
                    to_length(parts.map(|(a, b)| share * a + (1.0 - share) * b).collect())
                };
                let mixed: Vec<Vec<f32>> = vectors[i].iter().zip(&vectors[j]).filter_map(mix).collect();
                let said = classifier.says(&mixed)?;
                let of: Vec<f64> = said.iter().map(|said| f64::from(said[i])).collect();
                let now = mean(&of).unwrap_or(f64::NAN);
                moves &= now > before;
                before = now;
                if share == 0.5 {
                    even.extend(said);
                }
            }
        }
    }
    Ok((moves, entropy(&even)))
}

#[cfg(test)]
mod tests {
    use mmcollapse_probes::Matrix;

    use super::*;

    /// A layer on two modalities of three inputs, of whose neurons `mixed` read both and the others one.
    fn layer(mixed: usize) -> (FusionLayer, Vec<u32>) {
        let n = 120;
        let mut stream = Stream::new(7, "layer");
        let labels: Vec<u32> = (0..n).map(|i| i % 3).collect();
        let inputs: Vec<f64> = labels
            .iter()
            .flat_map(|label| (0..6).map(move |input| f64::from(u8::from(input % 3 == *label))))
            .map(|signal| signal + 0.1 * stream.normal())
            .collect();
        let weights: Vec<f64> = (0..8)
            .flat_map(|neuron| (0..6).map(move |input| (neuron, input)))
            .map(|(neuron, input)| {
                let own = usize::from(input >= 3) == neuron % 2;
                f64::from(u8::from(own || neuron < mixed)) * if input % 2 == 0 { 1.0 } else { -0.7 }
            })
            .collect();
        let layer = FusionLayer {
            weights: Matrix::new(&weights, 8, 6).unwrap(),
            bias: vec![0.0; 8],
            readout: Matrix::new(&[1.0; 24], 3, 8).unwrap(),
            readout_bias: vec![0.0; 3],
            inputs: Matrix::new(&inputs, n as usize, 6).unwrap(),
            modality: vec![0, 0, 0, 1, 1, 1],
        };
        (layer, labels)
    }

    fn read(mixed: usize, seed: u64) -> Polysemanticity {
        let (layer, labels) = layer(mixed);
        let all: Vec<usize> = (0..labels.len()).collect();
        polysemanticity(&layer, &labels, &[all.clone(), all], 3, seed)
            .unwrap()
            .unwrap()
    }

    #[test]
    fn neurons_that_read_both_modalities_are_told_from_those_that_read_one() {
        let (pure, half, mixed) = (read(0, 3), read(4, 3), read(8, 3));
        for found in [pure, half, mixed] {
            assert!(found.is_valid && found.accuracy > 0.99, "{found:?}");
            assert!(
                (0.0..=std::f64::consts::LN_2 + 1e-9).contains(&found.entropy),
                "{found:?}"
            );
        }
        assert!(pure.entropy < 0.15, "{pure:?}");
        assert!(
            half.entropy > pure.entropy + 0.1 && mixed.entropy > half.entropy + 0.1,
            "{half:?} {mixed:?}"
        );
        assert!(pure.cross_entropy < 0.15 && mixed.cross_entropy > 0.3, "{mixed:?}");
        // Even mixtures of unseen vectors are the scale.
        assert!(pure.entropy_mixed > 0.3, "{pure:?}");
        assert_eq!(read(4, 3), half);
    }

    /// Both halves of the check: vectors of which nobody can tell the modality, and a classifier that turns round between them.
    #[test]
    fn a_classifier_that_tells_nothing_or_does_not_follow_mixtures_is_seen() {
        let vectors = |name: &str, at: usize| -> Vec<Vec<f32>> {
            let mut stream = Stream::new(5, name);
            let of = |_| {
                let mut vector: Vec<f32> = (0..4).map(|_| 0.2 * stream.normal() as f32).collect();
                vector[at] += 3.0;
                vector
            };
            (0..60).map(of).collect()
        };
        let classifier = Classifier::fit(&[vectors("a", 0), vectors("b", 2)], 3).unwrap();
        let apart = [vectors("c", 0), vectors("d", 2)];
        assert!(classifier.told(&apart).unwrap() > TOLD);
        assert!(mixtures(&classifier, &apart).unwrap().0);
        let alike = [vectors("c", 0), vectors("d", 0)];
        assert_eq!(classifier.told(&alike).unwrap(), 0.5);
        assert!(!mixtures(&classifier, &alike).unwrap().0);
        // Even mixtures point where vectors of the first modality do, and those of the second opposite to what was learnt.
        let turned = [vectors("c", 2), vectors("d", 0)];
        assert!(!mixtures(&classifier, &turned).unwrap().0);
    }

    #[test]
    fn what_nobody_has_cannot_be_read() {
        let (layer, labels) = layer(4);
        let all: Vec<usize> = (0..labels.len()).collect();
        let read = |having: &[Vec<usize>]| polysemanticity(&layer, &labels, having, 3, 3).unwrap();
        assert_eq!(read(&[all.clone(), Vec::new()]), None);
        assert_eq!(read(&[all]), None);
    }
}
