//! What opinions say together: a log-linear pool, whose weights are fitted.
//!
//! The logits of each opinion are added with one weight each (Genest and Zidek, Statistical Science 1986, section 3.3). The weights
//! minimise the cross-entropy on samples that no opinion was fitted to, so that a pool of two is better than one of one only if
//! the second opinion knows what the first does not. One weight an opinion leaves nothing to overfit.

use crate::probe::log_sum;

/// Steps of Newton's method; six are usual.
const STEPS: usize = 50;

/// Keeps the curvature of opinions that say the same from vanishing.
const RIDGE: f64 = 1e-6;

/// Weights of `opinions`, each logits `[n, classes]`, that minimise the cross-entropy of `labels`.
pub(crate) fn weights(opinions: &[&[f64]], labels: &[u32], classes: usize) -> Vec<f64> {
    let k = opinions.len();
    let mut at: Vec<f64> = (0..k).map(|i| f64::from(u8::from(i == 0))).collect();
    let mut loss = mean_loss(opinions, &at, labels, classes);
    for _ in 0..STEPS {
        let (gradient, curvature) = slope(opinions, &at, labels, classes);
        if gradient.iter().all(|g| g.abs() < 1e-9) {
            break;
        }
        let step = solved(curvature, &gradient);
        let mut length = 1.0;
        loop {
            let next: Vec<f64> = at.iter().zip(&step).map(|(w, s)| w - length * s).collect();
            let next_loss = mean_loss(opinions, &next, labels, classes);
            if next_loss < loss {
                (at, loss) = (next, next_loss);
                break;
            }
            length /= 2.0;
            if length < 1e-9 {
                return at;
            }
        }
    }
    at
}

/// Logits of the pool.
pub(crate) fn pooled(opinions: &[&[f64]], weights: &[f64]) -> Vec<f64> {
    let of = |at: usize| opinions.iter().zip(weights).map(|(z, w)| w * z[at]).sum();
    (0..opinions.first().map_or(0, |z| z.len())).map(of).collect()
}

fn mean_loss(opinions: &[&[f64]], weights: &[f64], labels: &[u32], classes: usize) -> f64 {
    let logits = pooled(opinions, weights);
    let losses = logits
        .chunks_exact(classes)
        .zip(labels)
        .map(|(z, label)| log_sum(z) - z[*label as usize]);
    losses.sum::<f64>() / labels.len() as f64 + 0.5 * RIDGE * weights.iter().map(|w| w * w).sum::<f64>()
}

/// Gradient and curvature of the mean loss by the weights.
fn slope(opinions: &[&[f64]], weights: &[f64], labels: &[u32], classes: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (k, n) = (opinions.len(), labels.len() as f64);
    let logits = pooled(opinions, weights);
    let mut gradient: Vec<f64> = weights.iter().map(|w| RIDGE * w).collect();
    let mut curvature = vec![vec![0.0; k]; k];
    for (i, row) in curvature.iter_mut().enumerate() {
        row[i] = RIDGE;
    }
    for (row, (z, &label)) in logits.chunks_exact(classes).zip(labels).enumerate() {
        let whole = log_sum(z);
        let said = |opinion: usize, class: usize| opinions[opinion][row * classes + class];
        let p: Vec<f64> = z.iter().map(|z| libm::exp(z - whole)).collect();
        let means: Vec<f64> = (0..k)
            .map(|i| p.iter().enumerate().map(|(c, p)| p * said(i, c)).sum())
            .collect();
        for i in 0..k {
            gradient[i] += (means[i] - said(i, label as usize)) / n;
            for j in 0..k {
                let both: f64 = p.iter().enumerate().map(|(c, p)| p * said(i, c) * said(j, c)).sum();
                curvature[i][j] += (both - means[i] * means[j]) / n;
            }
        }
    }
    (gradient, curvature)
}

/// Solves a small symmetric positive system by elimination.
fn solved(mut a: Vec<Vec<f64>>, b: &[f64]) -> Vec<f64> {
    let k = b.len();
    let mut x = b.to_vec();
    for i in 0..k {
        let (above, below) = a.split_at_mut(i + 1);
        for (row, j) in below.iter_mut().zip(i + 1..) {
            let factor = row[i] / above[i][i];
            for (entry, pivot) in row.iter_mut().zip(&above[i]) {
                *entry -= factor * pivot;
            }
            x[j] -= factor * x[i];
        }
    }
    for i in (0..k).rev() {
        let known: f64 = (i + 1..k).map(|c| a[i][c] * x[c]).sum();
        x[i] = (x[i] - known) / a[i][i];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_opinion_is_calibrated() {
        // Log-odds of 2 that are right in 3 of 4 cases: the truth is ln 3.
        let logits = [0.0, 2.0, 0.0, 2.0, 0.0, 2.0, 0.0, 2.0];
        let found = weights(&[&logits], &[1, 1, 1, 0], 2);
        assert!((found[0] - libm::log(3.0) / 2.0).abs() < 1e-4, "{found:?}");
    }

    #[test]
    fn independent_opinions_add_up_and_a_repeated_one_adds_nothing() {
        // All four pairs of opinions, right as often as two independent ones of log-odds ln 3 are: 9, 3, 3, 1 of 16.
        let (mut first, mut second, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for (a, b, times) in [(1.0, 1.0, 9), (1.0, -1.0, 3), (-1.0, 1.0, 3), (-1.0, -1.0, 1)] {
            for _ in 0..times {
                for label in [1, 0] {
                    let sign = if label == 1 { 1.0 } else { -1.0 };
                    first.extend([0.0, sign * a]);
                    second.extend([0.0, sign * b]);
                    labels.push(label);
                }
            }
        }
        let found = weights(&[&first, &second], &labels, 2);
        for weight in &found {
            assert!((weight - libm::log(3.0)).abs() < 1e-4, "{found:?}");
        }
        let repeated = weights(&[&first, &first], &labels, 2);
        assert!(
            (repeated[0] + repeated[1] - libm::log(3.0)).abs() < 1e-4,
            "{repeated:?}"
        );
    }
}
