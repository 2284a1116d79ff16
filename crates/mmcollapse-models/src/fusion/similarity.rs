//! How similar samples are, by the modalities that both have: M3Care's kernels (Zhang et al., KDD 2022, section 4.2).
//!
//! Of modality m, with phi_m a network of three layers, k a mean of Gaussian kernels and e = sigmoid(eps_m),
//!
//! ```text
//! k(x, y)   = mean over i < kernels of exp(-|x - y|^2 / (scale * ratio^(i - kernels / 2)))
//! s_m(i, j) = (1 - e) k(phi_m(z_i), phi_m(z_j)) + e k(z_i, z_j)              by sum
//! s_m(i, j) = [(1 - e) k(phi_m(z_i), phi_m(z_j)) + e] k(z_i, z_j)            by product
//! s(i, j)   = mean of s_m(i, j) over the modalities m that both have; 0 if there is none
//! A(i, j)   = relu(s(i, j) - sigmoid(threshold))
//! ```
//!
//! The product is the paper's. Of the two public notebooks one has it (images of eyes), the other the sum (health records).
//!
//! The scale is the mean squared distance of different samples, a constant to the gradient. The public code sends
//! the features through one batch norm before they are compared; the scale does as much for their size, and statistics of
//! a batch would have to be told apart from those of evaluation.

use mmcollapse_nn::{
    Init, Result as TensorResult, Tensor,
    layers::Linear,
    ops::{exp, matmul, relu, sigmoid},
};

use serde::{Deserialize, Serialize};

use super::{FusionContext, bank::Known};

/// How the kernels of learned features and of encodings make one similarity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mix {
    /// A weighted mean of both.
    Sum,
    /// That of the encodings, lowered where the learned features differ.
    Product,
}

/// Of a [`Similarity`].
pub(super) struct Settings {
    /// Of the layers of phi.
    pub width: usize,
    pub kernels: usize,
    /// Width of a kernel over that of the one before it.
    pub ratio: f64,
    pub mix: Mix,
    /// Where `eps` starts, before the sigmoid.
    pub eps: f64,
    /// Where `threshold` starts, before the sigmoid.
    pub threshold: f64,
}

/// Added to a scale, so that samples which are all alike are not divided by 0.
const LEAST_SCALE: f64 = 1e-6;

/// Variables `phi`, `eps` and `threshold` below the fusion's scope.
pub(super) struct Similarity {
    phi: Vec<[Linear; 3]>,
    eps: Vec<Tensor>,
    threshold: Tensor,
    settings: Settings,
}

/// Some samples, with their learned features.
pub(super) struct Compared {
    /// Their encodings.
    pub known: Known,
    /// Per modality phi, `[samples, width]`.
    learned: Vec<Tensor>,
}

impl Compared {
    /// The scales of their kernels.
    pub fn scales(&self) -> TensorResult<Scales> {
        let modalities = self.learned.iter().zip(&self.known.z).zip(&self.known.present);
        modalities
            .map(|((learned, z), present)| Ok([mean_distance(learned, present)?, mean_distance(z, present)?]))
            .collect()
    }
}

/// Per modality the mean squared distances of learned features and of encodings, each `[1, 1]`.
pub(super) type Scales = Vec<[Tensor; 2]>;

impl Similarity {
    /// Networks of their own for each modality, below the fusion's scope.
    pub fn new(context: &FusionContext, settings: Settings) -> TensorResult<Self> {
        let (scope, width) = (&context.scope, settings.width);
        let phi = |(name, &input): (&String, &usize)| {
            let scope = scope.pp("phi").pp(name);
            Ok([
                Linear::new(&scope.pp(0), input, width)?,
                Linear::new(&scope.pp(1), width, width)?,
                Linear::new(&scope.pp(2), width, width)?,
            ])
        };
        let named = context.modalities.iter().zip(context.widths);
        let eps = context
            .modalities
            .iter()
            .map(|name| scope.pp("eps").var(name, (1, 1), Init::Constant(settings.eps)));
        Ok(Self {
            phi: named.map(phi).collect::<TensorResult<_>>()?,
            eps: eps.collect::<TensorResult<_>>()?,
            threshold: scope.var("threshold", (1, 1), Init::Constant(settings.threshold))?,
            settings,
        })
    }

    /// Samples with what is compared of them.
    pub fn compared(&self, known: Known) -> TensorResult<Compared> {
        let pairs = self.phi.iter().zip(&known.z);
        let learned =
            pairs.map(|([first, second, third], z)| third.forward(&second.forward_relu(&first.forward_relu(z)?)?));
        Ok(Compared {
            learned: learned.collect::<TensorResult<_>>()?,
            known,
        })
    }

