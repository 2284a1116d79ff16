//! The machine's vector units: matrix products through the `gemm` crate, and our own kernels compiled for the
//! instructions this machine has. The only module of the workspace with `unsafe` code.
#![expect(
    unsafe_code,
    reason = "calls into `gemm` and into functions compiled for AVX2; every call is checked here first"
)]

use std::marker::PhantomData;

use rayon::current_num_threads;

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
    // SAFETY: `out` has that many numbers, and it is borrowed mutably.
    unsafe { multiply(out.as_mut_ptr(), lhs, rhs, accumulate) };
}

/// `lhs rhs`, row-major, as [`gemm`] computes it, but into memory that nobody set to 0 before.
///
/// # Panics
/// As [`gemm`].
pub(crate) fn product(lhs: Matrix<'_>, rhs: Matrix<'_>) -> Vec<f32> {
    let length = lhs.rows * rhs.columns;
    let mut out = Vec::with_capacity(length);
    // SAFETY: there is room for that many numbers, and without `accumulate` every one of them is written and none read.
    unsafe {
        multiply(out.as_mut_ptr(), lhs, rhs, false);
        out.set_len(length);
    }
    out
}

/// # Safety
/// `out` has to point to `lhs.rows * rhs.columns` numbers that no one else uses; without `accumulate` they need no value.
unsafe fn multiply(out: *mut f32, lhs: Matrix<'_>, rhs: Matrix<'_>, accumulate: bool) {
    let (m, n, k) = (lhs.rows, rhs.columns, lhs.columns);
    assert_eq!(k, rhs.rows, "inner dimensions of a matrix product");
    let threads = current_num_threads();
    let parallelism = if threads > 1 {
        gemm::Parallelism::Rayon(threads)
    } else {
        gemm::Parallelism::None
    };
    // SAFETY: `Matrix` holds at least rows * columns values, its strides are those of a row-major matrix or of
    // its transpose, and the caller answers for `out`, so every address `gemm` computes lies in its slice. `out` is
    // the caller's alone, so it does not overlap the operands.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            n as isize,
            accumulate,
            lhs.values.as_ptr(),
            lhs.strides.1 as isize,
            lhs.strides.0 as isize,
            rhs.values.as_ptr(),
            rhs.strides.1 as isize,
            rhs.strides.0 as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// A computation worth compiling for the machine's vector instructions.
///
/// `run` and all it calls must be `#[inline(always)]`, else they are compiled for the oldest machine.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;

    /// Does it, with the instructions that `simd` stands for.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs a kernel with the best instructions the machine has.
pub(crate) fn vectorized<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if x86::has_avx512() {
            // SAFETY: the machine was just asked whether it has the instructions.
            return unsafe { x86::with_avx512(kernel) };
        }
        if x86::has_avx2() {
            // SAFETY: as above.
            return unsafe { x86::with_avx2(kernel) };
        }
    }
    kernel.run(Portable)
}

/// The vector instructions that a kernel is written in; a value of this type proves that the machine has them.
///
/// Compilers turn plain loops over small arrays into such instructions too, but not reliably: a block of six rows
/// came out at the machine's peak and one of five at a fifteenth of it.
pub(crate) trait Simd: Copy {
    /// [`Self::WIDTH`] numbers in a register.
    type Vector: Copy;

    /// [`Self::WIDTH`] numbers in memory.
    type Array: Copy;

    /// Numbers in a vector.
    const WIDTH: usize;

    /// The largest block of sums, in rows and vectors, that leaves registers for the operands: of weights times
    /// two vectors each, and of rows times columns where each step needs a vector of either.
    const WEIGHTED_ROWS: usize;
    /// See [`Self::WEIGHTED_ROWS`].
    const PRODUCT_BLOCK: (usize, usize);

    /// A slice as arrays, and without what does not fill one.
    fn arrays(values: &[f32]) -> &[Self::Array];

    /// A slice as arrays, and without what does not fill one.
    fn arrays_mut(values: &mut [f32]) -> &mut [Self::Array];

