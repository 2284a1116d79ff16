//! AVX2 and AVX-512 behind [`Simd`].

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{
    __m256, __m512, _mm256_castpd_ps, _mm256_castps_pd, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_permute2f128_ps,
    _mm256_set1_ps, _mm256_storeu_ps, _mm256_unpackhi_pd, _mm256_unpackhi_ps, _mm256_unpacklo_pd, _mm256_unpacklo_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
};

use super::{AT_ONCE, Kernel, Simd};

/// Whether [`with_avx2`] may be called.
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Whether [`with_avx512`] may be called.
pub(super) fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// Runs a kernel compiled for AVX2 and FMA.
///
/// # Safety
/// [`has_avx2`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// Runs a kernel compiled for AVX-512.
///
/// # Safety
/// [`has_avx512`].
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

/// Runs a kernel in the blocks of AVX-512, compiled for AVX2 and FMA.
///
/// # Safety
/// [`has_avx2`].
#[cfg(test)]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn with_wide_blocks<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Wide(Avx2(())))
}

/// AVX2 and FMA, sixteen registers; only made where the machine has them.
#[derive(Clone, Copy)]
struct Avx2(());

// SAFETY, for all of it: an `Avx2` exists, so the machine has the instructions; arrays have eight numbers.
impl Simd for Avx2 {
    type Vector = __m256;
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
    fn splat(self, value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, values: &Self::Array) -> __m256 {
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, vector: __m256, to: &mut Self::Array) {
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    unsafe fn copy_turned(self, from: *const f32, pitch: usize, to: *mut f32, wide: usize) {
        unsafe { copy_turned(from, pitch, to, wide) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
}

/// [`Simd::copy_turned`] by shuffles.
///
/// # Safety
/// [`has_avx2`], and as there.
#[inline(always)]
unsafe fn copy_turned(from: *const f32, pitch: usize, to: *mut f32, wide: usize) {
    unsafe {
        let columns: [__m256; AT_ONCE] = std::array::from_fn(|j| _mm256_loadu_ps(from.add(j * pitch)));
        // Pairs of two columns, then quadruples of four, then the halves of eight.
        let mut pairs = columns;
        let mut fours = columns;
        for j in 0..4 {
            pairs[2 * j] = _mm256_unpacklo_ps(columns[2 * j], columns[2 * j + 1]);
            pairs[2 * j + 1] = _mm256_unpackhi_ps(columns[2 * j], columns[2 * j + 1]);
        }
        for j in [0, 4] {
            for half in 0..2 {
                let (a, b) = (_mm256_castps_pd(pairs[j + half]), _mm256_castps_pd(pairs[j + half + 2]));
                fours[j + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
                fours[j + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
            }
        }
        for i in 0..4 {
            _mm256_storeu_ps(to.add(i * wide), _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]));
            _mm256_storeu_ps(
                to.add((i + 4) * wide),
                _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]),
            );
        }
    }
}

/// AVX-512, thirty-two registers; only made where the machine has it.
#[derive(Clone, Copy)]
struct Avx512(());

// SAFETY, for all of it: an `Avx512` exists, so the machine has the instructions; arrays have sixteen numbers.
impl Simd for Avx512 {
    type Vector = __m512;
    type Array = [f32; 16];

    const WIDTH: usize = 16;
    const WEIGHTED_ROWS: usize = 12;
    const PRODUCT_BLOCK: (usize, usize) = (6, 4);

    #[inline(always)]
    fn arrays(values: &[f32]) -> &[Self::Array] {
        values.as_chunks().0
    }

    #[inline(always)]
    fn arrays_mut(values: &mut [f32]) -> &mut [Self::Array] {
        values.as_chunks_mut().0
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, values: &Self::Array) -> __m512 {
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, vector: __m512, to: &mut Self::Array) {
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    unsafe fn copy_turned(self, from: *const f32, pitch: usize, to: *mut f32, wide: usize) {
        unsafe { copy_turned(from, pitch, to, wide) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
}

/// The vectors and blocks of AVX-512 as pairs of AVX2's.
#[cfg(test)]
#[derive(Clone, Copy)]
struct Wide(Avx2);

#[cfg(test)]
impl Simd for Wide {
    type Vector = [__m256; 2];
    type Array = [f32; 16];

    const WIDTH: usize = Avx512::WIDTH;
    const WEIGHTED_ROWS: usize = Avx512::WEIGHTED_ROWS;
    const PRODUCT_BLOCK: (usize, usize) = Avx512::PRODUCT_BLOCK;

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
        [self.0.splat(value); 2]
    }

    #[inline(always)]
    fn load(self, values: &Self::Array) -> Self::Vector {
        let halves = Avx2::arrays(values);
        [self.0.load(&halves[0]), self.0.load(&halves[1])]
    }

    #[inline(always)]
    fn store(self, vector: Self::Vector, to: &mut Self::Array) {
        for (half, to) in vector.into_iter().zip(Avx2::arrays_mut(to)) {
            self.0.store(half, to);
        }
    }

    #[inline(always)]
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        [
            self.0.multiply_add(a[0], b[0], c[0]),
            self.0.multiply_add(a[1], b[1], c[1]),
        ]
    }
}
