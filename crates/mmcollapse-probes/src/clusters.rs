//! Clusters: k-means, and how far they are the classes.

use std::collections::BTreeMap;

use crate::draws::SplitMix64;
use crate::{Matrix, MeasureError, Result};

/// Starts of which the best is kept, and the most rounds of each (scikit-learn's defaults of its first ten years).
const STARTS: u64 = 10;
const ROUNDS: usize = 300;

/// The cluster, below `k`, of each row: Lloyd's k-means from k-means++ starts (Arthur and Vassilvitskii 2007), the best of ten by the
/// sum of squared distances.
///
/// # Errors
/// No cluster, or fewer rows than clusters.
pub fn k_means(rows: &Matrix, k: usize, seed: u64) -> Result<Vec<usize>> {
    const MEASURE: &str = "k-means";
    if k == 0 || rows.rows() < k {
        return Err(MeasureError::Parameter {
            measure: MEASURE,
            parameter: "number of clusters",
            expected: "at least 1 and at most the number of rows",
            got: k as f64,
        });
    }
    let starts = (0..STARTS).map(|start| {
        let mut draws = SplitMix64(seed ^ start.wrapping_mul(0xA076_1D64_78BD_642F));
        lloyd(rows, first(rows, k, &mut draws))
    });
    let best = starts.min_by(|a, b| a.1.total_cmp(&b.1));
    Ok(best.map(|(clusters, _)| clusters).unwrap_or_default())
}

/// Share of the rows whose class is the commonest of their cluster (the first of several).
///
/// # Errors
/// Different numbers of both, or none.
///
/// ```
/// // The first cluster is two thirds of class 1, the second all of class 0.
/// assert_eq!(mmcollapse_probes::purity(&[0, 0, 0, 1], &[1, 1, 0, 0])?, 0.75);
/// # Ok::<(), mmcollapse_probes::MeasureError>(())
/// ```
pub fn purity(clusters: &[usize], labels: &[u32]) -> Result<f64> {
    const MEASURE: &str = "purity";
    if clusters.len() != labels.len() || labels.is_empty() {
        return Err(MeasureError::Parameter {
            measure: MEASURE,
            parameter: "number of labels",
            expected: "one a row, at least one",
            got: labels.len() as f64,
        });
    }
    let mut counts: BTreeMap<usize, BTreeMap<u32, usize>> = BTreeMap::new();
    for (&cluster, &label) in clusters.iter().zip(labels) {
        *counts.entry(cluster).or_default().entry(label).or_default() += 1;
    }
    let right: usize = counts.values().filter_map(|of| of.values().max()).sum();
    Ok(right as f64 / labels.len() as f64)
}

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// k-means++: each further centre is a row, drawn by its squared distance to the nearest centre so far.
fn first(rows: &Matrix, k: usize, draws: &mut SplitMix64) -> Vec<Vec<f64>> {
    let n = rows.rows();
    let mut centres = vec![rows.row(draws.below(n)).to_vec()];
    let mut far: Vec<f64> = (0..n).map(|i| squared(rows.row(i), &centres[0])).collect();
    while centres.len() < k {
        let total: f64 = far.iter().sum();
        let mut left = total * draws.uniform();
        let chosen = far.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // Rows that all lie on centres are drawn alike.
        let chosen = chosen.unwrap_or_else(|| draws.below(n));
        let centre = rows.row(chosen).to_vec();
        for (i, far) in far.iter_mut().enumerate() {
            *far = far.min(squared(rows.row(i), &centre));
        }
        centres.push(centre);
    }
    centres
}

/// Clusters and the sum of squared distances to their centres. A cluster that loses all its rows keeps its centre.
fn lloyd(rows: &Matrix, mut centres: Vec<Vec<f64>>) -> (Vec<usize>, f64) {
    let (n, width) = (rows.rows(), rows.columns());
    let mut clusters = vec![usize::MAX; n];
    let mut inertia = 0.0;
    for _ in 0..ROUNDS {
        inertia = 0.0;
        let mut changed = false;
        for (i, cluster) in clusters.iter_mut().enumerate() {
            let distances = centres.iter().map(|centre| squared(rows.row(i), centre));
            let nearest = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
            let (own, distance) = nearest.unwrap_or_default();
            changed |= *cluster != own;
            *cluster = own;
            inertia += distance;
        }
        if !changed {
            break;
        }
        let mut sums = vec![vec![0.0; width]; centres.len()];
        let mut counts = vec![0.0; centres.len()];
        for (i, &cluster) in clusters.iter().enumerate() {
            counts[cluster] += 1.0;
            for (sum, value) in sums[cluster].iter_mut().zip(rows.row(i)) {
                *sum += value;
            }
        }
        for ((centre, sum), count) in centres.iter_mut().zip(sums).zip(counts) {
            if count > 0.0 {
                *centre = sum.iter().map(|sum| sum / count).collect();
            }
        }
    }
    (clusters, inertia)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_that_lie_apart_are_found() {
        let mut draws = SplitMix64(5);
        let centres = [[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]];
        let values: Vec<f64> = (0..80)
            .flat_map(|i| centres[i % 4].map(|c| c + draws.normal()))
            .collect();
        let rows = Matrix::new(&values, 80, 2).unwrap();
        let labels: Vec<u32> = (0..80).map(|i| i % 4).collect();
        for seed in 0..5 {
            assert_eq!(purity(&k_means(&rows, 4, seed).unwrap(), &labels).unwrap(), 1.0);
        }
        // One cluster holds a quarter of each class.
        assert_eq!(purity(&k_means(&rows, 1, 0).unwrap(), &labels).unwrap(), 0.25);
    }

    #[test]
    fn the_sum_of_squares_is_the_least_there_is() {
        // Of all ways to part 0, 1, 5, 6, 20 in two, {0, 1, 5, 6} and {20} has the least: 26.
        let rows = Matrix::new(&[0.0, 1.0, 5.0, 6.0, 20.0], 5, 1).unwrap();
        let found = k_means(&rows, 2, 1).unwrap();
        assert_eq!(found[..4], vec![found[0]; 4][..]);
        assert_ne!(found[4], found[0]);
    }

    #[test]
    fn rows_that_are_alike_and_too_few_rows() {
        let alike = Matrix::new(&[1.0; 6], 3, 2).unwrap();
        assert_eq!(k_means(&alike, 2, 0).unwrap().len(), 3);
        assert!(k_means(&alike, 4, 0).is_err() && k_means(&alike, 0, 0).is_err());
        assert!(purity(&[0], &[]).is_err() && purity(&[], &[]).is_err());
    }
}
