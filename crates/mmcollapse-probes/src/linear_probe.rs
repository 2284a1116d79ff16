//! What a linear model makes of frozen features.

mod span;

use std::collections::VecDeque;

use self::span::Span;
use crate::error::{at_least, at_least_one, same_length};
use crate::matrix::{CONSTANT, dot};
use crate::{Matrix, MeasureError, Result};

const MEASURE: &str = "linear probe";

/// Steps whose curvature L-BFGS remembers.
const MEMORY: usize = 10;

/// Steps after which the optimum must have been found; a hundred are usual.
const STEPS: usize = 2000;

/// The optimum is found when no entry of the gradient of the mean loss is larger.
const TOLERANCE: f64 = 1e-5;

/// Rows of the curvature that are summed together.
const CACHED: usize = 16;

/// A softmax regression on standardised features, with an L2 penalty on its weights, at its optimum.
///
/// It minimises `sum of cross-entropies + 1/2 |weights|^2`; the intercepts are not penalised. A feature that does not vary
/// in training has no weight, whatever it does elsewhere. Equals scikit-learn's
/// `make_pipeline(StandardScaler(), LogisticRegression(C=1))`, which penalises the one weight vector of two classes.
/// Source: Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearProbe {
    standards: Vec<Standard>,
    /// A class after the other, each the weights of all features and the intercept.
    weights: Vec<f64>,
}

/// How a feature is standardised.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Standard {
    mean: f64,
    scale: f64,
}

impl LinearProbe {
    /// Fits it to `samples` `[n, features]` and their `labels`, each below `classes`. O(n features classes) a step.
    ///
    /// # Errors
    /// No sample, no class, other than a label a sample, a label of no class.
    pub fn fit(samples: &Matrix, labels: &[u32], classes: usize) -> Result<Self> {
        Self::fit_penalised(samples, labels, classes, 1.0)
    }

    /// The same with a penalty of `penalty / 2 |weights|^2`: scikit-learn's `C` is `1 / penalty`. Wide features of few samples
    /// need more than 1.
    ///
    /// # Errors
    /// Those of [`LinearProbe::fit`]; a penalty that is not positive and finite.
    pub fn fit_penalised(samples: &Matrix, labels: &[u32], classes: usize, penalty: f64) -> Result<Self> {
        // The sums of published results are one after the other: those in lanes differ in their last digits.
        Penalised::of(samples, labels, classes, false)?.fitted(penalty, TOLERANCE, None, dot)
    }

    /// Logits of `samples` `[n, features]`, class by class for each sample.
    ///
    /// # Errors
    /// Another number of features than it was fitted to.
    pub fn logits(&self, samples: &Matrix) -> Result<Vec<f64>> {
        same_length(MEASURE, samples.columns(), self.standards.len())?;
        let values = standardised(samples, &self.standards);
        let rows = values.chunks_exact(samples.columns());
        Ok(rows
            .flat_map(|x| self.weights.chunks_exact(x.len() + 1).map(move |class| logit(class, x)))
            .collect())
    }
}

/// Inner product of two vectors.
type Inner = fn(&[f64], &[f64]) -> f64;

/// Samples to which probes of several penalties are fitted: what these share is computed once.
pub struct Penalised<'a> {
    standards: Vec<Standard>,
    /// Standardised, row by row; where there is a span, their coordinates in it.
    samples: Vec<f64>,
    span: Option<Span>,
    labels: &'a [u32],
    classes: usize,
    /// See [`gram`].
    gram: Vec<Vec<f64>>,
}

impl<'a> Penalised<'a> {
    /// Takes `samples` `[n, features]` and their `labels`, each below `classes`.
    ///
    /// # Errors
    /// Those of [`LinearProbe::fit`].
    pub fn new(samples: &Matrix, labels: &'a [u32], classes: usize) -> Result<Self> {
        Self::of(samples, labels, classes, samples.rows() < samples.columns())
    }

    /// With `in_span` the search is among the weights that samples span, where the optimum is: a weight across all of them changes no
    /// logit and costs penalty. Of fewer samples than features these are fewer.
    fn of(samples: &Matrix, labels: &'a [u32], classes: usize, in_span: bool) -> Result<Self> {
        at_least(MEASURE, 1, samples.rows())?;
        at_least_one(MEASURE, "classes", classes)?;
        same_length(MEASURE, samples.rows(), labels.len())?;
        if let Some(label) = labels.iter().find(|label| **label as usize >= classes) {
            return Err(MeasureError::Parameter {
                measure: MEASURE,
                parameter: "label",
                expected: "below the number of classes",
                got: f64::from(*label),
            });
        }
        let standards = standards(samples);
        let mut samples = standardised(samples, &standards);
        let mut span = None;
        if in_span {
            let found = Span::of(&samples, standards.len());
            samples = found.coordinates(samples.chunks_exact(standards.len()));
            span = Some(found);
        }
        let features = span.as_ref().map_or(standards.len(), |span| span.directions.len());
        Ok(Self {
            gram: gram(&samples, features, labels.len()),
            standards,
            samples,
            span,
            labels,
            classes,
        })
    }