    /// A from each of `from` to each of `to`, `[from, to]`.
    pub fn between(&self, from: &Compared, to: &Compared, scales: &Scales) -> TensorResult<Tensor> {
        let mut sum: Option<Tensor> = None;
        let mut count: Option<Tensor> = None;
        for (m, [learned_scale, scale]) in scales.iter().enumerate() {
            let learned = self.kernel(&from.learned[m], &to.learned[m], learned_scale)?;
            let plain = self.kernel(&from.known.z[m], &to.known.z[m], scale)?;
            let eps = sigmoid(&self.eps[m])?;
            let learned = learned.broadcast_mul(&eps.affine(-1.0, 1.0)?)?;
            let mixed = match self.settings.mix {
                Mix::Sum => (learned + plain.broadcast_mul(&eps)?)?,
                Mix::Product => (learned.broadcast_add(&eps)? * plain)?,
            };
            let both = from.known.present[m].broadcast_mul(&to.known.present[m].t()?)?; // [from, to]
            let part = (mixed * &both)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
            count = Some(match count {
                Some(count) => (count + both)?,
                None => both,
            });
        }
        let (Some(sum), Some(count)) = (sum, count) else {
            mmcollapse_nn::candle::bail!("similarity needs at least one modality")
        };
        let mean = (sum / count.maximum(&count.ones_like()?)?)?;
        relu(&mean.broadcast_sub(&sigmoid(&self.threshold)?)?)
    }

    fn kernel(&self, x: &Tensor, y: &Tensor, scale: &Tensor) -> TensorResult<Tensor> {
        let distances = squared_distances(x, y)?.broadcast_div(scale)?;
        let mut sum = distances.zeros_like()?;
        let Settings { kernels, ratio, .. } = self.settings;
        for i in 0..kernels {
            let width = libm::pow(ratio, i as f64 - (kernels / 2) as f64);
            sum = (sum + exp(&(&distances * (-1.0 / width))?)?)?;
        }
        sum / kernels as f64
    }
}

/// A among samples, without that of a sample to itself.
pub(super) fn to_others(among: &Tensor) -> TensorResult<Tensor> {
    among * Tensor::eye(among.dim(0)?, among.dtype(), among.device())?.affine(-1.0, 1.0)?
}

/// Mean squared distance `[1, 1]` of two different rows of `x [n, width]` that are `present [n, 1]`, without going through
/// the pairs: `sum over i, j of |x_i - x_j|^2 = 2 (n sum |x_i|^2 - |sum x_i|^2)`.
fn mean_distance(x: &Tensor, present: &Tensor) -> TensorResult<Tensor> {
    let x = x.detach().broadcast_mul(present)?;
    let n = present.sum_keepdim(0)?; // [1, 1]
    let lengths = x.sqr()?.sum_keepdim(1)?.sum_keepdim(0)?;
    let length_of_sum = x.sum_keepdim(0)?.sqr()?.sum_keepdim(1)?;
    let pairs = (&n * (&n - 1.0)?)?;
    let pairs = pairs.maximum(&pairs.ones_like()?)?;
    ((relu(&((n * lengths)? - length_of_sum)?)? * 2.0)? / pairs)? + LEAST_SCALE
}

/// `[n, width]` and `[k, width]` to `[n, k]`.
fn squared_distances(x: &Tensor, y: &Tensor) -> TensorResult<Tensor> {
    let lengths = x.sqr()?.sum_keepdim(1)?.broadcast_add(&y.sqr()?.sum_keepdim(1)?.t()?)?;
    // Rounding may take a distance of 0 below it.
    relu(&(lengths - (matmul(x, &y.t()?)? * 2.0)?)?)
}

#[cfg(test)]
mod tests {
    use mmcollapse_nn::{Device, Params};

    use super::*;

    fn layer(linear: &Linear, x: &[f64]) -> Vec<f64> {
        let w: Vec<Vec<f32>> = linear.weight().to_vec2().unwrap();
        let b: Vec<f32> = linear.bias().unwrap().to_vec1().unwrap();
        let product = |w: &[f32]| w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
        w.iter().zip(b).map(|(w, b)| product(w) + f64::from(b)).collect()
    }

