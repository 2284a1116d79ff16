//! Matrix products in f32 on the CPU, with the same bits on every machine.
//!
//! Each entry is one chain of fused multiply-adds over the inner dimension in its order, begun with what the entry held.
//! So it does not depend on how the product is cut into blocks, on the size of caches, or on the number of threads; the
//! `gemm` crate, which candle uses, takes its order from all three.
//!
//! The blocks are those of Goto and van de Geijn (2008): a block of entries stays in registers while a panel of the right
//! operand, which lies in the first-level cache, is walked down.
#![expect(
    unsafe_code,
    reason = "blocks of the result are no slices, and checks of every operand would take as long as the arithmetic"
)]

use std::cell::Cell;
use std::ops::Range;

use rayon::current_num_threads;

use super::correlate::blocks;
use super::fused;
use super::vector::{AT_ONCE, Kernel, Simd, unroll, vectorized};

/// A matrix seen in a slice of numbers: entry `(i, j)` is `values[i * strides.0 + j * strides.1]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    strides: (usize, usize),
}

impl<'a> Matrix<'a> {
    /// A matrix whose rows lie one after the other in `values`.
    ///
    /// # Panics
    /// If `values` is shorter than `rows * columns`.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert!(
            values.len() >= rows * columns,
            "too few values for a {rows} x {columns} matrix"
        );
        Self {
            values,
            rows,
            columns,
            strides: (columns, 1),
        }
    }

    /// The same numbers with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            strides: (self.strides.1, self.strides.0),
            ..self
        }
    }

    /// `count` of its rows from `first` on.
    fn some_rows(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.rows, "rows of a matrix");
        Self {
            values: self.values.get(first * self.strides.0..).unwrap_or_default(),
            rows: count,
            ..self
        }
    }

    /// `count` of its columns from `first` on.
    fn some_columns(self, first: usize, count: usize) -> Self {
        self.transposed().some_rows(first, count).transposed()
    }

    /// Where entry `(i, j)` lies.
    #[inline(always)]
    fn at(self, i: usize, j: usize) -> *const f32 {
        self.values
            .as_ptr()
            .wrapping_add(i * self.strides.0 + j * self.strides.1)
    }
}

/// `out = lhs rhs`, or `out += lhs rhs` where `accumulate`; `out` is row-major `[lhs rows, rhs columns]`.
///
/// Uses rayon's threads where the product is large; the order of each entry's sum does not depend on how many.
///
/// # Panics
/// If the inner dimensions differ or `out` has another length than the product: errors in this crate, not in
/// its input.
pub fn gemm(out: &mut [f32], lhs: Matrix<'_>, rhs: Matrix<'_>, accumulate: bool) {
    assert_eq!(out.len(), lhs.rows * rhs.columns, "length of a matrix product");
    let begin = if accumulate { Begin::Kept } else { Begin::Zero };
    // SAFETY: `out` has that many numbers, and it is borrowed mutably.
    unsafe { multiply(out.as_mut_ptr(), lhs, rhs, begin) };
}

/// What the sums of a product begin with.
#[derive(Clone, Copy)]
pub(crate) enum Begin<'a> {
    /// 0.
    Zero,
    /// What the result held.
    Kept,
    /// A number for each column.
    Columns(&'a [f32]),
    /// A number for each row.
    Rows(&'a [f32]),
}

impl Begin<'_> {
    /// Of the transposed product.
    fn transposed(self) -> Self {
        match self {
            Self::Columns(numbers) => Self::Rows(numbers),
            Self::Rows(numbers) => Self::Columns(numbers),
            other => other,
        }
    }

    /// Of the part of the result from row `row` and column `column` on.
    #[inline(always)]
    fn from(self, row: usize, column: usize) -> Self {
        match self {
            Self::Columns(numbers) => Self::Columns(&numbers[column..]),
            Self::Rows(numbers) => Self::Rows(&numbers[row..]),
            other => other,
        }
    }
}

/// `lhs rhs`, row-major, as [`gemm`] computes it, but into memory that nobody set to 0 before.
///
/// # Panics
/// As [`gemm`].
pub(crate) fn product(lhs: Matrix<'_>, rhs: Matrix<'_>) -> Vec<f32> {
    product_from(Begin::Zero, lhs, rhs)
}