    /// The probe with this penalty whose gradient of the mean loss has no entry above `tolerance`.
    ///
    /// The curvature of the loss is `penalty / n` at least. So no weight is farther than `tolerance * n / penalty` from the optimum,
    /// times the root of their number. The search starts at `near`, a probe of other samples or another penalty.
    ///
    /// # Errors
    /// A penalty or tolerance that is not positive and finite; a probe of other features or classes.
    pub fn fit(&self, penalty: f64, tolerance: f64, near: Option<&LinearProbe>) -> Result<LinearProbe> {
        self.fitted(penalty, tolerance, near, lanes)
    }

    fn fitted(&self, penalty: f64, tolerance: f64, near: Option<&LinearProbe>, inner: Inner) -> Result<LinearProbe> {
        for (parameter, got) in [("penalty", penalty), ("tolerance", tolerance)] {
            if !(got > 0.0 && got.is_finite()) {
                return Err(MeasureError::Parameter {
                    measure: MEASURE,
                    parameter,
                    expected: "positive and finite",
                    got,
                });
            }
        }
        let problem = Problem {
            samples: &self.samples,
            // One row is the intercept's.
            features: self.gram.len() - 1,
            labels: self.labels,
            classes: self.classes,
            penalty,
        };
        let start = match near {
            Some(probe) => {
                let width = self.standards.len() + 1;
                same_length(MEASURE, probe.weights.len(), self.classes * width)?;
                match &self.span {
                    Some(span) => span.within(&probe.weights),
                    None => probe.weights.clone(),
                }
            }
            None => vec![0.0; problem.dimension()],
        };
        let curvature = Preconditioner::of(&problem, self.gram.clone(), inner);
        let weights = minimum(&problem, &curvature, tolerance, start);
        Ok(LinearProbe {
            standards: self.standards.clone(),
            weights: match &self.span {
                Some(span) => span.among_all(&weights),
                None => weights,
            },
        })
    }
}

fn standards(samples: &Matrix) -> Vec<Standard> {
    let n = samples.rows() as f64;
    let (original, centred) = (samples.transposed(), samples.centred().transposed());
    let size = |row: &[f64]| (dot(row, row) / n).sqrt();
    (0..samples.columns())
        .map(|feature| {
            let (values, spread) = (original.row(feature), size(centred.row(feature)));
            Standard {
                mean: values.iter().sum::<f64>() / n,
                scale: if spread > CONSTANT * size(values) { spread } else { 1.0 },
            }
        })
        .collect()
}

fn standardised(samples: &Matrix, standards: &[Standard]) -> Vec<f64> {
    let rows = samples.values().chunks_exact(standards.len());
    rows.flat_map(|row| row.iter().zip(standards).map(|(x, s)| (x - s.mean) / s.scale))
        .collect()
}

/// Weights and intercept of a class with the features of a sample.
fn logit(class: &[f64], x: &[f64]) -> f64 {
    let (weights, intercept) = class.split_at(x.len());
    lanes(weights, x) + intercept[0]
}

/// Inner product in eight sums at a time, which the processor adds side by side.
#[allow(
    clippy::needless_range_loop,
    reason = "zipped iterators are not made into vectors: four times the time"
)]
fn lanes(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f64>() + dot(a_rest, b_rest)
}

/// What is minimised.
struct Problem<'a> {
    /// Standardised, row by row.
    samples: &'a [f64],
    features: usize,
    labels: &'a [u32],
    classes: usize,
    penalty: f64,
}

