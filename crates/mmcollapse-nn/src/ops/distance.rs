//! Distances to constants: candle would write out every difference, and work out the gradient of the constants as well.

use super::vector::{Kernel, Simd, vectorized};
use super::{fused, fused::map_parts};
use crate::candle::{CpuStorage, CustomOp2, D, Layout, Shape, bail};
use crate::{Result, Tensor};

/// `sum over d of |y_d - x_d|` of `y [.., n, width]` and constants `x [n, width]`: `[.., n]`. Where the two are equal its gradient is 0.
///
/// # Errors
/// If the shapes do not fit, or whatever candle reports.
pub fn absolute_distance(y: &Tensor, x: &Tensor) -> Result<Tensor> {
    let x = x.detach();
    if y.rank() < 2 || x.rank() != 2 || y.dims()[y.rank() - 2..] != *x.dims() {
        bail!(
            "distance of {:?} to {:?}: expected [.., n, width] and [n, width]",
            y.dims(),
            x.dims()
        );
    }
    if fused::applies(&[y, &x]) {
        y.contiguous()?.apply_op2(&x.contiguous()?, Distance)
    } else {
        absolute_distance_composed(y, &x)
    }
}

/// [`absolute_distance`] composed of candle operations.
///
/// # Errors
/// As [`absolute_distance`].
pub fn absolute_distance_composed(y: &Tensor, x: &Tensor) -> Result<Tensor> {
    y.broadcast_sub(&x.detach())?.abs()?.sum(D::Minus1)
}

/// Rows that a thread takes at a time.
const ROWS: usize = 64;

struct Distance;

impl CustomOp2 for Distance {
    fn name(&self) -> &'static str {
        "absolute distance"
    }

    fn cpu_fwd(&self, y: &CpuStorage, y_at: &Layout, x: &CpuStorage, x_at: &Layout) -> Result<(CpuStorage, Shape)> {
        let (y, x) = (fused::slice(y, y_at)?, fused::slice(x, x_at)?);
        let mut shape = y_at.dims().to_vec();
        let width = shape.pop().unwrap_or(1);
        let mut distances = vec![0.0; y.len() / width.max(1)];
        let parts = distances.chunks_mut(ROWS).collect();
        map_parts(parts, y.len(), |part, distances| {
            let first = part * ROWS;
            vectorized(Distances {
                rows: Rows { y, x, width, first },
                sums: distances,
            });
        });
        Ok((CpuStorage::F32(distances), shape.into()))
    }

    fn bwd(&self, y: &Tensor, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = y.dim(D::Minus1)?;
        let mut dy = vec![0.0; y.elem_count()];
        fused::with(y, |y| {
            fused::with(x, |x| {
                fused::with(&gradient.contiguous()?, |gradient| {
                    let parts = dy.chunks_mut(ROWS * width.max(1)).collect();
                    map_parts(parts, y.len(), |part, dy| {
                        let first = part * ROWS;
                        vectorized(Signs {
                            rows: Rows { y, x, width, first },
                            gradient: &gradient[first..],
                            dy,
                        });
                    });
                    Ok(())
                })
            })
        })?;
        Ok((Some(fused::tensor(dy, y)?), None))
    }
}

/// Rows of `y` from `first` on, each with the row of `x` that it is compared with.
struct Rows<'a> {
    y: &'a [f32],
    x: &'a [f32],
    width: usize,
    first: usize,
}

impl Rows<'_> {
    /// The `row`-th of them, and its row of `x`; those begin anew after the last.
    #[inline(always)]
    fn pair(&self, row: usize) -> (&[f32], &[f32]) {
        let of = |values: &[f32], row: usize| row % (values.len() / self.width) * self.width;
        let (y, x) = (of(self.y, self.first + row), of(self.x, self.first + row));
        (&self.y[y..][..self.width], &self.x[x..][..self.width])
    }
}

/// Their distances.
struct Distances<'a> {
    rows: Rows<'a>,
    sums: &'a mut [f32],
}

impl Kernel for Distances<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for (row, sum) in self.sums.iter_mut().enumerate() {
            let (y, x) = self.rows.pair(row);
            *sum = fused::sums_of(y, x, |y, x| ((y - x).abs(), 0.0)).0;
        }
    }
}

/// Their gradients by `y`, given those of the same rows' distances.
struct Signs<'a> {
    rows: Rows<'a>,
    gradient: &'a [f32],
    dy: &'a mut [f32],
}

impl Kernel for Signs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let rows = self.dy.chunks_exact_mut(self.rows.width).zip(self.gradient);
        for (row, (dy, gradient)) in rows.enumerate() {
            let (y, x) = self.rows.pair(row);
            for ((dy, y), x) in dy.iter_mut().zip(y).zip(x) {
                let sign = f32::from(i8::from(y > x) - i8::from(y < x));
                *dy = sign * gradient;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Var};

    #[test]
    fn equal_numbers_have_no_gradient_and_shapes_are_checked() {
        let y = Var::from_tensor(&Tensor::new(&[[1f32, 2.0]], &Device::Cpu).unwrap()).unwrap();
        let x = Tensor::new(&[[1f32, 3.0]], &Device::Cpu).unwrap();
        let distance = absolute_distance(&y, &x).unwrap();
        assert_eq!(distance.to_vec1::<f32>().unwrap(), [1.0]);
        let gradients = distance.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&y).unwrap().to_vec2::<f32>().unwrap(), [[0.0, -1.0]]);
        let error = absolute_distance(&y, &x.t().unwrap()).unwrap_err().to_string();
        assert!(error.contains("distance of [1, 2] to [2, 1]"), "{error}");
    }
}