/// [`product`], whose sums begin with 0 or with what belongs to each row or column.
///
/// # Panics
/// As [`gemm`]; also if there are not as many numbers as rows or columns, or for [`Begin::Kept`], as nothing was there.
pub(crate) fn product_from(begin: Begin<'_>, lhs: Matrix<'_>, rhs: Matrix<'_>) -> Vec<f32> {
    assert!(
        !matches!(begin, Begin::Kept),
        "a new matrix holds nothing to begin with"
    );
    let length = lhs.rows * rhs.columns;
    let mut out = Vec::with_capacity(length);
    // SAFETY: there is room for that many numbers, of which every one is written and none is read.
    unsafe {
        multiply(out.as_mut_ptr(), lhs, rhs, begin);
        out.set_len(length);
    }
    out
}

/// # Safety
/// `out` has to point to `lhs.rows * rhs.columns` numbers that no one else uses; they need no value but for [`Begin::Kept`].
unsafe fn multiply(out: *mut f32, lhs: Matrix<'_>, rhs: Matrix<'_>, begin: Begin<'_>) {
    let (m, n, k) = (lhs.rows, rhs.columns, lhs.columns);
    assert_eq!(k, rhs.rows, "inner dimensions of a matrix product");
    match begin {
        Begin::Columns(numbers) => assert_eq!(numbers.len(), n, "a number for each column of a matrix product"),
        Begin::Rows(numbers) => assert_eq!(numbers.len(), m, "a number for each row of a matrix product"),
        Begin::Zero | Begin::Kept => {}
    }
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        for place in 0..m * n {
            let value = match begin {
                Begin::Kept => return,
                Begin::Zero => 0.0,
                Begin::Columns(numbers) => numbers[place % n],
                Begin::Rows(numbers) => numbers[place / n],
            };
            // SAFETY: the caller answers for `out`.
            unsafe { out.add(place).write(value) };
        }
        return;
    }
    // A single column is a single row of the transposes, which fills the vectors.
    let (lhs, rhs, begin) = if n == 1 {
        (rhs.transposed(), lhs.transposed(), begin.transposed())
    } else {
        (lhs, rhs, begin)
    };
    let product = Product {
        out,
        pitch: rhs.columns,
        lhs,
        rhs,
        begin,
    };
    let (work, threads) = (m * n * k, current_num_threads());
    if threads == 1 || work < fused::WORTH_THREADS {
        return vectorized(product);
    }
    fused::map_parts(product.parts(threads), work, |_, part| vectorized(part));
}

/// A product, or a part of the result of one.
#[derive(Clone, Copy)]
struct Product<'a> {
    out: *mut f32,
    /// Numbers from one row of the result to the next.
    pitch: usize,
    lhs: Matrix<'a>,
    rhs: Matrix<'a>,
    begin: Begin<'a>,
}

// SAFETY: parts of a result have no number in common, and the operands are only read.
unsafe impl Send for Product<'_> {}

/// Columns of a part of the result are a multiple of this: two vectors on every machine.
const PART_COLUMNS: usize = 32;
/// Rows of a part of the result are a multiple of this: a block on every machine.
const PART_ROWS: usize = 12;

impl Product<'_> {
    /// About as many parts as there are threads, cut along the longer side of the result.
    fn parts(self, threads: usize) -> Vec<Self> {
        let (m, n) = (self.lhs.rows, self.rhs.columns);
        if n >= m {
            let size = n.div_ceil(threads).next_multiple_of(PART_COLUMNS);
            let part = |first| Self {
                out: self.out.wrapping_add(first),
                rhs: self.rhs.some_columns(first, size.min(n - first)),
                begin: self.begin.from(0, first),
                ..self
            };
            (0..n).step_by(size).map(part).collect()
        } else {
            let size = m.div_ceil(threads).next_multiple_of(PART_ROWS);
            let part = |first| Self {
                out: self.out.wrapping_add(first * self.pitch),
                lhs: self.lhs.some_rows(first, size.min(m - first)),
                begin: self.begin.from(first, 0),
                ..self
            };
            (0..m).step_by(size).map(part).collect()
        }
    }
}