impl Problem<'_> {
    fn dimension(&self) -> usize {
        self.classes * (self.features + 1)
    }

    /// The mean loss at `weights`, and its gradient.
    fn loss(&self, weights: &[f64]) -> (f64, Vec<f64>) {
        let n = self.labels.len() as f64;
        let width = self.features + 1;
        let mut gradient = vec![0.0; weights.len()];
        let mut loss = 0.0;
        let mut p = vec![0.0; self.classes];
        for (x, &label) in self.samples.chunks_exact(self.features).zip(self.labels) {
            for (p, class) in p.iter_mut().zip(weights.chunks_exact(width)) {
                *p = logit(class, x);
            }
            let largest = p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let own = p[label as usize] - largest;
            let mut sum = 0.0;
            for p in &mut p {
                *p = libm::exp(*p - largest);
                sum += *p;
            }
            loss += libm::log(sum) - own;
            for (class, (p, gradient)) in p.iter().zip(gradient.chunks_exact_mut(width)).enumerate() {
                let error = p / sum - f64::from(u8::from(class == label as usize));
                let (weights, intercept) = gradient.split_at_mut(x.len());
                for (gradient, x) in weights.iter_mut().zip(x) {
                    *gradient += error * x;
                }
                intercept[0] += error;
            }
        }
        // Of two classes the difference of their weights is what is penalised: w/2 and -w/2 together count as w.
        let strength = self.penalty * if self.classes == 2 { 2.0 } else { 1.0 };
        for (gradient, class) in gradient.chunks_exact_mut(width).zip(weights.chunks_exact(width)) {
            for (gradient, weight) in gradient.iter_mut().zip(&class[..self.features]) {
                *gradient += strength * weight;
                loss += 0.5 * strength * weight * weight;
            }
        }
        for gradient in &mut gradient {
            *gradient /= n;
        }
        (loss / n, gradient)
    }
}

/// Where the loss is least, by L-BFGS from `at` with backtracking (Nocedal and Wright, Numerical Optimization, algorithms 7.4 and
/// 3.1), preconditioned. The loss is convex: what is found is the least value there is.
fn minimum(problem: &Problem, start: &Preconditioner, tolerance: f64, mut at: Vec<f64>) -> Vec<f64> {
    let (mut loss, mut gradient) = problem.loss(&at);
    let mut memory: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    for _ in 0..STEPS {
        if gradient.iter().all(|g| g.abs() <= tolerance) {
            break;
        }
        let mut direction = descent(&gradient, &memory, start);
        if dot(&direction, &gradient) >= 0.0 {
            // What is remembered has been rounded away.
            memory.clear();
            direction = descent(&gradient, &memory, start);
        }
        let slope = dot(&direction, &gradient);
        let mut step = 1.0;
        let found = loop {
            let next: Vec<f64> = at.iter().zip(&direction).map(|(x, d)| x + step * d).collect();
            let (next_loss, next_gradient) = problem.loss(&next);
            if next_loss <= loss + 1e-4 * step * slope {
                break Some((next, next_loss, next_gradient));
            }
            step /= 2.0;
            if step < 1e-12 {
                break None;
            }
        };
        // Nothing below: what is left of the gradient is rounding.
        let Some((next, next_loss, next_gradient)) = found else {
            break;
        };
        let difference = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
        let pair = Pair {
            step: difference(&next, &at),
            change: difference(&next_gradient, &gradient),
        };
        if dot(&pair.step, &pair.change) > 0.0 {
            if memory.len() == MEMORY {
                memory.pop_front();
            }
            memory.push_back(pair);
        }
        (at, loss, gradient) = (next, next_loss, next_gradient);
    }
    at
}

/// A step and how it changed the gradient.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
}

/// Minus the gradient, times the inverse curvature that the preconditioner and the remembered steps tell of.
fn descent(gradient: &[f64], memory: &VecDeque<Pair>, start: &Preconditioner) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let add = |to: &mut [f64], factor: f64, what: &[f64]| {
        for (to, what) in to.iter_mut().zip(what) {
            *to += factor * what;
        }
    };
    let mut factors = Vec::with_capacity(memory.len());
    for pair in memory.iter().rev() {
        let factor = dot(&pair.step, &direction) / dot(&pair.step, &pair.change);
        add(&mut direction, -factor, &pair.change);
        factors.push(factor);
    }
    start.divide(&mut direction);
    if let Some(last) = memory.back() {
        let mut change = last.change.clone();
        start.divide(&mut change);
        let scale = dot(&last.step, &last.change) / dot(&last.change, &change);
        for direction in &mut direction {
            *direction *= scale;
        }
    }
    for (pair, factor) in memory.iter().zip(factors.into_iter().rev()) {
        let back = dot(&pair.change, &direction) / dot(&pair.step, &pair.change);
        add(&mut direction, factor - back, &pair.step);
    }
    direction
}

