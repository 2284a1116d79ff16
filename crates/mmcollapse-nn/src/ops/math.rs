//! Elementary functions that the compiler can vectorise, which it cannot do with calls of the C library.
//!
//! Of additions, multiplications, divisions and comparisons only, which round alike everywhere: a result does not depend on
//! the machine's vectors. Relative errors, measured in the tests, are below 4e-7; NaN stays NaN.

use std::f32::consts::LOG2_E;

/// ln 2 in two parts, of which the first times a small integer is exact.
const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);

/// `c[0] x^(n-1) + .. + c[n-1]`.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    let mut i = 1;
    while i < N {
        sum = sum * x + coefficients[i];
        i += 1;
    }
    sum
}

/// `2^n` for `-126 <= n <= 127`.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// `e^x`: `2^n e^r` with `|r| <= ln(2) / 2`, the latter by the polynomial of Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding it leaves the nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    // Beyond these the result is 0 and infinity. Comparisons, because `max` and `min` drop NaN.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2.0) - n * LN_2.1;
    let tail = polynomial(
        r,
        [
            1.987_569_1e-4,
            1.398_2e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            0.5,
        ],
    );
    let y = tail * (r * r) + r + 1.0;
    // In two steps, because 2^n itself may be too large or too small for a number.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    y * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `ln x` by the polynomial of Cephes' `logf`, for 0, infinity and numbers of at least [`f32::MIN_POSITIVE`].
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    // x = 2^n m with m in [sqrt(1/2), sqrt(2)).
    let offset = x.to_bits().wrapping_sub(SQRT_HALF) as i32;
    let n = (offset >> 23) as f32;
    let m = f32::from_bits(((offset & 0x007f_ffff) as u32).wrapping_add(SQRT_HALF)) - 1.0;
    let square = m * m;
    let tail = polynomial(
        m,
        [
            7.037_683_6e-2,
            -1.151_461e-1,
            1.167_699_9e-1,
            -1.242_014e-1,
            1.424_932_3e-1,
            -1.666_805_7e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ],
    );
    let y = m + ((tail * m * square + n * LN_2.1) - 0.5 * square) + n * LN_2.0;
    let y = if x < f32::INFINITY { y } else { x };
    if x == 0.0 { f32::NEG_INFINITY } else { y }
}

/// `tanh x` by the rational function of Eigen's `generic_fast_tanh_float`.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    /// Beyond it the result is 1 but for rounding.
    const END: f32 = 7.905_311;
    let x = if x < -END { -END } else { x };
    let x = if x > END { END } else { x };
    let square = x * x;
    let p = polynomial(
        square,
        [
            -2.760_768_4e-16,
            2.000_188e-13,
            -8.604_672e-11,
            5.122_297_3e-8,
            1.485_722_3e-5,
            6.372_619_6e-4,
            4.893_524_7e-3,
        ],
    );
    let q = polynomial(square, [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_7e-3, 4.893_525e-3]);
    x * p / q
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Kernel, Simd, on_each_level};

    /// The largest relative error against `exact` over `count` numbers from `low` to `high`.
    fn error(f: fn(f32) -> f32, exact: fn(f64) -> f64, (low, high): (f64, f64), count: u32) -> f64 {
        (0..=count)
            .map(|i| (low + (high - low) * f64::from(i) / f64::from(count)) as f32)
            .map(|x| {
                let right = exact(f64::from(x));
                (f64::from(f(x)) - right).abs() / right.abs().max(f64::from(f32::MIN_POSITIVE))
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn relative_errors_are_a_few_roundings() {
        let exact_sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
        for (name, error) in [
            ("exp", error(exp, libm::exp, (-87.3, 88.7), 1_000_000)),
            ("exp near 0", error(exp, libm::exp, (-0.01, 0.01), 10_000)),
            (
                "ln",
                error(
                    |x| ln(exp(x)),
                    |x| libm::log(f64::from(exp(x as f32))),
                    (0.5, 88.0),
                    1_000_000,
                ),
            ),
            (
                "ln below 1",
                error(
                    |x| ln(exp(-x)),
                    |x| libm::log(f64::from(exp(-x as f32))),
                    (0.5, 87.0),
                    1_000_000,
                ),
            ),
            ("ln near 1", error(ln, libm::log, (0.9, 1.1), 100_001)),
            ("tanh", error(tanh, libm::tanh, (-12.0, 12.0), 1_000_000)),
            ("tanh near 0", error(tanh, libm::tanh, (1e-6, 0.01), 10_000)),
            ("sigmoid", error(sigmoid, exact_sigmoid, (-80.0, 80.0), 1_000_000)),
        ] {
            assert!(error < 4e-7, "{name}: {error:e}");
        }
    }

    #[test]
    fn ends_are_right_and_nan_stays() {
        assert_eq!((exp(0.0), exp(-200.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert_eq!((exp(89.0), exp(f32::INFINITY)), (f32::INFINITY, f32::INFINITY));
        let small = exp(-95.0);
        assert!(small > 0.0 && !small.is_normal() && (small / libm::expf(-95.0) - 1.0).abs() < 1e-4);
        assert_eq!(
            (ln(1.0), ln(0.0), ln(f32::INFINITY)),
            (0.0, f32::NEG_INFINITY, f32::INFINITY)
        );
        assert!((tanh(f32::INFINITY) - 1.0).abs() < 1e-6 && (tanh(-50.0) + 1.0).abs() < 1e-6);
        assert_eq!(
            (tanh(0.0), sigmoid(0.0), sigmoid(200.0), sigmoid(-200.0)),
            (0.0, 0.5, 1.0, 0.0)
        );
        for f in [exp, ln, tanh, sigmoid] {
            assert!(f(f32::NAN).is_nan());
        }
    }

    #[derive(Clone, Copy)]
    struct All;

    impl Kernel for All {
        type Output = Vec<u32>;

        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> Vec<u32> {
            let x: Vec<f32> = (0..4001).map(|i| (i - 2000) as f32 / 21.0).collect();
            let mut out = Vec::with_capacity(4 * x.len());
            out.extend(x.iter().map(|&x| exp(x).to_bits()));
            out.extend(x.iter().map(|&x| ln(x * x + 1e-6).to_bits()));
            out.extend(x.iter().map(|&x| tanh(x).to_bits()));
            out.extend(x.iter().map(|&x| sigmoid(x).to_bits()));
            out
        }
    }

    #[test]
    fn every_machine_has_the_same_bits() {
        let levels = on_each_level(All);
        for (name, bits) in &levels {
            assert_eq!(bits, &levels[0].1, "{name}");
        }
    }
}
