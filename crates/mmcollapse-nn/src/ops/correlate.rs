//! The arithmetic of the fused convolution, on the flat runs of [`super::planes`].
//!
//! Two register-blocked loops do all of it. [`correlate`] gives each row of the result as a weighted sum of
//! shifted runs: forward with the kernel, and the gradient of the input with the kernel flipped. [`multiply`]
//! gives the scalar product of every run of one set with every shifted run of another: the gradient of the
//! weights. Both hold a block of results in vector registers, so that most operands of the multiply-adds never
//! leave them; no patches are gathered.

use super::gemm::{Simd, WIDTH};
use super::planes::{LANES, SPAN, Span};

/// Rows of a block of [`correlate`], at most: with [`LANES`] columns, twelve of AVX2's sixteen registers.
const ROWS: usize = 6;

/// Rows and columns of a block of [`multiply`], at most. A sixth row would fit the registers too, but the compiler
/// then keeps some sums in memory, which halves the speed.
const PRODUCT_ROWS: usize = 5;
const COLUMNS: usize = 2;

/// Vectors in [`LANES`].
const VECTORS: usize = LANES / WIDTH;

/// Sizes of the blocks of up to `most` that `rows` rows are cut into, as even as can be.
fn blocks(rows: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = rows.div_ceil(most);
    (0..count).map(move |block| (rows + block) / count)
}

/// Numbers of several channels, each a run of `length`; position `p` of channel `c` is `values[c length + p]`.
#[derive(Clone, Copy)]
pub(super) struct Runs<'a> {
    pub values: &'a [f32],
    pub length: usize,
}

/// Weights in the order in which [`correlate`] reads them: for each block of rows, for each column, the rows of
/// the block.
pub(super) struct Packed {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Packed {
    /// A matrix of `rows x columns` given by its entries.
    pub fn new(rows: usize, columns: usize, entry: impl Fn(usize, usize) -> f32) -> Self {
        let mut values = Vec::with_capacity(rows * columns);
        let mut first = 0;
        for size in blocks(rows, ROWS) {
            for column in 0..columns {
                values.extend((first..first + size).map(|row| entry(row, column)));
            }
            first += size;
        }
        Self { rows, columns, values }
    }
}

/// For each row `r` and position `p` of `spans`:
/// `out[r, p] = start[r] + sum over channels c and taps t of weights[r, (c, t)] runs[c, p + t]`.
///
/// `out` has runs of the same length.
#[inline(always)]
pub(super) fn correlate<S: Simd>(
    simd: S,
    weights: &Packed,
    start: Option<&[f32]>,
    runs: Runs<'_>,
    taps: &[usize],
    spans: &[Span],
    out: &mut [f32],
) {
    let positions = |span: &Span| (span.start..span.start + span.length).step_by(LANES);
    for position in spans.iter().flat_map(positions) {
        let shifted = Runs {
            values: &runs.values[position..],
            ..runs
        };
        let (mut row, mut packed) = (0, &weights.values[..]);
        for size in blocks(weights.rows, ROWS) {
            let (block, rest) = packed.split_at(size * weights.columns);
            packed = rest;
            let out = &mut out[row * runs.length + position..];
            let start = start.map(|start| &start[row..row + size]);
            match size {
                1 => tile::<1, S>(simd, block, start, shifted, taps, out),
                2 => tile::<2, S>(simd, block, start, shifted, taps, out),
                3 => tile::<3, S>(simd, block, start, shifted, taps, out),
                4 => tile::<4, S>(simd, block, start, shifted, taps, out),
                5 => tile::<5, S>(simd, block, start, shifted, taps, out),
                _ => tile::<6, S>(simd, block, start, shifted, taps, out),
            }
            row += size;
        }
    }
}

/// `R` rows and [`LANES`] positions of [`correlate`].
#[inline(always)]
fn tile<const R: usize, S: Simd>(
    simd: S,
    weights: &[f32],
    start: Option<&[f32]>,
    runs: Runs<'_>,
    taps: &[usize],
    out: &mut [f32],
) {
    let mut sums = [[simd.splat(0.0); VECTORS]; R];
    if let Some(start) = start {
        for (sum, &start) in sums.iter_mut().zip(start) {
            *sum = [simd.splat(start); VECTORS];
        }
    }
    let (weights, _) = weights.as_chunks::<R>();
    for (weights, channel) in weights.chunks_exact(taps.len()).zip(runs.values.chunks(runs.length)) {
        for (weights, &tap) in weights.iter().zip(taps) {
            // Runs extend beyond the last position by the largest tap.
            let (values, _) = channel[tap..tap + LANES].as_chunks::<WIDTH>();
            let mut vectors = [simd.splat(0.0); VECTORS];
            for v in 0..VECTORS {
                vectors[v] = simd.load(&values[v]);
            }
            for r in 0..R {
                let weight = simd.splat(weights[r]);
                for v in 0..VECTORS {
                    sums[r][v] = simd.multiply_add(weight, vectors[v], sums[r][v]);
                }
            }
        }
    }
    for (sum, out) in sums.iter().zip(out.chunks_mut(runs.length)) {
        for (&sum, out) in sum.iter().zip(out.as_chunks_mut::<WIDTH>().0) {
            simd.store(sum, out);
        }
    }
}

/// For each row `r` and column `(c, t)`:
/// `out[r, (c, t)] += sum over positions p of spans of gradients[r, p] runs[c, p + t]`.
///
/// Both have runs of one length; `offsets` holds `c length + t` for each column.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    simd: S,
    gradients: Runs<'_>,
    runs: Runs<'_>,
    offsets: &[usize],
    spans: &[Span],
    out: &mut [f32],
) {
    let rows = out.len() / offsets.len();
    let mut spans = spans;
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
        let mut row = 0;
        for size in blocks(rows, PRODUCT_ROWS) {
            let gradients = Runs {
                values: &gradients.values[row * gradients.length..],
                ..gradients
            };
            let out = &mut out[row * offsets.len()..];
            for (block, block_offsets) in offsets.chunks(COLUMNS).enumerate() {
                let columns = Columns {
                    runs: runs.values,
                    offsets: block_offsets,
                    first: COLUMNS * block,
                    count: offsets.len(),
                };
                match size {
                    1 => products::<1, S>(simd, gradients, columns, segment, out),
                    2 => products::<2, S>(simd, gradients, columns, segment, out),
                    3 => products::<3, S>(simd, gradients, columns, segment, out),
                    4 => products::<4, S>(simd, gradients, columns, segment, out),
                    _ => products::<5, S>(simd, gradients, columns, segment, out),
                }
            }
            row += size;
        }
    }
}