/// Inner dimension that is walked down at a time: a panel of the right operand takes half of a first-level cache.
const DEPTH: usize = 256;
/// Rows of the left operand that are walked through for each panel: they stay in the second-level cache.
const ROWS: usize = 192;
/// Columns of the right operand that are packed at a time.
const COLUMNS: usize = 1024;
/// The largest block of rows.
const MOST_ROWS: usize = 12;
/// Rows of a block beside a single vector of columns: so many sums hide the time each takes.
const ROWS_OF_ONE: usize = 8;
/// Blocks of rows from which on packing the right operand pays where it could be read as it lies.
const WORTH_PACKING: usize = 8;
/// Panels from which on packing the left operand pays where its rows lie one number after the other.
const MANY_PANELS: usize = 32;

thread_local! {
    /// Memory for packed operands, kept from product to product.
    static PACKED: Cell<(Vec<f32>, Vec<f32>)> = const { Cell::new((Vec::new(), Vec::new())) };
}

/// `length` numbers of a buffer that begin with a line of the cache.
fn aligned(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    const LINE: usize = 64;
    let spare = LINE / size_of::<f32>();
    if buffer.len() < length + spare {
        *buffer = vec![0.0; length + spare];
    }
    let start = buffer.as_ptr().align_offset(LINE).min(spare);
    &mut buffer[start..start + length]
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (m, n, k) = (self.lhs.rows, self.rhs.columns, self.lhs.columns);
        let wide = 2 * S::WIDTH;
        let most = if n <= S::WIDTH && S::WEIGHTED_ROWS >= 6 {
            S::WEIGHTED_ROWS.max(ROWS_OF_ONE)
        } else {
            S::WEIGHTED_ROWS
        };
        let pack_rhs = self.rhs.strides.1 != 1 || m >= WORTH_PACKING * most;
        let pack_lhs = if self.lhs.strides.1 == 1 {
            n >= MANY_PANELS * wide
        } else {
            n > wide
        };
        let (mut left, mut right) = PACKED.take();
        for first_column in (0..n).step_by(COLUMNS) {
            let columns = COLUMNS.min(n - first_column);
            for first in (0..k).step_by(DEPTH) {
                let depth = DEPTH.min(k - first);
                let begin = if first == 0 { self.begin } else { Begin::Kept };
                let panels = aligned(&mut right, depth * columns.next_multiple_of(wide));
                for (panel, packed) in panels.chunks_exact_mut(depth * wide).enumerate() {
                    let count = wide.min(columns - panel * wide);
                    // The last panel is filled up with zeros, as vectors are loaded whole.
                    if pack_rhs || !count.is_multiple_of(S::WIDTH) {
                        let from = self.rhs.at(first, first_column + panel * wide);
                        // SAFETY: `depth` rows and `count` columns of the right operand lie there.
                        unsafe { pack_columns(simd, packed, from, self.rhs.strides, (depth, count)) };
                    }
                }
                for first_row in (0..m).step_by(ROWS) {
                    let rows = ROWS.min(m - first_row);
                    let mut packed_rows: &[f32] = &[];
                    if pack_lhs {
                        let packed = aligned(&mut left, rows * depth);
                        // SAFETY: `rows` rows and `depth` columns of the left operand lie there.
                        unsafe {
                            pack_rows(
                                packed,
                                self.lhs.at(first_row, first),
                                self.lhs.strides,
                                (rows, depth),
                                most,
                            );
                        };
                        packed_rows = packed;
                    }
                    for (panel, packed) in panels.chunks_exact(depth * wide).enumerate() {
                        let column = first_column + panel * wide;
                        let count = wide.min(columns - panel * wide);
                        let (right, right_pitch) = if pack_rhs || !count.is_multiple_of(S::WIDTH) {
                            (packed.as_ptr(), wide)
                        } else {
                            (self.rhs.at(first, column), self.rhs.strides.0)
                        };
                        let mut row = 0;
                        for size in blocks(rows, most) {
                            let block = Block {
                                depth,
                                left: if pack_lhs {
                                    packed_rows[row * depth..].as_ptr()
                                } else {
                                    self.lhs.at(first_row + row, first)
                                },
                                left_strides: self.lhs.strides,
                                right,
                                right_pitch,
                                out: self.out.wrapping_add((first_row + row) * self.pitch + column),
                                pitch: self.pitch,
                                count,
                                begin: begin.from(first_row + row, column),
                            };
                            // SAFETY: the block lies in the product: `size` rows from `row` on and `count` columns from
                            // `column` on, of operands that hold them or of packed copies.
                            unsafe {
                                match (count > S::WIDTH, pack_lhs) {
                                    (true, true) => block.rows::<2, true, S>(simd, size),
                                    (true, false) => block.rows::<2, false, S>(simd, size),
                                    (false, true) => block.rows::<1, true, S>(simd, size),
                                    (false, false) => block.rows::<1, false, S>(simd, size),
                                }
                            }
                            row += size;
                        }
                    }
                }
            }
        }
        PACKED.set((left, right));
    }
}

