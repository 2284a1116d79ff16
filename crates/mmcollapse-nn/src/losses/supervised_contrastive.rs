//! Contrast between labels: the supervised contrastive loss (Khosla et al., NeurIPS 2020, equation 2).

use candle_core::bail;

use super::info_nce::{l2_normalize, log_sum_exp};
use crate::ops::matmul;
use crate::{Device, Result, Tensor};

/// Keeps a row from being compared with itself.
const NEVER: f64 = -1e9;

/// Mean over the rows that have a partner (another row of the same label) of the mean cross-entropy, in nats, of finding
/// each partner among all other rows; 0 where no row has one.
///
/// `x`: `[n, width]`, `labels`: n; similarity is the cosine over `temperature` (> 0).
///
/// # Errors
/// If the counts differ, or the temperature is not positive.
pub fn supervised_contrastive(x: &Tensor, labels: &[u32], temperature: f64) -> Result<Tensor> {
    let (n, _) = x.dims2()?;
    if labels.len() != n {
        bail!("supervised_contrastive: {n} rows and {} labels", labels.len());
    }
    if !(temperature.is_finite() && temperature > 0.0) {
        bail!("supervised_contrastive: the temperature must be positive, got {temperature}");
    }
    let partners = |i: usize| (0..n).filter(move |&j| j != i && labels[j] == labels[i]);
    let anchors = (0..n).filter(|&i| partners(i).next().is_some()).count();
    // Weight of each pair: the mean over the partners of a row, and over rows.
    let mut weights = vec![0.0; n * n];
    let mut itself = vec![0.0; n * n];
    for i in 0..n {
        itself[i * n + i] = NEVER;
        let count = partners(i).count();
        for j in partners(i) {
            weights[i * n + j] = 1.0 / (count * anchors) as f64;
        }
    }
    let constant = |values: Vec<f64>, shape: (usize, usize)| {
        Tensor::from_vec(values, shape, &Device::Cpu)?
            .to_dtype(x.dtype())?
            .to_device(x.device())
    };
    let row_weights: Vec<f64> = weights.chunks(n.max(1)).map(|row| row.iter().sum()).collect();
    let unit = l2_normalize(x)?;
    let scores = (matmul(&unit, &unit.t()?)? / temperature)?; // [n, n]
    let all = log_sum_exp(&(&scores + constant(itself, (n, n))?)?, 1)?; // [n]
    let all = (all.reshape((n, 1))? * constant(row_weights, (n, 1))?)?.sum_all()?;
    all - (scores * constant(weights, (n, n))?)?.sum_all()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    /// By the definition, pair by pair.
    fn by_definition(x: &[Vec<f64>], labels: &[u32], temperature: f64) -> f64 {
        let cosine = |a: &[f64], b: &[f64]| {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt() / temperature
        };
        let n = x.len();
        let mut losses = vec![];
        for i in 0..n {
            let others: f64 = (0..n)
                .filter(|&a| a != i)
                .map(|a| libm::exp(cosine(&x[i], &x[a])))
                .sum();
            let partners: Vec<usize> = (0..n).filter(|&p| p != i && labels[p] == labels[i]).collect();
            if partners.is_empty() {
                continue;
            }
            let terms = partners.iter().map(|&p| libm::log(others) - cosine(&x[i], &x[p]));
            losses.push(terms.sum::<f64>() / partners.len() as f64);
        }
        losses.iter().sum::<f64>() / losses.len().max(1) as f64
    }

    fn rows() -> Vec<Vec<f64>> {
        let mut stream = crate::random::Stream::new(4, "supervised contrastive");
        (0..6).map(|_| (0..3).map(|_| stream.normal()).collect()).collect()
    }

    #[test]
    fn it_is_the_definition_and_a_row_without_partner_counts_for_none() {
        let x = rows();
        let tensor = Tensor::new(x.clone(), &Device::Cpu).unwrap();
        for labels in [[0, 1, 0, 1, 1, 2], [0, 1, 2, 3, 4, 5], [7; 6]] {
            let loss = supervised_contrastive(&tensor, &labels, 0.5).unwrap();
            let loss = loss.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap();
            let expected = by_definition(&x, &labels, 0.5);
            assert!((loss - expected).abs() < 1e-12, "{labels:?}: {loss} and {expected}");
        }
    }

    #[test]
    fn counts_and_temperatures_that_mean_nothing_are_refused() {
        let tensor = Tensor::new(rows(), &Device::Cpu).unwrap();
        assert!(supervised_contrastive(&tensor, &[0; 5], 0.5).is_err());
        assert!(supervised_contrastive(&tensor, &[0; 6], 0.0).is_err());
    }
}
