//! How much each input has to do with each neuron of a layer, as matrices `[neurons, inputs]`.

use crate::error::{at_least, finite, same_length};
use crate::matrix::dot;
use crate::{Matrix, Result};

/// Mean over n samples of |w a|: what each input brings to a neuron's sum.
///
/// `weights` `[neurons, inputs]`, `activations` `[n, inputs]` of the layer before.
///
/// # Errors
/// Unequal numbers of inputs.
pub fn weight_activation(weights: &Matrix, activations: &Matrix) -> Result<Matrix> {
    const MEASURE: &str = "attribution by weight and activation";
    same_length(MEASURE, weights.columns(), activations.columns())?;
    let mut sizes = vec![0.0; activations.columns()];
    for row in 0..activations.rows() {
        for (size, a) in sizes.iter_mut().zip(activations.row(row)) {
            *size += a.abs() / activations.rows() as f64;
        }
    }
    let of_neuron = |neuron: usize| weights.row(neuron).iter().zip(&sizes).map(|(w, size)| w.abs() * size);
    let values: Vec<f64> = (0..weights.rows()).flat_map(of_neuron).collect();
    Matrix::new(&values, weights.rows(), weights.columns())
}

/// Mean over n samples of the size of the integrated gradients of `relu(w a + b)` from `baseline` to each sample.
///
/// The neuron's input changes evenly on the way, so the integral is exact: `w (a - baseline)` times the share of the way on which
/// the neuron is on. Source: Sundararajan et al., ICML 2017, equation 1. `weights` `[neurons, inputs]`, `bias` one a neuron,
/// `activations` `[n, inputs]`, `baseline` one an input.
///
/// # Errors
/// Lengths that do not fit each other, a value that is not finite.
pub fn integrated_gradients(weights: &Matrix, bias: &[f64], activations: &Matrix, baseline: &[f64]) -> Result<Matrix> {
    const MEASURE: &str = "integrated gradients";
    same_length(MEASURE, weights.columns(), activations.columns())?;
    same_length(MEASURE, weights.columns(), finite(MEASURE, baseline)?.len())?;
    same_length(MEASURE, weights.rows(), finite(MEASURE, bias)?.len())?;
    let mut values = vec![0.0; weights.rows() * weights.columns()];
    for (neuron, values) in values.chunks_exact_mut(weights.columns()).enumerate() {
        let w = weights.row(neuron);
        let start = bias[neuron] + dot(w, baseline);
        for sample in 0..activations.rows() {
            let a = activations.row(sample);
            let on = share_on(start, bias[neuron] + dot(w, a));
            for (value, ((w, a), from)) in values.iter_mut().zip(w.iter().zip(a).zip(baseline)) {
                *value += (on * w * (a - from)).abs() / activations.rows() as f64;
            }
        }
    }
    Matrix::new(&values, weights.rows(), weights.columns())
}

/// Share of the way from `start` to `end` that lies above 0.
fn share_on(start: f64, end: f64) -> f64 {
    match (start > 0.0, end > 0.0) {
        (true, true) => 1.0,
        (false, false) => 0.0,
        _ => start.max(end) / (start - end).abs(),
    }
}

/// Response of each neuron to each planted feature: the mean squared derivative along the feature's direction, times the
/// feature's variance, `[neurons, features]`.
///
/// `derivatives` has of each feature a matrix `[n, neurons]`, `variances` the variance of each.
///
/// # Errors
/// No feature, matrices of unequal numbers of neurons, unequal numbers of features.
pub fn planted_response(derivatives: &[Matrix], variances: &[f64]) -> Result<Matrix> {
    const MEASURE: &str = "response to planted features";
    same_length(MEASURE, derivatives.len(), variances.len())?;
    at_least(MEASURE, 1, derivatives.len())?;
    let neurons = derivatives.first().map_or(0, Matrix::columns);
    let mut values = vec![0.0; neurons * derivatives.len()];
    for (feature, (derivative, variance)) in derivatives.iter().zip(variances).enumerate() {
        same_length(MEASURE, neurons, derivative.columns())?;
        for row in 0..derivative.rows() {
            for (neuron, d) in derivative.row(row).iter().enumerate() {
                values[neuron * derivatives.len() + feature] += variance * d * d / derivative.rows() as f64;
            }
        }
    }
    Matrix::new(&values, neurons, derivatives.len())
}

