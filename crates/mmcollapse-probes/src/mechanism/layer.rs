//! The layer in which the modalities meet: `logits = C relu(W z + b) + c` of joined encodings z.

use crate::error::same_length;
use crate::matrix::dot;
use crate::{Matrix, Result};

/// Weights of a fusion layer and of its readout, and what the layer was given.
#[derive(Clone, Debug, PartialEq)]
pub struct FusionLayer {
    /// W, `[neurons, inputs]`.
    pub weights: Matrix,
    /// b, one a neuron.
    pub bias: Vec<f64>,
    /// C, `[classes, neurons]`.
    pub readout: Matrix,
    /// c, one a class.
    pub readout_bias: Vec<f64>,
    /// z, `[n, inputs]`.
    pub inputs: Matrix,
    /// Place of the modality of each input.
    pub modality: Vec<usize>,
}

impl FusionLayer {
    /// Of each sample the neurons' outputs, and the classes' logits.
    fn forward(&self, sample: usize) -> (Vec<f64>, Vec<f64>) {
        let z = self.inputs.row(sample);
        let neurons = (0..self.weights.rows()).map(|k| (dot(self.weights.row(k), z) + self.bias[k]).max(0.0));
        let neurons: Vec<f64> = neurons.collect();
        let logits = (0..self.readout.rows()).map(|c| dot(self.readout.row(c), &neurons) + self.readout_bias[c]);
        let logits = logits.collect();
        (neurons, logits)
    }

    fn check(&self) -> Result<()> {
        const MEASURE: &str = "fusion layer";
        same_length(MEASURE, self.weights.columns(), self.inputs.columns())?;
        same_length(MEASURE, self.weights.columns(), self.modality.len())?;
        same_length(MEASURE, self.weights.rows(), self.bias.len())?;
        same_length(MEASURE, self.weights.rows(), self.readout.columns())?;
        same_length(MEASURE, self.readout.rows(), self.readout_bias.len())
    }

    /// The average gradient outer product of the logits by the layer's inputs, `[inputs, inputs]`: the mean over samples of
    /// `J^T J`, J being `[classes, inputs]`. Of the logits less their mean over classes: what they have in common no loss sees.
    /// Source: Radhakrishnan et al., Science 2024, equation 2.
    ///
    /// # Errors
    /// Shapes that do not fit each other.
    pub fn agop(&self) -> Result<Matrix> {
        self.check()?;
        // J = C D W with D the neurons that are on: the mean of J^T J needs only how often two neurons are on together.
        let neurons = self.weights.rows();
        let mut together = vec![0.0; neurons * neurons];
        for sample in 0..self.inputs.rows() {
            let (outputs, _) = self.forward(sample);
            let on: Vec<usize> = (0..neurons).filter(|k| outputs[*k] > 0.0).collect();
            for &j in &on {
                for &k in &on {
                    together[j * neurons + k] += 1.0 / self.inputs.rows() as f64;
                }
            }
        }
        // Centring takes the mean of each column: that over classes.
        let readout = self.readout.centred().transposed().gram();
        let middle: Vec<f64> = together.iter().zip(readout.values()).map(|(on, c)| on * c).collect();
        let middle = Matrix::new(&middle, neurons, neurons)?;
        self.weights.transposed().times(&middle)?.times(&self.weights)
    }

    /// Gradient of the mean cross-entropy by the layer's weights, `[neurons, inputs]`.
    ///
    /// # Errors
    /// Shapes that do not fit each other, labels for more or fewer samples than there are.
    pub fn gradient(&self, labels: &[u32]) -> Result<Matrix> {
        self.check()?;
        same_length("gradient of a fusion layer", self.inputs.rows(), labels.len())?;
        let (neurons, inputs) = (self.weights.rows(), self.weights.columns());
        let mut gradient = vec![0.0; neurons * inputs];
        for (sample, label) in labels.iter().enumerate() {
            let (outputs, logits) = self.forward(sample);
            let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let exps: Vec<f64> = logits.iter().map(|logit| libm::exp(logit - largest)).collect();
            let sum: f64 = exps.iter().sum();
            let z = self.inputs.row(sample);
            for (k, gradient) in gradient.chunks_exact_mut(inputs).enumerate() {
                if outputs[k] <= 0.0 {
                    continue;
                }
                let through = exps.iter().enumerate().map(|(class, exp)| {
                    let error = exp / sum - f64::from(u8::from(class == *label as usize));
                    error * self.readout.row(class)[k] / labels.len() as f64
                });
                let through: f64 = through.sum();
                gradient.iter_mut().zip(z).for_each(|(g, z)| *g += through * z);
            }
        }
        Matrix::new(&gradient, neurons, inputs)
    }

