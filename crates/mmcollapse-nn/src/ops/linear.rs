//! The affine map of a fully connected layer, with its rectifier in the same pass.

use super::activation::{pass, rectify};
use super::fused;
use super::gemm::{Matrix, gemm};
use crate::candle::{CpuStorage, CustomOp3, Layout, Shape, bail};
use crate::{Result, Tensor};

/// `x w^T + b`, then `max(., 0)` where `relu`; `x [.., i]`, `w [o, i]`, `b [o]`, result `[.., o]`.
///
/// # Errors
/// If the shapes do not fit each other.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    let tensors: Vec<&Tensor> = [x, w].into_iter().chain(b).collect();
    if !fused::applies(&tensors) {
        return linear_composed(x, w, b, relu);
    }
    on_rows(x, w, b, |rows| {
        let op = Linear {
            relu,
            bias: b.is_some(),
            // Asked before `contiguous`, which records an operation of its own.
            input_gradient: rows.track_op(),
        };
        let rows = rows.contiguous()?;
        match b {
            Some(b) => rows.apply_op3(&w.contiguous()?, &b.contiguous()?, op),
            None => rows.apply_op3(&w.contiguous()?, &Tensor::zeros(0, w.dtype(), w.device())?, op),
        }
    })
}

/// [`linear`] composed of candle operations.
///
/// # Errors
/// As [`linear`].
pub fn linear_composed(x: &Tensor, w: &Tensor, b: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    on_rows(x, w, b, |rows| {
        let y = rows.matmul(&w.t()?)?;
        let y = match b {
            Some(b) => y.broadcast_add(b)?,
            None => y,
        };
        if relu { super::relu_composed(&y) } else { Ok(y) }
    })
}

/// Checks the shapes, shows `x` to `f` as a matrix and gives its result the leading dimensions of `x` back.
fn on_rows(x: &Tensor, w: &Tensor, b: Option<&Tensor>, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (outputs, inputs) = w.dims2()?;
    let bias_fits = outputs > 0 && b.is_none_or(|b| b.dims() == [outputs]);
    let (Some((&last, leading)), true) = (x.dims().split_last(), bias_fits) else {
        bail!(
            "linear: x {:?}, weight {:?}, bias {:?}; the bias has to be [{outputs}], at least [1]",
            x.shape(),
            w.shape(),
            b.map(Tensor::shape)
        );
    };
    if last != inputs {
        bail!("linear: the last dimension of x {:?} has to be {inputs}", x.shape());
    }
    if leading.len() == 1 {
        return f(x);
    }
    let rows: usize = leading.iter().product();
    let shape: Vec<usize> = leading.iter().copied().chain([outputs]).collect();
    f(&x.reshape((rows, inputs))?)?.reshape(shape)
}

struct Linear {
    relu: bool,
    bias: bool,
    input_gradient: bool,
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, inputs) = x_layout.shape().dims2()?;
        let (outputs, _) = w_layout.shape().dims2()?;
        let x = Matrix::new(fused::slice(x, x_layout)?, n, inputs);
        let w = Matrix::new(fused::slice(w, w_layout)?, outputs, inputs);
        let mut y = if self.bias {
            fused::slice(b, b_layout)?.repeat(n)
        } else {
            vec![0.0; n * outputs]
        };
        gemm(&mut y, x, w.transposed(), self.bias);
        if self.relu {
            for value in &mut y {
                *value = rectify(*value);
            }
        }
        Ok((CpuStorage::F32(y), Shape::from((n, outputs))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (n, inputs) = x.dims2()?;
        let outputs = w.dim(0)?;
        let gradient = gradient.contiguous()?;
        let mut dy = Vec::new();
        if self.relu {
            dy = fused::with(y, |y| {
                fused::with(&gradient, |g| Ok(g.iter().zip(y).map(|(&g, &y)| pass(g, y)).collect()))
            })?;
        }
        let mut dx = vec![0.0; if self.input_gradient { n * inputs } else { 0 }];
        let mut dw = vec![0.0; outputs * inputs];
        let mut db = vec![0.0; if self.bias { outputs } else { 0 }];
        fused::with(x, |x| {
            fused::with(w, |w| {
                fused::with(&gradient, |g| {
                    let dy = if self.relu { &dy } else { g };
                    if self.bias {
                        for row in dy.chunks_exact(outputs) {
                            for (sum, value) in db.iter_mut().zip(row) {
                                *sum += value;
                            }
                        }
                    }
                    let dy = Matrix::new(dy, n, outputs);
                    gemm(&mut dw, dy.transposed(), Matrix::new(x, n, inputs), false);
                    if self.input_gradient {
                        gemm(&mut dx, dy, Matrix::new(w, outputs, inputs), false);
                    }
                    Ok(())
                })
            })
        })?;
        let dx = self.input_gradient.then(|| fused::tensor(dx, x)).transpose()?;
        let db = self.bias.then(|| fused::tensor(db, b)).transpose()?;
        Ok((dx, Some(fused::tensor(dw, w)?), db))
    }
}