/// The attribution of groups of inputs, such as modalities: the sum of those of their inputs, `[neurons, groups]`.
///
/// `group` says of each input which it belongs to, from 0.
///
/// # Errors
/// A group for more or fewer inputs than there are.
pub fn by_group(attribution: &Matrix, group: &[usize]) -> Result<Matrix> {
    same_length("attribution by group", attribution.columns(), group.len())?;
    let groups = group.iter().max().map_or(0, |last| last + 1);
    let mut values = vec![0.0; attribution.rows() * groups];
    for (neuron, sums) in values.chunks_exact_mut(groups.max(1)).enumerate() {
        for (value, group) in attribution.row(neuron).iter().zip(group) {
            sums[*group] += value;
        }
    }
    Matrix::new(&values, attribution.rows(), groups)
}

/// Attribution as shares: each row sums to 1, or is zero where the neuron responds to nothing.
///
/// # Errors
/// A bug: shares of finite numbers are finite.
pub fn shares(attribution: &Matrix) -> Result<Matrix> {
    let row = |neuron: usize| {
        let row = attribution.row(neuron);
        let sum: f64 = row.iter().sum();
        row.iter().map(move |value| if sum > 0.0 { value / sum } else { 0.0 })
    };
    let values: Vec<f64> = (0..attribution.rows()).flat_map(row).collect();
    Matrix::new(&values, attribution.rows(), attribution.columns())
}

/// Where each feature's attribution sits: each column sums to 1, or is zero where no neuron responds to the feature. How much a
/// feature is responded to in all no longer matters.
///
/// # Errors
/// A bug: shares of finite numbers are finite.
pub fn places(attribution: &Matrix) -> Result<Matrix> {
    Ok(shares(&attribution.transposed())?.transposed())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two inputs, one neuron `relu(2 a - b + 1)`.
    #[test]
    fn one_neuron_by_hand() {
        let weights = Matrix::new(&[2.0, -1.0], 1, 2).unwrap();
        let samples = Matrix::new(&[1.0, 1.0, -1.0, 3.0], 2, 2).unwrap();
        // |2 * 1| and |2 * -1|; |-1 * 1| and |-1 * 3|.
        assert_eq!(weight_activation(&weights, &samples).unwrap().values(), [2.0, 2.0]);
        // From 0 the sum starts at 1. At (1, 1) it ends at 2: on all the way. At (-1, 3) it ends at -4: on for a fifth of it.
        let found = integrated_gradients(&weights, &[1.0], &samples, &[0.0, 0.0]).unwrap();
        assert_eq!(found.values(), [1.2, 0.8]);
        let whole = shares(&found).unwrap();
        assert_eq!(whole.row(0).iter().sum::<f64>(), 1.0);
    }

    /// The first feature sits in both neurons, the second in one, the third in none.
    #[test]
    fn a_feature_has_its_places_whatever_its_size() {
        let attribution = Matrix::new(&[3.0, 0.01, 0.0, 1.0, 0.0, 0.0], 2, 3).unwrap();
        assert_eq!(places(&attribution).unwrap().values(), [0.75, 1.0, 0.0, 0.25, 0.0, 0.0]);
    }

    #[test]
    fn what_a_neuron_makes_of_a_feature() {
        // Along the first feature the two neurons rise by 1 and 3, along the second by 2 and 0, in both samples.
        let first = Matrix::new(&[1.0, 3.0, 1.0, 3.0], 2, 2).unwrap();
        let second = Matrix::new(&[2.0, 0.0, 2.0, 0.0], 2, 2).unwrap();
        let found = planted_response(&[first, second], &[1.0, 0.5]).unwrap();
        assert_eq!(found.values(), [1.0, 2.0, 9.0, 0.0]);
        assert_eq!(by_group(&found, &[0, 0]).unwrap().values(), [3.0, 9.0]);
        assert_eq!(
            shares(&Matrix::new(&[0.0, 0.0], 1, 2).unwrap()).unwrap().values(),
            [0.0, 0.0]
        );
    }
}
