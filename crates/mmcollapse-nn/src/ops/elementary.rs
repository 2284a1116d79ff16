//! Elementary functions of tensors with the same bits on every machine.
//!
//! candle calls the C library, whose last bits depend on its version and on the processor. On the CPU in f32 these call
//! [`super::math`] and the `libm` crate instead, which are made of operations that round alike everywhere.

use std::f64::consts::FRAC_2_SQRT_PI;

use super::fused;
use super::math;
use super::vector::{Kernel, Simd, vectorized};
use crate::candle::{CpuStorage, CustomOp1, Layout, Shape};
use crate::{Result, Tensor};

/// `e^x`.
///
/// # Errors
/// Whatever the device says.
pub fn exp(x: &Tensor) -> Result<Tensor> {
    apply(x, Function::Exp)
}

/// The natural logarithm.
///
/// # Errors
/// Whatever the device says.
pub fn ln(x: &Tensor) -> Result<Tensor> {
    apply(x, Function::Ln)
}

/// The hyperbolic tangent.
///
/// # Errors
/// Whatever the device says.
pub fn tanh(x: &Tensor) -> Result<Tensor> {
    apply(x, Function::Tanh)
}

/// The error function.
///
/// # Errors
/// Whatever the device says.
pub fn erf(x: &Tensor) -> Result<Tensor> {
    apply(x, Function::Erf)
}

/// `1 / (1 + e^-x)`, by the hyperbolic tangent, which overflows nowhere.
///
/// # Errors
/// Whatever the device says.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    tanh(&(x * 0.5)?)?.affine(0.5, 0.5)
}

#[expect(clippy::disallowed_methods, reason = "candle's own on other devices and types")]
fn apply(x: &Tensor, function: Function) -> Result<Tensor> {
    if fused::applies(&[x]) {
        return x.contiguous()?.apply_op1(function);
    }
    match function {
        Function::Exp => x.exp(),
        Function::Ln => x.log(),
        Function::Tanh => x.tanh(),
        Function::Erf => x.erf(),
    }
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Exp,
    Ln,
    Tanh,
    Erf,
}

impl CustomOp1 for Function {
    fn name(&self) -> &'static str {
        match self {
            Self::Exp => "exp",
            Self::Ln => "ln",
            Self::Tanh => "tanh",
            Self::Erf => "erf",
        }
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = vectorized(Values {
            function: *self,
            x: fused::slice(x, layout)?,
        });
        Ok((CpuStorage::F32(values), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = match self {
            Self::Exp => (gradient * y)?,
            Self::Ln => (gradient / x)?,
            Self::Tanh => (gradient * y.sqr()?.affine(-1.0, 1.0)?)?,
            Self::Erf => (gradient * (exp(&x.sqr()?.neg()?)? * FRAC_2_SQRT_PI)?)?,
        };
        Ok(Some(gradient))
    }
}

#[derive(Clone, Copy)]
struct Values<'a> {
    function: Function,
    x: &'a [f32],
}

impl Kernel for Values<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Vec<f32> {
        let mut out = vec![0.0; self.x.len()];
        let pairs = out.iter_mut().zip(self.x);
        match self.function {
            Function::Exp => pairs.for_each(|(y, &x)| *y = math::exp(x)),
            Function::Tanh => pairs.for_each(|(y, &x)| *y = math::tanh(x)),
            Function::Ln => pairs.for_each(|(y, &x)| *y = libm::logf(x)),
            Function::Erf => pairs.for_each(|(y, &x)| *y = libm::erff(x)),
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use crate::ops::on_each_level;

    #[test]
    fn every_machine_has_the_same_bits() {
        let x: Vec<f32> = (0..3001).map(|i| (i - 1500) as f32 / 31.0).collect();
        for function in [Function::Exp, Function::Ln, Function::Tanh, Function::Erf] {
            let levels = on_each_level(Values { function, x: &x });
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            for (level, values) in &levels[1..] {
                assert_eq!(bits(values), bits(&levels[0].1), "{function:?} on {level}");
            }
        }
    }

    #[test]
    fn values_are_right_up_to_rounding() {
        type Pair = (fn(&Tensor) -> Result<Tensor>, fn(f32) -> f64);
        let x: Vec<f32> = (1..2000).map(|i| i as f32 / 171.0).collect();
        let tensor = Tensor::new(x.as_slice(), &Device::Cpu).unwrap();
        let functions: [Pair; 5] = [
            (exp, |x| libm::exp(f64::from(x))),
            (ln, |x| libm::log(f64::from(x))),
            (tanh, |x| libm::tanh(f64::from(x))),
            (sigmoid, |x| 1.0 / (1.0 + libm::exp(-f64::from(x)))),
            (erf, |x| libm::erf(f64::from(x))),
        ];
        for (place, (ours, exact)) in functions.into_iter().enumerate() {
            let got: Vec<f32> = ours(&tensor).unwrap().to_vec1().unwrap();
            for (&x, got) in x.iter().zip(got) {
                let expected = exact(x);
                let error = (f64::from(got) - expected).abs();
                assert!(
                    error <= 5e-7 * expected.abs().max(1e-3),
                    "{place}, {x}: {got}, not {expected}"
                );
            }
        }
    }
}
