//! The one source of random numbers.
//!
//! Every draw comes from a counter-based stream keyed by (seed, purpose, index): the key of a `ChaCha8` generator
//! is the SHA-256 of the three. Adding a draw to one purpose therefore never moves another, a stream can be
//! opened at any step without replaying the earlier ones, and its position is a number that a checkpoint can
//! hold. How draws become numbers is written out here rather than taken from a library, because a library may
//! change it between versions; a known-answer test holds it still.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// Separates the keys of streams from those of derived seeds. A change to how draws become numbers has to
/// change these too, so that results made before and after cannot be mistaken for each other.
const STREAM_DOMAIN: &[u8] = b"mmcollapse stream 1";
const SEED_DOMAIN: &[u8] = b"mmcollapse seed 1";

/// SHA-256 of (domain, seed, purpose, index), each of a length that the others cannot shift.
fn digest(domain: &[u8], seed: u64, purpose: &str, index: u64) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(domain);
    hasher.update(seed.to_le_bytes());
    hasher.update((purpose.len() as u64).to_le_bytes());
    hasher.update(purpose.as_bytes());
    hasher.update(index.to_le_bytes());
    hasher.finalize().into()
}

/// A seed for a part that keeps streams of its own (a cell of a plan, a teacher of a student).
pub fn derive_seed(seed: u64, purpose: &str) -> u64 {
    let digest = digest(SEED_DOMAIN, seed, purpose, 0);
    let mut first = [0_u8; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

/// A reproducible sequence of random numbers.
#[derive(Clone, Debug)]
pub struct Stream {
    generator: ChaCha8Rng,
}

impl Stream {
    /// The stream of `purpose`; the same as [`Stream::at`] with index 0.
    pub fn new(seed: u64, purpose: &str) -> Self {
        Self::at(seed, purpose, 0)
    }

    /// The stream of `purpose` at `index`, such as an epoch or an optimizer step.
    pub fn at(seed: u64, purpose: &str, index: u64) -> Self {
        let key = digest(STREAM_DOMAIN, seed, purpose, index);
        Self {
            generator: ChaCha8Rng::from_seed(key),
        }
    }

    /// Where the stream stands, in words of 32 bits from its start.
    pub fn position(&self) -> u128 {
        self.generator.get_word_pos()
    }

    /// Moves to a [`Stream::position`], from which the draws go on as they did there.
    pub fn seek(&mut self, position: u128) {
        self.generator.set_word_pos(position);
    }

    /// Sixty-four random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// Uniform on `[0, 1)`, a multiple of 2^-53.
    fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform on `[lo, hi)`.
    pub fn uniform(&mut self, lo: f64, hi: f64) -> f64 {
        lo + (hi - lo) * self.unit()
    }

    /// Normal with mean 0 and standard deviation 1 (Box and Muller 1958).
    ///
    /// The second number that the transform offers is left unused: keeping it would make the stream more than
    /// its position.
    pub fn normal(&mut self) -> f64 {
        // 1 - u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        radius * libm::cos(TAU * self.unit())
    }

    /// Uniform on `0..n`, without bias (Lemire 2019); 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            // The lowest `threshold` products would make some numbers likelier than others: draw again.
            let threshold = n.wrapping_neg().checked_rem(n).unwrap_or(0);
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as usize
    }

    /// True with probability `p`.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Shuffles in place, every order equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }

    /// The numbers `0..n` in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    /// `n` draws of [`Stream::uniform`], rounded to f32.
    pub fn uniform_vec(&mut self, n: usize, lo: f64, hi: f64) -> Vec<f32> {
        (0..n).map(|_| self.uniform(lo, hi) as f32).collect()
    }

    /// `n` draws of [`Stream::normal`], rounded to f32.
    pub fn normal_vec(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal() as f32).collect()
    }

    /// `k` different numbers of `0..n` in random order; all `n` of them where `k` is larger.
    pub fn choose_distinct(&mut self, n: usize, k: usize) -> Vec<usize> {
        let k = k.min(n);
        if k >= n / 4 {
            let mut order: Vec<usize> = (0..n).collect();
            for place in 0..k {
                let other = place + self.below(n - place);
                order.swap(place, other);
            }
            order.truncate(k);
            return order;
        }
        // The same swaps and so the same answer, but only the places that were touched are kept.
        let mut moved = BTreeMap::new();
        (0..k)
            .map(|place| {
                let other = place + self.below(n - place);
                let here = moved.get(&place).copied().unwrap_or(place);
                moved.insert(other, here).unwrap_or(other)
            })
            .collect()
    }

    /// `n` independent values that are `value` with probability `keep` (in steps of 2^-32) and 0 otherwise.
    ///
    /// Half the random bits and none of the arithmetic of [`Stream::bernoulli`]: dropout draws millions.
    pub fn mask_vec(&mut self, n: usize, keep: f64, value: f32) -> Vec<f32> {
        let threshold = (keep.clamp(0.0, 1.0) * 2_f64.powi(32)) as u64;
        let mut values = vec![0.0; n];
        // By blocks: the words of single calls, but checks once a block.
        let mut words = [0_u8; 4 * 256];
        for values in values.chunks_mut(256) {
            let words = &mut words[..4 * values.len()];
            self.generator.fill_bytes(words);
            for (kept, word) in values.iter_mut().zip(words.as_chunks::<4>().0) {
                // A product rather than a branch, which would be mispredicted half of the time.
                let keeps = u64::from(u32::from_le_bytes(*word)) < threshold;
                *kept = f32::from(u8::from(keeps)) * value;
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::{RngCore, *};
    use proptest::prelude::*;
    use serde_json::Value;

    /// Computed by a ChaCha8 and the algorithms above written out in Python: scripts/fixtures_losses.py.
    fn known() -> Value {
        serde_json::from_str(include_str!("../tests/fixtures/streams.json")).unwrap()
    }

    fn integers(value: &Value) -> Vec<u64> {
        let items = value.as_array().unwrap().iter();
        items
            .map(|item| match item {
                Value::String(text) => text.parse().unwrap(),
                number => number.as_u64().unwrap(),
            })
            .collect()
    }

    #[test]
    fn draws_are_the_same_in_every_version() {
        let known = known();
        let mut stream = Stream::at(7, "shuffle", 3);
        let words: Vec<u64> = (0..20).map(|_| stream.next_u64()).collect();
        assert_eq!(words, integers(&known["words"]));

        let mut stream = Stream::new(0, "noise");
        for expected in known["uniforms"].as_array().unwrap() {
            assert_eq!(stream.uniform(-2.0, 3.0), expected.as_f64().unwrap());
        }
        for expected in known["normals"].as_array().unwrap() {
            // Logarithm and cosine may differ in the last bit between mathematical libraries.
            assert!((stream.normal() - expected.as_f64().unwrap()).abs() < 1e-14);
        }

        let mut stream = Stream::at(u64::MAX, "größe", 1 << 63);
        let below = [1, 2, 10, 1000, (1 << 63) + 1, 1 << 40].map(|n| stream.below(n) as u64);
        assert_eq!(below.to_vec(), integers(&known["below"]));
        assert_eq!(stream.position(), u128::from(known["position"].as_u64().unwrap()));

        let as_u64 = |v: Vec<usize>| v.into_iter().map(|v| v as u64).collect::<Vec<_>>();
        let order = Stream::at(1, "order", 5).permutation(17);
        assert_eq!(as_u64(order), integers(&known["permutation"]));
        let few = Stream::new(1, "few").choose_distinct(1000, 9);
        assert_eq!(as_u64(few), integers(&known["choose_few"]));
        let many = Stream::new(1, "many").choose_distinct(12, 9);
        assert_eq!(as_u64(many), integers(&known["choose_many"]));
        let mask = Stream::new(3, "mask").mask_vec(40, 0.25, 1.0);
        let mask: Vec<u64> = mask.into_iter().map(|v| v as u64).collect();
        assert_eq!(mask, integers(&known["mask"]));
        assert_eq!(derive_seed(7, "cell").to_string(), known["derived"]);
    }

    #[test]
    fn a_mask_takes_one_word_after_the_other() {
        let mut stream = Stream::new(3, "words");
        let mut words = stream.clone();
        for n in [1, 255, 256, 700] {
            let mask = stream.mask_vec(n, 0.3, 2.0);
            let threshold = (0.3 * 2_f64.powi(32)) as u64;
            let expected = (0..n).map(|_| {
                if u64::from(words.generator.next_u32()) < threshold {
                    2.0
                } else {
                    0.0
                }
            });
            assert_eq!(mask, expected.collect::<Vec<f32>>());
            assert_eq!(stream.position(), words.position());
        }
    }

    #[test]
    fn a_stream_goes_on_from_its_position() {
        let mut stream = Stream::at(5, "dropout", 9);
        stream.mask_vec(3, 0.5, 1.0);
        stream.normal();
        let position = stream.position();
        let expected = (stream.normal(), stream.permutation(50), stream.below(7));
        let mut again = Stream::at(5, "dropout", 9);
        again.seek(position);
        assert_eq!((again.normal(), again.permutation(50), again.below(7)), expected);
        assert_eq!(again.position(), stream.position());
    }

    #[test]
    fn seed_purpose_and_index_each_give_another_stream() {
        let first = |mut stream: Stream| stream.next_u64();
        let streams = [
            first(Stream::at(1, "a", 0)),
            first(Stream::at(2, "a", 0)),
            first(Stream::at(1, "b", 0)),
            first(Stream::at(1, "a", 1)),
            first(Stream::at(1, "a\0", 0)),
            derive_seed(1, "a"),
        ];
        for (i, a) in streams.iter().enumerate() {
            assert!(streams[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn streams_of_two_purposes_are_not_correlated() {
        let n = 20_000;
        let a = Stream::new(0, "init/encoder.weight").normal_vec(n);
        let b = Stream::new(0, "init/encoder.bias").normal_vec(n);
        let product: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a * b)).sum();
        // Standard deviation of the mean product: 1/sqrt(n).
        assert!((product / n as f64).abs() < 5.0 / (n as f64).sqrt());
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let n = 100_000_usize;
        let moments = |values: Vec<f32>| {
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
            let square = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n as f64;
            (mean, square - mean * mean)
        };
        let (mean, variance) = moments(Stream::new(1, "normal").normal_vec(n));
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        let (mean, variance) = moments(Stream::new(1, "uniform").uniform_vec(n, -1.0, 3.0));
        assert!((mean - 1.0).abs() < 0.02 && (variance - 16.0 / 12.0).abs() < 0.03);
        let (mean, _) = moments(Stream::new(1, "mask").mask_vec(n, 0.7, 1.0));
        assert!((mean - 0.7).abs() < 0.01, "{mean}");
        let mut stream = Stream::new(1, "bernoulli");
        let hits = (0..n).filter(|_| stream.bernoulli(0.3)).count();
        assert!((hits as f64 / n as f64 - 0.3).abs() < 0.01);
    }

    proptest! {
        #[test]
        fn choices_are_distinct_and_in_range(seed: u64, n in 0_usize..200, k in 0_usize..250) {
            let mut chosen = Stream::new(seed, "choose").choose_distinct(n, k);
            prop_assert_eq!(chosen.len(), k.min(n));
            chosen.sort_unstable();
            prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(chosen.iter().all(|&v| v < n));
        }

        #[test]
        fn both_ways_to_choose_agree(seed: u64, n in 40_usize..200, k in 1_usize..10) {
            // Few of many are chosen from a sparse list, and the first of a whole permutation the plain way.
            let sparse = Stream::new(seed, "choose").choose_distinct(n, k);
            let mut stream = Stream::new(seed, "choose");
            let mut order: Vec<usize> = (0..n).collect();
            for place in 0..k {
                let other = place + stream.below(n - place);
                order.swap(place, other);
            }
            prop_assert_eq!(&sparse[..], &order[..k]);
        }

        #[test]
        fn draws_lie_in_their_range(seed: u64, n in 1_usize..1_000_000) {
            let mut stream = Stream::new(seed, "range");
            prop_assert!(stream.below(n) < n);
            prop_assert!((2.0..3.0).contains(&stream.uniform(2.0, 3.0)));
            prop_assert!(stream.normal().is_finite());
            prop_assert!(!stream.bernoulli(0.0) && stream.bernoulli(1.0));
        }
    }

    #[test]
    fn nothing_to_choose_from_is_no_panic() {
        let mut stream = Stream::new(0, "empty");
        assert_eq!(stream.below(0), 0);
        assert!(stream.permutation(0).is_empty());
        assert!(stream.choose_distinct(0, 5).is_empty());
    }
}
