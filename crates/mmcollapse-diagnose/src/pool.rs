//! What opinions say together: a log-linear pool, whose weights are fitted.
//!
//! The logits of each opinion are added with one weight each (Genest and Zidek, Statistical Science 1986, section 3.3). The weights
//! minimise the cross-entropy on samples that no opinion was fitted to, so that a pool of two is better than one of one only if
//! the second opinion knows what the first does not. One weight an opinion leaves little to overfit.
//!
//! No weight is below 0. A pool that may subtract an opinion reads what a destination weighs too little: where it counts one
//! modality too much and another too little, the difference to the first tells of the second.
//!
//! An offset of each class may be fitted too: a model that favours a class loses nothing that a modality knows.

use crate::probe::{log_sum, losses};

/// Steps of Newton's method; six are usual.
const STEPS: usize = 50;

/// Steps of conjugate gradients for each of Newton's.
const INNER: usize = 50;

/// Nats that a further step of Newton's method must promise.
const PROMISED: f64 = 1e-13;

/// Keeps the curvature of opinions that say the same from vanishing.
const RIDGE: f64 = 1e-6;

/// Holds offsets back as much as a tenth of a sample would, so that a class of four samples has one of a sensible size.
const OFFSET_RIDGE: f64 = 0.1;

/// Weights of opinions, and an offset of each class.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    weights: Vec<f64>,
    /// None where only weights were fitted.
    offsets: Vec<f64>,
}

impl Pool {
    /// The weight of one opinion beside `offsets` that are given, so that the cross-entropy of `labels` is least.
    pub fn scaled(opinion: &[f64], labels: &[u32], offsets: &[f64]) -> Self {
        let samples = Samples {
            opinions: &[opinion],
            labels,
            classes: offsets.len(),
            given: offsets,
        };
        let fitted = samples.least(&[true]);
        Self {
            weights: fitted.weights,
            offsets: offsets.to_vec(),
        }
    }

    /// Weights of `opinions`, each logits `[n, classes]`, and offsets that minimise the cross-entropy of `labels`.
    pub fn fitted(opinions: &[&[f64]], labels: &[u32], classes: usize) -> Self {
        let samples = Samples {
            opinions,
            labels,
            classes,
            given: &[],
        };
        samples.least(&vec![true; opinions.len()])
    }

    /// Logits of the pool of `opinions`.
    pub fn logits(&self, opinions: &[&[f64]]) -> Vec<f64> {
        let mut sum = vec![0.0; opinions.first().map_or(0, |z| z.len())];
        for (opinion, weight) in opinions.iter().zip(&self.weights) {
            for (sum, z) in sum.iter_mut().zip(*opinion) {
                *sum += weight * z;
            }
        }
        if !self.offsets.is_empty() {
            for row in sum.chunks_exact_mut(self.offsets.len()) {
                for (sum, offset) in row.iter_mut().zip(&self.offsets) {
                    *sum += offset;
                }
            }
        }
        sum
    }

    fn numbers(&self) -> impl Iterator<Item = &f64> {
        self.weights.iter().chain(&self.offsets)
    }

    fn dot(&self, other: &Self) -> f64 {
        self.numbers().zip(other.numbers()).map(|(a, b)| a * b).sum()
    }

    /// Adds `factor` times another.
    fn add(&mut self, factor: f64, other: &Self) {
        for (own, other) in self.weights.iter_mut().chain(&mut self.offsets).zip(other.numbers()) {
            *own += factor * other;
        }
    }

    fn each(&self, other: &Self, of: impl Fn(f64, f64) -> f64) -> Self {
        let both = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| of(*a, *b)).collect();
        Self {
            weights: both(&self.weights, &other.weights),
            offsets: both(&self.offsets, &other.offsets),
        }
    }
}

/// What a pool is fitted to.
struct Samples<'a> {
    opinions: &'a [&'a [f64]],
    labels: &'a [u32],
    classes: usize,
    /// Offsets that are not fitted; without them they are.
    given: &'a [f64],
}