/// `1/4 X'X / n` of the features and a last one that is 1: the lower triangle, row by row, each as long as its number from 1.
fn gram(samples: &[f64], features: usize, n: usize) -> Vec<Vec<f64>> {
    let (n, width) = (n as f64, features + 1);
    let mut rows: Vec<Vec<f64>> = (0..width).map(|i| vec![0.0; i + 1]).collect();
    // Some rows at a time, which stay in the processor's cache while all samples are added.
    for (place, rows) in rows.chunks_mut(CACHED).enumerate() {
        for x in samples.chunks_exact(features) {
            for (i, row) in rows.iter_mut().enumerate() {
                // The last row is the intercept's, whose feature is 1.
                let factor = x.get(place * CACHED + i).copied().unwrap_or(1.0) / (4.0 * n);
                for (entry, x) in row.iter_mut().zip(x) {
                    *entry += factor * x;
                }
            }
        }
    }
    rows
}

/// About the curvature in the weights and intercept of one class, `(1/4 X'X + penalty) / n`, as its Cholesky factor. Features that repeat
/// each other take several times the steps without it. After Boehning, Multinomial logistic regression algorithm, 1992, who bounds
/// the curvature so.
struct Preconditioner {
    /// Lower triangle, row by row, each as long as its number from 1.
    rows: Vec<Vec<f64>>,
    inner: Inner,
}

impl Preconditioner {
    /// `rows` are those of [`gram`].
    fn of(problem: &Problem, mut rows: Vec<Vec<f64>>, inner: Inner) -> Self {
        let (n, width) = (problem.labels.len() as f64, problem.features + 1);
        for (i, row) in rows.iter_mut().enumerate() {
            row[i] += if i < problem.features {
                problem.penalty / n
            } else {
                0.25
            };
        }
        for i in 0..width {
            let (above, from) = rows.split_at_mut(i);
            let row = &mut from[0];
            for (j, other) in above.iter().enumerate() {
                row[j] = (row[j] - inner(&row[..j], &other[..j])) / other[j];
            }
            row[i] = (row[i] - inner(&row[..i], &row[..i])).sqrt();
        }
        Self { rows, inner }
    }

