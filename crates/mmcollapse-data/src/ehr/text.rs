//! Notes as vectors without any download: hashed n-grams, TF-IDF, truncated singular value decomposition (latent
//! semantic analysis; Deerwester et al. 1990).
//!
//! It stands in for the pretrained text encoder that MUSE uses where none is asked for ([`super::PretrainedText`]), and
//! knows nothing but the training notes.

use std::collections::BTreeMap;

use mmcollapse_nn::random::Stream;

use crate::subspace::{combine, dot, eigen, orthonormal};

/// Places that n-grams are hashed to.
const BUCKETS: usize = 1 << 13;
/// Directions iterated beyond those kept.
const EXTRA: usize = 16;
/// Steps of the subspace iteration. Directions of small singular values are then not exact, as with the randomised
/// solvers in use (Halko, Martinsson, Tropp 2011): they span what is left of the notes no worse.
const STEPS: usize = 6;
/// Notes that the directions are fitted to; beyond them they hardly move, and the time grows.
const MOST_NOTES: usize = 20_000;

/// A sparse row: place and weight, ascending by place.
type Sparse = Vec<(usize, f64)>;

/// What turns a note into numbers, fitted to the training notes.
#[derive(Clone, Debug, PartialEq)]
pub struct TextEmbedding {
    /// Inverse document frequency of each bucket, `ln((1 + n) / (1 + df)) + 1`.
    idf: Vec<f64>,
    /// Orthonormal directions, the largest singular value first.
    directions: Vec<Vec<f64>>,
    /// Mean and standard deviation of the training notes along each direction.
    scales: Vec<(f64, f64)>,
}

impl TextEmbedding {
    /// Fits `width` directions to the `notes` of the training samples.
    pub fn fit<'a>(notes: impl IntoIterator<Item = &'a str>, width: usize) -> Self {
        let counts: Vec<BTreeMap<usize, u32>> = notes.into_iter().take(MOST_NOTES).map(n_grams).collect();
        let mut documents = vec![0_u32; BUCKETS];
        for place in counts.iter().flat_map(BTreeMap::keys) {
            documents[*place] += 1;
        }
        let n = counts.len() as f64;
        let idf: Vec<f64> = documents
            .iter()
            .map(|&df| libm::log((1. + n) / (1. + f64::from(df))) + 1.)
            .collect();
        let rows: Vec<Sparse> = counts.iter().map(|counts| weights(counts, &idf)).collect();
        let directions = singular(&rows, width);
        let mut embedding = Self {
            scales: vec![(0., 1.); directions.len()],
            idf,
            directions,
        };
        let projected: Vec<Vec<f64>> = rows.iter().map(|row| embedding.project(row)).collect();
        let scale = |j: usize| {
            let mean = projected.iter().map(|row| row[j]).sum::<f64>() / n;
            let variance = projected.iter().map(|row| (row[j] - mean).powi(2)).sum::<f64>() / n;
            // A direction along which all notes are alike says nothing, and must not be blown up.
            (mean, if variance > 1e-12 { variance.sqrt() } else { 1. })
        };
        embedding.scales = (0..embedding.directions.len()).map(scale).collect();
        embedding
    }

    /// Numbers of a note: as many as directions were found, at most what was asked for.
    pub fn width(&self) -> usize {
        self.directions.len()
    }

    /// The note along each direction, of mean 0 and standard deviation 1 over the training notes.
    pub fn embed(&self, note: &str) -> Vec<f32> {
        let projected = self.project(&weights(&n_grams(note), &self.idf));
        let scaled = projected.iter().zip(&self.scales);
        scaled.map(|(x, (mean, sd))| ((x - mean) / sd) as f32).collect()
    }

    fn project(&self, row: &Sparse) -> Vec<f64> {
        self.directions.iter().map(|d| sparse_dot(row, d)).collect()
    }
}

/// How often each word and each pair of neighbouring words occurs, by bucket. A word is what stands between other
/// characters than letters and digits, in lower case, and has at least two of them.
fn n_grams(note: &str) -> BTreeMap<usize, u32> {
    let lower = note.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    let words: Vec<&str> = words.filter(|word| word.chars().nth(1).is_some()).collect();
    let mut counts = BTreeMap::new();
    let mut count = |hash: u64| *counts.entry((hash % BUCKETS as u64) as usize).or_insert(0) += 1;
    for word in &words {
        count(fnv1a(&[word]));
    }
    for pair in words.windows(2) {
        count(fnv1a(&[pair[0], " ", pair[1]]));
    }
    counts
}

