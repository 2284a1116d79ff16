//! The arithmetic of the fused convolution, on the flat runs of [`super::planes`].
//!
//! Two register-blocked loops do all of it. [`Correlate`] gives each row of the result as a weighted sum of
//! shifted runs: forward with the kernel, and the gradient of the input with the kernel flipped. [`Multiply`]
//! gives the scalar product of every run of one set with every shifted run of another: the gradient of the
//! weights. Both hold a block of results in vector registers, so that most operands of the multiply-adds never
//! leave them; no patches are gathered.

use super::planes::{SPAN, Span};
use super::vector::{Kernel, LANES, Simd, Together, sum_lanes, unroll, vectorized};

/// Sizes of the blocks of up to `most` that `rows` rows are cut into, as even as can be.
pub(super) fn blocks(rows: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = rows.div_ceil(most);
    (0..count).map(move |block| (rows + block) / count)
}

/// Numbers of several channels, each a run of `length`; position `p` of channel `c` is `values[c length + p]`.
#[derive(Clone, Copy)]
pub(super) struct Runs<'a> {
    pub values: &'a [f32],
    pub length: usize,
}

/// Weights in the order in which [`Correlate`] reads them: for each block of rows, for each column, the rows of
/// the block.
pub(super) struct Packed {
    /// Rows of a block, at most.
    most: usize,
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Packed {
    /// A matrix of `rows x columns` given by its entries, for this machine.
    pub fn new(rows: usize, columns: usize, entry: impl Fn(usize, usize) -> f32) -> Self {
        struct Most;
        impl Kernel for Most {
            type Output = usize;

            #[inline(always)]
            fn run<S: Simd>(self, _simd: S) -> usize {
                S::WEIGHTED_ROWS
            }
        }
        Self::in_blocks(vectorized(Most), rows, columns, entry)
    }

    fn in_blocks(most: usize, rows: usize, columns: usize, entry: impl Fn(usize, usize) -> f32) -> Self {
        let mut values = Vec::with_capacity(rows * columns);
        let mut first = 0;
        for size in blocks(rows, most) {
            for column in 0..columns {
                values.extend((first..first + size).map(|row| entry(row, column)));
            }
            first += size;
        }
        Self {
            most,
            rows,
            columns,
            values,
        }
    }
}

/// For each row `r` and position `p` of `spans`:
/// `out[r, p] = start[r] + sum over channels c and taps t of weights[r, (c, t)] runs[c, p + t]`.
///
/// `out` has runs of the same length.
pub(super) struct Correlate<'a> {
    pub weights: &'a Packed,
    pub start: Option<&'a [f32]>,
    pub runs: Runs<'a>,
    pub taps: &'a [usize],
    pub spans: &'a [Span],
    pub out: &'a mut [f32],
}

impl Kernel for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        for &Span { start, length } in self.spans {
            let (mut position, end) = (start, start + length);
            while position + 2 * S::WIDTH <= end {
                self.tiles::<2, S>(simd, position);
                position += 2 * S::WIDTH;
            }
            while position < end {
                self.tiles::<1, S>(simd, position);
                position += S::WIDTH;
            }
        }
    }
}

impl Correlate<'_> {
    /// All rows, and `V` vectors of positions.
    #[inline(always)]
    fn tiles<const V: usize, S: Simd>(&mut self, simd: S, position: usize) {
        const { assert!(LANES.is_multiple_of(S::WIDTH) && S::WEIGHTED_ROWS <= 12) };
        let (mut row, mut packed) = (0, &self.weights.values[..]);
        for size in blocks(self.weights.rows, self.weights.most) {
            let (weights, rest) = packed.split_at(size * self.weights.columns);
            packed = rest;
            let tile = Tile {
                weights,
                start: self.start.map(|start| &start[row..row + size]),
                runs: Runs {
                    values: &self.runs.values[position..],
                    ..self.runs
                },
                taps: self.taps,
                out: &mut self.out[row * self.runs.length + position..],
            };
            match size {
                1 => tile.run::<1, V, S>(simd),
                2 => tile.run::<2, V, S>(simd),
                3 => tile.run::<3, V, S>(simd),
                4 => tile.run::<4, V, S>(simd),
                5 => tile.run::<5, V, S>(simd),
                6 => tile.run::<6, V, S>(simd),
                7 if S::WEIGHTED_ROWS >= 7 => tile.run::<7, V, S>(simd),
                8 if S::WEIGHTED_ROWS >= 8 => tile.run::<8, V, S>(simd),
                9 if S::WEIGHTED_ROWS >= 9 => tile.run::<9, V, S>(simd),
                10 if S::WEIGHTED_ROWS >= 10 => tile.run::<10, V, S>(simd),
                11 if S::WEIGHTED_ROWS >= 11 => tile.run::<11, V, S>(simd),
                12 if S::WEIGHTED_ROWS >= 12 => tile.run::<12, V, S>(simd),
                _ => unreachable!("a block has at most WEIGHTED_ROWS rows"),
            }
            row += size;
        }
    }
}