/// Copies `[depth, count]` numbers so that the rows lie one after the other, filled up with zeros.
///
/// # Safety
/// The numbers lie at `from`, with these strides of which one is 1.
#[inline(always)]
unsafe fn pack_columns<S: Simd>(
    simd: S,
    packed: &mut [f32],
    from: *const f32,
    strides: (usize, usize),
    (depth, count): (usize, usize),
) {
    let wide = packed.len() / depth;
    if strides.1 == 1 {
        for (p, row) in packed.chunks_exact_mut(wide).enumerate() {
            // SAFETY: the caller's.
            let numbers = unsafe { std::slice::from_raw_parts(from.add(p * strides.0), count) };
            if count == wide {
                row.copy_from_slice(numbers);
            } else {
                row[..count].copy_from_slice(numbers);
                row[count..].fill(0.0);
            }
        }
        return;
    }
    if count < wide {
        packed.fill(0.0);
    }
    let mut first = 0;
    while first + AT_ONCE <= count {
        let mut p = 0;
        while p + AT_ONCE <= depth {
            let to = packed.as_mut_ptr().wrapping_add(p * wide + first);
            // SAFETY: the caller's: as many columns of as many numbers each, and as many rows of the panel.
            unsafe { simd.copy_turned(from.add(p + first * strides.1), strides.1, to, wide) };
            p += AT_ONCE;
        }
        // SAFETY: the caller's, for what the squares leave.
        unsafe { pack_some(packed, wide, from, strides.1, (first..first + AT_ONCE, p..depth)) };
        first += AT_ONCE;
    }
    // SAFETY: as above.
    unsafe { pack_some(packed, wide, from, strides.1, (first..count, 0..depth)) };
}

/// Copies some columns number by number.
///
/// # Safety
/// Those columns and rows lie at `from`, columns `pitch` apart, and in the panel.
#[inline(always)]
unsafe fn pack_some(
    packed: &mut [f32],
    wide: usize,
    from: *const f32,
    pitch: usize,
    (columns, rows): (Range<usize>, Range<usize>),
) {
    for j in columns {
        for p in rows.clone() {
            // SAFETY: the caller's.
            unsafe { *packed.get_unchecked_mut(p * wide + j) = *from.add(p + j * pitch) };
        }
    }
}

/// Copies `[rows, depth]` numbers so that those of a block lie one after the other for each step of the inner dimension.
///
/// # Safety
/// The numbers lie at `from`, with these strides of which one is 1.
#[inline(always)]
unsafe fn pack_rows(
    packed: &mut [f32],
    from: *const f32,
    strides: (usize, usize),
    (rows, depth): (usize, usize),
    most: usize,
) {
    let (mut rest, mut row) = (packed, 0);
    for size in blocks(rows, most) {
        let (block, others) = rest.split_at_mut(size * depth);
        rest = others;
        let from = from.wrapping_add(row * strides.0);
        if strides.1 == 1 {
            for i in 0..size {
                for p in 0..depth {
                    // SAFETY: the caller's; `p < depth` and `i < size`.
                    unsafe { *block.get_unchecked_mut(p * size + i) = *from.add(i * strides.0 + p) };
                }
            }
        } else {
            for (p, numbers) in block.chunks_exact_mut(size).enumerate() {
                for (i, number) in numbers.iter_mut().enumerate() {
                    // SAFETY: as above.
                    *number = unsafe { *from.add(i + p * strides.1) };
                }
            }
        }
        row += size;
    }
}

/// A block of the result that stays in registers, for a part of the inner dimension.
#[derive(Clone, Copy)]
struct Block<'a> {
    depth: usize,
    left: *const f32,
    /// Strides of the left operand where it is read as it lies.
    left_strides: (usize, usize),
    right: *const f32,
    right_pitch: usize,
    out: *mut f32,
    pitch: usize,
    /// Columns, at most those of the vectors.
    count: usize,
    /// What the sums begin with, from the block's first row and column on.
    begin: Begin<'a>,
}