    /// The same layer with its weights rotated at random, `W R` with R drawn from `seed`: the spectrum stays, the directions do
    /// not. The null for how close weights are to an AGOP.
    ///
    /// # Errors
    /// A bug: drawn directions are independent.
    pub fn rotated_weights(&self, seed: u64) -> Result<Matrix> {
        let inputs = self.weights.columns();
        let rotation = rotation(inputs, seed)?;
        self.weights.times(&rotation)
    }
}

/// A rotation of `n` dimensions, evenly drawn: Gram and Schmidt's of normal directions.
fn rotation(n: usize, seed: u64) -> Result<Matrix> {
    let mut draws = crate::draws::SplitMix64(seed);
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n);
    while rows.len() < n {
        let mut row: Vec<f64> = (0..n).map(|_| draws.normal()).collect();
        // Twice, or rounding is left.
        for _ in 0..2 {
            for other in &rows {
                let along = dot(&row, other);
                row.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
            }
        }
        let length = dot(&row, &row).sqrt();
        for x in &mut row {
            *x /= length;
        }
        rows.push(row);
    }
    Matrix::new(&rows.concat(), n, n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agop;

    fn layer() -> FusionLayer {
        let matrix = |values: &[f64], columns: usize| Matrix::new(values, values.len() / columns, columns).unwrap();
        FusionLayer {
            weights: matrix(&[1.0, -0.5, 0.25, 0.75, 2.0, -1.0], 3),
            bias: vec![0.1, -0.2],
            readout: matrix(&[1.0, -1.0, 0.5, 2.0, -0.25, 0.3], 2),
            readout_bias: vec![0.0, 0.1, -0.1],
            inputs: matrix(&[0.5, 1.0, -1.0, -1.0, 0.2, 0.4, 2.0, 0.1, 0.3, 0.0, -1.0, 0.2], 3),
            modality: vec![0, 0, 1],
        }
    }

    /// By the gradient of every logit of every sample, one row each.
    #[test]
    fn the_agop_is_the_mean_outer_product_of_gradients() {
        let layer = layer();
        let mut rows = Vec::new();
        for sample in 0..4 {
            let (outputs, _) = layer.forward(sample);
            for class in 0..3 {
                for input in 0..3 {
                    let on = (0..2).filter(|k| outputs[*k] > 0.0);
                    let readout = |k: usize| {
                        let of = |class: usize| layer.readout.row(class)[k];
                        of(class) - (of(0) + of(1) + of(2)) / 3.0
                    };
                    rows.push(on.map(|k| readout(k) * layer.weights.row(k)[input]).sum::<f64>());
                }
            }
        }
        let expected = agop(&Matrix::new(&rows, 12, 3).unwrap()).scaled(3.0);
        let found = layer.agop().unwrap();
        for (found, expected) in found.values().iter().zip(expected.values()) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        let labels = [0, 2, 1, 0];
        let loss = |layer: &FusionLayer| {
            let of = |(sample, label): (usize, &u32)| {
                let (_, logits) = layer.forward(sample);
                let sum: f64 = logits.iter().map(|logit| libm::exp(*logit)).sum();
                libm::log(sum) - logits[*label as usize]
            };
            labels.iter().enumerate().map(of).sum::<f64>() / 4.0
        };
        let found = layer().gradient(&labels).unwrap();
        for place in 0..6 {
            let moved = |by: f64| {
                let mut layer = layer();
                let mut values = layer.weights.values().to_vec();
                values[place] += by;
                layer.weights = Matrix::new(&values, 2, 3).unwrap();
                loss(&layer)
            };
            let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!(
                (found.values()[place] - expected).abs() < 1e-8,
                "{place}: {found:?} {expected}"
            );
        }
    }

    #[test]
    fn a_rotation_keeps_the_spectrum_and_nothing_else() {
        let layer = layer();
        let rotated = layer.rotated_weights(7).unwrap();
        let spectrum = |weights: &Matrix| crate::symmetric_eigenvalues(&weights.gram()).unwrap();
        for (a, b) in spectrum(&layer.weights).iter().zip(spectrum(&rotated)) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
        assert!(
            layer
                .weights
                .values()
                .iter()
                .zip(rotated.values())
                .any(|(a, b)| (a - b).abs() > 0.1)
        );
    }
}