/// A block of rows and a few positions of [`Correlate`].
struct Tile<'a> {
    weights: &'a [f32],
    start: Option<&'a [f32]>,
    runs: Runs<'a>,
    taps: &'a [usize],
    out: &'a mut [f32],
}

impl Tile<'_> {
    /// `R` rows and `V` vectors of positions.
    #[inline(always)]
    fn run<const R: usize, const V: usize, S: Simd>(self, simd: S) {
        let Self { runs, taps, .. } = self;
        let mut sums = [[simd.splat(0.0); V]; R];
        if let Some(start) = self.start {
            unroll!(r in 0..R, at most 12: {
                sums[r] = [simd.splat(start[r]); V];
            });
        }
        let (weights, _) = self.weights.as_chunks::<R>();
        for (weights, channel) in weights.chunks_exact(taps.len()).zip(runs.values.chunks(runs.length)) {
            for (weights, &tap) in weights.iter().zip(taps) {
                // Runs extend beyond the last position by the largest tap.
                let values = S::arrays(&channel[tap..tap + V * S::WIDTH]);
                let mut vectors = [simd.splat(0.0); V];
                unroll!(v in 0..V, at most 4: {
                    vectors[v] = simd.load(&values[v]);
                });
                unroll!(r in 0..R, at most 12: {
                    let weight = simd.splat(weights[r]);
                    unroll!(v in 0..V, at most 4: {
                        sums[r][v] = simd.multiply_add(weight, vectors[v], sums[r][v]);
                    });
                });
            }
        }
        let mut rows = self.out.chunks_mut(runs.length);
        unroll!(r in 0..R, at most 12: {
            let out = rows.next().map(|out| S::arrays_mut(out)).unwrap_or_default();
            unroll!(v in 0..V, at most 4: {
                simd.store(sums[r][v], &mut out[v]);
            });
        });
    }
}

/// For each row `r` and column `(c, t)`:
/// `out[r, (c, t)] += sum over positions p of spans of gradients[r, p] runs[c, p + t]`.
///
/// Both have runs of one length; `offsets` holds `c length + t` for each column.
pub(super) struct Multiply<'a> {
    pub gradients: Runs<'a>,
    pub runs: Runs<'a>,
    pub offsets: &'a [usize],
    pub spans: &'a [Span],
    pub out: &'a mut [f32],
}

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let mut spans = self.spans;
        while !spans.is_empty() {
            // As many spans as keep a block's operands in the first-level cache.
            let mut length = 0;
            let count = spans
                .iter()
                .take_while(|span| {
                    let more = length < SPAN;
                    length += span.length;
                    more
                })
                .count();
            let (segment, rest) = spans.split_at(count);
            spans = rest;
            self.segment(simd, segment);
        }
    }
}