impl Block<'_> {
    /// `size` rows and `V` vectors of columns; the left operand is packed or lies as it was given.
    #[inline(always)]
    unsafe fn rows<const V: usize, const PACKED: bool, S: Simd>(self, simd: S, size: usize) {
        const { assert!(S::WEIGHTED_ROWS <= MOST_ROWS && S::WIDTH * V * MOST_ROWS <= SPARE) };
        // SAFETY: the caller's, for each number of rows.
        unsafe {
            match size {
                1 => self.whole::<1, V, PACKED, S>(simd),
                2 => self.whole::<2, V, PACKED, S>(simd),
                3 if S::WEIGHTED_ROWS >= 3 => self.whole::<3, V, PACKED, S>(simd),
                4 if S::WEIGHTED_ROWS >= 4 => self.whole::<4, V, PACKED, S>(simd),
                5 if S::WEIGHTED_ROWS >= 5 => self.whole::<5, V, PACKED, S>(simd),
                6 if S::WEIGHTED_ROWS >= 6 => self.whole::<6, V, PACKED, S>(simd),
                7 if S::WEIGHTED_ROWS >= 7 || (V == 1 && S::WEIGHTED_ROWS >= 6) => self.whole::<7, V, PACKED, S>(simd),
                8 if S::WEIGHTED_ROWS >= 8 || (V == 1 && S::WEIGHTED_ROWS >= 6) => self.whole::<8, V, PACKED, S>(simd),
                9 if S::WEIGHTED_ROWS >= 9 => self.whole::<9, V, PACKED, S>(simd),
                10 if S::WEIGHTED_ROWS >= 10 => self.whole::<10, V, PACKED, S>(simd),
                11 if S::WEIGHTED_ROWS >= 11 => self.whole::<11, V, PACKED, S>(simd),
                12 if S::WEIGHTED_ROWS >= 12 => self.whole::<12, V, PACKED, S>(simd),
                _ => unreachable!("a block has at most as many rows as WEIGHTED_ROWS says"),
            }
        }
    }

    /// `R` rows, by way of a copy where the columns do not fill the vectors.
    #[inline(always)]
    unsafe fn whole<const R: usize, const V: usize, const PACKED: bool, S: Simd>(self, simd: S) {
        let wide = V * S::WIDTH;
        if self.count == wide {
            // SAFETY: the caller's.
            return unsafe { self.run::<R, V, PACKED, S>(simd) };
        }
        let mut spare = [0.0; SPARE];
        let mut copy = Self {
            out: spare.as_mut_ptr(),
            pitch: wide,
            ..self
        };
        for row in 0..R {
            let from = match self.begin {
                Begin::Zero | Begin::Rows(_) => break,
                Begin::Kept => self.out.wrapping_add(row * self.pitch).cast_const(),
                Begin::Columns(numbers) => numbers[..self.count].as_ptr(),
            };
            copy.begin = Begin::Kept;
            // SAFETY: `count` numbers of each row of the result, where they have a value, or of the columns.
            unsafe { copy.out.add(row * wide).copy_from_nonoverlapping(from, self.count) };
        }
        // SAFETY: the copy holds `R` rows of whole vectors, and the right operand is packed so.
        unsafe { copy.run::<R, V, PACKED, S>(simd) };
        for row in 0..R {
            // SAFETY: as above.
            unsafe {
                let to = self.out.add(row * self.pitch);
                to.copy_from_nonoverlapping(copy.out.add(row * wide), self.count);
            }
        }
    }

    #[inline(always)]
    unsafe fn run<const R: usize, const V: usize, const PACKED: bool, S: Simd>(self, simd: S) {
        let at = |pointer: *const f32, v: usize| pointer.wrapping_add(v * S::WIDTH).cast::<S::Array>();
        let mut sums = [[simd.splat(0.0); V]; R];
        match self.begin {
            Begin::Zero => {}
            Begin::Kept => {
                unroll!(r in 0..R, at most 12: {
                    unroll!(v in 0..V, at most 4: {
                        // SAFETY: the caller's: whole vectors of `R` rows.
                        sums[r][v] = simd.load(unsafe { &*at(self.out.add(r * self.pitch), v) });
                    });
                });
            }
            Begin::Columns(numbers) => {
                let numbers = numbers[..V * S::WIDTH].as_ptr();
                unroll!(v in 0..V, at most 4: {
                    // SAFETY: there are as many.
                    let vector = simd.load(unsafe { &*at(numbers, v) });
                    unroll!(r in 0..R, at most 12: {
                        sums[r][v] = vector;
                    });
                });
            }
            Begin::Rows(numbers) => {
                let numbers = &numbers[..R];
                unroll!(r in 0..R, at most 12: {
                    unroll!(v in 0..V, at most 4: {
                        sums[r][v] = simd.splat(numbers[r]);
                    });
                });
            }
        }
        let (mut left, mut right) = (self.left, self.right);
        for _ in 0..self.depth {
            let mut vectors = [simd.splat(0.0); V];
            unroll!(v in 0..V, at most 4: {
                // SAFETY: the caller's: whole vectors of `depth` rows.
                vectors[v] = simd.load(unsafe { &*at(right, v) });
            });
            unroll!(r in 0..R, at most 12: {
                let offset = if PACKED { r } else { r * self.left_strides.0 };
                // SAFETY: the caller's: `R` numbers for each of `depth` steps.
                let factor = simd.splat(unsafe { *left.add(offset) });
                unroll!(v in 0..V, at most 4: {
                    sums[r][v] = simd.multiply_add(factor, vectors[v], sums[r][v]);
                });
            });
            left = left.wrapping_add(if PACKED { R } else { self.left_strides.1 });
            right = right.wrapping_add(self.right_pitch);
        }
        unroll!(r in 0..R, at most 12: {
            unroll!(v in 0..V, at most 4: {
                // SAFETY: as where they were loaded.
                simd.store(sums[r][v], unsafe { &mut *at(self.out.add(r * self.pitch), v).cast_mut() });
            });
        });
    }
}