/// The hash of Fowler, Noll and Vo, which is the same on every machine.
fn fnv1a(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// `(1 + ln count) idf`, of length 1: scikit-learn's `TfidfTransformer(sublinear_tf=True)`.
fn weights(counts: &BTreeMap<usize, u32>, idf: &[f64]) -> Sparse {
    let weight = |(&place, &count): (&usize, &u32)| (place, (1. + libm::log(f64::from(count))) * idf[place]);
    let mut row: Sparse = counts.iter().map(weight).collect();
    let length = row.iter().map(|(_, w)| w * w).sum::<f64>().sqrt();
    for (_, w) in &mut row {
        *w /= length;
    }
    row
}

fn sparse_dot(row: &Sparse, dense: &[f64]) -> f64 {
    row.iter().map(|&(place, w)| w * dense[place]).sum()
}

/// The first `width` right singular vectors of `rows`, fewer where their rank is less.
fn singular(rows: &[Sparse], width: usize) -> Vec<Vec<f64>> {
    let width = width.min(rows.len());
    let mut start = Stream::new(0, "text embedding");
    let block = (0..(width + EXTRA).min(rows.len())).map(|_| (0..BUCKETS).map(|_| start.normal()).collect());
    let mut block = orthonormal(block.collect());
    for _ in 0..STEPS {
        block = orthonormal(gram_product(rows, &block));
    }
    let image = gram_product(rows, &block);
    let small = block
        .iter()
        .map(|q| image.iter().map(|z| dot(q, z)).collect())
        .collect();
    let (values, rotation) = eigen(small);
    let largest = values.first().copied().unwrap_or(0.);
    let kept = values
        .iter()
        .take(width)
        .filter(|value| **value > 1e-9 * largest)
        .count();
    combine(&block, &rotation).into_iter().take(kept).collect()
}

/// `A^T A` times each vector, A having these rows.
fn gram_product(rows: &[Sparse], vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let times = |v: &Vec<f64>| {
        let mut product = vec![0.; v.len()];
        for row in rows {
            let along = sparse_dot(row, v);
            for &(place, w) in row {
                product[place] += along * w;
            }
        }
        product
    };
    vectors.iter().map(times).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: [&str; 5] = [
        "Patient admitted with sepsis; treated with antibiotics.",
        "Patient admitted with a fracture of the hip.",
        "Sepsis, antibiotics, ICU stay. Sepsis resolved.",
        "Hip fracture, surgery, discharged home",
        "Chest pain, ruled out",
    ];

    #[test]
    fn words_and_pairs_are_counted() {
        let counts = n_grams("A big, BIG cat");
        // big twice; cat; "big big"; "big cat": four buckets, five counts. The single letter is no word.
        assert_eq!((counts.len(), counts.values().sum::<u32>()), (4, 5));
        assert_eq!(counts[&((fnv1a(&["big"]) % BUCKETS as u64) as usize)], 2);
        // The reference value of the hash's authors.
        assert_eq!(fnv1a(&["foobar"]), 0x8594_4171_f739_67e8);
        assert!(n_grams("- ; a").is_empty());
    }

    /// The values are scikit-learn's: `TfidfTransformer(sublinear_tf=True)` on [[2, 1], [0, 1]].
    #[test]
    fn weights_are_those_of_scikit_learn() {
        let idf = [libm::log(3. / 2.) + 1., 1.];
        let row = weights(&BTreeMap::from([(0, 2), (1, 1)]), &idf);
        assert!((row[0].1 - 0.921_906_969_816).abs() < 1e-11, "{row:?}");
        assert!((row[1].1 - 0.387_411_330_505).abs() < 1e-11, "{row:?}");
    }

    /// As many directions as notes keep every angle between the notes.
    #[test]
    fn all_directions_keep_all_angles() {
        let embedding = TextEmbedding::fit(NOTES, 5);
        assert_eq!(embedding.width(), 5);
        let rows: Vec<Sparse> = NOTES.iter().map(|n| weights(&n_grams(n), &embedding.idf)).collect();
        for a in &rows {
            for b in &rows {
                let mut dense = vec![0.; BUCKETS];
                for &(place, w) in b {
                    dense[place] = w;
                }
                let (whole, kept) = (sparse_dot(a, &dense), dot(&embedding.project(a), &embedding.project(b)));
                assert!((whole - kept).abs() < 1e-9, "{whole} {kept}");
            }
        }
        assert_eq!(TextEmbedding::fit(NOTES, 2), TextEmbedding::fit(NOTES, 2));
    }

    #[test]
    fn notes_about_the_same_are_near_and_training_is_standardised() {
        let embedding = TextEmbedding::fit(NOTES, 2);
        let cosine = |a: &str, b: &str| {
            let of = |note: &str| embedding.project(&weights(&n_grams(note), &embedding.idf));
            let (a, b) = (of(a), of(b));
            dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
        };
        assert!(cosine("sepsis antibiotics", NOTES[2]) > cosine("sepsis antibiotics", NOTES[3]));
        let embedded: Vec<Vec<f32>> = NOTES.iter().map(|note| embedding.embed(note)).collect();
        for j in 0..2 {
            let mean = embedded.iter().map(|row| row[j]).sum::<f32>() / 5.;
            let variance = embedded.iter().map(|row| row[j] * row[j]).sum::<f32>() / 5.;
            assert!(mean.abs() < 1e-5 && (variance - 1.).abs() < 1e-4, "{mean} {variance}");
        }
        assert_eq!(TextEmbedding::fit([], 3).width(), 0);
        assert!(embedding.embed("").iter().all(|x| x.is_finite()));
    }
}