impl Samples<'_> {
    /// The pool of the opinions that are `among`, with no weight below 0.
    ///
    /// The loss is convex: where weights below 0 are best, one of them is 0 at the best pool without any.
    fn least(&self, among: &[bool]) -> Pool {
        let taken: Vec<usize> = (0..among.len()).filter(|&at| among[at]).collect();
        let opinions: Vec<&[f64]> = taken.iter().map(|&at| self.opinions[at]).collect();
        let free = Samples {
            opinions: &opinions,
            ..*self
        }
        .minimised();
        let mut weights = vec![0.0; among.len()];
        for (&at, weight) in taken.iter().zip(&free.weights) {
            weights[at] = *weight;
        }
        let free = Pool { weights, ..free };
        let without = |at: usize| {
            let among: Vec<bool> = (0..among.len()).map(|other| among[other] && other != at).collect();
            self.least(&among)
        };
        let negative = (0..among.len()).filter(|&at| free.weights[at] < 0.0);
        let best = negative
            .map(without)
            .min_by(|a, b| self.loss(a).total_cmp(&self.loss(b)));
        best.unwrap_or(free)
    }

    /// Newton's method, whose systems conjugate gradients solve: with a thousand offsets no matrix of them is made.
    fn minimised(&self) -> Pool {
        let offsets = if self.given.is_empty() { self.classes } else { 0 };
        let mut at = Pool {
            weights: (0..self.opinions.len()).map(|i| f64::from(u8::from(i == 0))).collect(),
            offsets: vec![0.0; offsets],
        };
        let mut loss = self.loss(&at);
        for _ in 0..STEPS {
            let chances = self.chances(&at);
            let gradient = self.gradient(&at, &chances);
            let step = self.newton_step(&gradient, &chances);
            if gradient.dot(&step) < PROMISED {
                break;
            }
            let mut length = 1.0;
            loop {
                let mut next = at.clone();
                next.add(-length, &step);
                let next_loss = self.loss(&next);
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

    /// Logits of the pool, with the offsets that are given.
    fn logits(&self, at: &Pool) -> Vec<f64> {
        let mut z = at.logits(self.opinions);
        // Of no opinion the offsets are all that is said.
        if self.opinions.is_empty() {
            z = at.offsets.repeat(self.labels.len());
            z.resize(self.labels.len() * self.classes, 0.0);
        }
        for row in z.chunks_exact_mut(self.classes) {
            for (z, offset) in row.iter_mut().zip(self.given) {
                *z += offset;
            }
        }
        z
    }

    fn n(&self) -> f64 {
        self.labels.len() as f64
    }

    /// The ridge times `at`: the slope of what keeps weights and offsets small.
    fn held(&self, at: &Pool) -> Pool {
        Pool {
            weights: at.weights.iter().map(|w| RIDGE * w).collect(),
            offsets: at.offsets.iter().map(|b| OFFSET_RIDGE / self.n() * b).collect(),
        }
    }

    fn loss(&self, at: &Pool) -> f64 {
        let losses: f64 = losses(&self.logits(at), self.labels, self.classes).iter().sum();
        losses / self.n() + 0.5 * at.dot(&self.held(at))
    }

    /// Chance of each class of each sample.
    fn chances(&self, at: &Pool) -> Vec<f64> {
        let mut z = self.logits(at);
        for row in z.chunks_exact_mut(self.classes) {
            let whole = log_sum(row);
            for z in row {
                *z = libm::exp(*z - whole);
            }
        }
        z
    }

    /// Adds to weights and offsets what `slopes` of the logits `[n, classes]` come to.
    fn gather(&self, slopes: &[f64], to: &mut Pool) {
        for (weight, opinion) in to.weights.iter_mut().zip(self.opinions) {
            *weight += slopes.iter().zip(*opinion).map(|(slope, z)| slope * z).sum::<f64>() / self.n();
        }
        if !to.offsets.is_empty() {
            for row in slopes.chunks_exact(self.classes) {
                for (offset, slope) in to.offsets.iter_mut().zip(row) {
                    *offset += slope / self.n();
                }
            }
        }
    }

    fn gradient(&self, at: &Pool, chances: &[f64]) -> Pool {
        let mut slopes = chances.to_vec();
        for (row, label) in slopes.chunks_exact_mut(self.classes).zip(self.labels) {
            row[*label as usize] -= 1.0;
        }
        let mut gradient = self.held(at);
        self.gather(&slopes, &mut gradient);
        gradient
    }

    /// The curvature of the mean loss times `direction`.
    fn curved(&self, direction: &Pool, chances: &[f64]) -> Pool {
        let mut slopes = direction.logits(self.opinions);
        for (row, p) in slopes
            .chunks_exact_mut(self.classes)
            .zip(chances.chunks_exact(self.classes))
        {
            let mean: f64 = row.iter().zip(p).map(|(z, p)| z * p).sum();
            for (z, p) in row.iter_mut().zip(p) {
                *z = p * (*z - mean);
            }
        }
        let mut curved = self.held(direction);
        self.gather(&slopes, &mut curved);
        curved
    }

    /// Diagonal of the curvature, of as many offsets as `like` has.
    fn diagonal(&self, like: &Pool, chances: &[f64]) -> Pool {
        let mut diagonal = self.held(&like.each(like, |_, _| 1.0));
        for (row, p) in chances.chunks_exact(self.classes).enumerate() {
            let start = row * self.classes;
            for (weight, opinion) in diagonal.weights.iter_mut().zip(self.opinions) {
                let z = &opinion[start..start + self.classes];
                let mean: f64 = z.iter().zip(p).map(|(z, p)| z * p).sum();
                let square = z.iter().zip(p).map(|(z, p)| p * (z - mean) * (z - mean));
                *weight += square.sum::<f64>() / self.n();
            }
            for (offset, p) in diagonal.offsets.iter_mut().zip(p) {
                *offset += p * (1.0 - p) / self.n();
            }
        }
        diagonal
    }

    /// The step that Newton's method takes off: curvature times step is the gradient.
    ///
    /// Conjugate gradients, scaled by the diagonal (Hestenes and Stiefel 1952).
    fn newton_step(&self, gradient: &Pool, chances: &[f64]) -> Pool {
        let diagonal = self.diagonal(gradient, chances);
        let scaled = |rest: &Pool| rest.each(&diagonal, |rest, size| rest / size);
        let mut step = gradient.each(gradient, |_, _| 0.0);
        let mut rest = gradient.clone();
        let mut direction = scaled(&rest);
        let first = rest.dot(&direction);
        let mut size = first;
        for _ in 0..INNER {
            let curved = self.curved(&direction, chances);
            let curvature = direction.dot(&curved);
            if curvature.is_nan() || curvature <= 0.0 {
                break;
            }
            step.add(size / curvature, &direction);
            rest.add(-size / curvature, &curved);
            let next = scaled(&rest);
            let next_size = rest.dot(&next);
            // A millionth of the gradient is left.
            if next_size.is_nan() || next_size <= 1e-12 * first {
                break;
            }
            let kept = next_size / size;
            direction = next.each(&direction, |next, old| next + kept * old);
            size = next_size;
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_opinion_is_calibrated() {
        // Log-odds of 2 that are right in 3 of 4 cases: the truth is ln 3.
        let logits = [0.0, 2.0, 0.0, 2.0, 0.0, 2.0, 0.0, 2.0];
        let found = Pool::scaled(&logits, &[1, 1, 1, 0], &[0.0; 2]);
        assert!((found.weights[0] - libm::log(3.0) / 2.0).abs() < 1e-4, "{found:?}");
    }

    /// All four pairs of two opinions of log-odds 1 or -1, right as often as independent ones of ln 3 are: 9, 3, 3, 1 of 16.
    fn independent() -> (Vec<f64>, Vec<f64>, Vec<u32>) {
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
        (first, second, labels)
    }

    #[test]
    fn independent_opinions_add_up_and_a_repeated_one_adds_nothing() {
        let (first, second, labels) = independent();
        let found = Pool::fitted(&[&first, &second], &labels, 2);
        for weight in &found.weights {
            assert!((weight - libm::log(3.0)).abs() < 1e-4, "{found:?}");
        }
        assert!(found.offsets.iter().all(|offset| offset.abs() < 1e-6), "{found:?}");
        let repeated = Pool::fitted(&[&first, &first], &labels, 2);
        assert!(
            (repeated.weights.iter().sum::<f64>() - libm::log(3.0)).abs() < 1e-4,
            "{repeated:?}"
        );
    }

    /// An output that counts the first opinion three times says nothing of the second: the first less twice itself would.
    #[test]
    fn an_opinion_is_never_subtracted() {
        let (first, second, labels) = independent();
        let output: Vec<f64> = first.iter().zip(&second).map(|(a, b)| 3.0 * a + b).collect();
        let of = |source: &[f64]| Pool::fitted(&[&output, source], &labels, 2);
        let alone = Pool::fitted(&[&output], &labels, 2);
        let counted = of(&first);
        assert_eq!(counted.weights[1], 0.0);
        assert!((counted.weights[0] - alone.weights[0]).abs() < 1e-6, "{counted:?}");
        // The second is added: a third of the output's weight is right of the first.
        let found = of(&second).weights;
        assert!((found[0] - libm::log(3.0) / 3.0).abs() < 1e-3, "{found:?}");
        assert!((found[1] - libm::log(3.0) * 2.0 / 3.0).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn an_opinion_that_is_wrong_is_left_out() {
        let (first, second, labels) = independent();
        let wrong: Vec<f64> = first.iter().map(|z| -z).collect();
        assert_eq!(Pool::scaled(&wrong, &labels, &[0.0; 2]).weights, [0.0]);
        let both = Pool::fitted(&[&wrong, &wrong], &labels, 2);
        assert_eq!(both.weights, [0.0; 2]);
        // What is taken off lets the other be: alone it is right as often as with the first.
        let found = Pool::fitted(&[&wrong, &second], &labels, 2);
        assert!((found.weights[1] - libm::log(3.0)).abs() < 1e-3, "{found:?}");
        assert_eq!(found.weights[0], 0.0);
    }

    #[test]
    fn an_offset_is_taken_off() {
        let (first, _, labels) = independent();
        // Often enough that the ridge does not count.
        let (shifted, labels) = (first.repeat(1_000), labels.repeat(1_000));
        let shifted: Vec<f64> = shifted.chunks_exact(2).flat_map(|z| [z[0], z[1] + 3.0]).collect();
        let found = Pool::fitted(&[&shifted], &labels, 2);
        for (z, own) in found.logits(&[&shifted]).chunks_exact(2).zip(first.chunks_exact(2)) {
            let expected = libm::log(3.0) * (own[1] - own[0]);
            assert!((z[1] - z[0] - expected).abs() < 1e-3, "{found:?}");
        }
        // Without offsets the opinion keeps its own.
        let scaled = Pool::scaled(&shifted, &labels, &[0.0; 2]).logits(&[&shifted]);
        assert!(scaled.chunks_exact(2).take(2).all(|z| (z[1] - z[0]).abs() < 0.9));
    }

    #[test]
    fn offsets_of_many_classes_give_each_its_frequency() {
        let (n, classes) = (1_200, 300);
        // Class 0 is the label of every other sample; the opinion knows whether a label is even.
        let labels: Vec<u32> = (0..n)
            .map(|row| if row % 2 == 0 { 0 } else { row / 2 * 7 % 300 })
            .collect();
        let logit = |row: u32, class: u32| f64::from((row * 31 + class * 17) % 23) / 5.0;
        let own = |row: u32, class: u32| {
            if labels[row as usize] % 2 == class % 2 {
                1.5
            } else {
                0.0
            }
        };
        let of = |row: u32| (0..classes).map(move |class| (row, class));
        let opinion: Vec<f64> = (0..n)
            .flat_map(of)
            .map(|(row, class)| logit(row, class) + own(row, class))
            .collect();
        let classes = classes as usize;
        let found = Pool::fitted(&[&opinion], &labels, classes);
        let samples = Samples {
            opinions: &[&opinion],
            labels: &labels,
            classes,
            given: &[],
        };
        let chances = samples.chances(&found);
        let said = |class: usize| chances.iter().skip(class).step_by(classes).sum::<f64>();
        let had = |class: usize| labels.iter().filter(|label| **label as usize == class).count() as f64;
        for class in 0..classes {
            // What the ridge moves is a tenth of the offset.
            let moved = OFFSET_RIDGE * found.offsets[class];
            let off = said(class) + moved - had(class);
            assert!(off.abs() < 0.01, "class {class}: {off}");
        }
    }
}