    /// The same number in all places.
    fn splat(self, value: f32) -> Self::Vector;

    /// The numbers of an array.
    fn load(self, values: &Self::Array) -> Self::Vector;

    /// Puts the numbers into an array.
    fn store(self, vector: Self::Vector, to: &mut Self::Array);

    /// `a b + c`, rounded once where the machine can.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// The sum of the numbers, always in the same order.
    fn sum(self, vector: Self::Vector) -> f32;
}

/// Two sets of slices of one length, walked together. A check in each round would be cheap, but with a way out in its
/// middle the compiler no longer keeps a loop's sums in registers.
pub(super) struct Together<'a, T, const N: usize, const M: usize> {
    starts: ([*const T; N], [*const T; M]),
    next: usize,
    length: usize,
    slices: PhantomData<&'a [T]>,
}

impl<'a, T, const N: usize, const M: usize> Together<'a, T, N, M> {
    /// Ends with the shortest slice.
    #[inline(always)]
    pub fn new(first: [&'a [T]; N], second: [&'a [T]; M]) -> Self {
        let lengths = first.iter().chain(&second).map(|slice| slice.len());
        Self {
            starts: (first.map(<[T]>::as_ptr), second.map(<[T]>::as_ptr)),
            next: 0,
            length: lengths.min().unwrap_or(0),
            slices: PhantomData,
        }
    }
}

impl<'a, T, const N: usize, const M: usize> Iterator for Together<'a, T, N, M> {
    type Item = ([&'a T; N], [&'a T; M]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let i = self.next;
        if i >= self.length {
            return None;
        }
        self.next += 1;
        // SAFETY: each slice is borrowed for `'a` and has more than `i` items, as `length` is the least of theirs.
        let item = |start: *const T| unsafe { &*start.add(i) };
        Some((self.starts.0.map(item), self.starts.1.map(item)))
    }
}

/// Whatever the compiler makes of arrays.
#[derive(Clone, Copy)]
struct Portable;

impl Simd for Portable {
    type Vector = [f32; 8];
    type Array = [f32; 8];

    const WIDTH: usize = 8;
    const WEIGHTED_ROWS: usize = 6;
    const PRODUCT_BLOCK: (usize, usize) = (6, 2);

    #[inline(always)]
    fn arrays(values: &[f32]) -> &[Self::Array] {
        values.as_chunks().0
    }

    #[inline(always)]
    fn arrays_mut(values: &mut [f32]) -> &mut [Self::Array] {
        values.as_chunks_mut().0
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        [value; 8]
    }

    #[inline(always)]
    fn load(self, values: &Self::Array) -> Self::Vector {
        *values
    }

    #[inline(always)]
    fn store(self, vector: Self::Vector, to: &mut Self::Array) {
        *to = vector;
    }

    #[inline(always)]
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, mut c: Self::Vector) -> Self::Vector {
        for i in 0..Self::WIDTH {
            // Without an instruction for it, `mul_add` is a call of the C library, a hundred times as slow.
            c[i] = if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                a[i].mul_add(b[i], c[i])
            } else {
                a[i] * b[i] + c[i]
            };
        }
        c
    }

    #[inline(always)]
    fn sum(self, v: Self::Vector) -> f32 {
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
}

/// Runs a kernel with each set of instructions that this machine has, to compare.
#[cfg(test)]
pub(crate) fn on_each_level<K: Kernel + Copy>(kernel: K) -> Vec<(&'static str, K::Output)> {
    let mut levels = vec![("portable", kernel.run(Portable))];
    #[cfg(target_arch = "x86_64")]
    {
        if x86::has_avx2() {
            // SAFETY: the machine was just asked whether it has the instructions.
            levels.push(("AVX2", unsafe { x86::with_avx2(kernel) }));
        }
        if x86::has_avx512() {
            // SAFETY: as above.
            levels.push(("AVX-512", unsafe { x86::with_avx512(kernel) }));
        }
    }
    levels
}

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests {
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
        // A sum of nothing is 0.
        assert_eq!(product(Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 2)), [0.0; 4]);
    }
}
