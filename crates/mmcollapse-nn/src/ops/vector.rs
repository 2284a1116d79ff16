//! The machine's vector units: our own kernels compiled for the instructions this machine has, always with the same bits.
//!
//! Every level computes each number by the same chain of fused multiply-adds, and each sum by the same sixteen partial
//! sums ([`sum_lanes`]), so that a result does not depend on the machine. The one exception are x86-64 processors without
//! FMA: there the automatic choice rounds a product before it is added, because an exact multiply-add in software is a
//! hundred times as slow.
#![expect(
    unsafe_code,
    reason = "calls functions compiled for AVX2 and AVX-512, and walks slices without checks; every call is checked here first"
)]

use std::marker::PhantomData;
use std::sync::OnceLock;

/// Environment variable that chooses the vector unit: `avx512`, `avx2` or `portable`.
pub const VECTOR_VARIABLE: &str = "MMCOLLAPSE_VECTOR";

/// Partial sums of every sum over positions, on every level.
pub(crate) const LANES: usize = 16;

/// Rows and columns of the square that [`Simd::copy_turned`] copies.
pub(super) const AT_ONCE: usize = 8;

/// The sum of sixteen partial sums, always in the same order.
#[inline(always)]
pub(crate) fn sum_lanes(lanes: &[f32; LANES]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| lanes[i] + lanes[i + 8]);
    let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// The instructions that kernels are run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the compiler makes of arrays, multiply-adds rounded once.
    Portable,
    /// The same with products rounded before they are added: other bits.
    Unfused,
}

/// Whether `f32::mul_add` is an instruction wherever this program runs.
const FUSED_EVERYWHERE: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

/// The best level of this machine.
fn best() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        if x86::has_avx512() {
            return Level::Avx512;
        }
        if x86::has_avx2() {
            return Level::Avx2;
        }
    }
    if FUSED_EVERYWHERE {
        Level::Portable
    } else {
        Level::Unfused
    }
}

/// The level that a value of [`VECTOR_VARIABLE`] asks for.
fn named(name: &str) -> Result<Level, String> {
    let here = |level, there: bool| {
        if there {
            return Ok(level);
        }
        Err(format!(
            "{VECTOR_VARIABLE} is `{name}`, but this processor lacks these instructions; unset it, or set it to one it has"
        ))
    };
    match name {
        "" => Ok(best()),
        #[cfg(target_arch = "x86_64")]
        "avx512" => here(Level::Avx512, x86::has_avx512()),
        #[cfg(target_arch = "x86_64")]
        "avx2" => here(Level::Avx2, x86::has_avx2()),
        "portable" => here(Level::Portable, true),
        _ => Err(format!(
            "{VECTOR_VARIABLE} is `{name}`; expected avx512, avx2 or portable, or nothing for the best this processor has"
        )),
    }
}

/// The level asked for, or what is wrong with it.
fn chosen() -> &'static Result<Level, String> {
    static LEVEL: OnceLock<Result<Level, String>> = OnceLock::new();
    LEVEL.get_or_init(|| match std::env::var_os(VECTOR_VARIABLE) {
        None => Ok(best()),
        Some(name) => named(&name.to_string_lossy()),
    })
}

/// The name of the vector level that kernels run with: `avx512`, `avx2`, `portable` or `unfused`.
///
/// # Errors
/// If the environment variable [`VECTOR_VARIABLE`] asks for what this processor lacks or nobody knows. Kernels then run
/// with the best this processor has.
pub fn vector_level() -> Result<&'static str, String> {
    Ok(match chosen().clone()? {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => "avx512",
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => "avx2",
        Level::Portable => "portable",
        Level::Unfused => "unfused",
    })
}