    fn distance(x: &[f64], y: &[f64]) -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum()
    }

    #[test]
    fn similarities_are_those_of_the_formula() {
        for (mix, eps, threshold) in [(Mix::Sum, -0.3, 0.0), (Mix::Product, 2.0, -0.5)] {
            similarities_are(&Settings {
                width: 4,
                kernels: 3,
                ratio: 2.0,
                mix,
                eps,
                threshold,
            });
        }
    }

    fn similarities_are(settings: &Settings) {
        let params = Params::new(2, &Device::Cpu);
        let names = ["a".to_owned(), "b".to_owned()];
        let context = FusionContext::made(&names, &[2, 1], 2, &params);
        let Settings {
            mix, eps, threshold, ..
        } = *settings;
        let similarity = Similarity::new(&context, Settings { ..*settings }).unwrap();
        // Four samples; the third lacks a, the fourth b.
        let z = [
            vec![vec![0.2, -0.4], vec![0.5, 0.1], vec![0.0, 0.0], vec![-0.3, 0.6]],
            vec![vec![1.0], vec![0.4], vec![0.7], vec![0.0]],
        ];
        let has = [[true, true, false, true], [true, true, true, false]];
        let tensor = |rows: &Vec<Vec<f64>>| {
            let rows: Vec<Vec<f32>> = rows.iter().map(|r| r.iter().map(|v| *v as f32).collect()).collect();
            Tensor::new(rows, &Device::Cpu).unwrap()
        };
        let weights = has.map(|has| has.map(|has| [f32::from(u8::from(has))]));
        let known = Known {
            z: z.iter().map(tensor).collect(),
            present: weights.iter().map(|w| Tensor::new(w, &Device::Cpu).unwrap()).collect(),
        };
        let compared = similarity.compared(known).unwrap();
        let scales = compared.scales().unwrap();
        let a = similarity.between(&compared, &compared, &scales).unwrap();
        let others: Vec<Vec<f32>> = to_others(&a).unwrap().to_vec2().unwrap();
        let a: Vec<Vec<f32>> = a.to_vec2().unwrap();

        let relu = |x: Vec<f64>| -> Vec<f64> { x.into_iter().map(|x| x.max(0.0)).collect() };
        let phi = |m: usize, z: &[f64]| {
            let [first, second, third] = &similarity.phi[m];
            layer(third, &relu(layer(second, &relu(layer(first, z)))))
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
        let (e, threshold) = (sigmoid(eps), sigmoid(threshold));
        let kernel = |d: f64, scale: f64| -> f64 {
            [0.5, 1.0, 2.0].iter().map(|w| libm::exp(-d / (scale * w))).sum::<f64>() / 3.0
        };
        let s_m = |m: usize, i: usize, j: usize| {
            let pairs = || {
                let all = (0..4).flat_map(|i| (0..4).map(move |j| (i, j)));
                all.filter(|&(i, j)| i != j && has[m][i] && has[m][j])
            };
            let mean =
                |d: &dyn Fn(usize, usize) -> f64| pairs().map(|(i, j)| d(i, j)).sum::<f64>() / pairs().count() as f64;
            let plain = |i: usize, j: usize| distance(&z[m][i], &z[m][j]);
            let learned = |i: usize, j: usize| distance(&phi(m, &z[m][i]), &phi(m, &z[m][j]));
            let k = kernel(learned(i, j), mean(&learned) + 1e-6);
            let of_encodings = kernel(plain(i, j), mean(&plain) + 1e-6);
            match mix {
                Mix::Sum => (1.0 - e) * k + e * of_encodings,
                Mix::Product => ((1.0 - e) * k + e) * of_encodings,
            }
        };
        let mut linked = 0;
        for i in 0..4 {
            for j in 0..4 {
                let shared: Vec<usize> = (0..2).filter(|&m| has[m][i] && has[m][j]).collect();
                let sum: f64 = shared.iter().map(|&m| s_m(m, i, j)).sum();
                let s = sum / shared.len().max(1) as f64;
                let expected = (s - threshold).max(0.0);
                linked += usize::from(i != j && expected > 0.0);
                assert_eq!(others[i][j], if i == j { 0.0 } else { a[i][j] });
                assert!(
                    (f64::from(a[i][j]) - expected).abs() < 1e-4,
                    "{i} {j}: {} {expected}",
                    a[i][j]
                );
            }
        }
        assert!(
            (1..10).contains(&linked),
            "some pairs pass the threshold and some do not: {linked}"
        );
        assert_eq!((a[2][3], a[3][2]), (0.0, 0.0), "they share no modality");
    }
}
