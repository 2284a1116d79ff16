//! The Gaussian error linear unit, forwards in two passes over memory and backwards in one.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use super::vector::{Kernel, Simd, vectorized};
use super::{elementary::erf, fused, math};
use crate::candle::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape};
use crate::{Result, Tensor};

/// `x Phi(x)` (Hendrycks and Gimpel 2016), exact as PyTorch's default; the gradients of candle's own are rounded to six
/// digits.
///
/// # Errors
/// Whatever candle reports, such as memory running out on a device.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if !fused::applies(&[x]) {
        return gelu_composed(x);
    }
    let x = x.contiguous()?;
    let distribution = x.detach().apply_op1_no_bwd(&Distribution)?;
    x.apply_op2(&distribution, Gelu)
}

/// [`gelu`] composed of candle operations; of the same bits.
///
/// # Errors
/// As [`gelu`].
pub fn gelu_composed(x: &Tensor) -> Result<Tensor> {
    let distribution = ((erf(&(x * FRAC_1_SQRT_2)?)? + 1.0)? * 0.5)?;
    x * distribution
}

/// `Phi(x)`.
struct Distribution;

impl CustomOp1 for Distribution {
    fn name(&self) -> &'static str {
        "normal distribution"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let of = |&x: &f32| (libm::erff(x * FRAC_1_SQRT_2 as f32) + 1.0) * 0.5;
        let values = fused::slice(x, layout)?.iter().map(of).collect();
        Ok((CpuStorage::F32(values), layout.shape().clone()))
    }
}

/// `x` times a `Phi(x)` that is known.
struct Gelu;

impl CustomOp2 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_at: &Layout, phi: &CpuStorage, at: &Layout) -> Result<(CpuStorage, Shape)> {
        let pairs = fused::slice(x, x_at)?.iter().zip(fused::slice(phi, at)?);
        let y = pairs.map(|(x, phi)| x * phi).collect();
        Ok((CpuStorage::F32(y), x_at.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, phi: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let with = |dy: &[f32]| {
            fused::with(x, |x| {
                fused::with(phi, |distribution| Ok(vectorized(Backward { x, distribution, dy })))
            })
        };
        Ok((Some(fused::tensor(fused::with(&dy, with)?, x)?), None))
    }
}

/// `dy (Phi(x) + x phi(x))`.
#[derive(Clone, Copy)]
struct Backward<'a> {
    x: &'a [f32],
    distribution: &'a [f32],
    dy: &'a [f32],
}

impl Kernel for Backward<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Vec<f32> {
        let (scale, slope) = (FRAC_1_SQRT_2 as f32, FRAC_2_SQRT_PI as f32);
        let mut dx = vec![0.0; self.x.len()];
        let inputs = self.x.iter().zip(self.distribution).zip(self.dy);
        for (dx, ((&x, &distribution), &dy)) in dx.iter_mut().zip(inputs) {
            let t = x * scale;
            // In the order in which candle would go back through the composition.
            let through = dy * x * 0.5 * (math::exp(-(t * t)) * slope) * scale;
            *dx = dy * distribution + through;
        }
        dx
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Var, ops::on_each_level, random::Stream};

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn values_and_gradients_have_the_bits_of_the_composition() {
        let mut stream = Stream::new(1, "gelu");
        let mut values = stream.uniform_vec(5000, -9.0, 9.0);
        values.extend([0.0, -0.0, 1e-30, -1e-30, 100.0, -100.0]);
        let weights = Tensor::from_vec(stream.normal_vec(values.len()), values.len(), &Device::Cpu).unwrap();
        let of = |f: fn(&Tensor) -> Result<Tensor>| {
            let x = Var::new(values.as_slice(), &Device::Cpu).unwrap();
            let y = f(&x).unwrap();
            let gradients = (&y * &weights).unwrap().sum_all().unwrap().backward().unwrap();
            let read = |t: &Tensor| bits(&t.to_vec1::<f32>().unwrap());
            (read(&y), read(gradients.get(&x).unwrap()))
        };
        assert_eq!(of(gelu), of(gelu_composed));
    }

    #[test]
    fn every_machine_has_the_same_gradients() {
        let mut stream = Stream::new(2, "gelu");
        let mut values = || stream.uniform_vec(1003, -9.0, 9.0);
        let (x, distribution, dy) = (values(), values(), values());
        let levels = on_each_level(Backward {
            x: &x,
            distribution: &distribution,
            dy: &dy,
        });
        for (level, values) in &levels[1..] {
            assert_eq!(bits(values), bits(&levels[0].1), "{level}");
        }
    }
}