impl Multiply<'_> {
    /// The share of some spans.
    #[inline(always)]
    fn segment<S: Simd>(&mut self, simd: S, spans: &[Span]) {
        const { assert!(S::PRODUCT_BLOCK.0 <= 6 && S::PRODUCT_BLOCK.1 <= 4) };
        let rows = self.out.len() / self.offsets.len();
        let mut row = 0;
        for size in blocks(rows, S::PRODUCT_BLOCK.0) {
            let block = Block {
                gradients: Runs {
                    values: &self.gradients.values[row * self.gradients.length..],
                    ..self.gradients
                },
                runs: self.runs.values,
                offsets: self.offsets,
                spans,
                out: &mut self.out[row * self.offsets.len()..],
            };
            match size {
                1 => block.run::<1, S>(simd),
                2 => block.run::<2, S>(simd),
                3 => block.run::<3, S>(simd),
                4 => block.run::<4, S>(simd),
                5 => block.run::<5, S>(simd),
                6 if S::PRODUCT_BLOCK.0 >= 6 => block.run::<6, S>(simd),
                _ => unreachable!("a block has at most as many rows as PRODUCT_BLOCK says"),
            }
            row += size;
        }
    }
}

/// A block of rows of [`Multiply`].
struct Block<'a> {
    gradients: Runs<'a>,
    runs: &'a [f32],
    offsets: &'a [usize],
    spans: &'a [Span],
    out: &'a mut [f32],
}

impl Block<'_> {
    /// `R` rows and all columns.
    #[inline(always)]
    fn run<const R: usize, S: Simd>(mut self, simd: S) {
        let mut column = 0;
        while column < self.offsets.len() {
            let most = S::PRODUCT_BLOCK.1.min(self.offsets.len() - column);
            column += match most {
                4.. if S::PRODUCT_BLOCK.1 >= 4 => self.columns::<R, 4, S>(simd, column),
                2.. => self.columns::<R, 2, S>(simd, column),
                _ => self.columns::<R, 1, S>(simd, column),
            };
        }
    }

    /// `R` rows and `C` columns from `first` on; returns `C`.
    #[inline(always)]
    fn columns<const R: usize, const C: usize, S: Simd>(&mut self, simd: S, first: usize) -> usize {
        // Sixteen partial sums on every machine: where a vector holds eight, one half of them after the other.
        let halves = LANES / S::WIDTH;
        let mut lanes = [[[0.0; LANES]; C]; R];
        for half in 0..halves {
            let mut sums = [[simd.splat(0.0); C]; R];
            for &Span { start, length } in self.spans {
                let mut left: [&[S::Array]; R] = [&[]; R];
                for (r, row) in left.iter_mut().enumerate() {
                    *row = S::arrays(&self.gradients.values[r * self.gradients.length + start..][..length]);
                }
                let mut right: [&[S::Array]; C] = [&[]; C];
                for (column, offset) in right.iter_mut().zip(&self.offsets[first..]) {
                    *column = S::arrays(&self.runs[offset + start..][..length]);
                }
                // Sums of their own for each span: over two nested loops the compiler does not keep them in registers.
                let mut parts = [[simd.splat(0.0); C]; R];
                for (rows, columns) in Together::new(left, right, (half, halves)) {
                    let mut factors = [simd.splat(0.0); C];
                    unroll!(c in 0..C, at most 4: {
                        factors[c] = simd.load(columns[c]);
                    });
                    unroll!(r in 0..R, at most 12: {
                        let row = simd.load(rows[r]);
                        unroll!(c in 0..C, at most 4: {
                            parts[r][c] = simd.multiply_add(row, factors[c], parts[r][c]);
                        });
                    });
                }
                let one = simd.splat(1.0);
                unroll!(r in 0..R, at most 12: {
                    unroll!(c in 0..C, at most 4: {
                        sums[r][c] = simd.multiply_add(parts[r][c], one, sums[r][c]);
                    });
                });
            }
            unroll!(r in 0..R, at most 12: {
                unroll!(c in 0..C, at most 4: {
                    simd.store(sums[r][c], &mut S::arrays_mut(&mut lanes[r][c])[half]);
                });
            });
        }
        unroll!(r in 0..R, at most 12: {
            unroll!(c in 0..C, at most 4: {
                self.out[r * self.offsets.len() + first + c] += sum_lanes(&lanes[r][c]);
            });
        });
        C
    }
}

#[cfg(test)]
mod tests {
    use super::super::vector::on_each_level;
    use super::*;