    /// Each class's part of `values`, multiplied with its inverse.
    fn divide(&self, values: &mut [f64]) {
        let width = self.rows.len();
        for part in values.chunks_exact_mut(width) {
            for (i, row) in self.rows.iter().enumerate() {
                part[i] = (part[i] - (self.inner)(&row[..i], &part[..i])) / row[i];
            }
            for (i, row) in self.rows.iter().enumerate().rev() {
                part[i] /= row[i];
                let value = part[i];
                for (left, entry) in part.iter_mut().zip(&row[..i]) {
                    *left -= value * entry;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: &[[f64; 2]]) -> Matrix {
        Matrix::new(rows.as_flattened(), rows.len(), 2).unwrap()
    }

    #[test]
    fn a_feature_that_does_not_vary_in_training_has_no_say_elsewhere() {
        let samples = matrix(&[[0.3, -1.0], [0.3, -2.0], [0.3, 1.0], [0.3, 1.5]]);
        let probe = LinearProbe::fit(&samples, &[0, 0, 1, 1], 2).unwrap();
        let seen = probe.logits(&matrix(&[[0.3, 1.0]])).unwrap();
        assert!(seen[1] > seen[0] + 0.5, "{seen:?}");
        assert_eq!(probe.logits(&matrix(&[[40.0, 1.0]])).unwrap(), seen);
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        for classes in [2, 3] {
            let problem = Problem {
                samples: &[0.5, -1.0, 1.5, 0.25, -2.0, 0.75],
                features: 2,
                labels: &[0, 1, 1],
                classes,
                penalty: 3.0,
            };
            let at: Vec<f64> = (0..problem.dimension()).map(|i| 0.3 * (i as f64 - 2.0)).collect();
            let (_, gradient) = problem.loss(&at);
            for i in 0..at.len() {
                let shifted = |by: f64| {
                    let mut there = at.clone();
                    there[i] += by;
                    problem.loss(&there).0
                };
                let numeric = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
                assert!((numeric - gradient[i]).abs() < 1e-8, "{i}: {numeric} {}", gradient[i]);
            }
        }
    }

    #[test]
    fn the_optimum_is_found_where_features_repeat_each_other_and_a_class_is_absent() {
        let samples: Vec<f64> = (0..60)
            .flat_map(|i| {
                let (x, noise) = (f64::from(i % 7) - 3.0, f64::from(i * i % 11) - 5.0);
                [x, x + 1e-5 * noise, noise]
            })
            .collect();
        let labels: Vec<u32> = (0..60).map(|i| u32::from(i % 7 > 3) * (1 + i % 2)).collect();
        for classes in [3, 4] {
            let matrix = Matrix::new(&samples, 60, 3).unwrap();
            let probe = LinearProbe::fit(&matrix, &labels, classes).unwrap();
            let problem = Problem {
                samples: &standardised(&matrix, &probe.standards),
                features: 3,
                labels: &labels,
                classes,
                penalty: 1.0,
            };
            let (_, gradient) = problem.loss(&probe.weights);
            assert!(gradient.iter().all(|g| g.abs() <= TOLERANCE), "{classes}: {gradient:?}");
        }
    }

    /// A small penalty leaves a flat loss: what is found must not depend on where the search began.
    #[test]
    fn a_tighter_tolerance_finds_the_same_weights_from_anywhere() {
        let samples: Vec<f64> = (0..180).map(|i| ((i * i * 7 % 23) as f64 - 11.0) / 5.0).collect();
        let labels: Vec<u32> = (0..60).map(|i| u32::from(i % 7 > 3) * (1 + i % 2)).collect();
        let matrix = Matrix::new(&samples, 60, 3).unwrap();
        let penalised = Penalised::new(&matrix, &labels, 3).unwrap();
        let far = penalised.fit(100.0, 1e-5, None).unwrap();
        let found = penalised.fit(0.01, 1e-9, None).unwrap();
        let other = penalised.fit(0.01, 1e-9, Some(&far)).unwrap();
        for (a, b) in found.weights.iter().zip(&other.weights) {
            // 1e-9 * 60 / 0.01, and a little for their number.
            assert!((a - b).abs() < 5e-5, "{a} {b}");
        }
        let usual = LinearProbe::fit_penalised(&matrix, &labels, 3, 0.01).unwrap();
        assert!(
            usual
                .weights
                .iter()
                .zip(&found.weights)
                .all(|(a, b)| (a - b).abs() < 0.5)
        );
        assert!(penalised.fit(1.0, 0.0, None).is_err());
        let narrow = LinearProbe::fit(&Matrix::new(&samples[..60], 60, 1).unwrap(), &labels, 3).unwrap();
        assert!(penalised.fit(1.0, 1e-5, Some(&narrow)).is_err());
    }

    /// Fewer samples than features, some of them alike and one feature constant: the optimum is the same, and found from a probe of others too.
    #[test]
    fn the_optimum_lies_where_samples_do() {
        let (n, features) = (30, 80);
        let mut draws = crate::SplitMix64(4);
        let mut values: Vec<f64> = (0..n * features).map(|_| draws.normal()).collect();
        values.copy_within(0..features, features);
        values.iter_mut().step_by(features).for_each(|value| *value = 3.0);
        let labels: Vec<u32> = (0..n as u32).map(|i| i % 3).collect();
        let matrix = Matrix::new(&values, n, features).unwrap();
        let whole = Penalised::of(&matrix, &labels, 3, false).unwrap();
        let in_span = Penalised::new(&matrix, &labels, 3).unwrap();
        assert!(in_span.span.as_ref().unwrap().directions.len() < n);
        for penalty in [0.1, 10.0] {
            let expected = whole.fit(penalty, 1e-10, None).unwrap();
            let near = whole.fit(5.0 * penalty, 1e-3, None).unwrap();
            for found in [
                in_span.fit(penalty, 1e-10, None),
                in_span.fit(penalty, 1e-10, Some(&near)),
            ] {
                let found = found.unwrap();
                assert_eq!(found.weights.len(), expected.weights.len());
                for (found, expected) in found.weights.iter().zip(&expected.weights) {
                    assert!((found - expected).abs() < 1e-6, "{penalty}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let samples = matrix(&[[0.0, 1.0], [1.0, 0.0]]);
        let refused =
            |labels: &[u32], classes: usize| LinearProbe::fit(&samples, labels, classes).unwrap_err().to_string();
        assert!(refused(&[0], 2).contains("equal length, got 2 and 1"));
        assert!(refused(&[0, 2], 2).contains("label must be below the number of classes, got 2"));
        assert!(refused(&[0, 1], 0).contains("classes must be at least 1"));
        let probe = LinearProbe::fit(&samples, &[0, 1], 2).unwrap();
        let one = Matrix::new(&[1.0], 1, 1).unwrap();
        assert!(probe.logits(&one).is_err());
        // One class has nothing to tell apart.
        assert_eq!(
            LinearProbe::fit(&samples, &[0, 0], 1)
                .unwrap()
                .logits(&samples)
                .unwrap(),
            [0.0, 0.0]
        );
    }
}