/// Whether training here has the bits of every other x86-64 processor with AVX2 and FMA. candle's own sums are cut into
/// vectors when the program is compiled, so a build for another processor than the oldest (`target-cpu`) has others.
pub fn exact_bits() -> bool {
    let compiled_for_all = cfg!(all(target_arch = "x86_64", not(target_feature = "avx")));
    compiled_for_all && chosen().as_ref().is_ok_and(|level| *level != Level::Unfused)
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

/// Runs a kernel with the best instructions the machine has, or with those that [`VECTOR_VARIABLE`] names.
pub(crate) fn vectorized<K: Kernel>(kernel: K) -> K::Output {
    match chosen().as_ref().copied().unwrap_or_else(|_| best()) {
        // SAFETY: a level is only chosen where the machine was asked whether it has the instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { x86::with_avx512(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::with_avx2(kernel) },
        Level::Portable => kernel.run(Portable { fused: true }),
        Level::Unfused => kernel.run(Portable { fused: false }),
    }
}

/// A loop over `0..N`, written out: compilers unroll a longer loop too late to keep the sums it runs over in
/// registers, and then store them in every round.
macro_rules! unroll {
    ($i:ident in 0..$n:ident, at most 12: $body:block) => {
        $crate::ops::vector::unroll!(@ $i $n $body 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    ($i:ident in 0..$n:ident, at most 4: $body:block) => { $crate::ops::vector::unroll!(@ $i $n $body 0 1 2 3) };
    (@ $i:ident $n:ident $body:block $($value:literal)*) => {
        $(if $value < $n {
            let $i = $value;
            $body
        })*
    };
}
pub(super) use unroll;

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

    /// Copies a square of [`AT_ONCE`] columns, `pitch` apart, to as many rows, `wide` apart.
    ///
    /// # Safety
    /// The columns and the rows lie there.
    #[inline(always)]
    unsafe fn copy_turned(self, from: *const f32, pitch: usize, to: *mut f32, wide: usize) {
        for j in 0..AT_ONCE {
            for i in 0..AT_ONCE {
                // SAFETY: the caller's.
                unsafe { *to.add(i * wide + j) = *from.add(j * pitch + i) };
            }
        }
    }

    /// `a b + c`, rounded once (but see [`Level::Unfused`]).
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
}

/// Two sets of slices of one length, walked together. A check in each round would be cheap, but with a way out in its
/// middle the compiler no longer keeps a loop's sums in registers.
pub(super) struct Together<'a, T, const N: usize, const M: usize> {
    starts: ([*const T; N], [*const T; M]),
    next: usize,
    step: usize,
    length: usize,
    slices: PhantomData<&'a [T]>,
}

impl<'a, T, const N: usize, const M: usize> Together<'a, T, N, M> {
    /// Every `step`-th item from `start` on; ends with the shortest slice.
    #[inline(always)]
    pub fn new(first: [&'a [T]; N], second: [&'a [T]; M], (start, step): (usize, usize)) -> Self {
        let lengths = first.iter().chain(&second).map(|slice| slice.len());
        Self {
            starts: (first.map(<[T]>::as_ptr), second.map(<[T]>::as_ptr)),
            next: start,
            step,
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
        self.next += self.step;
        // SAFETY: each slice is borrowed for `'a` and has more than `i` items, as `length` is the least of theirs.
        let item = |start: *const T| unsafe { &*start.add(i) };
        Some((self.starts.0.map(item), self.starts.1.map(item)))
    }
}

/// Whatever the compiler makes of arrays; multiply-adds are rounded once where `fused`.
#[derive(Clone, Copy)]
struct Portable {
    fused: bool,
}

/// Rows of a portable block: where multiply-adds are calls, a large block takes long to compile and gains nothing.
const PORTABLE_ROWS: usize = if FUSED_EVERYWHERE { 6 } else { 2 };

impl Simd for Portable {
    type Vector = [f32; 8];
    type Array = [f32; 8];

    const WIDTH: usize = 8;
    const WEIGHTED_ROWS: usize = PORTABLE_ROWS;
    const PRODUCT_BLOCK: (usize, usize) = (PORTABLE_ROWS, 2);

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
            c[i] = if FUSED_EVERYWHERE || self.fused {
                a[i].mul_add(b[i], c[i])
            } else {
                a[i] * b[i] + c[i]
            };
        }
        c
    }
}

/// Runs a kernel with each set of instructions that this machine has, to compare; and with the
/// blocks of AVX-512 where it has AVX2, so that the order of its sums is compared on machines without it.
#[cfg(test)]
pub(crate) fn on_each_level<K: Kernel + Copy>(kernel: K) -> Vec<(&'static str, K::Output)> {
    let mut levels = vec![("portable", kernel.run(Portable { fused: true }))];
    #[cfg(target_arch = "x86_64")]
    {
        if x86::has_avx2() {
            // SAFETY: the machine was just asked whether it has the instructions.
            levels.push(("AVX2", unsafe { x86::with_avx2(kernel) }));
            // SAFETY: as above.
            levels.push(("blocks of AVX-512", unsafe { x86::with_wide_blocks(kernel) }));
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
    fn a_vector_unit_is_named_or_refused() {
        assert_eq!(named(""), Ok(best()));
        assert_eq!(named("portable"), Ok(Level::Portable));
        let error = named("AVX").unwrap_err();
        assert!(
            error.contains("`AVX`") && error.contains("avx512, avx2 or portable"),
            "{error}"
        );
        for name in ["avx2", "avx512"] {
            assert!(named(name).is_ok() || named(name).is_err_and(|e| e.contains("lacks") || e.contains("expected")));
        }
        assert!(vector_level().is_ok());
    }

    #[test]
    fn partial_sums_are_halved_until_one_is_left() {
        let lanes: [f32; LANES] = std::array::from_fn(|i| (1 << i) as f32);
        assert_eq!(sum_lanes(&lanes), 65_535.0);
        // Both large numbers meet first, so that the small one stays.
        let mut lanes = [0.0; LANES];
        (lanes[0], lanes[8], lanes[15]) = (1e20, -1e20, 1.0);
        assert_eq!(sum_lanes(&lanes), 1.0);
    }
}