    #[test]
    fn blocks_are_even_and_complete() {
        assert_eq!(blocks(5, 6).collect::<Vec<_>>(), [5]);
        assert_eq!(blocks(20, 6).collect::<Vec<_>>(), [5; 4]);
        assert_eq!(blocks(16, 5).collect::<Vec<_>>(), [4; 4]);
        for (rows, most) in (1..200).flat_map(|rows| [5, 6, 12].map(|most| (rows, most))) {
            assert_eq!(blocks(rows, most).sum::<usize>(), rows);
            assert!(blocks(rows, most).all(|size| (1..=most).contains(&size)));
        }
    }

    /// Both kernels on made-up numbers: some rows, 3 channels, 2 taps, spans that are no multiple of 32.
    #[derive(Clone, Copy)]
    struct Both {
        rows: usize,
    }

    const LENGTH: usize = 96;
    const TAPS: [usize; 2] = [0, 5];
    const SPANS: [Span; 2] = [Span { start: 0, length: 48 }, Span { start: 64, length: 16 }];

    fn numbers(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 + 5) % 101) as f32 / 50.0 - 1.0).collect()
    }

    impl Kernel for Both {
        type Output = (Vec<f32>, Vec<f32>);

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let (values, weights) = (numbers(3 * LENGTH), numbers(self.rows * 6));
            let start = numbers(self.rows);
            let runs = Runs {
                values: &values,
                length: LENGTH,
            };
            let mut correlated = vec![0.0; self.rows * LENGTH];
            Correlate {
                weights: &Packed::in_blocks(S::WEIGHTED_ROWS, self.rows, 6, |row, column| weights[row * 6 + column]),
                start: Some(&start),
                runs,
                taps: &TAPS,
                spans: &SPANS,
                out: &mut correlated,
            }
            .run(simd);
            let mut products = vec![1.0; self.rows * 6];
            Multiply {
                gradients: Runs {
                    values: &correlated,
                    length: LENGTH,
                },
                runs,
                offsets: &[0, 5, LENGTH, LENGTH + 5, 2 * LENGTH, 2 * LENGTH + 5],
                spans: &SPANS,
                out: &mut products,
            }
            .run(simd);
            (correlated, products)
        }
    }

    /// The same by the definitions, in f64.
    fn by_definition(rows: usize) -> (Vec<f64>, Vec<f64>) {
        let f64s = |n| numbers(n).into_iter().map(f64::from).collect::<Vec<_>>();
        let (values, weights, start) = (f64s(3 * LENGTH), f64s(rows * 6), f64s(rows));
        let positions = || SPANS.iter().flat_map(|span| span.start..span.start + span.length);
        let value = |column: usize, p: usize| values[column / 2 * LENGTH + p + TAPS[column % 2]];
        let mut correlated = vec![0.0; rows * LENGTH];
        let mut products = vec![1.0; rows * 6];
        for row in 0..rows {
            for p in positions() {
                let sum: f64 = (0..6).map(|column| weights[row * 6 + column] * value(column, p)).sum();
                correlated[row * LENGTH + p] = start[row] + sum;
            }
            for column in 0..6 {
                let sum: f64 = positions()
                    .map(|p| correlated[row * LENGTH + p] * value(column, p))
                    .sum();
                products[row * 6 + column] += sum;
            }
        }
        (correlated, products)
    }

    #[test]
    fn every_machine_has_the_same_bits() {
        for rows in 1..=26 {
            let levels = on_each_level(Both { rows });
            let bits = |(correlated, products): &(Vec<f32>, Vec<f32>)| -> Vec<u32> {
                correlated.iter().chain(products).map(|value| value.to_bits()).collect()
            };
            for (level, numbers) in &levels[1..] {
                assert_eq!(bits(numbers), bits(&levels[0].1), "{level}, {rows} rows");
            }
        }
    }

    #[test]
    fn every_machine_computes_the_definition_up_to_rounding() {
        for rows in 1..=26 {
            let expected = by_definition(rows);
            for (level, (correlated, products)) in on_each_level(Both { rows }) {
                let pairs = correlated
                    .iter()
                    .zip(&expected.0)
                    .chain(products.iter().zip(&expected.1));
                for (a, b) in pairs {
                    assert!((f64::from(*a) - b).abs() < 1e-4, "{level}, {rows} rows: {a} and {b}");
                }
            }
        }
    }
}
