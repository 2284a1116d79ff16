//! Values times a constant mask. candle would work out the mask's gradient too, which nobody reads.

use super::fused;
use crate::candle::{CpuStorage, CustomOp2, Layout, Shape};
use crate::{Result, Tensor};

/// `x mask`, the mask `[..]` of the shape of `x` a constant.
///
/// # Errors
/// If the shapes differ, or whatever candle reports.
pub fn masked(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let mask = mask.detach();
    if fused::applies(&[x, &mask]) && x.dims() == mask.dims() {
        x.contiguous()?.apply_op2(&mask.contiguous()?, Masked)
    } else {
        x * mask
    }
}

struct Masked;

fn product(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

impl CustomOp2 for Masked {
    fn name(&self) -> &'static str {
        "masked"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_at: &Layout, mask: &CpuStorage, at: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = product(fused::slice(x, x_at)?, fused::slice(mask, at)?);
        Ok((CpuStorage::F32(y), x_at.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, mask: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let dx = fused::with(&dy, |dy| fused::with(mask, |mask| Ok(product(dy, mask))))?;
        Ok((Some(fused::tensor(dx, &dy)?), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Var, random::Stream};

    #[test]
    fn values_and_gradients_are_those_of_a_product() {
        let mut stream = Stream::new(1, "masked");
        let mut of = |n: usize| Tensor::from_vec(stream.normal_vec(n), (n / 3, 3), &Device::Cpu).unwrap();
        let (x, weights) = (Var::from_tensor(&of(30)).unwrap(), of(30));
        let mask = stream.mask_vec(30, 0.5, 2.0);
        let mask = Tensor::from_vec(mask, (10, 3), &Device::Cpu).unwrap();
        let read = |y: Tensor| -> [Vec<f32>; 2] {
            let gradients = (&y * &weights).unwrap().sum_all().unwrap().backward().unwrap();
            [&y, gradients.get(&x).unwrap()].map(|t| t.flatten_all().unwrap().to_vec1().unwrap())
        };
        assert_eq!(read(masked(&x, &mask).unwrap()), read((x.as_tensor() * &mask).unwrap()));
    }
}