/// Numbers of the largest block.
const SPARE: usize = MOST_ROWS * PART_COLUMNS;

#[cfg(test)]
mod tests {
    use super::super::vector::on_each_level;
    use super::*;

    #[test]
    fn products_of_views_and_their_transposes() {
        let a: Vec<f32> = (0..6).map(|v| v as f32).collect(); // [2, 3]
        let b: Vec<f32> = (0..12).map(|v| v as f32 - 5.0).collect(); // [3, 4]
        let mut plain = vec![0.0; 8];
        gemm(&mut plain, Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 4), false);
        assert_eq!(plain, [5.0, 8.0, 11.0, 14.0, -4.0, 8.0, 20.0, 32.0]); // numpy: a @ b
        let mut transposed = vec![1.0; 8];
        gemm(
            &mut transposed,
            Matrix::new(&b, 3, 4).transposed(),
            Matrix::new(&a, 2, 3).transposed(),
            true,
        );
        let expected: Vec<f32> = (0..4).flat_map(|j| [plain[j] + 1.0, plain[4 + j] + 1.0]).collect();
        assert_eq!(transposed, expected);
        assert_eq!(product(Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 4)), plain);
        let begun = product_from(
            Begin::Columns(&[1.0, 0.0, 0.0, -1.0]),
            Matrix::new(&a, 2, 3),
            Matrix::new(&b, 3, 4),
        );
        assert_eq!(begun, [6.0, 8.0, 11.0, 13.0, -3.0, 8.0, 20.0, 31.0]);
        let begun = product_from(Begin::Rows(&[3.0]), Matrix::new(&a, 1, 6), Matrix::new(&b, 6, 1));
        assert_eq!(begun, [-17.0]); // 3 + numpy: a.ravel() @ b.ravel()[:6]
        // A sum of nothing is 0, or what it begins with.
        let nothing = (Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 2));
        assert_eq!(
            product_from(Begin::Rows(&[1.0, 2.0]), nothing.0, nothing.1),
            [1.0, 1.0, 2.0, 2.0]
        );
        assert_eq!(
            product_from(Begin::Columns(&[1.0, 2.0]), nothing.0, nothing.1),
            [1.0, 2.0, 1.0, 2.0]
        );
        assert_eq!(product(Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 2)), [0.0; 4]);
        assert!(product(Matrix::new(&[], 0, 3), Matrix::new(&b, 3, 4)).is_empty());
    }

    fn numbers(n: usize, salt: usize) -> Vec<f32> {
        let mut state = salt as u32 + 1;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    /// A product of `[m, k]` and `[k, n]`, either operand stored as it is or transposed, cut into parts for 1 to 3 threads.
    #[derive(Clone, Copy, Debug)]
    struct Case {
        m: usize,
        n: usize,
        k: usize,
        across: (bool, bool),
        threads: usize,
        begin: &'static str,
    }

    impl Case {
        fn operands(self) -> (Vec<f32>, Vec<f32>) {
            (numbers(self.m * self.k, 1), numbers(self.k * self.n, 2))
        }

        fn views(self, (a, b): &(Vec<f32>, Vec<f32>)) -> (Matrix<'_>, Matrix<'_>) {
            let Self { m, n, k, across, .. } = self;
            let view = |values, rows, columns, across| {
                if across {
                    Matrix::new(values, columns, rows).transposed()
                } else {
                    Matrix::new(values, rows, columns)
                }
            };
            (view(a, m, k, across.0), view(b, k, n, across.1))
        }

        /// By the definition: a chain of fused multiply-adds.
        fn by_definition(self) -> Vec<f32> {
            let operands = self.operands();
            let (a, b) = self.views(&operands);
            let mut out = self.held();
            let ends = self.ends();
            let begin = self.begin(&ends);
            for (place, out) in out.iter_mut().enumerate() {
                let (i, j) = (place / self.n, place % self.n);
                let first = match begin {
                    Begin::Zero => 0.0,
                    Begin::Kept => *out,
                    Begin::Columns(numbers) => numbers[j],
                    Begin::Rows(numbers) => numbers[i],
                };
                *out = (0..self.k).fold(first, |sum, p| {
                    let value = |matrix: Matrix<'_>, i, j| matrix.values[i * matrix.strides.0 + j * matrix.strides.1];
                    value(a, i, p).mul_add(value(b, p, j), sum)
                });
            }
            out
        }

        /// What the result holds before.
        fn held(self) -> Vec<f32> {
            numbers(self.m * self.n, 3)
        }

        /// A number for each row or column.
        fn ends(self) -> Vec<f32> {
            numbers(if self.begin == "rows" { self.m } else { self.n }, 4)
        }

        fn begin(self, ends: &[f32]) -> Begin<'_> {
            match self.begin {
                "zero" => Begin::Zero,
                "kept" => Begin::Kept,
                "columns" => Begin::Columns(ends),
                _ => Begin::Rows(ends),
            }
        }
    }

    impl Kernel for Case {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Vec<f32> {
            let operands = self.operands();
            let (lhs, rhs) = self.views(&operands);
            let mut out = self.held();
            let ends = self.ends();
            let product = Product {
                out: out.as_mut_ptr(),
                pitch: self.n,
                lhs,
                rhs,
                begin: self.begin(&ends),
            };
            for part in product.parts(self.threads) {
                part.run(simd);
            }
            out
        }
    }

    #[test]
    fn every_machine_has_the_same_bits_however_a_product_is_cut() {
        let sizes = [
            (1, 1, 1),
            (1, 40, 7),
            (40, 1, 300),
            (1, 1, 700),
            (5, 3, 2),
            (7, 16, 9),
            (13, 33, 64),
            (25, 70, 257),
            (64, 10, 300),
            (200, 48, 30),
            (50, 1100, 5),
            (12, 32, 513),
        ];
        for (place, (m, n, k)) in sizes.into_iter().enumerate() {
            let ways = [(false, false), (false, true), (true, false), (true, true)];
            let begins = ["zero", "kept", "columns", "rows"];
            for (across, begin) in ways.into_iter().flat_map(|across| begins.map(|begin| (across, begin))) {
                let case = Case {
                    m,
                    n,
                    k,
                    across,
                    threads: 1 + place % 3,
                    begin,
                };
                let expected = case.by_definition();
                for (level, got) in on_each_level(case) {
                    let differ = got.iter().zip(&expected).position(|(a, b)| a.to_bits() != b.to_bits());
                    assert_eq!(differ, None, "{level}, {case:?}");
                }
            }
        }
    }

    #[test]
    fn what_the_program_runs_is_the_definition_on_several_threads() {
        let case = Case {
            m: 130,
            n: 150,
            k: 300,
            across: (false, true),
            threads: 1,
            begin: "kept",
        };
        let operands = case.operands();
        let (lhs, rhs) = case.views(&operands);
        for threads in [1, 2, 3] {
            let mut out = case.held();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| gemm(&mut out, lhs, rhs, true));
            assert_eq!(out, case.by_definition(), "{threads} threads");
        }
    }
}
