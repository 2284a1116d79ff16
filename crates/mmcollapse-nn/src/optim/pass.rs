//! The step of one parameter on the CPU in f32: one pass over it, its gradient and its moments, in place.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, bail};

use super::slot::Rule;
use crate::Result;
use crate::ops::{Kernel, Simd, map_parts, vectorized};

/// Moves a parameter by `rule` along `scale` times its gradient.
pub(super) struct Pass<'a> {
    rule: Rule,
    scale: f64,
    moments: RefCell<[&'a mut [f32]; 3]>,
}

impl<'a> Pass<'a> {
    /// With the moments that the rule keeps (first, second, the largest second so far), each of the parameter's size, and empty slices
    /// for what it does not.
    pub(super) fn new(rule: Rule, scale: f64, moments: [&'a mut [f32]; 3]) -> Self {
        Self {
            rule,
            scale,
            moments: RefCell::new(moments),
        }
    }
}

impl InplaceOp2 for Pass<'_> {
    fn name(&self) -> &'static str {
        "optimizer-step"
    }

    fn cpu_fwd(
        &self,
        params: &mut CpuStorage,
        params_layout: &Layout,
        grads: &CpuStorage,
        grads_layout: &Layout,
    ) -> Result<()> {
        let CpuStorage::F32(params) = params else {
            bail!("optimizer: expected an F32 parameter");
        };
        let grads = grads.as_slice::<f32>()?;
        let (Some((p0, p1)), Some((g0, g1))) = (params_layout.contiguous_offsets(), grads_layout.contiguous_offsets())
        else {
            bail!("optimizer: expected a contiguous parameter and gradient");
        };
        let [first, second, largest] = &mut *self.moments.borrow_mut();
        let numbers = Numbers {
            rule: self.rule,
            scale: self.scale as f32,
            params: &mut params[p0..p1],
            grads: &grads[g0..g1],
            first,
            second,
            largest,
        };
        let work = COST * numbers.grads.len();
        map_parts(numbers.parts(), work, |_, part| vectorized(part));
        Ok(())
    }
}

/// Multiply-adds in whose time a number moves: seven numbers go through memory for it.
const COST: usize = 32;
/// Some of a moment's numbers.
type Part<'a> = &'a mut [f32];

/// Numbers of a part, which one thread moves.
const PART: usize = 1 << 14;

/// What a pass goes over. Each number moves by itself and by operations that round alike everywhere, so the result does
/// not depend on the machine's vectors, nor on how the numbers are shared among threads.
struct Numbers<'a> {
    rule: Rule,
    scale: f32,
    params: &'a mut [f32],
    grads: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    largest: &'a mut [f32],
}

impl<'a> Numbers<'a> {
    /// The same numbers in parts.
    fn parts(self) -> Vec<Self> {
        // A moment that the rule does not keep has no numbers in any part.
        fn cut(moment: &mut [f32]) -> impl Iterator<Item = &mut [f32]> {
            moment.chunks_mut(PART).chain(std::iter::repeat_with(Default::default))
        }
        let moved = self.params.chunks_mut(PART).zip(self.grads.chunks(PART));
        let moments = cut(self.first).zip(cut(self.second)).zip(cut(self.largest));
        moved
            .zip(moments)
            .map(
                |((params, grads), ((first, second), largest)): (_, ((Part<'a>, Part<'a>), Part<'a>))| Self {
                    params,
                    grads,
                    first,
                    second,
                    largest,
                    ..self
                },
            )
            .collect()
    }
}

impl Kernel for Numbers<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let scale = self.scale;
        let moved = self.params.iter_mut().zip(self.grads);
        match self.rule {
            Rule::Sgd {
                lr,
                momentum,
                decay,
                is_first,
            } => {
                let (lr, momentum, decay) = (lr as f32, momentum as f32, decay as f32);
                if self.first.is_empty() {
                    for (p, &g) in moved {
                        *p -= lr * (scale * g + decay * *p);
                    }
                } else {
                    let momentum = if is_first { 0.0 } else { momentum };
                    for ((p, &g), m) in moved.zip(self.first) {
                        *m = momentum * *m + (scale * g + decay * *p);
                        *p -= lr * *m;
                    }
                }
            }
            Rule::Adam {
                keep,
                decay,
                beta1,
                beta2,
                step_size,
                root_scale,
                eps,
            } => {
                let (keep, decay, rise1) = (keep as f32, decay as f32, (1.0 - beta1) as f32);
                let (beta2, rise2) = (beta2 as f32, (1.0 - beta2) as f32);
                let (step_size, root_scale, eps) = (step_size as f32, root_scale as f32, eps as f32);
                let moments = self.first.iter_mut().zip(self.second);
                if !self.largest.is_empty() {
                    for (((p, &g), (m, v)), most) in moved.zip(moments).zip(self.largest) {
                        let g = scale * g + decay * *p;
                        *m += rise1 * (g - *m);
                        *v = beta2 * *v + rise2 * (g * g);
                        *most = most.max(*v);
                        *p = keep * *p - step_size * (*m / (most.sqrt() * root_scale + eps));
                    }
                    return;
                }
                for ((p, &g), (m, v)) in moved.zip(moments) {
                    let g = scale * g + decay * *p;
                    *m += rise1 * (g - *m);
                    *v = beta2 * *v + rise2 * (g * g);
                    *p = keep * *p - step_size * (*m / (v.sqrt() * root_scale + eps));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::on_each_level;
    use crate::optim::{OptimizerConfig, OptimizerKind};

    /// Two steps of 37 numbers: more than any vector, and no multiple of one.
    #[derive(Clone, Copy)]
    struct Steps<'a> {
        config: &'a OptimizerConfig,
    }

    impl Kernel for Steps<'_> {
        type Output = [Vec<f32>; 4];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let numbers = |salt: usize| (0..37).map(move |i| ((i * salt + 5) % 101) as f32 / 50.0 - 1.0);
            let mut params: Vec<f32> = numbers(37).collect();
            let [mut first, mut second] = [(); 2].map(|()| vec![0.0; 37]);
            let mut largest = vec![0.0; if self.config.amsgrad { 37 } else { 0 }];
            for step in 1..=2 {
                Numbers {
                    rule: Rule::new(self.config, step, 0.1),
                    scale: 0.3,
                    params: &mut params,
                    grads: &numbers(17 + step as usize).collect::<Vec<_>>(),
                    first: &mut first,
                    second: &mut second,
                    largest: &mut largest,
                }
                .run(simd);
            }
            [params, first, second, largest]
        }
    }

    #[test]
    fn every_machine_gives_the_same_bits() {
        for (kind, amsgrad) in [
            (OptimizerKind::Sgd, false),
            (OptimizerKind::Adam, false),
            (OptimizerKind::Adam, true),
            (OptimizerKind::AdamW, false),
        ] {
            let config = OptimizerConfig {
                amsgrad,
                momentum: 0.9,
                weight_decay: 0.01,
                ..OptimizerConfig::new(kind, 0.1)
            };
            let levels = on_each_level(Steps { config: &config });
            let (_, portable) = &levels[0];
            assert!(portable.iter().flatten().all(|value| value.is_finite()));
            for (level, numbers) in &levels[1..] {
                assert_eq!(numbers, portable, "{level}, {kind:?}");
            }
        }
    }
}