/// Some columns of [`multiply`].
#[derive(Clone, Copy)]
struct Columns<'a> {
    runs: &'a [f32],
    offsets: &'a [usize],
    /// Number of the first of them, and of all columns.
    first: usize,
    count: usize,
}

/// `R` rows and up to [`COLUMNS`] columns of [`multiply`], over the positions of `spans`.
#[inline(always)]
fn products<const R: usize, S: Simd>(
    simd: S,
    gradients: Runs<'_>,
    columns: Columns<'_>,
    spans: &[Span],
    out: &mut [f32],
) {
    if columns.offsets.len() == COLUMNS {
        dot::<R, COLUMNS, S>(simd, gradients, columns, spans, out);
    } else {
        for (i, offset) in columns.offsets.iter().enumerate() {
            let column = Columns {
                offsets: std::slice::from_ref(offset),
                first: columns.first + i,
                ..columns
            };
            dot::<R, 1, S>(simd, gradients, column, spans, out);
        }
    }
}

/// `R` rows and `C` columns of [`multiply`], over the positions of `spans`.
#[inline(always)]
fn dot<const R: usize, const C: usize, S: Simd>(
    simd: S,
    gradients: Runs<'_>,
    columns: Columns<'_>,
    spans: &[Span],
    out: &mut [f32],
) {
    let mut sums = [[simd.splat(0.0); C]; R];
    for &Span { start, length } in spans {
        let mut left: [&[[f32; WIDTH]]; R] = [&[]; R];
        for (r, row) in left.iter_mut().enumerate() {
            *row = gradients.values[r * gradients.length + start..][..length].as_chunks().0;
        }
        let mut right: [&[[f32; WIDTH]]; C] = [&[]; C];
        for (column, offset) in right.iter_mut().zip(columns.offsets) {
            *column = columns.runs[offset + start..][..length].as_chunks().0;
        }
        for block in 0..length / WIDTH {
            let mut factors = [simd.splat(0.0); C];
            for c in 0..C {
                factors[c] = simd.load(&right[c][block]);
            }
            for r in 0..R {
                let row = simd.load(&left[r][block]);
                for c in 0..C {
                    sums[r][c] = simd.multiply_add(row, factors[c], sums[r][c]);
                }
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            out[r * columns.count + columns.first + c] += simd.sum(sums[r][c]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gemm::{Kernel, portable, vectorized};
    use super::*;

    #[test]
    fn blocks_are_even_and_complete() {
        assert_eq!(blocks(5, 6).collect::<Vec<_>>(), [5]);
        assert_eq!(blocks(20, 6).collect::<Vec<_>>(), [5; 4]);
        assert_eq!(blocks(16, 5).collect::<Vec<_>>(), [4; 4]);
        for (rows, most) in (1..200).flat_map(|rows| [(rows, ROWS), (rows, PRODUCT_ROWS)]) {
            assert_eq!(blocks(rows, most).sum::<usize>(), rows);
            assert!(blocks(rows, most).all(|size| (1..=most).contains(&size)));
        }
    }

    /// Both kernels on made-up numbers: 7 rows, 3 channels, 2 taps, 32 positions.
    #[derive(Clone, Copy)]
    struct Both;

    impl Kernel for Both {
        type Output = (Vec<f32>, Vec<f32>);

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let number = |i: usize| ((i * 37 + 5) % 101) as f32 / 50.0 - 1.0;
            let numbers = |n: usize| (0..n).map(number).collect::<Vec<f32>>();
            let (length, taps) = (48, [0, 5]);
            let values = numbers(3 * length);
            let runs = Runs {
                values: &values,
                length,
            };
            let spans = [Span { start: 0, length: 32 }];
            let weights = Packed::new(7, 6, |row, column| number(row * 6 + column));
            let mut correlated = vec![0.0; 7 * length];
            correlate(simd, &weights, Some(&numbers(7)), runs, &taps, &spans, &mut correlated);
            let gradients = Runs {
                values: &correlated,
                length,
            };
            let offsets = [0, 5, 48, 53, 96, 101];
            let mut products = vec![0.0; 7 * 6];
            multiply(simd, gradients, runs, &offsets, &spans, &mut products);
            (correlated, products)
        }
    }

    #[test]
    fn every_machine_computes_the_same_up_to_rounding() {
        let (fast, plain) = (vectorized(Both), portable(Both));
        let pairs = fast.0.iter().zip(&plain.0).chain(fast.1.iter().zip(&plain.1));
        for (a, b) in pairs {
            assert!((a - b).abs() < 1e-4, "{a} and {b}");
        }
    }
}
